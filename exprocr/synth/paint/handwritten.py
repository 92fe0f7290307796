"""A printed problem with a handwritten answer: the look `exprocr.synth.looks.Hand`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from exprocr.core.config.schema import SynthConfig
from exprocr.errors import FontError
from exprocr.synth.dice import Dice
from exprocr.synth.fonts import FontFile
from exprocr.synth.looks import HAND, Hand
from exprocr.synth.paint import light
from exprocr.synth.paint.digits import Digits, load_digits
from exprocr.synth.paint.line import CAP_HEIGHT, Line, glyphs_of, master_size, typeset
from exprocr.synth.paint.printed import decorate, ink_color, paper_color, worn
from exprocr.synth.paint.view import View, place, text_height
from exprocr.synth.typefaces import Typefaces

DIGITS = "0123456789"

HANDS = (
    "architects daughter", "bradley hand", "caveat", "chalkboard", "comic relief", "coming soon",
    "covered by your grace", "dancing script", "domestic manners", "gaegu", "gloria hallelujah",
    "handlee", "handwriting", "homemade apple", "humor sans", "indie flower", "ink free",
    "isabella", "just me again down here", "kalam", "kristi", "lucida handwriting", "marker felt",
    "nanum pen", "neucha", "noteworthy", "nothing you could do", "patrick hand",
    "permanent marker", "purisa", "reenie beanie", "rock salt", "schoolbell", "segoe print",
    "segoe script", "shadows into light", "xkcd",
)  # fmt: skip
"""Typefaces that look written by hand: what their families are called, or part of it."""

MOST_CROWDED = 1.15
"""Width of a written character in the place of a printed one, at most, by the place's width."""

Point = tuple[float, float]

STROKES: dict[str, tuple[float, tuple[tuple[Point, ...], ...]]] = {
    ".": (0.1, (((0.3, 0.93), (0.7, 0.97)),)),
    "…": (1.1, tuple(((x, 0.56), (x + 0.03, 0.57)) for x in (0.05, 0.22, 0.4, 0.58, 0.76, 0.94))),
    "-": (0.55, (((0, 0.56), (1, 0.5)),)),
    "/": (0.5, (((1, 0), (0, 1)),)),
    "+": (0.6, (((0, 0.55), (1, 0.52)), ((0.5, 0.25), (0.48, 0.82)))),
    "=": (0.6, (((0, 0.44), (1, 0.42)), ((0, 0.66), (1, 0.63)))),
    "*": (0.5, (((0.1, 0.3), (0.9, 0.7)), ((0.9, 0.3), (0.1, 0.7)), ((0.5, 0.2), (0.5, 0.8)))),
    "\N{MULTIPLICATION SIGN}": (0.55, (((0, 0.3), (1, 0.8)), ((1, 0.28), (0, 0.82)))),
    "÷": (0.6, (((0, 0.55), (1, 0.52)), ((0.5, 0.3), (0.5, 0.32)), ((0.5, 0.76), (0.5, 0.78)))),
    "(": (0.25, (((1, 0), (0.3, 0.25), (0.1, 0.5), (0.3, 0.75), (1, 1)),)),
    ")": (0.25, (((0, 0), (0.7, 0.25), (0.9, 0.5), (0.7, 0.75), (0, 1)),)),
}
"""Signs as a hand draws them: the width, by a digit's height, and lines from point to point in a
box of this width and a digit's height. A short line is a dot."""


class Pen:
    """Writes characters.

    Args:
        digits: Handwritten digits to copy; None takes typefaces.
        typefaces: Typefaces that look handwritten; used where there are no digits.
        height_px: Height of a digit.
        ranges: How digits differ.
        dice: Draws all that is random.
    """

    def __init__(
        self,
        digits: Digits | None,
        font: FontFile | None,
        height_px: float,
        ranges: Hand,
        dice: Dice,
    ) -> None:
        self.digits = digits
        self.font = font
        self.height_px = height_px
        self.ranges = ranges
        self.dice = dice
        self.stretch = dice.between(ranges.digit_width)
        self.slant = dice.between(ranges.slant) if dice.happens(0.5) else 0.0
        self.pen_px = dice.between(ranges.stroke) * height_px

    def write(self, character: str) -> tuple[Image.Image, float] | None:
        """Write a character.

        Returns:
            Its ink, mode L, and how far its upper end is below that of a digit, px; None if the pen
            cannot write it.
        """
        size = self.height_px * (1 + self.dice.around(self.ranges.uneven))
        if character in DIGITS and self.digits:
            ink = self.digits.write(
                int(character), size, self.stretch, self.slant, self.pen_px, self.dice
            )
            return ink, (self.height_px - size) / 2
        if self.font:
            em = master_size(self.height_px / CAP_HEIGHT)
            (glyph,) = glyphs_of([self.font], [character], em)
            if glyph is not None and glyph.ink.width:
                scale = size / (CAP_HEIGHT * em)
                width, height = (max(1, round(side * scale)) for side in glyph.ink.size)
                return glyph.ink.resize((width, height)), self.height_px + glyph.top * scale
        if character in STROKES:
            return self._draw(character, size), (self.height_px - size) / 2
        return None

    def _draw(self, character: str, size: float) -> Image.Image:
        across, lines = STROKES[character]
        edge = self.pen_px
        width, height = across * size, size
        ink = Image.new("L", (round(width + 2 * edge) + 1, round(height + edge) + 1))
        draw = ImageDraw.Draw(ink)
        radius = edge / 2
        for points in lines:
            moved = [
                (
                    edge + x * width + self.dice.around(0.04) * size,
                    y * height + self.dice.around(0.04) * size,
                )
                for x, y in points
            ]
            draw.line(moved, fill=255, width=max(1, round(edge)))
            for x, y in (moved[0], moved[-1]):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        return ink


