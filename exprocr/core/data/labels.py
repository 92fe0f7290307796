"""Label files, joined with their pictures: ``labels.txt``, and tables in CSV, TSV, JSON Lines.

All are UTF-8, with or without a byte-order mark, with either line end; blank lines at the end of
the file are ignored. A label's expression holds no white space; its value, where it has one, is an
integer or ``p/q``.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from exprocr.core.text.expression import format_value, value_of
from exprocr.errors import DataError
from exprocr.words import first_few, quoted

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")

_COLUMNS = ("image", "text")
_VALUE = re.compile(r"-?[0-9]{1,1000}(/[0-9]{1,1000})?")


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and its label."""

    path: Path
    """The picture's file."""

    text: str
    """The expression; never empty and without white space."""

    where: str
    """Where the label stands: ``data/labels.txt, line 12``."""

    value: Fraction | None = None
    """The value the label gives, right or wrong; None if it gives none."""


class Label(NamedTuple):
    """One label, as its file has it."""

    line: int
    """Its line, from 1."""

    image: str
    """The image: its path below the file's folder (tables), or its stem (``.txt``)."""

    text: str
    """The expression, not empty."""

    value: Fraction | None
    """The value given with it, right or wrong; None if none is given."""


def is_table(file: Path) -> bool:
    """Say whether a label file names its images itself."""
    return file.suffix.lower() in TABLE_SUFFIXES


def read_labels(file: Path) -> Iterator[Label]:
    """Read a label file.

    Args:
        file: A ``.csv``, ``.tsv`` or ``.jsonl`` with ``image``, ``text`` and optionally ``value``;
            anything else is taken as ``labels.txt``: line i (0-based) belongs to the image whose
            stem is i, and holds the expression, optionally one space and its value.

    Yields:
        The labels, in the order of the file.

    Raises:
        DataError: The file is not UTF-8, a column is missing, or a label is malformed; the
            message names the line.
        OSError: The file cannot be read.
    """
    lines = _read_lines(file)
    if not is_table(file):
        yield from _contest_labels(file, lines)
        return
    if file.suffix.lower() == ".jsonl":
        rows = _json_rows(file, lines)
    else:
        rows = _csv_rows(file, lines, "\t" if file.suffix.lower() == ".tsv" else ",")
    for number, row in rows:
        where = f"{file}, line {number}"
        image, text, value = row["image"], row["text"], row.get("value")
        if not isinstance(image, str) or not image:
            raise DataError(f"{where}: image: expected a path, found {quoted(image)}")
        if not isinstance(text, str) or not text or not _is_plain(text):
            raise DataError(
                f"{where}: text: expected an expression without white space, found {quoted(text)}"
            )
        yield Label(number, image, text, _parse_value(value, where))


def _read_lines(file: Path) -> list[str]:
    """Decode a file into lines, without their ends and without blank lines at its end."""
    try:
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{file}, line {line}: expected UTF-8, found {found}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _contest_labels(file: Path, lines: list[str]) -> Iterator[Label]:
    for index, line in enumerate(lines):
        where = f"{file}, line {index + 1}"
        if not line.strip():
            raise DataError(f"{where}: expected an expression, found an empty line")
        text, space, value = line.partition(" ")
        if not text or not _is_plain(text + value) or (space and not value):
            raise DataError(
                f"{where}: expected an expression without white space, optionally one space and "
                f"its value, found {quoted(line)}"
            )
        yield Label(index + 1, str(index), text, _parse_value(value, where))


def _csv_rows(
    file: Path, lines: list[str], delimiter: str
) -> Iterator[tuple[int, dict[str, object]]]:
    # With line ends, so that one inside quotes is seen as white space.
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        _check_columns(header, f"{file}, line 1")
        for row in reader:
            if len(row) != len(header):
                found = str(len(row)) if row else "an empty line"
                raise DataError(
                    f"{file}, line {reader.line_num}: expected {len(header)} columns, found {found}"
                )
            yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise DataError(
            f"{file}, line {reader.line_num}: expected a row of a table, found: {error}"
        ) from None


def _json_rows(file: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in enumerate(lines, start=1):
        where = f"{file}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected a JSON object, found {quoted(line)}")
        _check_columns(row, where)
        yield number, row


def _check_columns(names: Iterable[str], where: str) -> None:
    names = list(names)
    for column in _COLUMNS:
        if column not in names:
            found = quoted(", ".join(names)) if names else "none"
            raise DataError(f"{where}: expected a column {column!r}, found {found}")


def _parse_value(value: object, where: str) -> Fraction | None:
    """Read the value of a label; an empty one (JSON: null) is none."""
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


def _is_plain(text: str) -> bool:
    """Say whether a text has neither white space nor other unprintable characters."""
    return text.isprintable() and " " not in text


def read_samples(folder: Path, file: Path, warnings: list[str]) -> list[Sample]:
    """Read a label file and join it with its pictures; none is opened.

    Args:
        folder: Where the pictures are.
        file: The label file, see `read_labels`.
        warnings: Gets a line for values that are not their expression's, one for labels without
            a picture, and, unless the file is a table, one for pictures without a label.

    Raises:
        DataError: A label is malformed, there is none, or more than half lack their counterpart.
        OSError: The file or the folder cannot be read.
    """
    labels = list(read_labels(file))
    if not labels:
        raise DataError(f"{file}: expected labels, found none")
    wrong = [
        f"line {line}: {text} is {format_value(value_of(text)) or 'without a value'}, not {value}"
        for line, _, text, value in labels
        if value is not None and value != value_of(text)
    ]
    if wrong:
        warnings.append(
            f"{file}: {len(wrong)} of {len(labels)} values are not their expression's: "
            + first_few(wrong, "; ")
        )
    table = is_table(file)
    images = {} if table else _images_by_stem(folder)
    num_images = len(images)
    samples, missing = [], []
    for line, image, text, value in labels:
        name = image if table else images.pop(image, f"{image}.png")
        path = folder / name
        # isfile, not Path.is_file, which raises for a name that is too long.
        if os.path.isfile(path):
            samples.append(Sample(path, text, f"{file}, line {line}", value))
        else:
            missing.append(name)
    unlabeled = sorted(images.values(), key=lambda name: (len(name), name))
    _report(file, "labels have no image", missing, len(labels), warnings)
    _report(folder, "images have no label", unlabeled, num_images, warnings)
    return samples


def _images_by_stem(folder: Path) -> dict[str, str]:
    """Map the stem of each image of a folder to its file name."""
    images: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() not in IMAGE_SUFFIXES or stem[0] == "." or not entry.is_file():
                continue
            if other := images.get(stem):
                both = " and ".join(sorted((other, entry.name)))
                raise DataError(f"{folder}: expected one image called {stem}, found {both}")
            images[stem] = entry.name
    return images


def _report(place: Path, what: str, names: Sequence[str], total: int, warnings: list[str]) -> None:
    """Warn of what is missing, or raise if it is more than half of the total."""
    if not names:
        return
    found = f"{len(names)} of {total} {what}: {first_few(names)}"
    if 2 * len(names) > total:
        raise DataError(f"{place}: expected at most half missing; {found}")
    warnings.append(f"{place}: {found}")
