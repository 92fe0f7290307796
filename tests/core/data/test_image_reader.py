"""Reading a data set's pictures, in order, in one or several processes."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.data import image_reader
from exprocr.core.data.dataset import load_dataset
from exprocr.core.data.image_reader import load_images
from exprocr.core.data.labels import Sample
from exprocr.core.image.preprocess import load
from exprocr.errors import DataError
from tests.support.data_sets import contest, write_image

CONFIG = PreprocessConfig(height=20)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_reader, "FEW", 2)
    monkeypatch.setattr(image_reader, "CHUNK_SIZE", 3)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(8):
        path = tmp_path / f"{number}.png"
        size = (20, 40 + 20 * (number % 2))
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(path)
        made.append(Sample(path, "1+1", str(path)))
    return made


class _EndsItsProcess:
    """A path that ends the process that receives it."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


def test_images_are_read_in_order(tmp_path: Path) -> None:
    contest(tmp_path)
    write_image(tmp_path / "1.png", width=240)
    calls: list[int] = []
    samples = load_dataset(tmp_path).parts["all"]
    inks = load_images(samples, PreprocessConfig(), progress=lambda: calls.append(1))
    assert [ink.shape for ink in inks] == [(60, 180), (60, 240), (60, 180), (60, 180)]
    assert {ink.dtype for ink in inks} == {np.dtype(np.uint8)}
    assert len(calls) == 4
    # write_image's ink: a box of columns 10..29 and rows 10..49.
    for ink in inks:
        rows, columns = np.nonzero(ink)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 49, 10, 29)


def test_unreadable_images_are_collected(tmp_path: Path) -> None:
    samples = load_dataset(contest(tmp_path, "1+1\n" * 6, 6)).parts["all"]
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    (tmp_path / "3.png").unlink()
    (tmp_path / "5.png").write_text("no image")
    calls: list[int] = []
    with pytest.raises(DataError) as caught:
        load_images(samples, PreprocessConfig(), progress=lambda: calls.append(1))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"4 of 6 images cannot be read: {tmp_path / '0.png'}: expected")
    assert f"{tmp_path / '2.png'}: " in message
    assert f"{tmp_path / '3.png'}: expected a picture, found no such file" in message
    assert "5.png" not in message
    assert len(calls) == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_read_the_same_in_order(samples: list[Sample], workers: int) -> None:
    calls: list[int] = []
    inks = load_images(samples, CONFIG, workers=workers, progress=lambda: calls.append(1))
    assert len(inks) == len(calls) == 8
    for ink, sample in zip(inks, samples, strict=True):
        assert np.array_equal(ink, load(sample.path, CONFIG).ink)
    assert not multiprocessing.active_children()


def test_failures_in_processes_are_collected(samples: list[Sample]) -> None:
    for number in (1, 6):
        samples[number].path.write_bytes(b"no picture")
    messages, calls = [], []
    for workers in (1, 2):
        with pytest.raises(DataError) as caught:
            load_images(samples, CONFIG, workers=workers, progress=lambda: calls.append(1))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].startswith(f"2 of 8 images cannot be read: {samples[1].path}: expected")
    assert len(calls) == 16


def test_a_process_that_ends_unexpectedly_is_an_error(samples: list[Sample]) -> None:
    samples[4] = Sample(_EndsItsProcess(), "1+1", "")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="a process that reads images ended unexpectedly"):
        load_images(samples, CONFIG, workers=2)


def test_stopping_midway_leaves_no_processes(samples: list[Sample]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_images(samples, CONFIG, workers=2, progress=stop)
    assert not multiprocessing.active_children()
