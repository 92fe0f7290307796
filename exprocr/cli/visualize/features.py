"""Feature maps of one or more layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from exprocr.cli.output import cell, new_table, print_table
from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.layers import picture_layers
from exprocr.cli.visualize.subject import load_recognizer, subject_of
from exprocr.core.model.capture import capturing
from exprocr.core.model.geometry import CONV_LAYERS, LAYERS
from exprocr.errors import ConfigError
from exprocr.viz.canvas.geometry import geometry_of
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.features.channels import FeatureStats, choose, feature_stats
from exprocr.viz.features.page import draw_grid
from exprocr.viz.subject import Subject, torch_engine

CLASS_LAYER = "fc2"


class Drawn(NamedTuple):
    """A layer that was drawn."""

    stats: FeatureStats
    channels: list[int]
    """The channels drawn, in order."""

    names: Sequence[str] | None
    """What its channels are called, where they are classes."""

    path: Path


def show(request: Request) -> None:
    """Draw a picture for each layer asked for."""
    layers = _layers(request)
    recognizer = load_recognizer(request)
    # What is drawn is what the reading rests on; a second run would take as long as the first.
    with capturing(torch_engine(recognizer).network, layers) as maps:
        subject = subject_of(request, recognizer)
    for layer in layers:
        _check_channels(layer, len(maps[layer]), request.channels)
    drawn = []
    for layer in layers:
        path = request.path(layer, of_several=len(layers) > 1)
        drawn.append(_draw(request, subject, layer, maps.pop(layer), path))
    _print_layers(drawn)
    if request.top is not None or request.channels is not None:
        _print_channels(drawn)


def _layers(request: Request) -> tuple[str, ...]:
    """Return the layers asked for, each once, after checking what goes with them.

    Raises:
        ConfigError: A layer is unknown.
        click.UsageError: The options do not go together.
    """
    if request.top is not None and request.channels is not None:
        raise click.UsageError("--top and --channels both choose channels; give one of them.")
    return picture_layers(request, LAYERS)


def _check_channels(layer: str, num_channels: int, channels: Sequence[int] | None) -> None:
    """Check that a layer has the channels asked for.

    Raises:
        ConfigError: It has not.
    """
    unknown = [channel for channel in channels or () if channel >= num_channels]
    if unknown:
        noun = "channels" if layer in CONV_LAYERS else "units"
        raise ConfigError(
            f"--channels: {layer} has {num_channels} {noun}, 0 to {num_channels - 1}; "
            f"found {', '.join(map(str, unknown))}"
        )


def _draw(
    request: Request, subject: Subject, layer: str, maps: NDArray[np.float32], path: Path
) -> Drawn:
    """Draw a layer and write the picture."""
    recognizer = subject.recognizer
    names = ["blank", *recognizer.charset.characters] if layer == CLASS_LAYER else None
    grid = draw_grid(
        layer,
        maps,
        subject.picture,
        subject.reading,
        geometry=geometry_of(
            layer, subject.picture.size, subject.engine.network.config, recognizer.preprocess
        ),
        ink=subject.ink,
        row_labels=names,
        scale=request.scale,
        top=request.top,
        channels=request.channels,
    )
    save_picture(grid, path)
    stats = feature_stats(layer, maps)
    shown = choose(stats, top=request.top, channels=request.channels)
    return Drawn(stats, shown.channels, names, path)


def _print_layers(drawn: Sequence[Drawn]) -> None:
    """Print the figures of each layer, and where its picture is."""
    figures = ("channels", "map", "dead", "mean", "max")
    table = new_table("layer", *figures, "picture", right=figures)
    for stats, channels, _, path in drawn:
        num = stats.num_channels
        table.add_row(
            cell(stats.layer),
            cell(num if len(channels) == num else f"{len(channels)} of {num}"),
            cell(" x ".join(map(str, stats.shape[1:]))),
            cell(len(stats.dead)),
            cell(f"{stats.mean.mean():.3g}"),
            cell(f"{stats.maximum.max():.3g}"),
            cell(path),
        )
    print_table(table)


def _print_channels(drawn: Sequence[Drawn]) -> None:
    """Print the figures of each channel that was chosen."""
    figures = ("channel", "strength", "min", "mean", "max", "zeros")
    title = "\nStrength: mean absolute value over the picture"
    table = new_table("layer", *figures, "", right=figures, title=title)
    for stats, channels, names, _ in drawn:
        for channel in channels:
            values = (stats.strength, stats.minimum, stats.mean, stats.maximum)
            table.add_row(
                cell(stats.layer),
                cell(f"{channel}: {names[channel]}" if names else channel),
                *(cell(f"{figure[channel]:.3g}") for figure in values),
                cell(f"{stats.zeros[channel]:.1%}"),
                cell("dead" if channel in stats.dead else ""),
            )
    print_table(table)
