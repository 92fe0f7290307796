"""CTC with a given text: its probability over all alignments, and its best alignment.

Whole batches are processed in NumPy, float64; the only Python loops over data run over frames.
Letters used for shapes:

    T frames, N samples, C classes (class ``BLANK`` is the blank), K texts to score,
    L characters of the longest text, S = 2 L + 1 states of the text extended by blanks.

Internally, the logarithm of zero is the finite ``LOG_ZERO``; results contain ``-inf`` instead.

Source: Graves, Fernandez, Gomez, Schmidhuber, "Connectionist Temporal Classification: Labeling
Unsegmented Sequence Data with Recurrent Neural Networks", ICML 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprocr.core.decode.hypothesis import to_labels
from exprocr.core.decode.semiring import (
    LINEAR,
    LOG,
    LOG_IMPOSSIBLE,
    LOG_ZERO,
    MIN_LINEAR,
    FloatArray,
    IntArray,
    Semiring,
)
from exprocr.core.text.charset import BLANK


def text_log_probs(
    log_probs: NDArray[np.floating[Any]], texts: Sequence[Sequence[int]]
) -> FloatArray:
    """Return the CTC log-probability of one text per sample, summed over all alignments.

    The forward algorithm of Graves et al. 2006, eq. 6-8.

    Args:
        log_probs: (T, N, C) natural logarithms, float; ``-inf`` is allowed.
        texts: N texts as class ids without blanks; a text may be empty.

    Returns:
        (N,) float64 natural logarithms, at most 0; ``-inf`` if the text does not fit into T frames
        or has probability zero.

    Raises:
        ValueError: An argument has the wrong shape, or a text has an invalid class id.
    """
    emissions = check_log_probs(log_probs)
    labels, lengths = _check_texts(texts, emissions)
    return forward(emissions, labels, lengths, np.arange(emissions.shape[1]))


def align(log_probs: NDArray[np.floating[Any]], texts: Sequence[Sequence[int]]) -> IntArray:
    """Find each text's most probable alignment (Viterbi).

    Args:
        log_probs: (T, N, C) natural logarithms, float; ``-inf`` is allowed.
        texts: N texts as class ids without blanks; a text may be empty.

    Returns:
        The class of each frame, int64 (T, N). For a text that fits but has probability zero, this
        is one of its valid alignments.

    Raises:
        ValueError: An argument has the wrong shape, a text has an invalid class id, or a text does
            not fit into T frames.
    """
    emissions = check_log_probs(log_probs)
    labels, lengths = _check_texts(texts, emissions)
    # Two equal characters in a row need a blank between them.
    repeats = (labels[1:] == labels[:-1]) & (labels[1:] != BLANK)
    needed = lengths + repeats.sum(axis=0)
    if (needed > len(emissions)).any():
        sample = int((needed > len(emissions)).argmax())
        raise ValueError(
            f"texts[{sample}]: needs at least {needed[sample]} frames, found {len(emissions)}"
        )
    return align_paths(emissions, labels, lengths)


def check_log_probs(log_probs: NDArray[np.floating[Any]]) -> FloatArray:
    """Return (T, N, C) log-probabilities as float64, with ``LOG_ZERO`` for ``-inf``.

    Raises:
        ValueError: They do not have three dimensions, have no frame or no class, or have NaN or
            positive infinity.
    """
    emissions = np.asarray(log_probs, dtype=np.float64)
    if emissions.ndim != 3:
        raise ValueError(f"log_probs: expected 3 dimensions (T, N, C), found {emissions.ndim}")
    if emissions.shape[0] < 1 or emissions.shape[2] < 1:
        raise ValueError(
            f"log_probs: expected at least one frame and one class, found shape {emissions.shape}"
        )
    if not emissions.max(initial=-np.inf) < np.inf:
        raise ValueError("log_probs: expected logarithms of probabilities, found NaN or infinity")
    return np.maximum(emissions, LOG_ZERO)


def _check_texts(
    texts: Sequence[Sequence[int]], emissions: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return texts as labels (L, N), padded with blanks, and lengths (N,)."""
    _, num_samples, num_classes = emissions.shape
    if len(texts) != num_samples:
        raise ValueError(f"texts: expected {num_samples}, one per sample, found {len(texts)}")
    for sample, text in enumerate(texts):
        for label in text:
            if label == BLANK or not 0 <= label < num_classes:
                raise ValueError(
                    f"texts[{sample}]: expected class ids below {num_classes} without the blank "
                    f"{BLANK}, found {label}"
                )
    return to_labels(texts)


