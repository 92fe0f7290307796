"""Ctrl-C, SIGTERM and SIGHUP: what is kept, and the exit codes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from exprocr.core.data.dataset import load_dataset
from exprocr.training.run import read_checkpoint
from tests.support.pictures import matplotlib_fonts
from tests.support.predict_runs import draw
from tests.support.processes import (
    Process,
    finish,
    send,
    start,
    wait_for_line,
    wait_until,
)
from tests.support.tiny_runs import SETTINGS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals there")

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}

NUM_IMAGES = 5000
"""So many that reading them takes longer than sending a signal."""

COMMAND = """
import atexit, click, signal, sys
from exprocr import cli

def wait():
    print("ready", flush=True)
    while True:
        signal.pause()

def body():
{body}

cli.LazyGroup.get_command = lambda self, ctx, name: click.Command(name, callback=body)
sys.argv = ["exprocr", "try"]
cli.main()
"""
"""A program whose only command does something else."""

WAITING = "    wait()"
CLEANING_UP = """
    try:
        wait()
    finally:
        wait()
"""
ENDING = "    atexit.register(wait)"


def command(body: str, **options: object) -> Process:
    process = start(code=COMMAND.format(body=body), **options)
    wait_for_line(process, "ready")
    return process


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("body", [WAITING, ENDING], ids=["waiting", "ending"])
def test_any_command(name: str, body: str) -> None:
    process = command(body)
    process.send_signal(getattr(signal, name))
    said = "\nexprocr: interrupted\n" if body == WAITING else ""
    assert finish(process) == (CODES[name], "", said)


@pytest.mark.parametrize("first", CODES)
def test_the_second_ctrl_c_ends_at_once(first: str) -> None:
    process = command(CLEANING_UP)
    process.send_signal(getattr(signal, first))
    wait_for_line(process, "ready")
    # As a closed terminal and `timeout` do: the same again, which changes nothing.
    for repeated in (signal.SIGTERM, signal.SIGHUP):
        process.send_signal(repeated)
    process.send_signal(signal.SIGINT)
    assert finish(process) == (CODES[first], "", "")


def test_a_signal_that_is_ignored_from_the_start_stays_ignored() -> None:
    process = command(WAITING, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a labeled set, whose first picture is damaged, and settings."""
    folder = tmp_path_factory.mktemp("place")
    data = folder / "data"
    data.mkdir()
    draw(folder / "0.png")
    for number in range(1, NUM_IMAGES):
        os.link(folder / "0.png", data / f"{number}.png")
    (data / "0.png").write_text("no picture")
    (data / "labels.txt").write_text("(7+5)+4 16\n" * NUM_IMAGES)
    fonts = folder / "fonts"
    fonts.mkdir()
    shutil.copy(matplotlib_fonts() / "DejaVuSans.ttf", fonts)
    synth = SETTINGS["synth"] | {"system_fonts": False, "fonts": [str(fonts)]}
    (folder / "tiny.toml").write_text(tomli_w.dumps(SETTINGS | {"synth": synth}))
    return folder


def predict(place: Path, out: Path) -> tuple[Process, Callable[[], object]]:
    process = start("-q", "predict", place / "data", "--output", out / "o.tsv")
    return process, lambda: any(file.stat().st_size for file in out.iterdir())


def check_predict(out: Path, stderr: str) -> None:
    partial = out / "o.tsv.partial"
    assert os.listdir(out) == [partial.name]
    lines = partial.read_text().splitlines()
    assert f"What was written so far, {len(lines):,} line" in stderr
    assert [line.split("\t")[0].rpartition("/")[2] for line in lines] == [
        f"{number}.png" for number in range(1, len(lines) + 1)
    ]


def evaluate(place: Path, out: Path) -> tuple[Process, Callable[[], object]]:
    process = start("-q", "eval", place / "data", "--json", out / "o.json")
    assert process.stderr is not None
    assert "0.png" in process.stderr.readline()  # reading has begun
    return process, lambda: True


def check_eval(out: Path, stderr: str) -> None:
    assert os.listdir(out) == []


def synth(place: Path, out: Path) -> tuple[Process, Callable[[], object]]:
    process = start(
        *("-q", "synth", out, "-n", "200000", "--workers", "2"),
        *("--config", place / "tiny.toml"),
    )
    return process, (out / "60.png").exists


def check_synth(out: Path, stderr: str) -> None:
    # Not a word from the processes that rendered.
    match = re.fullmatch(r"Interrupted: ([0-9,]+) of 200,000 images are in .*\n", stderr)
    assert match, stderr
    num_kept = int(match[1].replace(",", ""))
    assert num_kept >= 50
    assert sorted(os.listdir(out)) == sorted(
        ["labels.txt", *(f"{number}.png" for number in range(num_kept))]
    )
    assert load_dataset(out).warnings == []


def train(place: Path, out: Path) -> tuple[Process, Callable[[], object]]:
    process = start(
        *("-q", "train", "--synth-mix", "1", "--config", place / "tiny.toml", "--epochs", "100000"),
        *("--output", out / "run", "--workers", "1", "--threads", "1"),
    )
    return process, (out / "run" / "model.safetensors").exists


def check_train(out: Path, stderr: str) -> None:
    assert read_checkpoint(out / "run")[1].state.step > 0
    assert "go on with: exprocr train --resume" in stderr.splitlines()[-1]


COMMANDS = {
    "predict": (predict, check_predict),
    "eval": (evaluate, check_eval),
    "synth": (synth, check_synth),
    "train": (train, check_train),
}
QUICK = {
    *(("predict", "SIGTERM"), ("predict", "SIGHUP"), ("eval", "SIGTERM")),
    *(("synth", "SIGTERM"), ("synth", "SIGINT"), ("train", "SIGHUP")),
}


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        pytest.param(name, sent, marks=[] if (name, sent) in QUICK else pytest.mark.slow)
        for name in COMMANDS
        for sent in CODES
    ],
)
def test_what_ctrl_c_keeps_every_signal_keeps(
    name: str, sent: str, place: Path, tmp_path: Path
) -> None:
    begin, check = COMMANDS[name]
    out = tmp_path / "out"
    out.mkdir()
    process, in_the_middle = begin(place, out)
    wait_until(process, in_the_middle)
    send(process, getattr(signal, sent))
    code, _, stderr = finish(process)
    assert code == CODES[sent], stderr
    assert "Traceback" not in stderr
    check(out, stderr)
