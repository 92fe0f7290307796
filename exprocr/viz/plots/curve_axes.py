"""The panels that training curves are drawn in: titles, scales, and what they run over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from exprocr.core.runs.summary import Floats
from exprocr.viz.plots.curve_scales import set_error_scale
from exprocr.viz.plots.plotting import finish_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panels = Mapping[str, "Axes"]

LABELS = {
    "loss": ("CTC loss", "nats per image"),
    "exact_match": ("Exact match", "images read without an error"),
    "normalized_edit_distance": ("Normalized edit distance", "edits per character"),
    "learning_rate": ("Learning rate", "learning rate"),
    "images_per_s": ("Speed of training", "images/s between evaluations"),
}
"""Title of a figure's panel, and what its y axis says."""

PARTS = {"train": ", training", "val": ", validation"}

SPREAD = 20
"""Learning rates further apart than this factor need a logarithmic scale."""


def split_name(panel: str) -> tuple[str, str]:
    """Return a panel's figure and part: ``train_loss`` is the ``loss`` of part ``train``."""
    part, _, figure = panel.partition("_")
    return (figure, part) if part in PARTS else (panel, "")


def finish_panels(panels: Panels, longest: float, unit: str | None) -> None:
    """Give panels their titles and axes; those of one figure get one scale.

    Args:
        panels: The axes by name, with all that is drawn in them.
        longest: Where the last curve ends, in steps or in ``unit``.
        unit: The unit of time; None where the curves run over steps.
    """
    for panel, axes in panels.items():
        figure, part = split_name(panel)
        title, label = LABELS[figure]
        axes.set(title=title + PARTS.get(part, ""), ylabel=label)
        finish_axes(axes)
        _finish_x(axes, longest, unit)
        if not _values(axes).size:
            place: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
            axes.text(0.5, 0.5, "no figures yet", **place)
    for figure in LABELS:
        group = [axes for panel, axes in panels.items() if split_name(panel)[0] == figure]
        for axes in group:
            _set_scale(axes, figure, _values(*group))


def _values(*panels: Axes) -> Floats:
    """Return all values drawn in panels."""
    lines = [line.get_ydata() for axes in panels for line in axes.lines]
    return np.concatenate([np.zeros(0), *lines])


def _set_scale(axes: Axes, figure: str, values: Floats) -> None:
    """Scale the y axis for all values of a figure."""
    if not values.size:
        axes.set_yticks([])
    elif figure == "exact_match":
        set_error_scale(axes, values, share_right=True)
    elif figure == "normalized_edit_distance":
        set_error_scale(axes, values, share_right=False)
    elif figure == "loss":
        _set_log_scale(axes, values)
    else:
        peaks = [np.max(line.get_ydata()) for line in axes.lines]
        if figure == "learning_rate" and 0 < SPREAD * min(peaks) < max(peaks):
            _set_log_scale(axes, values)
        else:
            axes.set_ylim(0, 1.1 * float(values.max()) if values.max() > 0 else 1.0)


def _set_log_scale(axes: Axes, values: Floats) -> None:
    """Scale the y axis by the logarithm, where there is one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    values = values[values > 0]
    if not values.size:
        return
    low, high = float(values.min()) / 1.25, float(values.max()) * 1.25
    decades = np.log10(high / low)
    axes.set_ylim(low, high)  # first: a panel may have nothing above 0 of its own
    axes.set_yscale("log")
    # Powers of ten are too far apart on a short axis.
    of_decade = (1, 2, 5) if decades < 4 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=of_decade) if decades > 1 else MaxNLocator(6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _finish_x(axes: Axes, longest: float, unit: str | None) -> None:
    """Scale the x axis from the start of training to its end."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0, 1.03 * longest if longest else 1.0)
    axes.set_xlabel(f"training time, {unit}" if unit else "step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=unit is None))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
