"""What ``exprocr predict`` does: find the images, read them, write the readings, count them."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click

from exprocr.cli.inputs import Input, find_inputs, listed_paths
from exprocr.cli.options import BAD_INPUT, BELOW_BAR, Session
from exprocr.cli.output import note_frames, note_remark, note_unproven, progress
from exprocr.cli.predict.counts import Counts
from exprocr.cli.predict.formats import (
    Extras,
    check_contest_numbers,
    contest_number,
    is_contest_number,
    pick_format,
    prediction_writer,
)
from exprocr.cli.predict.partial import Lines, open_lines
from exprocr.cli.predict.resume import describe_run, take_up
from exprocr.cli.shard import Shard
from exprocr.core.reading.recognizer import Recognizer
from exprocr.errors import ImageError
from exprocr.words import format_duration, format_rate, quantity

MANY = 200
"""Above this many images there is a progress bar."""


def run(
    session: Session,
    *,
    paths: tuple[str, ...],
    from_file: str | None,
    shard: Shard | None,
    format_: str | None,
    output: str | None,
    resume: bool,
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
        resume: Keep what an earlier run to the same file has read.
        min_confidence: Readings with less are rejected; None rejects none.
        only_wrong: Write only readings that do not hold or are unsure.
        **options: Arguments of `Recognizer.load`.
    """
    format_ = pick_format(format_, output)
    if resume and (output is None or format_ != "json"):
        found = "standard output" if output is None else f"--format {format_}"
        raise click.UsageError(
            f"--resume expects --output FILE in JSON Lines, such as readings.jsonl, found {found}."
        )
    listed = listed_paths(from_file) if from_file is not None else []
    inputs, missing, num_bad = find_inputs([*paths, *listed], session, shard)
    if format_ == "contest":
        check_contest_numbers(item.path for item in inputs)
        known = {contest_number(item.path) for item in inputs}
        missing = [p for p in filter(is_contest_number, missing) if contest_number(p) not in known]
    counts = Counts()
    if inputs or (shard and not num_bad):  # an empty share has an output too
        recognizer = Recognizer.load(**options)
        note_remark(session, recognizer)
        name = options["model"] or "the bundled model"
        session.detail(_describe(name, recognizer))
        extras = Extras(
            min_confidence=min_confidence, only_wrong=only_wrong, num_best=options["n_best"]
        )
        started = time.perf_counter()
        opened: AbstractContextManager[TextIO] = nullcontext(sys.stdout)
        if output is not None:
            made_with = None
            if format_ == "json" and not only_wrong:  # then each reading has a line that tells all
                made_with = describe_run(recognizer, options["model"], extras)
            opened = open_lines(Path(output), session, made_with, resume=resume)
        # Lines that appear one by one on the terminal are progress enough.
        streaming = output is None and format_ != "table" and sys.stdout.isatty()
        with_bar = len(inputs) > MANY and not streaming
        with opened as stream:
            counts = _write(recognizer, inputs, missing, extras, session, format_, stream, with_bar)
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


def _summary(counts: Counts, seconds: float, name: str, output: str | None) -> str:
    """Return what was read, in one line."""
    num_read = counts.num_read - counts.num_kept
    return (
        f"Read {quantity(num_read, 'image')} in {format_duration(seconds)} "
        f"({format_rate(num_read, seconds)} per second) with {name}."
        + (f" Written to {output}." if output is not None else "")
    )


def _write(
    recognizer: Recognizer,
    inputs: list[Input],
    missing: list[str],
    extras: Extras,
    session: Session,
    format_: str,
    stream: TextIO,
    with_bar: bool,
) -> Counts:
    """Read the images and write what is in them."""
    done, counts = 0, Counts()
    if isinstance(stream, Lines) and stream.earlier:
        done, counts = take_up(stream.earlier, inputs, recognizer, session)
        session.note(f"{quantity(counts.num_kept, 'reading')} of an earlier run are kept")
    with (
        # Closed after an interrupt too, which writes tables and the contest's lines.
        closing(prediction_writer(format_, stream, extras)) as writer,
        progress(
            session if with_bar else Session(quiet=True), len(inputs), description="predict"
        ) as bar,
    ):
        bar.update(done)
        for path in missing:
            writer.skip(path)
        left = inputs[done:]
        results = recognizer.stream(item.source for item in left)
        for item, result in zip(left, results, strict=True):
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
