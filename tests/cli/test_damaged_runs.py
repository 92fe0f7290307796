"""Every file of a run, damaged in many ways: one line that names it, no bug and no hang."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from exprocr.core.model.artifact import METADATA_KEY, MODEL_FILE_NAME, load_tensors
from exprocr.core.runs.layout import (
    CHECKPOINT_NAME,
    CONFIG_NAME,
    METRICS_NAME,
    SPLIT_NAME,
    TENSORS_NAME,
    VAL_NAME,
)
from exprocr.training.checkpoint import ENTRY
from exprocr.training.run import RunSpec
from tests.support.observed import ROOT
from tests.support.tiny_runs import Recorder, invoke, start, tiny_settings, write_files

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

RESUME = ("train", "--resume", "RUN", "--epochs", "1", "--threads", "1")
CURVES = ("visualize", "--kind", "curves", "--run", "RUN", "--output", "OUT.png")
DISTRIBUTIONS = ("visualize", "--kind", "distributions", "--run", "RUN", "--output", "OUT.png")
SAMPLES = ("visualize", "--kind", "samples", "--run", "RUN", "--output", "OUT.png")
PREDICT = ("predict", "--model", "RUN", "--threads", "1", "IMAGE")
EVAL = ("eval", "RUN/val.csv", "--model", "RUN", "--threads", "1")
REPORT = ("report", "RUN", "--output", "OUT.html", "--threads", "1")

COMMANDS = {
    METRICS_NAME: (RESUME, CURVES),
    CONFIG_NAME: (RESUME, SAMPLES),
    SPLIT_NAME: (RESUME, SAMPLES),
    VAL_NAME: (EVAL, SAMPLES),
    TENSORS_NAME: (RESUME, DISTRIBUTIONS),
    CHECKPOINT_NAME: (RESUME,),
    MODEL_FILE_NAME: (PREDICT, EVAL),
    "model.onnx": (PREDICT,),
}
"""The commands that read, or write, a file of a run."""

DEEP = 10_000


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run, with a picture beside it."""
    folder = tmp_path_factory.mktemp("damaged")
    write_files(folder / "data", 12)
    settings = tiny_settings(epochs=1, checkpoint_every_steps=100)
    start(RunSpec(settings=settings, data=str(folder / "data")), folder / "run", Recorder())
    return folder / "run"


