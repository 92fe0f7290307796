"""How runs learned: loss, exact match, edit distance, learning rate and speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from exprocr.core.runs.journal import EVALUATION, STEP
from exprocr.core.runs.summary import (
    Floats,
    Records,
    Series,
    best_evaluation,
    of_kind,
    over_time,
    series,
    smoothed,
    summarize,
    throughput,
)
from exprocr.viz.plots.plotting import (
    DARK,
    MIDDLE,
    PALE,
    LineStyle,
    finish_axes,
    line_style,
    new_figure,
    plot_text,
)
from exprocr.viz.plots.scales import set_error_scale, time_unit

Panels = Mapping[str, Axes]
Curves = dict[str, Series]
"""The curves of a run by their names in its record; the loss of its steps is ``step_loss``."""

MAX_RUNS = 12
"""Most runs of a figure: more lines in a panel cannot be told apart."""

TRAINING = LineStyle(DARK, "-", "s")
VALIDATION = LineStyle(MIDDLE, "--", "o")

NUM_MARKERS = 16
"""Number of markers along a line, about: enough to follow it among others."""

ONE_RUN: list[Any] = [
    ["loss"] * 3 + ["exact_match"] * 3,
    ["normalized_edit_distance"] * 2 + ["learning_rate"] * 2 + ["images_per_s"] * 2,
]
SEVERAL_RUNS: list[Any] = [
    ["train_loss", "train_exact_match", "train_normalized_edit_distance", "learning_rate"],
    ["val_loss", "val_exact_match", "val_normalized_edit_distance", "images_per_s"],
]
"""Panels by rows. Several runs have training and validation in panels of their own."""


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


def draw_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]], over: str = "step") -> Figure:
    """Draw the curves of a run, or those of several over one another.

    Args:
        runs: The records of 1 to `MAX_RUNS` runs by their names: of kind ``step`` (``step``,
            ``loss``, ``learning_rate``, ``elapsed_s``) and of kind ``evaluation`` (``step``,
            ``epoch``, ``elapsed_s``, ``images_per_s``, and figures whose names begin with
            ``train_`` and ``val_``). Any may be missing, and so may figures.
        over: ``step``, or ``time``: that of training, evaluations left out.
    """
    assert 1 <= len(runs) <= MAX_RUNS
    assert over in ("step", "time")
    drawn, unit = {name: _curves(records) for name, records in runs.items()}, None
    if over == "time":
        for name, curves in drawn.items():
            drawn[name] = {key: over_time(curve, runs[name]) for key, curve in curves.items()}
    ends = [curve.x.max() for curves in drawn.values() for curve in curves.values() if curve.x.size]
    longest = float(max(ends, default=0))
    if over == "time":
        seconds, unit = time_unit(longest)
        longest /= seconds
        for curves in drawn.values():
            curves.update({key: Series(c.x / seconds, c.y) for key, c in curves.items()})
    if len(runs) == 1:
        ((name, records),) = runs.items()
        figure, panels = _draw_one(_title(name, records), drawn[name])
    else:
        figure, panels = _draw_several(drawn)
    _finish_panels(panels, longest, unit)
    return figure


def _curves(records: Records) -> Curves:
    """Return the curves of a run, over steps."""
    steps, evaluations = of_kind(records, STEP), of_kind(records, EVALUATION)
    best = best_evaluation(evaluations)
    curves = {
        "step_loss": series(steps, "loss"),
        "learning_rate": series(steps, "learning_rate"),
        "images_per_s": throughput(records),
        "best": series([best] if best else [], "val_exact_match"),
    }
    for name in ("loss", "exact_match", "normalized_edit_distance"):
        for part in ("train", "val"):
            curves[f"{part}_{name}"] = series(evaluations, f"{part}_{name}")
    return curves


def _title(name: str, records: Records) -> str:
    """Return a run's name, and below it its results."""
    summary = summarize(records)
    facts = [f"{summary.num_steps:,} steps, epoch {summary.num_epochs:,}"]
    if summary.best is not None:
        best, epoch = summary.best["val_exact_match"], summary.best.get("epoch", 0)
        facts.append(f"best validation exact match {best:.2%}, after epoch {epoch:,}")
    return f"Training curves of {plot_text(name, 100)}\n" + "; ".join(facts)


