"""Tables: CSV, TSV or JSON Lines with a picture and a text in each row and, optionally, a value.

The paths of the images start from the table's folder, or from another one that the user names. The
path of a data set is the table, or a folder with a table called ``labels`` or, as Hugging Face
calls it, ``metadata``.

The columns are ``image``, ``text`` and ``value``, or what other tools call them, in capitals or
not. A CSV or TSV without a header is a table if its first row begins with the name of an image. Its
cells may be separated by commas, semicolons or tabs, whatever the name of the file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from exprocr.core.data.columns import IMAGE_COLUMNS, TEXT_COLUMNS, named_column
from exprocr.core.data.labels import (
    IMAGE_SUFFIXES,
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

FILE_NAMES = tuple(f"{stem}{suffix}" for stem in ("labels", "metadata") for suffix in SUFFIXES)
"""Tables that are looked for in a folder, in this order."""

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

_UNNAMED = ("image", "text", "value")


class Columns(NamedTuple):
    """The names of the columns of a table, as they are written there."""

    image: str
    text: str
    value: str | None
    """None where there is none."""


def find(path: Path) -> Layout | None:
    """Return a table, or the first one in a folder; None if there is none."""
    if path.is_file():
        return of_file(path) if path.suffix.lower() in SUFFIXES else None
    found = [name for name in FILE_NAMES if (path / name).is_file()]
    if not found:
        return None
    labels = LabelFile(path / found[0], path, read, has_paths=True)
    return Layout(f"one folder, labels in {found[0]}", {"all": labels}, tuple(found[1:]))


def of_file(path: Path) -> Layout:
    """Return the layout of a file that is a table, whatever its name."""
    description = f"table {path.name} with image and text"
    return Layout(description, {"all": LabelFile(path, path.parent, read, has_paths=True)})


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
    labels = parse(source.file, source.note)
    return join(source, check_labels(source, labels, warnings), warnings)


def parse(file: Path, note: Callable[[str], object] = str) -> Iterator[Label]:
    """Yield the labels of a table, each with its path as it is written.

    Args:
        file: The table.
        note: Is told what is unusual in how it is written.

    Raises:
        DataError: The table is malformed.
        OSError: The file cannot be read.
    """
    suffix = file.suffix.lower()
    if suffix == ".jsonl":
        rows = _json_rows(file, read_lines(file, note=note))
    else:
        lines = read_lines(file, keep_returns=True, note=note)
        rows = _csv_rows(file, lines, "\t" if suffix == ".tsv" else ",", note)
    names: list[str] | None = None
    for number, row in rows:
        where = f"{file}, line {number}"
        if names != list(row):
            columns = _columns(names := list(row), where)
            if columns[:2] != ("image", "text"):
                note(f"columns {quoted(columns.image)} and {quoted(columns.text)}")
        image, text = row[columns.image], row[columns.text]
        value = row[columns.value] if columns.value is not None else None
        if isinstance(value, str):
            value = value.strip()
        if not isinstance(image, str) or not image:
            raise DataError(f"{where}: image: expected a path, found {quoted(image)}")
        text = text if isinstance(text, str) else check_text(text, where)  # which it is not
        yield Label(where, image, text, parse_value(value, where))


def _csv_rows(
    file: Path, lines: Iterable[str], usual: str, note: Callable[[str], object]
) -> Iterator[tuple[int, dict[str, object]]]:
    lines = iter(lines)
    first = next(lines, "")
    separator = _separator(first, usual)
    if separator != usual:
        note(f"separated by {_SEPARATORS[separator]}")

    # The line ends are kept, so that one inside quotes is found as white space.
    def with_ends() -> Iterator[str]:
        yield f"{first}\n"
        for line in lines:
            yield f"{line}\n"

    reader = csv.reader(with_ends(), delimiter=separator, strict=True)
    try:
        header = next(reader, [])
        if _is_row(header):
            note(f"without a header, read as {', '.join(_UNNAMED[: len(header)])}")
            yield reader.line_num, dict(zip(_UNNAMED, header, strict=False))
            header = list(_UNNAMED[: len(header)])
        else:
            header = [name.strip() for name in header]
            _columns(header, f"{file}, line 1")
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


def _separator(first: str, usual: str) -> str:
    """Return what separates the cells of a table's first line; the usual one if none fits."""
    for separator in (usual, *_SEPARATORS):
        try:
            cells = next(csv.reader([first], delimiter=separator), [])
        except csv.Error:
            continue
        names = [cell.strip() for cell in cells]
        if _is_row(cells) or (
            named_column(IMAGE_COLUMNS, names) and named_column(TEXT_COLUMNS, names)
        ):
            return separator
    return usual


def _is_row(cells: Sequence[str]) -> bool:
    """Return whether a first row is no header: the name of an image, a text and maybe a value."""
    return 2 <= len(cells) <= len(_UNNAMED) and cells[0].lower().endswith(IMAGE_SUFFIXES)


def _json_rows(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{file}, line {number}: expected a JSON object, found {quoted(line)}")
        yield number, row


def _columns(names: Sequence[str], where: str) -> Columns:
    """Return the columns of a table.

    Raises:
        DataError: There is none of the images, or none of the texts.
    """
    found = named_column(IMAGE_COLUMNS, names), named_column(TEXT_COLUMNS, names)
    for column, known in zip(found, (IMAGE_COLUMNS, TEXT_COLUMNS), strict=True):
        if column is None:
            written = quoted(", ".join(names)) if names else "none"
            raise DataError(
                f"{where}: expected a column {known[0]!r}, found {written} (other names that are "
                f"known: {', '.join(known[1:])})"
            )
    return Columns(str(found[0]), str(found[1]), named_column(("value",), names))
