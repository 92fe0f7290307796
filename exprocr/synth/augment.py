"""Augmentation: small random distortions of labeled pictures, new ones in every epoch.

A picture is what preprocessing made of a file. It is moved and bent. Of half of the pictures, a
gray picture is made, which gets the light, the blur, the noise and the losses of rendered pictures.
It is preprocessed again. So the network sees what it would see if the file had been distorted:
nearly nothing of another brightness or of inverse colors, and of a shadow only what the flat field
leaves.

The text stays inside and, mostly, readable. The picture keeps its size, so its label still fits
into its frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.image.preprocess import GRAY_LEVEL, to_ink
from exprocr.synth.dice import Dice, Range
from exprocr.synth.looks import Light
from exprocr.synth.paint import light

TEXT_INK = 64
"""Least ink of text, 0..255. Noise and dirt count as text if they are as strong: they stay."""

LEVELS_OF_INK = 4.0
"""`stretch_contrast` changes from linear to logarithmic at a fourth of the ink's level."""

STEEPEST_STRETCH = math.asinh(1 / (4 * GRAY_LEVEL))
"""Its strongest stretch, that of a picture in which less than a twentieth is ink."""


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """How far pictures are distorted; lengths by the picture's height."""

    zoom: float
    """The text is larger or smaller by up to this share."""

    aspect: float
    """It is wider or narrower by up to this share."""

    shift: float
    """It is moved by up to this, as far as there is room."""

    tilt_deg: float
    rise: float
    """Most degrees that it is tilted by, and most that its ends rise: a long text is tilted by
    less."""

    shear: float
    """How far the upper end is to the side, by the height."""

    bend: float
    """How far neighboring parts, half a height wide, are moved against each other."""

    light_share: float
    """Share of the pictures that get patches and other light; it costs most of the time."""

    patches: int
    patch: Range
    """Most patches, and their sides."""

    fading: Range
    """What is left of the ink in a patch; never nothing, because a patch can hide a whole point."""

    light: Light
    """What happens to the gray picture."""


def ranges_of(strength: float) -> Ranges:
    """Return the ranges of a strength, 0..1."""
    return Ranges(
        zoom=0.2 * strength,
        aspect=0.15 * strength,
        shift=0.3 * strength,
        tilt_deg=4.0 * strength,
        rise=0.2 * strength,
        shear=0.2 * strength,
        bend=0.05 * strength,
        light_share=0.5,
        patches=2,
        patch=(0.05, 0.05 + 0.35 * strength),
        fading=(1 - 0.75 * strength, 1.0),
        light=Light(
            ground=(1 - 0.5 * strength, 1.0),
            gradient=(0.0, 0.3 * strength),
            clouds=(0.0, 0.1 * strength),
            shadow=(0.0, 0.4 * strength),
            shadow_share=0.3,
            contrast=(1 - 0.7 * strength, 1.0),
            low_contrast_share=0.0,
            noise=(0.0, 0.08 * strength),
            noise_share=0.6,
            blur=(0.0, 0.04 * strength),
            resolution_px=(36.0 - 24.0 * strength, 36.0),
            resolution_share=0.3,
            jpeg_quality=(95.0 - 75.0 * strength, 95.0),
            jpeg_share=0.4,
            inverse_share=0.5,
        ),
    )


