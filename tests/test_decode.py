"""CTC decoding against brute force over every alignment and against a plain prefix search."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from exprocr.core.decode import Hypothesis, align, beam_search, greedy, text_log_probs
from tests.ctc_oracle import (
    SMALL_SHAPES,
    FloatArray,
    Text,
    brute_force,
    collapse,
    from_probs,
    random_log_probs,
)

Decoder = Callable[[NDArray[np.floating[Any]]], list[Hypothesis]]

DECODERS: list[Decoder] = [greedy, beam_search]


@pytest.mark.parametrize(("num_frames", "num_classes"), SMALL_SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_wide_beam_finds_the_most_probable_text(
    num_frames: int, num_classes: int, seed: int
) -> None:
    log_probs = random_log_probs(seed, num_frames, 3, num_classes, spread=0.7)
    for sample, found in enumerate(beam_search(log_probs, beam_width=400)):
        expected = brute_force(log_probs[:, sample])
        text = max(expected, key=lambda text: expected[text].prob)
        assert found.ids == text
        assert found.log_prob == pytest.approx(math.log(expected[text].prob), abs=1e-9)


@pytest.mark.parametrize("beam_width", [1, 2, 3, 10])
def test_decoders_score_exactly_whatever_the_beam_kept(beam_width: int) -> None:
    log_probs = random_log_probs(beam_width, 5, 4, 4)
    decoded = [*greedy(log_probs), *beam_search(log_probs, beam_width)]
    for index, found in enumerate(decoded):
        expected = brute_force(log_probs[:, index % 4])[found.ids]
        assert found.log_prob == pytest.approx(math.log(expected.prob), abs=1e-9)
        assert found.frames == max(expected.paths)[1]


@pytest.mark.parametrize("seed", range(5))
def test_greedy_collapses_the_best_path(seed: int) -> None:
    log_probs = random_log_probs(seed, 30, 8, 5)
    for sample, found in enumerate(greedy(log_probs)):
        path = tuple(int(frame.argmax()) for frame in log_probs[:, sample])
        assert (found.ids, found.frames) == collapse(path)


def test_a_batch_gives_the_same_as_its_samples_alone() -> None:
    log_probs = random_log_probs(3, 40, 12, 6)
    log_probs[:, ::3, 0] += 3.0  # shorter texts among longer ones
    log_probs -= np.log(np.exp(log_probs).sum(axis=2, keepdims=True))
    for decoder in DECODERS:
        batch = decoder(log_probs)
        texts = [found.ids for found in batch]
        assert len({len(text) for text in texts}) > 1
        assert align(log_probs, texts) == [found.frames for found in batch]
        scores = text_log_probs(log_probs, texts)
        for sample, found in enumerate(batch):
            single = log_probs[:, [sample]]
            (alone,) = decoder(single)
            assert (found.ids, found.frames) == (alone.ids, alone.frames)
            assert found.log_prob == pytest.approx(alone.log_prob, abs=1e-12)
            assert scores[sample] == pytest.approx(alone.log_prob, abs=1e-12)
            assert text_log_probs(single, [alone.ids])[0] == pytest.approx(alone.log_prob)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("num_sparse", [0, 6, 14])
def test_beam_search_equals_a_plain_prefix_search(width: int, num_sparse: int) -> None:
    log_probs = random_log_probs(5, 14, 40, 4, spread=0.6)
    # With few possible characters there are fewer prefixes than the beam holds.
    log_probs[:num_sparse, :, 2:] = -np.inf
    best_path = greedy(log_probs)
    for sample, found in enumerate(beam_search(log_probs, width)):
        texts = [best_path[sample].ids, *plain_prefix_search(log_probs[:, sample], width)]
        scores = text_log_probs(np.repeat(log_probs[:, [sample]], len(texts), axis=1), texts)
        assert found.ids == texts[int(scores.argmax())]
        assert found.log_prob == pytest.approx(scores.max(), abs=1e-9)


def plain_prefix_search(log_probs: FloatArray, width: int) -> list[Text]:
    """Hannun's algorithm with dictionaries and plain probabilities, of one sample (T, C)."""
    beam: dict[Text, tuple[float, float]] = {(): (1.0, 0.0)}
    for frame in np.exp(log_probs):
        extended: defaultdict[Text, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, char) in beam.items():
            extended[prefix][0] += (blank + char) * frame[0]
            for label in range(1, len(frame)):
                if prefix and label == prefix[-1]:
                    extended[prefix][1] += char * frame[label]
                    extended[(*prefix, label)][1] += blank * frame[label]
                else:
                    extended[(*prefix, label)][1] += (blank + char) * frame[label]
        best = sorted(extended, key=lambda prefix: sum(extended[prefix]), reverse=True)[:width]
        beam = {prefix: (extended[prefix][0], extended[prefix][1]) for prefix in best}
    return list(beam)