def flip(content: bytes, position: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 0xFF
    return bytes(changed)


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "without its last byte": lambda content: content[:-1],
    "first byte flipped": lambda content: flip(content, 0),
    "middle byte flipped": lambda content: flip(content, len(content) // 2),
    "zeros": lambda content: bytes(len(content)),
    "noise": lambda content: np.random.default_rng(0).bytes(len(content)),
    "twice": lambda content: content + content,
    "more": lambda content: content + b"\xff\n[",
}

NUM_QUICK = 5
"""Kinds of damage that are not left to the slow tests."""


def check(run: Path, commands: tuple[tuple[str, ...], ...], name: str) -> list[int]:
    """Run commands on a damaged run; return their exit codes."""
    codes = []
    for command in commands:
        image = str(run.with_name("data") / "0.png")
        paths = {"RUN": str(run), "OUT": str(run.with_name("out")), "IMAGE": image}
        arguments = list(command)
        for short, path in paths.items():
            arguments = [argument.replace(short, path) for argument in arguments]
        result = invoke("-q", *arguments)
        lines = result.stderr.splitlines()
        assert "bug" not in result.stderr, (command, result.stderr)
        assert "Traceback" not in result.stderr
        assert result.exit_code in (0, 1), (command, result.stderr)
        if result.exit_code:
            errors = [line for line in lines if line.startswith("exprocr: ")]
            assert len(errors) == 1, result.stderr
            assert name in errors[0], (command, errors)
            assert len(errors[0]) < 1000, command
        codes.append(result.exit_code)
    return codes


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan the plots, but do not draw them, which takes most of the time."""
    if "slow" not in request.keywords:
        for module in ("train.run", "visualize.curves", "visualize.tensors", "visualize.samples"):
            monkeypatch.setattr(f"exprocr.cli.{module}.save_picture", lambda *_: None)


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, and of what lies beside it."""
    shutil.copytree(original.parent / "data", tmp_path / "data")
    return Path(shutil.copytree(original, tmp_path / "run"))


@pytest.mark.parametrize(
    "damage",
    [pytest.param(name, marks=() if i < NUM_QUICK else pytest.mark.slow)
     for i, name in enumerate(BYTES)],
)  # fmt: skip
@pytest.mark.parametrize("name", COMMANDS)
def test_bytes(run: Path, name: str, damage: str) -> None:
    path = run / name
    path.write_bytes(BYTES[damage](path.read_bytes()))
    check(run, COMMANDS[name], path.name)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("is_folder", [False, True])
def test_missing_or_a_folder(run: Path, name: str, is_folder: bool) -> None:
    path = run / name
    path.unlink()
    if is_folder:
        path.mkdir()
    check(run, COMMANDS[name], path.name)


@pytest.mark.slow
def test_a_pipe_in_its_place(run: Path) -> None:
    """In another process with a limit, because a pipe that is opened waits for ever."""
    code = """
import os, sys
from pathlib import Path
from tests.cli.test_damaged_runs import COMMANDS, check

run = Path(sys.argv[1])
for name, commands in COMMANDS.items():
    (run / name).rename(run.with_name("kept"))
    os.mkfifo(run / name)
    check(run, commands, Path(name).name)
    (run / name).unlink()
    run.with_name("kept").rename(run / name)
"""
    subprocess.run(
        [sys.executable, "-c", code, str(run)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=True,
    )


STEP = {"kind": "step", "step": 3, "epoch": 1, "loss": 2.0, "learning_rate": 0.1, "elapsed_s": 1.0}
EVALUATION = {"kind": "evaluation", "step": 3, "epoch": 1, "val_exact_match": 0.5}


def nested(depth: int = DEEP) -> str:
    return "[" * depth + "]" * depth


LINES: list[str] = [
    "null",
    "[1]",
    '"text"',
    "{",
    "\x00",
    "1" * 5000,
    nested(),
    '{"a": ' * DEEP + "1" + "}" * DEEP,
    *(
        json.dumps({**base, **change})
        for base in (STEP, EVALUATION)
        for change in (
            {"step": None},
            {"step": "3"},
            {"step": -1},
            {"step": True},
            {"step": 2**70},
            {"step": 1.5},
            {"step": math.nan},
            {"epoch": None},
            {"epoch": [1]},
            {"epoch": math.inf},
            {"elapsed_s": "1"},
            {"elapsed_s": math.nan},
            {"elapsed_s": 1e300},
            {"elapsed_s": -1.0},
            {"images_per_s": math.inf},
            {"images_per_s": -5},
        )
    ),
    json.dumps({**STEP, "loss": {}}),
    *(json.dumps({**STEP, "loss": v}) for v in (10**400, math.nan, 1e308, -1e308, 1e38, -1.0, 0)),
    *(json.dumps({**STEP, "learning_rate": value}) for value in (math.nan, -1.0, 0)),
    *(json.dumps({**EVALUATION, "val_exact_match": v}) for v in ("1", math.nan, 1e300, -3)),
    *(json.dumps({**EVALUATION, "val_loss": v}) for v in ("1", math.nan, 1e308)),
    json.dumps({"kind": "step", "step": 3}),
    json.dumps({"kind": "step"}),
    json.dumps({"kind": "evaluation", "step": 3}),
    json.dumps({"kind": ["step"], "step": 3}),
    json.dumps({"kind": None}),
    "{}",
]
"""Lines of metrics.jsonl."""


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_lines_of_the_metrics(run: Path, line: str) -> None:
    path = run / METRICS_NAME
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([first, line, *others]) + "\n")
    codes = check(run, (RESUME, CURVES), f"{METRICS_NAME}, line 2: ")
    assert len(set(codes)) == 1  # what one command refuses, so does the other


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_lines_of_the_metrics_are_drawn(run: Path, line: str) -> None:
    test_lines_of_the_metrics(run, line)


SETTINGS = [
    "a = " + nested(),
    "[training]\nepochs = " + nested(),
    "a." * DEEP + "a = 1",
    "[training]\nepochs = " + "1" * 5000,
    "[training]\nepochs = 'many'",
    "[training]\nval_images = -1",
    "[training]\nseed = nan",
    "[training]\nspeed = 1",
    "training = 1",
    "[synth]\nfonts = 'here'",
    "[synth]\nfonts = [1]",
    "[synth]\nfonts = ['\\u0000']\nsystem_fonts = false",
    "\x00",
    "[[training]]",
]


@pytest.mark.parametrize("text", SETTINGS, ids=range(len(SETTINGS)))
def test_settings(run: Path, text: str) -> None:
    for name in (VAL_NAME, SPLIT_NAME):  # so that the pictures are rendered by the settings
        (run / name).unlink()
    (run / CONFIG_NAME).write_text(text)
    assert check(run, (SAMPLES,), CONFIG_NAME) == [1]
    check(run, (RESUME,), CONFIG_NAME)


def test_a_report_leaves_out_what_is_damaged(run: Path) -> None:
    (run / CONFIG_NAME).write_text("a." * DEEP + "a = 1")
    (run / METRICS_NAME).write_text(LINES[7] + "\n\n")
    (run / TENSORS_NAME).write_bytes(b"{}")
    (run / VAL_NAME).write_text("image,text\n")
    result = invoke("-q", "report", run, "--threads", 1)
    assert result.exit_code == 0
    for name in (CONFIG_NAME, METRICS_NAME, TENSORS_NAME, VAL_NAME):
        assert f"{run / name}" in result.stderr


TABLES = [
    "image,text\n",
    "image\n1.png\n",
    "image,text\n0.png\n",
    'image,text\n"0.png,1+1\n',
    "image,text\n\x00,1+1\n",
    f"image,text\n{'a' * 5000},1+1\n",
    f"image,text\n0.png,{'1' * 5000}\n",
    "image,text,value\n0.png,1+1,two\n",
]


@pytest.mark.parametrize("text", TABLES, ids=range(len(TABLES)))
def test_tables(run: Path, text: str) -> None:
    (run / VAL_NAME).write_text(text)
    check(run, (EVAL, SAMPLES), VAL_NAME)


STATES: list[dict[str, Any]] = [
    {"step": -1},
    {"step": 2**70},
    {"step": "1"},
    {"elapsed_s": math.nan},
    {"elapsed_s": math.inf},
    {"epoch_images": -4},
    {"best_exact_match": math.nan},
    {"best_exact_match": -2.0},
    {"highest_exact_match": math.nan},
    {"epoch_loss": math.inf},
    {"skipped_in_a_row": -1},
    {"unknown": 1},
]
SPECS: list[dict[str, Any]] = [
    {"threads": 0},
    {"threads": 10**9},
    {"workers": -1},
    {"workers": 10**9},
    {"device": "abacus"},
    {"precision": "float7"},
    {"charset": 5},
    {"charset": "11"},
    {"charset": ["1"]},
    {"data": 5},
    {"limits": []},
    {"settings": {"training": {"epochs": 0}}},
    {"settings": {"model": {"gru_units": 10**9}}},
    {"settings": None},
]


@pytest.mark.parametrize("part", ["state", "settings"])
@pytest.mark.parametrize("number", range(max(len(STATES), len(SPECS))))
def test_entries_of_a_checkpoint(run: Path, part: str, number: int) -> None:
    changes = {"state": STATES, "settings": SPECS}[part]
    if number >= len(changes):
        return
    path = run / CHECKPOINT_NAME
    tensors, entry = load_tensors(path, ENTRY)
    entry[part] |= changes[number]
    save_file(tensors, path, {ENTRY: json.dumps(entry)})
    assert check(run, (RESUME,), path.name) == [1]


TENSORS: dict[str, Callable[[Any], Any]] = {
    "rng.cpu float": lambda x: x.astype(np.float32),
    "rng.cpu short": lambda x: x[:10],
    "rng.cpu zeros": np.zeros_like,
    "network.fc2.bias shape": lambda x: x[:1],
    "network.fc2.bias nan": lambda x: x * np.nan,
    "best.fc2.bias shape": lambda x: x[:1],
    "best.fc2.bias none": lambda x: None,
    "best.fc2.bias inf": lambda x: x + np.inf,
    "optimizer.0.exp_avg shape": lambda x: x[:1],
    "optimizer.0.exp_avg none": lambda x: None,
    "optimizer.0.exp_avg nan": lambda x: x * np.nan,
    "optimizer.0.exp_avg double": lambda x: x.astype(np.float64),
    "optimizer.0.step none": lambda x: None,
    "optimizer.0.step shape": lambda x: np.zeros(2, np.float32),
    "optimizer.999.exp_avg more": lambda x: np.zeros(2, np.float32),
    "optimizer.x.exp_avg more": lambda x: np.zeros(2, np.float32),
    "optimizer.none more": lambda x: np.zeros(2, np.float32),
}


@pytest.mark.parametrize("change", TENSORS)
def test_tensors_of_a_checkpoint(run: Path, change: str) -> None:
    path = run / CHECKPOINT_NAME
    tensors, entry = load_tensors(path, ENTRY)
    name = change.split()[0]
    tensors[name] = TENSORS[change](tensors.get(name))
    kept = {key: value for key, value in tensors.items() if value is not None}
    save_file(kept, path, {ENTRY: json.dumps(entry)})
    assert check(run, (RESUME,), path.name) == [1]


METADATA: list[dict[str, Any]] = [
    {"format_version": 10**30},
    {"model": []},
    {"model": {"gru_units": -1}},
    {"preprocess": {"height": 10**12}},
    {"charset": ""},
    {"charset": {}},
    {"grammar": ["level1"]},
    {"temperature": math.nan},
    {"temperature": 10**400},
    {"training": 5},
]


@pytest.mark.parametrize("number", range(len(METADATA)))
def test_metadata_of_a_model(run: Path, number: int) -> None:
    path = run / MODEL_FILE_NAME
    _, entry = load_tensors(path, METADATA_KEY)
    save_file(load_file(path), path, {METADATA_KEY: json.dumps(entry | METADATA[number])})
    check(run, (PREDICT,), path.name)


HEADERS: list[dict[str, Any]] = [
    {"format_version": 99},
    {"format_version": "1"},
    {"num_bins": 10**30},
    {"num_bins": 0},
    {"percentiles": [1]},
    {"names": []},
    {"names": [1]},
    {"shapes": [[10**30]]},
    {"shapes": None},
    {"more": 1},
]


@pytest.mark.parametrize("number", range(len(HEADERS)))
def test_headers_of_the_tensor_record(run: Path, number: int) -> None:
    path = run / TENSORS_NAME
    header, _, rest = path.read_bytes().partition(b"\n")
    changed = json.dumps(json.loads(header) | HEADERS[number]).encode()
    path.write_bytes(changed + b"\n" + rest)
    assert check(run, (RESUME, DISTRIBUTIONS), path.name) == [1, 1]


def test_a_tensor_record_nested_too_deep(run: Path) -> None:
    (run / TENSORS_NAME).write_text(nested() + "\n")
    assert check(run, (RESUME, DISTRIBUTIONS), TENSORS_NAME) == [1, 1]
