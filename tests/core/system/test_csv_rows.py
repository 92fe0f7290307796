"""Rows of CSV, against what Python's ``csv`` reads back, and paths that begin like a formula."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import pytest

from exprocr.core.system.csv_rows import csv_writer, path_cell

HOSTILE = [
    ["a\rb", "c\nd", "e\r\nf"],
    ["\r", "\n", "\r\n"],
    ["ends in\r", "ends in\n", "ends in\r\n"],
    ['a"b', '"', '""'],
    ["a,b", ",", "a;b\tc"],
    ["a\u2028b", "a\u2029b", "a\x85b\x0bc\x0cd\x1ce"],
    ["\udcff.png", "a\udc80\r", "\u202egnp.a"],
    ["-1+2", "=1+2", "+1"],
    ["", " a ", "\\r"],
]


def test_python_reads_back_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    text = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with path.open("w", **text) as file:  # type: ignore[call-overload]
        csv_writer(file).writerows(HOSTILE)
    with path.open(**text) as file:  # type: ignore[call-overload]
        assert list(csv.reader(file, strict=True)) == HOSTILE


def test_rows_end_in_a_line_feed_and_only_what_needs_quotes_has_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv_writer(file).writerows([["0.png", "1+1"], ["1.png", "-2"]])
    assert path.read_bytes() == b"0.png,1+1\n1.png,-2\n"


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@2x.png", "\t.png", "\r.png"])
def test_a_path_is_no_formula_and_names_the_same_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32" and name[0] < " ":
        pytest.skip("no such file names")
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    cell = path_cell(name)
    assert cell == f"./{name}"
    assert os.path.samefile(cell, name)


@pytest.mark.parametrize("path", ["-", "", "0.png", "/a/=1.png", "./-1.png", "a=b.png", " =1.png"])
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert path_cell(path) == path
