"""What ``exprocr predict`` reads: images from files, folders, globs and standard input."""

from __future__ import annotations

import glob
import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from exprocr.cli.options import Session
from exprocr.errors import DataError, ImageError

STDIN = "-"
MAX_STDIN_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Input:
    """One image to read."""

    path: str
    """What results call it."""

    source: str | BinaryIO
    """What it is read from."""


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
    from exprocr.core.data.labels import IMAGE_SUFFIXES

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
    from exprocr.cli.predict.readings import contest_number

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
    from exprocr.cli.predict.readings import contest_number

    seen: dict[int, str] = {}
    for item in inputs:
        first = seen.setdefault(contest_number(item.path), item.path)
        if first is not item.path:
            raise DataError(
                f"{item.path}: the contest format expects a number once, found it in {first} too"
            )
