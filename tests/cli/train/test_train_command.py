"""``exprocr train``: the whole flow, Ctrl-C and going on."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tomli_w
from click.testing import Result
from PIL import Image
from tqdm import tqdm

from exprocr.cli.options import Session
from exprocr.cli.train.run import ProgressBar
from exprocr.core.config.schema import PRESETS
from exprocr.core.config.settings import load_settings
from exprocr.core.evaluation.calibration import Calibration
from exprocr.core.evaluation.reliability import Reliability
from exprocr.core.model.artifact import ModelFile
from exprocr.training.run import read_checkpoint
from tests.support.pictures import matplotlib_fonts
from tests.support.tiny_runs import SETTINGS, invoke, tiny_settings, write_files

Train = Callable[..., Result]


NO_NETWORK = "no_network.toml"
"""Settings for --init, which takes the network from the model."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("files") / "data", 60)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a settings file: a tiny network, and one font."""
    folder = tmp_path_factory.mktemp("config")
    fonts = matplotlib_fonts()
    (folder / "fonts").mkdir()
    shutil.copy(fonts / "DejaVuSans.ttf", folder / "fonts")
    synth = SETTINGS["synth"] | {"system_fonts": False, "fonts": [str(folder / "fonts")]}
    settings = SETTINGS | {"synth": synth}
    path = folder / "tiny.toml"
    path.write_text(tomli_w.dumps(settings))
    given = {k: v for k, v in settings.items() if k not in ("model", "preprocess")}
    path.with_name(NO_NETWORK).write_text(tomli_w.dumps(given))
    return path


@pytest.fixture
def train(config: Path) -> Train:
    """Return a function that trains the tiny network, quietly."""

    def run(*args: object) -> Result:
        machine = ("--device", "cpu", "--threads", 1)
        file = config.with_name(NO_NETWORK) if "--init" in args else config
        return invoke("-q", "train", *args, "--config", file, *machine)

    return run


def commands_in(stderr: str) -> list[list[str]]:
    """Return the command lines that a run named."""
    lines = [line for line in stderr.splitlines() if "exprocr " in line]
    return [shlex.split(line[line.index("exprocr ") :])[1:] for line in lines]


