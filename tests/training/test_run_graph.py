"""The graph of a run: always that of the model file beside it, or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from exprocr.core.evaluation.measure import evaluate
from exprocr.core.model.artifact import MODEL_FILE_NAME, ModelFile
from exprocr.core.model.loading import load_model
from exprocr.core.model.onnx_engine import OnnxEngine, load_graph
from exprocr.core.model.onnx_export import write_graph
from exprocr.errors import ModelFileError, OutputError
from exprocr.training import best, loop
from exprocr.training.checkpoint import TrainingState
from exprocr.training.run import RunSpec
from tests.support.tiny_runs import (
    SETTINGS,
    Recorder,
    check_same,
    go_on,
    invoke,
    prepare,
    scripted_evaluations,
    start,
    tiny_settings,
)

pytestmark = pytest.mark.usefixtures("one_font")


def check_match(run: Path) -> ModelFile:
    model = ModelFile.load(run)
    info, digest, _ = load_graph(run / "model.onnx")
    assert digest == model.weights_digest()
    assert info.metadata() == model.metadata()
    assert type(load_model(run).engine) is OnnxEngine
    return model


class Checking(Recorder):
    """Looks at the run's files after every evaluation."""

    def __init__(self, run: Path, **options: Any) -> None:
        super().__init__(**options)
        self.run = run
        self.steps: list[int] = []

    def on_evaluation(self, record: dict[str, Any]) -> None:
        super().on_evaluation(record)
        model = check_match(self.run)
        assert model.temperature == 1.0
        self.steps.append(model.training["step"])


def scripted_losses(monkeypatch: pytest.MonkeyPatch, *losses: float) -> None:
    remaining = iter(losses)
    monkeypatch.setattr(loop, "evaluate", lambda *args: (evaluate(*args)[0], next(remaining)))


