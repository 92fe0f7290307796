"""The record of a run: what lies in its place can be anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exprocr.core.runs.journal import read_records
from exprocr.errors import DataError


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("read_records(path)", "cannot be read: a named pipe, not a regular file"),
        ("Journal(path).rewind(1, evaluated=True)", "cannot be read: a named pipe, not a regular"),
        ("Journal(path).flush()", "cannot be written: No such device or address"),
        ("read_tensor_record(path)", "cannot be read: a named pipe, not a regular file"),
    ],
)
def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(
    tmp_path: Path, call: str, message: str
) -> None:
    path = tmp_path / "metrics.jsonl"
    os.mkfifo(path)
    code = f"""
from pathlib import Path
from exprocr.core.runs.journal import Journal, read_records
from exprocr.core.runs.tensor_record import read_tensor_record
from exprocr.errors import ExprocrError
path = Path({str(path)!r})
try:
    {call}
except ExprocrError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith(f"{path}: {message}")


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a": ' * 100_000, "1" * 10_000, "no record"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 2: expected a JSON object, found "):
        read_records(path)
