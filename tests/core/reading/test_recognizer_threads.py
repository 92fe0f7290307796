"""Reading with several threads: the same readings in the same order, and no threads remain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exprocr import Prediction, Recognizer
from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.decode.decoder import Decoder
from exprocr.core.reading import recognizer as module
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.errors import ImageError, ModelFileError
from tests.support.scripted import CHARSET, FRAME_AXIS, log_probs_of

PATIENCE_S = 30
"""Longest time that a test waits for an event before it fails."""

Source = NDArray[np.uint8] | bytes
Compute = Callable[[NDArray[np.uint8]], None]


def picture(number: int, width: int = 180) -> NDArray[np.uint8]:
    """Return a picture of a number: a stroke that begins at this column."""
    pixels = np.full((60, width), 255, np.uint8)
    pixels[:, number : number + width // 90] = 0
    return pixels


def columns(pictures: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return where the strokes begin."""
    return np.asarray(pictures[:, 30].argmax(axis=1))


class ColumnEngine:
    """Reads the number of the column where the stroke begins."""

    def __init__(self, before: Compute | None = None) -> None:
        self.before = before
        self.calls: list[tuple[int, tuple[int, ...]]] = []

    def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.calls.append((threading.get_ident(), pictures.shape))
        if self.before:
            self.before(pictures)
        texts = [str(column) for column in columns(pictures)]
        return np.stack([log_probs_of(text, 0.9) for text in texts], axis=1)


