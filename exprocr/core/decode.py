"""CTC decoding: best path and prefix beam search.

Both run over whole batches in NumPy, float64; the only Python loop over data is the one over
frames. Letters used for shapes:

    T frames, N samples, C classes (class ``BLANK`` is the blank), B beam members a sample,
    L characters of the longest text, K texts.

Sources: Graves, Fernandez, Gomez, Schmidhuber, "Connectionist Temporal Classification: Labelling
Unsegmented Sequence Data with Recurrent Neural Networks", ICML 2006, section 3.2; Hannun, Maas,
Jurafsky, Ng, "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
Recurrent DNNs", 2014, algorithm 1 (here without a language model).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprocr.core.alignment import (
    LOG_IMPOSSIBLE,
    LOG_ZERO,
    FloatArray,
    IntArray,
    align,
    check_log_probs,
    forward,
    log_add,
    text_log_probs,
    viterbi,
)
from exprocr.core.charset import BLANK

__all__ = ["Hypothesis", "align", "beam_search", "best_path", "greedy", "text_log_probs"]

HashArray = NDArray[np.uint64]

_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_HASH_EMPTY = np.uint64(0x2545F4914F6CDD1D)
# A beam member of probability zero must find no parent and be nobody's parent.
_HASH_DEAD = np.uint64(0)
_HASH_NO_PARENT = np.uint64(1)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A decoded text.

    Attributes:
        ids: Class ids of the characters; never the blank.
        log_prob: Natural log of the text's probability, summed over all its alignments; at most 0.
        frames: First and last frame (both included) of each character on the text's single most
            probable alignment.
    """

    ids: tuple[int, ...]
    log_prob: float
    frames: tuple[tuple[int, int], ...]


def greedy(log_probs: NDArray[np.floating[Any]]) -> list[Hypothesis]:
    """Decode along the best path: the best class of each frame, repeats collapsed, blanks removed.

    Graves et al. 2006, section 3.2, "best path decoding".

    Args:
        log_probs: (T, N, C) natural logarithms, float; ``-inf`` is allowed.

    Returns:
        N hypotheses.

    Raises:
        ValueError: If `log_probs` is not a three-dimensional array of numbers with a frame.
    """
    emissions = check_log_probs(log_probs)
    labels, lengths = _compact(_best_path(emissions))
    scores = forward(emissions, labels, lengths, np.arange(emissions.shape[1]))
    return _hypotheses(emissions, labels, lengths, scores)


def best_path(log_probs: NDArray[np.floating[Any]]) -> list[list[int]]:
    """Give the texts of the best paths alone, as class ids, without score or frames.

    Args:
        log_probs: (T, N, C) natural logarithms, float.

    Returns:
        N lists of class ids.
    """
    symbols = _best_path(check_log_probs(log_probs))
    return [column[column != BLANK].tolist() for column in symbols.T]


def beam_search(log_probs: NDArray[np.floating[Any]], beam_width: int = 10) -> list[Hypothesis]:
    """Decode by prefix beam search (Graves et al. 2006; Hannun et al. 2014).

    The surviving prefixes and the text of the best path are scored exactly, and the most probable
    wins: the result is never less probable than that of `greedy`.

    Args:
        log_probs: (T, N, C) natural logarithms, float; ``-inf`` is allowed.
        beam_width: Prefixes kept after each frame, at least 1.

    Returns:
        N hypotheses.

    Raises:
        ValueError: If `log_probs` is not a three-dimensional array of numbers with a frame, or
            `beam_width` is below 1.
    """
    if beam_width < 1:
        raise ValueError(f"beam_width: expected at least 1, found {beam_width}")
    emissions = check_log_probs(log_probs)
    num_frames, num_samples, _ = emissions.shape
    # Best path first: argmax takes the first of equals, so beam search departs from greedy only
    # for something better.
    prefixes = _search_prefixes(emissions, beam_width)
    texts = np.concatenate([_best_path(emissions)[:, :, None], prefixes], axis=2)
    labels, lengths = _compact(texts.reshape(num_frames, num_samples * (beam_width + 1)))
    scores = forward(emissions, labels, lengths, np.repeat(np.arange(num_samples), beam_width + 1))
    best = scores.reshape(num_samples, beam_width + 1).argmax(axis=1)
    best += np.arange(num_samples) * (beam_width + 1)
    return _hypotheses(emissions, labels[:, best], lengths[best], scores[best])


def _best_path(emissions: FloatArray) -> IntArray:
    """Give the best class of each frame, (T, N), with repeats turned into blanks."""
    path: IntArray = emissions.argmax(axis=2)
    path[1:][path[1:] == path[:-1]] = BLANK
    return path


def _compact(symbols: IntArray) -> tuple[IntArray, IntArray]:
    """Remove the blanks of symbols (T, K): labels (L, K), padded with blanks, and lengths (K,)."""
    emitted = symbols != BLANK
    position = emitted.cumsum(axis=0) - 1
    lengths = emitted.sum(axis=0)
    labels = np.full((lengths.max(initial=0), symbols.shape[1]), BLANK, dtype=np.int64)
    frame, text = emitted.nonzero()
    labels[position[frame, text], text] = symbols[frame, text]
    return labels, lengths


