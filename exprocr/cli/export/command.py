"""``exprocr export``: write a model's graph for ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import click

from exprocr.cli.options import Session, pass_session


@click.command(
    epilog="\b\nExamples:\n  exprocr export runs/a\n  exprocr export runs/a -o sums.onnx\n"
    "  exprocr predict --model sums.onnx img.png",
)
@click.argument("model", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="The graph, whose name ends in .onnx.  [default: beside the model file, with its name]",
)
@pass_session
def export(session: Session, /, model: str, output: str | None) -> None:
    """Write the graph of MODEL, a model file or run directory, for ONNX Runtime.

    The graph takes the bytes of preprocessed pictures and gives log-probabilities; the model's
    metadata is inside, so that `--model FILE` needs nothing else. It is written only if it gives
    what PyTorch gives, on pictures of several widths and in batches of several sizes. `exprocr
    train` writes it too.
    """
    from exprocr.cli.output import print_table, summary_table
    from exprocr.core.model.artifact import BUNDLED, ModelFile, model_path
    from exprocr.core.model.loading import GRAPH_SUFFIX
    from exprocr.core.model.onnx_export import write_graph

    if output is None and model == BUNDLED:
        raise click.UsageError(f"--output is needed for {BUNDLED!r}, the model inside the package")
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