def forward(
    emissions: FloatArray, labels: IntArray, lengths: IntArray, samples: IntArray
) -> FloatArray:
    """Score K texts, text k in sample ``samples[k]``, with the forward algorithm.

    Args:
        emissions: (T, N, C), no infinities.
        labels: (L, K) class ids, padded with blanks.
        lengths: (K,) characters of each text.
        samples: (K,) sample of each text.

    Returns:
        (K,) log-probabilities; ``-inf`` if there is no alignment.
    """
    probs = _forward(np.exp(emissions), labels, lengths, samples, LINEAR)
    with np.errstate(divide="ignore"):
        scores: FloatArray = np.log(probs)
    small = probs < MIN_LINEAR
    if small.any():
        scores[small] = _forward(emissions, labels[:, small], lengths[small], samples[small], LOG)
    # The probabilities of a float32 frame can sum to slightly more than one.
    return np.where(scores < LOG_IMPOSSIBLE, -np.inf, np.minimum(scores, 0.0))


def _forward(
    frames: FloatArray,
    labels: IntArray,
    lengths: IntArray,
    samples: IntArray,
    semiring: Semiring,
) -> FloatArray:
    """Run the forward algorithm in a semiring; the frames (T, N, C) are its elements.

    The extended text of Graves et al. alternates blanks and characters. Here they are two arrays:
    ``blank[i]``, (L + 1, K), is the blank before character i; ``char[i]``, (L, K), is character i.
    """
    plus, times = semiring.plus, semiring.times
    num_frames, _, num_classes = frames.shape
    length, num_texts = labels.shape
    blank_index = samples * num_classes + BLANK
    char_index = samples * num_classes + labels
    repeated = (labels[1:] == labels[:-1]) & (labels[1:] != BLANK)
    any_repeated = bool(repeated.any())
    blank = np.full((length + 1, num_texts), semiring.zero)
    blank[0] = semiring.one  # the start: before the first frame and character
    char = np.full((length, num_texts), semiring.zero)
    for frame in frames.reshape(num_frames, -1):
        # left[i]: character i - 1 has been read, with or without a blank after it.
        left = blank.copy()
        left[1:] = plus(blank[1:], char)
        entry = left[:-1]
        if any_repeated:
            entry = entry.copy()
            np.copyto(entry[1:], blank[1:-1], where=repeated)
        char = times(plus(char, entry), frame[char_index])
        blank = times(left, frame[blank_index])
    blank[1:] = plus(blank[1:], char)
    return blank[lengths, np.arange(num_texts)]


def align_paths(emissions: FloatArray, labels: IntArray, lengths: IntArray) -> IntArray:
    """Find each text's most probable alignment (Viterbi).

    Args:
        emissions: (T, N, C), no infinities.
        labels: (L, N) class ids, padded with blanks; each text fits into T frames.
        lengths: (N,) characters of each text.

    Returns:
        The class of each frame, (T, N).
    """
    num_frames, num_samples, _ = emissions.shape
    samples = np.arange(num_samples)
    states = np.full((2 * len(labels) + 1, num_samples), BLANK, dtype=np.int64)  # (S, N)
    states[1::2] = labels
    # A move by two states skips a blank. It is allowed if the characters on both sides differ. (The
    # states on both sides of a character are blanks, which never differ.)
    may_skip = states[2:] != states[:-2]
    moves = np.zeros((num_frames, *states.shape), dtype=np.int8)  # (T, S, N)
    score = np.full(states.shape, -np.inf)
    score[0] = 0.0  # before the first frame
    for frame, move in zip(emissions, moves, strict=True):
        best = score.copy()
        move[1:] = score[:-1] > best[1:]
        np.maximum(best[1:], score[:-1], out=best[1:])
        skip = may_skip & (score[:-2] > best[2:])
        move[2:][skip] = 2
        np.copyto(best[2:], score[:-2], where=skip)
        score = best + frame[samples, states]
    state = 2 * lengths
    before = np.maximum(state - 1, 0)  # an empty text has only state 0
    state = np.where(score[before, samples] > score[state, samples], before, state)
    path = np.empty((num_frames, num_samples), dtype=np.int64)
    for frame_index in range(num_frames - 1, -1, -1):
        path[frame_index] = states[state, samples]
        state = state - moves[frame_index, state, samples]
    return path
