"""Integrals along the straight path from the blank picture, in fine steps where needed.

A reading appears within a small part of the path: the shipped model reads nothing below 2% of a
picture's ink and is sure above 6%. Of equal steps, even 512 miss a tenth of the score's change. But
the integral over an interval is known: it is the change of the score (Sundararajan et al. 2017,
proposition 1, completeness). So each interval's error is known too. The intervals with the largest
errors are cut in three until the sum of errors is small; about 70 gradients are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

START = (np.arange(9) / 8) ** 3
"""Ends of the first intervals, 0..1, closer together where readings appear."""

MARKED_SHARE = 0.7
"""Intervals with this share of a path's error are cut, the worst first (Doerfler 1996, eq. 4.2)."""

LEAST_ERROR_NATS = 0.005
"""Smallest error to aim at, where the scores hardly differ."""

ScoreAt = Callable[[IntArray, FloatArray], FloatArray]
"""Function of path and position, (M,) each, that returns the scores there, (M,)."""

DensityAt = Callable[[IntArray, FloatArray], NDArray[np.float32]]
"""Function of path and position, (M,) each, that returns the integrand there, (M, H, W), whose sum
is the slope of the score along the path."""


class PathIntegrals(NamedTuple):
    """Integrals along N paths."""

    totals: FloatArray
    """(N, H, W)."""

    start: FloatArray
    """Score at 0, (N,)."""

    end: FloatArray
    """Score at 1, (N,)."""

    num_densities: IntArray
    """Number of integrands computed along each path, (N,)."""


@dataclass
class _Intervals:
    """Intervals of all paths: M of them."""

    path: IntArray
    low: FloatArray
    high: FloatArray
    score_low: FloatArray
    score_high: FloatArray
    density: NDArray[np.float32]  # (M, H, W), in the middle

    @property
    def widths(self) -> FloatArray:
        return self.high - self.low

    @property
    def errors(self) -> FloatArray:
        """Change of the score, less what the midpoint rule gives for it."""
        slope = self.density.sum(axis=(1, 2), dtype=np.float64)
        errors: FloatArray = self.score_high - self.score_low - self.widths * slope
        return errors

    def join(self, other: _Intervals) -> _Intervals:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Intervals(*(np.concatenate(pair) for pair in pairs))

    def pick(self, which: NDArray[np.bool_]) -> _Intervals:
        return _Intervals(*(values[which] for values in vars(self).values()))


def integrate(
    num: int, score_at: ScoreAt, density_at: DensityAt, tolerance: float, max_densities: int
) -> PathIntegrals:
    """Integrate along N paths at once, each from 0 to 1, by the midpoint rule.

    Args:
        num: N.
        score_at: The score along the paths.
        density_at: The integrand.
        tolerance: Largest sum of a path's errors, as a share of the score's change: 0..1.
        max_densities: Most intervals of a path.

    Returns:
        The integrals; errors are above ``tolerance`` where ``max_densities`` was reached.
    """
    edges = len(START)
    path = np.repeat(np.arange(num), edges)
    scores = score_at(path, np.tile(START, num)).reshape(num, edges)
    low, high = np.tile(START[:-1], num), np.tile(START[1:], num)
    path = np.repeat(np.arange(num), edges - 1)
    found = _Intervals(
        path, low, high, scores[:, :-1].ravel(), scores[:, 1:].ravel(),
        density_at(path, (low + high) / 2),
    )  # fmt: skip
    start, end = scores[:, 0], scores[:, -1]
    allowed = np.maximum(tolerance * np.abs(end - start), LEAST_ERROR_NATS)
    while (marked := _marked(found, allowed, max_densities)).any():
        found = found.pick(~marked).join(_cut(found.pick(marked), score_at, density_at))
    totals = np.zeros((num, *found.density.shape[1:]))
    for index, width, density in zip(found.path, found.widths, found.density, strict=True):
        totals[index] += width * density
    return PathIntegrals(totals, start, end, np.bincount(found.path, minlength=num))


def _marked(found: _Intervals, allowed: FloatArray, max_densities: int) -> NDArray[np.bool_]:
    """Return which intervals to cut."""
    errors = np.abs(found.errors)
    marked = np.zeros(len(errors), dtype=bool)
    for index, limit in enumerate(allowed):
        own = np.flatnonzero(found.path == index)
        if not errors[own].sum() > limit:
            continue
        worst = own[np.argsort(-errors[own])]
        share = np.cumsum(errors[worst])
        num = int(np.searchsorted(share, MARKED_SHARE * share[-1])) + 1
        room = max(0, max_densities - len(own)) // 2  # an interval takes two more
        marked[worst[: min(num, room)]] = True
    return marked


def _cut(whole: _Intervals, score_at: ScoreAt, density_at: DensityAt) -> _Intervals:
    """Cut intervals in three: the middle one keeps the integrand that is known."""
    num = len(whole.path)
    first, second = whole.low + whole.widths / 3, whole.high - whole.widths / 3
    both = np.concatenate([whole.path, whole.path])
    scores = score_at(both, np.concatenate([first, second]))
    middles = np.concatenate([(whole.low + first) / 2, (second + whole.high) / 2])
    densities = density_at(both, middles)
    left = _Intervals(whole.path, whole.low, first, whole.score_low, scores[:num], densities[:num])
    middle = _Intervals(whole.path, first, second, scores[:num], scores[num:], whole.density)
    right = _Intervals(
        whole.path, second, whole.high, scores[num:], whole.score_high, densities[num:]
    )
    return left.join(middle).join(right)
