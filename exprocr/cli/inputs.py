"""The images that a command is given: files, folders, globs and standard input."""

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
from exprocr.cli.shard import Shard
from exprocr.core.data.labels import IMAGE_SUFFIXES
from exprocr.core.system.limits import MAX_PICTURE_BYTES, MB
from exprocr.core.system.regular import read_regular
from exprocr.errors import DataError, ImageError

STDIN = "-"

_SEPARATORS = os.sep + (os.altsep or "")

MAX_LIST_BYTES = 100 * MB
"""Size of a list of paths."""


@dataclass(frozen=True)
class Input:
    """One image to read."""

    path: str
    """Its name in the results."""

    source: str | BinaryIO
    """The file, or what was on stdin."""

    below: str
    """Its path below the folder that was given, or below the folders that a glob begins with; the
    whole path of a file that was given itself."""


def listed_paths(file: str) -> list[str]:
    """Return the paths that a file lists, one a line; blank lines are left out.

    Args:
        file: The file, or ``-`` for stdin.

    Raises:
        DataError: It cannot be read, is larger than `MAX_LIST_BYTES`, or lists nothing.
    """
    name = "standard input" if file == STDIN else file
    try:
        if file == STDIN:
            content = _stdin(MAX_LIST_BYTES)
            if len(content) > MAX_LIST_BYTES:
                raise DataError(f"{name}: expected at most {MAX_LIST_BYTES // MB} MB, found more")
        else:
            content = read_regular(file, MAX_LIST_BYTES)
    except OSError as error:
        raise DataError(f"{name}: expected a list of paths, found: {error.strerror}") from None
    # A path is bytes to the system, whatever its encoding.
    lines = (os.fsdecode(line.removesuffix(b"\r")) for line in content.split(b"\n"))
    paths = [line for line in lines if line.strip()]
    if not paths:
        raise DataError(f"{name}: expected a list of paths, found none")
    return paths


def find_inputs(
    paths: Sequence[str], session: Session, shard: Shard | None = None
) -> tuple[list[Input], list[str], int]:
    """Find the images of paths, folders, globs and stdin.

    Args:
        paths: What was given.
        session: Where to report what nothing can be read from.
        shard: The share of the images to find; None is all. A missing file is in one share, a
            folder or glob without images in all of them.

    Returns:
        The images in the given order, with those of a folder or glob in numeric order; the files
        that are missing; and the number of paths that were reported because nothing can be read
        from them, including the missing files.
    """
    inputs: list[Input] = []
    missing: list[str] = []
    num_bad = 0
    for path in paths:
        try:
            found = _expand(path)
            inputs += [i for i in found if shard.holds(i.below)] if shard else found
        except (DataError, ImageError) as error:
            if shard and isinstance(error, ImageError) and not shard.holds(path):
                continue
            session.problem(str(error))
            num_bad += 1
            if isinstance(error, ImageError) and path != STDIN:
                missing.append(path)
    return inputs, missing, num_bad


def _expand(path: str) -> list[Input]:
    if path == STDIN:
        return [Input(STDIN, read_stdin(), STDIN)]
    if os.path.isdir(path):
        return _images_in(path)
    if os.path.lexists(path):  # even if its name looks like a pattern
        return [Input(path, path, path)]
    if not glob.has_magic(path):
        raise ImageError(f"{path}: expected a picture, found no such file")
    matches = sorted(glob.glob(path, recursive=True), key=numeric_order)
    if not matches:
        raise DataError(f"{path}: expected a pattern that matches files, found no match")
    folder = path
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    inputs: list[Input] = []
    for match in matches:
        below = match.removeprefix(folder).lstrip(_SEPARATORS)
        if os.path.isdir(match):
            inputs += _images_in(match, below)
        else:
            inputs.append(Input(match, match, below))
    return inputs


def _images_in(folder: str, below: str = "") -> list[Input]:
    """Return the images directly inside a folder, found by their suffixes.

    Args:
        folder: The folder.
        below: Its own path below the folders that a glob begins with.
    """
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
    inputs = []
    for name in sorted(images, key=numeric_order):
        path = os.path.join(folder, name)
        inputs.append(Input(path, path, os.path.join(below, name)))
    return inputs


def read_stdin() -> BinaryIO:
    """Read the one image on stdin.

    Raises:
        ImageError: There is nothing, or more than `MAX_PICTURE_BYTES`.
    """

    class Stdin(io.BytesIO):
        name = "standard input"  # what messages call it

    content = _stdin(MAX_PICTURE_BYTES)
    if not content:
        raise ImageError("standard input: expected a picture, found nothing")
    if len(content) > MAX_PICTURE_BYTES:
        raise ImageError(
            f"standard input: expected a picture of at most {MAX_PICTURE_BYTES // MB} MB, "
            "found more"
        )
    return Stdin(content)


def _stdin(most: int) -> bytes:
    """Return what is on stdin; one byte more than ``most`` if there is more."""
    return sys.stdin.buffer.read(most + 1) if sys.stdin else b""


def numeric_order(name: str) -> list[str | int]:
    """Return a sort key that puts ``2.png`` before ``10.png``."""
    parts = re.split("([0-9]+)", name)  # text, number, text, ..
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]
