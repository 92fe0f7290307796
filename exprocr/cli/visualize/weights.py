"""Histograms of a model's parameter tensors."""

from __future__ import annotations

import os
from pathlib import Path

from exprocr.cli.output import cell, new_table, print_table, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.layers import tensor_layers
from exprocr.cli.visualize.tensors import NONE, format_figure, of_layers, picture_path
from exprocr.core.model.artifact import BUNDLED, NAMED, ModelFile
from exprocr.core.model.torch_engine import build_network, parameter_values, pick_device
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.plots.panels import short_name
from exprocr.viz.plots.weights import TensorStats, draw_weights, tensor_stats
from exprocr.words import format_shape, format_share


def show(request: Request) -> None:
    """Draw a histogram of each parameter tensor."""
    layers = tensor_layers(request)
    source = str(request.runs[0]) if request.runs else request.model
    model = ModelFile.load(source)
    values = parameter_values(build_network(model, pick_device("cpu")))
    tensors = {name: values[name] for name in of_layers(values, layers, model.name)}
    path = picture_path(request, layers)
    save_picture(draw_weights(tensors, f"Weights of {_name(source)}"), path)
    stats = {name: tensor_stats(values) for name, values in tensors.items()}
    _print(stats)
    num_values = sum(stat.num_values for stat in stats.values())
    num_finite = sum(stat.num_finite for stat in stats.values())
    rows: list[tuple[str, object]] = [("tensors", len(stats)), ("values", f"{num_values:,}")]
    if num_finite < num_values:
        rows.append(("not finite", f"{num_values - num_finite:,}, left out"))
    print_table(summary_table([*rows, ("picture", path)]))


def _name(source: str | None) -> str:
    """Return what the model is called: its file, its run, or that it is the one in the package."""
    if source is None or source in NAMED:
        return f"the model {source or BUNDLED} in the package"
    path = Path(os.path.abspath(source))
    return f"run {path.name}" if path.is_dir() else path.name


def _print(stats: dict[str, TensorStats]) -> None:
    right = ("values", "mean", "std", "norm", "zeros", "min", "max")
    table = new_table("tensor", "shape", *right, right=right)
    table.padding = 0  # so that a line of 80 characters holds it
    for name, stat in stats.items():
        figures = (stat.mean, stat.deviation, stat.norm)
        table.add_row(
            cell(short_name(name)),
            cell(format_shape(stat.shape).replace(" ", "")),
            cell(f"{stat.num_values:,}"),
            *(cell(format_figure(figure)) for figure in figures),
            cell(format_share(stat.zeros) if stat.num_finite else NONE),
            *(cell(format_figure(figure)) for figure in (stat.minimum, stat.maximum)),
        )
    print_table(table, fold_first=True)
