"""The model file of a run: the tightest grammar for its labels, and a temperature that fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exprocr.core.decode.decoder import Decoder
from exprocr.core.evaluation.calibration import Calibration, calibrate
from exprocr.core.evaluation.measure import evaluate
from exprocr.core.evaluation.reliability import Reliability
from exprocr.core.model.artifact import MODEL_FILE_NAME, ModelFile, load_tensors
from exprocr.core.model.torch_engine import TorchEngine, build_network, export_weights, pick_device
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.runs.layout import CHECKPOINT_NAME
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.training import best, loop
from exprocr.training.checkpoint import ENTRY
from exprocr.training.limits import Limits
from exprocr.training.loop import Trainer
from exprocr.training.run import RunSpec
from tests.support.tiny_runs import (
    NEVER,
    Recorder,
    go_on,
    prepare,
    scripted_evaluations,
    start,
    tiny_settings,
)

LEVEL1 = ("1+2*3", "(4-5)-6", "7*(8+9)", "0-0-0")


pytestmark = pytest.mark.usefixtures("one_font")


def labeled(folder: Path, *texts: str) -> str:
    """Write a data set of blank pictures with these labels; return its place."""
    folder.mkdir(parents=True)
    for i in range(len(texts)):
        Image.new("L", (120, 20), 255).save(folder / f"{i}.png")
    (folder / "labels.txt").write_text("".join(f"{text}\n" for text in texts))
    return str(folder)


@pytest.mark.parametrize(
    ("texts", "grammar"),
    [
        (LEVEL1, "level1"),
        ((*LEVEL1, "12+34"), "expression"),
        ((*LEVEL1, "1/2"), "expression"),
        (("((((1))))", "-3"), "expression"),
        (("(((((1)))))", "3+3"), "none"),  # nested too deep for it
        (("12", "345", "6"), "digits"),
        (("12", "1+2*3"), "expression"),
        ((*LEVEL1, "1++"), "none"),
        (("12", "3", "a=b"), "none"),
    ],
)
def test_the_tightest_grammar_for_the_labels(
    tmp_path: Path, texts: tuple[str, ...], grammar: str
) -> None:
    data = labeled(tmp_path / "data", *texts)
    spec = RunSpec(settings=tiny_settings(), data=data, val=data)
    trainer = prepare(spec, tmp_path / "run")
    assert trainer.best.grammar.name == grammar
    recorder = Recorder(stop_after=1)
    trainer.train(Limits(), recorder, recorder.stop_requested)
    assert ModelFile.load(tmp_path / "run").grammar == grammar


def test_validation_labels_count_too(tmp_path: Path) -> None:
    data = labeled(tmp_path / "data", *LEVEL1)
    val = labeled(tmp_path / "val", "12-34")
    trainer = prepare(RunSpec(settings=tiny_settings(), data=data, val=val), tmp_path / "run")
    assert trainer.best.grammar.name == "expression"


@pytest.mark.parametrize(
    ("texts", "mix", "grammar"),
    [
        (None, 1.0, "level1"),
        (LEVEL1, 0.5, "level1"),
        (("12", "345", "6"), 0.5, "expression"),
        (("12", "3456", "6"), 0.0, "digits"),
        (("1=1", "2", "3"), 0.5, "equation"),
        (("1=1=1", "2", "3"), 0.5, "none"),
    ],
)
def test_rendered_texts_count_too(
    tmp_path: Path, texts: tuple[str, ...] | None, mix: float, grammar: str
) -> None:
    data = labeled(tmp_path / "data", *texts) if texts else None
    trainer = prepare(RunSpec(settings=tiny_settings(synth_mix=mix), data=data), tmp_path / "run")
    assert trainer.best.grammar.name == grammar


def reliability_of(run: Path, trainer: Trainer) -> Reliability:
    """Read the validation images with the run's model file."""
    result = Reliability()
    # Greedy, as it was calibrated: a network this poor is of two minds about its texts.
    recognizer = Recognizer.load(run, device="cpu", threads=1, decoder="greedy")
    readings = recognizer.read(trainer.validation.inks)
    for reading, text in zip(readings, trainer.validation.texts, strict=True):
        result.add(reading.confidence, reading.text == text)
    return result


