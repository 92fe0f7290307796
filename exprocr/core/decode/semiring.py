"""Semirings for CTC's recursions.

One recursion over the frames can sum over alignments or find the best one, with probabilities or
their logarithms. Only the meaning of plus and times differs (Goodman, "Semiring Parsing",
Computational Linguistics 25(4), 1999; Mohri, "Semiring Frameworks and Algorithms for
Shortest-Distance Problems", 2002).

- `LINEAR` sums probabilities. It is faster than `LOG`, and as exact if the result is above
  `MIN_LINEAR`: underflow only loses terms below 1e-307.
- `LOG` sums probabilities of any size, given as logarithms.
- `BEST` takes the greater of two logarithms.

Except in `BEST`, the logarithm of zero is the finite `LOG_ZERO`, so that differences are numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LOG_ZERO = -1e30
LOG_IMPOSSIBLE = -5e29
"""Log-probabilities below this contain a factor of zero."""

MIN_LINEAR = 1e-280
"""Sums of probabilities below this must be computed in `LOG`."""


@dataclass(frozen=True)
class Semiring:
    """Two operations, plus and times, and their neutral elements."""

    zero: float
    one: float
    plus: Callable[..., FloatArray]
    """Adds two arrays; an array ``out`` receives the result, and may be one of them."""

    times: Callable[[FloatArray, FloatArray], FloatArray]

    sum_segments: Callable[[FloatArray, IntArray], FloatArray]
    """Sums the rows of (M, N) from each start, int64 (S,), to the next: (S, N)."""


def log_add(first: FloatArray, second: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Return log(exp(first) + exp(second)) for finite arguments, in ``out`` if it is given.

    np.logaddexp is several times slower: it does not use vector instructions.
    """
    smaller = np.log(1.0 + np.exp(-np.abs(first - second)))
    total: FloatArray = np.maximum(first, second, out=out)
    total += smaller
    return total


def log_sum(values: FloatArray, axis: int = 0) -> FloatArray:
    """Return log(sum(exp(values))) along an axis for finite values; `LOG_ZERO` if it is empty."""
    if not values.shape[axis]:
        return np.full(np.delete(values.shape, axis), LOG_ZERO)
    top = values.max(axis=axis, keepdims=True)
    total: FloatArray = np.log(np.exp(values - top).sum(axis=axis))
    total += np.squeeze(top, axis=axis)
    return total


def _log_sum_segments(values: FloatArray, starts: IntArray) -> FloatArray:
    top = np.maximum.reduceat(values, starts, axis=0)
    lengths = np.diff(starts, append=len(values))
    terms = np.exp(values - np.repeat(top, lengths, axis=0))
    total: FloatArray = np.log(np.add.reduceat(terms, starts, axis=0))
    total += top
    return total


LINEAR = Semiring(
    zero=0.0,
    one=1.0,
    plus=np.add,
    times=np.multiply,
    sum_segments=lambda values, starts: np.add.reduceat(values, starts, axis=0),
)
LOG = Semiring(zero=LOG_ZERO, one=0.0, plus=log_add, times=np.add, sum_segments=_log_sum_segments)
BEST = Semiring(
    zero=-np.inf,  # below every path, even one with a factor of zero
    one=0.0,
    plus=np.maximum,
    times=np.add,
    sum_segments=lambda values, starts: np.maximum.reduceat(values, starts, axis=0),
)
