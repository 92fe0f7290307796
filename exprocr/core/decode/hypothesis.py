"""What decoding finds, and how texts are held in arrays while it searches.

Many texts at once are ``labels`` (L, K): class ids, one text a column, padded with blanks to the
longest; and ``lengths`` (K,).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exprocr.core.decode.semiring import FloatArray, IntArray
from exprocr.core.text.charset import BLANK

Ids = tuple[int, ...]
"""A text as class ids; never the blank."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A decoded text.

    Attributes:
        ids: The text.
        log_prob: Natural log of the text's probability, summed over all its alignments; at most 0.
    """

    ids: Ids
    log_prob: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered for a sample: texts, or values by their likeliest texts.

    Attributes:
        texts: Class ids of each text, the first the one that is read; at least one.
        log_probs: Natural logs of the probabilities of the texts, or of the values.
        is_proven: Whether no other is more probable than the first.
        uncovered: By value, the share of the grammar's mass whose texts were not looked at.
    """

    texts: tuple[Ids, ...]
    log_probs: tuple[float, ...]
    is_proven: bool
    uncovered: float | None = None


NOTHING = Hypothesis((), -np.inf)
"""Where no text of the grammar fits into the frames."""


def collapse(path: IntArray) -> tuple[IntArray, IntArray]:
    """Turn paths (T, K) of classes into labels (L, K) and lengths (K,): repeats, then blanks go."""
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
    """Give K texts as hypotheses."""
    return [
        Hypothesis(tuple(ids[:length]), score)
        for ids, length, score in zip(
            labels.T.tolist(), lengths.tolist(), scores.tolist(), strict=True
        )
    ]


def to_labels(texts: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """Give texts as labels (L, K) and lengths (K,)."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    labels = np.full((lengths.max(initial=0), len(texts)), BLANK, dtype=np.int64)
    for column, text in enumerate(texts):
        labels[: len(text), column] = text
    return labels, lengths
