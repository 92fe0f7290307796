"""The formats in which ``exprocr predict`` writes readings.

- ``tsv``: path, text, value, confidence and ``holds`` between tabs;
- ``csv``: the same with a header ``path,text,value,confidence,holds``;
- ``json``: JSON Lines: these five, ``posterior``, ``grammar_mass``, ``proven``, ``more_frames``, by
  value also ``uncovered``, and ``characters``, a ``box`` being left, top, right, bottom; a value is
  a number if it is an integer, a string if it is a decimal or ``p/q``, null if there is none;
  ``holds`` is true, false or null;
- ``table``: a table for people, with ``holds`` only where a reading has it;
- ``contest``: ``EXPR VALUE`` in the line with the image's number; the line of an unreadable image
  is empty.

With a least confidence, readings below it are marked: in a column ``rejected``, which holds
``rejected`` or nothing; in JSON by true or false; in the contest's lines by a tab and ``rejected``.

``holds`` says whether an equation is true, and is empty where there is nothing to judge. Of the
wrong readings only, each has a column ``mark`` instead of ``rejected``: ``wrong`` if it does not
hold, ``unsure`` if it is below the least confidence or there is nothing to judge.

With several texts per image, the further texts follow in columns ``text_2``, ``value_2``,
``probability_2``, ``text_3`` and so on. The number of columns is always the same; they are empty
where there are fewer texts. In JSON all texts are in ``alternatives``, which begins with the
reading itself. In a table they are rows of their own. In the contest's lines each follows after a
tab, as ``EXPR VALUE PROBABILITY`` with exactly two spaces; with a least confidence they begin
after the second tab, whether the reading is rejected or not.

A value is that of the text's left side: an integer or ``p/q``, but a decimal if the text has one.
It is empty where the text is neither an expression nor an equation, or divides by zero.
Confidences have four decimals and are rounded down, so that 1.0000 means certainty; the
probabilities of further texts have three digits, however small; in JSON no digit is left out.
Control characters in paths are escaped, except in CSV and JSON, which quote them. In CSV and lines
with tabs, a path that a spreadsheet would take for a formula has ``./`` in front.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from exprocr.cli.output import cell, new_table, print_table
from exprocr.core.system.csv_rows import csv_writer, path_cell
from exprocr.core.text.expression import format_value
from exprocr.errors import DataError
from exprocr.words import format_confidence, format_probability, one_line

if TYPE_CHECKING:
    from exprocr.core.decode.decoder import Alternative
    from exprocr.core.reading.prediction import Character, Prediction

FIELDS = ("path", "text", "value", "confidence", "holds")
REJECTED = "rejected"
MARK, WRONG, UNSURE = "mark", "wrong", "unsure"
MAX_CONTEST_NUMBER = 10_000_000
"""Greatest number of an image: the numbers below it all have a line."""

_FORMAT_BY_SUFFIX = {".tsv": "tsv", ".csv": "csv", ".json": "json", ".jsonl": "json"}


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What was asked for beyond the `FIELDS`."""

    min_confidence: float | None = None
    """Readings with less confidence are marked as rejected; None marks none."""

    only_wrong: bool = False
    """Leave out readings that hold, and mark the others as wrong or unsure."""

    num_best: int = 1
    """Texts per image."""

    def rejects(self, prediction: Prediction) -> bool:
        """Return whether a reading is below the least confidence."""
        return self.min_confidence is not None and prediction.confidence < self.min_confidence

    def mark(self, prediction: Prediction) -> str:
        """Return the mark of a reading; empty if it is right, or marks are not asked for."""
        if not self.only_wrong:
            return REJECTED if self.rejects(prediction) else ""
        if prediction.holds is None or self.rejects(prediction):
            return UNSURE
        return "" if prediction.holds else WRONG

    def leaves_out(self, prediction: Prediction) -> bool:
        """Return whether a reading is right, and only the others are asked for."""
        return self.only_wrong and not self.mark(prediction)

    @cached_property
    def headers(self) -> list[str]:
        """Names of the columns of `row`."""
        names = ("text", "value", "probability")
        others = [f"{name}_{k}" for k in range(2, self.num_best + 1) for name in names]
        return [*FIELDS, *self._marks(MARK if self.only_wrong else REJECTED), *others]

    def row(self, prediction: Prediction) -> list[str]:
        """Return a reading's columns, as many for every reading."""
        path, *row = self.first(prediction)
        row = [path_cell(path), *row]
        for other in self.others(prediction):
            row += other
        return row + [""] * (len(self.headers) - len(row))

    def first(self, prediction: Prediction) -> list[str]:
        """Return the columns before those of further texts."""
        return [
            prediction.path,
            prediction.text,
            format_value(prediction.value, prediction.text),
            format_confidence(prediction.confidence),
            format_holds(prediction.holds),
            *self._marks(self.mark(prediction)),
        ]

    def others(self, prediction: Prediction) -> list[tuple[str, str, str]]:
        """Return text, value and probability of the second text and all after it."""
        return [
            (
                other.text,
                format_value(other.value, other.text),
                format_probability(other.probability),
            )
            for other in prediction.alternatives[1 : self.num_best]
        ]

    def _marks(self, mark: str) -> list[str]:
        return [mark] if self.only_wrong or self.min_confidence is not None else []


