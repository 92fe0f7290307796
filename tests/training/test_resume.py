"""A run that was stopped, or killed, and resumed is the run that was not: bit for bit."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from exprocr.core.config.schema import AUTO_STRENGTH, AugmentConfig
from exprocr.core.config.settings import from_dict, load_settings
from exprocr.core.model.artifact import MODEL_FILE_NAME, ModelFile, load_tensors
from exprocr.core.runs.layout import CHECKPOINT_NAME, CONFIG_NAME, METRICS_NAME
from exprocr.errors import ConfigError, DataError, ModelFileError
from exprocr.training import loop
from exprocr.training.checkpoint import ENTRY, TrainingState, load_checkpoint, save_checkpoint
from exprocr.training.limits import Limits
from exprocr.training.run import RunSpec, read_checkpoint
from tests.support.pictures import matplotlib_fonts
from tests.support.tiny_runs import (
    NEVER,
    Recorder,
    check_same,
    go_on,
    metrics,
    prepare,
    start,
    tiny_settings,
)

# Rendering processes are forked, which newer Pythons advise against beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

STEPS = {"files": 5, "mixed": 9, "rendered": 5}
"""Steps an epoch: 18 files by 4, the same by 2, and 18 rendered images by 4."""


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fonts")
    shutil.copy(matplotlib_fonts() / "DejaVuSans.ttf", folder)
    return folder


def spec_of(kind: str, files: Path, fonts: Path) -> RunSpec:
    mix = {"files": 0.0, "mixed": 0.5, "rendered": 1.0}[kind]
    is_mixed = kind == "mixed"
    settings = tiny_settings(synth_mix=mix)
    if is_mixed:
        settings = tiny_settings(synth_mix=mix, ema_decay=0.9, optimizer="muon")
        augment = AugmentConfig(strength=0.5, unchanged_share=0.3)
        settings = dataclasses.replace(settings, augment=augment)
    synth = dataclasses.replace(settings.synth, fonts=(str(fonts),), system_fonts=False)
    data = None if kind == "rendered" else str(files)
    return RunSpec(settings=dataclasses.replace(settings, synth=synth), data=data)


@pytest.fixture(scope="module")
def straight(files: Path, fonts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the directories of runs that were not stopped, by kind."""
    runs = {}
    for kind in STEPS:
        runs[kind] = tmp_path_factory.mktemp("straight") / kind
        recorder = Recorder()
        assert start(spec_of(kind, files, fonts), runs[kind], recorder) == "finished"
        (calibration,) = recorder.calibrations
        assert ModelFile.load(runs[kind]).temperature == calibration.temperature != 1.0
        assert len([r for r in metrics(runs[kind]) if r["kind"] == "step"]) == 3 * STEPS[kind]
    return runs


@pytest.mark.parametrize(
    ("kind", "stops"),
    [("files", (1, 5, 2)), ("files", (7,)), ("mixed", (8, 4)), ("rendered", (7,))],
)
def test_stopped_and_resumed(
    kind: str,
    stops: tuple[int, ...],
    straight: dict[str, Path],
    files: Path,
    fonts: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    assert start(spec_of(kind, files, fonts), run, Recorder(stops[0])) == "interrupted"
    done = stops[0]
    for steps in stops[1:]:
        assert go_on(run, Recorder(steps)) == "interrupted"
        done += steps
        evaluated = done >= STEPS[kind]
        assert ("val_ece" in ModelFile.load(run).training) == evaluated
    recorder = Recorder()
    assert go_on(run, recorder) == "finished"
    assert len(recorder.calibrations) == 1
    check_same(run, straight[kind])
    assert go_on(run) == "finished"  # nothing is left to do, nothing changes
    check_same(run, straight[kind])


@pytest.mark.parametrize("kind", ["mixed", "rendered"])
def test_rendering_processes_change_nothing(
    kind: str, straight: dict[str, Path], files: Path, fonts: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    spec = dataclasses.replace(spec_of(kind, files, fonts), workers=1)
    assert start(spec, run, Recorder(STEPS[kind] + 2)) == "interrupted"
    assert go_on(run, workers=0) == "finished"
    check_same(run, straight[kind])


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 8])
def test_killed_and_resumed(
    steps: int, straight: dict[str, Path], files: Path, fonts: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="killed"):
        start(spec_of("files", files, fonts), run, Recorder(kill_after=steps))
    with (run / METRICS_NAME).open("a") as file:  # written, but after the last checkpoint
        file.write('{"kind": "step", "step": 9, "epoch": 2, "loss": 1.0}\n{"kind": "st')
    assert go_on(run) == "finished"
    check_same(run, straight["files"])


