"""Random texts of a grammar, drawn from the automaton that the decoder uses.

If an automaton accepts at most `MAX_UNIFORM` texts, each is equally probable. With more texts,
nearly all would have the greatest length. So a length is drawn first, from all lengths that have
texts, and then a text of this length. Both are walks through the automaton: at each state, the next
character is drawn with probabilities in proportion to the number of texts that can follow. This is
the recursive method (Hickey & Cohen 1983, "Uniform random generation of strings in a context-free
language"; Flajolet, Zimmermann & Van Cutsem 1994, "A calculus for the random generation of labelled
combinatorial structures"). The numbers are counted once, before the first draw.

Shapes: S states, A arcs (see `Automaton.arcs`), L greatest length.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exprocr.core.system.limits import MAX_SAMPLING_ENTRIES
from exprocr.core.text.charset import BLANK
from exprocr.core.text.grammar.automaton import Automaton
from exprocr.errors import ConfigError

MAX_UNIFORM = 1_000_000
"""Most texts that are drawn with equal probability.

A training draws a few hundred thousand texts, so this is the size up to which it can see a fair
part of them all. The lines of a lexicon and the 27,000 texts of ``level1`` are far fewer.
"""


class Sampler(Protocol):
    """A random source of texts, as class ids."""

    @property
    def max_frames(self) -> int:
        """Frames that CTC needs for the most demanding of its texts."""
        ...

    def draw(self, rng: np.random.Generator, /) -> list[int]:
        """Return the class ids of a random text, which is not empty."""
        ...


def make_sampler(automaton: Automaton, max_length: int) -> Sampler:
    """Return a sampler of an automaton's texts; the empty text is left out.

    Args:
        automaton: Accepts the texts.
        max_length: Most characters of a text where there are more than `MAX_UNIFORM` texts.

    Raises:
        ConfigError: There is no text of 1 to ``max_length`` characters, or counting would take more
            than `MAX_SAMPLING_ENTRIES` numbers.
    """
    num_texts = automaton.num_texts
    if num_texts is not None and num_texts <= MAX_UNIFORM:
        return UniformSampler(automaton)
    return LengthSampler(automaton, max_length)


class _Arcs:
    """The arcs of an automaton, those of each state in a row."""

    def __init__(self, automaton: Automaton) -> None:
        self.states, self.ids, self.targets = automaton.arcs
        self.accepting = automaton.accepting
        self.starts = np.searchsorted(self.states, np.arange(automaton.num_states + 1))
        """int64 (S + 1,), the first arc of each state."""
        self.num_classes = automaton.num_classes

    def grouped(self, function: np.ufunc, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reduce values of the arcs to one for each state: (S,); -inf where there is no arc."""
        found = np.full(len(self.accepting), -np.inf)
        with_arcs = np.flatnonzero(self.starts[1:] > self.starts[:-1])
        if len(with_arcs):
            found[with_arcs] = function.reduceat(values, self.starts[with_arcs])
        return found

    def running_sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of the values of each state's arcs up to and including each arc: (A,)."""
        sums = np.cumsum(values)
        before = np.concatenate(([0.0], sums))[self.starts[self.states]]
        return np.asarray(sums - before)

    def max_frames(self, max_length: int | None) -> int:
        """Return the frames that CTC needs for the most demanding text.

        Args:
            max_length: Most characters of a text; None is any, for an automaton without cycles.
        """
        keys = self.states * self.num_classes + self.ids  # ordered
        wanted = self.targets * self.num_classes + self.ids
        same = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)  # the next arc, if it has
        repeats = keys[same] == wanted  # the same character
        most = np.where(self.accepting[self.targets], 1.0, -np.inf)  # of texts from each arc on
        for _ in range(len(self.accepting) if max_length is None else max_length - 1):
            follow = self.grouped(np.maximum, most)[self.targets]
            follow = np.maximum(follow, np.where(repeats, most[same] + 1, -np.inf))
            longer = np.maximum(most, 1 + follow)
            if (longer == most).all():
                break
            most = longer
        return int(most[: self.starts[1]].max())


