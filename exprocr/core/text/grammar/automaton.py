"""Deterministic finite automata over a model's class ids.

An `Automaton` is trimmed: every state can be reached, and an accepting state can be reached from
it. So every prefix that is not refused begins at least one accepted text.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from exprocr.core.system.limits import MAX_TRANSITIONS
from exprocr.core.text.charset import BLANK, Charset
from exprocr.errors import ConfigError

DEAD = -1
"""The entry of `Automaton.transitions` for a class that is refused."""

Arcs = Mapping[Hashable, Mapping[str, Hashable]]
"""For each state, a mapping from strings of characters to the next state of each character."""


@dataclass(frozen=True, eq=False)
class Automaton:
    """A trimmed deterministic automaton; state 0 is the start.

    Args:
        transitions: int64 (S, C), the next state by state and class id, or `DEAD`. The blank's
            column is all `DEAD`.
        accepting: bool (S,), the states in which a text may end.
    """

    transitions: NDArray[np.int64]
    accepting: NDArray[np.bool_]

    @classmethod
    def build(
        cls, arcs: Arcs, start: Hashable, accepting: frozenset[Hashable], charset: Charset
    ) -> Automaton | None:
        """Build the trimmed automaton of a table of arcs.

        Args:
            arcs: The table; characters outside the charset are ignored.
            start: The state before the first character.
            accepting: The states in which a text may end.
            charset: The characters, in the order of their class ids.

        Returns:
            The automaton; None if it would accept no text of these characters.

        Raises:
            ConfigError: It would be larger than `MAX_TRANSITIONS`.
            ValueError: A state has two arcs for one character.
        """
        if len(arcs) * charset.num_classes > MAX_TRANSITIONS:
            raise ConfigError(
                f"grammar: expected at most {MAX_TRANSITIONS:,} states times classes, found "
                f"{len(arcs):,} times {charset.num_classes:,}"
            )
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
        """Number of accepted texts; None if it is infinite."""
        states, _, targets = self.arcs
        incoming = np.bincount(targets, minlength=self.num_states).tolist()
        successors: list[list[int]] = [[] for _ in range(self.num_states)]
        for state, target in zip(states.tolist(), targets.tolist(), strict=True):
            successors[state].append(target)
        # Kahn's topological order reaches every state if and only if there is no cycle. A cycle of
        # a trimmed automaton makes the number of texts infinite.
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
        """Return whether a text, given as class ids without blanks, is accepted."""
        state = 0
        for label in ids:
            state = int(self.transitions[state, label])
            if state == DEAD:
                return False
        return bool(self.accepting[state])

    def texts(self) -> Iterator[tuple[int, ...]]:
        """Yield all accepted texts as class ids, shorter ones first; may be infinite."""
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
    """Remove the states from which no accepting state can be reached.

    Args:
        moves: int64 (A, 3), state, class id, next state; all are reachable from state 0.
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
