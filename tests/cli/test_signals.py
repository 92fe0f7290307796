"""Ctrl-C, SIGTERM and SIGHUP: what is kept, and the exit codes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import tomli_w

from exprocr.core.data.dataset import load_dataset
from exprocr.core.system.files import atomic_write
from exprocr.training.run import read_checkpoint
from tests.support.pictures import matplotlib_fonts
from tests.support.predict_runs import draw
from tests.support.processes import (
    DEADLINE_S,
    Process,
    finish,
    run,
    send,
    start,
    wait_for_line,
    wait_until,
)
from tests.support.tiny_runs import SETTINGS

if sys.platform != "win32":
    import fcntl
    import termios

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

if __name__ == "__main__":
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
PRINTING = """
    try:
        wait()
    finally:
        print("kept", flush=True)
"""
ENDING = "    atexit.register(wait)"
POOL = """
    from exprocr.core.system.processes import starting_workers, worker_pool
    pool = worker_pool(2)
    with starting_workers():
        pool.submit(exec, "import time; time.sleep(1000)")
    try:
        wait()
    finally:
        print("ending", flush=True)
        pool.shutdown()
"""


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


def test_a_terminal_that_is_closed() -> None:
    master, terminal = os.openpty()
    process = start(
        code=COMMAND.format(body=PRINTING),
        **dict.fromkeys(("stdin", "stdout", "stderr"), terminal),
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    assert b"ready" in os.read(master, 1000)
    os.close(master)  # SIGHUP; from now on each write to the terminal fails
    assert process.wait(DEADLINE_S) == CODES["SIGHUP"]


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


def predict(place: Path, out: Path, *options: str) -> tuple[Process, Callable[[], object]]:
    process = start("-q", "predict", place / "data", "--output", out / "o.tsv", *options)
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
    *(("predict", "SIGHUP"), ("eval", "SIGTERM"), ("synth", "SIGTERM"), ("train", "SIGHUP")),
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


def test_what_a_killed_predict_had_read_is_never_thrown_away(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    earlier, partial = out / "o.tsv.partial", out / "o.tsv.partial-2"
    earlier.write_text("earlier\n")
    process, _ = predict(place, out)
    wait_until(process, lambda: partial.exists() and partial.stat().st_size > 1000)
    process.kill()
    finish(process)
    content = partial.read_text()
    lines = content.splitlines()
    assert [line.split("\t")[0].rpartition("/")[2] for line in lines] == [
        f"{number}.png" for number in range(1, len(lines) + 1)
    ]
    # Another command that writes the same place leaves it alone.
    with atomic_write(out / "o.tsv") as temporary:
        temporary.write_text("something else")
    code, _, stderr = run("predict", place / "0.png", "--output", out / "o.tsv")
    assert code == 0
    assert stderr.splitlines()[0] == (
        f"What an earlier run wrote that did not end is in {earlier}, {partial}"
    )
    assert sorted(os.listdir(out)) == ["o.tsv", earlier.name, partial.name]
    assert (earlier.read_text(), partial.read_text()) == ("earlier\n", content)
    assert len((out / "o.tsv").read_text().splitlines()) == 1


def test_a_second_ctrl_c_while_processes_end() -> None:
    process = command(POOL)
    send(process, signal.SIGINT)
    wait_for_line(process, "ending")
    send(process, signal.SIGINT)
    assert finish(process) == (130, "", "")  # when the processes have ended too


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(7))
def test_a_second_ctrl_c_at_synth(attempt: int, place: Path, tmp_path: Path) -> None:
    process, in_the_middle = synth(place, tmp_path)
    wait_until(process, in_the_middle)
    send(process, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(attempt / 20)  # at several points of the ending
    send(process, signal.SIGINT)
    code, stdout, stderr = finish(process)
    assert (code, stdout) == (130, "")
    assert not stderr or stderr.startswith("Interrupted")


@pytest.mark.slow
@pytest.mark.parametrize("sent", CODES)
@pytest.mark.parametrize("name", ["report", "visualize"])
def test_commands_that_keep_nothing(name: str, sent: str, tmp_path: Path) -> None:
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("cannot see what a process has loaded")
    options = ["--output", tmp_path / "o.png", draw(tmp_path / "0.png")]
    line = [name, tmp_path] if name == "report" else [name, *options]
    process = start(*line)
    maps = Path(f"/proc/{process.pid}/maps")
    wait_until(process, lambda: "libtorch_cpu" in maps.read_text())
    send(process, getattr(signal, sent))
    assert finish(process) == (CODES[sent], "", "\nexprocr: interrupted\n")
