"""Best path decoding: the text of the most probable alignment that the grammar accepts.

Graves, Fernandez, Gomez, Schmidhuber, "Connectionist Temporal Classification: Labeling
Unsegmented Sequence Data with Recurrent Neural Networks", ICML 2006, section 3.2; under a grammar,
the Viterbi algorithm on its `Lattice`. T frames, N samples, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exprocr.core.decode.hypothesis import collapse
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.semiring import FloatArray, IntArray
from exprocr.core.text.charset import BLANK
from exprocr.core.text.grammar.automaton import DEAD, Automaton


def best_accepted_path(
    emissions: FloatArray, lattice: Lattice
) -> tuple[IntArray, IntArray, IntArray]:
    """Find the most probable path with an accepted text.

    Args:
        emissions: (T, N, C) natural logarithms, no infinities.
        lattice: The grammar's lattice.

    Returns:
        The paths' classes (T, N), and their texts: labels (L, N) and lengths (N,). If no accepted
        text fits into T frames, the path is all blank and the length is -1.
    """
    path: IntArray = emissions.argmax(axis=2)
    labels, lengths = collapse(path)
    # If the text of the best of all paths is accepted, it is also the best accepted path.
    refused = np.flatnonzero(~accepted(lattice.automaton, labels))
    if not refused.size:
        return path, labels, lengths
    frames = np.ascontiguousarray(emissions[:, refused].transpose(0, 2, 1))
    path[:, refused], scores = lattice.best_paths(frames)
    labels, lengths = collapse(path)
    lengths[refused[scores == -np.inf]] = -1
    return path, labels, lengths


def accepted(automaton: Automaton, labels: IntArray) -> NDArray[np.bool_]:
    """Return which texts (L, K) an automaton accepts, bool (K,)."""
    # An additional last state, which no class leaves, is that of refused texts.
    table = np.vstack([automaton.transitions, np.full(automaton.num_classes, DEAD)])
    table[:, BLANK] = np.arange(len(table))  # padding does not change the state
    state = np.zeros(labels.shape[1], dtype=np.int64)
    for characters in labels:
        state = table[state, characters]
    result: NDArray[np.bool_] = np.append(automaton.accepting, False)[state]
    return result
