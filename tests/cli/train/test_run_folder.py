"""One training at a time writes a run directory, and the directory stays where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from click.testing import Result

from exprocr.cli.train.run import ProgressBar
from exprocr.core.runs.layout import CHECKPOINT_NAME
from exprocr.errors import OutputError
from exprocr.training.limits import Limits
from exprocr.training.run import RunSpec
from tests.support.tiny_runs import (
    NEVER,
    SETTINGS,
    Recorder,
    check_same,
    invoke,
    prepare,
    start,
    tiny_settings,
)

fcntl = pytest.importorskip("fcntl")

LOCK = "checkpoint/lock"
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
input()
"""
"""A program that locks a file, by POSIX's locks, until it is killed."""


def is_locked(lock: Path) -> bool:
    """Return whether another process cannot have a lock."""
    command = [sys.executable, "-c", HOLD, str(lock)]
    done = subprocess.run(command, input="\n", capture_output=True, text=True)
    return "BlockingIOError" in done.stderr


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Lock a run directory in another process, which is killed in the end."""
    (run / LOCK).parent.mkdir(parents=True, exist_ok=True)
    (run / LOCK).write_text("4711\n")
    command = [sys.executable, "-c", HOLD, str(run / LOCK)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.kill()


@pytest.fixture
def train(files: Path, tmp_path: Path) -> Callable[..., Result]:
    config = tmp_path / "tiny.toml"
    config.write_text(tomli_w.dumps(SETTINGS))

    def run(folder: Path, *args: object) -> Result:
        options = ("--config", config, "--epochs", 1, "--output", folder, *args)
        return invoke("-q", "train", files, *options)

    return run


def check_refused(result: Result, run: Path) -> None:
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"exprocr: {run}: expected a folder that no training writes, found one")
    assert "process 4711" in line


def test_a_second_training_is_refused(train: Callable[..., Result], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with held(run):
        check_refused(train(run), run)
        assert sorted(os.listdir(run)) == ["checkpoint"]
    # The lock ends with its process, and what it leaves is in nobody's way.
    assert train(run).exit_code == 0


def test_resuming_a_training_that_runs_is_refused(files: Path, tmp_path: Path) -> None:
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    spec = RunSpec(settings=tiny_settings(epochs=1), data=str(files))
    start(spec, unbroken)
    start(spec, run, Recorder(2))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with held(run):
        before[run / LOCK] = (run / LOCK).read_bytes()
        check_refused(invoke("-q", "train", "--resume", run), run)
        assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert invoke("-q", "train", "--resume", run).exit_code == 0
    check_same(run, unbroken)


def test_a_training_holds_its_folder(files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer = prepare(RunSpec(settings=tiny_settings(epochs=1), data=str(files)), run)
    assert is_locked(run / LOCK)
    # Not read in this process: POSIX releases a lock when its process closes the file anywhere.
    assert subprocess.check_output(["cat", run / LOCK], text=True) == f"{os.getpid()}\n"
    trainer.train(Limits(), Recorder(), NEVER)
    assert is_locked(run / LOCK)
    trainer.folder.release()
    assert not is_locked(run / LOCK)


@pytest.mark.parametrize("left", [[], [LOCK], [LOCK, "checkpoint/.state.123.safetensors"]])
def test_killed_before_anything_was_written(
    train: Callable[..., Result], tmp_path: Path, left: list[str]
) -> None:
    run = tmp_path / "run"
    (run / "checkpoint").mkdir(parents=True)
    for name in left:
        (run / name).touch()
    assert train(run).exit_code == 0


@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_a_used_folder_is_refused(
    train: Callable[..., Result], tmp_path: Path, has_checkpoint: bool
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").touch()
    if has_checkpoint:
        (run / "checkpoint").mkdir()
        (run / CHECKPOINT_NAME).touch()
    result = train(run)
    assert result.exit_code == 1
    # Going on is advised only where it is possible.
    assert ("go on with --resume" in result.stderr) == has_checkpoint


def remove(run: Path) -> None:
    shutil.rmtree(run)


def rename(run: Path) -> None:
    run.rename(run.with_name("renamed"))


def replace(run: Path) -> None:
    rename(run)
    run.mkdir()


@pytest.mark.parametrize("lose", [remove, rename, replace])
@pytest.mark.parametrize("step", [1, 4, 5, 15])
def test_a_folder_that_is_lost_is_not_made_anew(
    files: Path, tmp_path: Path, lose: Callable[[Path], None], step: int
) -> None:
    run = tmp_path / "run"
    spec = RunSpec(settings=tiny_settings(), data=str(files))
    trainer, recorder = prepare(spec, run), Recorder()

    def on_step(state: Any, record: dict[str, Any]) -> None:
        if record["step"] == step:
            lose(run)

    recorder.on_step = on_step  # type: ignore[method-assign]
    with pytest.raises(OutputError, match="it was removed or renamed while the run went on"):
        trainer.train(Limits(), recorder, NEVER)
    assert not run.exists() or os.listdir(run) == []


def test_the_command_says_that_the_folder_is_lost(
    train: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(ProgressBar, "on_calibration", lambda *_: remove(run))  # before its end
    result = train(run)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"exprocr: {run}: expected the run's folder, found that it was removed")
    assert not run.exists()
