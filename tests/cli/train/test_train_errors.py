"""``exprocr train`` on bad input: one line, the right exit code, nothing lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import tomli_w
from click.testing import Result

from exprocr.cli import group
from exprocr.cli.train.command import Duration
from exprocr.core.model.artifact import ModelFile
from tests.support.tiny_runs import SETTINGS, invoke, write_files

Train = Callable[..., Result]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files") / "data", 60)


@pytest.fixture
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Return a function that trains a tiny network, quietly."""
    config = tmp_path_factory.mktemp("config") / "tiny.toml"
    config.write_text(tomli_w.dumps(SETTINGS))

    def run(*args: object) -> Result:
        machine = ("--device", "cpu", "--threads", 1)
        given = () if "--init" in args else ("--config", config)
        return invoke("-q", "train", *given, *args, *machine)

    return run


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "give DATA, or --synth-mix 1"),
        (["--synth-mix", "0.5"], "give DATA, or --synth-mix 1"),
        (["--synth-mix", "2"], "--synth-mix"),
        (["--epochs", "0"], "--epochs"),
        (["--learning-rate", "100"], "--learning-rate"),
        (["--learning-rate", "0"], "--learning-rate"),
        (["--val-fraction", "1"], "--val-fraction"),
        (["--target-accuracy", "99"], "--target-accuracy"),
        (["--preset", "best"], "--preset"),
        (["--workers", "-1"], "--workers"),
        *([["--max-time", t], "is no time"] for t in ("", "0", "soon", "1d", "-5", "1.5h", "m5")),
        (["--max-time", "9" * 400], "is no time"),
    ],
)
def test_usage_errors(args: list[str], message: str) -> None:
    result = invoke("train", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("600", 600), ("2h", 7200), ("1h1m1s", 3661)],
)
def test_max_time(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, click.Context(group)) == seconds


def bad_data(kind: str, files: Path, folder: Path) -> None:
    """Make a data set with one fault."""
    shutil.copytree(files, folder)
    labels = folder / "labels.txt"
    lines = labels.read_text().splitlines()
    if kind == "empty label":
        lines[3] = ""
    elif kind == "too long":
        lines[3] = "1+1" * 6
    elif kind == "images missing":
        for i in range(31):
            (folder / f"{i}.png").unlink()
    elif kind == "undecodable":
        (folder / "3.png").write_bytes(b"no picture")
    elif kind == "one":
        lines = lines[:1]
        for i in range(1, 60):
            (folder / f"{i}.png").unlink()
    labels.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty label", "labels.txt, line 4: expected an expression, found an empty line"),
        ("too long", "3.png: expected a picture wide enough for 23 frames, which its label"),
        ("images missing", "31 of 60 labels have no image: 0.png, 1.png, 2.png, ..."),
        ("undecodable", " images cannot be read: "),
        ("one", "expected at least 2 images to hold some out for validation, found 1"),
    ],
)
def test_bad_data(train: Train, files: Path, tmp_path: Path, kind: str, message: str) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    bad_data(kind, files, data)
    result = train(data, "--output", run)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("exprocr: ")
    assert message in line
    assert not run.exists()


def test_a_wrong_value_is_a_warning(train: Train, files: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(files, data)
    first, *others = (data / "labels.txt").read_text().splitlines()
    (data / "labels.txt").write_text("\n".join([first.split()[0] + " 12345", *others]))
    result = train(data, "--output", tmp_path / "run", "--epochs", 1)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"warning: {data}/labels.txt: 1 of 60 values are not")


def test_bad_places(train: Train, files: Path, tmp_path: Path) -> None:
    used, file = tmp_path / "used", tmp_path / "file"
    used.mkdir()
    (used / "thesis.txt").write_text("mine")
    file.write_text("mine")
    for args, message in (
        ([tmp_path / "none"], "none: expected a folder or a .csv, .tsv, .jsonl or .parquet file"),
        ([files, "--output", used], "used: expected a new or empty folder for the run, found one"),
        ([files, "--output", file], "file: expected a new or empty folder for the run, found one"),
        ([files, "--output", file / "run"], f"{file / 'run'}: cannot be written: "),
        ([files, "--val", tmp_path / "none"], "none: expected a folder"),
        ([files, "--init", tmp_path / "none"], "none: expected a model file, found none"),
        ([files, "--init", file], "file: expected a safetensors file, found"),
        ([files, "--config", tmp_path / "none"], "none: cannot be read"),
    ):
        result = train(*args)
        assert (result.exit_code, result.stdout) == (1, ""), args
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
    result = invoke("train", "--resume", tmp_path / "none")
    assert result.exit_code == 1
    assert "none/checkpoint/state.safetensors: expected a checkpoint file, found" in result.stderr
    assert sorted(os.listdir(tmp_path)) == ["file", "used"]
    assert os.listdir(used) == ["thesis.txt"]
    assert file.read_text() == "mine"


def test_new_characters_that_look_like_known_ones(
    train: Train, files: Path, tiny_model: Path, tmp_path: Path
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(files, data)
    labels = data / "labels.txt"
    labels.write_text("\n".join(["1/2", "3\u22122", *labels.read_text().splitlines()[2:]]))
    result = train(data, "--output", run, "--init", tiny_model, "--epochs", 1)
    assert result.exit_code == 0
    warning = "warning: some look like characters that the model knows; try --map '\u2212=-'\n"
    assert warning in result.stderr
    assert (
        ModelFile.load(run).charset.characters == "()*+-0123456789\u2212"
    )  # the / is validated on alone