class PredictionWriter(Protocol):
    """Writes readings in one format."""

    def write(self, prediction: Prediction) -> None:
        """Write one reading."""

    def skip(self, path: str) -> None:
        """Take note of an image that could not be read."""

    def close(self) -> None:
        """Write what is left; the stream stays open."""


def pick_format(name: str | None, output: str | None) -> str:
    """Return the named format, else that of the output file's suffix, else the one for stdout."""
    if name is not None:
        return name
    if output is not None:
        return _FORMAT_BY_SUFFIX.get(PurePath(output).suffix.lower(), "tsv")
    return "table" if sys.stdout.isatty() else "tsv"


def prediction_writer(format_: str, stream: TextIO, extras: Extras) -> PredictionWriter:
    """Return the writer of a format, one of `exprocr.choices.FORMATS`."""
    writers: dict[str, type[Any]] = {
        "table": _TableWriter,
        "tsv": _TsvWriter,
        "csv": _CsvWriter,
        "json": _JsonWriter,
        "contest": _ContestWriter,
    }
    writer: PredictionWriter = writers[format_](stream, extras)
    return writer


class _Writer:
    """Base of the writers: one line per reading, and none for an unreadable image."""

    def __init__(self, stream: TextIO, extras: Extras) -> None:
        self.stream = stream
        self.extras = extras

    def skip(self, path: str) -> None:
        """Leave the image out."""

    def close(self) -> None:
        """Nothing is left to write."""


class _TsvWriter(_Writer):
    def write(self, prediction: Prediction) -> None:
        self.stream.write("\t".join(map(one_line, self.extras.row(prediction))) + "\n")


class _CsvWriter(_Writer):
    def __init__(self, stream: TextIO, extras: Extras) -> None:
        super().__init__(stream, extras)
        self.rows = csv_writer(stream)
        self.rows.writerow(extras.headers)

    def write(self, prediction: Prediction) -> None:
        self.rows.writerow(self.extras.row(prediction))


class _JsonWriter(_Writer):
    def write(self, prediction: Prediction) -> None:
        row: dict[str, Any] = {
            "path": prediction.path,
            "text": prediction.text,
            "value": json_value(prediction.value, prediction.text),
            "confidence": min(prediction.confidence, 1.0),
            "holds": prediction.holds,
            "posterior": prediction.posterior,
            "grammar_mass": prediction.grammar_mass,
            "proven": prediction.is_proven,
            "more_frames": prediction.more_frames,
        }
        if prediction.uncovered is not None:
            row["uncovered"] = prediction.uncovered
        if self.extras.only_wrong:
            row[MARK] = self.extras.mark(prediction)
        elif self.extras.min_confidence is not None:
            row[REJECTED] = self.extras.rejects(prediction)
        if self.extras.num_best > 1:
            row["alternatives"] = list(map(_json_alternative, prediction.alternatives))
        row["characters"] = list(map(_json_character, prediction.characters))
        self.stream.write(json.dumps(row) + "\n")


