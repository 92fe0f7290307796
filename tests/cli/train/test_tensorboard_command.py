"""``exprocr train --tensorboard``: asked for, remembered, not installed, not writable."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from click.testing import Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from exprocr.core.runs.layout import EVENTS_NAME
from exprocr.errors import ConfigError, OutputError
from exprocr.training.limits import Limits
from exprocr.training.observer import Observers
from exprocr.training.run import RunSpec
from exprocr.training.tensorboard import EventWriter, require_tensorboard, write_events
from tests.support.tiny_runs import SETTINGS, Recorder, invoke, prepare, tiny_settings

pytestmark = pytest.mark.usefixtures("one_font")

Train = Callable[..., Result]


@pytest.fixture
def train(files: Path, tmp_path: Path) -> Train:
    """Return a function that trains the tiny network for an epoch, quietly, in ``run``."""
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(SETTINGS))

    def run(*args: object, data: object = files) -> Result:
        new = ("--config", tmp_path / "tiny.toml", "--epochs", 1, "--output", tmp_path / "run")
        resumed = "--resume" in args
        machine = ("--device", "cpu", "--threads", 1)
        return invoke("-q", "train", *([] if resumed else [data, *new]), *args, *machine)

    return run


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let importing TensorBoard fail as where it is not installed."""
    for name in list(sys.modules):
        if name.startswith("torch.utils.tensorboard"):
            monkeypatch.delitem(sys.modules, name)

    class Missing:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == "tensorboard":
                raise ModuleNotFoundError("No module named 'tensorboard'", name=name)

    monkeypatch.delitem(sys.modules, "tensorboard")
    monkeypatch.setattr(sys, "meta_path", [Missing, *sys.meta_path])


def steps(run: Path) -> list[int]:
    return [e.step for e in EventAccumulator(str(run / EVENTS_NAME)).Reload().Scalars("loss/step")]


def test_asked_for_once_and_remembered(train: Train, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = train("--tensorboard")
    assert (result.exit_code, result.stderr) == (0, "")
    assert steps(run) == list(range(1, 6))
    assert train("--resume", run, "--epochs", 2).exit_code == 0
    assert steps(run) == list(range(1, 11))
    assert train("--resume", run, "--epochs", 3, "--tensorboard").exit_code == 0
    assert steps(run) == list(range(1, 16))


@pytest.mark.slow
def test_not_asked_for(train: Train, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train().exit_code == 0
    assert train("--resume", run, "--epochs", 2).exit_code == 0
    assert not (run / EVENTS_NAME).exists()


@pytest.mark.usefixtures("not_installed")
def test_not_installed(train: Train, tmp_path: Path) -> None:
    """It is said in one line, before the data is looked at."""
    result = train("--tensorboard", data=tmp_path / "no data")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "exprocr: --tensorboard needs the package tensorboard (No module named 'tensorboard'): "
        "pip install 'exprocr[tensorboard]'\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_goes_on_where_it_is_not_installed(
    train: Train, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run = tmp_path / "run"
    assert train("--tensorboard").exit_code == 0
    before = {path.name: path.read_bytes() for path in (run / EVENTS_NAME).iterdir()}
    request.getfixturevalue("not_installed")
    result = train("--resume", run, "--epochs", 2)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"warning: {run / EVENTS_NAME} is left as it is: --tensorboard needs")
    assert "2 (10 steps)" in result.stdout
    assert {path.name: path.read_bytes() for path in (run / EVENTS_NAME).iterdir()} == before
    assert train("--resume", run, "--epochs", 3, "--tensorboard").exit_code == 1


def test_an_installation_that_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == "torch.utils.tensorboard":
                raise TypeError("Descriptors cannot be created directly.\nIf this call came from")

    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    with pytest.raises(ConfigError, match=r"\(Descriptors cannot be created directly\.\): pip"):
        require_tensorboard()


def test_a_place_that_cannot_be_written(train: Train, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train().exit_code == 0
    (run / EVENTS_NAME).write_text("a file")
    result = train("--resume", run, "--epochs", 2)
    assert result.exit_code == 1
    first, *others = result.stderr.splitlines()
    assert first.startswith("stopped; go on with: exprocr train --resume")
    (line,) = others
    assert line.startswith(f"exprocr: {run / EVENTS_NAME}: cannot be written: ")


def test_a_place_whose_name_is_no_text(files: Path, tmp_path: Path) -> None:
    run = tmp_path / os.fsdecode(b"run\xff")
    try:
        run.mkdir()
    except OSError:
        pytest.skip("the file system has Unicode names only")
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), run)
    with pytest.raises(OutputError, match="needs a path that is text"), write_events(trainer):
        pytest.fail("it began")


@pytest.mark.parametrize("num_written", [0, 1, 7])
def test_a_full_disk(
    num_written: int,
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """TensorBoard writes in a thread of its own, which would print a traceback."""
    written: list[object] = []

    def write(self: object, data: object) -> None:
        if len(written) == num_written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(data)

    monkeypatch.setattr(event_file_writer.RecordWriter, "write", write)
    hook = threading.excepthook
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run")
    recorder = Recorder()
    with (
        pytest.raises(OutputError, match=r"tensorboard: cannot be written: No space left"),
        write_events(trainer) as events,
    ):
        trainer.train(Limits(epochs=2), Observers(events, recorder), lambda: False)
    assert threading.excepthook is hook
    assert capfd.readouterr().err == ""


def test_an_interrupt_ends_the_writing(files: Path, tmp_path: Path) -> None:
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run")
    before = set(threading.enumerate())
    writers: list[threading.Thread] = []

    def interrupted(events: EventWriter) -> None:
        writers.extend(set(threading.enumerate()) - before)
        events.on_step(
            trainer.state, {"kind": "step", "step": 1, "loss": 2.5, "learning_rate": 0.1}
        )
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), write_events(trainer) as events:
        interrupted(events)
    assert [writer.is_alive() for writer in writers] == [False]
    assert steps(tmp_path / "run") == [1]


def test_errors_of_other_threads_are_told(files: Path, tmp_path: Path) -> None:
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run")
    told: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
        with write_events(trainer):
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
    assert [type(error) for error in told] == [ZeroDivisionError]


def test_weights_that_are_not_finite(files: Path, tmp_path: Path) -> None:
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run")
    with torch.no_grad():
        trainer.network.fc2.bias.copy_(torch.arange(len(trainer.network.fc2.bias)))
        trainer.network.fc2.bias[:3] = torch.tensor([np.nan, np.inf, -np.inf])
        trainer.network.fc1.linear.weight.fill_(np.nan)
    with write_events(trainer) as events:
        events.on_evaluation({"kind": "evaluation", "step": 1, "val_loss": float("nan")})
    read = EventAccumulator(str(tmp_path / "run" / EVENTS_NAME)).Reload()
    found = read.Histograms("fc2/bias")[0].histogram_value
    num = len(trainer.network.fc2.bias)
    assert (found.num, found.min, found.max) == (num - 3, 3, num - 1)
    assert "fc1/linear.weight" not in read.Tags()["histograms"]
    assert np.isnan(read.Scalars("loss/val")[0].value)


def test_observers_are_told_in_order() -> None:
    told: list[tuple[str, str]] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, what: str) -> Callable[..., None]:
            return lambda *_: told.append((self.name, what))

    several: Any = Observers(Named("a"), Named("b"))
    several.on_step(None, {})
    several.on_evaluation({})
    several.on_calibration(None)
    assert told == [(n, f"on_{w}") for w in ("step", "evaluation", "calibration") for n in "ab"]
