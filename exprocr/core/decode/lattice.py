"""All alignments of all texts of a grammar: the product of its automaton with CTC.

CTC adds the blank to an automaton, and counts a character repeated in neighboring frames once. So a
node of the product is either *a blank was read in state s* or *character c was read and led to
state s*. There are S nodes of the first kind, and P of the second: one for each pair (s, c) such
that an arc with c leads to s. Letters used for shapes:

    T frames, N samples, C classes, S states of the automaton, P pairs (state, character),
    V = S + P nodes: first the blanks, then the pairs.

A sum over all accepted texts is a sum over all paths through T layers of these nodes. The time is
linear in T and in the number of the product's arcs, and independent of the number of texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from exprocr.core.decode.semiring import (
    BEST,
    LINEAR,
    LOG,
    LOG_IMPOSSIBLE,
    MIN_LINEAR,
    FloatArray,
    IntArray,
    Semiring,
)
from exprocr.core.text.charset import BLANK
from exprocr.core.text.grammar.automaton import DEAD, Automaton

MAX_CELLS = 2**24
"""Most elements of an array; samples are divided into parts to stay below, down to one sample."""


@dataclass(frozen=True)
class _Segments:
    """Concatenated lists of rows: list i begins at ``starts[i]``; no list is empty."""

    members: IntArray
    starts: IntArray

    @classmethod
    def of(cls, lists: list[list[int]]) -> _Segments:
        lengths = np.array([len(members) for members in lists], dtype=np.int64)
        members = np.array([m for members in lists for m in members], dtype=np.int64)
        return cls(members, np.cumsum(lengths) - lengths)

    def __getitem__(self, index: int) -> IntArray:
        end = self.starts[index + 1] if index + 1 < len(self.starts) else None
        return self.members[self.starts[index] : end]


class Lattice:
    """The product of an automaton with CTC.

    Args:
        automaton: The grammar.
    """

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        states, chars, targets = automaton.arcs
        num_states = automaton.num_states
        pairs, pair_of_arc = np.unique(np.stack([targets, chars]), axis=1, return_inverse=True)
        self.num_states = num_states
        self.pair_state, self.pair_char = pairs  # (P,) each
        self.node_class: IntArray = np.concatenate(
            [np.full(num_states, BLANK, dtype=np.int64), self.pair_char]
        )
        ends = [automaton.accepting, automaton.accepting[self.pair_state]]
        self.ends = np.flatnonzero(np.concatenate(ends))
        arc_pair = num_states + pair_of_arc.reshape(-1)  # the node after each arc
        self.node_of_arc = np.full((num_states, automaton.num_classes), DEAD, dtype=np.int64)
        self.node_of_arc[states, chars] = arc_pair

        inside: list[list[int]] = [[state] for state in range(num_states)]
        leaving: list[list[int]] = [[state] for state in range(num_states)]
        for node, state in enumerate(self.pair_state.tolist(), start=num_states):
            inside[state].append(node)
        for state, node in zip(states.tolist(), arc_pair.tolist(), strict=True):
            leaving[state].append(node)
        # A blank must separate two equal characters. So a pair whose state has an arc with the same
        # character gets separate rows without this character.
        self.row_of_pair = self.pair_state.copy()  # (P,)
        self._exclude_repeats(inside, leaving)
        row_of_arc = self._rows_of_arcs(states, chars)
        entering: list[list[int]] = [[] for _ in range(len(self.pair_state))]
        for row, node in zip(row_of_arc.tolist(), arc_pair.tolist(), strict=True):
            entering[node - num_states].append(row)
        self._inside, self._leaving = _Segments.of(inside), _Segments.of(leaving)
        self._entering = _Segments.of(entering)
        self._predecessors_of: dict[int, IntArray] = {}  # filled when paths are traced back

    @property
    def num_nodes(self) -> int:
        """V."""
        return len(self.node_class)

    def _exclude_repeats(self, inside: list[list[int]], leaving: list[list[int]]) -> None:
        """Add separate rows for the pairs whose state has an arc with the pair's character."""
        again = self.node_of_arc[self.pair_state, self.pair_char]
        for pair in np.flatnonzero(again != DEAD).tolist():
            state, node = int(self.pair_state[pair]), self.num_states + pair
            self.row_of_pair[pair] = len(inside)
            inside.append([member for member in inside[state] if member != node])
            leaving.append([member for member in leaving[state] if member != again[pair]])

    def _rows_of_arcs(self, states: IntArray, chars: IntArray) -> IntArray:
        """Return the row of ``inside`` from which each arc starts."""
        rows = np.tile(np.arange(self.num_states)[:, None], self.node_of_arc.shape[1])
        rows[self.pair_state, self.pair_char] = self.row_of_pair
        return rows[states, chars]

    @cached_property
    def frames_needed(self) -> FloatArray:
        """Fewest frames to the end of an accepted text, after a state and a class, float64 (S, C).

        The class is that of the next frame, which is not counted. Infinite if the automaton refuses
        the class. The blank's column is for a frame without a new character.
        """
        needed = np.full(self.num_nodes, np.inf)
        needed[self.ends] = 0
        for _ in range(self.num_nodes):  # a shortest path contains no node twice
            leaving = np.minimum.reduceat(needed[self._leaving.members], self._leaving.starts) + 1
            rows = np.concatenate([np.arange(self.num_states), self.row_of_pair])
            shorter = np.minimum(needed, leaving[rows])
            if (shorter == needed).all():
                break
            needed = shorter
        table = np.append(needed, np.inf)[self.node_of_arc]  # DEAD is the last index
        table[:, BLANK] = needed[: self.num_states]
        return table

    def parts(
        self, num_frames: int, num_samples: int, *, history: bool, extra_cells: int = 0
    ) -> Iterator[slice]:
        """Yield slices of the samples that are small enough to be processed at once.

        Args:
            num_frames: T.
            num_samples: N.
            history: Whether the nodes of all frames are kept.
            extra_cells: Other elements kept per sample.
        """
        cells = len(self._inside.members) + len(self._entering.members) + extra_cells
        if history:
            cells += num_frames * self.num_nodes
        size = max(1, MAX_CELLS // cells)
        for start in range(0, num_samples, size):
            yield slice(start, min(start + size, num_samples))

    def forward(self, frames: FloatArray, semiring: Semiring) -> Iterator[FloatArray]:
        """Sum over the paths from the start to each node.

        The forward variables of Graves et al. 2006, eq. 5-7, over all texts at once.

        Args:
            frames: (T, C, N), elements of the semiring.
            semiring: The semiring of the sum.

        Yields:
            T arrays (V, N), after each frame, this frame included.
        """
        num_states = self.num_states
        nodes = np.full((self.num_nodes, frames.shape[2]), semiring.zero)
        nodes[0] = semiring.one  # before the first frame
        for frame in frames:
            inside = semiring.sum_segments(nodes[self._inside.members], self._inside.starts)
            following = np.empty_like(nodes)
            following[:num_states] = inside[:num_states]
            entering = semiring.sum_segments(inside[self._entering.members], self._entering.starts)
            following[num_states:] = semiring.plus(nodes[num_states:], entering)
            nodes = semiring.times(following, frame[self.node_class])
            yield nodes

    def backward(self, frames: FloatArray, semiring: Semiring) -> FloatArray:
        """Sum over the paths from each node to the end of an accepted text.

        Args:
            frames: (T, C, N), elements of the semiring.
            semiring: The semiring of the sum.

        Returns:
            (T + 1, V, N), before the first frame and after each frame, this frame excluded.
        """
        num_frames, _, num_samples = frames.shape
        result = np.full((num_frames + 1, self.num_nodes, num_samples), semiring.zero)
        result[num_frames, self.ends] = semiring.one
        for frame, before, after in zip(frames[::-1], result[-2::-1], result[:0:-1], strict=True):
            ahead = semiring.times(after, frame[self.node_class])
            leaving = semiring.sum_segments(ahead[self._leaving.members], self._leaving.starts)
            before[: self.num_states] = leaving[: self.num_states]
            before[self.num_states :] = semiring.plus(
                ahead[self.num_states :], leaving[self.row_of_pair]
            )
        return result

    def log_mass(self, emissions: FloatArray) -> FloatArray:
        """Sum over all alignments of all accepted texts.

        Args:
            emissions: (T, C, N) natural logarithms, no infinities.

        Returns:
            (N,) natural logarithms; ``-inf`` if no accepted text fits into T frames or all have
            probability zero.
        """
        num_frames, _, num_samples = emissions.shape
        result = np.empty(num_samples)
        for part in self.parts(num_frames, num_samples, history=False):
            log_frames = emissions[:, :, part]
            mass = self._sum_ends(np.exp(log_frames), LINEAR)
            small = mass < MIN_LINEAR
            with np.errstate(divide="ignore"):
                log_mass = np.log(mass)
            if small.any():
                log_mass[small] = self._sum_ends(log_frames[:, :, small], LOG)
            result[part] = log_mass
        return np.where(result < LOG_IMPOSSIBLE, -np.inf, result)

    def _sum_ends(self, frames: FloatArray, semiring: Semiring) -> FloatArray:
        nodes = np.empty(0)
        for nodes in self.forward(frames, semiring):  # noqa: B007 - only the last is used
            pass
        total: FloatArray = semiring.sum_segments(nodes[self.ends], np.zeros(1, dtype=np.int64))[0]
        return total

    def best_paths(self, emissions: FloatArray) -> tuple[IntArray, FloatArray]:
        """Find the most probable path of an accepted text (Viterbi).

        Args:
            emissions: (T, C, N) natural logarithms, no infinities.

        Returns:
            The paths' classes, int64 (T, N), and log-probabilities, (N,). If no accepted text fits
            into T frames, the path is all blank and the log-probability is ``-inf``.
        """
        num_frames, _, num_samples = emissions.shape
        paths = np.full((num_frames, num_samples), BLANK, dtype=np.int64)
        scores = np.empty(num_samples)
        for part in self.parts(num_frames, num_samples, history=True):
            history = np.stack(list(self.forward(emissions[:, :, part], BEST)))  # (T, V, n)
            sample = np.arange(history.shape[2])
            node = self.ends[history[-1][self.ends].argmax(axis=0)]
            scores[part] = history[-1][node, sample]
            for frame in range(num_frames - 1, -1, -1):
                paths[frame, part] = self.node_class[node]
                if frame:
                    node = self._best_predecessor(history[frame - 1], node)
        paths[:, scores == -np.inf] = BLANK
        return paths, scores

    def _best_predecessor(self, before: FloatArray, node: IntArray) -> IntArray:
        """Return the node before each sample's node (n,) on the best path, given scores (V, n)."""
        result = np.empty_like(node)
        # Samples at the same node have the same candidates.
        for value in np.unique(node):
            at = np.flatnonzero(node == value)
            candidates = self._predecessors(int(value))
            result[at] = candidates[before[np.ix_(candidates, at)].argmax(axis=0)]
        return result

    def _predecessors(self, node: int) -> IntArray:
        """Return the nodes from which one frame leads to a node."""
        if node not in self._predecessors_of:
            if node < self.num_states:
                sources = [self._inside[node]]
            else:
                rows = self._entering[node - self.num_states].tolist()
                sources = [np.array([node]), *(self._inside[row] for row in rows)]
            self._predecessors_of[node] = np.unique(np.concatenate(sources))
        return self._predecessors_of[node]
