"""The layers that a request names."""

from __future__ import annotations

from pathlib import Path

import click

from exprocr.cli.visualize.kinds import Request
from exprocr.core.model.geometry import LAYERS, check_layer

ALL = "all"
"""Name that stands for every layer."""

DEFAULT_LAYER = "conv3"
"""What is drawn of a picture where no layer is named."""


def picture_layers(request: Request, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the layers asked for, each once, where each gets a picture of its own.

    Args:
        request: What is asked for.
        known: The layers that can be drawn.

    Raises:
        ConfigError: A layer is none of these.
        click.UsageError: There is one file name for several pictures.
    """
    layers = tuple(dict.fromkeys(request.layers)) or (DEFAULT_LAYER,)
    _check(layers, known)
    layers = known if ALL in layers else layers
    output = request.output or ""
    if len(layers) > 1 and output.lower().endswith(".png") and not Path(output).is_dir():
        raise click.UsageError(
            f"{len(layers)} layers are {len(layers)} pictures: --output is their folder, "
            f"found the file name {output}."
        )
    return layers


def tensor_layers(request: Request) -> tuple[str, ...]:
    """Return the layers asked for, in the network's order, where one picture shows their tensors.

    Without a name, all are returned.

    Raises:
        ConfigError: A layer is unknown.
    """
    _check(request.layers, LAYERS)
    wanted = request.layers or (ALL,)
    return tuple(layer for layer in LAYERS if ALL in wanted or layer in wanted)


def _check(layers: tuple[str, ...], known: tuple[str, ...]) -> None:
    for layer in layers:
        if layer != ALL:
            check_layer(layer, known)
