"""All alignments of all texts of a grammar: the product of its automaton with CTC.

CTC adds the blank to an automaton, and counts a character repeated in neighboring frames once. So a
node of the product is either *a blank was read in state s*, or *a character of a set was read and
led to state s*. Letters used for shapes:

    T frames, N samples, C classes, S states of the automaton, P pairs (state, set of characters),
    V = S + P nodes: first the blanks, then the pairs.

A set is a single character, except where characters lead from a state back to it, as digits do in
a number. From such a state, the same character again goes on with the same character or adds a new
one, and both are the same node. So what comes before and after is the same for all characters that
enter the state from the same places, and they are one node. Its probability in a frame is the sum
of theirs. This saves most of the nodes of expressions and numbers.

A sum over all accepted texts is a sum over all paths through T layers of these nodes. The time is
linear in T and in the number of the product's arcs, and independent of the number of texts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

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


MIN_COLUMNS = 16
"""From so many samples on, segments are summed row by row: NumPy's ``reduceat`` is slow there."""


class _Segments:
    """Lists of rows; no list is empty.

    Args:
        lists: The lists.
    """

    def __init__(self, lists: Sequence[Sequence[int]]) -> None:
        lengths = np.array([len(members) for members in lists], dtype=np.int64)
        self.members = np.array([m for members in lists for m in members], dtype=np.int64)
        self.starts = np.cumsum(lengths) - lengths
        longest_first = np.argsort(-lengths, kind="stable")
        self._place = np.argsort(longest_first)
        self._ranks = [
            self.members[self.starts[longest_first[lengths[longest_first] > rank]] + rank]
            for rank in range(lengths.max(initial=1))
        ]  # the first members of all lists, the second ones of those that have two, and so on

    def __getitem__(self, index: int) -> IntArray:
        end = self.starts[index + 1] if index + 1 < len(self.starts) else None
        return self.members[self.starts[index] : end]

    def sum(self, values: FloatArray, semiring: Semiring) -> FloatArray:
        """Sum the rows of each list: (M, N) to (S, N)."""
        if values.shape[1] < MIN_COLUMNS:
            return semiring.sum_segments(values[self.members], self.starts)
        total: FloatArray = values[self._ranks[0]]
        for rank in self._ranks[1:]:
            part = total[: len(rank)]
            semiring.plus(part, values[rank], out=part)
        result: FloatArray = total[self._place]
        return result


