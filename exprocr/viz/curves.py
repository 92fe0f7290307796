"""How a run learned: loss, exact match and edit distance over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exprocr.viz.plotting import DARK, MIDDLE, PALE, finish_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_curves(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the curves of a run.

    Args:
        records: The run's metrics: of kind ``step`` (``step``, ``loss``) and of kind
            ``evaluation`` (``step`` and figures whose names begin with ``train_`` and ``val_``).
            Any may be missing, and so may figures.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(1500, 480)
    loss, exact, distance = figure.subplots(1, 3)
    steps = [record for record in records if record.get("kind") == "step"]
    evaluations = [record for record in records if record.get("kind") == "evaluation"]
    _draw_loss(loss, steps, evaluations)
    _draw_evaluations(exact, evaluations, "exact_match")
    exact.set(title="Exact match", ylabel="share of images read without an error")
    _draw_evaluations(distance, evaluations, "normalized_edit_distance")
    distance.set(title="Normalised edit distance", ylabel="edits per character")
    distance.set_ylim(bottom=0)
    last = max((record["step"] for record in records if "step" in record), default=0)
    for axes in (loss, exact, distance):
        axes.set_xlabel("step")
        axes.set_xlim(0, max(last, 1) * 1.03)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        finish_axes(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        else:
            axes.text(0.5, 0.5, "no figures yet", ha="center", transform=axes.transAxes)
    # From 0, unless that would flatten a run that is good throughout.
    lowest = min((line.get_ydata().min() for line in exact.lines), default=0.0)
    bottom = 0.0 if lowest < 0.5 else lowest - 0.2 * (1 - lowest)
    exact.set_ylim(bottom - 0.02 * (1 - bottom), 1 + 0.02 * (1 - bottom))
    return figure


def _draw_loss(
    axes: Axes, steps: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]
) -> None:
    """Draw the loss of each step, its moving average, and the validation loss."""
    x, losses = _series(steps, "loss")
    window = max(1, min(100, len(losses) // 20))
    if len(losses):
        colour, marker = (PALE, "") if window > 1 else (DARK, ".")
        axes.plot(x, losses, color=colour, lw=0.8, marker=marker, label="training, each step")
    if window > 1:
        mean = moving_average(losses, window)
        label = f"training, mean of {window} steps"
        axes.plot(x[window - 1 :], mean, color=DARK, lw=1.6, label=label)
    x, val_losses = _series(evaluations, "val_loss")
    if len(val_losses):
        axes.plot(x, val_losses, color=MIDDLE, ls="--", marker="o", ms=5, label="validation")
    if np.any(np.concatenate((losses, val_losses)) > 0):
        axes.set_yscale("log")
    axes.set(title="CTC loss", ylabel="loss per image, nats")


def _draw_evaluations(axes: Axes, evaluations: Sequence[Mapping[str, Any]], name: str) -> None:
    """Draw a figure of the training and of the validation images, where there is one."""
    styles = {"train": ("training", DARK, "-", "s"), "val": ("validation", MIDDLE, "--", "o")}
    for part, (label, colour, line, marker) in styles.items():
        x, values = _series(evaluations, f"{part}_{name}")
        if len(values):
            axes.plot(x, values, color=colour, ls=line, marker=marker, ms=5, label=label)


def _series(
    records: Sequence[Mapping[str, Any]], name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the steps and values of a figure, of the records that have it."""
    points = [(r["step"], r[name]) for r in records if r.get(name) is not None]
    steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return steps, values


def moving_average(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the means of every ``window`` neighbours; ``window - 1`` fewer than values."""
    return np.convolve(values, np.full(window, 1 / window), mode="valid")
