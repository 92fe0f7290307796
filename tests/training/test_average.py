"""The moving average of the weights: against its closed form, and against a recorded run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from exprocr.core.model.artifact import ModelFile, load_tensors
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import export_weights
from exprocr.core.runs.layout import CHECKPOINT_NAME
from exprocr.errors import ModelFileError
from exprocr.training.average import AveragedWeights
from exprocr.training.checkpoint import ENTRY
from exprocr.training.run import RunSpec
from exprocr.training.step import Stepper
from tests.support.tiny_runs import go_on, start, tiny_settings


def closed_form(values: list[float], first: float, decay: float) -> float:
    """Return the average of a number that had these values after its steps: a weighted sum."""
    decays = [min(decay, (1 + t) / (10 + t)) for t in range(len(values))]
    weights = [(1 - d) * np.prod(decays[t + 1 :]) for t, d in enumerate(decays)]
    return float(np.dot(weights, values) + np.prod(decays) * first)


@pytest.mark.parametrize("decay", [0.05, 0.6, 0.99])
def test_the_average_is_a_weighted_sum_of_the_weights(decay: float) -> None:
    config = tiny_settings().model
    network = Network(config, height=20, num_classes=5)
    first = float(network.fc2.bias[1].detach())
    average = AveragedWeights(network, decay)
    values = np.random.default_rng(0).normal(size=40).tolist()
    for step, value in enumerate(values):
        with torch.no_grad():
            network.fc2.bias[1] = value
        average.update(step)
    expected = closed_form(values, first, decay)
    assert float(average.tensors["fc2.bias"][1]) == pytest.approx(expected, abs=1e-5)
    with average.in_place():
        assert float(network.fc2.bias[1].detach()) == pytest.approx(expected, abs=1e-5)
    assert float(network.fc2.bias[1].detach()) == pytest.approx(values[-1])


@pytest.fixture
def weights_of_steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, NDArray[Any]]]:
    """Record the weights before the first step and after each."""
    recorded: list[dict[str, NDArray[Any]]] = []
    take = Stepper.take

    def record(stepper: Stepper, *args: Any) -> Any:
        if not recorded:
            recorded.append(export_weights(stepper.network))
        taken = take(stepper, *args)
        recorded.append(export_weights(stepper.network))
        return taken

    monkeypatch.setattr(Stepper, "take", record)
    return recorded


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_run_saves_the_average(
    files: Path, tmp_path: Path, weights_of_steps: list[dict[str, NDArray[Any]]]
) -> None:
    settings = tiny_settings(ema_decay=0.7, steps=8, evaluate_every_steps=8)
    start(RunSpec(settings=settings, data=str(files)), tmp_path / "run")
    first, *steps = weights_of_steps
    assert len(steps) == 8
    tensors, entry = load_tensors(tmp_path / "run" / CHECKPOINT_NAME, ENTRY)
    best_step = entry["state"]["best_step"]
    model = ModelFile.load(tmp_path / "run").weights
    for name in (n for n, value in model.items() if value.dtype == np.float32):
        place = (0,) * model[name].ndim
        numbers = [float(step[name][place]) for step in steps]
        average, best = (
            closed_form(numbers[:num], float(first[name][place]), 0.7) for num in (8, best_step)
        )
        assert float(tensors[f"average.{name}"][place]) == pytest.approx(average, abs=1e-5)
        assert float(model[name][place]) == pytest.approx(best, abs=1e-5)
        np.testing.assert_array_equal(tensors[f"network.{name}"], steps[-1][name])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("change", ["none", "shape"])
def test_a_checkpoint_without_its_average(files: Path, tmp_path: Path, change: str) -> None:
    run = tmp_path / "run"
    start(RunSpec(settings=tiny_settings(ema_decay=0.9), data=str(files)), run)
    path = run / CHECKPOINT_NAME
    tensors, entry = load_tensors(path, ENTRY)
    if change == "none":
        tensors = {n: v for n, v in tensors.items() if not n.startswith("average.")}
    else:
        tensors["average.fc2.bias"] = tensors["average.fc2.bias"][:-1].copy()
    save_file(tensors, path, {ENTRY: json.dumps(entry)})
    with pytest.raises(ModelFileError, match=f"{CHECKPOINT_NAME}: average: expected"):
        go_on(run, epochs=9)
