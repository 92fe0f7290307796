"""The record of a run: a JSON object per line, for each step and each evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exprocr.core.system.files import atomic_write, output_error
from exprocr.core.system.limits import MAX_RECORD_BYTES
from exprocr.core.system.regular import read_regular, without_waiting
from exprocr.errors import DataError
from exprocr.words import quoted

STEP, EVALUATION = "step", "evaluation"
"""Kinds of records."""

COUNTED = ("step", "epoch", "best_step")
"""Figures that are whole numbers, and in every record that has them."""

LARGEST = 10**15
"""Largest figure, by its absolute value; losses may be larger, or not finite."""

LARGEST_LOSS = 1e40
"""Larger than every float32, and small enough for a plot."""


class Journal:
    """Collects records, and appends them to a file when it is flushed.

    Args:
        path: The file, ``metrics.jsonl`` of a run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: list[dict[str, Any]] = []

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record until `flush`."""
        self._pending.append(record)

    def flush(self) -> None:
        """Append the records that were added.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            with open(self.path, "a", encoding="utf-8", opener=without_waiting) as file:
                file.writelines(json.dumps(record) + "\n" for record in self._pending)
        except OSError as error:
            raise output_error(self.path, error) from error
        self._pending.clear()

    def rewind(self, step: int, *, evaluated: bool) -> None:
        """Drop what was recorded after ``step``, because those steps will be taken again.

        Args:
            step: The last step to keep.
            evaluated: Whether to keep an evaluation after that step too.

        Raises:
            DataError: The file is damaged.
            OutputError: The file cannot be written.
        """
        end = (step, evaluated)  # an evaluation comes after the step that it is of
        kept = [
            record
            for record in (read_records(self.path) if self.path.exists() else [])
            if record.get("kind") not in (STEP, EVALUATION)
            or (record["step"], record["kind"] == EVALUATION) <= end
        ]
        with atomic_write(self.path) as temporary:
            lines = [json.dumps(record) + "\n" for record in kept]
            temporary.write_text("".join(lines), encoding="utf-8")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read a run's records.

    An incomplete last line, whose writing was interrupted, is left out.

    Raises:
        DataError: The file cannot be read, a line other than the last is no JSON object, or a
            figure of a step or an evaluation is not what it should be.
    """
    try:
        content = read_regular(path, MAX_RECORD_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    lines = content.decode("utf-8", errors="replace").splitlines()
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            _check(record, f"{path}, line {number}")
            records.append(record)
        elif number < len(lines):
            raise DataError(f"{path}, line {number}: expected a JSON object, found {quoted(line)}")
    return records


def _check(record: Mapping[str, Any], place: str) -> None:
    """Check that the figures of a step or an evaluation are numbers, or missing.

    Raises:
        DataError: They are not.
    """
    if record.get("kind") not in (STEP, EVALUATION):
        return
    step = record.get("step")
    for name, value in [("step", step), *record.items()]:
        if name in COUNTED:
            if type(value) is not int or not 0 <= value <= LARGEST:
                raise DataError(
                    f"{place}: {name}: expected a whole number from 0, found {value!r:.40}"
                )
        elif name not in ("kind", "images") and value is not None:  # images: of a skipped step
            if type(value) not in (int, float):
                raise DataError(f"{place}: {name}: expected a number, found {value!r:.40}")
            largest = LARGEST_LOSS if "loss" in name else LARGEST
            is_lost = "loss" in name and isinstance(value, float) and not math.isfinite(value)
            if not (is_lost or -largest <= value <= largest):
                raise DataError(f"{place}: {name}: expected a finite number, found {value!r:.40}")
