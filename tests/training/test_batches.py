"""Batches: what is in them depends on the seed and the step alone."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exprocr.core.config.schema import TrainingConfig
from exprocr.errors import DataError
from exprocr.synth.texts import LEVEL1
from exprocr.training.batches import Batches
from exprocr.training.limits import Limits
from exprocr.training.run import RunSpec, read_data
from exprocr.training.setup import MAX_RENDERED_LENGTH
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
    spec = RunSpec(settings=tiny_settings(synth_mix=1.0, epochs=100), workers=2)
    trainer, recorder = prepare(spec, tmp_path / "run"), Recorder()

    def on_step(state: Any, record: dict[str, Any]) -> None:
        if record["step"] == 2:
            multiprocessing.active_children()[0].kill()

    recorder.on_step = on_step  # type: ignore[method-assign]
    with pytest.raises(DataError, match="a process that renders images ended unexpectedly"):
        trainer.train(Limits(), recorder, NEVER)


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


def test_mixed_and_rendered_batches(files: Path, tmp_path: Path) -> None:
    settings = tiny_settings(synth_mix=0.5, batch_size=5)
    mixed = prepare(RunSpec(settings=settings, data=str(files)), tmp_path / "mixed").batches
    assert mixed.rendered is not None
    assert (mixed.num_from_files, mixed.rendered.size, mixed.steps_per_epoch) == (3, 2, 6)
    steps = list(mixed.between(0, 8))
    assert [len(batch.texts) for batch in steps] == [5] * 8
    assert mixed.num_images(8) == 40
    drawn = [text for batch in steps for text in batch.texts[3:]]
    assert drawn == [text for i in range(8) for text in mixed.rendered[i].texts]

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
    assert max(map(len, texts)) == MAX_RENDERED_LENGTH
    assert not any(a == b for text in texts for a, b in pairwise(text))
