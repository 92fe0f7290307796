"""A schedule that fits into the time: planned with a clock of ours, and without any trace."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from exprocr.core.evaluation import measure
from exprocr.training import budget
from exprocr.training.limits import Limits
from exprocr.training.run import RunSpec, read_data
from exprocr.training.setup import make_trainer
from exprocr.training.step import Stepper
from tests.support.tiny_runs import (
    NEVER,
    SETTINGS,
    Recorder,
    check_same,
    invoke,
    start,
    tiny_settings,
)

REFERENCE = Path(__file__).parents[2] / "docs/reference.md"

STEP_S, EVALUATION_S = 2.0, 3.0
"""What a step and an evaluation of all validation images take on the clock of the tests."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    take = Stepper.take

    def count(stepper: Stepper, *args: Any) -> Any:
        nonlocal now
        now += STEP_S if args[0] else 50.0  # the first step does what later ones need not
        return take(stepper, *args)

    def count_evaluation(recognizer: Any, images: Any) -> Any:
        nonlocal now
        now += EVALUATION_S * len(images.inks) / 6
        return measure.evaluate(recognizer, images)

    monkeypatch.setattr(Stepper, "take", count)
    monkeypatch.setattr(budget, "evaluate", count_evaluation)
    monkeypatch.setattr(time, "monotonic", lambda: now)


def fitted(files: Path, run: Path, seconds: float, **training: Any) -> int:
    spec, data = read_data(RunSpec(settings=tiny_settings(**training), data=str(files)))
    return make_trainer(spec, data, run, fit_s=seconds).num_steps


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("num_read", [4, 256])
@pytest.mark.parametrize("every", [0, 2])
def test_steps_and_evaluations_fit(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_read: int, every: int
) -> None:
    monkeypatch.setattr(budget, "NUM_READ", num_read)
    seconds, epochs = 5000.0, 10_000
    planned = fitted(files, tmp_path / "run", seconds, epochs=epochs, evaluate_every_steps=every)
    # At the end of each epoch of 5 steps, or at the multiples of another number; two in the end.
    num_evaluations = planned // (every or 5) + 2
    used = planned * STEP_S + num_evaluations * EVALUATION_S
    # For measuring: the first step, which is longer than half a minute, others, and an evaluation
    # of some of the 6 images.
    share = {4: 3 / 6, 256: 1}[num_read]
    left = 0.93 * (seconds - 50 - (budget.LEAST_STEPS - 1) * STEP_S - 2 * share * EVALUATION_S)
    assert left - 2 * (STEP_S + EVALUATION_S) < used <= left


def test_the_reference_says_how_many_steps_few_images_get() -> None:
    said = " ".join(REFERENCE.read_text(encoding="utf-8").split())
    assert f"at least {budget.FEWEST_STEPS:,} steps" in said
    assert f"at most every {budget.EVALUATION_STEPS} steps" in said


def test_few_images_get_as_many_steps_as_they_need(files: Path, tmp_path: Path) -> None:
    """They have 5 steps per epoch, and the settings 3 epochs."""

    def made(name: str, **training: Any) -> tuple[int, int]:
        spec, data = read_data(RunSpec(settings=tiny_settings(**training), data=str(files)))
        trainer = make_trainer(spec, data, tmp_path / name, by_need=True)
        config = trainer.config
        return trainer.num_steps, config.evaluate_every_steps or 5

    assert made("few") == (budget.FEWEST_STEPS, budget.EVALUATION_STEPS)
    assert made("own", evaluate_every_steps=7) == (budget.FEWEST_STEPS, 7)
    many = budget.FEWEST_STEPS // 5
    assert made("many", epochs=many) == (5 * many, 5)


