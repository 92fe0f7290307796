"""Miniature training runs: a small network on small rendered images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from exprocr.cli import group
from exprocr.core.config.schema import Preset, SynthConfig
from exprocr.core.config.settings import from_dict
from exprocr.core.evaluation.calibration import Calibration
from exprocr.core.model.artifact import MODEL_FILE_NAME, load_tensors
from exprocr.core.runs.layout import CHECKPOINT_NAME, METRICS_NAME, TENSORS_NAME
from exprocr.core.text.expression import evaluate, format_value
from exprocr.synth.fonts import FontFile
from exprocr.synth.renderer import Renderer
from exprocr.training import loop
from exprocr.training.checkpoint import ENTRY, Checkpoint, TrainingState
from exprocr.training.limits import Limits, Outcome
from exprocr.training.loop import Trainer
from exprocr.training.run import RunSpec, read_checkpoint, read_data
from exprocr.training.setup import make_trainer

SIZE = (60, 20)
SYNTH: dict[str, Any] = {
    "width": SIZE[0],
    "height": SIZE[1],
    "degraded_share": 0.0,
    "faint_share": 0.0,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "model": {
        "conv1": {"kernel_sizes": [3], "channels": [4], "strides": [2], "pool": [1, 1]},
        "conv2": {"kernel_sizes": [3], "channels": [6], "strides": [1], "pool": [2, 2]},
        "conv3": {"kernel_sizes": [3], "channels": [6], "strides": [1], "pool": [2, 1]},
        "fc1_units": 12,
        "gru_units": 6,
        "dropout": 0.2,
    },
    "preprocess": {"height": SIZE[1]},
    "training": {
        "epochs": 3,
        "batch_size": 4,
        "images_per_epoch": 18,
        "val_images": 6,
        "val_fraction": 0.25,
        "checkpoint_every_steps": 3,
        "precision": "float32",  # on every machine
    },
    "augment": {"strength": 0.0},
    "synth": SYNTH,
}
"""As a TOML file has them: 15 frames an image, and batches of 4."""

BUILT_IN = FontFile("Built-in", "Regular", "")
NEVER: Callable[[], bool] = lambda: False  # noqa: E731


def invoke(*args: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(group, [str(arg) for arg in args])


def tiny_settings(**training: Any) -> Preset:
    """Return the settings, with other values of the training section."""
    values = SETTINGS | {"training": SETTINGS["training"] | training}
    return from_dict(Preset, values)


def write_files(folder: Path, num: int, seed: int = 0, synth: SynthConfig | None = None) -> Path:
    """Render a labeled set in Pillow's built-in font."""
    folder.mkdir(parents=True)
    renderer = Renderer([BUILT_IN], synth or SynthConfig(**SYNTH))
    lines = []
    for i in range(num):
        text, image = renderer.sample(seed, 0, i)
        image.save(folder / f"{i}.png")
        lines.append(f"{text} {format_value(evaluate(text))}\n")
    (folder / "labels.txt").write_text("".join(lines))
    return folder


class Recorder:
    """Notes what the loop tells; may stop or break it after a number of steps."""

    def __init__(self, stop_after: int | None = None, kill_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.kill_after = kill_after
        self.losses: list[float] = []
        self.evaluations: list[dict[str, Any]] = []
        self.calibrations: list[Calibration] = []

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        self.losses.append(record["loss"])
        if len(self.losses) == self.kill_after:
            raise RuntimeError("killed")

    def on_evaluation(self, record: dict[str, Any]) -> None:
        self.evaluations.append(record)

    def on_calibration(self, calibration: Calibration) -> None:
        self.calibrations.append(calibration)

    def stop_requested(self) -> bool:
        # Asked when one more step is under way, which is taken along.
        return len(self.losses) + 1 == self.stop_after


def prepare(spec: RunSpec, run_dir: Path, resume: Checkpoint | None = None) -> Trainer:
    spec, data = read_data(dataclasses.replace(spec, device="cpu"))
    return make_trainer(spec, data, run_dir, resume=resume)


def start(spec: RunSpec, run_dir: Path, recorder: Recorder | None = None) -> Outcome:
    """Train a new run."""
    recorder = recorder or Recorder()
    return prepare(spec, run_dir).train(spec.limits, recorder, recorder.stop_requested)


def go_on(
    run_dir: Path, recorder: Recorder | None = None, *, workers: int = 0, **limits: Any
) -> Outcome:
    """Resume a run."""
    recorder = recorder or Recorder()
    spec, checkpoint = read_checkpoint(run_dir)
    limits_now: Limits = dataclasses.replace(spec.limits, **limits)
    trainer = prepare(dataclasses.replace(spec, workers=workers), run_dir, checkpoint)
    return trainer.train(limits_now, recorder, recorder.stop_requested)


def scripted_evaluations(
    monkeypatch: pytest.MonkeyPatch, num_images: int, *results: tuple[float, float]
) -> None:
    """Give the evaluations of a run these exact matches and losses, of so many images."""
    remaining = iter(results)

    def evaluate(*args: Any) -> tuple[Any, float]:
        exact_match, loss = next(remaining)
        counts = {"exact_match": exact_match, "normalized_edit_distance": 0, "cer": 0}
        return SimpleNamespace(**counts, num_images=num_images), loss

    monkeypatch.setattr(loop, "evaluate", evaluate)


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Read the records without what depends on the clock."""
    lines = (run_dir / METRICS_NAME).read_text().splitlines()
    records = [json.loads(line) for line in lines]
    timed = ("images_per_s", "elapsed_s")
    return [{k: v for k, v in record.items() if k not in timed} for record in records]


def check_same(one: Path, other: Path) -> None:
    """Check that two runs came to the same, bit for bit, apart from times."""
    assert metrics(one) == metrics(other)
    for name in (MODEL_FILE_NAME, TENSORS_NAME):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    checkpoints = [load_tensors(run / CHECKPOINT_NAME, ENTRY) for run in (one, other)]
    (tensors, entry), (other_tensors, other_entry) = checkpoints
    assert tensors.keys() == other_tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, other_tensors[name], err_msg=name)
    states = [{**e["state"], "elapsed_s": None} for e in (entry, other_entry)]
    assert states[0] == states[1]