def check_calibrated(run: Path, trainer: Trainer, calibration: Calibration) -> None:
    """Check the model file against the calibration, and this against the file's own network."""
    model = ModelFile.load(run)
    assert model.temperature == calibration.temperature
    assert model.training["val_ece"] == calibration.reliability.ece()
    found = reliability_of(run, trainer)
    assert found.correct == calibration.reliability.correct
    assert found.confidences == pytest.approx(calibration.reliability.confidences, rel=1e-3)
    engine = TorchEngine(build_network(model, pick_device("cpu")), pick_device("cpu"))
    log_probs = engine.log_probs(np.stack(trainer.validation.inks))
    decoder = Decoder(load_grammar(model.grammar, model.charset), method="greedy")
    again = calibrate([log_probs], trainer.validation.texts, decoder)
    assert again.temperature == pytest.approx(model.temperature, rel=1e-3)


def check_uncalibrated(run: Path, recorder: Recorder) -> None:
    model = ModelFile.load(run)
    assert model.temperature == 1.0
    assert "val_ece" not in model.training
    assert recorder.calibrations == []


def keep_readable(trainer: Trainer) -> None:
    """Let every other validation label be what the network reads, and keep it from learning."""
    for module in trainer.network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 0.0
    decoder = Decoder(trainer.best.grammar)
    ((indices, log_probs),) = trainer.recognizer.log_probs(trainer.validation.inks)
    for i, reading in zip(indices[::2], decoder(log_probs)[::2], strict=True):
        trainer.validation.texts[i] = reading.alternatives[0].text


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        (Limits(epochs=1), "finished"),
        (Limits(max_time_s=1e-9), "time_limit"),
        (Limits(target_accuracy=0.0), "target_accuracy"),
    ],
)
def test_calibrated_at_the_end(files: Path, tmp_path: Path, limits: Limits, outcome: str) -> None:
    run, recorder = tmp_path / "run", Recorder()
    settings = tiny_settings(learning_rate=1e-8)
    trainer = prepare(RunSpec(settings=settings, data=str(files)), run)
    keep_readable(trainer)
    assert trainer.train(limits, recorder, NEVER) == outcome
    (calibration,) = recorder.calibrations
    assert calibration.reliability.correct == [True, False] * 3
    assert 0.2 < calibration.temperature < 5
    check_calibrated(run, trainer, calibration)


def test_calibrated_when_interrupted_after_an_evaluation(files: Path, tmp_path: Path) -> None:
    run, recorder = tmp_path / "run", Recorder(stop_after=7)
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), run)
    assert trainer.train(Limits(), recorder, recorder.stop_requested) == "interrupted"
    assert len(recorder.evaluations) == 1
    (calibration,) = recorder.calibrations
    check_calibrated(run, trainer, calibration)


def test_not_calibrated_before_the_first_evaluation(files: Path, tmp_path: Path) -> None:
    run, recorder = tmp_path / "run", Recorder(stop_after=1)
    spec = RunSpec(settings=tiny_settings(), data=str(files))
    assert start(spec, run, recorder) == "interrupted"
    check_uncalibrated(run, recorder)
    recorder = Recorder(stop_after=1)
    assert go_on(run, recorder) == "interrupted"
    check_uncalibrated(run, recorder)
    recorder = Recorder()
    assert go_on(run, recorder) == "finished"
    (calibration,) = recorder.calibrations
    assert ModelFile.load(run).temperature == calibration.temperature


def test_the_initial_network_is_calibrated_once_it_is_evaluated(
    files: Path, tiny_model: Path, tmp_path: Path
) -> None:
    model = ModelFile.load(tiny_model)
    settings = tiny_settings()
    settings = type(settings)(
        model=model.model, preprocess=model.preprocess, training=settings.training
    )
    recorder = Recorder(stop_after=1)
    spec = RunSpec(settings=settings, data=str(files), init=str(tiny_model))
    assert start(spec, tmp_path / "run", recorder) == "interrupted"
    assert [record["epoch"] for record in recorder.evaluations] == [0]
    (calibration,) = recorder.calibrations
    kept = ModelFile.load(tmp_path / "run")
    assert kept.temperature == calibration.temperature
    assert all(np.array_equal(kept.weights[k], model.weights[k]) for k in model.weights)


