"""``exprocr visualize --kind curves``: which runs, what they are called, and their figures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from exprocr.cli.visualize.curves import name_runs
from exprocr.core.runs.layout import METRICS_NAME
from exprocr.viz.plots.curves import MAX_RUNS
from tests.support.tiny_runs import invoke

Curves = Callable[..., Result]


@pytest.fixture
def curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Curves:
    """Return a function that draws the curves of runs in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def draw(*runs: object, options: tuple[object, ...] = ()) -> Result:
        named = [word for run in runs for word in ("--run", run)]
        return invoke("visualize", "--kind", "curves", *named, *options)

    return draw


def write_run(folder: Path, num_epochs: int = 3, end: float = 0.9) -> Path:
    """Write the record of a run: 40 steps an epoch, 30 images a step, a step in 0.1 s."""
    records: list[dict[str, Any]] = []
    for number in range(1, 40 * num_epochs + 10):
        epoch = (number - 1) // 40 + 1
        records.append({"kind": "step", "step": number, "epoch": epoch, "learning_rate": 1e-3})
        records[-1] |= {"loss": 1 / number, "elapsed_s": 0.1 * number}
        if number % 40 == 0:
            figures = {"exact_match": end * epoch / num_epochs, "loss": 1 / epoch}
            figures["normalized_edit_distance"] = 0.01 * (num_epochs + 1 - epoch)
            record = {"kind": "evaluation", "step": number, "epoch": epoch}
            record |= {f"{part}_{k}": v for part in ("train", "val") for k, v in figures.items()}
            records.append({**record, "elapsed_s": 0.1 * number, "images_per_s": 300.0})
    folder.mkdir(parents=True)
    (folder / METRICS_NAME).write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def rows(result: Result) -> dict[str, list[str]]:
    """Return the lines of the table below its header, by the run."""
    assert result.exit_code == 0, result.stderr
    _, _, table = result.stdout.partition("─\n")
    lines = [re.split(r"\s{2,}|(?<=[\d%]) (?=[\d-])", line.strip()) for line in table.splitlines()]
    return {name: figures for name, *figures in lines}


def test_one_run(curves: Curves, tmp_path: Path) -> None:
    table = rows(curves(write_run(tmp_path / "first")))
    figures = "129 4 3,600 13 s 3 90.00% 0.0100 0.0079 300"
    assert table.keys() == {"first", "picture"}
    assert " ".join(table["first"]) == figures
    assert table["picture"] == ["curves.png"]
    with Image.open("curves.png") as image:
        assert image.size == (1500, 1000)
    assert [path.name for path in Path().iterdir()] == ["curves.png"]


def test_several_runs_each_once(curves: Curves, tmp_path: Path) -> None:
    one, other = write_run(tmp_path / "a"), write_run(tmp_path / "b" / "c", 2, 0.5)
    (tmp_path / "link").symlink_to(one)
    again = (tmp_path / "b" / ".." / "a", tmp_path / "link")
    table = rows(curves(other, one, *again, other, options=("--output", "both.svg")))
    assert list(table) == ["c", "a", "picture"]
    assert "50.00%" in table["c"]
    assert "90.00%" in table["a"]
    assert Path("both.svg").read_text().startswith("<?xml")


def test_over_time(curves: Curves, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for over in ("step", "time"):
        curves(run, options=("--over", over, "--output", f"{over}.png"))
    assert Path("step.png").read_bytes() != Path("time.png").read_bytes()
    assert curves(run, options=("--over", "epoch")).exit_code == 2


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a", "runs/b"], ["a", "b"]),
        (["x/run", "y/run", "y/other"], ["x/run", "y/run", "other"]),
        (["x/run", "y/x/run", "z/x/run"], ["here/x/run", "y/x/run", "z/x/run"]),
        ([".", "here"], ["here", "here/here"]),
    ],
)
def test_names_are_as_short_as_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str], names: list[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    named = name_runs([Path(path) for path in paths])
    if paths[0] == ".":  # each is the end of the other
        names = [f"{tmp_path.name}/here", "here/here"]
    assert list(named) == names
    assert list(named.values()) == [Path(path) for path in paths]


def test_a_run_under_way(curves: Curves, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    step = {"kind": "step", "step": 1, "epoch": 1, "loss": 2.5, "learning_rate": 0.1}
    (run / METRICS_NAME).write_text(json.dumps(step) + '\n{"kind": "ev')
    result = curves(run)
    assert result.stderr == f"{run}: not evaluated yet; drawn as far as it is\n"
    assert " ".join(rows(result)["run"]) == "1 1 - - - - - 2.5000 -"
    result = curves(run, options=("--over", "time"))
    assert result.stderr == f"{run}: no time is recorded yet, so it is not drawn\n"
    assert Path("curves.png").is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a run directory with metrics.jsonl, found a folder without it"),
        ("", "metrics.jsonl: expected steps or evaluations, found none yet"),
        ("{\n{}\n", "metrics.jsonl, line 1: expected a JSON object, found '{'"),
        (
            '{"kind": "step", "step": "7"}',
            "line 1: step: expected a whole number from 0, found '7'",
        ),
    ],
)
def test_what_cannot_be_drawn(
    curves: Curves, tmp_path: Path, content: str | None, message: str
) -> None:
    good, bad = write_run(tmp_path / "good"), tmp_path / "bad"
    bad.mkdir()
    if content is not None:
        (bad / METRICS_NAME).write_text(content)
    result = curves(good, bad)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"exprocr: {bad}")
    assert line.endswith(message)
    assert not list(Path().iterdir())


def test_a_run_that_is_not_there(curves: Curves, tmp_path: Path) -> None:
    record = write_run(tmp_path / "run") / METRICS_NAME
    for run, found in ((tmp_path / "none", "no such folder"), (record, "a file")):
        result = curves(run)
        assert result.exit_code == 1
        assert result.stderr.endswith(f"found {found}\n")


def test_more_runs_than_can_be_told_apart(curves: Curves, tmp_path: Path) -> None:
    runs = [tmp_path / str(i) for i in range(MAX_RUNS + 1)]
    result = curves(*runs)
    assert result.exit_code == 2
    assert f"at most {MAX_RUNS} runs, found {MAX_RUNS + 1}" in result.stderr


def test_curves_need_no_torch() -> None:
    code = "import sys, exprocr.cli.visualize.curves; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