def test_it_matches_after_every_evaluation_and_calibrated(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    recorder = Checking(run)
    scripted_evaluations(monkeypatch, 100, (0.5, 3.0), (0.9, 2.0), (0.5, 4.0), (1.0, 1.0))
    settings = tiny_settings(epochs=4)
    assert start(RunSpec(settings=settings, data=str(files)), run, recorder) == "finished"
    assert recorder.steps == [5, 10, 10, 20]
    (calibration,) = recorder.calibrations
    assert check_match(run).temperature == calibration.temperature != 1.0
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_a_run_that_is_interrupted_and_goes_on(files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    spec = RunSpec(settings=tiny_settings(), data=str(files))
    assert start(spec, run, Checking(run, stop_after=1)) == "interrupted"
    first = check_match(run)  # not evaluated yet
    recorder = Checking(run, stop_after=6)
    assert go_on(run, recorder) == "interrupted"
    assert (recorder.steps, len(recorder.calibrations)) == ([5], 1)
    second = check_match(run)
    assert go_on(run, Checking(run)) == "finished"
    digests = {model.weights_digest() for model in (first, second, check_match(run))}
    assert len(digests) == 3


def test_a_time_limit_leaves_a_better_network(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    scripted_losses(monkeypatch, 2.0, 1.0, 3.0, 0.5)
    spec = RunSpec(settings=tiny_settings(), data=str(files))
    assert start(spec, run, Recorder(stop_after=5)) == "interrupted"
    before = check_match(run).weights_digest()
    assert go_on(run, Recorder(), max_time_s=1e-9) == "time_limit"
    better = check_match(run).weights_digest()
    assert better != before
    recorder = Recorder()
    assert go_on(run, recorder, max_time_s=None) == "finished"
    assert [record["val_loss"] for record in recorder.evaluations] == [3.0, 0.5]
    assert check_match(run).weights_digest() not in (before, better)


def test_to_write_it_changes_nothing_else(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec(settings=tiny_settings(), data=str(files))
    one, other = tmp_path / "one", tmp_path / "other"
    assert start(spec, one) == "finished"
    assert (one / "model.onnx").exists()
    monkeypatch.setattr(best, "write_graph", lambda *args: 0.0)
    assert start(spec, other) == "finished"
    assert not (other / "model.onnx").exists()
    check_same(one, other)


def failing(monkeypatch: pytest.MonkeyPatch, *failures: int) -> None:
    """Let some of the graphs not be written, counted from 0."""
    written = 0

    def write(model: ModelFile, path: Path) -> float:
        nonlocal written
        written += 1
        assert not path.exists()
        assert ModelFile.load(path.parent).weights_digest() == model.weights_digest()
        if written - 1 in failures:
            raise ModelFileError(f"{model.name}: no likeness in graph {written - 1}")
        return write_graph(model, path)

    monkeypatch.setattr(best, "write_graph", write)


@pytest.mark.parametrize(
    ("failures", "left"), [((1,), True), ((0, 1), True), ((2, 3), False), ((0, 1, 2, 3), False)]
)
def test_a_graph_that_is_no_likeness_is_gone_and_training_goes_on(
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failures: tuple[int, ...],
    left: bool,
) -> None:
    run, recorder = tmp_path / "run", Recorder()
    scripted_losses(monkeypatch, 3.0, 2.0, 1.0)
    failing(monkeypatch, *failures)  # three evaluations and the calibration
    spec = RunSpec(settings=tiny_settings(), data=str(files))
    trainer = prepare(spec, run)
    assert trainer.train(spec.limits, recorder, recorder.stop_requested) == "finished"
    assert len(recorder.evaluations) == 3
    model = ModelFile.load(run)
    assert model.training["step"] == 15
    assert model.temperature == recorder.calibrations[0].temperature
    if left:
        check_match(run)
        assert trainer.best.graph_problem == ""
    else:
        assert not (run / "model.onnx").exists()
        said = f"{run / MODEL_FILE_NAME}: no likeness in graph 3"
        assert trainer.best.graph_problem == said
        assert "no such graph, so PyTorch reads" in load_model(run).remark


@pytest.mark.parametrize("broken", [True, False])
@pytest.mark.parametrize("quiet", [["-q"], []])
def test_the_command_tells_of_it(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: list[str], broken: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # no cell of the table folds
    config, run = tmp_path / "tiny.toml", tmp_path / "run"
    config.write_text(tomli_w.dumps(SETTINGS))
    failing(monkeypatch, *range(9 * broken))
    machine = ("--threads", 1, "--device", "cpu", "--epochs", 1)
    result = invoke(*quiet, "train", files, "--config", config, "--output", run, *machine)
    assert result.exit_code == 0
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    said = f"warning: {run / MODEL_FILE_NAME}: no likeness in graph 1"
    assert warnings == ([said] if broken else [])
    rows = [line.split()[0] for line in result.stdout.splitlines() if line]
    assert ("graph" in rows, "model" in rows) == (not broken, True)
    assert (run / "model.onnx").exists() == (not broken)


def test_no_old_graph_stands_beside_a_new_model_file(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    spec = RunSpec(settings=tiny_settings(), data=str(files))
    assert start(spec, run) == "finished"
    trainer = prepare(spec, tmp_path / "other")
    trainer.best.path, trainer.best.graph_path = run / MODEL_FILE_NAME, run / "model.onnx"
    saved = []

    def save(model: ModelFile, path: Path) -> None:
        assert not (run / "model.onnx").exists()
        saved.append(path)
        raise KeyboardInterrupt  # as if it were killed here

    with monkeypatch.context() as patch:
        patch.setattr(ModelFile, "save", save)
        with pytest.raises(KeyboardInterrupt):
            trainer.best.keep(trainer.network, TrainingState(best_exact_match=1.0))
    assert saved == [run / MODEL_FILE_NAME]
    trainer.best.keep(trainer.network, TrainingState(best_exact_match=1.0))
    check_match(run)


def test_a_place_that_cannot_be_written(files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "model.onnx").mkdir(parents=True)
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), run)
    with pytest.raises(OutputError, match=rf"^{run / 'model.onnx'}: cannot be written: "):
        trainer.best.keep(trainer.network, TrainingState())
