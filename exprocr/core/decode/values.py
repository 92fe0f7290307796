"""Reading by value: the most probable value, summed over all texts with this value.

``1+2+3`` and ``1+3+2`` are different texts with the same value. If the network is undecided between
them, their value is more certain than either text. A text without a value (it divides by zero, or
is no expression) counts as a value of its own. Equations have the same value if their left sides
have, and either both hold, both do not, or of both it is unknown.

If a grammar has too many texts to examine all, a sum is a lower bound of the probability.
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
from exprocr.core.text.expression import outcome_of
from exprocr.core.text.grammar.grammars import Grammar

MAX_TEXTS = 300_000
"""If a grammar has at most this many texts, all of them are examined."""

NUM_TEXTS = 20
"""Otherwise, at least this many of the most probable texts are examined."""


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
        log_mass: (N,) logarithm of the grammar mass.
        grammar: The allowed texts.
        lattice: The grammar's lattice.
        method: The decoding method for grammars with more than `MAX_TEXTS` texts.
        beam_width: Number of prefixes that the beam search keeps.
        num_best: Number of values to find.

    Returns:
        For each sample, the probabilities of its values, and the most probable text of each.
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
        covered = float(np.exp(scores - mass).sum()) if mass > -np.inf else 1.0
        groups = _groups(ids, grammar)
        results.append(_best(ids, groups, scores, num_best, max(1.0 - covered, 0.0), mass))
    return results


def _groups(texts: Sequence[Ids], grammar: Grammar) -> IntArray:
    """Return the group of each text, int64 (K,): texts with the same value have the same number."""
    numbers: defaultdict[Hashable, int] = defaultdict(lambda: len(numbers))
    keys = [(outcome_of(grammar.charset.decode(ids)), ids) for ids in texts]
    return np.array(
        [numbers[ids if outcome.value is None else outcome] for outcome, ids in keys], dtype=int
    )


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
    # All texts that were not examined could have the second value.
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
    """All texts of a finite grammar as a tree, in which texts share their common prefixes.

    V prefixes, parents before their children; prefix 0 is empty. K texts.
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
        """Return the most probable values of one sample (T, C)."""
        return _best(self.texts, self.groups, self._log_probs(emissions), num_best, 0.0, 0.0)

    def _log_probs(self, emissions: FloatArray) -> FloatArray:
        """Run the forward algorithm on all prefixes at once; return the texts' scores (K,)."""
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