def test_killed_before_the_first_step(
    straight: dict[str, Path], files: Path, fonts: Path, tmp_path: Path
) -> None:
    run, spec = tmp_path / "run", spec_of("files", files, fonts)
    prepare(spec, run)
    for path in run.iterdir():  # the checkpoint is written before all other files
        if path.is_file():
            path.unlink()
    assert go_on(run) == "finished"
    check_same(run, straight["files"])


def test_killed_while_the_weights_it_starts_from_are_validated(
    straight: dict[str, Path], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = str(straight["files"] / MODEL_FILE_NAME)
    spec = RunSpec(settings=tiny_settings(epochs=1), data=str(files), init=init)
    unbroken, run = tmp_path / "unbroken", tmp_path / "run"
    start(spec, unbroken)

    def dying(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("killed")

    trainer = prepare(spec, run)
    for name in ("evaluate", "save_checkpoint"):  # before it is recorded, and after
        with monkeypatch.context() as patch:
            patch.setattr(loop, name, dying)
            with pytest.raises(RuntimeError, match="killed"):
                trainer.train(Limits(), Recorder(), NEVER)
    assert go_on(run) == "finished"
    check_same(run, unbroken)
    assert [r["step"] for r in metrics(run) if r["kind"] == "evaluation"] == [0, 5]


def test_killed_while_a_checkpoint_is_saved(
    straight: dict[str, Path],
    files: Path,
    fonts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    saved: list[int] = []

    def dying(*args: Any, **kwargs: Any) -> None:
        if len(saved) == 3:  # before the first step, after the third, after the fifth
            raise RuntimeError("killed")
        save_checkpoint(*args, **kwargs)
        saved.append(1)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", dying)
        with pytest.raises(RuntimeError, match="killed"):
            start(spec_of("files", files, fonts), run)
    assert load_checkpoint(run / CHECKPOINT_NAME).state.step == 5
    assert go_on(run) == "finished"
    check_same(run, straight["files"])


def test_time_limit_leaves_no_trace(
    straight: dict[str, Path],
    files: Path,
    fonts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, now = tmp_path / "run", [0.0]
    spec = dataclasses.replace(spec_of("files", files, fonts), limits=Limits(max_time_s=16))
    recorder = Recorder()

    class Clock:
        @staticmethod
        def monotonic() -> float:
            now[0] += 1
            return now[0]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", Clock)
        assert start(spec, run, recorder) == "time_limit"
    # Two looks at the clock a step, one at the start, one after the evaluation of step 5.
    assert len(recorder.losses) == 8
    assert [e["step"] for e in recorder.evaluations] == [5, 8]  # what it came to is measured
    assert [e["elapsed_s"] for e in recorder.evaluations] == [10, 16]
    assert recorder.evaluations[1]["images_per_s"] == (18 + 3 * 4) / 16
    assert go_on(run, max_time_s=None) == "finished"
    check_same(run, straight["files"])


def test_more_epochs_continue_the_schedule(straight: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(straight["files"], run)
    recorder = Recorder()
    assert go_on(run, recorder, epochs=4) == "finished"
    assert len(recorder.losses) == 5
    rates = [r["learning_rate"] for r in metrics(run) if r["kind"] == "step"]
    assert rates[15:] == [pytest.approx(4e-5)] * 5  # a hundredth of the peak


def test_a_run_older_than_augmentation_goes_on_without(
    straight: dict[str, Path], files: Path, fonts: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    start(spec_of("files", files, fonts), run, Recorder(7))
    path = run / CHECKPOINT_NAME
    tensors, entry = load_tensors(path, ENTRY)
    del entry["settings"]["settings"]["augment"]
    save_file(tensors, path, {ENTRY: json.dumps(entry)})
    assert go_on(run) == "finished"
    check_same(run, straight["files"])


def test_a_strength_left_out_is_recorded(files: Path, fonts: Path, tmp_path: Path) -> None:
    spec = spec_of("files", files, fonts)
    settings = dataclasses.replace(spec.settings, augment=AugmentConfig())
    trainer = prepare(dataclasses.replace(spec, settings=settings), tmp_path / "run")
    assert trainer.batches.augment is not None
    for found in (
        load_settings("default", tmp_path / "run" / CONFIG_NAME),
        read_checkpoint(tmp_path / "run")[0].settings,
    ):
        assert found.augment.strength == AUTO_STRENGTH


def test_changed_data_is_refused(files: Path, fonts: Path, tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(files, data)
    start(spec_of("files", data, fonts), run, Recorder(2))
    labels = (data / "labels.txt").read_text()
    first, *others = labels.splitlines()
    changed = first.replace("*", "+") if "*" in first else first.replace("+", "-")
    (data / "labels.txt").write_text("\n".join([changed, *others]))
    with pytest.raises(DataError, match=r"data: expected the data set the run began with"):
        go_on(run)
    (data / "labels.txt").write_text(labels)
    assert go_on(run) == "finished"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "expected a checkpoint file, found none"),
        ("foreign", "expected the metadata entry 'exprocr_checkpoint', found no metadata"),
        ({"format_version": 9}, "format_version: expected 1 or older, found 9"),
        ({"state": {"step": "1"}}, "state.step: expected int, found '1'"),
        ({"state": {"steps": 1}}, "state.steps: unknown key; did you mean 'step'?"),
        ({"state": None}, "exprocr_checkpoint: expected state and settings, found"),
        ({"settings": {"charset": "12", "epochs": 1}}, "settings.epochs: unknown key"),
        ({"settings": {}}, "a charset needs unique characters, found ''"),
        ("no rng", "expected a tensor 'rng.cpu', found none"),
    ],
)
def test_damaged_checkpoint(
    straight: dict[str, Path], tmp_path: Path, change: Any, message: str
) -> None:
    path = tmp_path / CHECKPOINT_NAME
    path.parent.mkdir()
    tensors, entry = load_tensors(straight["files"] / CHECKPOINT_NAME, ENTRY)
    if change == "foreign":
        save_file({"x": np.zeros(1)}, path)
    elif change is not None:
        if change == "no rng":
            tensors.pop("rng.cpu")
        else:
            entry |= change
        save_file(tensors, path, {ENTRY: json.dumps(entry)})
    with pytest.raises(ModelFileError) as caught:
        read_checkpoint(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_checkpoint_that_lacks_a_character_that_is_rendered(
    straight: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(straight["rendered"], run)
    path = run / CHECKPOINT_NAME
    tensors, entry = load_tensors(path, ENTRY)
    entry["settings"]["charset"] = entry["settings"]["charset"].replace("7", "x")
    save_file(tensors, path, {ENTRY: json.dumps(entry)})
    with pytest.raises(ConfigError, match=r"expected a model that knows .* lacks '7'"):
        go_on(run, epochs=9)


def test_checkpoint_that_does_not_fit_its_settings(
    straight: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(straight["files"], run)
    path = run / CHECKPOINT_NAME
    _, entry = load_tensors(path, ENTRY)
    tensors = load_file(path)
    tensors["network.fc2.bias"] = np.zeros(3, dtype=np.float32)
    save_file(tensors, path, {ENTRY: json.dumps(entry)})
    spec, checkpoint = read_checkpoint(run)
    with pytest.raises(ModelFileError, match=r"state.safetensors: weights: fc2.bias: expected"):
        prepare(spec, run, checkpoint)


def test_a_better_network_left_by_a_time_limit_stays(files: Path, tmp_path: Path) -> None:
    spec = RunSpec(settings=tiny_settings(epochs=3), data=str(files))
    run = tmp_path / "run"
    start(spec, run, Recorder(stop_after=STEPS["files"] + 2))
    model = ModelFile.load(run)
    assert model.training["val_exact_match"] is not None
    better = {**model.training, "val_exact_match": 1.0, "val_loss": 0.0}
    dataclasses.replace(model, training=better).save(run / MODEL_FILE_NAME)
    left = (run / MODEL_FILE_NAME).read_bytes()
    assert go_on(run) == "finished"
    assert (run / MODEL_FILE_NAME).read_bytes() == left
    worse = {**model.training, "val_exact_match": -0.5}
    dataclasses.replace(model, training=worse).save(run / MODEL_FILE_NAME)
    assert go_on(run, epochs=4) == "finished"
    assert ModelFile.load(run).training["val_exact_match"] >= 0


def test_an_older_version_knew_only_the_highest_exact_match() -> None:
    assert from_dict(TrainingState, {"best_exact_match": 0.7}, "state").highest_exact_match == 0.7
    later = {"best_exact_match": 0.7, "highest_exact_match": 0.8}
    assert from_dict(TrainingState, later, "state").highest_exact_match == 0.8
