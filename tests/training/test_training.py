"""Training: loss, learning rate, batches, when to stop, and what a run directory holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exprocr.core.config.schema import Preset, SynthConfig, TrainingConfig
from exprocr.core.config.settings import from_dict, load_settings
from exprocr.core.model.artifact import MODEL_FILE_NAME, ModelFile
from exprocr.core.model.torch_engine import export_weights
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.runs.summary import best_evaluation
from exprocr.core.text.charset import Charset
from exprocr.errors import ConfigError
from exprocr.training.limits import Limits
from exprocr.training.loss import TargetEncoder, Targets, ctc_losses
from exprocr.training.run import RunSpec
from exprocr.training.schedule import learning_rate_at, make_optimizer
from tests.support.ctc_oracle import brute_force, random_log_probs
from tests.support.tiny_runs import (
    NEVER,
    SETTINGS,
    SYNTH,
    Recorder,
    metrics,
    prepare,
    scripted_evaluations,
    start,
    tiny_settings,
    write_files,
)

pytestmark = pytest.mark.usefixtures("one_font")


def targets(texts: list[list[int]]) -> Targets:
    charset = Charset("ab")
    return TargetEncoder(charset)([charset.decode(ids) for ids in texts])


def log_loss(confidences: list[float], target: float) -> float:
    """Compute the mean cross entropy between a target and each confidence."""
    sure = np.array(confidences)
    return float(-(target * np.log(sure) + (1 - target) * np.log1p(-sure)).mean())


def test_overfits_16_images(tmp_path: Path) -> None:
    size = {"width": 120, "height": 40}
    data = write_files(tmp_path / "data", 16, synth=SynthConfig(**SYNTH | size))
    values: dict[str, Any] = SETTINGS | {"preprocess": {"height": 40}}
    values["model"] = SETTINGS["model"] | {
        "conv2": {"channels": [16], "kernel_sizes": [3], "strides": [1]},
        "conv3": {"channels": [32], "kernel_sizes": [3], "strides": [1], "pool": [2, 1]},
        "fc1_units": 48,
        "gru_units": 32,
        "dropout": 0.0,
    }
    values["training"] = {"epochs": 200, "batch_size": 8, "learning_rate": 1e-2}
    values["training"]["precision"] = "float32"  # the learning differs by seed and rounding
    settings = from_dict(Preset, values)
    spec = RunSpec(
        settings=settings, data=str(data), val=str(data), limits=Limits(target_accuracy=1.0)
    )
    recorder = Recorder()
    assert start(spec, tmp_path / "run", recorder) == "target_accuracy"
    assert recorder.losses[0] > 10 > 1 > recorder.losses[-1]
    # What was written reads the images, by the way every command takes.
    paths = [data / f"{i}.png" for i in range(16)]
    readings = Recognizer.load(tmp_path / "run", device="cpu", threads=1).predict(paths)
    truth = [line.split()[0] for line in (data / "labels.txt").read_text().splitlines()]
    assert [reading.text for reading in readings] == truth
    # They were validated on: what was calibrated is what is read.
    (calibration,) = recorder.calibrations
    assert calibration.reliability.correct == [True] * 16
    confidences = [reading.confidence for reading in readings]
    assert confidences == pytest.approx(calibration.reliability.confidences, rel=1e-4)
    # As sure as 16 right readings allow, (n + 1) / (n + 2), by one temperature for all: with
    # another they are further from it, by their log loss.
    model = ModelFile.load(tmp_path / "run")
    for factor in (0.9, 1.1):
        other = dataclasses.replace(model, temperature=model.temperature * factor)
        other.save(tmp_path / "other.safetensors")
        recognizer = Recognizer.load(tmp_path / "other.safetensors", device="cpu", threads=1)
        others = [reading.confidence for reading in recognizer.predict(paths)]
        assert log_loss(confidences, 17 / 18) < log_loss(others, 17 / 18)


@pytest.mark.parametrize("seed", range(5))
def test_loss_is_the_sum_over_all_alignments(seed: int) -> None:
    log_probs = random_log_probs(seed, 4, 3, 3)
    texts = [[1, 2], [2], [1, 1]]
    expected = [
        -np.log(brute_force(log_probs[:, i])[tuple(text)].prob) for i, text in enumerate(texts)
    ]
    losses = ctc_losses(torch.from_numpy(log_probs), targets(texts))
    assert losses.numpy() == pytest.approx(expected, rel=1e-9)


def test_loss_of_a_text_too_long_is_infinite() -> None:
    log_probs = torch.from_numpy(random_log_probs(0, 2, 1, 3))
    assert ctc_losses(log_probs, targets([[1, 1]])).item() == np.inf  # it needs a blank between
    assert np.isfinite(ctc_losses(log_probs, targets([[1, 2]])).item())


def test_learning_rate_by_hand() -> None:
    config = TrainingConfig(learning_rate=1.0, warmup_fraction=0.1)
    by_hand = {0: 0.04, 5: 0.52, 10: 1.0, 55: 0.505, 100: 0.01, 5000: 0.01}
    assert {s: learning_rate_at(s, 100, config) for s in by_hand} == pytest.approx(by_hand)
    rates = [learning_rate_at(s, 100, config) for s in range(101)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    # The shortest schedules, and no warm-up.
    for num_steps in (1, 2):
        assert 0 < learning_rate_at(0, num_steps, config) < learning_rate_at(1, num_steps, config)
    constant = dataclasses.replace(config, schedule="constant")
    assert {learning_rate_at(s, 100, constant) for s in (0, 50, 500)} == {1.0}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_only_kernels_and_matrices_decay(files: Path, tmp_path: Path, optimizer: Any) -> None:
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run")
    config = TrainingConfig(weight_decay=0.5, optimizer=optimizer)
    groups = make_optimizer(trainer.network, config).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in trainer.network.named_parameters():
        is_matrix = parameter.ndim > 1
        assert decay[id(parameter)] == (0.5 if is_matrix else 0), name
        assert is_matrix == ("weight" in name and "norm" not in name and ".1." not in name), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synth": {"width": 20}}, "synth.width: expected images wide enough for 7 frames, which"),
        ({"training": {"synth_mix": 0.5, "batch_size": 1}}, "training.batch_size: expected 2 or m"),
        (
            {"model": {"padding": False}, "preprocess": {"height": 9}},
            "preprocess.height: pictures 9 px high are too low",
        ),
    ],
)
def test_settings_that_contradict_each_other(
    files: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    settings = from_dict(Preset, change, base=tiny_settings(synth_mix=1.0))
    with pytest.raises(ConfigError) as caught:
        prepare(RunSpec(settings=settings, data=str(files)), tmp_path / "run")
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "run").exists()


def test_epochs_end_it(files: Path, tmp_path: Path) -> None:
    spec = RunSpec(settings=tiny_settings(), data=str(files), limits=Limits(epochs=1))
    recorder = Recorder()
    assert start(spec, tmp_path / "run", recorder) == "finished"
    assert len(recorder.losses) == 5
    assert len(recorder.evaluations) == 1
    # The schedule is as long as the settings say, whatever the limit.
    rates = [r["learning_rate"] for r in metrics(tmp_path / "run") if r["kind"] == "step"]
    assert rates == [learning_rate_at(s, 15, spec.settings.training) for s in range(5)]


def test_steps_in_place_of_epochs(files: Path, tmp_path: Path) -> None:
    spec = RunSpec(settings=tiny_settings(steps=7), data=str(files))
    recorder = Recorder()
    assert start(spec, tmp_path / "run", recorder) == "finished"
    assert [record["step"] for record in recorder.evaluations] == [5, 7]
    rates = [r["learning_rate"] for r in metrics(tmp_path / "run") if r["kind"] == "step"]
    assert rates == [learning_rate_at(s, 7, spec.settings.training) for s in range(7)]


@pytest.mark.parametrize(
    ("limits", "outcome", "num_epochs", "best_step"),
    [
        (Limits(epochs=9, patience=2), "patience", 4, 20),
        (Limits(epochs=10, patience=3), "patience", 9, 25),
        (Limits(epochs=9, target_accuracy=0.6), "target_accuracy", 5, 25),
        (Limits(epochs=9, target_accuracy=0.5), "target_accuracy", 1, 5),
        (Limits(epochs=6, patience=6, target_accuracy=0.7), "finished", 6, 25),
    ],
)
def test_stops(
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: Limits,
    outcome: str,
    num_epochs: int,
    best_step: int,
) -> None:
    # A gain by the loss, equal, equal with a greater loss, a gain by exact match, worse with the
    # least loss, no gain ... Of equals, the last one is the best.
    results = [(0.5, 2.0), (0.5, 1.0), (0.5, 1.0), (0.5, 3.0), (0.6, 9.0), *[(0.4, 0.1)] * 5]
    scripted_evaluations(monkeypatch, 1000, *results)
    spec = RunSpec(settings=tiny_settings(), data=str(files), limits=limits)
    trainer = prepare(spec, tmp_path / "run")
    recorder = Recorder()
    assert trainer.train(limits, recorder, NEVER) == outcome
    assert trainer.num_epochs_done == num_epochs
    assert trainer.state.best_step == best_step
    assert ModelFile.load(tmp_path / "run").training["step"] == best_step
    best = best_evaluation(recorder.evaluations)
    assert best is not None
    assert best["step"] == best_step
    assert len(recorder.calibrations) == 1
    model = (tmp_path / "run" / MODEL_FILE_NAME).read_bytes()
    assert trainer.train(limits, recorder, NEVER) == outcome  # there is nothing left to do
    assert len(recorder.losses) == 5 * num_epochs
    assert (tmp_path / "run" / MODEL_FILE_NAME).read_bytes() == model


def test_a_run_directory(files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = tiny_settings(seed=4)
    start(RunSpec(settings=settings, data=str(files)), run)
    names = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert names == {
        "model.safetensors",
        "model.onnx",
        "checkpoint/state.safetensors",
        "checkpoint/lock",
        "metrics.jsonl",
        "config.toml",
        "split.json",
        "val.csv",
        "tensors.bin",
    }
    assert load_settings("default", run / "config.toml") == settings
    record = json.loads((run / "split.json").read_text())
    assert record["seed"] == 4
    assert len(record["train"]) == 18
    assert sorted(record["train"] + record["val"]) == sorted(f"{i}.png" for i in range(24))
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    keys = {kind: [set(r) for r in records if r["kind"] == kind] for kind in ("step", "evaluation")}
    assert keys["step"] == [{"kind", "step", "epoch", "loss", "learning_rate", "elapsed_s"}] * 15
    figures = {"loss", "exact_match", "normalized_edit_distance", "cer"}
    train = {f"train_{name}" for name in figures - {"cer"}}
    evaluation = {"kind", "step", "epoch", "best_step", "images_per_s", "elapsed_s", *train}
    evaluation |= {f"val_{name}" for name in figures}
    assert keys["evaluation"] == [evaluation] * 3
    model = ModelFile.load(run)
    assert model.training["val_images"] == 6
    (best,) = (
        r["val_exact_match"]
        for r in records
        if r["kind"] == "evaluation" and r["step"] == model.training["step"]
    )
    assert model.training["val_exact_match"] == best
    assert model.grammar == "level1"
    summary = {"step", "batch_size", "seed", "val_images", "val_exact_match", "val_loss", "val_ece"}
    origin = {"versions", "train_images", "data_digest", "precision", "settings"}
    assert model.training.keys() == summary | origin


def test_split_of_parts_and_of_a_validation_set(files: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_files(tmp_path / "data" / part, 4)
    prepare(RunSpec(settings=tiny_settings(), data=str(tmp_path / "data")), tmp_path / "a")
    record = json.loads((tmp_path / "a" / "split.json").read_text())
    assert record["val"] == [f"val/{i}.png" for i in range(4)]
    spec = RunSpec(settings=tiny_settings(), data=str(files), val=str(tmp_path / "data" / "val"))
    prepare(spec, tmp_path / "b")
    record = json.loads((tmp_path / "b" / "split.json").read_text())
    assert len(record["train"]) == 24
    assert record["val"] == [f"{i}.png" for i in range(4)]


def test_init_takes_over_weights_and_charset(files: Path, tiny_model: Path, tmp_path: Path) -> None:
    model = ModelFile.load(tiny_model)
    settings = dataclasses.replace(tiny_settings(), model=model.model, preprocess=model.preprocess)
    spec = RunSpec(settings=settings, data=str(files), init=str(tiny_model))
    trainer = prepare(spec, tmp_path / "run")
    assert trainer.charset == model.charset
    weights = export_weights(trainer.network)
    assert weights.keys() == model.weights.keys()
    assert all(np.array_equal(weights[name], model.weights[name]) for name in weights)


def test_the_weights_of_init_give_way_only_to_better_ones(
    files: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before the training; equal with a greater loss; better by the loss; a little worse, which may
    # be chance; worse than the highest by more than that.
    results = [(0.5, 1.0), (0.5, 2.0), (0.5, 0.9), (0.49, 3.0), (0.483, 3.0)]
    scripted_evaluations(monkeypatch, 1000, *results)
    model = ModelFile.load(tiny_model)
    settings = dataclasses.replace(
        tiny_settings(epochs=4), model=model.model, preprocess=model.preprocess
    )
    spec = RunSpec(settings=settings, data=str(files), init=str(tiny_model))
    trainer = prepare(spec, tmp_path / "run")
    best = []
    for epochs in range(1, 5):
        trainer.train(Limits(epochs=epochs), Recorder(), NEVER)
        best.append(trainer.state.best_step)
    assert best == [0, 10, 15, 15]
    assert ModelFile.load(tmp_path / "run").training["val_exact_match"] == 0.49


def test_init_takes_new_characters_in(tiny_model: Path, tmp_path: Path) -> None:
    model = ModelFile.load(tiny_model)
    settings = dataclasses.replace(tiny_settings(), model=model.model, preprocess=model.preprocess)
    data = write_files(tmp_path / "data", 6)
    with (data / "labels.txt").open("a") as labels:
        labels.write("1/2 1/2\n=1\n")
    for number in (6, 7):
        Image.new("RGB", (60, 20)).save(data / f"{number}.png")
    spec = RunSpec(settings=settings, data=str(data), val=str(data), init=str(tiny_model))
    trainer = prepare(spec, tmp_path / "run")
    assert trainer.charset.characters == model.charset.characters + "/="
    weights = export_weights(trainer.network)
    num = model.charset.num_classes
    for name, known in model.weights.items():
        new = weights[name]
        if name.startswith("fc2."):
            assert new.shape == (num + 2, *known.shape[1:])
            new = new[:num]
        np.testing.assert_array_equal(new, known)
    assert np.unique(weights["fc2.weight"][num:]).size > 10  # random, and different
    assert trainer.train(Limits(epochs=1), Recorder(), NEVER) == "finished"
    assert ModelFile.load(tmp_path / "run").charset == trainer.charset


def test_dropout_is_on(files: Path, tmp_path: Path) -> None:
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run")
    modes: list[bool] = []
    trainer.network.dropout.register_forward_hook(lambda m, i, o: modes.append(m.training))
    trainer.train(Limits(epochs=1), Recorder(), NEVER)
    # Five steps, then the validation, and once more to calibrate.
    assert modes == [True] * 5 + [False] * 2
