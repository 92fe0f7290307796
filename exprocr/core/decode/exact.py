"""Exact search: the most probable accepted texts, each summed over all its alignments.

Best-first prefix search (Graves et al. 2006, section 3.2). A prefix is expanded only while its
bound exceeds the probability to beat, so the result is proven. The bound is the probability of all
accepted texts with this prefix together, less that of those already found. It is exact: it comes
from the forward variables of the prefix and the backward variables of the grammar's `Lattice`. If
the texts known beforehand have more than all others together, nothing is searched.

T frames, N samples, C classes, V nodes of the lattice, n prefixes expanded at once, m children.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from exprocr.core.decode.hypothesis import Hypothesis
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.semiring import (
    LOG,
    LOG_IMPOSSIBLE,
    LOG_ZERO,
    FloatArray,
    IntArray,
    log_add,
    log_sum,
)
from exprocr.core.text.charset import BLANK
from exprocr.core.text.grammar.automaton import DEAD

PREFIXES_AT_ONCE = 64
"""Most prefixes of one sample that are expanded at once."""

MAX_KEPT = 500
"""Expanded prefixes per sample whose variables the estimate of memory includes."""

_ROUNDING = 1e-12
"""Relative error of a subtraction; smaller differences of masses count as this."""


@dataclass(frozen=True, slots=True, eq=False)
class _Prefix:
    """The beginning of a text, and what is needed to extend it."""

    ids: tuple[int, ...]
    state: int  # state of the automaton
    log_mass: float  # log-probability of all accepted texts that begin with it
    entry: FloatArray  # (T,): log-probability of the frames before its last character, by the frame
    # at which the character begins


@dataclass(slots=True)
class _Search:
    """The search for one sample's texts."""

    sample: int
    num_best: int  # number of texts to find
    log_mass: float  # log-probability of all accepted texts
    num_expanded: int = 0
    found: dict[tuple[int, ...], float] = field(default_factory=dict)
    _covered: defaultdict[tuple[int, ...], float] = field(
        default_factory=lambda: defaultdict(float)
    )  # by prefix, the share of the grammar mass of its known texts
    _best: list[float] = field(default_factory=list)  # heap of the num_best highest scores
    _open: list[tuple[float, int, _Prefix]] = field(default_factory=list)
    _count: Iterator[int] = field(default_factory=itertools.count)

    def add(self, ids: tuple[int, ...], log_prob: float) -> None:
        """Add a text and its exact score."""
        if ids in self.found or log_prob < LOG_IMPOSSIBLE:
            return
        self.found[ids] = log_prob
        share = math.exp(min(log_prob - self.log_mass, 0.0))
        for length in range(len(ids) + 1):
            self._covered[ids[:length]] += share
        heapq.heappush(self._best, log_prob)
        if len(self._best) > self.num_best:
            heapq.heappop(self._best)

    @property
    def to_beat(self) -> float:
        """Log-probability that another text must exceed."""
        if len(self._best) < self.num_best:
            return LOG_IMPOSSIBLE
        return self._best[0]

    def bound(self, ids: tuple[int, ...], log_mass: float) -> float:
        """Return the highest possible score of a text with this prefix that is not found yet."""
        covered = self._covered.get(ids, 0.0)
        if not covered:
            return log_mass
        share = covered * math.exp(min(self.log_mass - log_mass, 700.0))
        return log_mass + math.log(max(1.0 - share, _ROUNDING))

    def push(self, prefix: _Prefix) -> None:
        """Keep a prefix for later if its texts can be good enough."""
        bound = self.bound(prefix.ids, prefix.log_mass)
        if bound > self.to_beat:
            heapq.heappush(self._open, (-bound, next(self._count), prefix))

    def pop(self) -> list[_Prefix]:
        """Remove and return the best prefixes to expand; none when the search is over."""
        chosen: list[_Prefix] = []
        while self._open and len(chosen) < PREFIXES_AT_ONCE:
            _, _, prefix = heapq.heappop(self._open)
            # Texts found later have lowered its bound or raised the score to beat.
            if self.bound(prefix.ids, prefix.log_mass) > self.to_beat:
                chosen.append(prefix)
        self.num_expanded += len(chosen)
        return chosen

    @property
    def is_over(self) -> bool:
        """Whether no open prefix can lead to a better text; removes prefixes that cannot."""
        while self._open:
            _, _, prefix = self._open[0]
            if self.bound(prefix.ids, prefix.log_mass) > self.to_beat:
                return False
            heapq.heappop(self._open)
        return True


@dataclass(frozen=True, slots=True)
class Found:
    """The texts that a search found in one sample."""

    hypotheses: list[Hypothesis]
    """The texts, the most probable first; none if no accepted text fits."""

    is_proven: bool
    """Whether it is proven that no other text is better."""


