"""Small multiples on one page: a plot for each tensor of a network, a layer in rows of its own."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from exprocr.core.runs.tensor_record import TensorRecord
from exprocr.errors import ConfigError
from exprocr.viz.canvas.text import break_lines
from exprocr.viz.plots.plotting import DPI, MAX_FIGURE_PX, finish_axes, new_figure, plot_text
from exprocr.words import format_shape

GRAY = "#606060"
TEXT_PX = 12.5
TITLE_PX = 19
LINE_PX = 19
"""From a line of text to the next."""

MARGIN_PX = 16
MIN_WIDTH_PX = 720
"""Least width of a page: its heading needs room."""

MIN_COLUMNS = 4
HEAD_PX = 200
"""Most height of title, explanation, legend, and the labels at the bottom."""

LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 62, 12, 42, 26
"""Room around a plot for its figures and its title."""


class Cell(NamedTuple):
    """Size of a panel: a plot with its figures and its title, px."""

    width: int
    height: int


def points(px: float) -> float:
    """Turn px into points, which matplotlib measures text in."""
    return px * 72 / DPI


def short_name(name: str) -> str:
    """Return a parameter's name without the parts that all names share: ``gru1.weight_ih_rev``."""
    name = re.sub(r"^(gru\d+)\.gru\.(\w+)_l0$", r"\1.\2", name)
    name = re.sub(r"^(gru\d+)\.gru\.(\w+)_l0_reverse$", r"\1.\2_rev", name)
    return re.sub(r"^(fc\d+)\.linear\.", r"\1.", name)


def layer_of(name: str) -> str:
    """Return the layer that a parameter belongs to."""
    return name.split(".")[0]


def format_tick(value: float, position: object = None) -> str:
    """Write a number at an axis: short, and 0 without a sign."""
    return f"{value + 0.0:.4g}"


def set_ticks(
    axis: Axis, write: Callable[[float, object], str] = format_tick, **options: Any
) -> None:
    """Set about four ticks on an axis; ``options`` are those of matplotlib's ``MaxNLocator``."""
    axis.set_major_locator(MaxNLocator(4, **options))
    axis.set_major_formatter(FuncFormatter(write))


def group_sizes(tensors: Mapping[str, Sequence[int]]) -> Iterator[list[int]]:
    """Yield sizes of groups of tensors that belong together, from small groups to one of all.

    Small groups are a convolution with its batch norm, larger ones are layers.
    """
    convolutions = accumulate(len(shape) == 4 for shape in tensors.values())
    parts = list(zip(map(layer_of, tensors), convolutions, strict=True))
    for keys in (parts, [layer for layer, _ in parts]):
        yield [len(list(group)) for _, group in groupby(keys)]
    yield [len(tensors)]


