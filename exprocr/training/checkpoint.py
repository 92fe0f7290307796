"""Checkpoints: what a stopped run needs to go on as if it had not been stopped.

A checkpoint is one safetensors file: the network (``network.*``), the average of its weights
(``average.*``), the best network so far (``best.*``), the optimizer's moments
(``optimizer.<parameter>.<name>``), the state of PyTorch's random generators (``rng.*``), and a JSON
entry with the run's settings and counters. The order of the files and the rendering need no
generator's state: they follow from the seed and the step.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exprocr.core.config.settings import from_dict
from exprocr.core.evaluation.metrics import NO_SCORE, Score, score
from exprocr.core.model.artifact import ModelFile, check_version, load_tensors, save_tensors
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import export_weights, load_weights
from exprocr.core.system.limits import MAX_CHECKPOINT_BYTES
from exprocr.errors import ConfigError, ModelFileError

ENTRY = "exprocr_checkpoint"
FORMAT_VERSION = 1

MOST = 10**15
"""Largest counter."""


@dataclass
class TrainingState:
    """The counters of a run."""

    step: int = 0
    """Optimizer steps done."""

    best_exact_match: float = -1.0
    """Validation exact match of the best network; -1 before the first evaluation."""

    best_val_loss: float = 0.0
    """Its validation loss."""

    best_step: int = 0
    """Its step."""

    highest_exact_match: float = -1.0
    """Highest validation exact match so far, which that of the best network is as good as."""

    least_val_loss: float = math.inf
    """Least validation loss so far."""

    evaluations_since_best: int = 0
    """Evaluations since the last one that had the highest exact match or the least loss."""

    elapsed_s: float = 0.0
    """Seconds of training, over all sessions, without the time of evaluations."""

    epoch_loss: float = 0.0
    """Sum of the losses of the images since the last evaluation, nats."""

    epoch_exact: int = 0
    """How many of these images were read exactly in their training step."""

    epoch_edit_distance: float = 0.0
    """Sum of these images' normalized edit distances."""

    epoch_images: int = 0
    """Number of these images."""

    skipped_steps: int = 0
    """Steps that changed nothing, because their loss or gradient was not finite."""

    skipped_in_a_row: int = 0
    """How many of them are the last ones."""

    def __post_init__(self) -> None:
        """Take over what an older version wrote, which knew the highest one alone."""
        self.highest_exact_match = max(self.highest_exact_match, self.best_exact_match)

    @property
    def best_score(self) -> Score:
        """The score of the best network so far; `NO_SCORE` before the first evaluation."""
        return score(self.best_exact_match, self.best_val_loss)


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file."""

    state: TrainingState
    settings: dict[str, Any]
    """The run's settings, as `exprocr.training.run.RunSpec` writes them."""

    tensors: dict[str, NDArray[Any]]

    name: str
    """The file, for messages."""

    def part(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the tensors of one part, without its prefix."""
        start = prefix + "."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


def save_checkpoint(
    path: Path,
    *,
    state: TrainingState,
    settings: dict[str, Any],
    network: Network,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, torch.Tensor],
    best: dict[str, NDArray[Any]],
) -> None:
    """Write a checkpoint in place of the previous one.

    Raises:
        OutputError: The place cannot be written; the previous checkpoint is untouched.
    """
    tensors = {f"network.{k}": v for k, v in export_weights(network).items()}
    tensors |= {f"average.{k}": v.contiguous().cpu().numpy() for k, v in average.items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).cpu().numpy()
    tensors["rng.cpu"] = torch.get_rng_state().numpy()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state().numpy()
    entry = {
        "format_version": FORMAT_VERSION,
        "state": dataclasses.asdict(state),
        "settings": settings,
    }
    save_tensors(path, tensors, {ENTRY: entry})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ModelFileError: The file is missing, damaged, or of a newer program.
    """
    tensors, entry = load_tensors(path, ENTRY, "checkpoint", MAX_CHECKPOINT_BYTES)
    check_version(path, entry, FORMAT_VERSION)
    state, settings = entry.get("state"), entry.get("settings")
    if not isinstance(state, Mapping) or not isinstance(settings, dict):
        raise ModelFileError(f"{path}: {ENTRY}: expected state and settings, found {list(entry)}")
    if "rng.cpu" not in tensors:
        raise ModelFileError(f"{path}: expected a tensor 'rng.cpu', found none")
    try:
        counters = from_dict(TrainingState, state, "state")
        _check_counters(counters)
    except ConfigError as error:
        raise ModelFileError(f"{path}: {error}") from None
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ModelFileError(f"{path}: {name[:100]}: expected finite values, found others")
    return Checkpoint(counters, settings, tensors, str(path))


def _check_counters(state: TrainingState) -> None:
    """Check the ranges of a run's counters.

    Raises:
        ConfigError: One is outside.
    """
    for name, value in dataclasses.asdict(state).items():
        low = -1 if name.endswith("_exact_match") else 0
        # A validation loss may be anything, also not finite.
        if not name.endswith("_val_loss") and not low <= value <= MOST:
            raise ConfigError(f"state.{name}: expected {low} to {MOST}, found {value!r:.40}")


def restore(checkpoint: Checkpoint, network: Network, optimizer: torch.optim.Optimizer) -> None:
    """Restore weights, moments and random state from a checkpoint.

    Raises:
        ModelFileError: The weights or moments do not fit the network, or the random state cannot
            be used.
    """
    load_weights(network, checkpoint.part("network"), checkpoint.name)
    _check_best(checkpoint)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in _moments(checkpoint, optimizer).items():
        index, key = name.split(".", 1)
        moments.setdefault(int(index), {})[key] = torch.from_numpy(value)
    optimizer.load_state_dict(
        {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape:
                # In the parameter's memory format, as the optimizer makes it.
                values[key] = torch.empty_like(parameter).copy_(value)
    rng = checkpoint.part("rng")
    try:
        torch.set_rng_state(torch.from_numpy(np.array(rng["cpu"])))
        if "cuda" in rng and torch.cuda.is_available():
            torch.cuda.set_rng_state(torch.from_numpy(np.array(rng["cuda"])))
    except (RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelFileError(
            f"{checkpoint.name}: rng: expected the state of a random generator, found: {reason}"
        ) from None


def _check_best(checkpoint: Checkpoint) -> None:
    """Check that the best network, if there is one yet, has the shapes of the network."""
    best, network = (
        {name: values.shape for name, values in checkpoint.part(part).items()}
        for part in ("best", "network")
    )
    if best and best != network:
        raise ModelFileError(f"{checkpoint.name}: best.{_first_difference(network, best)}")


def _first_difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Return a message on the first name whose shapes differ, or that only one side has."""
    names = sorted(expected.keys() | found.keys())
    name = next(name for name in names if expected.get(name) != found.get(name))
    sides = [
        f"shape {shapes[name]}" if name in shapes else "no tensor" for shapes in (expected, found)
    ]
    return f"{name[:100]}: expected {sides[0]}, found {sides[1]}"


def _moments(checkpoint: Checkpoint, optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """Return the optimizer's moments by index and name; none before the first step."""
    found = checkpoint.part("optimizer")
    groups = optimizer.param_groups
    parameters = [(p, "num_gates" in group) for group in groups for p in group["params"]]
    expected: dict[str, tuple[int, ...]] = {}
    for index, (parameter, is_matrix) in enumerate(parameters):
        shape = tuple(parameter.shape)
        # A matrix of `exprocr.training.muon.Muon` has one moment, all else has AdamW's two.
        moments = ("momentum",) if is_matrix else ("exp_avg", "exp_avg_sq")
        expected |= {f"{index}.step": (), **{f"{index}.{name}": shape for name in moments}}
    shapes = {name: values.shape for name, values in found.items()}
    if found and shapes != expected:
        raise ModelFileError(f"{checkpoint.name}: optimizer.{_first_difference(expected, shapes)}")
    for name, values in found.items():
        if values.dtype != np.float32:
            raise ModelFileError(
                f"{checkpoint.name}: optimizer.{name}: expected float32, found {values.dtype}"
            )
    return found


def recorded_score(path: Path) -> Score:
    """Return what a run's model file says of its network's validation."""
    try:
        summary = ModelFile.load(path).training
        return score(float(summary["val_exact_match"]), float(summary["val_loss"]))
    except (ModelFileError, KeyError, TypeError, ValueError):
        return NO_SCORE