def exact_search(
    emissions: FloatArray,
    lattice: Lattice,
    known: Sequence[Sequence[Hypothesis]],
    *,
    num_best: int = 1,
    max_prefixes: int | None = None,
) -> list[Found]:
    """Find the most probable accepted texts.

    Args:
        emissions: (T, N, C) natural logarithms, no infinities.
        lattice: The grammar's lattice.
        known: For each sample, different accepted texts with their exact scores. Probable texts
            save work; the result does not depend on them.
        num_best: Number of texts to find per sample.
        max_prefixes: Number of prefixes after which the search in a sample stops; None for no
            limit.

    Returns:
        For each sample, at most `num_best` texts.
    """
    num_frames, num_samples, _ = emissions.shape
    found: list[Found] = []
    kept = 2 * num_frames * min(max_prefixes or MAX_KEPT, MAX_KEPT)  # values of open prefixes
    for part in lattice.parts(num_frames, num_samples, history=True, extra_cells=kept):
        found += _search_part(
            np.ascontiguousarray(emissions[:, part].transpose(0, 2, 1)),
            lattice,
            known[part],
            num_best,
            max_prefixes,
        )
    return found


def _search_part(
    frames: FloatArray,
    lattice: Lattice,
    known: Sequence[Sequence[Hypothesis]],
    num_best: int,
    max_prefixes: int | None,
) -> list[Found]:
    """Search in samples whose backward variables fit into memory; frames are (T, C, N)."""
    ahead = lattice.backward(frames, LOG)  # (T + 1, V, N)
    searches = [
        _Search(sample, num_best, log_mass) for sample, log_mass in enumerate(ahead[0, 0].tolist())
    ]
    for search, hypotheses in zip(searches, known, strict=True):
        for hypothesis in hypotheses:
            search.add(hypothesis.ids, hypothesis.log_prob)
        if search.log_mass > LOG_IMPOSSIBLE:
            search.push(_Prefix((), 0, search.log_mass, np.full(len(frames), LOG_ZERO)))
    active = searches
    while batch := [(search, prefix) for search in active for prefix in search.pop()]:
        _expand(batch, frames, ahead, lattice)
        active = [
            search
            for search in active
            if max_prefixes is None or search.num_expanded < max_prefixes
        ]
    return [_result(search) for search in searches]


def _result(search: _Search) -> Found:
    ranked = sorted(search.found.items(), key=lambda item: (-item[1], item[0]))
    hypotheses = [Hypothesis(ids, min(score, 0.0)) for ids, score in ranked[: search.num_best]]
    return Found(hypotheses, search.is_over)


def _expand(
    batch: list[tuple[_Search, _Prefix]], frames: FloatArray, ahead: FloatArray, lattice: Lattice
) -> None:
    """Score n prefixes as texts, and keep their children that may lead to better texts."""
    sample = np.array([search.sample for search, _ in batch])
    last = np.array([prefix.ids[-1] if prefix.ids else BLANK for _, prefix in batch])
    state = np.array([prefix.state for _, prefix in batch])
    blank, char = _forward(batch, frames, sample, last)  # (T + 1, n) each
    either = log_add(blank, char)
    ends = np.flatnonzero(lattice.automaton.accepting[state])
    for index in ends.tolist():
        search, prefix = batch[index]
        search.add(prefix.ids, float(either[-1, index]))

    parent, child = (lattice.node_of_arc[state] != DEAD).nonzero()  # (m,) each
    node = lattice.node_of_arc[state[parent], child]
    # A blank must separate two equal characters.
    entry = np.where(child == last[parent], blank[:-1, parent], either[:-1, parent])  # (T, m)
    masses = log_sum(entry + frames[:, child, sample[parent]] + ahead[1:, node, sample[parent]])
    to_beat = np.array([search.to_beat for search, _ in batch])
    kept = np.flatnonzero(masses > to_beat[parent])
    entries: dict[tuple[int, bool], FloatArray] = {}  # shared by the children of a prefix
    for index in kept.tolist():
        search, prefix = batch[parent[index]]
        label = int(child[index])
        key = int(parent[index]), label == last[parent[index]]
        if key not in entries:
            entries[key] = entry[:, index].copy()
        following = int(lattice.automaton.transitions[prefix.state, label])
        search.push(_Prefix((*prefix.ids, label), following, float(masses[index]), entries[key]))


def _forward(
    batch: list[tuple[_Search, _Prefix]],
    frames: FloatArray,
    sample: IntArray,
    last: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the forward variables of n prefixes, (T + 1, n) each.

    Entry t is the sum over all alignments of the whole prefix with the first t frames: of those
    that end in a blank, and of those that end in its last character.
    """
    num_frames = len(frames)
    entry = np.stack([prefix.entry for _, prefix in batch], axis=1)  # (T, n)
    on_blank, on_char = frames[:, BLANK, sample], frames[:, last, sample]
    blank = np.full((num_frames + 1, len(batch)), LOG_ZERO)
    char = np.full_like(blank, LOG_ZERO)
    blank[0, [not prefix.ids for _, prefix in batch]] = 0.0
    for frame in range(num_frames):
        char[frame + 1] = log_add(char[frame], entry[frame]) + on_char[frame]
        blank[frame + 1] = log_add(blank[frame], char[frame]) + on_blank[frame]
    return blank, char
