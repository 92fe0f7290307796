"""What ``exprocr export`` does: write the graph, and print how well it agrees with PyTorch."""

from __future__ import annotations

from pathlib import Path

import click

from exprocr.cli.output import print_table, summary_table
from exprocr.core.model.artifact import NAMED, ModelFile, model_path
from exprocr.core.model.loading import GRAPH_SUFFIX
from exprocr.core.model.onnx_export import write_graph


def run(model: str, output: str | None) -> None:
    """Write the graph of a model.

    Args:
        model: Model file or run directory.
        output: The graph; None puts it beside the model file.
    """
    if output is None and model in NAMED:
        raise click.UsageError(f"--output is needed for {model!r}, a model inside the package")
    source = model_path(model)
    if source.suffix == GRAPH_SUFFIX:
        raise click.UsageError(f"MODEL expects a model file, found a graph, {source}")
    path = source.with_suffix(GRAPH_SUFFIX) if output is None else Path(output)
    if path.suffix != GRAPH_SUFFIX:
        raise click.UsageError(f"--output expects a name that ends in {GRAPH_SUFFIX}, found {path}")
    model_file = ModelFile.load(model)
    difference = write_graph(model_file, path)
    rows: list[tuple[str, object]] = [
        ("model", model_file.name),
        ("largest difference", f"{difference:.1e} nats from PyTorch"),
        ("size", f"{path.stat().st_size / 1e6:.1f} MB"),
        ("graph", path),
    ]
    print_table(summary_table(rows, title="Export"))
