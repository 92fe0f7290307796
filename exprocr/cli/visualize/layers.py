"""Which layers a picture of feature maps or saliency is drawn of; a picture each."""

from __future__ import annotations

from pathlib import Path

import click

from exprocr.cli.visualize.kinds import Request
from exprocr.core.model.geometry import check_layer

ALL = "all"
"""Name that stands for every layer."""

DEFAULT_LAYER = "conv3"


def picture_layers(request: Request, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the layers asked for, each once.

    Args:
        request: What is asked for.
        known: The layers that can be drawn.

    Raises:
        ConfigError: A layer is none of these.
        click.UsageError: There is one file name for several pictures.
    """
    layers = tuple(dict.fromkeys(request.layers)) or (DEFAULT_LAYER,)
    for layer in layers:
        if layer != ALL:
            check_layer(layer, known)
    layers = known if ALL in layers else layers
    output = request.output or ""
    if len(layers) > 1 and output.lower().endswith(".png") and not Path(output).is_dir():
        raise click.UsageError(
            f"{len(layers)} layers are {len(layers)} pictures: --output is their folder, "
            f"found the file name {output}."
        )
    return layers