@pytest.mark.parametrize(
    ("options", "settings", "steps"),
    [
        ([], {}, 24),
        (["--init", "MODEL"], {}, 24),
        (["--epochs", 2], {}, 2),
        (["--steps", 7], {}, 7),
        ([], {"epochs": 2}, 2),
        (["--max-time", "1h"], {"steps": 9}, 9),
    ],
)
def test_who_names_a_length_gets_it(
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_model: Path,
    options: list[object],
    settings: dict[str, int],
    steps: int,
) -> None:
    monkeypatch.setattr(budget, "FEWEST_STEPS", 24)
    # An epoch is one step, and 20 are the default.
    values: dict[str, Any] = {"training": {"batch_size": 18, "val_fraction": 0.25} | settings}
    if "--init" not in options:
        values |= {name: SETTINGS[name] for name in ("model", "preprocess")}
    (tmp_path / "few.toml").write_text(tomli_w.dumps(values))
    options = [tiny_model if option == "MODEL" else option for option in options]
    line = ("train", files, "--config", tmp_path / "few.toml", *options)
    result = invoke(*line, "--output", tmp_path / "run", "--threads", 1)
    assert result.exit_code == 0, result.stderr
    assert f"; {steps:,} steps in " in result.stderr


@pytest.mark.usefixtures("clock")
def test_no_schedule_gets_longer_and_none_is_empty(files: Path, tmp_path: Path) -> None:
    assert fitted(files, tmp_path / "long", 1e6) == 15
    assert fitted(files, tmp_path / "steps", 1e6, steps=8) == 8
    assert fitted(files, tmp_path / "short", 1.0) == 1


def test_measuring_leaves_no_trace(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "MOST_MEASURED_S", 0.0)
    straight, measured = tmp_path / "straight", tmp_path / "measured"
    spec = RunSpec(settings=tiny_settings(steps=15), data=str(files), device="cpu")
    start(spec, straight)
    spec = dataclasses.replace(spec, settings=tiny_settings())
    spec, data = read_data(spec)
    trainer = make_trainer(spec, data, measured, fit_s=1e6)
    assert trainer.train(Limits(), Recorder(), NEVER) == "finished"
    check_same(measured, straight)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the times, s, that the command asks to fit into: a thousand steps fit into each."""
    times: list[float] = []

    def steps_within(seconds: float, *_: Any) -> int:
        times.append(seconds)
        return 1000

    monkeypatch.setattr("exprocr.training.setup.steps_within", steps_within)
    monkeypatch.setattr(budget, "FEWEST_STEPS", 20)
    monkeypatch.setattr("exprocr.core.config.settings.PRESETS", {"default": tiny_settings()})
    return times


@pytest.mark.parametrize(
    ("arguments", "steps"), [((), 20), (("--epochs", "3"), 0), (("--steps", "4"), 4)]
)
def test_the_command_shortens_only_what_has_no_length(
    files: Path, tmp_path: Path, asked: list[float], arguments: Any, steps: int
) -> None:
    run = tmp_path / "run"
    result = invoke("train", files, "--output", run, "--max-time", "9m", *arguments)
    assert result.exit_code == 0, result.stderr
    assert asked == ([540.0] if not arguments else [])
    assert f"\nsteps = {steps}\n" in (run / "config.toml").read_text()
    assert f"{steps or 15} steps in" in result.stderr


@pytest.mark.parametrize(
    ("table", "is_measured"),
    [("seed = 3", True), ("epochs = 3", False), ("steps = 9", False), ('schedule = "constant"', 0)],
)
def test_a_file_of_settings_may_say_how_long(
    files: Path, tmp_path: Path, asked: list[float], table: str, is_measured: bool
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"[training]\n{table}\n")
    arguments = ("train", files, "--config", config, "--max-time", "1h")
    assert invoke(*arguments, "--output", tmp_path / "run").exit_code == 0
    assert asked == ([3600.0] if is_measured else [])


def test_epochs_or_steps(files: Path) -> None:
    result = invoke("train", files, "--epochs", 1, "--steps", 1)
    assert (result.exit_code, "give --epochs or --steps, not both" in result.stderr) == (2, True)
