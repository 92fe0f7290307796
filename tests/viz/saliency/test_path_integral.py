"""Integrals along paths against their closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from exprocr.viz.saliency.path_integral import START, PathIntegrals, integrate

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]

SHARES = np.array([[[0.5, -1.0], [1.5, 0.0]], [[2.0, 0.0], [0.0, -1.0]]])
"""Two paths' integrands are the slope, shared out like this to 2 x 2 pixels: sums of 1."""

CURVES: dict[str, tuple[Function, Function]] = {
    "line": (lambda a: -3 + 2 * a, lambda a: np.full_like(a, 2.0)),
    "square": (lambda a: 3 * a**2, lambda a: 6 * a),
    "cube": (lambda a: -3 + 2 * a**3, lambda a: 6 * a**2),
    "edge": (
        lambda a: 10 * np.tanh(80 * (a - 0.04)),
        lambda a: 800 / np.cosh(80 * (a - 0.04)) ** 2,
    ),
    "cliff": (
        lambda a: 10 * np.tanh(600 * (a - 0.033)),
        lambda a: 6000 / np.cosh(np.clip(600 * (a - 0.033), -300, 300)) ** 2,
    ),
    "late": (lambda a: np.tanh(90 * (a - 0.7)), lambda a: 90 / np.cosh(90 * (a - 0.7)) ** 2),
    "kinks": (
        lambda a: np.abs(a - 0.03) * 40 - np.abs(a - 0.31) * 7,
        lambda a: np.sign(a - 0.03) * 40 - np.sign(a - 0.31) * 7,
    ),
}
"""Scores along a path, and their slopes."""


def run(
    names: tuple[str, str], tolerance: float, max_densities: int = 1000
) -> tuple[PathIntegrals, list[int]]:
    """Integrate along two paths; return the integrals and how many densities were asked for."""
    asked = [0, 0]

    def score_at(path: NDArray[np.intp], position: NDArray[np.float64]) -> NDArray[np.float64]:
        assert ((position >= 0) & (position <= 1)).all()
        scores = np.empty(len(path))
        for index, name in enumerate(names):
            scores[path == index] = CURVES[name][0](position[path == index])
        return scores

    def density_at(path: NDArray[np.intp], position: NDArray[np.float64]) -> NDArray[np.float32]:
        slopes = np.empty(len(path))
        for index, name in enumerate(names):
            slopes[path == index] = CURVES[name][1](position[path == index])
            asked[index] += int((path == index).sum())
        return (SHARES[path] * slopes[:, None, None]).astype(np.float32)

    return integrate(2, score_at, density_at, tolerance, max_densities), asked


@pytest.mark.parametrize("tolerance", [0.2, 0.02, 0.001])
@pytest.mark.parametrize("names", [("line", "cube"), ("edge", "late"), ("kinks", "cliff")])
def test_within_the_tolerance_of_the_closed_form(names: tuple[str, str], tolerance: float) -> None:
    found, asked = run(names, tolerance)
    assert found.num_densities.tolist() == asked  # nothing is computed twice, or thrown away
    for index, name in enumerate(names):
        start, end = CURVES[name][0](np.array([0.0, 1.0]))
        assert (found.start[index], found.end[index]) == (start, end)
        allowed = max(tolerance * abs(end - start), 0.005) * np.abs(SHARES[index]).max()
        expected = (end - start) * SHARES[index]
        np.testing.assert_allclose(found.totals[index], expected, atol=allowed + 1e-6)


def test_work_is_done_where_it_is_needed() -> None:
    found, _ = run(("square", "cliff"), 0.001)
    assert found.num_densities[0] == len(START) - 1  # the middle's slope is exact
    assert 20 < found.num_densities[1] < 200
    # As many equal steps leave ten times the error.
    steps = (np.arange(200) + 0.5) / 200
    score, slope = CURVES["cliff"]
    change = float(np.diff(score(np.array([0.0, 1.0])))[0])
    error = abs(float(found.totals[1].sum()) - change)
    assert 10 * error < abs(float(slope(steps).mean()) - change)


@pytest.mark.parametrize("limit", [1, 8, 9, 10, 17, 30])
def test_the_limit_is_kept(limit: int) -> None:
    found, _ = run(("edge", "late"), 1e-9, limit)
    first = len(START) - 1
    assert (found.num_densities <= max(limit, first)).all()
    assert (found.num_densities >= min(max(limit - 1, first), 30)).all()


def test_a_score_that_does_not_change_needs_no_work() -> None:
    found, asked = run(("line", "line"), 0.02)
    flat = integrate(
        1,
        lambda path, position: np.full(len(path), -2.0),
        lambda path, position: np.zeros((len(path), 3, 4), dtype=np.float32),
        0.02,
        1000,
    )
    assert not flat.totals.any()
    assert flat.totals.shape == (1, 3, 4)
    assert flat.num_densities.tolist() == [len(START) - 1]
    assert asked == found.num_densities.tolist()