def _hypotheses(
    emissions: FloatArray, labels: IntArray, lengths: IntArray, scores: FloatArray
) -> list[Hypothesis]:
    frames = viterbi(emissions, labels, lengths)
    ids = labels.T.tolist()
    return [
        Hypothesis(tuple(ids[sample][:count]), score, frames[sample])
        for sample, (count, score) in enumerate(zip(lengths.tolist(), scores.tolist(), strict=True))
    ]


@dataclass(slots=True)
class _Beam:
    """The prefixes of every sample; each array is (N, B)."""

    blank: FloatArray  # log-probability of the alignments that end in a blank
    char: FloatArray  # ... that end in the prefix's last character
    total: FloatArray  # ... of both
    last: IntArray  # last character; the blank for the empty prefix
    hash: HashArray
    parent_hash: HashArray  # hash of the prefix without its last character

    @classmethod
    def start(cls, num_samples: int, width: int) -> _Beam:
        """Give the empty prefix with probability one, beside members of probability zero."""
        shape = (num_samples, width)
        blank = np.full(shape, LOG_ZERO)
        blank[:, 0] = 0.0
        hashes = np.full(shape, _HASH_DEAD)
        hashes[:, 0] = _HASH_EMPTY
        last = np.full(shape, BLANK, dtype=np.int64)
        parents = np.full(shape, _HASH_NO_PARENT)
        return cls(blank, np.full(shape, LOG_ZERO), blank.copy(), last, hashes, parents)


def _search_prefixes(emissions: FloatArray, beam_width: int) -> IntArray:
    """Give the surviving prefixes, (T, N, B): the character that each frame added, or the blank."""
    num_frames, num_samples, num_classes = emissions.shape
    beam = _Beam.start(num_samples, beam_width)
    choices = np.empty((num_frames, num_samples, beam_width), dtype=np.int64)
    for frame, choice in zip(emissions, choices, strict=True):
        candidates, blank, char = _candidates(beam, frame)
        choice[:] = _top(candidates, beam_width)
        beam = _advance(beam, choice, candidates, blank, char)
    # Each choice is member * C + class; follow the members back from the last frame.
    symbols = np.empty_like(choices)
    member = np.broadcast_to(np.arange(beam_width), choices.shape[1:])
    for frame_index in range(num_frames - 1, -1, -1):
        chosen = np.take_along_axis(choices[frame_index], member, axis=1)
        member, symbols[frame_index] = np.divmod(chosen, num_classes)
    return symbols


def _candidates(beam: _Beam, frame: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Extend each member by each class of a frame (N, C).

    Returns:
        The totals of all candidates (N, B, C), where class ``BLANK`` stands for the unchanged
        prefix, and of the unchanged prefixes the parts that end in a blank and in a character.
    """
    sample, member = np.ogrid[: beam.last.shape[0], : beam.last.shape[1]]
    last_emission = frame[sample, beam.last]
    candidates: FloatArray = beam.total[:, :, None] + frame[:, None, :]
    blank = candidates[:, :, BLANK].copy()
    char = beam.char + last_emission
    # The last character again is a new one only after a blank.
    candidates[sample, member, beam.last] = beam.blank + last_emission
    # A candidate that is in the beam already (as child) is merged into that member.
    which, child, parent = (beam.parent_hash[:, :, None] == beam.hash[:, None, :]).nonzero()
    duplicate = (which, parent, beam.last[which, child])
    char[which, child] = log_add(char[which, child], candidates[duplicate])
    candidates[duplicate] = LOG_ZERO
    candidates[:, :, BLANK] = log_add(blank, char)
    return candidates, blank, char


def _top(candidates: FloatArray, count: int) -> IntArray:
    """Give the ascending flat indices (N, count) of each sample's best candidates (N, B, C).

    Among equals the first are taken, so that the result is the same on every machine.
    """
    num_samples, width, num_classes = candidates.shape
    scores = candidates.reshape(num_samples, width * num_classes)
    threshold = np.partition(scores, -count, axis=1)[:, -count, None]
    above = scores > threshold
    equal = scores == threshold
    room = count - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (equal.cumsum(axis=1) <= room))
    indices: IntArray = chosen.nonzero()[1].reshape(num_samples, count)
    return indices


def _advance(
    beam: _Beam, choice: IntArray, candidates: FloatArray, blank: FloatArray, char: FloatArray
) -> _Beam:
    """Build the beam of the chosen candidates (N, B) of `_candidates`."""
    num_samples, _, num_classes = candidates.shape
    parent, symbol = np.divmod(choice, num_classes)
    source = (np.arange(num_samples)[:, None], parent)
    total = candidates[(*source, symbol)]
    same = symbol == BLANK
    parent_hash = beam.hash[source]
    extended_hash = parent_hash * _HASH_FACTOR + symbol.astype(np.uint64) + np.uint64(1)
    dead = total < LOG_IMPOSSIBLE
    new_hash = np.where(same, parent_hash, extended_hash)
    new_parent_hash = np.where(same, beam.parent_hash[source], parent_hash)
    return _Beam(
        blank=np.where(same, blank[source], LOG_ZERO),
        char=np.where(same, char[source], total),
        total=total,
        last=np.where(same, beam.last[source], symbol),
        hash=np.where(dead, _HASH_DEAD, new_hash),
        parent_hash=np.where(dead, _HASH_NO_PARENT, new_parent_hash),
    )
