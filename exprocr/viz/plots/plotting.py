"""Figures, axes and styles of lines that all plots share; colors stay apart in gray."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

DPI = 100
MAX_FIGURE_PX = 4000

DARK, MIDDLE, PALE = "#1f3b73", "#d95f02", "#b8c4da"
"""A dark, a medium and a pale color."""

GRID = "#e3e3e3"


class LineStyle(NamedTuple):
    """How one of several lines is told from the others, in gray as well."""

    color: str
    dashes: str
    marker: str


LINE_STYLES = (
    LineStyle(DARK, "-", "o"),
    LineStyle(MIDDLE, "--", "s"),
    LineStyle("#4d9221", "-.", "^"),
    LineStyle("#7b3294", ":", "D"),
    LineStyle("#111111", (0, (6, 2, 1, 2, 1, 2)), "v"),  # type: ignore[arg-type]
    LineStyle("#c51b7d", (0, (1, 1)), "x"),  # type: ignore[arg-type]
)
"""Styles of lines, in the order they are given out; they begin again after the last."""


def new_figure(width_px: int, height_px: int) -> Figure:
    """Return an empty figure with a layout that keeps labels apart; no window, no global state."""
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    return figure


def finish_axes(axes: Axes) -> None:
    """Draw a faint grid behind what is drawn, and no lines above and at the right."""
    axes.grid(visible=True, which="major", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def line_style(number: int) -> LineStyle:
    """Return how line ``number`` of several is drawn; no two of the first 36 are alike."""
    rounds, place = divmod(number, len(LINE_STYLES))
    color, _, marker = LINE_STYLES[place]
    return LineStyle(color, LINE_STYLES[(place + rounds) % len(LINE_STYLES)].dashes, marker)


def plot_text(text: str, max_chars: int) -> str:
    """Return a name as matplotlib writes it out: on one line, no mathematics, cut with dots.

    Args:
        text: Any text.
        max_chars: Most characters to show; those in the middle go.
    """
    font = get_font(findfont(FontProperties()))
    shown = "".join(
        c if c.isprintable() and font.get_char_index(ord(c)) else ascii(c)[1:-1] for c in text
    )
    if len(shown) > max_chars:
        tail = (max_chars - 3) * 2 // 3  # the ends of paths tell more than their beginnings
        shown = f"{shown[: max_chars - 3 - tail]}...{shown[len(shown) - tail :]}"
    return shown.replace("$", r"\$")
