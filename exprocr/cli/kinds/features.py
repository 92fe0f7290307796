"""Feature maps of one or more layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exprocr.cli.kinds import Request
from exprocr.cli.output import cell, new_table, print_table
from exprocr.core.geometry import LAYERS
from exprocr.viz.features import FeatureStats, draw_grid, feature_stats
from exprocr.viz.geometry import check_layer, geometry_of
from exprocr.viz.picture import save_picture

ALL = "all"
DEFAULT_LAYER = "conv3"


def show(request: Request) -> None:
    """Draw a picture for each layer asked for."""
    layers = LAYERS if ALL in request.layers else request.layers or (DEFAULT_LAYER,)
    for layer in layers:
        check_layer(layer)
    from exprocr.cli.kinds.subject import load_subject
    from exprocr.viz.capture import capture

    subject = load_subject(request)
    recognizer, engine = subject.recognizer, subject.engine
    maps = capture(engine.network, subject.ink, layers, engine.device)
    stats = []
    for layer in layers:
        classes = ["blank", *recognizer.charset.characters] if layer == "fc2" else None
        grid = draw_grid(
            layer,
            maps[layer],
            subject.picture,
            subject.reading,
            geometry=geometry_of(
                layer, subject.picture.size, engine.network.config, recognizer.preprocess
            ),
            ink=subject.ink,
            row_labels=classes,
        )
        path = request.path(layer, of_several=len(layers) > 1)
        save_picture(grid, path)
        stats.append((feature_stats(layer, maps[layer]), path))
    _print(stats)


def _print(stats: list[tuple[FeatureStats, Path]]) -> None:
    columns: Any = ("layer", "channels", "map", "dead", "mean", "max", "picture")
    table = new_table(*columns, right=columns[1:6])
    for stat, path in stats:
        shape = " x ".join(map(str, stat.shape[1:]))
        table.add_row(
            cell(stat.layer),
            cell(stat.num_channels),
            cell(shape),
            cell(len(stat.dead)),
            cell(f"{stat.mean.mean():.3g}"),
            cell(f"{stat.maximum.max():.3g}"),
            cell(path),
        )
    print_table(table)
