"""Batches: what is in them depends on the seed and the step alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from exprocr.core.config.schema import PreprocessConfig, TrainingConfig
from exprocr.errors import DataError
from exprocr.synth.augment import Augmenter
from exprocr.synth.texts import LEVEL1
from exprocr.training import batches as training_batches
from exprocr.training.batches import (
    Batch,
    Batches,
    RenderedBatches,
)
from exprocr.training.limits import Limits
from exprocr.training.processes import Processes
from exprocr.training.run import RunSpec, read_data
from tests.support.processes import finish, start, wait_for_line
from tests.support.tiny_runs import NEVER, Recorder, prepare, tiny_settings

pytestmark = pytest.mark.usefixtures("one_font")

RENDERING = """
import signal
from exprocr.core.config.schema import PreprocessConfig, TrainingConfig
from exprocr.synth.fonts import FontFile
from exprocr.synth.renderer import Renderer
from exprocr.training.batches import Batches, RenderedBatches

if __name__ == "__main__":
    rendered = RenderedBatches(
        Renderer([FontFile("Built-in", "Regular", "")]), PreprocessConfig(),
        seed=0, stream=0, size=16,
    )
    config = TrainingConfig(batch_size=16)
    batches = Batches([], [], [], rendered, config, workers=1).between(0, 100)
    next(batches)
    print("rendered", flush=True)
    signal.pause()