def test_the_whole_flow(files: Path, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "a run"
    line = ("train", files, "--config", config, "--output", run, "--epochs", 2)
    result = invoke(*line, "--threads", 1, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    table = result.stdout
    assert table.startswith("Training")
    for words in ("all epochs done", "2 (24 steps)", "validation exact match", "images/s"):
        assert words in table
    assert {path.name for path in run.iterdir()} == {
        "model.safetensors",
        "model.onnx",
        "checkpoint",
        "metrics.jsonl",
        "config.toml",
        "tensors.bin",
        "curves.png",
        "split.json",
        "val.csv",
    }
    with Image.open(run / "curves.png") as image:
        assert image.width > 600
    assert "45 images to train on, 15 to validate" in result.stderr
    assert "epoch 2: loss " in result.stderr
    assert (
        "characters ()*+-0123456789, grammar level1; 24 steps in float32; writing" in result.stderr
    )
    model = ModelFile.load(run)
    assert model.grammar == "level1"
    found = re.findall(
        r"^calibrated with grammar (\w+): temperature ([\d.]+), calibration error ([\d.]+)%, "
        r"exact ([\d.]+)%$",
        result.stderr,
        re.MULTILINE,
    )
    ece = model.training["val_ece"]
    assert [(name, t, error) for name, t, error, _ in found] == [
        ("level1", f"{model.temperature:.3f}", f"{100 * ece:.2f}")
    ]
    # The commands it names work as they stand.
    predict, evaluate = commands_in(result.stderr)
    assert predict[:3] == ["predict", "--model", str(run)]
    assert evaluate == ["eval", str(run / "val.csv"), "--model", str(run)]
    assert invoke(*predict, "--threads", 1).exit_code == 0
    measured = invoke(*evaluate, "--threads", 1)
    assert measured.exit_code == 0
    assert "images                    15" in measured.stdout
    # The settings in force read back, and give the same run.
    assert load_settings("default", run / "config.toml").training.epochs == 2
    again = tmp_path / "again"
    settings = ("--config", run / "config.toml", "--output", again)
    assert invoke("-q", "train", files, *settings, "--threads", 1).exit_code == 0
    assert ModelFile.load(again).training == ModelFile.load(run).training
    for name in ("model.safetensors", "split.json"):
        assert (again / name).read_bytes() == (run / name).read_bytes()


def test_what_is_said_of_a_calibration(capsys: pytest.CaptureFixture[str]) -> None:
    reliability = Reliability([0.9, 0.8, 0.7, 0.6], [True, True, True, False])
    trainer: Any = SimpleNamespace(best=SimpleNamespace(grammar="digits"))
    for session in (Session(), Session(quiet=True)):
        bar = ProgressBar(tqdm(disable=True), session, trainer)
        bar.on_calibration(Calibration(1.23456, reliability))
    assert capsys.readouterr().err.splitlines() == [
        "calibrated with grammar digits: temperature 1.235, calibration error 30.00%, exact 75.00%"
    ]


def test_labels_choose_the_grammar(files: Path, config: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(files, data)
    lines = (data / "labels.txt").read_text().splitlines()
    (data / "labels.txt").write_text("\n".join(["12+34", *lines[1:]]))
    run = tmp_path / "run"
    line = ("train", data, "--config", config, "--output", run, "--epochs", 1)
    result = invoke(*line, "--threads", 1, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert ", grammar expression; 12 steps in float32; writing" in result.stderr
    assert "calibrated with grammar expression: temperature " in result.stderr
    assert ModelFile.load(run).grammar == "expression"


def test_options_win_over_the_file(train: Train, files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options: dict[str, Any] = {
        "epochs": 1, "batch_size": 9, "learning_rate": 0.5, "seed": 7, "val_fraction": 0.5,
        "synth_mix": 0.25, "optimizer": "muon",
    }  # fmt: skip
    words = [word for k, v in options.items() for word in ("--" + k.replace("_", "-"), v)]
    result = train(files, "--output", run, *words, "--workers", 0)
    assert (result.exit_code, result.stderr) == (0, "")
    training = load_settings("default", run / "config.toml").training
    assert training == dataclasses.replace(tiny_settings().training, **options)
    # 30 of 60 files, 7 in a batch of 9.
    assert "1 (5 steps)" in result.stdout


def test_rendered_images_alone(train: Train, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = train("--synth-mix", 1, "--output", run, "--epochs", 1, "--workers", 0)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "1 (5 steps)" in result.stdout
    assert ModelFile.load(run).charset.characters == "()*+-0123456789"
    assert ModelFile.load(run).grammar == "level1"


def test_time_limit(train: Train, files: Path, tmp_path: Path) -> None:
    result = train(files, "--output", tmp_path / "run", "--max-time", "1s", "--epochs", 10**6)
    assert result.exit_code == 0
    assert "time limit reached" in result.stdout


def test_init(train: Train, files: Path, tiny_model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = train(files, "--init", tiny_model, "--output", run, "--epochs", 1)
    assert (result.exit_code, result.stderr) == (0, "")
    model, before = ModelFile.load(run), ModelFile.load(tiny_model)
    assert (model.model, model.preprocess) == (before.model, before.preprocess)
    assert model.charset == before.charset
    assert read_checkpoint(run)[0].init == str(tiny_model)


@pytest.mark.parametrize("source", ["files", "rendered", "rendered, validated on files"])
def test_rendered_images_alone_are_no_small_set(
    train: Train, files: Path, tiny_model: Path, tmp_path: Path, source: str
) -> None:
    data: list[object] = [] if source == "rendered" else [files]
    data += [] if source == "files" else ["--synth-mix", 1]
    run = tmp_path / "run"
    result = train(*data, "--init", tiny_model, "--output", run, "--steps", 1)
    assert result.exit_code == 0, result.stderr
    preset = PRESETS["finetune" if source == "files" else "default"]
    assert read_checkpoint(run)[0].settings.training.ema_decay == preset.training.ema_decay


def test_the_model_is_read_once(
    train: Train, files: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that its weights, its characters and its digest are those of one file."""
    load, loaded = ModelFile.load, []

    def counted(source: object = None) -> ModelFile:
        loaded.append(source)
        return load(source)  # type: ignore[arg-type]

    monkeypatch.setattr(ModelFile, "load", counted)
    result = train(files, "--init", tiny_model, "--output", tmp_path / "run", "--epochs", 1)
    assert result.exit_code == 0, result.stderr
    assert loaded == [str(tiny_model)]


def test_init_refuses_another_network(
    files: Path, config: Path, tiny_model: Path, tmp_path: Path
) -> None:
    line = ("train", files, "--init", tiny_model, "--output", tmp_path / "run")
    result = invoke(*line, "--config", config)
    assert result.exit_code == 1
    assert "leave out [model] and [preprocess]" in result.stderr
    assert not (tmp_path / "run").exists()


def test_init_is_the_first_candidate(
    train: Train, files: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    line = (files, "--init", tiny_model, "--output", run, "--epochs", 1)
    assert train(*line, "--learning-rate", 10).exit_code == 0  # which ruins it
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    assert [record["epoch"] for record in evaluations] == [0, 1]
    assert evaluations[0]["train_loss"] is None
    assert evaluations[0]["val_loss"] < evaluations[1]["val_loss"]
    model, before = ModelFile.load(run), ModelFile.load(tiny_model)
    assert all(np.array_equal(model.weights[k], before.weights[k]) for k in before.weights)


def test_a_name_that_is_no_text(train: Train, files: Path, tmp_path: Path) -> None:
    data, run = tmp_path / os.fsdecode(b"data\xff\n"), tmp_path / "run"
    try:
        shutil.copytree(files, data)
    except OSError:
        pytest.skip("the file system has Unicode names only")
    assert train(data, "--output", run, "--epochs", 1).exit_code == 0
    assert read_checkpoint(run)[0].data == str(data)
    load_settings("default", run / "config.toml")
    assert invoke("-q", "train", "--resume", run, "--epochs", 2).exit_code == 0


def table_of(files: Path, table: Path, start: str = "") -> Path:
    """Write a table of labeled files, whose paths begin with a text."""
    table.parent.mkdir()
    labels = (files / "labels.txt").read_text().splitlines()
    rows = [f"{start}{i}.png,{label.split()[0]}" for i, label in enumerate(labels)]
    table.write_text("image,text\n" + "\n".join(rows) + "\n")
    return table


def test_the_images_of_a_table_are_remembered(
    train: Train, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, run = table_of(files, tmp_path / "tables" / "t.csv"), tmp_path / "run"
    monkeypatch.chdir(files.parent)
    result = train(table, "--images", files.name, "--output", run, "--epochs", 1)
    assert result.exit_code == 0, result.stderr
    spec, _ = read_checkpoint(run)
    assert (spec.images, spec.allow_outside) == (str(files), False)
    record = json.loads((run / "split.json").read_text())
    assert sorted(record["train"] + record["val"], key=lambda name: int(name[:-4])) == [
        f"{i}.png" for i in range(len(list(files.glob("*.png"))))
    ]
    monkeypatch.chdir(tmp_path)
    assert invoke("-q", "train", "--resume", run, "--epochs", 2).exit_code == 0
    assert invoke("eval", run / "val.csv", "--model", run, "--threads", 1).exit_code == 0


def test_a_table_that_leads_elsewhere_needs_a_word(
    train: Train, files: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    table = table_of(files, tmp_path / "tables" / "t.csv", start=f"{files}/")
    result = train(table, "--output", run, "--epochs", 1)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "t.csv, line 2: image: expected a path inside" in result.stderr
    assert not run.exists()
    assert train(table, "--allow-outside", "--output", run, "--epochs", 1).exit_code == 0
    assert invoke("-q", "train", "--resume", run, "--epochs", 2).exit_code == 0
    assert invoke("eval", run / "val.csv", "--model", run, "--threads", 1).exit_code == 0
    assert train(table, "--val", run / "val.csv", "--output", tmp_path / "b").exit_code == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_process_ctrl_c_and_going_on(files: Path, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "a run"
    program = [sys.executable, "-m", "exprocr"]
    options = ["--epochs", "100000", "--synth-mix", "0.5", "--workers", "1", "--threads", "1"]
    process = subprocess.Popen(
        [*program, "train", str(files), "--config", str(config), "--output", str(run), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, as a shell makes one
    )
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any(line.startswith("epoch 1: ") for line in lines)
    os.killpg(process.pid, signal.SIGINT)  # the rendering process gets it too
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "interrupted" in stdout
    assert commands_in(stderr)[-1] == ["train", "--resume", str(run)]
    assert (run / "model.safetensors").is_file()

    spec, checkpoint = read_checkpoint(run)
    steps_per_epoch = 23  # 45 files, two in a batch
    assert checkpoint.state.step > 0
    epochs = checkpoint.state.step // steps_per_epoch + 1
    resumed = subprocess.run(
        [*program, *commands_in(stderr)[-1], "--epochs", str(epochs)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    assert f"{epochs} ({epochs * steps_per_epoch:,} steps)" in resumed.stdout
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    steps = [r["step"] for r in records if r["kind"] == "step"]
    assert steps == list(range(1, epochs * steps_per_epoch + 1))
    assert read_checkpoint(run)[0].settings == spec.settings


def test_what_a_finished_run_counted(train: Train, files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert "all steps done" in train(files, "--output", run, "--steps", 3).stdout
    assert "all steps done" in invoke("-q", "train", "--resume", run).stdout
    result = invoke("-q", "train", "--resume", run, "--epochs", 1)
    assert "all epochs done" in result.stdout
    assert "1 (12 steps)" in result.stdout


def test_resume_takes_limits_only(train: Train, files: Path, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(files, "--output", run, "--epochs", 1).exit_code == 0
    for args in (
        [files], ["--seed", 1], ["--config", config], ["--preset", "default"],
        ["--batch-size", 4], ["--output", tmp_path / "x"], ["--init", "bundled"],
        ["--synth-mix", 0], ["--fonts", tmp_path],
    ):  # fmt: skip
        result = invoke("train", "--resume", run, *args)
        assert result.exit_code == 2, args
        name = args[0]
        if name == files:
            name = "DATA, or give it with --data if it has moved"
        assert f"leave out {name}\n" in result.stderr
    limits = ("--epochs", 2, "--max-time", "10m", "--target-accuracy", 1, "--patience", 9)
    result = invoke("train", "--resume", run, *limits, "--workers", 0, "--threads", 1)
    assert result.exit_code == 0
    assert "2 (24 steps)" in result.stdout
    assert read_checkpoint(run)[0].limits.patience == 9