def test_beam_beats_greedy_where_a_text_has_many_alignments() -> None:
    # Blank is the best of each frame, 0.6 * 0.6 = 0.36; "a" has the other three alignments.
    log_probs = from_probs([[0.6, 0.4], [0.6, 0.4]])
    (best_path,) = greedy(log_probs)
    assert best_path.ids == ()
    assert best_path.log_prob == pytest.approx(math.log(0.36), abs=1e-12)
    (found,) = beam_search(log_probs)
    assert found.ids == (1,)
    assert found.log_prob == pytest.approx(math.log(0.64), abs=1e-12)
    assert len(found.frames) == 1


def test_repeated_characters_need_a_blank_between() -> None:
    one, blank = [0.1, 0.9], [0.9, 0.1]
    for decoder in DECODERS:
        assert decoder(from_probs([one, one, one]))[0].ids == (1,)
        (doubled,) = decoder(from_probs([one, one, blank, one]))
        assert (doubled.ids, doubled.frames) == ((1, 1), ((0, 1), (3, 3)))


@pytest.mark.parametrize("decoder", DECODERS)
def test_one_frame(decoder: Decoder) -> None:
    (found,) = decoder(from_probs([[0.2, 0.3, 0.5]]))
    assert (found.ids, found.frames) == ((2,), ((0, 0),))
    assert found.log_prob == pytest.approx(math.log(0.5), abs=1e-12)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("num_classes", [1, 3])
def test_all_blank(decoder: Decoder, num_classes: int) -> None:
    log_probs = from_probs([[1.0, *[0.0] * (num_classes - 1)]] * 6)
    assert decoder(log_probs) == [Hypothesis((), 0.0, ())]


@pytest.mark.parametrize("decoder", DECODERS)
def test_frames_that_exclude_classes(decoder: Decoder) -> None:
    log_probs = from_probs([[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 1]])
    assert decoder(log_probs) == [Hypothesis((1, 2, 2), 0.0, ((0, 0), (1, 1), (3, 4)))]


@pytest.mark.parametrize("decoder", DECODERS)
def test_an_empty_batch(decoder: Decoder) -> None:
    empty = np.zeros((5, 0, 3))
    assert decoder(empty) == []
    assert text_log_probs(empty, []).shape == (0,)
    assert align(empty, []) == []


def test_float32_frames_give_float64_scores_of_at_most_zero() -> None:
    log_probs = np.full((40, 1, 2), np.float32(1e-7), dtype=np.float32)
    log_probs[:, :, 1] = -30.0
    for decoder in DECODERS:
        assert decoder(log_probs)[0].log_prob == 0.0
    assert text_log_probs(log_probs, [()]).dtype == np.float64


log_prob_arrays = st.builds(
    random_log_probs,
    seed=st.integers(0, 2**32 - 1),
    num_frames=st.integers(1, 12),
    num_samples=st.integers(1, 4),
    num_classes=st.integers(1, 6),
    spread=st.sampled_from([0.0, 0.3, 1.0, 5.0, 100.0]),
)


@hypothesis.given(log_probs=log_prob_arrays, beam_width=st.integers(1, 12), cut=st.booleans())
@hypothesis.settings(deadline=None, max_examples=150)
def test_beam_is_never_below_greedy(log_probs: FloatArray, beam_width: int, cut: bool) -> None:
    if cut:
        log_probs = np.where(log_probs < -3.0, -np.inf, log_probs)
    decoded = beam_search(log_probs, beam_width)
    for best_path, found in zip(greedy(log_probs), decoded, strict=True):
        assert best_path.log_prob <= found.log_prob <= 1e-9
    scores = text_log_probs(log_probs, [found.ids for found in decoded])
    np.testing.assert_allclose([h.log_prob for h in decoded], scores, rtol=1e-12, atol=1e-12)
    for found in decoded:
        assert len(found.frames) == len(found.ids)
        bounds = [bound for frames in found.frames for bound in frames]
        assert bounds == sorted(bounds)
        starts = [first for first, _ in found.frames]
        assert len(set(starts)) == len(starts)


@pytest.mark.parametrize(
    ("log_probs", "message"),
    [
        (np.zeros((4, 3)), r"expected 3 dimensions \(T, N, C\), found 2"),
        (np.zeros((0, 2, 3)), "at least one frame"),
        (np.zeros((4, 2, 0)), "at least one frame and one class"),
        (np.full((2, 1, 2), np.nan), "found NaN or infinity"),
        (np.full((2, 1, 2), np.inf), "found NaN or infinity"),
    ],
)
def test_invalid_log_probs(log_probs: FloatArray, message: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: greedy(log_probs),
        lambda: beam_search(log_probs),
        lambda: text_log_probs(log_probs, [()]),
        lambda: align(log_probs, [()]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()


def test_invalid_beam_width() -> None:
    with pytest.raises(ValueError, match="beam_width: expected at least 1, found 0"):
        beam_search(random_log_probs(0, 4, 2, 3), 0)
