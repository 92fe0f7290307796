"""Which pixels the reading of a picture, or one of its characters, rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from exprocr.errors import ConfigError
from exprocr.viz.canvas.geometry import Geometry, geometry_of
from exprocr.viz.saliency.attribution import (
    GradCam,
    IntegratedGradients,
    Spot,
    Target,
    Text,
    grad_cam,
    integrated_gradients,
)
from exprocr.viz.saliency.cost import cost_of
from exprocr.viz.saliency.maps import SaliencyMap, spread
from exprocr.viz.saliency.page import draw_saliency
from exprocr.viz.subject import Subject

DEFAULT_LAYER = "conv3"
"""The layer of Grad-CAM where none is named: the last with a map over the picture."""


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

    @property
    def score_name(self) -> str:
        """What the score is, in words."""
        prediction = self.subject.prediction
        if self.character is None:
            return "the log-probability of " + ("the text" if prediction.text else "an empty text")
        first, last = prediction.characters[self.character - 1].frames
        where = f"frame {first}" if first == last else f"frames {first} to {last}"
        return f"the log-probability of this character in {where}"

    def geometry(self, layer: str) -> Geometry:
        """Return where the cells of a layer lie in the picture."""
        subject = self.subject
        model, preprocess = subject.engine.network.config, subject.recognizer.preprocess
        return geometry_of(layer, subject.picture.size, model, preprocess)


def explain(
    subject: Subject, layers: Sequence[str] = (DEFAULT_LAYER,), character: int | None = None
) -> Explanation:
    """Compute the maps of a reading, or of one of its characters.

    Args:
        subject: The picture and its reading.
        layers: Convolution modules, for Grad-CAM.
        character: Number of the character, from 1; None is the whole reading.

    Raises:
        ConfigError: The reading has no such character.
        ModelFileError: The network gives what it reads no probability.
    """
    target = _target(subject, character)
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
    """Draw the picture, and below it the maps of a layer."""
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


def _about(found: Explanation) -> str:
    """Return what the maps explain, in words."""
    about = "" if found.subject.prediction.text else "Nothing was read. "
    about += f"The score explained is {found.score_name}: {format_nats(found.score)}"
    if found.integrated is None:
        return f"{about}. Integrated gradients are left out: they would take too long."
    return f"{about} ({format_nats(found.integrated.baselines[0])} of a blank picture)."


def format_nats(value: float) -> str:
    """Write a log-probability: ``-0.0123 nats``, ``-1,234 nats``."""
    return f"{value:,.0f} nats" if abs(value) >= 1000 else f"{value:.3g} nats"