def recognizer_of(engine: ColumnEngine, num_workers: int) -> Recognizer:
    decoder = Decoder(load_grammar("none", CHARSET), method="greedy")
    return Recognizer(engine, PreprocessConfig(), decoder, FRAME_AXIS, num_workers=num_workers)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set chunks of 8 and batches of 2 pictures, and check that no thread remains."""
    monkeypatch.setattr(module, "CHUNK_SIZE", 8)
    monkeypatch.setattr(module, "BATCH_PIXELS", 2 * 60 * 180)
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def many(num: int, *, bad: bool = True) -> list[Source]:
    """Return pictures of numbers from 11 on, of several widths, some of them unreadable."""
    widths = (180, 180, 120, 360, 180, 1000)
    sources: list[Source] = [picture(11 + i, widths[i % len(widths)]) for i in range(num)]
    return [b"no picture" if bad and i % 5 == 3 else source for i, source in enumerate(sources)]


def texts_of(results: list[Prediction | ImageError]) -> list[str]:
    return [r.text if isinstance(r, Prediction) else "unread" for r in results]


@pytest.mark.parametrize("num", [0, 1, 2, 7, 8, 9, 16, 60])
def test_threads_change_neither_readings_nor_order(num: int) -> None:
    sources = many(num)
    expected = ["unread" if i % 5 == 3 else str(11 + i) for i in range(num)]
    alone = list(recognizer_of(ColumnEngine(), 1).stream(sources))
    assert texts_of(alone) == expected
    for num_workers in (2, 3):
        engine = ColumnEngine()
        results = list(recognizer_of(engine, num_workers).stream(sources))
        assert texts_of(results) == expected
        for one, other in zip(alone, results, strict=True):
            assert one == other or (type(other), str(other)) == (ImageError, str(one))
        # Wide pictures are computed one by one.
        assert all(n * h * w <= 2 * 60 * 180 or n == 1 for _, (n, h, w) in engine.calls)
    read = recognizer_of(ColumnEngine(), 2).read([255 - picture(n) for n in range(20, 20 + num)])
    assert [reading.text for reading in read] == [str(n) for n in range(20, 20 + num)]


def test_unreadable_chunks_between_others() -> None:
    sources: list[Source] = [b"x"] * 20 + [picture(5)] + [b"x"] * 20 + [picture(6)]
    results = texts_of(list(recognizer_of(ColumnEngine(), 2).stream(sources)))
    assert results == ["unread"] * 20 + ["5"] + ["unread"] * 20 + ["6"]


def test_batches_are_computed_in_parallel() -> None:
    both = threading.Barrier(2, timeout=PATIENCE_S)

    def meet(pictures: NDArray[np.uint8]) -> None:
        both.wait()

    engine = ColumnEngine(meet)
    assert len(recognizer_of(engine, 2).predict([picture(7)] * 16)) == 16
    assert len({thread for thread, _ in engine.calls}) == 2
    assert threading.get_ident() not in {thread for thread, _ in engine.calls}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_single_batch_is_computed_by_the_caller(num_workers: int) -> None:
    engine = ColumnEngine()
    assert texts_of(list(recognizer_of(engine, num_workers).stream([picture(7)]))) == ["7"]
    assert engine.calls == [(threading.get_ident(), (1, 60, 180))]


def test_one_worker_is_the_caller() -> None:
    engine = ColumnEngine()
    assert len(recognizer_of(engine, 1).predict(many(20, bad=False))) == 20
    assert {thread for thread, _ in engine.calls} == {threading.get_ident()}


def test_exactly_one_chunk_is_loaded_ahead() -> None:
    pulled = 0
    next_chunk = threading.Event()

    def sources() -> Iterator[Source]:
        nonlocal pulled
        for pulled in range(1, 101):
            if pulled > 8:
                next_chunk.set()
            yield picture(7)

    def wait(pictures: NDArray[np.uint8]) -> None:
        assert next_chunk.wait(PATIENCE_S)

    results = recognizer_of(ColumnEngine(wait), 2).stream(sources())
    for number in range(1, 80):
        next(results)
        assert pulled == 8 * (-(-number // 8) + 1)
    del results


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("error", [ModelFileError, MemoryError, RuntimeError])
def test_an_engines_error_is_raised_after_earlier_results(
    num_workers: int, error: type[Exception]
) -> None:
    def fail(pictures: NDArray[np.uint8]) -> None:
        if 20 in columns(pictures):
            raise error("out of order")

    engine = ColumnEngine(fail)
    results = recognizer_of(engine, num_workers).stream(picture(n) for n in range(200))
    found = [next(results) for _ in range(16)]
    assert texts_of(found) == [str(n) for n in range(16)]
    with pytest.raises(error, match="out of order"):
        next(results)
    assert len(engine.calls) < 20  # waiting batches are dropped
    assert list(results) == []


@pytest.mark.parametrize("num_workers", [1, 2])
def test_nan_in_the_middle(num_workers: int) -> None:
    class Sometimes(ColumnEngine):
        def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
            found = super().log_probs(pictures)
            return np.where(20 in columns(pictures), np.float32(np.nan), found)

    results = recognizer_of(Sometimes(), num_workers).stream(picture(n) for n in range(200))
    assert texts_of([next(results) for _ in range(16)]) == [str(n) for n in range(16)]
    with pytest.raises(ModelFileError, match="found one that gives NaN"):
        next(results)


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> ColumnEngine:
    """Return an engine that blocks at the numbers 8 and 10 until the pool shuts down."""
    ending = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            assert wait  # when a stream has ended, no thread computes for it
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            ending.set()
            super().shutdown(wait=wait)

    def stop(pictures: NDArray[np.uint8]) -> None:
        if {8, 10} & set(columns(pictures).tolist()):
            assert ending.wait(PATIENCE_S)

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    return ColumnEngine(stop)


@pytest.mark.parametrize("way", ["closed", "forgotten", "thrown into"])
def test_ending_a_stream_early_drops_waiting_batches(held_up: ColumnEngine, way: str) -> None:
    """The first two batches of the second chunk block both threads, if they have begun."""
    recognizer = recognizer_of(held_up, 2)
    results = recognizer.stream(picture(n) for n in range(100))
    assert texts_of([next(results)]) == ["0"]
    if way == "closed":
        results.close()  # type: ignore[attr-defined]
    elif way == "thrown into":
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    del results
    assert 4 <= len(held_up.calls) <= 4 + 2
    assert texts_of(list(recognizer.stream([picture(3)] * 9))) == ["3"] * 9  # still usable


def test_an_interrupt_while_pictures_are_loaded(held_up: ColumnEngine) -> None:
    def sources() -> Iterator[Source]:
        yield from (picture(n) for n in range(20))
        raise KeyboardInterrupt

    results = recognizer_of(held_up, 2).stream(sources())
    assert texts_of([next(results) for _ in range(8)]) == [str(n) for n in range(8)]
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert 4 <= len(held_up.calls) <= 4 + 2


def test_several_streams_at_the_same_time() -> None:
    recognizer = recognizer_of(ColumnEngine(), 2)

    def read(start: int) -> list[str]:
        return texts_of(list(recognizer.stream(picture(start + n) for n in range(50))))

    with ThreadPoolExecutor(4) as pool:
        for start, texts in enumerate(pool.map(read, range(8))):
            assert texts == [str(start + n) for n in range(50)]
    interleaved = [recognizer.stream(picture(n) for n in range(s, 90)) for s in (0, 50)]
    pairs = [texts_of(list(pair)) for pair in zip(*interleaved, strict=False)]
    assert pairs == [[str(n), str(50 + n)] for n in range(40)]


def test_real_engines_with_threads() -> None:
    images = [Image.fromarray(picture(20 + n, 180 + 60 * (n % 3))) for n in range(20)]
    alone = Recognizer.load(threads=1).predict(images)
    two = Recognizer.load(threads=2)
    assert two.num_workers == 2
    together = two.predict(images)
    assert [one.text for one in together] == [one.text for one in alone]
    assert [p.confidence for p in together] == pytest.approx([p.confidence for p in alone], 1e-4)
