"""The record of a run: one JSON object a line, for every step and every evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exprocr.core.files import atomic_write, output_error


class Journal:
    """Collects records and appends them to a file when asked to.

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
        """Append what is kept.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(record) + "\n" for record in self._pending)
        except OSError as error:
            raise output_error(self.path, error) from error
        self._pending.clear()

    def rewind(self, step: int, *, evaluated: bool) -> None:
        """Drop what was recorded after ``step``: those steps are taken again.

        Args:
            step: Last step to keep.
            evaluated: Whether an evaluation after that step is kept too.

        Raises:
            OutputError: The file cannot be written.
        """
        kept = [
            record
            for record in read_records(self.path)
            if record["step"] < step
            or (record["step"] == step and (evaluated or record["kind"] != "evaluation"))
        ]
        with atomic_write(self.path) as temporary:
            lines = [json.dumps(record) + "\n" for record in kept]
            temporary.write_text("".join(lines), encoding="utf-8")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read a run's records; none where there is no file.

    A last line cut off when the program was killed is left out.
    """
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
