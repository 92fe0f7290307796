"""Turning and warping one glyph, as the ``captcha`` package does.

A glyph's ink is rotated, stretched to a box, and what a random quadrilateral holds of the widened
box becomes the glyph.

`distort_in_steps` does one after the other at the glyph's final size, as the package does, and so
inherits what makes its strokes heavy and jagged: it resamples color and opacity together, then
uses the color alone as the mask. Pillow weights colors by their opacity when it resamples, so a
pixel that a stroke touches at all takes the stroke's full color, and each step widens the stroke
by up to a pixel. A ``+`` becomes as heavy as a ``*`` that way.

`distort_at_once` samples a larger drawing once, smoothly: rotation and scaling are affine and
Pillow's QUAD transform is bilinear in its corners, so their composition is a QUAD too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

Pair = tuple[float, float]


@dataclass(frozen=True)
class Warp:
    """Ranges of a warp: a corner is shifted by up to a value drawn from them, either way."""

    across: Pair
    """Least and most, as shares of the box's width."""

    down: Pair
    """Least and most, as shares of its height."""

    whole: bool = False
    """Whether shifts are cut to whole px."""


CONTEST_WARP = Warp((0.1, 0.3), (0.2, 0.3))
"""The ranges of version 0.2 of the ``captcha`` package, with or after which the contest's images
were made. It cuts shifts to whole px as well; here they are free, as the sizes are."""

PACKAGE_WARP = Warp((0.0, 0.2), (0.0, 0.1), whole=True)
"""That of version 0.7, which names the same ranges but multiplies only their extent by the box: the
lower ends are tenths of a px."""


@dataclass(frozen=True)
class Distortion:
    """How a glyph is distorted; lengths in px of the result."""

    angle_deg: float
    """Rotation, counterclockwise."""

    box: Pair | None
    """Width and height the rotated ink is stretched to; None leaves it as it is."""

    dx: Pair = (0.0, 0.0)
    """Horizontal shifts of the quadrilateral's left and right corners."""

    dy: Pair = (0.0, 0.0)
    """Vertical shifts of the quadrilateral's top and bottom corners."""

    @classmethod
    def random(
        cls,
        box: Pair | None,
        max_angle_deg: float,
        rng: np.random.Generator,
        warp: Warp = CONTEST_WARP,
    ) -> Distortion:
        """Draw a distortion; a glyph is warped only if stretched to a box."""
        # All at once, and not as arrays: a glyph has but seven numbers.
        turn, *shares = rng.random(7).tolist()
        angle = (2 * turn - 1) * max_angle_deg
        if box is None:
            return cls(angle, None)
        across, left, right, down, top, bottom = shares
        dx = box[0] * (warp.across[0] + (warp.across[1] - warp.across[0]) * across)
        dy = box[1] * (warp.down[0] + (warp.down[1] - warp.down[0]) * down)
        shifts = (
            dx * (2 * left - 1),
            dx * (2 * right - 1),
            dy * (2 * top - 1),
            dy * (2 * bottom - 1),
        )
        if warp.whole:
            shifts = tuple(map(math.trunc, shifts))
        return cls(angle, box, shifts[:2], shifts[2:])


def _quadrilateral(box: Pair, dx: Pair, dy: Pair) -> tuple[list[Pair], Pair]:
    """Return the corners NW, SW, SE, NE in the widened box, and its size."""
    width, height = box[0] + abs(dx[0]) + abs(dx[1]), box[1] + abs(dy[0]) + abs(dy[1])
    corners = [
        (dx[0], dy[0]),
        (-dx[0], height - dy[1]),
        (width + dx[1], height + dy[1]),
        (width - dx[1], -dy[0]),
    ]
    return corners, (width, height)


def _whole(size: tuple[float, float]) -> tuple[int, int]:
    return max(1, round(size[0])), max(1, round(size[1]))


def distort_in_steps(
    ink: Image.Image, scale: float, distortion: Distortion, *, solid: bool
) -> Image.Image:
    """Scale, rotate, stretch and warp, each with a resampling of its own.

    Args:
        ink: A glyph, cropped, mode L.
        scale: Size of the result over the size the glyph is drawn at.
        distortion: What to do.
        solid: Start from the full color in every pixel that the glyph touches, as Pillow draws
            today; otherwise from a color that fades at the edges, as it did in 2017.

    Returns:
        Coverage, mode L.
    """
    size = _whole((ink.width * scale, ink.height * scale))
    glyph = ink if size == ink.size else ink.resize(size, Image.Resampling.BILINEAR)
    # Color times opacity is what Pillow resamples. Where the color is full wherever there is any
    # opacity it stays so, and the opacity alone tells all.
    if not solid:
        glyph = Image.merge("LA", (glyph, glyph)).convert("La")
    glyph = glyph.rotate(distortion.angle_deg, Image.Resampling.BILINEAR, expand=True)
    if distortion.box is not None:
        corners, widened = _quadrilateral(distortion.box, distortion.dx, distortion.dy)
        glyph = glyph.resize(_whole(widened), Image.Resampling.BICUBIC).transform(
            _whole(distortion.box),
            Image.Transform.QUAD,
            [coordinate for corner in corners for coordinate in corner],
            Image.Resampling.NEAREST,
        )
    # The sum of two, times 255 and clipped at 255: any opacity becomes the full color.
    return (
        ImageChops.add(glyph, glyph, scale=1 / 255)
        if solid
        else glyph.convert("LA").getchannel("L")
    )


def distort_at_once(
    ink: Image.Image, scale: float, distortion: Distortion, resampling: Image.Resampling
) -> Image.Image:
    """Do the same in one QUAD transform of the larger drawing.

    Args:
        ink: A glyph, cropped, mode L.
        scale: Size of the result over the size the glyph is drawn at.
        distortion: What to do.
        resampling: How to sample the drawing.

    Returns:
        Coverage, mode L.
    """
    angle = math.radians(distortion.angle_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    turned = (
        ink.width * abs(cos) + ink.height * abs(sin),
        ink.width * abs(sin) + ink.height * abs(cos),
    )
    box = distortion.box or (turned[0] * scale, turned[1] * scale)
    corners, widened = _quadrilateral(box, distortion.dx, distortion.dy)
    source: list[float] = []
    for corner_x, corner_y in corners:  # widened box -> rotated ink, centered -> ink
        x = (corner_x / widened[0] - 0.5) * turned[0]
        y = (corner_y / widened[1] - 0.5) * turned[1]
        source += [cos * x - sin * y + ink.width / 2, sin * x + cos * y + ink.height / 2]
    return ink.transform(_whole(box), Image.Transform.QUAD, source, resampling)
