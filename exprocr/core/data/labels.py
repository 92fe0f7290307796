"""Labels and their pictures, whatever the layout of the data set.

A label's expression holds no white space. Its value, if it has one, is an integer or ``p/q``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from exprocr.core.text.expression import format_value, value_of
from exprocr.errors import DataError
from exprocr.words import first_few, quoted

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

_VALUE = re.compile(r"-?[0-9]{1,1000}(/[0-9]{1,1000})?")


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and its label."""

    path: Path
    """The picture's file."""

    text: str
    """The expression; never empty and without white space."""

    where: str
    """Where the label is written: ``data/labels.txt, line 12``."""

    value: Fraction | None = None
    """The value in the label, right or wrong; None if there is none."""


class Label(NamedTuple):
    """One label, as written in its file."""

    line: int
    """Line number, from 1."""

    image: str
    """Path of the image, relative to the folder of the images."""

    text: str
    """The expression, not empty."""

    value: Fraction | None
    """The value written beside it, right or wrong; None if there is none."""


@dataclass(frozen=True, kw_only=True)
class TablePaths:
    """Where the paths of a table's pictures start, and whether they may lead elsewhere."""

    images: Path | None = None
    """The folder that they start from; None is the table's own."""

    allow_outside: bool = False
    """Whether they may be absolute, or leave that folder by ``..``."""


class LabelFile(NamedTuple):
    """A label file that a layout has found."""

    file: Path
    """The file."""

    folder: Path
    """The folder of its pictures."""

    read: Callable[[LabelFile, list[str]], list[Sample]]
    """Reads the samples; its arguments are this label file and a list for warnings."""

    allow_outside: bool = False
    """Whether pictures may lie outside `folder`."""


class Layout(NamedTuple):
    """A layout, found at a path."""

    description: str
    """One line for people."""

    parts: dict[str, LabelFile]
    """Either ``train`` and ``val``, or ``all``."""


def read_lines(file: Path, *, keep_returns: bool = False) -> list[str]:
    """Read the lines of a UTF-8 file, with or without a byte-order mark, with either line end.

    Args:
        file: The file.
        keep_returns: Keep the carriage return before a line feed, which may be within quotes.

    Returns:
        The lines without their ends; blank lines at the end of the file are left out.

    Raises:
        DataError: The file is not UTF-8.
        OSError: The file cannot be read.
    """
    try:
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{file}, line {line}: expected UTF-8, found {found}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return lines if keep_returns else [line.removesuffix("\r") for line in lines]


def is_plain(text: str) -> bool:
    """Return whether a text has neither white space nor other unprintable characters."""
    return text.isprintable() and " " not in text


def parse_value(value: object, where: str) -> Fraction | None:
    """Parse the value of a label; None and the empty string mean that there is none.

    Raises:
        DataError: It is neither an integer nor ``p/q``.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    if isinstance(value, str) and _VALUE.fullmatch(value):
        try:
            return Fraction(value)
        except ZeroDivisionError:
            pass
    raise DataError(f"{where}: value: expected an integer or a fraction p/q, found {quoted(value)}")


def check_labels(file: Path, labels: Iterable[Label], warnings: list[str]) -> list[Label]:
    """Return the labels of a file; warn of values that are not those of their expressions.

    Raises:
        DataError: There is no label.
    """
    labels = list(labels)
    if not labels:
        raise DataError(f"{file}: expected labels, found none")
    wrong = [
        f"line {line}: {text} is {format_value(value_of(text)) or 'without a value'}, not {value}"
        for line, _, text, value in labels
        if value is not None and value != value_of(text)
    ]
    if wrong:
        warnings.append(
            f"{file}: {len(wrong)} of {len(labels)} values are not those of their expressions: "
            + first_few(wrong, "; ")
        )
    return labels


def join(source: LabelFile, labels: Sequence[Label], warnings: list[str]) -> list[Sample]:
    """Join labels with their pictures, without opening any; warn of missing ones.

    Raises:
        DataError: A path leads out of the folder, or more than half of the pictures are missing.
    """
    file, folder = source.file, source.folder
    samples, missing = [], []
    for line, image, text, value in labels:
        if not source.allow_outside and _leads_out(image):
            raise DataError(
                f"{file}, line {line}: image: expected a path inside {folder}, found "
                f"{quoted(image)}; give --allow-outside if you trust this table"
            )
        path = folder / image
        # isfile, because Path.is_file raises an error if the name is too long.
        if os.path.isfile(path):
            samples.append(Sample(path, text, f"{file}, line {line}", value))
        else:
            missing.append(image)
    report_missing(file, "labels have no image", missing, len(labels), warnings)
    return samples


def _leads_out(path: str) -> bool:
    """Return whether a path is absolute or climbs above its start; links are not looked at."""
    if path.startswith(("/", os.sep)) or os.path.splitdrive(path)[0]:
        return True
    return ".." in path and os.path.normpath(path).split(os.sep, 1)[0] == os.pardir


def report_missing(
    place: Path, what: str, names: Sequence[str], total: int, warnings: list[str]
) -> None:
    """Warn if something is missing.

    Raises:
        DataError: More than half of the total is missing.
    """
    if not names:
        return
    found = f"{len(names)} of {total} {what}: {first_few(names)}"
    if 2 * len(names) > total:
        raise DataError(f"{place}: expected at most half missing; {found}")
    warnings.append(f"{place}: {found}")
