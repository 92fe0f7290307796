"""Prefix beam search under a grammar.

It processes whole batches in NumPy, float64; the only Python loop over data runs over frames.
Letters used for shapes:

    T frames, N samples, C classes (class ``BLANK`` is the blank), B beam members per sample,
    L characters of the longest text, K texts.

The beam holds only prefixes that the grammar can still complete in the remaining frames; others are
removed before the best ones are chosen.

Sources: Graves, Fernandez, Gomez, Schmidhuber, "Connectionist Temporal Classification: Labeling
Unsegmented Sequence Data with Recurrent Neural Networks", ICML 2006, section 3.2; Hannun, Maas,
Jurafsky, Ng, "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
Recurrent DNNs", 2014, algorithm 1 (here with a grammar in place of a language model).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exprocr.core.decode.forward import forward
from exprocr.core.decode.greedy import best_accepted_path
from exprocr.core.decode.hypothesis import Hypothesis, compact, to_hypotheses
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.semiring import (
    LOG_IMPOSSIBLE,
    LOG_ZERO,
    FloatArray,
    IntArray,
    log_add,
)
from exprocr.core.text.charset import BLANK

HashArray = NDArray[np.uint64]

_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_HASH_EMPTY = np.uint64(0x2545F4914F6CDD1D)
# Beam members of probability zero must not match any other member.
_HASH_DEAD = np.uint64(0)
_HASH_NO_PARENT = np.uint64(1)


def beam_search(emissions: FloatArray, lattice: Lattice, beam_width: int) -> list[list[Hypothesis]]:
    """Find probable texts.

    The surviving prefixes and the text of the best accepted path are scored exactly. So the first
    result is at least as probable as that of greedy decoding.

    Args:
        emissions: (T, N, C) natural logarithms, no infinities.
        lattice: The grammar's lattice.
        beam_width: B, at least 1.

    Returns:
        For each sample, the different texts found, the most probable first; none if no accepted
        text fits into T frames.
    """
    num_samples = emissions.shape[1]
    if not num_samples:
        return []
    _, path_labels, path_lengths = best_accepted_path(emissions, lattice)
    symbols, alive = _search_prefixes(emissions, lattice, beam_width)  # (T, N, B), (N, B)
    symbols[:, ~alive] = BLANK
    labels, lengths = compact(symbols.reshape(len(symbols), -1))
    longest = max(len(labels), len(path_labels))
    both = np.full((longest, num_samples, beam_width + 1), BLANK, dtype=np.int64)
    both[: len(path_labels), :, 0] = path_labels
    both[: len(labels), :, 1:] = labels.reshape(-1, num_samples, beam_width)
    fits = path_lengths >= 0
    # The best path's text comes first, and is removed from the prefixes.
    again = (both[:, :, :1] == both[:, :, 1:]).all(axis=0)
    kept = np.concatenate([fits[:, None], alive & ~again & fits[:, None]], axis=1)  # (N, B + 1)
    sample = kept.nonzero()[0]
    texts = both[:, kept]
    prefix_lengths = lengths.reshape(num_samples, beam_width)
    text_lengths = np.concatenate([path_lengths[:, None], prefix_lengths], axis=1)[kept]
    scores = forward(emissions, texts, text_lengths, sample)
    found: list[list[Hypothesis]] = [[] for _ in range(num_samples)]
    for index, hypothesis in zip(
        sample.tolist(), to_hypotheses(texts, text_lengths, scores), strict=True
    ):
        found[index].append(hypothesis)
    for hypotheses in found:
        hypotheses.sort(key=lambda hypothesis: -hypothesis.log_prob)
    return found


@dataclass(slots=True)
class _Beam:
    """The prefixes of all samples; each array is (N, B)."""

    blank: FloatArray  # log-probability of the alignments that end in a blank
    char: FloatArray  # log-probability of those that end in the prefix's last character
    total: FloatArray  # log-probability of both
    last: IntArray  # last character; the blank for the empty prefix
    state: IntArray  # state of the automaton
    hash: HashArray
    parent_hash: HashArray  # hash of the prefix without its last character

    @classmethod
    def start(cls, num_samples: int, width: int) -> _Beam:
        """Return the empty prefix with probability one, and other members with probability zero."""
        shape = (num_samples, width)
        blank = np.full(shape, LOG_ZERO)
        blank[:, 0] = 0.0
        hashes = np.full(shape, _HASH_DEAD)
        hashes[:, 0] = _HASH_EMPTY
        last = np.full(shape, BLANK, dtype=np.int64)
        parents = np.full(shape, _HASH_NO_PARENT)
        state = np.zeros(shape, dtype=np.int64)
        return cls(blank, np.full(shape, LOG_ZERO), blank.copy(), last, state, hashes, parents)


def _search_prefixes(
    emissions: FloatArray, lattice: Lattice, beam_width: int
) -> tuple[IntArray, NDArray[np.bool_]]:
    """Search for probable prefixes.

    Returns:
        For each surviving prefix, the character that each frame added, or the blank, (T, N, B); and
        whether it is an accepted text, bool (N, B). The others fill beams that are not full.
    """
    num_frames, num_samples, num_classes = emissions.shape
    beam = _Beam.start(num_samples, beam_width)
    choices = np.empty((num_frames, num_samples, beam_width), dtype=np.int64)
    for index, (frame, choice) in enumerate(zip(emissions, choices, strict=True)):
        too_long = lattice.frames_needed > num_frames - 1 - index  # (S, C)
        candidates, blank, char = _candidates(beam, frame, too_long)
        choice[:] = _top(candidates, beam_width)
        beam = _advance(beam, choice, candidates, blank, char, lattice.automaton.transitions)
    # Each choice is member * C + class. The members are followed back from the last frame.
    symbols = np.empty_like(choices)
    member = np.broadcast_to(np.arange(beam_width), choices.shape[1:])
    for index in range(num_frames - 1, -1, -1):
        chosen = np.take_along_axis(choices[index], member, axis=1)
        member, symbols[index] = np.divmod(chosen, num_classes)
    return symbols, beam.total > LOG_IMPOSSIBLE


def _candidates(
    beam: _Beam, frame: FloatArray, too_long: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Extend each member by each class of a frame (N, C).

    Args:
        beam: The beam before the frame.
        frame: The frame.
        too_long: bool (S, C), whether the remaining frames are too few after a state and a class.

    Returns:
        The totals of all candidates (N, B, C), where class ``BLANK`` is the unchanged prefix; and
        the unchanged prefixes' ``blank`` and ``char``, (N, B) each.
    """
    sample, member = np.ogrid[: beam.last.shape[0], : beam.last.shape[1]]
    last_emission = frame[sample, beam.last]
    candidates: FloatArray = beam.total[:, :, None] + frame[:, None, :]
    blank = candidates[:, :, BLANK].copy()
    char = beam.char + last_emission
    # The last character again is a new character only after a blank.
    candidates[sample, member, beam.last] = beam.blank + last_emission
    # A candidate that equals a member of the beam (the child) is merged into this member.
    which, child, parent = (beam.parent_hash[:, :, None] == beam.hash[:, None, :]).nonzero()
    duplicate = (which, parent, beam.last[which, child])
    char[which, child] = log_add(char[which, child], candidates[duplicate])
    candidates[duplicate] = LOG_ZERO
    candidates[:, :, BLANK] = log_add(blank, char)
    candidates[too_long[beam.state]] = LOG_ZERO
    return candidates, blank, char


def _top(candidates: FloatArray, count: int) -> IntArray:
    """Return the flat indices (N, count), ascending, of each sample's best candidates (N, B, C).

    Of equal candidates the first are taken, so that the result is the same on every machine.
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
    beam: _Beam,
    choice: IntArray,
    candidates: FloatArray,
    blank: FloatArray,
    char: FloatArray,
    transitions: IntArray,
) -> _Beam:
    """Return the beam of the chosen candidates (N, B); see `_candidates`."""
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
    state = beam.state[source]
    return _Beam(
        blank=np.where(same & ~dead, blank[source], LOG_ZERO),
        char=np.where(same & ~dead, char[source], total),
        total=total,
        last=np.where(same, beam.last[source], symbol),
        state=np.where(same | dead, state, transitions[state, symbol]),
        hash=np.where(dead, _HASH_DEAD, new_hash),
        parent_hash=np.where(dead, _HASH_NO_PARENT, new_parent_hash),
    )
