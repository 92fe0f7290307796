"""Deterministic finite automata over a model's class ids.

An `Automaton` is trimmed: every state can be reached and can still be completed, so a prefix that
it has not refused is the beginning of at least one text that it accepts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from exprocr.core.text.charset import BLANK, Charset

DEAD = -1
"""What `Automaton.transitions` holds where the automaton refuses."""

Arcs = Mapping[Hashable, Mapping[str, Hashable]]
"""For each state, strings of characters and the state that each of their characters leads to."""


@dataclass(frozen=True, eq=False)
class Automaton:
    """A trimmed deterministic automaton; state 0 is the start.

    Args:
        transitions: int64 (S, C): the next state by state and class id, or `DEAD`; the blank's
            column is `DEAD`.
        accepting: bool (S,): the states in which a text may end.
    """

    transitions: NDArray[np.int64]
    accepting: NDArray[np.bool_]

    @classmethod
    def build(
        cls, arcs: Arcs, start: Hashable, accepting: frozenset[Hashable], charset: Charset
    ) -> Automaton | None:
        """Number the states of a table of arcs and trim it.

        Args:
            arcs: The table; characters outside the charset are left out.
            start: The state before the first character.
            accepting: The states in which a text may end.
            charset: The characters, in the order of their class ids.

        Returns:
            The automaton; None if no text of these characters is accepted.

        Raises:
            ValueError: A state leads two ways with one character.
        """
        numbers = {start: 0}
        queue = [start]
        moves: list[tuple[int, int, int]] = []
        ids = {character: i for i, character in enumerate(charset.characters, start=1)}
        for state in queue:  # grows while it is read
            seen = set()
            for characters, target in arcs.get(state, {}).items():
                for character in characters:
                    if character in seen:
                        raise ValueError(f"state {state!r}: two arcs for {character!r}")
                    seen.add(character)
                    if character in ids:
                        if target not in numbers:
                            numbers[target] = len(numbers)
                            queue.append(target)
                        moves.append((numbers[state], ids[character], numbers[target]))
        ends = np.array([state in accepting for state in queue])
        return _trim(np.array(moves, dtype=np.int64).reshape(-1, 3), ends, charset.num_classes)

    @property
    def num_states(self) -> int:
        """S."""
        return len(self.accepting)

    @property
    def num_classes(self) -> int:
        """C, the blank included."""
        return int(self.transitions.shape[1])

    @cached_property
    def arcs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """All transitions as (state, class id, next state), three int64 (A,), ordered."""
        states, ids = (self.transitions != DEAD).nonzero()
        return states, ids, self.transitions[states, ids]

    @cached_property
    def num_texts(self) -> int | None:
        """How many texts it accepts; None if they are endless."""
        states, _, targets = self.arcs
        incoming = np.bincount(targets, minlength=self.num_states).tolist()
        successors: list[list[int]] = [[] for _ in range(self.num_states)]
        for state, target in zip(states.tolist(), targets.tolist(), strict=True):
            successors[state].append(target)
        # Kahn's topological order reaches every state if and only if there is no circle, which
        # in a trimmed automaton could be gone round any number of times.
        order = [0] if not incoming[0] else []
        for state in order:
            for target in successors[state]:
                incoming[target] -= 1
                if not incoming[target]:
                    order.append(target)
        if len(order) < self.num_states:
            return None
        count = self.accepting.astype(int).tolist()
        for state in reversed(order):
            count[state] += sum(count[target] for target in successors[state])
        return int(count[0])

    def accepts(self, ids: Sequence[int]) -> bool:
        """Say whether a text, given as class ids without blanks, is accepted."""
        state = 0
        for label in ids:
            state = int(self.transitions[state, label])
            if state == DEAD:
                return False
        return bool(self.accepting[state])

    def texts(self) -> Iterator[tuple[int, ...]]:
        """Yield all accepted texts as class ids, shorter ones first; endless if not finite."""
        level: list[tuple[tuple[int, ...], int]] = [((), 0)]
        while level:
            following = []
            for ids, state in level:
                if self.accepting[state]:
                    yield ids
                for label in np.flatnonzero(self.transitions[state] != DEAD).tolist():
                    following.append(((*ids, label), int(self.transitions[state, label])))
            level = following


def _trim(
    moves: NDArray[np.int64], accepting: NDArray[np.bool_], num_classes: int
) -> Automaton | None:
    """Keep the states from which an accepting one can be reached.

    Args:
        moves: int64 (A, 3): state, class id, next state; all are reachable from state 0.
        accepting: bool (S,).
        num_classes: C.
    """
    live = accepting.copy()
    predecessors: dict[int, list[int]] = {}
    for state, _, target in moves.tolist():
        predecessors.setdefault(target, []).append(state)
    queue = np.flatnonzero(live).tolist()
    for state in queue:
        for previous in predecessors.get(state, ()):
            if not live[previous]:
                live[previous] = True
                queue.append(previous)
    if not live[0]:
        return None
    renumbered = np.cumsum(live) - 1
    transitions = np.full((int(live.sum()), num_classes), DEAD, dtype=np.int64)
    kept = moves[live[moves[:, 0]] & live[moves[:, 2]]]
    transitions[renumbered[kept[:, 0]], kept[:, 1]] = renumbered[kept[:, 2]]
    transitions[:, BLANK] = DEAD
    return Automaton(transitions, accepting[live])
