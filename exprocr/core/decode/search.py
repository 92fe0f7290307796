"""The decoding methods: greedy, beam, exact, and auto, which is exact with a limit.

T frames, N samples, C classes.
"""

from __future__ import annotations

import numpy as np

from exprocr.core.decode.beam import beam_search
from exprocr.core.decode.exact import Found, exact_search
from exprocr.core.decode.forward import forward
from exprocr.core.decode.greedy import best_accepted_path
from exprocr.core.decode.hypothesis import Hypothesis, to_hypotheses
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.semiring import FloatArray

AUTO_MAX_PREFIXES = 500
"""Prefixes after which ``auto`` stops the exact search in a sample, with the best text so far."""

_LOG_HALF = np.log(0.5 + 1e-4)
"""A text above this is more probable than all others together. It has a margin, because a float32
frame can sum to slightly more than one."""


def find_texts(
    emissions: FloatArray, lattice: Lattice, method: str, *, beam_width: int, num_best: int = 1
) -> list[Found]:
    """Find the most probable accepted texts.

    Args:
        emissions: (T, N, C) natural logarithms, no infinities.
        lattice: The grammar's lattice.
        method: One of `exprocr.choices.DECODERS`; ``greedy`` finds one text.
        beam_width: Number of prefixes that the beam search keeps.
        num_best: Number of texts to find, at least 1.

    Returns:
        For each sample, its texts, the most probable first.
    """
    if method == "beam":
        beams = beam_search(emissions, lattice, max(beam_width, num_best))
        return [Found(found[:num_best], _is_proven(found, num_best)) for found in beams]
    _, labels, lengths = best_accepted_path(emissions, lattice)
    fits = lengths >= 0
    scores = forward(emissions, labels, np.maximum(lengths, 0), np.arange(emissions.shape[1]))
    is_proven = (scores > _LOG_HALF) | ~fits  # these need no search
    known = to_hypotheses(labels, lengths, scores)
    found = [
        Found([hypothesis] if fit else [], proven)
        for hypothesis, fit, proven in zip(known, fits.tolist(), is_proven.tolist(), strict=True)
    ]
    if method == "greedy":
        return found
    open_ = np.flatnonzero(fits if num_best > 1 else ~is_proven)
    if open_.size:
        max_prefixes = AUTO_MAX_PREFIXES if method == "auto" else None
        searched = _search_open(emissions[:, open_], lattice, beam_width, num_best, max_prefixes)
        for index, result in zip(open_.tolist(), searched, strict=True):
            # If all texts that fit have probability zero, the best path's text is as good as any.
            found[index] = Found(result.hypotheses or found[index].hypotheses, result.is_proven)
    return found


def _is_proven(hypotheses: list[Hypothesis], num_best: int) -> bool:
    """Return whether the first text of a beam search is known to be the best."""
    return not hypotheses or (num_best == 1 and hypotheses[0].log_prob > _LOG_HALF)


def _search_open(
    emissions: FloatArray,
    lattice: Lattice,
    beam_width: int,
    num_best: int,
    max_prefixes: int | None,
) -> list[Found]:
    """Search exactly; the texts of a beam search, known beforehand, save work."""
    known: list[list[Hypothesis]] = beam_search(emissions, lattice, max(beam_width, num_best))
    return exact_search(emissions, lattice, known, num_best=num_best, max_prefixes=max_prefixes)
