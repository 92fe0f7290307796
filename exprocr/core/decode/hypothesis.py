"""Results of decoding, and arrays of texts.

K texts are two arrays: ``labels`` (L, K), the class ids, one text per column, padded with blanks to
the longest; and ``lengths`` (K,).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exprocr.core.decode.semiring import FloatArray, IntArray
from exprocr.core.text.charset import BLANK

Ids = tuple[int, ...]
"""A text as class ids, without the blank."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A decoded text.

    Attributes:
        ids: The text.
        log_prob: Natural logarithm of its probability, summed over all its alignments; at most 0.
    """

    ids: Ids
    log_prob: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The result for a sample: texts, or values with the most probable text of each.

    Attributes:
        texts: Class ids of each text, the chosen one first; at least one.
        log_probs: Natural logarithms of the probabilities of the texts, or of the values.
        is_proven: Whether it is proven that no other text (or value) is more probable.
        uncovered: When reading by value: the share of the grammar mass whose texts were not
            examined.
    """

    texts: tuple[Ids, ...]
    log_probs: tuple[float, ...]
    is_proven: bool
    uncovered: float | None = None


NOTHING = Hypothesis((), -np.inf)
"""The result if no text of the grammar fits into the frames."""


def collapse(path: IntArray) -> tuple[IntArray, IntArray]:
    """Remove repeats, then blanks, of paths (T, K): labels (L, K) and lengths (K,)."""
    symbols = path.copy()
    symbols[1:][path[1:] == path[:-1]] = BLANK
    return compact(symbols)


def compact(symbols: IntArray) -> tuple[IntArray, IntArray]:
    """Remove the blanks of symbols (T, K): labels (L, K) and lengths (K,)."""
    emitted = symbols != BLANK
    position = emitted.cumsum(axis=0) - 1
    lengths = emitted.sum(axis=0)
    labels = np.full((lengths.max(initial=0), symbols.shape[1]), BLANK, dtype=np.int64)
    frame, text = emitted.nonzero()
    labels[position[frame, text], text] = symbols[frame, text]
    return labels, lengths


def to_hypotheses(labels: IntArray, lengths: IntArray, scores: FloatArray) -> list[Hypothesis]:
    """Return K texts as hypotheses."""
    return [
        Hypothesis(tuple(ids[:length]), score)
        for ids, length, score in zip(
            labels.T.tolist(), lengths.tolist(), scores.tolist(), strict=True
        )
    ]


def to_labels(texts: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """Return texts as labels (L, K) and lengths (K,)."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    labels = np.full((lengths.max(initial=0), len(texts)), BLANK, dtype=np.int64)
    for column, text in enumerate(texts):
        labels[: len(text), column] = text
    return labels, lengths
