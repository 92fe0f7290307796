"""Rotating and warping one glyph, as the ``captcha`` package does.

A glyph's ink is rotated and stretched to a box. Then the box is widened, and the content of a
random quadrilateral in it becomes the glyph.

`distort_in_steps` does this in several steps at the glyph's final size, as the package does. This
makes strokes heavy and jagged: color and opacity are resampled together, and then the color alone
is the mask. Pillow weights colors by their opacity when it resamples, so each pixel that a stroke
touches gets the stroke's full color, and each step widens the stroke by up to one pixel. A ``+``
becomes as heavy as a ``*``.

`distort_at_once` resamples a larger drawing once, smoothly. Rotation and scaling are affine, and
Pillow's QUAD transform is bilinear in its corners, so their composition is also a QUAD transform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

Pair = tuple[float, float]


@dataclass(frozen=True)
class Warp:
    """Ranges of a warp: corners are shifted, either way, by up to a value drawn from a range."""

    across: Pair
    """Lowest and highest value, as shares of the box's width."""

    down: Pair
    """Lowest and highest value, as shares of its height."""

    whole: bool = False
    """Whether shifts are truncated to whole px."""


CONTEST_WARP = Warp((0.1, 0.3), (0.2, 0.3))
"""The ranges of version 0.2 of the ``captcha`` package, whose style the contest's images have. That
version also truncates shifts to whole px; here neither shifts nor sizes are truncated."""

PACKAGE_WARP = Warp((0.0, 0.2), (0.0, 0.1), whole=True)
"""The ranges of version 0.7. Its code has the same numbers, but multiplies only a range's extent by
the box, so that the lowest values are tenths of a px."""


@dataclass(frozen=True)
class Distortion:
    """A distortion of a glyph; lengths in px of the result."""

    angle_deg: float
    """Rotation, counterclockwise."""

    box: Pair | None
    """Width and height to which the rotated ink is stretched; None for no stretching."""

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
        """Draw a random distortion; it includes a warp only if there is a box."""
        # One call, and no arrays: faster for seven numbers.
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
    """Return the corners NW, SW, SE, NE in the widened box, and the box's size."""
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
    """Scale, rotate, stretch and warp a glyph, with a resampling in each step.

    Args:
        ink: A glyph, cropped, mode L.
        scale: Size of the result divided by the size of the drawn glyph.
        distortion: The distortion.
        solid: Whether every pixel that the glyph touches begins with the full color, as Pillow
            draws today; otherwise the color fades at the edges, as in 2017.

    Returns:
        Coverage, mode L.
    """
    size = _whole((ink.width * scale, ink.height * scale))
    glyph = ink if size == ink.size else ink.resize(size, Image.Resampling.BILINEAR)
    # Pillow resamples color times opacity. A color that is full wherever the opacity is not zero
    # stays so; then the opacity alone is enough.
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
    # The sum, times 255 and clipped at 255: every opacity above zero becomes the full color.
    return (
        ImageChops.add(glyph, glyph, scale=1 / 255)
        if solid
        else glyph.convert("LA").getchannel("L")
    )


def distort_at_once(
    ink: Image.Image, scale: float, distortion: Distortion, resampling: Image.Resampling
) -> Image.Image:
    """Scale, rotate, stretch and warp a glyph in one QUAD transform.

    Args:
        ink: A glyph, cropped, mode L.
        scale: Size of the result divided by the size of the drawn glyph.
        distortion: The distortion.
        resampling: The resampling method.

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
