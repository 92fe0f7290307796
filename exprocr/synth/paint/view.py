"""How a page is seen in a picture: its place, size, tilt and perspective."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from exprocr.synth.dice import Dice
from exprocr.synth.looks import Placement
from exprocr.synth.widths import natural_width

EDGE_PX = 1.0
"""Free at the upper and the lower edge, at least."""

PAGE_MARGIN_PX = 3

BLUR_PX = 8
"""How far from ink a blur reaches."""


@dataclass(frozen=True)
class View:
    """Which point of the page each pixel of the picture shows."""

    size: tuple[int, int]
    """Width and height of the picture, px."""

    page_size: tuple[int, int]
    """Width and height of the page, px: all that the picture shows."""

    origin: tuple[float, float]
    """Where on the page the upper left corner of the text's box is, px."""

    scale: float
    """Height in the picture of what is 1 px high on the page."""

    coefficients: tuple[float, ...]
    """Pillow's eight for a perspective transform."""

    def new_page(self) -> Image.Image:
        """Return an empty page, mode L."""
        return Image.new("L", self.page_size)

    def project(self, page: Image.Image) -> Image.Image:
        """Return what of a page, mode L, the picture shows."""
        return page.transform(
            self.size, Image.Transform.PERSPECTIVE, self.coefficients, Image.Resampling.BILINEAR
        )

    def project_part(
        self, page: Image.Image, box: tuple[float, float, float, float], at: tuple[int, int]
    ) -> tuple[Image.Image, int]:
        """Return the columns of the picture that show a box of the page, and the first of them.

        Args:
            page: The page, mode L.
            box: Left, top, right and bottom of the box, px.
            at: Where on the page these are counted from.
        """
        a, b, c, d, e, f, p, q = self.coefficients
        inverse = np.linalg.inv([[a, b, c], [d, e, f], [p, q, 1]])
        x, y = (np.array(box)[[i, j]] + at[k] for i, j, k in ((0, 2, 0), (1, 3, 1)))
        corners = inverse @ [np.repeat(x, 2), np.tile(y, 2), np.ones(4)]
        columns = corners[0] / corners[2]
        left = min(max(0, math.floor(columns.min()) - BLUR_PX), self.size[0] - 1)
        right = max(min(self.size[0], math.ceil(columns.max()) + BLUR_PX), left + 1)
        # The same transform, from column ``left`` on.
        unit = 1 + p * left
        moved = [(a, b, c + a * left, d, e, f + d * left, p, q)[i] / unit for i in range(8)]
        part = page.transform(
            (right - left, self.size[1]),
            Image.Transform.PERSPECTIVE,
            moved,
            Image.Resampling.BILINEAR,
        )
        return part, left


def text_height(ranges: Placement, height: int, dice: Dice) -> float:
    """Draw the height of a text, px, in a picture of ``height`` px."""
    return min(dice.between(ranges.height) * height, height - 2 * EDGE_PX)


def place(
    box: tuple[float, float],
    target_px: float,
    ranges: Placement,
    text: str,
    width: int | None,
    height: int,
    dice: Dice,
) -> View:
    """Place a box of text in a picture; all of it is inside.

    A point of the page, relative to the box's center, is stretched, tilted and then divided by ``1
    - p``, where p is linear in the result.

    Args:
        box: Width and height of the text on the page, px.
        target_px: Height of the text in the picture, px; less if a tilted text needs it.
        ranges: What is random about it.
        text: The text.
        width: Width of the picture, px; None follows the text.
        height: Height of the picture, px.
        dice: Draws all that is random.
    """
    down = target_px / box[1]
    across = down * dice.between(ranges.stretch)
    free = max(0.0, height - 2 * EDGE_PX - target_px)
    # A long text cannot be tilted by much.
    steepest = min(math.radians(ranges.tilt_deg), math.atan2(free, box[0] * across))
    angle = dice.around(steepest)
    cos, sin = math.cos(angle), math.sin(angle)
    # Perspective, by px of the picture.
    extent = max(box[0] * across, float(width or 0), 1.0)
    p = 2 * dice.around(ranges.perspective) / extent
    q = 2 * dice.around(ranges.perspective) / height
    corners = []
    for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x, y = u * box[0] / 2 * across, v * box[1] / 2 * down
        x, y = cos * x - sin * y, sin * x + cos * y
        depth = 1 - p * x - q * y
        corners.append((x / depth, y / depth))
    left, right = min(x for x, _ in corners), max(x for x, _ in corners)
    top, bottom = min(y for _, y in corners), max(y for _, y in corners)
    # Margins are mostly small.
    before, after = (
        ranges.margin[0] + (ranges.margin[1] - ranges.margin[0]) * dice.between((0.0, 1.0)) ** 2
        for _ in range(2)
    )
    needed = right - left + (before + after) * height
    picture_width = natural_width(needed, text, height) if width is None else width
    fx = min(1.0, picture_width / needed)
    fy = min(1.0, (height - 2 * EDGE_PX) / (bottom - top))
    spare = picture_width - fx * needed
    center_x = fx * (before * height - left) + dice.between((0.0, max(spare, 0.0)))
    center_y = EDGE_PX - fy * top
    center_y += dice.between((0.0, max(0.0, height - 2 * EDGE_PX - fy * (bottom - top))))
    # The inverse: a pixel (x, y) from the center shows (a x + b y, d x + e y) / (1 + p x + q y).
    a, b = cos / (fx * across), sin / (fy * across)
    d, e = -sin / (fx * down), cos / (fy * down)
    p, q = p / fx, q / fy
    seen = []
    for x in (-center_x, picture_width - center_x):
        for y in (-center_y, height - center_y):
            depth = 1 + p * x + q * y
            seen.append(((a * x + b * y) / depth, (d * x + e * y) / depth))
    page_x = PAGE_MARGIN_PX - min(x for x, _ in seen)
    page_y = PAGE_MARGIN_PX - min(y for _, y in seen)
    page_size = (
        math.ceil(page_x + max(x for x, _ in seen)) + PAGE_MARGIN_PX,
        math.ceil(page_y + max(y for _, y in seen)) + PAGE_MARGIN_PX,
    )
    unit = 1 - p * center_x - q * center_y
    coefficients = (
        (a + page_x * p) / unit,
        (b + page_x * q) / unit,
        page_x - (a * center_x + b * center_y) / unit,
        (d + page_y * p) / unit,
        (e + page_y * q) / unit,
        page_y - (d * center_x + e * center_y) / unit,
        p / unit,
        q / unit,
    )
    origin = (page_x - box[0] / 2, page_y - box[1] / 2)
    return View((picture_width, height), page_size, origin, down * fy, coefficients)
