"""What ``exprocr predict`` does: find the images, read them, write the readings, count them."""

from __future__ import annotations

import sys
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exprocr.cli.inputs import Input, find_inputs, listed_paths
from exprocr.cli.options import BAD_INPUT, BELOW_BAR, Session
from exprocr.cli.output import note_frames, note_remark, note_unproven, progress
from exprocr.cli.predict.formats import (
    REJECTED,
    UNSURE,
    WRONG,
    Extras,
    check_contest_numbers,
    contest_number,
    is_contest_number,
    pick_format,
    prediction_writer,
)
from exprocr.cli.predict.partial import open_lines
from exprocr.cli.shard import Shard
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import Recognizer
from exprocr.errors import ImageError
from exprocr.words import format_duration, format_rate, quantity

MANY = 200
"""Above this many images there is a progress bar."""


@dataclass
class _Counts:
    """What became of the images."""

    num_read: int = 0
    num_unread: int = 0
    num_unproven: int = 0
    num_rejected: int = 0
    num_wrong: int = 0
    num_unsure: int = 0

    def add(self, prediction: Prediction, extras: Extras) -> None:
        """Count a reading."""
        self.num_read += 1
        self.num_unproven += not prediction.is_proven
        mark = extras.mark(prediction)
        self.num_rejected += mark == REJECTED
        self.num_wrong += mark == WRONG
        self.num_unsure += mark == UNSURE


def run(
    session: Session,
    *,
    paths: tuple[str, ...],
    from_file: str | None,
    shard: Shard | None,
    format_: str | None,
    output: str | None,
    min_confidence: float | None,
    only_wrong: bool,
    **options: Any,
) -> int:
    """Read the images of the paths, and return the exit code.

    Args:
        session: Which messages to write.
        paths: Files, folders, globs, or ``-`` for stdin.
        from_file: File with more of them, or ``-``; None names none.
        shard: The share of the images to read; None is all.
        format_: A name of `exprocr.choices.FORMATS`; None picks one.
        output: File to write to; None is stdout.
        min_confidence: Readings with less are rejected; None rejects none.
        only_wrong: Write only readings that do not hold or are unsure.
        **options: Arguments of `Recognizer.load`.
    """
    format_ = pick_format(format_, output)
    listed = listed_paths(from_file) if from_file is not None else []
    inputs, missing, num_bad = find_inputs([*paths, *listed], session, shard)
    if format_ == "contest":
        check_contest_numbers(item.path for item in inputs)
        known = {contest_number(item.path) for item in inputs}
        missing = [p for p in filter(is_contest_number, missing) if contest_number(p) not in known]
    counts = _Counts()
    if inputs or (shard and not num_bad):  # an empty share has an output too
        recognizer = Recognizer.load(**options)
        note_remark(session, recognizer)
        name = options["model"] or "the model that comes with exprocr"
        session.detail(_describe(name, recognizer))
        extras = Extras(
            min_confidence=min_confidence, only_wrong=only_wrong, num_best=options["n_best"]
        )
        started = time.perf_counter()
        counts = _write(recognizer, inputs, missing, extras, session, format_, output)
        if format_ == "table" or output is not None:
            session.note(_summary(counts, time.perf_counter() - started, name, output))
        note_unproven(session, recognizer.decoder, counts.num_unproven)
    if counts.num_rejected:
        session.report(
            f"exprocr: {counts.num_rejected:,} of {quantity(counts.num_read, 'reading')} rejected: "
            f"below --min-confidence {min_confidence}"
        )
    num_listed = counts.num_wrong + counts.num_unsure
    if only_wrong and counts.num_read:
        tell = session.report if num_listed else session.note
        tell(
            f"exprocr: {counts.num_wrong:,} of {quantity(counts.num_read, 'reading')} wrong, "
            f"{counts.num_unsure:,} unsure"
        )
    if num_bad or counts.num_unread:
        return BAD_INPUT
    return BELOW_BAR if counts.num_rejected or num_listed else 0


def _describe(name: str, recognizer: Recognizer) -> str:
    """Return what reads the images, in one line."""
    decoder = recognizer.decoder
    return (
        f"{name}: characters {recognizer.charset.characters}, grammar {decoder.grammar}, decoder "
        f"{decoder}, temperature {decoder.temperature:.3f}, {recognizer.engine}"
    )


def _summary(counts: _Counts, seconds: float, name: str, output: str | None) -> str:
    """Return what was read, in one line."""
    return (
        f"Read {quantity(counts.num_read, 'image')} in {format_duration(seconds)} "
        f"({format_rate(counts.num_read, seconds)} per second) with {name}."
        + (f" Written to {output}." if output is not None else "")
    )


def _write(
    recognizer: Recognizer,
    inputs: list[Input],
    missing: list[str],
    extras: Extras,
    session: Session,
    format_: str,
    output: str | None,
) -> _Counts:
    """Read the images and write what is in them."""
    counts = _Counts()
    # Lines that appear one by one on the terminal are progress enough.
    streaming = output is None and format_ != "table" and sys.stdout.isatty()
    with_bar = len(inputs) > MANY and not streaming
    opened = nullcontext(sys.stdout) if output is None else open_lines(Path(output), session)
    with (
        opened as stream,
        # Closed after an interrupt too, which writes tables and the contest's lines.
        closing(prediction_writer(format_, stream, extras)) as writer,
        progress(
            session if with_bar else Session(quiet=True), len(inputs), description="predict"
        ) as bar,
    ):
        for path in missing:
            writer.skip(path)
        results = recognizer.stream(item.source for item in inputs)
        for item, result in zip(inputs, results, strict=True):
            if isinstance(result, ImageError):
                session.problem(str(result))
                writer.skip(item.path)
                counts.num_unread += 1
            else:
                note_frames(session, result)
                if not extras.leaves_out(result):
                    writer.write(replace(result, path=item.path))
                counts.add(result, extras)
            bar.update()
    return counts