class Augmenter:
    """Distorts preprocessed pictures.

    Args:
        strength: How much, 0..1; 0 leaves all as they are.
        unchanged_share: Share of the pictures that stay as they are.
        flat_field: Whether the network's preprocessing has a flat-field correction.
    """

    def __init__(
        self, strength: float, *, unchanged_share: float = 0.0, flat_field: bool = True
    ) -> None:
        self.strength = strength
        self.ranges = ranges_of(strength)
        self.unchanged_share = unchanged_share if strength else 1.0
        self.flat_field = flat_field

    def __call__(self, ink: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return a distorted picture of the same size.

        Args:
            ink: uint8 (H, W), 0 background .. 255 ink, as `preprocess` returns it.
            rng: Draws all that is random.
        """
        dice, ranges = Dice(rng), self.ranges
        if dice.happens(self.unchanged_share) or not (box := text_box(ink)):
            return ink
        if not dice.happens(ranges.light_share):
            return np.asarray(_moved(Image.fromarray(ink), box, ranges, dice))
        text_px = float(box[3] - box[1])
        deviation, level_of_text = unstretched(ink)
        # The strongest ink may be dirt, and noise that is weak beside it could still hide the text.
        low, high = ranges.light.noise
        effects = replace(ranges.light, noise=(low * level_of_text, high * level_of_text))
        page = _moved(Image.fromarray(deviation), box, ranges, dice)
        page = light.blur(page, light.draw_blur(effects, text_px, dice))
        _fade(page, ranges, dice)
        level = light.ground(page.size, effects, dice)
        contrast = light.draw_contrast(effects, dice)
        seen = light.exposed(page, level, effects, contrast, dice)
        seen = light.degraded(seen, effects, text_px, dice)
        gray = np.asarray(seen, dtype=np.float32) * np.float32(GRAY_LEVEL)
        return np.rint(to_ink(gray, flat_field=self.flat_field) * 255).astype(np.uint8)


def text_box(ink: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of the text, px; None where there is no ink.

    Args:
        ink: uint8 (H, W), 0 background .. 255 ink.
    """
    return Image.fromarray((ink >= TEXT_INK).view(np.uint8)).getbbox()


def unstretched(ink: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Return the deviation from the background that `stretch_contrast` had made ink of.

    Ink is ``asinh(x / s) / asinh(1 / s)`` where x is the deviation, and s, the softening, is a
    fourth of the deviation that a twentieth of the picture exceeds. With k = asinh(1 / s), and q
    for the ink there, this is ``sinh(k q) = 4``.

    Args:
        ink: uint8 (H, W), 0 background .. 255 ink.

    Returns:
        uint8 (H, W), 0 background .. 255, from which `stretch_contrast` makes the ink again; and
        the deviation, 0..1, that a twentieth of the picture exceeds, four softenings at least.
    """
    num_below = np.bincount(ink.ravel()).cumsum()
    q = np.searchsorted(num_below, 0.95 * ink.size) / 255
    k = STEEPEST_STRETCH
    if q * k > math.asinh(LEVELS_OF_INK):
        k = math.asinh(LEVELS_OF_INK) / q
    table = np.sinh(k * np.arange(256) / 255) / math.sinh(k)
    return np.rint(255 * table).astype(np.uint8)[ink], min(1.0, LEVELS_OF_INK / math.sinh(k))


def _moved(
    page: Image.Image, box: tuple[int, int, int, int], ranges: Ranges, dice: Dice
) -> Image.Image:
    """Return a picture, mode L, whose text is elsewhere, of another size and shape, and inside.

    The result is cut into cells, half as wide as high. Each shows a quadrilateral of the picture;
    neighbors share two corners.
    """
    (width, height), (left, top, right, bottom) = page.size, box
    zoom, aspect = 1 + dice.around(ranges.zoom), 1 + dice.around(ranges.aspect)
    steepest = min(math.radians(ranges.tilt_deg), ranges.rise * height / (right - left))
    angle, shear = dice.around(steepest), dice.around(ranges.shear)
    cos, sin = math.cos(angle), math.sin(angle)
    # From a point of the text's box to one of the result, both from the middle of the box.
    turn = np.array([[cos, -sin], [sin, cos]]) @ [[zoom * aspect, shear * zoom], [0, zoom]]
    extent = np.abs(turn) @ (right - left, bottom - top)
    fit = np.minimum(1, (width, height) / extent)
    turn, extent = turn * fit[:, None], extent * fit
    middle = np.array(((left + right) / 2, (top + bottom) / 2))
    shift = np.array((dice.around(ranges.shift), dice.around(ranges.shift))) * height
    place = np.clip(middle + shift, extent / 2, (width, height) - extent / 2)
    edges = np.linspace(0, width, math.ceil(2 * width / height) + 1).round()
    edges = np.unique(edges)  # a picture may have fewer columns than cells are wanted
    corners = np.stack(np.broadcast_arrays(edges[:, None], (0, height)), axis=-1)
    shown = (corners - place) @ np.linalg.inv(turn).T + middle
    shown += ranges.bend * height * dice.many(shown.shape)
    # Of each cell: its box, and the upper left, lower left, lower right, upper right corner.
    quads = np.concatenate((shown[:-1], shown[1:, ::-1]), axis=1).reshape(-1, 8).tolist()
    boxes = [(int(x), 0, int(end), height) for x, end in pairwise(edges)]
    cells = list(zip(boxes, quads, strict=True))
    return page.transform(page.size, Image.Transform.MESH, cells, Image.Resampling.BILINEAR)


def _fade(page: Image.Image, ranges: Ranges, dice: Dice) -> None:
    """Make the ink of a picture, mode L, paler in some patches."""
    for _ in range(dice.number(ranges.patches + 1)):
        width, height = (round(dice.between(ranges.patch) * page.height) for _ in range(2))
        x, y = (dice.number(side) for side in page.size)
        veil = Image.new("L", (width, height), round(255 * (1 - dice.between(ranges.fading))))
        page.paste(0, (x, y), veil)
