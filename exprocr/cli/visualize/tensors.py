"""How the parameter tensors moved over a run: their percentiles, or their histograms."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprocr.cli.output import cell, new_table, print_table, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.layers import tensor_layers
from exprocr.core.model.geometry import LAYERS
from exprocr.core.runs.layout import TENSORS_NAME, check_run_dir
from exprocr.core.runs.tensor_record import PERCENTILES, TensorRecord, read_tensor_record
from exprocr.errors import DataError
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.plots.distributions import draw_distributions
from exprocr.viz.plots.history import draw_history
from exprocr.viz.plots.panels import layer_of, short_name

DRAWINGS = {"distributions": draw_distributions, "history": draw_history}
"""What draws each kind: tensors of a record, by name, under a title."""

NONE = "-"
"""Stands in a table for what is not finite."""


def of_layers(names: Iterable[str], layers: tuple[str, ...], where: str) -> list[str]:
    """Return the tensors that belong to layers.

    Args:
        names: All tensors.
        layers: The layers.
        where: What holds the tensors, for messages.

    Raises:
        DataError: There are none.
    """
    chosen = [name for name in names if layer_of(name) in layers]
    if not chosen:
        raise DataError(f"{where}: expected tensors of {', '.join(layers)}, found none")
    return chosen


def picture_path(request: Request, layers: tuple[str, ...]) -> Path:
    """Return where the picture goes: the layers are in its name, unless it shows all."""
    return request.path(None if layers == LAYERS else "-".join(layers))


def format_figure(value: float) -> str:
    """Write a tensor's figure with three digits."""
    return f"{value + 0.0:.3g}" if np.isfinite(value) else NONE


def show(request: Request) -> None:
    """Draw what a run recorded of its tensors, and print what moved.

    Raises:
        ConfigError: A layer is unknown.
        DataError: The run has no record, or a damaged one.
    """
    layers = tensor_layers(request)
    (run,) = request.runs
    check_run_dir(run)
    record = read_tensor_record(run / TENSORS_NAME)
    names = of_layers(record.names, layers, str(run / TENSORS_NAME))
    path = picture_path(request, layers)
    title = f"{request.kind.capitalize()} of run {os.path.basename(os.path.abspath(run))}"
    save_picture(DRAWINGS[request.kind](record, names, title), path)
    _print(record, names)
    steps = f"{record.steps[0]:,} to {record.steps[-1]:,}"
    rows = [("evaluations", f"{len(record.steps):,}"), ("steps", steps), ("picture", path)]
    print_table(summary_table(rows))


def _print(record: TensorRecord, names: list[str]) -> None:
    """Print each tensor's median and spread, at the first and at the last evaluation."""
    right = (
        "median\nfirst", "median\nlast", "7-93%\nfirst", "7-93%\nlast", "min\nlast", "max\nlast",
    )  # fmt: skip
    table = new_table("tensor", *right, right=right)
    for name in names:
        percentiles = record.percentiles[:, record.names.index(name)].astype(np.float64)
        first, last = _figures(percentiles[0]), _figures(percentiles[-1])
        columns = (first[0], last[0], first[1], last[1], *last[2:])
        table.add_row(cell(short_name(name)), *(cell(format_figure(value)) for value in columns))
    print_table(table, fold_first=True)


def _figures(percentiles: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return median, width of the range from 7 to 93%, least and greatest value."""
    low, median, high = (percentiles[PERCENTILES.index(share)] for share in (7, 50, 93))
    return float(median), float(high - low), float(percentiles[0]), float(percentiles[-1])
