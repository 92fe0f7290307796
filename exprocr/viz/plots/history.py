"""How each tensor's histogram moved over a run: a ridge for each evaluation, newer ones in front.

In the manner of TensorBoard's view "histograms" with offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from exprocr.core.runs.tensor_record import TensorRecord
from exprocr.viz.plots.panels import (
    Cell,
    describe_evaluations,
    filled_bins,
    limits,
    new_page,
    note,
    note_left_out,
    set_ticks,
    thin,
)

CELL = Cell(296, 236)
MAX_RIDGES = 25
MAX_LABELS = 6
OVERLAP = 0.3
"""Height of a ridge, as a share of the distance between the first and the last ridge."""

OLDEST, NEWEST, OUTLINE = (0.87, 0.90, 0.95), (0.30, 0.42, 0.67), "#0b1a3a"


def draw_history(record: TensorRecord, names: Sequence[str], title: str) -> Figure:
    """Draw the histograms of tensors, the oldest at the back.

    Args:
        record: What a run recorded.
        names: Tensors to draw, some of the record's.
        title: The page's title.

    Raises:
        ConfigError: There are more than a page holds.
    """
    shown = thin(len(record.steps), MAX_RIDGES)
    ends = {0: "first evaluation, at the back", 1: "last evaluation, in front"}
    if len(shown) == 1:
        ends = {0: f"step {record.steps[0]:,}"}
    legend: list[Any] = [
        Patch(facecolor=color(age), edgecolor=OUTLINE, label=label) for age, label in ends.items()
    ]
    subtitle = (
        f"Histograms of each parameter tensor at {describe_evaluations(record, shown)}. "
        "Each is scaled to its fullest bin; each panel has a scale of its own."
    )
    tensors = [record.names.index(name) for name in names]
    figure = new_page(
        {record.names[i]: record.shapes[i] for i in tensors},
        title,
        subtitle,
        legend,
        ("value", "step"),
        CELL,
    )
    for axes, tensor in zip(figure.axes, tensors, strict=True):
        _draw(axes, record, tensor, shown)
        note_left_out(axes, record, tensor)
    return figure


def color(age: float) -> tuple[float, float, float]:
    """Return the color of a ridge, from the oldest (0) to the newest (1)."""
    red, green, blue = (a + (b - a) * age for a, b in zip(OLDEST, NEWEST, strict=True))
    return red, green, blue


def merge_bins(
    counts: NDArray[np.uint32], edges: NDArray[np.float64]
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Merge neighboring bins, all alike, until there are as few as the values can fill."""
    wanted = filled_bins(int(counts.sum()))
    num = next(n for n in range(min(wanted, len(counts)), 0, -1) if len(counts) % n == 0)
    return counts.reshape(num, -1).sum(axis=1), edges[:: len(counts) // num]


def ridge(
    counts: NDArray[np.uint32], edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the outline of a histogram, from 0 at its left end to 0 at its right one.

    Args:
        counts: Values in each bin, (bins,).
        edges: Edges of the bins, (bins + 1,).

    Returns:
        x and y of bins + 2 points: the ends, and the middles of the bins. The highest has y 1;
        without values, all are 0.
    """
    x = np.concatenate((edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]))
    y = np.concatenate(([0.0], counts / max(1, counts.max()), [0.0]))
    return x, y


def _draw(axes: Axes, record: TensorRecord, tensor: int, shown: NDArray[np.intp]) -> None:
    """Draw the ridges of a tensor."""
    last = len(shown) - 1
    height = max(1.0, OVERLAP * last)
    ends = record.percentiles[shown, tensor][:, [0, -1]].astype(np.float64)
    finite = ends[np.isfinite(ends)]
    low, high = limits(finite.min(), finite.max()) if finite.size else (-1.0, 1.0)
    outlines, colors = [], []
    for number, evaluation in enumerate(shown):
        base = float(last - number)
        counts = record.counts[evaluation, tensor]
        if not counts.any():
            axes.plot([low, high], [base, base], color=OUTLINE, lw=0.7, ls=":")
            continue
        x, y = ridge(*merge_bins(counts, record.edges(int(evaluation), tensor)))
        outlines.append(np.column_stack((x, base + height * y)))
        colors.append(color(number / max(1, last)))
    # One collection, drawn in its order: a newer ridge covers an older one.
    ridges = PolyCollection(outlines, facecolors=colors, edgecolors=OUTLINE, linewidths=0.7)
    axes.add_collection(ridges, autolim=False)
    if not finite.size:
        note(axes, "no finite value")
    axes.set(xlim=(low, high), ylim=(-0.15 * height, last + 1.08 * height))
    labeled = thin(len(shown), MAX_LABELS)
    axes.set_yticks(last - labeled, [f"{record.steps[i]:,}" for i in shown[labeled]])
    axes.grid(visible=False, axis="y")
    set_ticks(axes.xaxis)
