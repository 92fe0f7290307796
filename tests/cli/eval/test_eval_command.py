"""``exprocr eval``: options, files, exit codes, bad data."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exprocr.cli.eval import run as eval_run
from tests.support.eval_runs import SCRIPT, WRONG, Eval, figures, make_data


def test_nothing_wrong(evaluate: Eval, tmp_path: Path) -> None:
    script = [SCRIPT[0], SCRIPT[2]]
    data = make_data(tmp_path / "data", ["1+2 3", "3*4-5 7"])
    args = (data, "--errors", tmp_path / "e.csv", "--min-exact", 1, "--json", tmp_path / "a.json")
    result = evaluate(*args, script=script)
    assert result.exit_code == 0
    assert "Confusions" not in result.stdout
    assert (tmp_path / "e.csv").read_text() == "path,truth,read,value,confidence\n"
    found = figures(tmp_path / "a.json")
    assert (found["exact_match"], found["cer"], found["worst"]) == (1, 0, [])


def test_every_wrong_image_as_csv(evaluate: Eval, data: Path, tmp_path: Path) -> None:
    evaluate(data, "--errors", tmp_path / "e.csv")
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(data / f"{i}.png") for i in WRONG]
    assert [(row["truth"], row["read"]) for row in rows] == [SCRIPT[i][:2] for i in WRONG]
    assert [row["value"] for row in rows] == ["2", "0", "4", "486"]
    assert all(0 < float(row["confidence"]) < 1 for row in rows)


@pytest.mark.skipif(sys.platform == "win32", reason="no such file names")
@pytest.mark.parametrize("name", ["a\rb", "a\r\nb", 'a,"b', "a\u2028b", "=1"])
def test_errors_in_a_folder_with_an_odd_name(
    evaluate: Eval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_data(Path(name))
    evaluate(name, "--errors", "e.csv")
    with open("e.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    guard = "./" if name == "=1" else ""
    assert [row["path"] for row in rows] == [f"{guard}{name}/{i}.png" for i in WRONG]
    assert [row["read"] for row in rows] == [SCRIPT[i][1] for i in WRONG]


def test_a_table_may_lead_out_of_its_folder_if_the_user_says_so(
    evaluate: Eval, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "labels.csv"
    for start, options in (("../data/", ["--allow-outside"]), ("", ["--images", data])):
        rows = [f"{start}{i}.png,{truth}\n" for i, (truth, _, _) in enumerate(SCRIPT)]
        table.write_text("image,text\n" + "".join(rows))
        result = evaluate(table)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"exprocr: {table}")
        result = evaluate(table, *options, "--json", tmp_path / "a.json")
        assert result.exit_code == 0, result.stderr
        assert figures(tmp_path / "a.json")["num_images"] == len(SCRIPT)


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no text")
def test_a_folder_whose_name_is_no_text(evaluate: Eval, tmp_path: Path) -> None:
    data = make_data(tmp_path / os.fsdecode(b"d\xff"))
    result = evaluate(data, "--errors", tmp_path / "e.csv", "--json", tmp_path / "a.json")
    assert result.exit_code == 0, result.stderr
    assert os.fsencode(data / "1.png") in (tmp_path / "e.csv").read_bytes()
    assert figures(tmp_path / "a.json")["worst"][0]["path"] == str(data / "3.png")


@pytest.mark.parametrize(("bar", "exit_code"), [("0.51", 3), ("1", 3), ("0.5", 0), ("0", 0)])
def test_min_exact(evaluate: Eval, data: Path, tmp_path: Path, bar: str, exit_code: int) -> None:
    result = evaluate(data, "--min-exact", bar, "--json", tmp_path / "a.json")
    assert result.exit_code == exit_code
    assert ("is below --min-exact" in result.stderr) == (exit_code == 3)
    assert figures(tmp_path / "a.json")["num_images"] == 8  # written all the same


def test_unreadable_images_are_reported_and_win_over_the_bar(
    evaluate: Eval, data: Path, tmp_path: Path
) -> None:
    (data / "6.png").write_bytes(b"no picture")
    (data / "0.png").write_bytes(b"")
    script = [row for row in SCRIPT if row not in (SCRIPT[0], SCRIPT[6])]
    result = evaluate(data, "--min-exact", 0.9, "--json", tmp_path / "a.json", script=script)
    assert result.exit_code == 1
    problems = [line for line in result.stderr.splitlines() if line.startswith("exprocr: ")]
    assert [line.split(":")[1].strip() for line in problems] == [
        str(data / "0.png"),
        str(data / "6.png"),
    ]
    found = figures(tmp_path / "a.json")
    assert (found["num_images"], found["num_unreadable"]) == (6, 2)
    assert found["exact_match"] == 2 / 6
    assert "2, not counted" in " ".join(result.stdout.split())


def test_only_unreadable_images(evaluate: Eval, tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", ["1+2"])
    (data / "0.png").write_bytes(b"")
    result = evaluate(data, "--json", tmp_path / "a.json", script=[])
    assert result.exit_code == 1
    found = figures(tmp_path / "a.json")
    assert (found["num_images"], found["ece"], found["reliability"]) == (0, 0, [])
    assert "exact match" in result.stdout
    assert "Reliability" not in result.stdout
    assert "bug" not in result.stderr


def test_a_grammar_that_cannot_be_used(evaluate: Eval, data: Path, tmp_path: Path) -> None:
    result = evaluate(data, "--grammar", "level2", "--json", tmp_path / "a.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("exprocr: ")
    assert "unknown grammar; did you mean 'level1'?" in result.stderr
    assert not (tmp_path / "a.json").exists()


def test_val_is_measured_where_there_is_one(evaluate: Eval, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    make_data(tmp_path / "data" / "train")
    make_data(tmp_path / "data" / "val", ["1+2", "6+6+6"])
    script = [SCRIPT[0], SCRIPT[6]]
    result = evaluate(tmp_path / "data", "--json", tmp_path / "a.json", script=script)
    assert result.exit_code == 0, result.stderr
    assert "of which val is read" in result.stderr
    assert figures(tmp_path / "a.json")["num_images"] == 2


def test_options_reach_the_recognizer(evaluate: Eval, data: Path, loaded: dict[str, Any]) -> None:
    result = evaluate(data, "--decoder", "beam", "--beam-width", 3, "--threads", 1, "--device",
                      "cpu", "--model", "m")  # fmt: skip
    assert result.exit_code == 0
    assert loaded == {
        "model": "m", "grammar": None, "decoder": "beam", "beam_width": 3, "by_value": False,
        "threads": 1, "device": "cpu", "engine": None,
    }  # fmt: skip
    evaluate(data, "--grammar", "digits", "--by-value")
    assert (loaded["grammar"], loaded["by_value"]) == ("digits", True)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (["1+2", "", "3+4"], "line 2: expected an expression, found an empty line"),
        (["1+2", "1+2 x"], "line 2: value: expected an integer"),
    ],
)
def test_bad_labels(evaluate: Eval, tmp_path: Path, labels: list[str], found: str) -> None:
    result = evaluate(make_data(tmp_path / "data", labels))
    assert (result.exit_code, result.stdout) == (1, "")
    assert found in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("exprocr: ")
    assert "Traceback" not in result.stderr


def test_labels_that_the_model_cannot_read_are_wrong(evaluate: Eval, tmp_path: Path) -> None:
    texts = ["1+2", "3/4", "5+6"]
    result = evaluate(make_data(tmp_path / "data", texts), "--json", tmp_path / "eval.json")
    assert result.exit_code == 0
    (warning,) = (line for line in result.stderr.splitlines() if "model's characters" in line)
    assert warning.startswith("warning: ")
    assert "line 2: expected the model's characters '()*+-0123456789', found '/'" in warning
    assert warning.endswith("; they count as read wrong")
    found = json.loads((tmp_path / "eval.json").read_text())
    assert (found["num_images"], found["num_outside_grammar"]) == (3, 1)


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch])
def test_no_data(evaluate: Eval, tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "x")
    result = evaluate(tmp_path / "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"exprocr: {tmp_path / 'x'}: expected ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["--json", "--errors"])
def test_output_that_cannot_be_written(
    evaluate: Eval, data: Path, tmp_path: Path, option: str
) -> None:
    result = evaluate(data, option, data / "labels.txt" / "x")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"exprocr: {data / 'labels.txt' / 'x'}: ")
    assert "exact match" in result.stdout  # what was measured is not lost


def test_files_are_written_before_tables_that_nobody_reads(
    evaluate: Eval, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(eval_run, "print_table", fail)
    result = evaluate(data, "--json", tmp_path / "a.json", "--errors", tmp_path / "e.csv")
    assert result.exit_code == 1
    assert figures(tmp_path / "a.json")["num_images"] == 8
    assert len((tmp_path / "e.csv").read_text().splitlines()) == 1 + len(WRONG)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["x", "--min-exact", "1.5"],
        ["x", "--min-exact", "nan"],
        ["x", "--decoder", "best"],
        ["x", "--beam-width", 0],
        ["x", "--decoder", "greedy", "--by-value"],
    ],
)
def test_usage(evaluate: Eval, args: list[object]) -> None:
    assert evaluate(*args).exit_code == 2


def test_as_a_process(tiny_model: Path, tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", ["1+2 3", "3*4-5 7"])
    line = ["eval", "data", "--model", str(tiny_model), "--json", "a.json", "--errors", "e.csv"]
    done = subprocess.run(
        [sys.executable, "-m", "exprocr", *line, "--min-exact", "0.9", "--threads", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 3, done.stderr
    assert "exact match" in done.stdout
    assert "Traceback" not in done.stderr
    assert "exact match 0.0000% is below --min-exact 90.0000%" in done.stderr
    assert figures(tmp_path / "a.json")["num_images"] == len(list(data.glob("*.png")))
    assert len((tmp_path / "e.csv").read_text().splitlines()) == 3
