"""Rows of CSV that Python's ``csv`` reads back as they were, whatever is in their cells."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _csv import Writer

FORMULA = "=+-@\t\r\n"
"""First characters that make a spreadsheet take a cell for a formula, also after it trims it."""


class _LineFeeds:
    """A stream whose rows end in a line feed alone."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, row: str) -> object:
        return self.stream.write(row.removesuffix("\r\n") + "\n")


def csv_writer(stream: TextIO) -> Writer:
    """Return a writer of rows that end in a line feed.

    Args:
        stream: It must not translate line ends.
    """
    # Before Python 3.13 cells with a carriage return are quoted only if rows end in one.
    return csv.writer(_LineFeeds(stream), lineterminator="\r\n")


def path_cell(path: str) -> str:
    """Return a path of the same file that no spreadsheet takes for a formula: ``./=1+1.png``.

    The single ``-``, which is standard input, stays as it is.
    """
    return f"./{path}" if path != "-" and path.startswith(tuple(FORMULA)) else path
