"""Turning and warping one glyph, as the ``captcha`` package does.

A glyph's ink is rotated, stretched to a box, and what a random quadrilateral holds of the widened
box becomes the glyph.

`distort_in_steps` does one after the other at the glyph's final size, as the package does, and so
inherits what makes its strokes heavy and jagged: it resamples colour and opacity together, then
uses the colour alone as the mask. Pillow weights colours by their opacity when it resamples, so a
pixel that a stroke touches at all takes the stroke's full colour, and each step widens the stroke
by up to a pixel. A ``+`` becomes as heavy as a ``*`` that way.

`distort_at_once` samples a larger drawing once, smoothly: rotation and scaling are affine and
Pillow's QUAD transform is bilinear in its corners, so their composition is a QUAD too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TURN_ONLY = np.zeros(2)


@dataclass(frozen=True)
class Distortion:
    """How a glyph is distorted; lengths in px of the result."""

    angle_deg: float
    """Rotation, counterclockwise."""

    box: tuple[float, float] | None
    """Width and height the rotated ink is stretched to; None leaves it as it is."""

    dx: NDArray[np.float64]
    """Horizontal shifts (left, right) of the quadrilateral's corners, float64 (2,)."""

    dy: NDArray[np.float64]
    """Vertical shifts (top, bottom) of the quadrilateral's corners, float64 (2,)."""

    @classmethod
    def random(
        cls, box: tuple[float, float] | None, max_angle_deg: float, rng: np.random.Generator
    ) -> Distortion:
        """Draw a distortion: the package's ranges, and warped only if stretched to a box."""
        angle = rng.uniform(-1, 1) * max_angle_deg
        if box is None:
            return cls(angle, None, TURN_ONLY, TURN_ONLY)
        dx = box[0] * rng.uniform(0.1, 0.3) * rng.uniform(-1, 1, size=2)
        dy = box[1] * rng.uniform(0.2, 0.3) * rng.uniform(-1, 1, size=2)
        return cls(angle, box, dx, dy)


def _quadrilateral(
    box: tuple[float, float], dx: NDArray[np.float64], dy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return the corners NW, SW, SE, NE, float64 (4, 2), in the widened box, and its size."""
    width, height = box[0] + float(np.abs(dx).sum()), box[1] + float(np.abs(dy).sum())
    corners = [
        (dx[0], dy[0]),
        (-dx[0], height - dy[1]),
        (width + dx[1], height + dy[1]),
        (width - dx[1], -dy[0]),
    ]
    return np.array(corners), (width, height)


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
        solid: Start from the full colour in every pixel that the glyph touches, as Pillow draws
            today; otherwise from a colour that fades at the edges, as it did in 2017.

    Returns:
        Coverage, mode L.
    """
    native = ink.resize(_whole((ink.width * scale, ink.height * scale)), Image.Resampling.BILINEAR)
    colour = native.point(lambda value: 255 if value else 0) if solid else native
    coloured = Image.merge("LA", (colour, native))
    turned = coloured.rotate(distortion.angle_deg, Image.Resampling.BILINEAR, expand=True)
    if distortion.box is None:
        return turned.getchannel("L")
    corners, widened = _quadrilateral(distortion.box, distortion.dx, distortion.dy)
    stretched = turned.resize(_whole(widened), Image.Resampling.BICUBIC).getchannel("L")
    return stretched.transform(
        _whole(distortion.box),
        Image.Transform.QUAD,
        corners.ravel().tolist(),
        Image.Resampling.NEAREST,
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
    turned = np.array(
        (
            ink.width * abs(cos) + ink.height * abs(sin),
            ink.width * abs(sin) + ink.height * abs(cos),
        )
    )
    box = distortion.box or (turned[0] * scale, turned[1] * scale)
    corners, widened = _quadrilateral(box, distortion.dx, distortion.dy)
    # Widened box -> rotated ink, centred -> ink.
    centred = corners * (turned / widened) - turned / 2
    source = centred @ np.array([(cos, sin), (-sin, cos)]) + (ink.width / 2, ink.height / 2)
    return ink.transform(_whole(box), Image.Transform.QUAD, source.ravel().tolist(), resampling)
