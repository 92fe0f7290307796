"""Results for people and for programs: tables, progress, and the formats of readings.

The formats, one reading a line:

- ``tsv``: path, expression, value and confidence between tabs;
- ``csv``: the same with a header ``path,text,value,confidence``;
- ``json``: JSON Lines with these keys; the value is a number if it is an integer, a string ``p/q``
  if it is a fraction, null if there is none;
- ``contest``: ``EXPR VALUE``; the line number is the image's, an unreadable one has an empty line.

A value is an integer or ``p/q``, empty where the text is no expression or divides by zero.
Confidences have four decimals and are rounded down, so that 1.0000 is nothing less than
certainty; JSON has all decimals. Control characters in paths are escaped, except in CSV and JSON,
which quote.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from exprocr.cli.options import one_line
from exprocr.core.expression import format_value
from exprocr.errors import DataError

if TYPE_CHECKING:
    from tqdm import tqdm

    from exprocr.cli.options import Session
    from exprocr.core.recognizer import Prediction

FIELDS = ("path", "text", "value", "confidence")
MAX_CONTEST_NUMBER = 10_000_000
"""Numbers of images above this are a mistake; every number below one has a line."""

_FORMAT_BY_SUFFIX = {".tsv": "tsv", ".csv": "csv", ".json": "json", ".jsonl": "json"}


def pick_format(name: str | None, output: str | None) -> str:
    """Return a format: the named one, else the output file's, else what suits stdout."""
    if name is not None:
        return name
    if output is not None:
        return _FORMAT_BY_SUFFIX.get(PurePath(output).suffix.lower(), "tsv")
    return "table" if sys.stdout.isatty() else "tsv"


def format_confidence(confidence: float) -> str:
    """Write a probability with four decimals, rounded down."""
    return f"{math.floor(min(max(confidence, 0.0), 1.0) * 10_000) / 10_000:.4f}"


def json_value(value: Fraction | None) -> int | str | None:
    """Return a value as JSON has it: a number, ``"p/q"``, or None."""
    if value is None:
        return None
    return value.numerator if value.denominator == 1 else str(value)


def format_duration(seconds: float) -> str:
    """Write a time for people: ``0.42 s``, ``37 s``, ``4 min 05 s``, ``2 h 07 min``."""
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds >= 0.095 else f"{seconds:.2f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def format_rate(count: int, seconds: float) -> str:
    """Write ``count`` images in a time as images a second: ``8.1``, ``412``, ``1,250``."""
    rate = count / max(seconds, 1e-9)
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def quantity(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 image``, ``1,200 images``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def cell(content: object) -> Text:
    """Return a table cell of plain text: no markup, no control characters, folded, not cut."""
    # Lone surrogates stand for bytes of file names that are no text; a terminal cannot show them.
    shown = one_line(str(content)).encode("utf-8", "backslashreplace").decode()
    return Text(shown, overflow="fold")


def new_table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """Return an empty table.

    Args:
        columns: Headers; add rows with ``table.add_row(cell(...), ...)``.
        right: Headers of the columns set flush right, for numbers.
        title: A line above.
    """
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold")
    return table


def summary_table(rows: Sequence[tuple[str, object]], title: str | None = None) -> Table:
    """Return a table of names and what they are: the end of a command."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for name, content in rows:
        table.add_row(cell(name), cell(content))
    return table


def print_table(table: Table, stream: TextIO | None = None) -> None:
    """Print a table on stdout, or to another stream."""
    Console(file=stream or sys.stdout, highlight=False, emoji=False).print(table)


def progress(session: Session, total: int | None, *, description: str, unit: str = "img") -> tqdm:  # type: ignore[type-arg]
    """Return a tqdm bar on stderr: shown on a terminal only, and not if quiet.

    Use it in a ``with`` block and call ``update(n)``.
    """
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        file=sys.stderr,
        disable=True if session.quiet else None,
        dynamic_ncols=True,
        leave=False,
    )


class PredictionWriter(Protocol):
    """Writes readings in one format."""

    def write(self, prediction: Prediction) -> None:
        """Write one reading."""

    def skip(self, path: str) -> None:
        """Note an image that could not be read."""

    def close(self) -> None:
        """Write what is left; the stream stays open."""


def prediction_writer(format_: str, stream: TextIO) -> PredictionWriter:
    """Return the writer of a format, which is one of `options.FORMATS`."""
    writers: dict[str, type[Any]] = {
        "table": _TableWriter,
        "tsv": _TsvWriter,
        "csv": _CsvWriter,
        "json": _JsonWriter,
        "contest": _ContestWriter,
    }
    writer: PredictionWriter = writers[format_](stream)
    return writer


class _LineWriter:
    """Base of the formats that stream: one line a reading, none for an unreadable image."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def skip(self, path: str) -> None:
        """Leave the image out."""

    def close(self) -> None:
        """Nothing is left to write."""


class _TsvWriter(_LineWriter):
    def write(self, prediction: Prediction) -> None:
        self.stream.write("\t".join(map(one_line, _fields(prediction))) + "\n")


class _CsvWriter(_LineWriter):
    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.rows = csv.writer(stream, lineterminator="\n")
        self.rows.writerow(FIELDS)

    def write(self, prediction: Prediction) -> None:
        self.rows.writerow(_fields(prediction))


class _JsonWriter(_LineWriter):
    def write(self, prediction: Prediction) -> None:
        values = (
            prediction.path,
            prediction.text,
            json_value(prediction.value),
            min(prediction.confidence, 1.0),
        )
        self.stream.write(json.dumps(dict(zip(FIELDS, values, strict=True))) + "\n")


class _TableWriter:
    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        # Short headers, so that the columns stand side by side on 40 columns.
        self.table = new_table("image", "text", "value", "confidence", right=FIELDS[2:])

    def write(self, prediction: Prediction) -> None:
        self.table.add_row(*map(cell, _fields(prediction)))

    def skip(self, path: str) -> None:
        pass

    def close(self) -> None:
        if self.table.row_count:
            print_table(self.table, self.stream)


class _ContestWriter:
    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lines: dict[int, str] = {}

    def write(self, prediction: Prediction) -> None:
        value = format_value(prediction.value)
        self.lines[contest_number(prediction.path)] = f"{prediction.text} {value}".rstrip()

    def skip(self, path: str) -> None:
        self.lines[contest_number(path)] = ""

    def close(self) -> None:
        for number in range(max(self.lines, default=-1) + 1):
            self.stream.write(self.lines.get(number, "") + "\n")


def _fields(prediction: Prediction) -> tuple[str, str, str, str]:
    value, confidence = format_value(prediction.value), format_confidence(prediction.confidence)
    return prediction.path, prediction.text, value, confidence


def contest_number(path: str) -> int:
    """Return the number of an image: the stem of its file name.

    Raises:
        DataError: The stem is no number, or above `MAX_CONTEST_NUMBER`.
    """
    stem = os.path.splitext(os.path.basename(path))[0]
    if not re.fullmatch("[0-9]{1,8}", stem) or int(stem) > MAX_CONTEST_NUMBER:
        raise DataError(
            f"{path}: the contest format expects a number below {MAX_CONTEST_NUMBER:,} as "
            f"the file's name, found {stem!r}"
        )
    return int(stem)
