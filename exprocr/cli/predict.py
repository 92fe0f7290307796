"""``exprocr predict``: read expressions in images."""

from __future__ import annotations

import glob
import io
import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import click

from exprocr.cli.options import (
    BAD_INPUT,
    FORMATS,
    Session,
    compute_options,
    decoder_options,
    model_option,
    pass_session,
)
from exprocr.errors import DataError, ImageError

if TYPE_CHECKING:
    from exprocr.cli.output import PredictionWriter
    from exprocr.core.recognizer import Recognizer

STDIN = "-"
MAX_STDIN_BYTES = 256 * 2**20
MANY = 200
"""Above this many images there is a progress bar."""


@dataclass(frozen=True)
class Input:
    """One image to read."""

    path: str
    """What results call it."""

    source: str | BinaryIO
    """What it is read from."""


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
@decoder_options
@compute_options
@pass_session
@click.pass_context
def predict(
    ctx: click.Context,
    session: Session,
    paths: tuple[str, ...],
    model: str | None,
    format_: str | None,
    output: str | None,
    decoder: str,
    beam_width: int,
    device: str,
    threads: int | None,
) -> None:
    """Read expressions in images: files, folders, globs, or - for one image on stdin.

    Gives the path, the expression, its value and the confidence, 0 to 1. The value is an integer
    or p/q, and empty where the text is no expression or divides by zero; in JSON an integer is a
    number, p/q a string, and none is null. An image that cannot be read is reported, the others
    are still read, and the exit code is 1.
    """
    from exprocr.cli import output as out
    from exprocr.core.recognizer import Recognizer

    format_ = out.pick_format(format_, output)
    inputs, missing, num_bad = find_inputs(paths, session)
    if format_ == "contest":
        check_contest_numbers(inputs)
        missing = list(filter(is_contest_number, missing))
    if inputs:
        recognizer = Recognizer.load(
            model, device=device, threads=threads, decoder=decoder, beam_width=beam_width
        )
        start, name = time.perf_counter(), model or "the model that comes with exprocr"
        session.detail(_describe(name, recognizer))
        with _open_output(output, session) as stream:
            writer = out.prediction_writer(format_, stream)
            # Lines that come one by one on the terminal are progress enough.
            streaming = output is None and format_ != "table" and sys.stdout.isatty()
            for path in missing:
                writer.skip(path)
            num_unread = _read(recognizer, inputs, writer, session, bar=not streaming)
        num_bad += num_unread
        if format_ == "table" or output is not None:
            seconds, num_read = time.perf_counter() - start, len(inputs) - num_unread
            session.note(
                f"Read {out.quantity(num_read, 'image')} in {out.format_duration(seconds)} "
                f"({out.format_rate(num_read, seconds)} a second) with {name}."
                + (f" Written to {output}." if output is not None else "")
            )
    if num_bad:
        ctx.exit(BAD_INPUT)


def _describe(name: str, recognizer: Recognizer) -> str:
    """Say in one line what reads the images."""
    beam = f" of width {recognizer.beam_width}" if recognizer.decoder == "beam" else ""
    return (
        f"{name}: characters {recognizer.charset.characters}, decoder {recognizer.decoder}{beam}, "
        f"{recognizer.engine}"
    )


def _read(
    recognizer: Recognizer,
    inputs: list[Input],
    writer: PredictionWriter,
    session: Session,
    *,
    bar: bool,
) -> int:
    """Read the images and write what is in them; return how many could not be read."""
    from contextlib import closing
    from dataclasses import replace

    from exprocr.cli.output import progress

    num_unread = 0
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
                num_unread += 1
            else:
                writer.write(replace(result, path=item.path))
            tally.update()
    return num_unread


def _open_output(output: str | None, session: Session) -> AbstractContextManager[TextIO]:
    """Open the output file, moved into place at the end; stdout if None."""
    from exprocr.cli.partial import open_lines

    return nullcontext(sys.stdout) if output is None else open_lines(Path(output), session)


def find_inputs(paths: Sequence[str], session: Session) -> tuple[list[Input], list[str], int]:
    """Find the images of paths, folders, globs and stdin.

    Returns:
        The images in the order given, a folder's and a glob's in numeric order; the files that
        are missing; and the number of paths that were reported because there is nothing to read
        at them, the missing ones among them.
    """
    inputs: list[Input] = []
    missing: list[str] = []
    num_bad = 0
    for path in paths:
        try:
            inputs += _expand(path)
        except (DataError, ImageError) as error:
            session.problem(str(error))
            num_bad += 1
            if isinstance(error, ImageError) and path != STDIN:
                missing.append(path)
    return inputs, missing, num_bad


def _expand(path: str) -> list[Input]:
    if path == STDIN:
        return [Input(STDIN, read_stdin())]
    if os.path.isdir(path):
        return _images_in(path)
    if os.path.lexists(path):  # even if its name looks like a pattern
        return [Input(path, path)]
    if not glob.has_magic(path):
        raise ImageError(f"{path}: expected a picture, found no such file")
    matches = sorted(glob.glob(path, recursive=True), key=numeric_order)
    if not matches:
        raise DataError(f"{path}: expected a pattern that matches files, found no match")
    inputs: list[Input] = []
    for match in matches:
        inputs += _images_in(match) if os.path.isdir(match) else [Input(match, match)]
    return inputs


def _images_in(folder: str) -> list[Input]:
    """List the images directly inside a folder, by their suffixes."""
    from exprocr.core.labels import IMAGE_SUFFIXES

    try:
        names = os.listdir(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
    images = [n for n in names if n.lower().endswith(IMAGE_SUFFIXES) and not n.startswith(".")]
    if not images:
        found = f"{len(names)} other entries" if names else "an empty folder"
        raise DataError(
            f"{folder}: expected images directly inside ({' '.join(IMAGE_SUFFIXES)}), found {found}"
        )
    paths = [os.path.join(folder, name) for name in sorted(images, key=numeric_order)]
    return [Input(path, path) for path in paths]


def read_stdin() -> BinaryIO:
    """Read the one image on stdin.

    Raises:
        ImageError: There is nothing, or more than `MAX_STDIN_BYTES`.
    """

    class Stdin(io.BytesIO):
        name = "standard input"  # what messages call it

    content = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1) if sys.stdin else b""
    if not content:
        raise ImageError("standard input: expected a picture, found nothing")
    if len(content) > MAX_STDIN_BYTES:
        raise ImageError(
            f"standard input: expected a picture of at most {MAX_STDIN_BYTES // 2**20} MB, "
            "found more"
        )
    return Stdin(content)


def numeric_order(name: str) -> list[str | int]:
    """Return a sort key that puts ``2.png`` before ``10.png``."""
    parts = re.split("([0-9]+)", name)  # text and number by turns
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def is_contest_number(path: str) -> bool:
    """Say whether the contest format has a line for a file of this name."""
    from exprocr.cli.output import contest_number

    try:
        contest_number(path)
    except DataError:
        return False
    return True


def check_contest_numbers(inputs: Sequence[Input]) -> None:
    """Check that every image has a number of its own.

    Raises:
        DataError: A file's name is no number, or two have the same.
    """
    from exprocr.cli.output import contest_number

    seen: dict[int, str] = {}
    for item in inputs:
        first = seen.setdefault(contest_number(item.path), item.path)
        if first is not item.path:
            raise DataError(
                f"{item.path}: the contest format expects a number once, found it in {first} too"
            )