def _draw_one(title: str, curves: Curves) -> tuple[Figure, Panels]:
    """Draw a run alone: training and validation in the same panels."""
    figure = new_figure(1500, 1000)
    panels: Panels = figure.subplot_mosaic(ONE_RUN)
    figure.suptitle(title, fontsize=13)
    each, (mean, window) = curves["step_loss"], smoothed(curves["step_loss"])
    loss, exact_match = panels["loss"], panels["exact_match"]
    if window > 1:
        loss.plot(*each, color=PALE, lw=0.8, label="training, each step")
        loss.plot(*mean, color=DARK, lw=1.6, label=f"training, mean of {window} steps")
    else:
        _plot(loss, each, TRAINING, label="training, each step")
    _plot(loss, curves["val_loss"], VALIDATION, label="validation")
    for name in ("exact_match", "normalized_edit_distance"):
        _plot(panels[name], curves[f"train_{name}"], TRAINING, label="training")
        _plot(panels[name], curves[f"val_{name}"], VALIDATION, label="validation")
    ring: dict[str, Any] = {
        "ls": "",
        "marker": "o",
        "ms": 15,
        "mfc": "none",
        "mec": "black",
        "mew": 1.5,
    }
    if curves["best"].x.size:
        exact_match.plot(*curves["best"], **ring, zorder=4, label="best, kept as the model")
    _plot(panels["learning_rate"], curves["learning_rate"], LineStyle(DARK, "-", ""))
    _plot(panels["images_per_s"], curves["images_per_s"], TRAINING)
    for name in ("loss", "exact_match", "normalized_edit_distance"):
        if panels[name].get_legend_handles_labels()[0]:
            # The best place is slow to find among the many steps.
            place: Any = "upper right" if name == "loss" else "best"
            panels[name].legend(loc=place, framealpha=0.85, edgecolor="none")
    return figure, panels


def _draw_several(runs: Mapping[str, Curves]) -> tuple[Figure, Panels]:
    """Draw runs over one another: training and validation in panels of their own."""
    figure = new_figure(1960, 1080)
    panels: Panels = figure.subplot_mosaic(SEVERAL_RUNS)
    figure.suptitle(f"Training curves of {len(runs)} runs", fontsize=13)
    for number, curves in enumerate(runs.values()):
        # The loss of each step would hide the other runs, its moving average does not.
        shown = {**curves, "train_loss": smoothed(curves["step_loss"])[0]}
        for name, axes in panels.items():
            _plot(axes, shown[name], line_style(number), turn=(number, len(runs)))
    _name_runs(figure, list(runs))
    return figure, panels


def _plot(
    axes: Axes,
    curve: Series,
    style: LineStyle,
    *,
    label: str | None = None,
    turn: tuple[int, int] = (0, 1),
) -> None:
    """Draw a line, with markers in places of its own among the lines that take turns."""
    if not curve.x.size:
        return
    every = max(1, curve.x.size // NUM_MARKERS)
    axes.plot(
        *curve,
        color=style.color,
        ls=style.dashes,
        lw=1.6,
        marker=style.marker,
        ms=5,
        markevery=(every * turn[0] // turn[1], every),
        label=label,
    )


def _name_runs(figure: Figure, names: Sequence[str]) -> None:
    """Name the runs below the panels."""
    styles = [line_style(number) for number in range(len(names))]
    handles = [
        Line2D([], [], color=s.color, ls=s.dashes, marker=s.marker, ms=6, lw=1.6) for s in styles
    ]
    shown = [plot_text(name, 60) for name in names]
    per_row = max(1, 1800 // (110 + 9 * max(map(len, shown))))
    figure.legend(
        handles,
        shown,
        loc="outside lower center",
        ncols=min(per_row, len(names)),
        frameon=False,
        fontsize=11,
        handlelength=5,
    )


def _split_name(panel: str) -> tuple[str, str]:
    """Return a panel's figure and part: ``train_loss`` is the ``loss`` of part ``train``."""
    part, _, figure = panel.partition("_")
    return (figure, part) if part in PARTS else (panel, "")


def _finish_panels(panels: Panels, longest: float, unit: str | None) -> None:
    """Set the titles and axes of panels; those of one figure get one scale.

    Args:
        panels: The axes by name, with all that is drawn in them.
        longest: Where the last curve ends, in steps or in ``unit``.
        unit: The unit of time; None where the curves run over steps.
    """
    for panel, axes in panels.items():
        figure, part = _split_name(panel)
        title, label = LABELS[figure]
        axes.set(title=title + PARTS.get(part, ""), ylabel=label)
        finish_axes(axes)
        _finish_x(axes, longest, unit)
        if not _values(axes).size:
            place: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
            axes.text(0.5, 0.5, "no figures yet", **place)
    for figure in LABELS:
        group = [axes for panel, axes in panels.items() if _split_name(panel)[0] == figure]
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
    axes.set_xlim(0, 1.03 * longest if longest else 1.0)
    axes.set_xlabel(f"training time, {unit}" if unit else "step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=unit is None))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