def layout(
    tensors: Mapping[str, Sequence[int]], cell: Cell
) -> tuple[list[tuple[int, int]], int, int]:
    """Arrange panels: what belongs together begins a row, if the page is not too high for that.

    Args:
        tensors: Shapes by name.
        cell: Size of a panel.

    Returns:
        Row and column of each panel, number of rows, number of columns.

    Raises:
        ConfigError: They do not fit on a page.
    """
    most_rows = (MAX_FIGURE_PX - HEAD_PX) // cell.height
    most_columns = (MAX_FIGURE_PX - 2 * MARGIN_PX - LINE_PX) // cell.width
    for sizes in group_sizes(tensors):
        for columns in range(MIN_COLUMNS, most_columns + 1):
            if sum(-(-size // columns) for size in sizes) > most_rows:
                continue
            places, top = [], 0
            for size in sizes:
                places += [(top + i // columns, i % columns) for i in range(size)]
                top += -(-size // columns)
            return places, top, min(columns, max(sizes))
    raise ConfigError(
        f"expected at most {most_rows * most_columns} tensors on a page, found {len(tensors)}; "
        "choose layers with --layer"
    )


def new_page(
    tensors: Mapping[str, Sequence[int]],
    title: str,
    subtitle: str,
    legend: Sequence[Any],
    labels: tuple[str, str],
    cell: Cell,
) -> Figure:
    """Return a page with an empty plot for each tensor, its axes in the order of the tensors.

    Args:
        tensors: Shapes by name.
        title: What the page shows, cut with dots where it is too long.
        subtitle: How it is drawn; broken into lines.
        legend: What is drawn, as matplotlib's legend takes it: handles with labels.
        labels: Of the axes across and of the axes up: below each column, beside each row.
        cell: Size of a panel among many; fewer are larger.

    Raises:
        ConfigError: There are too many.
    """
    scale = 1.8 if len(tensors) <= 2 else 1.35 if len(tensors) <= 8 else 1.0
    cell = Cell(round(cell.width * scale), round(cell.height * scale))
    places, num_rows, num_columns = layout(tensors, cell)
    left = MARGIN_PX + LINE_PX
    width = max(MIN_WIDTH_PX, left + num_columns * cell.width + MARGIN_PX)
    lines = break_lines(subtitle, width - 2 * MARGIN_PX, _length)
    legend_top = MARGIN_PX + TITLE_PX + 12 + LINE_PX * len(lines)
    top = legend_top + LINE_PX + 14
    figure = new_figure(width, top + num_rows * cell.height + LINE_PX + MARGIN_PX)
    figure.set_layout_engine("none")  # all places are known
    heading = fit(title, width - 2 * MARGIN_PX, TITLE_PX, "bold")
    _write(figure, MARGIN_PX, MARGIN_PX, heading, TITLE_PX, weight="bold")
    for i, line in enumerate(lines):
        _write(figure, MARGIN_PX, MARGIN_PX + TITLE_PX + 12 + i * LINE_PX, line, color=GRAY)
    _explain(figure, legend, legend_top)
    lowest = {column: row for row, column in places}
    for (name, shape), (row, column) in zip(tensors.items(), places, strict=True):
        x, y = left + column * cell.width, top + row * cell.height
        _add_panel(figure, x, y, cell, name, shape)
        if row == lowest[column]:
            middle = x + (cell.width + LEFT_PX - RIGHT_PX) / 2
            _write(figure, middle, y + cell.height, labels[0], ha="center")
        if column == 0:
            middle = y + (cell.height + TOP_PX - BOTTOM_PX) / 2
            _write(figure, MARGIN_PX, middle, labels[1], va="center", rotation="vertical")
    return figure


def _explain(figure: Figure, legend: Sequence[Any], top: float) -> None:
    """Draw the legend on one line, px from the top."""
    figure.legend(
        handles=legend,
        loc="upper left",
        bbox_to_anchor=_share(figure, MARGIN_PX, top),
        ncols=len(legend),
        borderpad=0,
        borderaxespad=0,
        fontsize=points(TEXT_PX),
        frameon=False,
    )


def _add_panel(
    figure: Figure, x: float, y: float, cell: Cell, name: str, shape: Sequence[int]
) -> None:
    """Add an empty plot in the cell at (x, y), px from the upper left, below its name."""
    left, bottom = _share(figure, x + LEFT_PX, y + cell.height - BOTTOM_PX)
    right, top = _share(figure, x + cell.width - RIGHT_PX, y + TOP_PX)
    axes = figure.add_axes((left, bottom, right - left, top - bottom))
    finish_axes(axes)
    axes.tick_params(labelsize=points(TEXT_PX), pad=2, length=3)
    room = cell.width - LEFT_PX - RIGHT_PX + 8
    _write(figure, x + LEFT_PX - 4, y + 3, fit(short_name(name), room))
    _write(figure, x + LEFT_PX - 4, y + 20, fit(format_shape(tuple(shape)), room), color=GRAY)


def _share(figure: Figure, x: float, y: float) -> tuple[float, float]:
    """Turn px from the upper left into shares of a figure from the lower left."""
    return x / (figure.get_figwidth() * DPI), 1 - y / (figure.get_figheight() * DPI)


def _write(
    figure: Figure, x: float, y: float, text: str, px: float = TEXT_PX, **style: Any
) -> None:
    """Write a text at (x, y), px from the upper left: to the right of it and below, if left so."""
    style = {"ha": "left", "va": "top", "fontsize": points(px), **style}
    figure.text(*_share(figure, x, y), text, **style)


def note(axes: Axes, text: str) -> None:
    """Write a note into the upper right corner of a plot."""
    axes.text(
        0.98, 0.97, text, ha="right", va="top", fontsize=points(TEXT_PX), transform=axes.transAxes
    )


def note_left_out(axes: Axes, record: TensorRecord, tensor: int) -> None:
    """Write into a plot how many values were not finite at worst, if any."""
    counted = record.counts[:, tensor].sum(axis=1, dtype=np.int64)
    missing = math.prod(record.shapes[tensor]) - int(counted.min())
    if missing and counted.any():
        note(axes, f"up to {missing:,} not finite")


def describe_evaluations(record: TensorRecord, shown: NDArray[np.intp]) -> str:
    """Write how many evaluations a record has, and how many of them are shown."""
    num = len(record.steps)
    text = "one evaluation" if num == 1 else f"{num:,} evaluations"
    return text if len(shown) == num else f"{len(shown)} of {text}"


def filled_bins(num_values: int) -> int:
    """Return about how many bins of a histogram so many values can fill."""
    return max(5, int(2 * num_values**0.5))


def limits(low: float, high: float, margin: float = 0.04) -> tuple[float, float]:
    """Return the ends of an axis for values from ``low`` to ``high``, which may be the same."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return -1.0, 1.0
    if high - low > 1e-6 * max(abs(low), abs(high)):
        room = margin * (high - low)
    else:
        room = 0.5 * abs(low) or 1.0
    return low - room, high + room


def thin(num: int, most: int) -> NDArray[np.intp]:
    """Return at most ``most`` indices below ``num``, evenly apart, with the first and last."""
    return np.unique(np.rint(np.linspace(0, num - 1, min(num, most))).astype(np.intp))


def _length(text: str, px: float = TEXT_PX, weight: str = "normal") -> float:
    """Return how wide a text is, px."""
    font = get_font(findfont(FontProperties(weight=weight)))
    font.set_size(points(px), DPI)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64


def fit(text: str, width: float, px: float = TEXT_PX, weight: str = "normal") -> str:
    """Return a text as matplotlib writes it out, cut with dots where it is wider than that, px."""
    # Of what cannot be drawn, plot_text writes out the code: up to ten characters each.
    lengths = range(4, max(5, min(10 * len(text), 1000)))
    num_fit = bisect_left(
        lengths, True, key=lambda n: _length(plot_text(text, n), px, weight) > width
    )
    return plot_text(text, lengths[max(0, num_fit - 1)])