class UniformSampler:
    """Draws each text of a finite automaton with equal probability.

    A text has a rank among all texts, and a state has the number of texts that it begins. So the
    text of a random rank is found by subtracting the numbers of the arcs passed over.

    Args:
        automaton: Accepts at most `MAX_UNIFORM` texts.

    Raises:
        ConfigError: It accepts the empty text alone.
    """

    def __init__(self, automaton: Automaton) -> None:
        arcs = _Arcs(automaton)
        ends = automaton.accepting.astype(np.float64)
        numbers = ends
        # Exact: a state begins at most as many texts as there are in all.
        while not np.array_equal(numbers, longer := ends + _sums(arcs, numbers)):
            numbers = longer
        self._first_rank = int(automaton.accepting[0])  # the empty text has rank 0
        self._num_texts = int(numbers[0])
        if self._first_rank == self._num_texts:
            raise ConfigError("expected a grammar with other texts than the empty one")
        self._accepting = automaton.accepting
        self._starts, self._ids, self._targets = arcs.starts, arcs.ids, arcs.targets
        self._sums = np.rint(arcs.running_sums(numbers[arcs.targets])).astype(np.int64)  # (A,)
        self.max_frames = arcs.max_frames(None)

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Return the class ids of a random text."""
        rank = int(rng.integers(self._first_rank, self._num_texts))
        ids: list[int] = []
        state = 0
        while True:
            if self._accepting[state]:
                if rank == 0:
                    return ids
                rank -= 1
            start = self._starts[state]
            arc = bisect_right(self._sums, rank, start, self._starts[state + 1])
            if arc > start:
                rank -= self._sums[arc - 1]
            ids.append(int(self._ids[arc]))
            state = self._targets[arc]


def _sums(arcs: _Arcs, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over each state's arcs of the numbers of their targets: (S,)."""
    sums = np.bincount(arcs.states, numbers[arcs.targets], minlength=len(numbers))
    return sums.astype(np.float64)


class LengthSampler:
    """Draws a length with equal probability, then a text of this length with equal probability.

    Args:
        automaton: Accepts any number of texts.
        max_length: L, most characters of a text.

    Raises:
        ConfigError: See `make_sampler`.
    """

    def __init__(self, automaton: Automaton, max_length: int) -> None:
        arcs = _Arcs(automaton)
        if max_length * max(len(arcs.ids), automaton.num_states) > MAX_SAMPLING_ENTRIES:
            raise ConfigError(
                f"expected at most {MAX_SAMPLING_ENTRIES:,} arcs times lengths, found "
                f"{len(arcs.ids):,} times {max_length:,}; lower max_length"
            )
        # Logarithms, because the numbers can be beyond any float: 94 characters have 10^394 texts
        # of length 200.
        with np.errstate(divide="ignore"):
            logs = np.log(automaton.accepting.astype(np.float64))  # (S,), of length 0
        self._shares = np.zeros((max_length + 1, len(arcs.ids)))
        """(L + 1, A): for each length that remains, the running sums of the shares of each state's
        texts that begin with its arcs; 1 at the last arc that has texts."""
        lengths = []
        for length in range(1, max_length + 1):
            following = logs[arcs.targets]
            largest = arcs.grouped(np.maximum, following)
            largest = np.where(np.isfinite(largest), largest, 0.0)
            shares = arcs.running_sums(np.exp(following - largest[arcs.states]))
            totals = np.zeros(automaton.num_states)
            last = arcs.starts[1:] - 1
            with_arcs = arcs.starts[1:] > arcs.starts[:-1]
            totals[with_arcs] = shares[last[with_arcs]]
            self._shares[length] = shares / np.where(totals > 0, totals, 1.0)[arcs.states]
            with np.errstate(divide="ignore"):
                logs = largest + np.log(totals)
            if np.isfinite(logs[0]):
                lengths.append(length)
        if not lengths:
            raise ConfigError(f"expected texts of 1 to {max_length:,} characters, found none")
        self._lengths = lengths
        self._starts, self._ids, self._targets = arcs.starts, arcs.ids, arcs.targets
        self.max_frames = arcs.max_frames(max_length)

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Return the class ids of a random text."""
        length = self._lengths[rng.integers(len(self._lengths))]
        ids: list[int] = []
        state = 0
        for remaining, place in zip(range(length, 0, -1), rng.random(length).tolist(), strict=True):
            shares = self._shares[remaining]
            arc = bisect_right(shares, place, self._starts[state], self._starts[state + 1])
            ids.append(int(self._ids[arc]))
            state = self._targets[arc]
        return ids


def check_visible(automaton: Automaton, characters: str) -> None:
    """Check that a picture can show all of a text: nothing unprintable, no blank at an end.

    Args:
        automaton: Accepts the texts.
        characters: The characters of its classes, in their order.

    Raises:
        ConfigError: A text has an invisible character, or begins or ends with a blank.
    """
    states, ids, targets = automaton.arcs
    for number in np.unique(ids).tolist():
        character = characters[number - BLANK - 1]
        if not character.isprintable():
            raise ConfigError(f"expected visible characters and blanks, found {character!r}")
        if character == " ":
            blank = ids == number
            if (blank & ((states == 0) | automaton.accepting[targets])).any():
                raise ConfigError("expected texts without a blank at either end, found some with")
