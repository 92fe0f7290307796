"""Tables: CSV, TSV or JSON Lines with ``image``, ``text`` and, optionally, ``value``.

The paths of the images start from the table's folder, or from another one that the user names. The
path of a data set is the table, or a folder with a table called ``labels``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from exprocr.core.data.labels import (
    Label,
    LabelFile,
    Layout,
    Sample,
    check_labels,
    check_text,
    join,
    parse_value,
    read_lines,
)
from exprocr.errors import DataError
from exprocr.words import quoted

SUFFIXES = (".csv", ".tsv", ".jsonl")

_COLUMNS = ("image", "text")


def find(path: Path) -> Layout | None:
    """Return a table, or the first one in a folder; None if there is none."""
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        description = f"table {path.name} with image and text"
        return Layout(description, {"all": LabelFile(path, path.parent, read)})
    for suffix in SUFFIXES:
        if (file := path / f"labels{suffix}").is_file():
            description = f"one folder, labels in {file.name}"
            return Layout(description, {"all": LabelFile(file, path, read)})
    return None


def read(source: LabelFile, warnings: list[str]) -> list[Sample]:
    """Read the labels and join them with their images; no image is opened.

    Args:
        source: The table, and the folder that the paths of the images start from.
        warnings: Receives one line for wrong values and one for labels without an image.

    Raises:
        DataError: The table is malformed, there is no label, a path leads out of the folder, or
            more than half of the labels have no image.
        OSError: The file cannot be read.
    """
    return join(source, check_labels(source, parse(source.file), warnings), warnings)


def parse(file: Path) -> Iterator[Label]:
    """Yield the labels of a table, each with its path as it is written.

    Raises:
        DataError: The table is malformed.
        OSError: The file cannot be read.
    """
    suffix = file.suffix.lower()
    if suffix == ".jsonl":
        rows = _json_rows(file, read_lines(file))
    else:
        lines = read_lines(file, keep_returns=True)
        rows = _csv_rows(file, lines, "\t" if suffix == ".tsv" else ",")
    for number, row in rows:
        where = f"{file}, line {number}"
        image, text, value = row["image"], row["text"], row.get("value")
        if not isinstance(image, str) or not image:
            raise DataError(f"{where}: image: expected a path, found {quoted(image)}")
        yield Label(number, image, check_text(text, where), parse_value(value, where))


def _csv_rows(
    file: Path, lines: Iterable[str], delimiter: str
) -> Iterator[tuple[int, dict[str, object]]]:
    # The line ends are kept, so that one inside quotes is found as white space.
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


def _json_rows(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, object]]]:
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
