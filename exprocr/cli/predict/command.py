"""``exprocr predict``: read expressions in images."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from exprocr.cli.options import (
    BAD_INPUT,
    BELOW_BAR,
    FORMATS,
    MAX_NUM_BEST,
    FiniteRange,
    Session,
    check_decoder,
    decoder_options,
    model_option,
    pass_session,
    reading_options,
)
from exprocr.cli.predict.inputs import Input, check_contest_numbers, find_inputs, is_contest_number
from exprocr.errors import ImageError

if TYPE_CHECKING:
    from exprocr.cli.predict.readings import Extras, PredictionWriter
    from exprocr.core.reading.prediction import Prediction
    from exprocr.core.reading.recognizer import Recognizer

MANY = 200
"""Above this many images there is a progress bar."""


@dataclass
class _Counts:
    """What became of the images."""

    num_read: int = 0
    num_unread: int = 0
    num_unproven: int = 0
    num_rejected: int = 0

    def add(self, prediction: Prediction, extras: Extras) -> None:
        """Count a reading."""
        self.num_read += 1
        self.num_unproven += not prediction.is_proven
        self.num_rejected += extras.rejects(prediction)


@click.command(
    epilog="\b\nExamples:\n"
    "  exprocr predict img.png\n"
    "  exprocr predict images/ --output readings.csv\n"
    "  cat img.png | exprocr predict -"
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@model_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="table, tab- or comma-separated lines, JSON Lines, or the contest's EXPR VALUE with "
    "the image's number as line number.  [default: by the name of --output; table on a terminal; "
    "else tsv]",
)
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="Write to a file.")
@click.option(
    "--min-confidence",
    type=FiniteRange(0, 1),
    metavar="P",
    help="Mark readings with less confidence as rejected; exit with 3 if there are any.",
)
@click.option(
    "--n-best",
    type=click.IntRange(1, MAX_NUM_BEST),
    metavar="K",
    default=1,
    show_default=True,
    help="Give the K most probable texts (or values), with their probabilities.",
)
@decoder_options
@reading_options
@pass_session
@click.pass_context
def predict(
    ctx: click.Context,
    session: Session,
    /,
    paths: tuple[str, ...],
    format_: str | None,
    output: str | None,
    min_confidence: float | None,
    **options: Any,
) -> None:
    """Read expressions in images: files, folders, globs, or - for one image on stdin.

    Gives the path, the expression, its value and the confidence, 0 to 1. The value is an integer
    or p/q, and empty where the text is no expression or divides by zero; in JSON an integer is a
    number, p/q a string, and none is null. An image that cannot be read is reported, the others
    are still read, and the exit code is 1.
    """
    from exprocr.cli.output import note_remark, note_unproven
    from exprocr.cli.predict.readings import Extras, pick_format
    from exprocr.core.reading.recognizer import Recognizer
    from exprocr.words import quantity

    # The options that are not named above are those of `Recognizer.load`.
    check_decoder(options["decoder"], by_value=options["by_value"], num_best=options["n_best"])
    format_ = pick_format(format_, output)
    inputs, missing, num_bad = find_inputs(paths, session)
    if format_ == "contest":
        check_contest_numbers(inputs)
        missing = list(filter(is_contest_number, missing))
    counts = _Counts()
    if inputs:
        recognizer = Recognizer.load(**options)
        note_remark(session, recognizer)
        name = options["model"] or "the model that comes with exprocr"
        session.detail(_describe(name, recognizer))
        extras = Extras(min_confidence=min_confidence, num_best=options["n_best"])
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
    if num_bad or counts.num_unread:
        ctx.exit(BAD_INPUT)
    if counts.num_rejected:
        ctx.exit(BELOW_BAR)


def _describe(name: str, recognizer: Recognizer) -> str:
    """Say in one line what reads the images."""
    from exprocr.cli.output import describe_decoder

    decoder = recognizer.decoder
    return (
        f"{name}: characters {recognizer.charset.characters}, grammar {decoder.grammar}, decoder "
        f"{describe_decoder(decoder)}, temperature {decoder.temperature:.3f}, {recognizer.engine}"
    )


def _summary(counts: _Counts, seconds: float, name: str, output: str | None) -> str:
    """Say in one line what was read."""
    from exprocr.words import format_duration, format_rate, quantity

    return (
        f"Read {quantity(counts.num_read, 'image')} in {format_duration(seconds)} "
        f"({format_rate(counts.num_read, seconds)} a second) with {name}."
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
    from exprocr.cli.predict.readings import prediction_writer

    with _open_output(output, session) as stream:
        writer = prediction_writer(format_, stream, extras)
        # Lines that come one by one on the terminal are progress enough.
        streaming = output is None and format_ != "table" and sys.stdout.isatty()
        for path in missing:
            writer.skip(path)
        return _read(recognizer, inputs, writer, extras, session, bar=not streaming)


def _read(
    recognizer: Recognizer,
    inputs: list[Input],
    writer: PredictionWriter,
    extras: Extras,
    session: Session,
    *,
    bar: bool,
) -> _Counts:
    """Give the readings of the images to a writer, and count them."""
    from contextlib import closing
    from dataclasses import replace

    from exprocr.cli.output import progress

    counts = _Counts()
    shown = session if bar and len(inputs) > MANY else Session(quiet=True)
    results = recognizer.stream(item.source for item in inputs)
    # Closed after an interrupt too: tables and the contest's lines are only written then.
    with (
        closing(writer),
        progress(shown, len(inputs), description="predict") as tally,
    ):
        for item, result in zip(inputs, results, strict=True):
            if isinstance(result, ImageError):
                session.problem(str(result))
                writer.skip(item.path)
                counts.num_unread += 1
            else:
                writer.write(replace(result, path=item.path))
                counts.add(result, extras)
            tally.update()
    return counts


def _open_output(output: str | None, session: Session) -> AbstractContextManager[TextIO]:
    """Open the output file, moved into place at the end; stdout if None."""
    from exprocr.cli.predict.partial import open_lines

    return nullcontext(sys.stdout) if output is None else open_lines(Path(output), session)