class HandPainter:
    """Draws texts as printed problems with handwritten answers.

    Args:
        typefaces: Usable fonts.
        config: The height, and where the handwritten digits are.
        ranges: The ranges of the look.

    Raises:
        DataError: The digits cannot be read.
        FontError: No folder of digits is named, and no font looks handwritten.
    """

    def __init__(self, typefaces: Typefaces, config: SynthConfig, ranges: Hand = HAND) -> None:
        self.typefaces = typefaces
        self.config = config
        self.height = config.height
        self.ranges = ranges
        self.hands: list[FontFile] = []
        if config.digits:
            load_digits(config.digits, *config.digit_range)  # an error now, not in the first image
            return
        fonts = [font for font in typefaces.fonts if not set(DIGITS).intersection(font.lacks)]
        self.hands = [f for f in fonts if any(hand in f.family.lower() for hand in HANDS)]
        if not self.hands:
            raise FontError(
                "synth.digits: expected a folder of handwritten digits for the look hand, or a "
                f"handwriting font, found none among {len(fonts):,} fonts"
            )

    def paint(self, text: str, width: int | None, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text``: RGB; see `PrintPainter.paint`."""
        dice, ranges, paper = Dice(rng), self.ranges, self.ranges.printed
        target = text_height(paper.placement, self.height, dice)
        size = master_size(target / CAP_HEIGHT / 1.3)
        fonts = self.typefaces.draw(text, rng)
        line, written, answer = self._compose(text, fonts, size, dice)
        boxes = [line.box(-CAP_HEIGHT * size), *([written.box()] if written.inks else [])]
        left, top = (min(box[i] for box in boxes) for i in (0, 1))
        right, bottom = (max(box[i] for box in boxes) for i in (2, 3))
        if dice.happens(ranges.cut_share):
            cut = round(dice.between(ranges.cut) * CAP_HEIGHT * size)
            top, bottom = min(boxes[0][1], top + cut), max(boxes[0][3], bottom - cut)
        view = place(
            (right - left, bottom - top), target, paper.placement, text, width, self.height, dice
        )
        at = (round(view.origin[0]) - left, round(view.origin[1]) - top)
        page = view.new_page()
        if dice.happens(ranges.neighbor_share):
            self._add_neighbors(written, line, size, (-at[1], page.height - at[1]), dice)
        line.draw(page, *at)
        decorate(page, line, at, size, view, paper, dice)
        if answer and dice.happens(ranges.box_share):
            self._draw_box(page, answer, at, size, view, dice)
        sigma = light.draw_blur(paper.light, target / 1.3, dice)
        ink = light.blur(worn(view.project(page), paper, dice), sigma)
        contrast = light.draw_contrast(paper.light, dice)
        level = light.ground(view.size, paper.light, dice)
        gray = light.exposed(ink, level, paper.light, contrast, dice)
        tone = float(np.asarray(gray).mean()) / 255
        image = light.colored(gray, ink_color(dice), paper_color(paper, dice))
        if written.inks:
            page = view.new_page()
            written.draw(page, *at)
            opacity, x = view.project_part(page, written.box(), at)
            opacity = light.blur(opacity, sigma)
            strength = np.float32(dice.between(ranges.strength))
            faint = (np.asarray(opacity, dtype=np.float32) * strength).astype(np.uint8)
            red, green, blue = (round(tone * part) for part in dice.pick(ranges.inks))
            image.paste((red, green, blue), (x, 0), Image.fromarray(faint))
        return light.degraded(image, paper.light, target / 1.3, dice, keep_size=sigma > 0)

    def _compose(
        self, text: str, fonts: Sequence[FontFile], size: int, dice: Dice
    ) -> tuple[Line, Line, tuple[float, float] | None]:
        """Return what is printed, what is written, and where the answer begins and ends."""
        ranges, cap = self.ranges, CAP_HEIGHT * size
        pen = self._new_pen(cap * dice.between(ranges.digit_height), dice)
        start = text.rfind("=") + 1
        if not start:
            return *self._in_place(text, fonts, size, dice), None
        answer = text[start:]
        if not set(DIGITS).intersection(answer):
            return typeset(text, fonts, size, ranges.printed.typesetting, dice), Line(), None
        line = typeset(text[:start], fonts[:start], size, ranges.printed.typesetting, dice)
        written = Line()
        x = begin = line.end + dice.between(ranges.gap) * cap
        top = dice.between(ranges.drop) * cap - (cap + pen.height_px) / 2
        gap = dice.between(ranges.digit_gap) * cap
        for character, font in zip(answer, fonts[start:], strict=True):
            if (result := pen.write(character)) is not None:
                ink, below = result
                written.add(ink, x, top + below + dice.around(ranges.uneven) * pen.height_px)
                x += ink.width + gap
                continue
            printed = typeset(character, [font], size, ranges.printed.typesetting, dice)
            for ink, left, up in printed.inks:
                line.add(ink, x + left, up)
            x += printed.end + gap
        return line, written, (begin, x)

    def _in_place(
        self, text: str, fonts: Sequence[FontFile], size: int, dice: Dice
    ) -> tuple[Line, Line]:
        """Return what is printed, and what is written in the places of digits, or of all."""
        ranges, cap = self.ranges, CAP_HEIGHT * size
        pen = self._new_pen(cap * dice.between((0.9, 1.3)), dice)
        by_hand = DIGITS + ("".join(STROKES) if dice.happens(0.5) else "")
        line = typeset(text, fonts, size, ranges.printed.typesetting, dice, without=by_hand)
        written = Line()
        for character, (left, right) in zip(text, line.spans, strict=True):
            if character in by_hand and (result := pen.write(character)) is not None:
                ink, below = result
                room = round(MOST_CROWDED * (right - left))
                if ink.width > room:
                    ink = ink.resize((max(1, room), ink.height), Image.Resampling.BILINEAR)
                top = below - (cap + pen.height_px) / 2
                top += dice.around(ranges.uneven) * pen.height_px
                written.add(ink, (left + right - ink.width) / 2, top)
        return line, written

    def _add_neighbors(
        self, written: Line, line: Line, size: int, edges: tuple[int, int], dice: Dice
    ) -> None:
        """Write digits above or below a line, so that their ends reach into it.

        Those that do not cross the upper or lower edge of the page are left out: all of them would
        be seen, as if they were text.
        """
        ranges, cap = self.ranges, CAP_HEIGHT * size
        pen = self._new_pen(cap * dice.between(ranges.digit_height), dice)
        depth = dice.between(ranges.neighbor_depth) * cap
        above, x = dice.happens(0.5), dice.between((0.0, 1.0)) * line.end
        for _ in range(1 + dice.number(3)):
            if (result := pen.write(dice.pick(DIGITS))) is None:
                return
            ink, _ = result
            y = depth - cap - ink.height if above else -depth
            if y < edges[0] or y + ink.height > edges[1]:
                written.add(ink, x, y)
            x += ink.width + dice.between(ranges.digit_gap) * cap

    def _new_pen(self, height_px: float, dice: Dice) -> Pen:
        config = self.config
        digits = load_digits(config.digits, *config.digit_range) if config.digits else None
        font = None if digits else dice.pick(self.hands)
        return Pen(digits, font, height_px, self.ranges, dice)

    def _draw_box(
        self,
        page: Image.Image,
        answer: tuple[float, float],
        at: tuple[int, int],
        size: int,
        view: View,
        dice: Dice,
    ) -> None:
        """Draw a box for the answer, or a line below it."""
        cap = CAP_HEIGHT * size
        thickness = max(1, round(dice.between(self.ranges.printed.rule_px) / view.scale))
        strength = 80 + dice.number(176)
        left, right = (x + at[0] + dice.around(0.25) * cap for x in answer)
        right = max(right, left + cap)
        top, bottom = (at[1] - cap / 2 + side * dice.between((0.6, 1.0)) * cap for side in (-1, 1))
        draw = ImageDraw.Draw(page)
        if dice.happens(0.65):
            draw.rectangle((left, top, right, bottom), outline=strength, width=thickness)
        else:
            draw.line((left, bottom, right, bottom), fill=strength, width=thickness)
