"""Event files, read back by TensorBoard's own reader."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from exprocr.core.model.artifact import load_tensors
from exprocr.core.runs.layout import CHECKPOINT_NAME, EVENTS_NAME, METRICS_NAME
from exprocr.training import loop
from exprocr.training.checkpoint import ENTRY, Checkpoint
from exprocr.training.limits import Limits, Outcome
from exprocr.training.observer import Observers
from exprocr.training.run import RunSpec, read_checkpoint
from exprocr.training.tensorboard import MAX_CHANNELS, draw_output, write_events
from tests.support.tiny_runs import (
    Recorder,
    check_same,
    prepare,
    start,
    tiny_settings,
)

pytestmark = pytest.mark.usefixtures("one_font")

STEPS = 5
"""Steps an epoch: 18 files by 4."""

LAYERS = ("conv1", "conv2", "conv3", "fc1")


@pytest.fixture(autouse=True)
def names_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of one second are read in the order of a counter's digits: let it not get longer."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(1000))


def spec_of(files: Path, **limits: Any) -> RunSpec:
    return RunSpec(settings=tiny_settings(), data=str(files), limits=Limits(**limits))


def train(
    spec: RunSpec,
    run: Path,
    recorder: Recorder | None = None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Train with events."""
    trainer, recorder = prepare(spec, run, checkpoint), recorder or Recorder()
    with write_events(trainer) as events:
        return trainer.train(spec.limits, Observers(events, recorder), recorder.stop_requested)


def resume(run: Path, recorder: Recorder | None = None, **limits: Any) -> Outcome:
    """Resume with events."""
    spec, checkpoint = read_checkpoint(run)
    return train(dataclasses.replace(spec, limits=Limits(**limits)), run, recorder, checkpoint)


def read(run: Path) -> EventAccumulator:
    everything = dict.fromkeys(("scalars", "images", "histograms", "tensors"), 0)
    return EventAccumulator(str(run / EVENTS_NAME), size_guidance=everything).Reload()