class Lattice:
    """The product of an automaton with CTC.

    Args:
        automaton: The grammar.
    """

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        self.num_states = num_states = automaton.num_states
        states, chars, targets = automaton.arcs
        pairs, pair_of_arc = np.unique(np.stack([targets, chars]), axis=1, return_inverse=True)
        pair_of_arc = pair_of_arc.reshape(-1)
        pair_state, pair_char = pairs
        following = automaton.transitions[pair_state, pair_char]  # the same character again
        # A blank must separate two equal characters. So each pair whose state has an arc with the
        # same character gets a separate row without this character, unless the arc leads back to
        # the pair, where both are the same.
        self._excluded = np.flatnonzero((following != DEAD) & (following != pair_state))
        row_of = np.tile(np.arange(num_states)[:, None], automaton.num_classes)
        row_of[pair_state[self._excluded], pair_char[self._excluded]] = num_states + np.arange(
            len(self._excluded)
        )
        sources: list[list[int]] = [[] for _ in pair_state]  # rows
        for row, pair in zip(row_of[states, chars].tolist(), pair_of_arc.tolist(), strict=True):
            sources[pair].append(row)
        self._merge(pair_state, pair_char, following == pair_state, sources)
        self.node_of_arc = np.full((num_states, automaton.num_classes), DEAD, dtype=np.int64)
        self.node_of_arc[states, chars] = self._node_of_pair[pair_of_arc]
        self._connect(pair_state, pair_char, row_of)
        ends = [automaton.accepting, automaton.accepting[self.pair_state]]
        self.ends = np.flatnonzero(np.concatenate(ends))
        self._predecessors_of: dict[int, IntArray] = {}  # filled when paths are traced back

    def _merge(
        self,
        pair_state: IntArray,
        pair_char: IntArray,
        loops: NDArray[np.bool_],
        sources: list[list[int]],
    ) -> None:
        """Number the nodes of pairs of a state and a character, those without a loop first.

        Args:
            pair_state: The state that the character leads to.
            pair_char: The character.
            loops: Whether it leads from this state back to it.
            sources: The rows that it is entered from.
        """
        nodes: dict[Hashable, list[int]] = {}
        for pair in np.argsort(loops, kind="stable").tolist():
            key = (int(pair_state[pair]), *sources[pair]) if loops[pair] else -pair - 1
            nodes.setdefault(key, []).append(pair)
        members = list(nodes.values())
        first = [pairs[0] for pairs in members]
        self.pair_state: IntArray = pair_state[first]  # (P,)
        self.num_single = self.num_states + int((~loops).sum())
        """Nodes without a loop: blanks too."""
        self._node_of_pair = np.empty(len(pair_state), dtype=np.int64)
        for node, pairs in enumerate(members, start=self.num_states):
            self._node_of_pair[pairs] = node
        sets = [tuple(pair_char[pairs].tolist()) for pairs in members]
        self.sets = sorted({chars for chars in sets if len(chars) > 1})
        """Sets of several characters; a set has a class of its own after those of characters."""
        class_of = {chars: i for i, chars in enumerate(self.sets, self.automaton.num_classes)}
        self.node_class: IntArray = np.array(
            [BLANK] * self.num_states + [class_of.get(chars, chars[0]) for chars in sets],
            dtype=np.int64,
        )
        # Many pairs are entered from the same rows, whose sum is needed once.
        entries: dict[tuple[int, ...], int] = {}
        self._entry_of_pair: IntArray = np.array(
            [entries.setdefault(tuple(sources[pair]), len(entries)) for pair in first],
            dtype=np.int64,
        )
        self._entries = _Segments(list(entries))

    def _connect(self, pair_state: IntArray, pair_char: IntArray, row_of: IntArray) -> None:
        """List the nodes inside each row, and those that it leads to."""
        inside: list[list[int]] = [[state] for state in range(self.num_states)]
        leaving: list[list[int]] = []
        for node, state in enumerate(self.pair_state.tolist(), start=self.num_states):
            inside[state].append(node)
        for state, nodes in enumerate(self.node_of_arc):
            leaving.append([state, *np.unique(nodes[nodes != DEAD]).tolist()])
        row_of_node = np.concatenate([np.arange(self.num_states), self.pair_state])
        for pair in self._excluded.tolist():
            state, node = int(pair_state[pair]), int(self._node_of_pair[pair])
            again = int(self.node_of_arc[state, pair_char[pair]])
            row_of_node[node] = len(inside)
            inside.append([member for member in inside[state] if member != node])
            leaving.append([member for member in leaving[state] if member != again])
        self.row_of_node: IntArray = row_of_node  # (V,)
        self._inside, self._leaving = _Segments(inside), _Segments(leaving)

    @property
    def num_nodes(self) -> int:
        """V."""
        return len(self.node_class)

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
            shorter = np.minimum(needed, leaving[self.row_of_node])
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
        cells = len(self._inside.members) + self.num_nodes + extra_cells
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
        num_states, num_single = self.num_states, self.num_single
        nodes = np.full((self.num_nodes, frames.shape[2]), semiring.zero)
        nodes[0] = semiring.one  # before the first frame
        for frame in self._with_sets(frames, semiring):
            inside = self._inside.sum(nodes, semiring)
            following = np.empty_like(nodes)
            following[:num_states] = inside[:num_states]
            entries = self._entries.sum(inside, semiring)
            np.take(entries, self._entry_of_pair, axis=0, out=following[num_states:])
            # A character goes on. Where it has a loop, its state's row has it already.
            single = following[num_states:num_single]
            semiring.plus(single, nodes[num_states:num_single], out=single)
            nodes = semiring.times(following, frame[self.node_class])
            yield nodes

    def _with_sets(self, frames: FloatArray, semiring: Semiring) -> Iterator[FloatArray]:
        """Yield the frames (C + G, N) of (T, C, N), with a class more for each of the G sets."""
        if not self.sets:
            yield from frames
            return
        sums = _Segments(self.sets)
        for frame in frames:
            yield np.concatenate([frame, sums.sum(frame, semiring)])

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
        num_states, num_single = self.num_states, self.num_single
        backwards = self._with_sets(frames[::-1], semiring)
        for frame, before, after in zip(backwards, result[-2::-1], result[:0:-1], strict=True):
            ahead = semiring.times(after, frame[self.node_class])
            leaving = self._leaving.sum(ahead, semiring)
            np.take(leaving, self.row_of_node, axis=0, out=before)
            single = before[num_states:num_single]
            semiring.plus(single, ahead[num_states:num_single], out=single)
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
        for class_, chars in enumerate(self.sets, start=self.automaton.num_classes):
            frame, sample = (paths == class_).nonzero()
            best = emissions[frame[:, None], chars, sample[:, None]].argmax(axis=1)
            paths[frame, sample] = np.array(chars)[best]
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
                entry = int(self._entry_of_pair[node - self.num_states])
                sources = [self._inside[row] for row in self._entries[entry].tolist()]
                sources.append(np.array([node]))
            self._predecessors_of[node] = np.unique(np.concatenate(sources))
        return self._predecessors_of[node]
