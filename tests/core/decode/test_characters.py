"""Characters of a text: their frames, their spikes, and what else stands in their parts."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exprocr.core.decode.characters import SpottedCharacter, spot_characters
from exprocr.core.decode.forward import align, check_log_probs
from exprocr.core.decode.hypothesis import to_labels
from tests.support.ctc_oracle import brute_force, collapse, from_probs, random_log_probs

NUM_CLASSES = 4

FloatArray = NDArray[np.float64]


def about(value: float) -> Any:
    return pytest.approx(value)


def spot(log_probs: FloatArray, paths: list[list[int]]) -> list[tuple[SpottedCharacter, ...]]:
    """Spot the characters of the texts that the paths spell."""
    texts = [collapse(tuple(path))[0] for path in paths]
    path = np.array(paths, dtype=np.int64).reshape(len(paths), len(log_probs)).T  # (T, N)
    return spot_characters(check_log_probs(log_probs), *to_labels(texts), path)


def parts_of(frames: tuple[tuple[int, int], ...], num_frames: int) -> list[range]:
    """Cut the frames into parts: of an odd gap, the right neighbor has the middle frame."""
    starts = [0]
    for (_, last), (first, _) in itertools.pairwise(frames):
        gap = first - last - 1
        starts.append(last + 1 + gap // 2)
    return [range(*bounds) for bounds in itertools.pairwise([*starts, num_frames])]


def held_in(log_probs: FloatArray) -> dict[int, float]:
    """List every path of one part (T, C): what it holds at most one character of, by class."""
    held: defaultdict[int, float] = defaultdict(float)
    for text, alignments in brute_force(log_probs).items():
        if len(text) <= 1:
            held[text[0] if text else 0] += alignments.prob
    total = math.fsum(held.values())
    return {label: prob / total for label, prob in held.items()}


paths_of_six = st.lists(
    st.lists(st.integers(0, NUM_CLASSES - 1), min_size=6, max_size=6), min_size=1, max_size=3
)


@given(paths_of_six, st.integers(0, 2**32), st.sampled_from((0.5, 2.0, 5.0)))
def test_every_path_listed(paths: list[list[int]], seed: int, spread: float) -> None:
    log_probs = random_log_probs(seed, 6, len(paths), NUM_CLASSES, spread)
    found = spot(log_probs, paths)
    for n, (path, characters) in enumerate(zip(paths, found, strict=True)):
        text, frames = collapse(tuple(path))
        assert [character.label for character in characters] == list(text)
        assert [(c.first, c.last) for c in characters] == list(frames)
        parts = parts_of(frames, 6) if text else []
        for character, part in zip(characters, parts, strict=True):
            run = range(character.first, character.last + 1)
            assert set(run) <= set(part)
            assert character.spike == max(run, key=lambda t: log_probs[t, n, character.label])
            held = held_in(log_probs[part.start : part.stop, n])
            assert character.probability == pytest.approx(held.pop(character.label), rel=1e-9)
            assert character.alternative == max(held, key=held.__getitem__)
            assert character.alternative_probability == pytest.approx(max(held.values()), rel=1e-9)


def test_parts_cover_all_frames_once() -> None:
    for path in itertools.product(range(3), repeat=5):
        text, frames = collapse(path)
        parts = parts_of(frames, 5)
        assert len(parts) == max(len(text), 1)
        assert [t for part in parts for t in part] == list(range(5))


def test_by_hand() -> None:
    # "7" is read in frames 1 and 2, "1" in frame 5; the gap is cut between frames 3 and 4.
    blank, seven, one = [0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.2, 0.1, 0.7]
    rows = [blank, seven, [0.1, 0.8, 0.1], blank, blank, one]
    ((first, second),) = spot(from_probs(rows), [[0, 1, 1, 0, 0, 2]])
    assert (first.label, first.first, first.last, first.spike) == (1, 1, 2, 2)
    assert (second.label, second.first, second.last, second.spike) == (2, 5, 5, 5)
    # The second part has two frames: "1" is there, or nothing, or "7".
    of_one = 0.8 * 0.7 + 0.1 * 0.2 + 0.1 * 0.7
    of_seven = 0.8 * 0.1 + 0.1 * 0.2 + 0.1 * 0.1
    total = of_one + of_seven + 0.8 * 0.2
    assert second.probability == pytest.approx(of_one / total)
    assert second.alternative == 0  # nothing at all
    assert second.alternative_probability == pytest.approx(0.8 * 0.2 / total)


def test_a_character_that_is_not_the_likeliest() -> None:
    rows = [[0.2, 0.3, 0.5]]
    ((character,),) = spot(from_probs(rows), [[1]])
    assert character == SpottedCharacter(1, 0, 0, 0, about(0.3), 2, about(0.5))


def test_repeated_characters_are_two() -> None:
    rows = [[0.1, 0.9], [0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]
    log_probs = from_probs(rows)
    path = align(log_probs, [[1, 1]])[:, 0].tolist()
    assert path == [1, 0, 1, 1]
    ((first, second),) = spot(log_probs, [path])
    assert (first.first, first.last, first.spike) == (0, 0, 0)
    assert (second.first, second.last, second.spike) == (2, 3, 3)
    # The blank between belongs to the right part, which it cannot split: [blank, 1, 1].
    assert first.probability == pytest.approx(0.9)
    assert second.probability == pytest.approx(held_in(log_probs[1:, 0])[1])


def test_texts_of_different_lengths_and_none() -> None:
    log_probs = random_log_probs(0, 5, 4, NUM_CLASSES)
    paths = [[0, 0, 0, 0, 0], [1, 2, 3, 2, 1], [0, 0, 3, 3, 0], [2, 0, 2, 0, 2]]
    together = spot(log_probs, paths)
    assert [len(characters) for characters in together] == [0, 5, 1, 3]
    for n, path in enumerate(paths):
        assert spot(log_probs[:, [n]], [path]) == [together[n]]
    assert spot(log_probs[:, :2], [[0] * 5, [0] * 5]) == [(), ()]
    assert spot(log_probs[:, :0], []) == []


def test_of_equal_frames_the_first_is_the_spike() -> None:
    log_probs = from_probs([[0.5, 0.5]] * 4)
    ((character,),) = spot(log_probs, [[0, 1, 1, 1]])
    assert character.spike == 1


def test_a_part_too_improbable_to_tell() -> None:
    """Sixty frames that give 1e-12 to a character or none leave less than a float can hold."""
    probs = np.full((60, 1, NUM_CLASSES), 1e-12)
    probs[::2, :, 2] = probs[1::2, :, 3] = 1.0
    ((character,),) = spot(np.log(probs), [[1] * 60])
    assert (character.first, character.last) == (0, 59)
    assert (character.probability, character.alternative_probability) == (0.0, 0.0)
    with np.errstate(divide="ignore"):
        impossible = np.log(np.eye(NUM_CLASSES)[[2, 3]])[:, None, :]
    ((character,),) = spot(impossible, [[1, 1]])
    assert (character.probability, character.alternative_probability) == (0.0, 0.0)


def test_probabilities_however_long_the_part() -> None:
    """A text of one character in a long picture: mostly blank, one sure spike."""
    probs = np.full((500, 1, NUM_CLASSES), 0.001)
    probs[:, :, 0] = 0.997
    probs[250, 0] = [0.05, 0.9, 0.04, 0.01]
    path = align(np.log(probs), [[1]])[:, 0].tolist()
    ((character,),) = spot(np.log(probs), [path])
    assert character.spike == 250
    rest = character.probability + character.alternative_probability
    assert character.probability > 0.3 > character.alternative_probability
    assert rest <= 1.0
