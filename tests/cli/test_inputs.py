"""The images that a command is given, as ``exprocr predict`` reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from exprocr.cli import inputs
from tests.support.predict_runs import Predict, draw


def test_standard_input_is_bounded(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_PICTURE_BYTES", 10**6)
    result = predict("-", stdin=bytes(10**6 + 1))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "at most 1 MB, found more" in result.stderr


@pytest.mark.parametrize("from_stdin", [False, True])
def test_a_list_of_paths(predict: Predict, tmp_path: Path, from_stdin: bool) -> None:
    paths = [draw(tmp_path / name) for name in ("a b.png", "2[1].png", os.fsdecode(b"\xff.png"))]
    lines = b"\r\n".join(map(os.fsencode, paths)) + b"\n\n"
    file = tmp_path / "list.txt"
    file.write_bytes(lines)
    result = predict(
        paths[1], "--from-file", "-" if from_stdin else file, "--format", "json",
        stdin=lines if from_stdin else b"",
    )  # fmt: skip
    assert result.exit_code == 0
    found = [json.loads(line)["path"] for line in result.stdout.splitlines()]
    assert found[:3] == [str(paths[1]), str(paths[0]), str(paths[1])]
    assert len(found) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Missing argument 'PATH...'"),
        (["-", "--from-file", "-"], 2, "both read stdin"),
        (["--from-file", "-"], 1, "standard input: expected a list of paths, found none"),
        (["--from-file", "no-such-list"], 1, "no-such-list: expected a list of paths, found: "),
        (["--from-file", "."], 1, ".: expected a list of paths, found: "),
    ],
)
def test_no_list(predict: Predict, arguments: list[str], code: int, message: str) -> None:
    result = predict(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr


def test_a_list_is_bounded(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_LIST_BYTES", 10**6)
    result = predict("--from-file", "-", stdin=b"x\n" * (10**6 // 2 + 1))
    assert result.exit_code == 1
    assert "standard input: expected at most 1 MB" in result.stderr
