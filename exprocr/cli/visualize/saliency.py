"""Which pixels a reading, or one of its characters, rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exprocr.cli.output import cell, new_table, print_table, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.layers import DEFAULT_LAYER, picture_layers
from exprocr.core.model.geometry import CONV_LAYERS
from exprocr.errors import ConfigError
from exprocr.viz.canvas.geometry import Geometry, geometry_of
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.saliency.maps import INK, SaliencyMap, spread
from exprocr.viz.saliency.page import draw_saliency

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from exprocr.cli.visualize.subject import Subject
    from exprocr.viz.saliency.attribution import GradCam, IntegratedGradients, Target


@dataclass(frozen=True)
class Explanation:
    """The maps of a picture, by layer."""

    subject: Subject
    character: int | None
    """Number of the character that is explained, from 1; None is the whole reading."""

    cams: dict[str, GradCam]
    integrated: IntegratedGradients | None
    """None where it would take too long."""

    @property
    def score(self) -> float:
        """Log-probability of what is explained, nats."""
        return float(next(iter(self.cams.values())).scores[0])

    def geometry(self, layer: str) -> Geometry:
        """Return where the cells of a layer lie in the picture."""
        subject = self.subject
        model, preprocess = subject.engine.network.config, subject.recognizer.preprocess
        return geometry_of(layer, subject.picture.size, model, preprocess)


def show(request: Request) -> None:
    """Draw a picture for each layer asked for."""
    layers = picture_layers(request, CONV_LAYERS)
    from exprocr.cli.visualize.subject import load_subject

    found = explain(load_subject(request), layers, request.character)
    if found.integrated is None:
        request.session.note("integrated gradients are left out: they would take too long")
    paths = [request.path(layer, of_several=len(layers) > 1) for layer in layers]
    for layer, path in zip(layers, paths, strict=True):
        save_picture(draw_explanation(found, layer), path)
    _print(found, paths)


def explain(
    subject: Subject, layers: Sequence[str] = (DEFAULT_LAYER,), character: int | None = None
) -> Explanation:
    """Compute the maps of a reading, or of one of its characters.

    Args:
        subject: The picture and its reading.
        layers: Convolution modules, for Grad-CAM.
        character: Number of the character, from 1.

    Raises:
        ConfigError: The reading has no such character.
        ModelFileError: The network gives what it reads no probability.
    """
    target = _target(subject, character)
    from exprocr.viz.saliency.attribution import grad_cam, integrated_gradients
    from exprocr.viz.saliency.cost import cost_of

    network, device, inks = subject.engine.network, subject.engine.device, subject.ink[None]
    cost = cost_of(network, *subject.ink.shape)
    cams = {layer: grad_cam(network, inks, [target], layer, device) for layer in layers}
    integrated = None
    if cost.gradients:
        integrated = integrated_gradients(
            network, inks, [target], device, max_gradients=cost.gradients, batch_size=cost.batch
        )
    return Explanation(subject, character, cams, integrated)


def _target(subject: Subject, number: int | None) -> Target:
    """Return what is explained."""
    from exprocr.viz.saliency.attribution import Spot, Text

    prediction, charset = subject.prediction, subject.recognizer.charset
    if number is None:
        return Text(tuple(charset.encode(prediction.text)))
    characters = prediction.characters
    if number > len(characters):
        has = f"1 to {len(characters)}" if characters else "none, as nothing was read"
        raise ConfigError(
            f"--character: expected the number of a character of the reading {prediction.text!r}, "
            f"{has}; found {number}"
        )
    character = characters[number - 1]
    (label,) = charset.encode(character.text)
    return Spot(label, *character.frames)


def maps_of(found: Explanation, layer: str) -> list[SaliencyMap]:
    """Return the maps to draw of a layer, over the network's input."""
    geometry, cam = found.geometry(layer), found.cams[layer]
    maps = [
        SaliencyMap(
            f"Grad-CAM of {layer}",
            "As published: each channel has one weight for the whole picture.",
            spread(cam.maps[0], geometry),
        ),
        SaliencyMap(
            f"Grad-CAM of {layer}, by column",
            "Each channel has a weight for each column, as columns are read.",
            spread(cam.maps_by_column[0], geometry),
        ),
    ]
    if found.integrated is not None:
        about = "What a pixel adds to the score; dots: what it takes away. 1% are beyond the scale."
        values = found.integrated.maps[0]
        maps.append(SaliencyMap("Integrated gradients", about, values, True, "nats"))
    return maps


def draw_explanation(found: Explanation, layer: str = DEFAULT_LAYER) -> Image.Image:
    """Draw the maps of a layer."""
    subject = found.subject
    return draw_saliency(
        subject.picture,
        subject.ink,
        subject.prediction,
        subject.reading,
        maps_of(found, layer),
        found.geometry(layer),
        about=_about(found),
        number=found.character,
    )


def _what(found: Explanation) -> str:
    """Name the score."""
    prediction = found.subject.prediction
    if found.character is None:
        return "the log-probability of " + ("the text" if prediction.text else "an empty text")
    first, last = prediction.characters[found.character - 1].frames
    where = f"frame {first}" if first == last else f"frames {first} to {last}"
    return f"the log-probability of this character in {where}"


def _about(found: Explanation) -> str:
    """Say what the maps explain."""
    about = "" if found.subject.prediction.text else "Nothing was read. "
    about += f"The score explained is {_what(found)}: {_nats(found.score)}"
    if found.integrated is None:
        return f"{about}. Integrated gradients are left out: they would take too long."
    return f"{about} ({_nats(found.integrated.baselines[0])} of a blank picture)."


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
    summary: list[tuple[str, object]] = [("score", f"{_nats(found.score)}, {_what(found)}")]
    if (integrated := found.integrated) is not None:
        (baseline,), (score,), (gap,) = integrated.baselines, integrated.scores, integrated.gaps
        share = f" ({gap / abs(score - baseline):.2%})" if abs(score - baseline) > 0.01 else ""
        summary += [
            ("score of a blank picture", _nats(baseline)),
            ("missing in the integrated gradients", f"{_nats(gap)}{share}"),
            ("gradients taken", f"{integrated.num_gradients[0]}"),
        ]
    summary += [("picture", path) for path in paths]
    print_table(summary_table(summary, title="\nSaliency"))


def _nats(value: float) -> str:
    return f"{value:,.0f} nats" if abs(value) >= 1000 else f"{value:.3g} nats"


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
    """Say where in the picture a map is greatest."""
    if not one.limit:
        return "-"
    geometry, picture = found.geometry(layer), found.subject.picture
    column, row = one.peak()
    x = (column + 0.5) * _scale(found, layer)
    y = (row + 0.5) * picture.height / geometry.height
    return f"{min(int(x), picture.width - 1)}, {int(y)}"
