"""Histograms of a network's parameter tensors, and the figures that sum them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from exprocr.viz.plots.panels import (
    GRAY,
    Cell,
    filled_bins,
    format_tick,
    limits,
    new_page,
    note,
    set_ticks,
)
from exprocr.viz.plots.plotting import DARK, MIDDLE, PALE

MAX_BINS = 50
CELL = Cell(296, 208)
BAR: dict[str, Any] = {"color": MIDDLE, "lw": 1.4, "marker": "|", "ms": 8}
BAR_HEIGHT = 0.91
"""Where the bar of the deviation lies, as a share of a plot's height."""


@dataclass(frozen=True)
class TensorStats:
    """Figures of a tensor's values; NaN if none is finite."""

    shape: tuple[int, ...]
    num_values: int
    num_finite: int
    """Number of finite values; the others are left out of the figures below."""

    mean: float
    deviation: float
    """Standard deviation of the population."""

    norm: float
    """Euclidean (L2) norm."""

    zeros: float
    """Share of values that are exactly 0."""

    minimum: float
    maximum: float


def tensor_stats(values: NDArray[Any]) -> TensorStats:
    """Return the figures of a tensor of floats of any shape."""
    finite = values[np.isfinite(values)].astype(np.float64)
    size = (tuple(values.shape), values.size, finite.size)
    if not finite.size:
        return TensorStats(*size, *[float("nan")] * 6)
    return TensorStats(
        *size,
        mean=float(finite.mean()),
        deviation=float(finite.std()),
        norm=float(np.linalg.norm(finite)),
        zeros=float(np.mean(finite == 0)),
        minimum=float(finite.min()),
        maximum=float(finite.max()),
    )


def draw_weights(tensors: Mapping[str, NDArray[Any]], title: str) -> Figure:
    """Draw a histogram of each tensor.

    Args:
        tensors: Floats of any shape, by parameter name.
        title: The page's title.

    Raises:
        ConfigError: There are more than a page holds.
    """
    legend = [
        Patch(facecolor=PALE, edgecolor=DARK, label="values"),
        Line2D([], [], color=GRAY, ls="--", lw=1.2, label="0"),
        Line2D([], [], color=MIDDLE, lw=2, label="mean"),
        Line2D([], [], **BAR, label="mean ± standard deviation"),
    ]
    figure = new_page(
        {name: values.shape for name, values in tensors.items()},
        title,
        "Every parameter tensor, with its shape below its name. Each panel has scales of its own.",
        legend,
        ("value", "number of values"),
        CELL,
    )
    for axes, values in zip(figure.axes, tensors.values(), strict=True):
        _draw(axes, values)
    return figure


def _draw(axes: Axes, values: NDArray[Any]) -> None:
    """Draw the histogram of a tensor."""
    stats = tensor_stats(values)
    if not stats.num_finite:
        note(axes, "no finite value")
        axes.set(xticks=[], yticks=[])
        return
    low, high = stats.minimum, stats.maximum
    ends = stats.mean - stats.deviation, stats.mean + stats.deviation
    left, right = _limits(min(low, ends[0]), max(high, ends[1]))
    if low == high:  # a bar wide enough to be seen
        half = 0.02 * (right - left)
        counts, edges = np.array([stats.num_finite]), np.array([low - half, high + half])
    else:
        finite = values[np.isfinite(values)].astype(np.float64)
        num_bins = min(MAX_BINS, filled_bins(stats.num_finite))
        counts, edges = np.histogram(finite, num_bins, (low, high))
    # The outline shows where bins are too narrow to be seen.
    axes.stairs(counts, edges, fill=True, facecolor=PALE, edgecolor=DARK, lw=0.9)
    if left <= 0 <= right:
        axes.axvline(0, color=GRAY, ls="--", lw=1.2)
    top = counts.max() / (BAR_HEIGHT - 0.08)
    axes.set(xlim=(left, right), ylim=(0, top))
    axes.axvline(stats.mean, color=MIDDLE, lw=2)
    axes.plot(ends, [BAR_HEIGHT * top] * 2, **BAR)
    if low == high:
        note(axes, f"all {format_tick(low)}")
    elif stats.num_finite < stats.num_values:
        note(axes, f"{stats.num_values - stats.num_finite:,} not finite")
    set_ticks(axes.xaxis)
    set_ticks(axes.yaxis, lambda count, _: f"{count:,.0f}", integer=True, min_n_ticks=1)


def _limits(low: float, high: float) -> tuple[float, float]:
    """Return the ends of the axis of values, with 0 on it unless that would squeeze the values."""
    if low == high:
        return limits(min(1.5 * low, 0.0), max(1.5 * low, 0.0))
    with_zero = min(low, 0.0), max(high, 0.0)
    if high - low > 0.1 * (with_zero[1] - with_zero[0]):
        return limits(*with_zero)
    return limits(low, high)