"""
"""Takes one batch, of 173 kB: the next ones fill the pipe, and the processes wait to write."""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_rendering_processes_end_with_their_parent() -> None:
    process = start(code=RENDERING)
    wait_for_line(process, "rendered")
    process.send_signal(signal.SIGKILL)
    assert finish(process) == (-signal.SIGKILL, "", "")  # when nobody holds the pipes


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_rendering_process_that_is_killed(tmp_path: Path) -> None:
    spec = RunSpec(settings=tiny_settings(synth_mix=1.0, epochs=100), workers=1)
    trainer, recorder = prepare(spec, tmp_path / "run"), Recorder()

    def on_step(state: Any, record: dict[str, Any]) -> None:
        if record["step"] == 2:
            multiprocessing.active_children()[0].kill()

    recorder.on_step = on_step  # type: ignore[method-assign]
    with pytest.raises(DataError, match="a process that renders images ended unexpectedly"):
        trainer.train(Limits(), recorder, NEVER)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_a_process_fails_at_when_it_is_ended_is_nobodys_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def end_badly(iterator: _MultiProcessingDataLoaderIter) -> None:
        end(iterator)
        calls.append("ended")
        if len(calls) == 1:  # and not again when the iterator is deleted
            raise RuntimeError("DataLoader worker (pid 7) exited unexpectedly with exit code 1.")

    end = _MultiProcessingDataLoaderIter._shutdown_workers
    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_shutdown_workers", end_badly)
    rendered = RenderedBatches(
        WideAndNarrow(), PreprocessConfig(height=20), seed=0, stream=0, size=4
    )
    steps = Batches([], [], [], rendered, TrainingConfig(batch_size=4), workers=1).between(0, 9)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert calls


class Broken:
    def sample(self, seed: int, stream: int, index: int) -> Any:
        raise ValueError(f"drawn at priority {os.nice(0)}")


@pytest.mark.skipif(sys.platform == "win32", reason="no priorities there")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_rendering_processes_end_after_an_error() -> None:
    rendered = RenderedBatches(Broken(), PreprocessConfig(), seed=0, stream=0, size=4)
    batches = Batches([], [], [], rendered, TrainingConfig(batch_size=4), workers=1)
    with pytest.raises(ValueError, match="drawn at priority 19") as caught:
        next(batches.between(0, 9))
    assert not multiprocessing.active_children()
    assert caught.tb  # which refers to all that there was


def test_an_epoch_takes_every_file_once() -> None:
    inks = [np.full((2, 10 + 10 * (i % 2)), i, dtype=np.uint8) for i in range(11)]
    texts = [str(i) for i in range(11)]
    batches = Batches(inks, texts, [], None, TrainingConfig(batch_size=4, seed=3), workers=0)
    assert batches.steps_per_epoch == 3
    steps = list(batches.between(0, 9))
    epochs = [[text for batch in steps[i : i + 3] for text in batch.texts] for i in (0, 3, 6)]
    assert all(sorted(epoch) == sorted(texts) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    for batch in steps:
        width = 20 if any(int(text) % 2 for text in batch.texts) else 10
        assert batch.pictures.shape == (len(batch.texts), 2, width)
        assert [str(p[0, 0]) for p in batch.pictures] == batch.texts
        for picture, text in zip(batch.pictures, batch.texts, strict=True):
            assert picture[:, 10:].any() == int(text) % 2  # else widened with background
    # A batch depends on its step alone.
    for first in range(9):
        assert next(batches.between(first, 9)).texts == steps[first].texts
    for num_steps in range(10):
        assert batches.num_images(num_steps) == sum(len(b.texts) for b in steps[:num_steps])


@pytest.mark.parametrize("widths", [(20,), (20, 40, 60)])
@pytest.mark.parametrize("num_processes", [2, 3, 4, 8])
def test_processes_have_shares_of_the_same_batches(
    widths: tuple[int, ...], num_processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inks = [np.full((2, widths[i % 7 % len(widths)]), i, dtype=np.uint8) for i in range(101)]
    texts = [str(i) for i in range(101)]
    all_widths = np.array([ink.shape[1] for ink in inks])
    monkeypatch.setattr(Processes, "gather", lambda *_: [all_widths])
    config = TrainingConfig(batch_size=16, seed=3)
    whole = list(Batches(inks, texts, [], None, config, workers=0).between(0, 14))
    shares = []
    for rank in range(num_processes):
        own = [ink if i % 8 % num_processes == rank else ink[:, :0] for i, ink in enumerate(inks)]
        processes = Processes(rank, num_processes)
        batches = Batches(own, texts, [], None, config, workers=0, processes=processes)
        shares.append(list(batches.between(0, 14)))
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(text for part in parts for text in part.texts) == sorted(batch.texts)
        assert {part.num_images for part in parts} == {len(batch.texts)}
        for part in parts:
            assert [str(p[0, 0]) for p in part.pictures] == (part.texts or ["0"])
        if len(widths) == 1 and 8 % num_processes == 0:
            numbers = [len(part.texts) for part in parts]
            assert max(numbers) - min(numbers) <= 8 // num_processes
    firsts, seconds = whole[:7], whole[7:]
    assert [batch.texts for batch in firsts] != [batch.texts for batch in seconds]


def test_batches_have_pictures_of_like_width() -> None:
    widths = np.random.default_rng(0).integers(3, 9, 203) * 20
    inks = [np.ones((2, width), dtype=np.uint8) for width in widths]
    texts = [str(i) for i in range(203)]
    batches = Batches(inks, texts, texts, None, TrainingConfig(batch_size=8, seed=3), workers=0)
    means, last = [], set()
    for epoch in range(4):
        steps = list(batches.between(26 * epoch, 26 * epoch + 26))
        assert [len(batch.texts) for batch in steps] == [8] * 25 + [3]
        assert sorted(t for batch in steps for t in batch.texts) == sorted(texts)
        for number, batch in enumerate(steps, 26 * epoch):
            assert batch.widths == [widths[int(text)] for text in batch.texts]
            assert [int(picture[0].sum()) for picture in batch.pictures] == batch.widths
            assert batches.names(number) == batch.texts
        # Six widths have five places where they meet.
        assert sum(len(set(batch.widths)) > 1 for batch in steps) <= 5
        means.append([np.mean(batch.widths) for batch in steps])
        last.add(steps[-1].widths[0])
        # Batches are in random order, and so are the pictures of one width among them.
        assert abs(np.corrcoef(means[-1], np.arange(26))[0, 1]) < 0.5
    assert len(last) > 1
    assert means[0] != means[1]


class WideAndNarrow:
    """Draws pictures whose widths depend on their number."""

    def sample(self, seed: int, stream: int, index: int) -> tuple[str, Image.Image]:
        width = int(np.random.default_rng((seed, stream, index)).integers(1, 5)) * 20
        image = Image.new("L", (width, 20), 255)
        image.paste(0, (0, 0, 4, 4))
        return str(index), image


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")
@pytest.mark.parametrize("num_files", [0, 45])
def test_rendered_pictures_are_sorted_in_pools(
    monkeypatch: pytest.MonkeyPatch, num_files: int
) -> None:
    monkeypatch.setattr(training_batches, "POOL_STEPS", 6)
    rendered = RenderedBatches(
        WideAndNarrow(), PreprocessConfig(height=20), seed=5, stream=1, size=4
    )
    rng = np.random.default_rng(1)
    inks = [np.zeros((20, 20 * rng.integers(1, 5)), dtype=np.uint8) for _ in range(num_files)]
    names = [f"file {i}" for i in range(num_files)]
    config = TrainingConfig(batch_size=7 if num_files else 4, seed=3, images_per_epoch=60)
    batches = Batches(inks, names, names, rendered, config, workers=0)
    assert batches.steps_per_epoch == 15
    steps = list(batches.between(0, 30))
    for epoch in (0, 1):
        begin = 15 * epoch
        for first, end in ((0, 6), (6, 12), (12, 15)):  # no pool goes beyond its epoch
            pool = steps[begin + first : begin + end]
            drawn = [int(text) for batch in pool for text in batch.texts if "file" not in text]
            assert sorted(drawn) == list(range(4 * (begin + first), 4 * (begin + end)))
        found = [t for batch in steps[begin : begin + 15] for t in batch.texts if "file" in t]
        assert sorted(found) == sorted(names)
    for number, batch in enumerate(steps):
        assert batch.pictures.shape == (len(batch.texts), 20, max(batch.widths))
        named = [name.replace("rendered ", "") for name in batches.names(number)]
        assert named == batch.texts
    # Narrow files are with narrow rendered pictures; a pool has two sorts of four widths each.
    spread = np.mean([max(batch.widths) - min(batch.widths) for batch in steps])
    in_order = [
        rng.choice([width for batch in steps for width in batch.widths], config.batch_size)
        for _ in range(100)
    ]
    assert spread < 0.6 * np.mean([np.ptp(widths) for widths in in_order])

    def check(found: Batch, expected: Batch) -> None:
        assert found.texts == expected.texts
        np.testing.assert_array_equal(found.pictures, expected.pictures)

    # The same from every step on, whatever the number of workers.
    for first in range(0, 30, 4):
        check(next(batches.between(first, 30)), steps[first])
    batches.workers = 2
    for batch, expected in zip(batches.between(8, 20), steps[8:20], strict=True):
        check(batch, expected)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_files_are_augmented_the_same_whatever_the_workers() -> None:
    rng = np.random.default_rng(1)
    inks = []
    for _ in range(10):  # a dark bar in a picture of 20 to 80 columns
        ink = np.zeros((20, 20 * rng.integers(1, 5)), dtype=np.uint8)
        ink[4:16, 6:12] = 255
        inks.append(ink)
    originals = [ink.copy() for ink in inks]
    names = [f"file {i}" for i in range(10)]
    rendered = RenderedBatches(
        WideAndNarrow(), PreprocessConfig(height=20), seed=5, stream=1, size=2
    )
    config = TrainingConfig(batch_size=5, seed=3)

    def epochs(workers: int, first: int = 0, augment: Augmenter | None = None) -> list[Batch]:
        batches = Batches(inks, names, names, rendered, config, workers, augment=augment)
        return list(batches.between(first, 12))

    augment = Augmenter(0.5, unchanged_share=0.25)
    plain, steps = epochs(0), epochs(0, augment=augment)
    for other, first in ((epochs(1, 5, augment), 5), (epochs(2, 0, augment), 0)):
        for batch, expected in zip(other, steps[first:], strict=True):
            assert batch.texts == expected.texts
            np.testing.assert_array_equal(batch.pictures, expected.pictures)
    versions: dict[str, list[bytes]] = {}
    for batch, expected in zip(steps, plain, strict=True):
        assert (batch.texts, batch.widths) == (expected.texts, expected.widths)
        for picture, text, width, original in zip(
            batch.pictures, batch.texts, batch.widths, expected.pictures, strict=True
        ):
            assert not picture[:, width:].any()
            if "file" in text:
                versions.setdefault(text, []).append(picture[:, :width].tobytes())
            else:
                np.testing.assert_array_equal(picture, original)
    kept = [v == inks[int(n[5:])].tobytes() for n, several in versions.items() for v in several]
    assert len(kept) == 30  # each in three epochs
    assert 1 <= sum(kept) <= 15  # about a fourth
    assert all(len(set(several)) > 1 for several in versions.values())
    for ink, original in zip(inks, originals, strict=True):
        np.testing.assert_array_equal(ink, original)
    # What happens to a picture depends on its number, not on its place in a batch.
    first_epochs = []
    for size in (3, 4):
        config = TrainingConfig(batch_size=size, seed=3)
        batches = Batches(inks, names, names, None, config, 0, augment=augment)
        epoch = batches.between(0, batches.steps_per_epoch)
        first_epochs.append(
            {
                text: picture[:, :width].tobytes()
                for batch in epoch
                for picture, text, width in zip(
                    batch.pictures, batch.texts, batch.widths, strict=True
                )
            }
        )
    assert first_epochs[0] == first_epochs[1] == {name: v[0] for name, v in versions.items()}


@pytest.mark.parametrize(
    ("batch_size", "one_width", "file_widths", "expected"),
    [
        (64, False, [], 16),
        (128, False, [], 8),
        (4096, False, [], 1),
        (64, True, [], 1),
        (64, True, [20, 20], 1),
        (64, True, [20, 40], 16),
    ],
)
def test_pools_are_limited(
    batch_size: int, one_width: bool, file_widths: list[int], expected: int
) -> None:
    rendered = RenderedBatches(
        WideAndNarrow(),
        PreprocessConfig(height=20),
        seed=0,
        stream=1,
        size=batch_size,
        one_width=one_width,
    )
    inks = [np.zeros((20, width), dtype=np.uint8) for width in file_widths]
    config = TrainingConfig(batch_size=batch_size + bool(inks))
    names = [""] * len(inks)
    assert Batches(inks, names, names, rendered, config, workers=0).pool_steps == expected


def test_mixed_and_rendered_batches(files: Path, tmp_path: Path) -> None:
    settings = tiny_settings(synth_mix=0.5, batch_size=5)
    mixed = prepare(RunSpec(settings=settings, data=str(files)), tmp_path / "mixed").batches
    assert mixed.rendered is not None
    assert (mixed.num_from_files, mixed.rendered.size, mixed.steps_per_epoch) == (3, 2, 6)
    steps = list(mixed.between(0, 8))
    assert [len(batch.texts) for batch in steps] == [5] * 8
    assert mixed.num_images(8) == 40
    drawn = [text for batch in steps for text in batch.texts[3:]]
    assert drawn == mixed.rendered[range(16)].texts

    settings = tiny_settings(synth_mix=1.0)
    trainer = prepare(RunSpec(settings=settings), tmp_path / "rendered")
    assert trainer.batches.steps_per_epoch == 5  # 18 images, 4 at a time
    assert trainer.batches.num_images(5) == 20
    assert len(trainer.validation.inks) == 6
    first = next(trainer.batches.between(0, 1))
    assert not any(np.array_equal(a, b) for a in first.pictures for b in trainer.validation.inks)
    assert not (tmp_path / "rendered" / "split.json").exists()


def test_rendered_alone_validates_on_files_where_there_are_some(
    files: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(synth_mix=1.0)
    for name, spec, num_val in (
        ("data", RunSpec(settings=settings, data=str(files)), 24),
        ("val", RunSpec(settings=settings, val=str(files)), 24),
    ):
        trainer = prepare(spec, tmp_path / name)
        assert len(trainer.validation.inks) == num_val
        assert trainer.batches.inks == []
    _, data = read_data(RunSpec(settings=settings, data=str(files)))
    assert data.remarks[-1] == f"{files}: only validated on; all training images are rendered"


def test_the_longest_rendered_text() -> None:
    texts = [LEVEL1.draw(np.random.default_rng(i)) for i in range(2000)]
    assert max(map(len, texts)) == LEVEL1.max_frames
    assert not any(a == b for text in texts for a, b in pairwise(text))
