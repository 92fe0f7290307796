"""Reading by value: the most probable value, summed over all texts that have it.

``1+2+3`` and ``1+3+2`` are different texts of one value: where the network doubts between such
texts, the value is surer than any of them. A text without a value (it divides by zero, or is no
expression) counts for itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np

from exprocr.core.decode.forward import forward
from exprocr.core.decode.hypothesis import NOTHING, Answer, Ids, to_labels
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.search import find_texts
from exprocr.core.decode.semiring import MIN_LINEAR, FloatArray, IntArray
from exprocr.core.text.charset import BLANK
from exprocr.core.text.expression import value_of
from exprocr.core.text.grammar.grammars import Grammar

MAX_TEXTS = 300_000
"""Most texts of a grammar that are all looked at."""

NUM_TEXTS = 20
"""Fewest texts looked at where a grammar has too many."""


def find_values(
    emissions: FloatArray,
    log_mass: FloatArray,
    grammar: Grammar,
    lattice: Lattice,
    method: str,
    *,
    beam_width: int,
    num_best: int,
) -> list[Answer]:
    """Find the most probable values.

    Args:
        emissions: (T, N, C) natural logarithms, no infinities.
        log_mass: (N,) log of the grammar's mass.
        grammar: The texts that may be read.
        lattice: The grammar's.
        method: How texts are found where the grammar has more than `MAX_TEXTS`.
        beam_width: Prefixes kept by the beam search.
        num_best: Values wanted.

    Returns:
        For each sample its values, and for each value its likeliest text.
    """
    num_texts = grammar.automaton.num_texts
    if num_texts is not None and num_texts <= MAX_TEXTS:
        values = _all_values(grammar)
        return [values.best(emissions[:, n], num_best) for n in range(emissions.shape[1])]
    found = find_texts(
        emissions, lattice, method, beam_width=beam_width, num_best=max(num_best, NUM_TEXTS)
    )
    results = []
    for texts, mass in zip(found, log_mass.tolist(), strict=True):
        ids = [hypothesis.ids for hypothesis in texts.hypotheses]
        scores = np.array([hypothesis.log_prob for hypothesis in texts.hypotheses])
        looked_at = float(np.exp(scores - mass).sum()) if mass > -np.inf else 1.0
        groups = _groups(ids, grammar)
        results.append(_best(ids, groups, scores, num_best, max(1.0 - looked_at, 0.0), mass))
    return results


def _groups(texts: Sequence[Ids], grammar: Grammar) -> IntArray:
    """Number the values of texts: texts of one value have one number, int64 (K,)."""
    numbers: defaultdict[Hashable, int] = defaultdict(lambda: len(numbers))
    keys = [(value_of(grammar.charset.decode(ids)), ids) for ids in texts]
    return np.array([numbers[ids if value is None else value] for value, ids in keys], dtype=int)


def _best(
    texts: Sequence[Ids],
    groups: IntArray,
    log_probs: FloatArray,
    num_best: int,
    uncovered: float,
    log_mass: float,
) -> Answer:
    """Sum the probabilities (K,) of texts by value, and rank the values."""
    top = log_probs.max(initial=-np.inf)
    if top == -np.inf:  # no text fits
        return Answer((NOTHING.ids,), (NOTHING.log_prob,), True, 0.0)
    sums = np.bincount(groups, np.exp(log_probs - top))
    first, *others = np.argsort(-sums, kind="stable")[: max(num_best, 2)].tolist()
    # What was not looked at could all be of the second value.
    rest = sums[others[0]] if others else 0.0
    if uncovered:
        rest += uncovered * np.exp(log_mass - top)
    ranked = [first, *others][:num_best]
    likeliest = [
        int(np.where(groups == group, log_probs, -np.inf).argmax())
        for group in ranked
        if sums[group] > 0
    ]
    return Answer(
        tuple(texts[k] for k in likeliest),
        tuple(float(np.log(sums[groups[k]]) + top) for k in likeliest),
        bool(sums[first] >= rest),
        uncovered,
    )


class _AllValues:
    """All texts of a finite grammar as a tree of their prefixes, which share their work.

    V prefixes, a parent before its children; prefix 0 is the empty one. K texts.
    """

    def __init__(self, texts: list[Ids], grammar: Grammar) -> None:
        number: dict[Ids, int] = {(): 0}
        for text in texts:
            for length in range(1, len(text) + 1):
                number.setdefault(text[:length], len(number))
        prefixes = list(number)
        self.texts = texts
        self.groups = _groups(texts, grammar)
        self.node_of_text = np.array([number[text] for text in texts])
        self.parent = np.array([number[prefix[:-1]] for prefix in prefixes])
        self.label = np.array([prefix[-1] if prefix else BLANK for prefix in prefixes])
        self.repeats = self.label == self.label[self.parent]

    def best(self, emissions: FloatArray, num_best: int) -> Answer:
        """Give the most probable values of one sample (T, C)."""
        return _best(self.texts, self.groups, self._log_probs(emissions), num_best, 0.0, 0.0)

    def _log_probs(self, emissions: FloatArray) -> FloatArray:
        """Run the forward algorithm on all prefixes at once; give the texts' scores (K,)."""
        blank = np.zeros(len(self.parent))
        blank[0] = 1.0  # before the first frame
        char = np.zeros_like(blank)
        for frame in np.exp(emissions):
            either = blank + char
            entry = np.where(self.repeats, blank[self.parent], either[self.parent])
            entry[0] = 0.0
            char = (char + entry) * frame[self.label]
            blank = either * frame[BLANK]
        probs = (blank + char)[self.node_of_text]
        if probs.max() > MIN_LINEAR:
            with np.errstate(divide="ignore"):
                result: FloatArray = np.log(probs)
            return result
        labels, lengths = to_labels(self.texts)
        return forward(emissions[:, None], labels, lengths, np.zeros_like(lengths))


@lru_cache(maxsize=1)
def _all_values(grammar: Grammar) -> _AllValues:
    return _AllValues(list(grammar.automaton.texts()), grammar)
