"""Run directories, and what is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exprocr.core.runs.layout import check_run_dir
from exprocr.errors import DataError


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        ("run", None, None),
        ("run", "config.toml", None),
        ("run", "val.csv", "expected a run directory with val.csv, found a folder without it"),
        ("run", "folder", "expected a run directory with folder, found a folder without it"),
        ("run/config.toml", None, "expected a run directory, found a file"),
        ("none", None, "expected a run directory, found no such folder"),
        ("none", "a", "expected a run directory with a, found no such folder"),
    ],
)
def test_run_directories(tmp_path: Path, path: str, name: str | None, message: str | None) -> None:
    (tmp_path / "run" / "folder").mkdir(parents=True)
    (tmp_path / "run" / "config.toml").touch()
    if message is None:
        check_run_dir(tmp_path / path, name)
    else:
        with pytest.raises(DataError, match=f"^{re.escape(f'{tmp_path / path}: {message}')}$"):
            check_run_dir(tmp_path / path, name)