def records_of(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / METRICS_NAME).read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.fixture(scope="module")
def run(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with events, of which nothing was interrupted."""
    place = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(1000))
        assert train(spec_of(files), place) == "finished"
    return place


def check_scalars(run: Path) -> None:
    """Check that the scalars are those of the record, each step once, and there are no others."""
    expected = {}
    steps, evaluations = records_of(run, "step"), records_of(run, "evaluation")
    for tag, name, records in (
        ("loss/step", "loss", steps),
        ("learning_rate", "learning_rate", steps),
        ("loss/train", "train_loss", evaluations),
        ("loss/val", "val_loss", evaluations),
        ("exact_match/train", "train_exact_match", evaluations),
        ("exact_match/val", "val_exact_match", evaluations),
        ("normalized_edit_distance/train", "train_normalized_edit_distance", evaluations),
        ("normalized_edit_distance/val", "val_normalized_edit_distance", evaluations),
        ("cer/val", "val_cer", evaluations),
        ("epoch", "epoch", evaluations),
        ("best_step", "best_step", evaluations),
        ("images_per_s", "images_per_s", evaluations),
        ("elapsed_s", "elapsed_s", evaluations),
    ):
        expected[tag] = [(r["step"], np.float32(r[name])) for r in records]
    events = read(run)
    tags = events.Tags()
    found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
    assert found == expected
    at = [record["step"] for record in evaluations]
    assert tags["histograms"]
    assert all([e.step for e in events.Histograms(tag)] == at for tag in tags["histograms"])
    assert all([e.step for e in events.Images(tag)] == at for tag in tags["images"])


def test_scalars_are_those_of_the_record(run: Path) -> None:
    check_scalars(run)
    assert len(records_of(run, "step")) == 3 * STEPS


def test_training_with_events_is_training_without(files: Path, run: Path, tmp_path: Path) -> None:
    start(spec_of(files), tmp_path / "plain")
    check_same(run, tmp_path / "plain")


def test_histograms_are_numpys(run: Path) -> None:
    """Those of the last evaluation count the weights of the last checkpoint."""
    weights = load_tensors(run / CHECKPOINT_NAME, ENTRY)[0]
    events, trainer = read(run), prepare(*_of(run))
    names = [name for name, _ in trainer.network.named_parameters()]
    assert events.Tags()["histograms"] == [name.replace(".", "/", 1) for name in names]
    for name in names:
        found = events.Histograms(name.replace(".", "/", 1))[-1].histogram_value
        values = weights[f"network.{name}"].astype(np.float64).ravel()
        assert (found.min, found.max, found.num) == (values.min(), values.max(), values.size)
        assert found.sum == pytest.approx(values.sum())
        assert found.sum_squares == pytest.approx((values**2).sum())
        below = [int((values < limit).sum()) for limit in found.bucket_limit[:-1]]
        assert np.cumsum(found.bucket).tolist() == [*below, values.size]
        assert found.bucket_limit[-1] == values.max()


def _of(run: Path) -> tuple[RunSpec, Path, Checkpoint]:
    spec, checkpoint = read_checkpoint(run)
    return spec, run, checkpoint


def decode(events: EventAccumulator, tag: str) -> NDArray[np.uint8]:
    """Return the last image of a tag, (H, W)."""
    event = events.Images(tag)[-1]
    with Image.open(io.BytesIO(event.encoded_image_string)) as image:
        assert image.format == "PNG"
        assert (event.width, event.height) == image.size
        return np.asarray(image.convert("L"))


def test_images_show_what_layers_put_out(run: Path) -> None:
    events, trainer = read(run), prepare(*_of(run))
    assert events.Tags()["images"] == ["layers/input", *(f"layers/{name}" for name in LAYERS)]
    ink = trainer.validation.inks[0]
    assert np.array_equal(decode(events, "layers/input"), 255 - ink)
    trainer.network.eval()
    values = torch.from_numpy(ink[None, None].astype(np.float32) / 255)
    with torch.no_grad():
        for layer, size in zip(LAYERS, [(42, 122), (64, 122), (40, 122), (36, 180)], strict=True):
            values = getattr(trainer.network, layer)(values)
            found = decode(events, f"layers/{layer}")
            assert found.shape == size
            if layer != "fc1":
                first = values[0, 0].numpy()
                scaled = (first - first.min()) / (first.max() - first.min()) * 255
                high, wide = (60 // first.shape[1] * n for n in first.shape)
                zoomed = np.kron(scaled, np.ones((high // len(first), wide // first.shape[1])))
                np.testing.assert_allclose(found[:high, :wide], zoomed, atol=0.51)


def test_maps_are_scaled_one_by_one_and_tiled() -> None:
    maps = np.zeros((5, 2, 4), dtype=np.float32)
    maps[0, 0, 1], maps[1, 1, 3], maps[2] = 9, -3, 7
    maps[3, 0, :3] = np.nan, np.inf, 2
    drawn = draw_output(maps, 8)  # twice as large: 4 x 8 px, three or more in a column
    assert drawn.shape == (4 * 3 + 2 * 2, 8 * 2 + 2)
    tiles = [drawn[y : y + 4, x : x + 8] for y in (0, 6, 12) for x in (0, 10)]
    expected = np.zeros((5, 2, 4))
    expected[0, 0, 1], expected[1], expected[1, 1, 3], expected[3, 0, 2] = 255, 255, 0, 255
    for tile, values in zip(tiles, expected, strict=False):
        assert np.array_equal(tile, np.kron(values, np.ones((2, 2))))
    assert (tiles[5] == 128).all()  # no channel is there
    assert (drawn[:, 8:10] == 128).all()


def test_units_share_a_scale() -> None:
    drawn = draw_output(np.array([[0, 1], [2, 4]], dtype=np.float32), 4)
    assert np.array_equal(drawn, np.kron([[0, 64], [128, 255]], np.ones((3, 6))))


def test_no_more_than_the_first_channels() -> None:
    maps = np.random.default_rng(0).random((200, 3, 9), dtype=np.float32)
    assert np.array_equal(draw_output(maps, 5), draw_output(maps[:MAX_CHANNELS], 5))


@pytest.mark.parametrize("stops", [(7,), (5,), (2, 4)])
def test_resumed_without_steps_twice(files: Path, tmp_path: Path, stops: tuple[int, ...]) -> None:
    run = tmp_path / "run"
    train(spec_of(files), run, Recorder(stops[0]))
    for steps in stops[1:]:
        resume(run, Recorder(steps))
    assert resume(run) == "finished"
    check_scalars(run)
    assert len(list((run / EVENTS_NAME).iterdir())) == len(stops) + 1


def test_steps_after_the_checkpoint_vanish(files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="killed"):
        train(spec_of(files), run, Recorder(kill_after=8))
    assert [e.step for e in read(run).Scalars("loss/step")] == list(range(1, 9))  # all was written
    assert resume(run, epochs=1) == "finished"  # from step 6: nothing is left to do
    check_scalars(run)
    assert resume(run) == "finished"
    check_scalars(run)


def test_an_evaluation_in_the_middle_of_an_epoch_vanishes(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, now = tmp_path / "run", [0.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            now[0] += 1
            return now[0]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", Clock)
        assert train(spec_of(files, max_time_s=16), run) == "time_limit"
    check_scalars(run)
    assert [e.step for e in read(run).Scalars("loss/val")] == [STEPS, 8]
    assert resume(run) == "finished"
    check_scalars(run)


def test_events_begun_late_have_all_scalars(files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    start(spec_of(files), run, Recorder(7))
    assert resume(run, epochs=2) == "finished"
    events = read(run)
    assert [e.step for e in events.Scalars("loss/step")] == list(range(1, 11))
    assert [e.step for e in events.Scalars("loss/val")] == [5, 10]
    assert [e.step for e in events.Images("layers/input")] == [10]
