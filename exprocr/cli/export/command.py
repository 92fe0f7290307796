"""``exprocr export``: write a model's graph for ONNX Runtime."""

from __future__ import annotations

import click


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
    help="File of the graph; its name ends in .onnx.  [default: beside the model file, with its "
    "name]",
)
def export(model: str, output: str | None) -> None:
    """Write the graph of MODEL, a model file or run directory, for ONNX Runtime.

    The graph takes the bytes of preprocessed pictures and gives log-probabilities. The model's
    metadata is inside, so that `--model FILE` needs no other file. The graph is written only if it
    gives what PyTorch gives, on pictures of several widths and in batches of several sizes.
    `exprocr train` writes it too.
    """
    from exprocr.cli.export.run import run

    run(model, output)
