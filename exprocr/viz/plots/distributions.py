"""How each tensor's percentiles moved over a run: bands about the median.

In the manner of TensorBoard's view "distributions".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from exprocr.core.runs.tensor_record import PERCENTILES, TensorRecord
from exprocr.viz.plots.panels import (
    GRAY,
    Cell,
    describe_evaluations,
    limits,
    new_page,
    note,
    note_left_out,
    set_ticks,
    thin,
)

CELL = Cell(296, 208)
MAX_POINTS = 500
"""Most evaluations that are drawn: more than a panel has px."""

BANDS = ("#dfe6f2", "#b7c6e0", "#839cc8", "#4d69a5")
"""Colors from the band of all values to the band nearest to the median."""

LINE, MEDIAN = "#3d5488", "#0b1a3a"


def draw_distributions(record: TensorRecord, names: Sequence[str], title: str) -> Figure:
    """Draw the percentiles of tensors over the steps.

    Args:
        record: What a run recorded.
        names: Tensors to draw, some of the record's.
        title: The page's title.

    Raises:
        ConfigError: There are more than a page holds.
    """
    shown = thin(len(record.steps), MAX_POINTS)
    legend: list[Any] = [
        Patch(facecolor=color, edgecolor=LINE, label=f"{PERCENTILES[i]} to {PERCENTILES[-1 - i]}%")
        for i, color in enumerate(BANDS)
    ]
    legend += [
        Line2D([], [], color=MEDIAN, lw=2, label="median"),
        Line2D([], [], color=GRAY, ls="--", lw=1.2, label="0"),
    ]
    subtitle = (
        "Bands between percentiles of each parameter tensor, darker towards the median, at "
        f"{describe_evaluations(record, shown)}. Each panel has a scale of its own."
    )
    tensors = [record.names.index(name) for name in names]
    figure = new_page(
        {record.names[i]: record.shapes[i] for i in tensors},
        title,
        subtitle,
        legend,
        ("step", "value"),
        CELL,
    )
    assert len(BANDS) == len(PERCENTILES) // 2
    for axes, tensor in zip(figure.axes, tensors, strict=True):
        _draw(axes, record.steps[shown], record.percentiles[shown, tensor].astype(np.float64))
        note_left_out(axes, record, tensor)
    return figure


def _draw(axes: Axes, steps: NDArray[np.int64], percentiles: NDArray[np.float64]) -> None:
    """Draw the bands of a tensor: (E,) steps, (E, 9) percentiles."""
    x, y = steps.astype(np.float64), percentiles
    if len(x) == 1:  # wide enough to be seen
        x, y = np.array([x[0] - 0.5, x[0] + 0.5]), y.repeat(2, axis=0)
    for i, color in enumerate(BANDS):
        axes.fill_between(x, y[:, i], y[:, -1 - i], facecolor=color, lw=0)
    for i in range(len(PERCENTILES)):
        median = i == len(BANDS)
        axes.plot(x, y[:, i], color=MEDIAN if median else LINE, lw=2 if median else 0.7)
    finite = y[np.isfinite(y)]
    if finite.size:
        low, high = limits(finite.min(), finite.max())
        axes.set_ylim(low, high)
        if low <= 0 <= high:
            axes.axhline(0, color=GRAY, ls="--", lw=1.2)
    else:
        note(axes, "no finite value")
        axes.set_yticks([])
    if len(steps) == 1:
        axes.set(xlim=(x[0] - 1, x[1] + 1), xticks=steps)
    else:
        axes.set_xlim(x[0], x[-1])
        set_ticks(axes.xaxis, integer=True, min_n_ticks=1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    set_ticks(axes.yaxis)