def test_the_best_network_is_calibrated_and_the_last_one_goes_on(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    # The second epoch's network is the best.
    scripted_evaluations(monkeypatch, 100, (0.5, 2.0), (1.0, 1.0), (0.5, 3.0))
    seen: list[Any] = []

    def watched(batches: Any, texts: Any, decoder: Decoder) -> Calibration:
        seen.extend(batches)
        assert texts == trainer.validation.texts
        assert decoder.grammar.name == "level1"
        return calibrate(batches, texts, decoder)

    monkeypatch.setattr(best, "calibrate", watched)
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), run)
    assert trainer.train(Limits(), Recorder(), NEVER) == "finished"
    model = ModelFile.load(run)
    assert model.training["step"] == 10
    cpu = pick_device("cpu")
    inks = np.stack(trainer.validation.inks)
    of_best = TorchEngine(build_network(model, cpu), cpu).log_probs(inks)
    of_last = TorchEngine(trainer.network, cpu).log_probs(inks)
    np.testing.assert_allclose(seen[0], of_best, atol=1e-5)
    assert np.abs(of_best - of_last).max() > 0.01
    check_last(run, trainer)

    class Broken(Recognizer):
        def __init__(self) -> None:
            pass

        def log_probs(self, inks: Any) -> Any:
            raise MemoryError

    with pytest.raises(MemoryError):
        trainer.best.calibrate(Broken(), trainer.network, trainer.state, trainer.validation)
    check_last(run, trainer)


def check_last(run: Path, trainer: Trainer) -> None:
    """Check that the network in training has its own weights, not the best network's."""
    tensors, _ = load_tensors(run / CHECKPOINT_NAME, ENTRY)
    for name, value in export_weights(trainer.network).items():
        np.testing.assert_array_equal(value, tensors[f"network.{name}"], err_msg=name)


def test_a_run_killed_while_it_is_calibrated_goes_on(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    spec = RunSpec(settings=tiny_settings(), data=str(files))
    trainer = prepare(spec, run)

    def broken(*args: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(best, "calibrate", broken)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(Limits(), Recorder(), NEVER)
    check_uncalibrated(run, Recorder())
    # Nothing is lost: going on calibrates, as a run that was not broken did.
    recorder = Recorder()
    assert go_on(run, recorder) == "finished"
    assert (recorder.losses, len(recorder.calibrations)) == ([], 1)
    other = tmp_path / "other"
    assert start(spec, other) == "finished"
    assert (run / MODEL_FILE_NAME).read_bytes() == (other / MODEL_FILE_NAME).read_bytes()


def test_a_run_that_goes_on_keeps_a_better_networks_calibration(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time limit left it, in the middle of an epoch; the checkpoint knows nothing of it."""
    run = tmp_path / "run"
    losses = iter([2.0, 1.0, 3.0, 4.0, 5.0])
    monkeypatch.setattr(loop, "evaluate", lambda *args: (evaluate(*args)[0], next(losses)))
    spec = RunSpec(settings=tiny_settings(), data=str(files))
    assert start(spec, run, Recorder(stop_after=5)) == "interrupted"
    recorder = Recorder()
    assert go_on(run, recorder, max_time_s=1e-9) == "time_limit"
    assert [record["val_loss"] for record in recorder.evaluations] == [1.0]
    (calibration,) = recorder.calibrations
    left = (run / MODEL_FILE_NAME).read_bytes()
    assert ModelFile.load(run).training["val_ece"] == calibration.reliability.ece()
    recorder = Recorder()
    assert go_on(run, recorder, max_time_s=None) == "finished"
    assert [record["val_loss"] for record in recorder.evaluations] == [3.0, 4.0]
    assert recorder.calibrations == []  # there is nothing better to calibrate
    assert (run / MODEL_FILE_NAME).read_bytes() == left