class _TableWriter(_Writer):
    def __init__(self, stream: TextIO, extras: Extras) -> None:
        super().__init__(stream, extras)
        self.rows: list[list[str]] = []
        self.num_judged = 0

    def write(self, prediction: Prediction) -> None:
        self.rows.append(self.extras.first(prediction))
        self.num_judged += prediction.holds is not None
        others = prediction.alternatives[1 : self.extras.num_best]
        for columns, other in zip(self.extras.others(prediction), others, strict=True):
            self.rows.append(["", *columns, format_holds(other.holds)])
            self.num_judged += other.holds is not None

    def close(self) -> None:
        if not self.rows:
            return
        # Short headers, so that the table fits a terminal of 40 columns.
        headers = ["image", *replace(self.extras, num_best=1).headers[1:]]
        kept = [i for i, name in enumerate(headers) if name != "holds" or self.num_judged]
        table = new_table(*(headers[i] for i in kept), right=FIELDS[2:4])
        for row in self.rows:
            table.add_row(*(cell(row[i]) for i in kept if i < len(row)))
        print_table(table, self.stream, fold_first=len(headers) > len(FIELDS))


class _ContestWriter(_Writer):
    def __init__(self, stream: TextIO, extras: Extras) -> None:
        super().__init__(stream, extras)
        self.lines: dict[int, str] = {}
        self.num_written = 0

    def write(self, prediction: Prediction) -> None:
        _, text, value, _, _, *marks = self.extras.first(prediction)
        others = [" ".join(other) for other in self.extras.others(prediction)]
        fields = [f"{text} {value}".rstrip(), *(marks if others or any(marks) else ()), *others]
        self.lines[contest_number(prediction.path)] = "\t".join(map(one_line, fields))
        while self.num_written in self.lines:  # not at the end alone: this process may be killed
            self._write_next()

    def skip(self, path: str) -> None:
        self.lines[contest_number(path)] = ""

    def close(self) -> None:
        for _ in range(self.num_written, max(self.lines, default=-1) + 1):
            self._write_next()

    def _write_next(self) -> None:
        self.stream.write(self.lines.pop(self.num_written, "") + "\n")
        self.num_written += 1


def format_holds(holds: bool | None) -> str:
    """Return ``true``, ``false``, or nothing for None."""
    return "" if holds is None else str(holds).lower()


def json_value(value: Fraction | None, text: str) -> int | str | None:
    """Return the value of a text for JSON: a number, ``"p/q"`` or a decimal as text, or None."""
    if value is None:
        return None
    return value.numerator if value.denominator == 1 else format_value(value, text)


def _json_alternative(alternative: Alternative) -> dict[str, Any]:
    return {
        "text": alternative.text,
        "value": json_value(alternative.value, alternative.text),
        "probability": alternative.probability,
        "holds": alternative.holds,
    }


def _json_character(character: Character) -> dict[str, Any]:
    return {
        "character": character.text,
        "x": character.x,
        "box": list(character.box),
        "probability": character.probability,
        "alternative": character.alternative or None,
        "alternative_probability": character.alternative_probability,
    }


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


def is_contest_number(path: str) -> bool:
    """Return whether the contest format has a line for a file of this name."""
    try:
        contest_number(path)
    except DataError:
        return False
    return True


def check_contest_numbers(paths: Iterable[str]) -> None:
    """Check that every image has a number of its own.

    Raises:
        DataError: A file's name is no number, or two have the same.
    """
    seen: dict[int, str] = {}
    for path in paths:
        number = contest_number(path)
        if number in seen:
            raise DataError(
                f"{path}: the contest format expects every number once, found it in "
                f"{seen[number]} too"
            )
        seen[number] = path
