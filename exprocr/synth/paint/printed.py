"""A line of print on paper: the looks `exprocr.synth.looks.Print` and, in part, `Hand`."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from exprocr.synth.dice import Dice
from exprocr.synth.looks import PRINT, Print
from exprocr.synth.paint import light
from exprocr.synth.paint.line import CAP_HEIGHT, Line, master_size, typeset
from exprocr.synth.paint.view import PAGE_MARGIN_PX, View, place, text_height
from exprocr.synth.typefaces import Typefaces

LEAST_INK = 0.55
"""Opacity of worn ink, at least."""


class PrintPainter:
    """Draws texts as print on paper.

    Args:
        typefaces: Usable fonts.
        height: Height of the pictures, px.
        ranges: The ranges of the look.
    """

    def __init__(self, typefaces: Typefaces, height: int, ranges: Print = PRINT) -> None:
        self.typefaces = typefaces
        self.height = height
        self.ranges = ranges

    def paint(self, text: str, width: int | None, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text``: RGB.

        Args:
            text: The text.
            width: Width of the picture, px; None follows the text.
            rng: Draws all that is random.
        """
        dice, ranges = Dice(rng), self.ranges
        target = text_height(ranges.placement, self.height, dice)
        size = master_size(target / CAP_HEIGHT)
        fonts = self.typefaces.draw(text, rng)
        line = typeset(text, fonts, size, ranges.typesetting, dice)
        left, top, right, bottom = line.box(-CAP_HEIGHT * size)
        box = (right - left, bottom - top)
        view = place(box, target, ranges.placement, text, width, self.height, dice)
        page = view.new_page()
        at = (round(view.origin[0]) - left, round(view.origin[1]) - top)
        line.draw(page, *at)
        decorate(page, line, at, size, view, ranges, dice)
        ink = worn(view.project(page), ranges, dice)
        sigma = light.draw_blur(ranges.light, target, dice)
        ink = light.blur(ink, sigma)
        contrast = light.draw_contrast(ranges.light, dice)
        level = light.ground(view.size, ranges.light, dice)
        gray = light.exposed(ink, level, ranges.light, contrast, dice)
        gray = light.degraded(gray, ranges.light, target, dice, keep_size=sigma > 0)
        return light.colored(gray, ink_color(dice), paper_color(ranges, dice))


def paper_color(ranges: Print, dice: Dice) -> light.Color:
    """Draw the color of white paper, RGB, 0..255."""
    loss = ranges.paper_tint * dice.between((0.0, 1.0)) ** 2
    red, green, blue = (255 * (1 - loss * dice.between((0.0, 1.0))) for _ in range(3))
    return (red, green, blue * (1 - loss * dice.number(2)))


def ink_color(dice: Dice) -> light.Color:
    """Draw the color of black ink in the darkest place, RGB, 0..255."""
    return (dice.between((0, 12)), dice.between((0, 12)), dice.between((0, 16)))


def worn(ink: Image.Image, ranges: Print, dice: Dice) -> Image.Image:
    """Return ink, mode L, uneven in some of the pictures."""
    if not dice.happens(ranges.worn_share):
        return ink
    share = 0.85 + 0.2 * light.part_of(2 - dice.number(2), ink.size, dice)
    worn_ink = np.asarray(ink, dtype=np.float32) * np.clip(share, LEAST_INK, 1)
    return Image.fromarray(worn_ink.astype(np.uint8))


def decorate(
    page: Image.Image,
    line: Line,
    at: tuple[int, int],
    size: int,
    view: View,
    ranges: Print,
    dice: Dice,
) -> None:
    """Draw what else is on the paper: boxes, lines, and pieces of the line's neighbors.

    Args:
        page: The page, mode L, with the line.
        line: The line.
        at: Where its origin is on the page.
        size: The text's size, px per em.
        view: How the page is seen.
        ranges: What is drawn how often.
        dice: Draws it.
    """
    draw = ImageDraw.Draw(page)
    thickness = max(1, round(dice.between(ranges.rule_px) / view.scale))
    left, top, right, bottom = line.box(-CAP_HEIGHT * size)
    strength = 90 + dice.number(166)
    if dice.happens(ranges.box_share):
        start, end = _part(line, (left, right), dice)
        pad = dice.between((0.08, 0.4)) * size
        across = dice.between((0.1, 0.3)) * size
        corners = (start - across, top - pad, end + across, bottom + pad)
        moved = [value + at[i % 2] for i, value in enumerate(corners)]
        draw.rectangle(moved, outline=strength, width=thickness)
    if dice.happens(ranges.underline_share):
        start, end = _part(line, (left, right), dice)
        y = at[1] + bottom + dice.between((0.05, 0.3)) * size
        draw.line((start + at[0], y, end + at[0], y), fill=strength, width=thickness)
    if dice.happens(ranges.ruled_share):
        distance = dice.between((1.1, 2.0)) * size
        y = at[1] + dice.between((0.0, 0.45)) * size
        while y > 0:
            y -= distance
        while y < page.height:
            draw.line((0, y, page.width, y), fill=strength // 2, width=thickness)
            y += distance
    if dice.happens(ranges.neighbor_share):
        _add_neighbor(page, line, at[1] + top, at[1] + bottom, size, dice)


def _part(line: Line, ends: tuple[int, int], dice: Dice) -> tuple[float, float]:
    """Return where a part of a line, in half of the cases all of it, begins and ends."""
    if dice.happens(0.5) or not line.spans:
        return ends
    first = dice.number(len(line.spans))
    last = first + dice.number(len(line.spans) - first)
    return line.spans[first][0], line.spans[last][1]


def _add_neighbor(
    page: Image.Image, line: Line, top: int, bottom: int, size: int, dice: Dice
) -> None:
    """Draw the ends of some of the line's own inks above or below it, without touching it."""
    above = dice.happens(0.5)
    room = (top if above else page.height - bottom) - PAGE_MARGIN_PX - 0.12 * size
    depth = min(dice.between((0.05, 0.4)) * size, room)
    if depth < 1 or not line.inks:
        return
    x = dice.around(0.5) * page.width
    # The line's own inks from the baseline up; of a line below, tall ones reach into the picture.
    inks = [(ink, y) for ink, _, y in line.inks if y + ink.height < 0.1 * size]
    baseline = PAGE_MARGIN_PX + depth
    if not above:
        baseline = page.height - PAGE_MARGIN_PX - depth + CAP_HEIGHT * size
    neighbors = Image.new("L", page.size)
    for _ in range(1 + dice.number(10) if inks else 0):
        ink, y = dice.pick(inks)
        neighbors.paste(255, (round(x), round(baseline + y)), ink)
        x += ink.width + dice.between((0.05, 0.6)) * size
    page.paste(ImageChops.lighter(page, neighbors))
