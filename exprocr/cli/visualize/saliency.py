"""Which pixels a reading, or one of its characters, rests on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprocr.cli.output import cell, new_table, print_table, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.layers import picture_layers
from exprocr.cli.visualize.subject import load_recognizer, subject_of
from exprocr.core.model.geometry import CONV_LAYERS
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.saliency.explanation import (
    Explanation,
    draw_explanation,
    explain,
    format_nats,
    maps_of,
)
from exprocr.viz.saliency.maps import INK, SaliencyMap


def show(request: Request) -> None:
    """Draw a picture for each layer asked for."""
    layers = picture_layers(request, CONV_LAYERS)
    subject = subject_of(request, load_recognizer(request))
    found = explain(subject, layers, request.character)
    if found.integrated is None:
        request.session.note("integrated gradients are left out: they would take too long")
    paths = [request.path(layer, of_several=len(layers) > 1) for layer in layers]
    for layer, path in zip(layers, paths, strict=True):
        save_picture(draw_explanation(found, layer), path)
    _print(found, paths)


def _print(found: Explanation, paths: Sequence[Path]) -> None:
    """Print the figures of the maps, and where the pictures are."""
    right = ("on ink", *(("in its box",) if found.character else ()), "peak")
    table = new_table("map", *right, right=right)
    drawn = {one.name: (one, layer) for layer in found.cams for one in maps_of(found, layer)}
    for one, layer in sorted(drawn.values(), key=lambda pair: pair[0].is_signed):
        table.add_row(
            cell(one.name),
            cell(_percent(one.share(found.subject.ink >= INK))),
            *([cell(_percent(one.share(_in_box(found, layer))))] if found.character else []),
            cell(_peak(found, one, layer)),
        )
    print_table(table)
    summary: list[tuple[str, object]] = [
        ("score", f"{format_nats(found.score)}, {found.score_name}")
    ]
    if (integrated := found.integrated) is not None:
        (baseline,), (total,), (gap,) = integrated.baselines, integrated.scores, integrated.gaps
        share = f" ({gap / abs(total - baseline):.2%})" if abs(total - baseline) > 0.01 else ""
        summary += [
            ("score of a blank picture", format_nats(baseline)),
            ("missing in the integrated gradients", f"{format_nats(gap)}{share}"),
            ("gradients taken", f"{integrated.num_gradients[0]}"),
        ]
    summary += [("picture", path) for path in paths]
    print_table(summary_table(summary, title="\nSaliency"))


def _percent(share: float) -> str:
    return f"{share:.1%}" if share == share else "-"


def _scale(found: Explanation, layer: str) -> float:
    """Return the columns of the picture a column of the network's input."""
    return found.subject.picture.width / found.geometry(layer).picture_width


def _in_box(found: Explanation, layer: str) -> NDArray[np.bool_]:
    """Return which pixels of the network's input lie in the character's box."""
    assert found.character is not None
    box = found.subject.prediction.characters[found.character - 1].box
    columns = (np.arange(found.subject.ink.shape[1]) + 0.5) * _scale(found, layer)
    inside = (columns >= box[0]) & (columns < box[2])
    return np.broadcast_to(inside, found.subject.ink.shape)


def _peak(found: Explanation, one: SaliencyMap, layer: str) -> str:
    """Return where in the picture a map is greatest: column and row, px."""
    if not one.limit:
        return "-"
    geometry, picture = found.geometry(layer), found.subject.picture
    column, row = one.peak()
    x = (column + 0.5) * _scale(found, layer)
    y = (row + 0.5) * picture.height / geometry.height
    return f"{min(int(x), picture.width - 1)}, {int(y)}"
