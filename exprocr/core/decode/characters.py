"""Positions, probabilities and alternatives of the characters of a text.

A text's best alignment assigns a run of frames to each character. The *spike* is the frame of the
run in which the character is most probable. The middles of the gaps between runs divide the picture
into parts, one per character. A character's probability is its CTC probability in its part, among
all single characters and no character.

T frames, N samples, C classes, L characters of the longest text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exprocr.core.decode.semiring import FloatArray, IntArray
from exprocr.core.text.charset import BLANK


@dataclass(frozen=True, slots=True)
class SpottedCharacter:
    """One character of a text, in frames.

    Attributes:
        label: Class id.
        first: First frame of its run.
        last: Last frame of its run, included.
        spike: The frame of the run in which it is most probable.
        probability: Its probability in its part of the picture, 0..1.
        alternative: Class id of the most probable other class there; the blank is no character.
        alternative_probability: Probability of the alternative, 0..1.
    """

    label: int
    first: int
    last: int
    spike: int
    probability: float
    alternative: int
    alternative_probability: float


def spot_characters(
    emissions: FloatArray, labels: IntArray, lengths: IntArray, path: IntArray
) -> list[tuple[SpottedCharacter, ...]]:
    """Locate the characters of N texts and compute their probabilities.

    Args:
        emissions: (T, N, C) natural logarithms, no infinities.
        labels: (L, N) class ids, padded with blanks.
        lengths: (N,) characters of each text.
        path: (T, N) classes of each text's best alignment.

    Returns:
        The characters of each sample's text.
    """
    num_frames, num_samples, _ = emissions.shape
    length = len(labels)
    first, last, spike = _runs(emissions, labels, path)  # (L, N) each
    index = np.arange(length)[:, None]
    ends = np.full_like(first, num_frames)  # end of each part, excluded
    ends[:-1] = np.where(index[1:] < lengths, (last[:-1] + first[1:] + 1) // 2, num_frames)
    starts = np.concatenate([np.zeros((1, num_samples), dtype=np.int64), ends])[:length]
    probs = _shares(emissions, starts, ends)  # (L, N, C)
    own = np.take_along_axis(probs, labels[:, :, None], axis=2)[:, :, 0]
    others = probs.copy()
    np.put_along_axis(others, labels[:, :, None], -1.0, axis=2)
    alternative = others.argmax(axis=2)
    best_other = others.max(axis=2, initial=0.0)
    columns = [a.T.tolist() for a in (labels, first, last, spike, own, alternative, best_other)]
    return [
        tuple(
            SpottedCharacter(*values)
            for values in zip(*(c[n][:count] for c in columns), strict=True)
        )
        for n, count in enumerate(lengths.tolist())
    ]


def _runs(
    emissions: FloatArray, labels: IntArray, path: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Return the first frame, the last frame and the spike of each character, (L, N) each."""
    num_frames = len(path)
    begins = path != BLANK
    begins[1:] &= path[1:] != path[:-1]
    number = begins.cumsum(axis=0) - 1  # of the last character so far, (T, N)
    position = np.arange(len(labels))[:, None, None]
    inside = (number == position) & (path != BLANK)  # (L, T, N)
    first = inside.argmax(axis=1)
    last = num_frames - 1 - inside[:, ::-1].argmax(axis=1)
    sample = np.arange(path.shape[1])
    own = emissions[:, sample, labels].transpose(1, 0, 2)  # (L, T, N)
    spike = np.where(inside, own, -np.inf).argmax(axis=1)
    return first, last, spike


def _shares(emissions: FloatArray, starts: IntArray, ends: IntArray) -> FloatArray:
    """Return the probability of each character, and of no character, in parts of the frames.

    Args:
        emissions: (T, N, C) natural logarithms.
        starts: (L, N) first frame of each part.
        ends: (L, N) end of each part, excluded.

    Returns:
        (L, N, C): for each part, the probabilities by class that it contains this character alone,
        or none (``BLANK``), normalized to sum to 1; all 0 if they are too small.
    """
    frames = np.exp(emissions)
    num_frames, num_samples, num_classes = frames.shape
    sample = np.arange(num_samples)
    nothing = np.ones((*starts.shape, 1))  # the probability of blanks alone so far
    inside = np.zeros((*starts.shape, num_classes))  # ... in the run of a character
    after = np.zeros_like(inside)  # ... in the blanks after it
    certain_blank = np.eye(1, num_classes, BLANK)[0]
    for step in range(int((ends - starts).max(initial=0))):
        frame = frames[np.minimum(starts + step, num_frames - 1), sample]  # (L, N, C)
        frame[starts + step >= ends] = certain_blank  # no change beyond the part
        blank = frame[:, :, BLANK, None]
        after += inside
        after *= blank
        inside += nothing
        inside *= frame
        nothing *= blank
    shares = inside + after
    shares[:, :, BLANK] = nothing[:, :, 0]
    total = shares.sum(axis=2, keepdims=True)
    result: FloatArray = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    return result
