"""``exprocr train --resume`` of a run whose files have moved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tomli_w
from click.testing import Result

from exprocr.training.run import read_checkpoint
from tests.support.tiny_runs import SETTINGS, invoke, write_files

NUM = 12


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with files, other files to validate on, and settings of a tiny network."""
    folder = tmp_path / "place"
    write_files(folder / "data", NUM)
    write_files(folder / "val", NUM, seed=1)
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(SETTINGS))
    return folder


def train(*args: object) -> Result:
    return invoke("-q", "train", *args, "--threads", 1, "--device", "cpu")


def new_run(place: Path, *args: object) -> Path:
    run = place.parent / "run"
    config = place.with_name("tiny.toml")
    result = train(*args, "--config", config, "--output", run, "--epochs", 1)
    assert result.exit_code == 0, result.stderr
    return run


def one_line(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


def test_data_and_validation_data(place: Path) -> None:
    run = new_run(place, place / "data", "--val", place / "val")
    moved = place.rename(place.with_name("moved"))
    gone = f"{place / 'data'}: expected the data set of the run, found nothing there"
    assert gone in one_line(train("--resume", run), 1)
    line = one_line(train("--resume", run, "--data", moved / "data"), 1)
    assert line.endswith("if it has moved, give its place with --val")
    # No step is left, and still the new places are remembered.
    new = ("--data", moved / "data", "--val", moved / "val")
    assert train("--resume", run, *new, "--epochs", 1).exit_code == 0
    spec, checkpoint = read_checkpoint(run)
    assert (spec.data, spec.val) == (str(moved / "data"), str(moved / "val"))
    assert checkpoint.state.step == NUM / 4
    assert str(moved / "val" / "0.png") in (run / "val.csv").read_text()
    assert str(moved / "data") in (run / "config.toml").read_text()
    result = train("--resume", run, "--epochs", 2)
    assert result.exit_code == 0, result.stderr
    assert f"2 ({NUM // 2} steps)" in result.stdout
    assert invoke("eval", run / "val.csv", "--model", run, "--threads", 1).exit_code == 0


def test_the_same_weights_as_without_moving(place: Path) -> None:
    run = new_run(place, place / "data")
    other = shutil.copytree(run, run.with_name("other"))
    assert train("--resume", run, "--epochs", 2).exit_code == 0
    moved = place.rename(place.with_name("moved"))
    result = train("--resume", other, "--data", moved / "data", "--epochs", 2)
    assert result.exit_code == 0, result.stderr
    one, two = read_checkpoint(run)[1].tensors, read_checkpoint(other)[1].tensors
    assert one.keys() == two.keys()
    assert all((one[name] == two[name]).all() for name in one)


def test_the_images_of_a_table(place: Path) -> None:
    labels = (place / "data" / "labels.txt").read_text().split("\n")
    rows = [f"{i}.png,{label.split()[0]}" for i, label in enumerate(labels[:NUM])]
    table = place / "table.csv"
    table.write_text("\n".join(["image,text", *rows, ""]))
    run = new_run(place, table, "--images", place / "data")
    moved = (place / "data").rename(place / "elsewhere")
    result = train("--resume", run, "--images", moved, "--epochs", 2)
    assert result.exit_code == 0, result.stderr
    assert read_checkpoint(run)[0].images == str(moved)


def test_other_data_is_refused(place: Path) -> None:
    run = new_run(place, place / "data")
    line = one_line(train("--resume", run, "--data", place / "val", "--epochs", 2), 1)
    assert f"{place / 'val'}: expected the data set the run began with" in line
    assert read_checkpoint(run)[0].data == str(place / "data")


@pytest.mark.parametrize("option", ["--val", "--images", "--data"])
def test_files_that_the_run_does_not_have(place: Path, option: str) -> None:
    run = new_run(place, *([place / "data"] if option == "--val" else ["--synth-mix", 1]))
    line = one_line(train("--resume", run, option, place / "val"), 2)
    assert line.endswith(f"{option} with --resume is for files that have moved: the run has none")


def test_a_new_run_takes_its_data_as_an_argument(place: Path) -> None:
    line = one_line(train("--data", place / "data"), 2)
    assert line.endswith("--data is for --resume: give DATA alone")
