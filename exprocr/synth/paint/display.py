"""Seven-segment digits on a display: the look `exprocr.synth.looks.Display`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from exprocr.synth.dice import Dice
from exprocr.synth.fonts import FontFile
from exprocr.synth.looks import DISPLAY, Display, Typesetting
from exprocr.synth.paint import light
from exprocr.synth.paint.line import CAP_HEIGHT, Line, glyphs_of, master_size, typeset
from exprocr.synth.paint.segments import SEGMENTS, Shape, draw_segments
from exprocr.synth.paint.view import View, place, text_height
from exprocr.synth.typefaces import Typefaces

FAMILIES = ("dseg", "7 segment", "7-segment", "seven segment", "segment7", "7segment")
"""Seven-segment typefaces: what their families are called, or part of it."""

UNITS = ("kWh", "kWh", "CkW h", "kW", "kg", "km", "V", "mA", "W", "C")
"""Units beside the digits."""

LABEL = FontFile("Aileron", "Regular", "")
"""The font of units: Pillow's built-in one, which is always there and has all letters."""

POINT = 0.11
"""Side of the point, by a digit's height."""

SMALL = 0.62
"""Height of a small digit, by that of a large one."""

OVERSIZE = 1.5
"""Size of the drawing, by that of the picture: its edges become smooth."""


@dataclass(frozen=True)
class _Cell:
    """A digit made of segments, its upper left corner, and whether it is small."""

    character: str
    x: float
    y: float
    is_small: bool


class DisplayPainter:
    """Draws texts as seven-segment digits on a display.

    Args:
        typefaces: Usable fonts.
        height: Height of the pictures, px.
        ranges: The ranges of the look.
    """

    def __init__(self, typefaces: Typefaces, height: int, ranges: Display = DISPLAY) -> None:
        self.typefaces = typefaces
        self.height = height
        self.ranges = ranges
        self.segment_fonts = [
            font
            for font in typefaces.fonts
            if any(family in font.family.lower() for family in FAMILIES)
        ]

    def paint(self, text: str, width: int | None, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text``: RGB; see `PrintPainter.paint`."""
        dice, ranges = Dice(rng), self.ranges
        target = text_height(ranges.placement, self.height, dice)
        cap = target * OVERSIZE
        fonts = self.typefaces.draw(text, rng)
        cells: list[_Cell] = []
        shape = self._shape(dice)
        if self.segment_fonts and dice.happens(ranges.typeface_share):
            font = dice.pick(self.segment_fonts)
            pairs = zip(text, fonts, strict=True)
            fonts = [plain if character in font.lacks else font for character, plain in pairs]
            size = master_size(cap / CAP_HEIGHT)
            line = typeset(text, fonts, size, Typesetting(), dice)
            cap = CAP_HEIGHT * size
        else:
            line, cells = self._lay_out(text, fonts, cap, shape, dice)
        left, top, right, bottom = line.box(-cap)
        if cells:
            left = min(left if line.inks else 0, round(min(cell.x for cell in cells)))
            end = max(cell.x for cell in cells) + (shape.width + shape.slant) * cap
            right = max(right if line.inks else 0, round(end))
        box = (right - left, bottom - top)
        view = place(box, target, ranges.placement, text, width, self.height, dice)
        at = (round(view.origin[0]) - left, round(view.origin[1]) - top)
        page = view.new_page()
        self._draw_surroundings(page, (left, top, right, bottom), at, cap, dice)
        self._draw_cells(page, cells, at, cap, shape, dice)
        line.draw(page, *at)
        return self._expose(view.project(page), view, target, dice)

    def _shape(self, dice: Dice) -> Shape:
        ranges = self.ranges
        return Shape(
            width=dice.between(ranges.aspect),
            thickness=dice.between(ranges.thickness),
            gap=dice.between(ranges.gap),
            slant=0.0 if dice.happens(ranges.upright_share) else dice.between(ranges.slant),
            is_square=dice.happens(ranges.square_share),
        )

    def _lay_out(
        self, text: str, fonts: list[FontFile], cap: float, shape: Shape, dice: Dice
    ) -> tuple[Line, list[_Cell]]:
        """Return what has no segments as a line, and the digits that have some."""
        line, cells = Line(), []
        spacing = dice.between(self.ranges.spacing) * cap
        has_small = dice.happens(self.ranges.small_share)
        size = master_size(cap / CAP_HEIGHT)
        pen, after_point = 0.0, False
        for character, font in zip(text, fonts, strict=True):
            start = pen
            is_small = has_small and after_point
            scale = SMALL if is_small else 1.0
            if character in SEGMENTS:
                cells.append(_Cell(character, pen, -cap * scale, is_small))
                pen += shape.width * cap * scale + spacing
            elif character == ".":
                side = max(2, round(POINT * cap))
                point = Image.new("L", (side, side), 255)
                # In the gap between two digits, where there is room.
                x = pen - spacing / 2 - side / 2 if spacing > 1.5 * side else pen - spacing * 0.7
                line.add(point, max(x, 0.0), -side)
                pen = max(pen, x + 1.5 * side)
                after_point = True
            else:
                (glyph,) = glyphs_of([font], [character], size)
                assert glyph is not None, (font, character)
                ratio = cap / (CAP_HEIGHT * size)
                ink_size = [max(1, round(side * ratio)) for side in glyph.ink.size]
                if glyph.ink.width:
                    ink = glyph.ink.resize((ink_size[0], ink_size[1]), Image.Resampling.BILINEAR)
                    line.add(ink, pen + max(glyph.left, 0) * ratio, glyph.top * ratio)
                pen += glyph.advance * ratio + spacing / 2
                after_point = False
            line.spans.append((start, pen))
        line.end = pen
        return line, cells

    def _draw_cells(
        self,
        page: Image.Image,
        cells: list[_Cell],
        at: tuple[int, int],
        cap: float,
        shape: Shape,
        dice: Dice,
    ) -> None:
        unlit = 0
        if dice.happens(self.ranges.unlit_share):
            unlit = round(255 * dice.between(self.ranges.unlit))
        draw = ImageDraw.Draw(page)
        large = shape.polygons(cap) if cells else {}
        small = shape.polygons(SMALL * cap) if any(cell.is_small for cell in cells) else {}
        variants = {c: dice.pick(SEGMENTS[c]) for c in dict.fromkeys(c.character for c in cells)}
        for cell in cells:
            where = (cell.x + at[0], cell.y + at[1])
            lit = variants[cell.character]
            draw_segments(draw, small if cell.is_small else large, lit, where, unlit)

    def _draw_surroundings(
        self,
        page: Image.Image,
        box: tuple[int, int, int, int],
        at: tuple[int, int],
        cap: float,
        dice: Dice,
    ) -> None:
        """Draw the edges of the window and a unit, outside of the text's box."""
        left, top, right, bottom = (value + at[i % 2] for i, value in enumerate(box))
        draw = ImageDraw.Draw(page)
        if dice.happens(self.ranges.bezel_share):
            strength = 70 + dice.number(186)
            pads = [dice.between((0.12, 0.7)) * cap for _ in range(4)]
            has = [dice.happens(0.6) for _ in range(4)]
            width, height = page.size
            edges = (
                (0, 0, left - pads[0], height),
                (0, 0, width, top - pads[1]),
                (right + pads[2], 0, width, height),
                (0, bottom + pads[3], width, height),
            )
            for drawn, (x0, y0, x1, y1) in zip(has, edges, strict=True):
                if drawn and x0 < x1 and y0 < y1:
                    draw.rectangle((x0, y0, x1, y1), fill=strength)
        if dice.happens(self.ranges.unit_share):
            size = min(28, max(8, round(dice.between((0.3, 0.6)) * cap)))
            name = dice.pick(UNITS)
            unit = typeset(name, [LABEL] * len(name), size, Typesetting(), dice)
            x = right + dice.between((0.15, 0.5)) * cap
            y: float = dice.pick((top + size, bottom))
            if dice.happens(0.3):  # above or below
                x = left + dice.between((0.0, 0.9)) * (right - left)
                y = dice.pick((top - 0.12 * cap, bottom + 0.15 * cap + size))
            unit.draw(page, round(x), round(y))

    def _expose(self, ink: Image.Image, view: View, text_px: float, dice: Dice) -> Image.Image:
        """Return the colored picture of a drawing, mode L."""
        ranges = self.ranges
        is_led = dice.happens(ranges.led_share)
        if is_led and dice.happens(0.6):
            glow = light.blur(ink, dice.between((0.04, 0.09)) * text_px)
            ink = ImageChops.add(ink, glow, scale=1.5)
        sigma = light.draw_blur(ranges.light, text_px, dice)
        ink = light.blur(ink, sigma)
        contrast = light.draw_contrast(ranges.light, dice)
        level = light.ground(view.size, ranges.light, dice)
        gray = light.exposed(ink, level, ranges.light, contrast, dice)
        if is_led:
            gray = ImageChops.invert(gray)
        if dice.happens(ranges.glare_share):
            gray = self._glare(gray, dice)
        gray = light.degraded(gray, ranges.light, text_px, dice, keep_size=sigma > 0)
        dark = (dice.between((0, 60)), dice.between((0, 60)), dice.between((0, 70)))
        return light.colored(gray, dark, dice.pick(ranges.lights if is_led else ranges.grounds))

    def _glare(self, gray: Image.Image, dice: Dice) -> Image.Image:
        """Return a picture, mode L, with a bright spot or band."""
        width, height = gray.size
        strength = np.float32(dice.between(self.ranges.glare))
        x = np.arange(width, dtype=np.float32) - np.float32(dice.between((0.0, 1.0)) * width)
        y = np.arange(height, dtype=np.float32) - np.float32(dice.between((0.0, 1.0)) * height)
        reach = (dice.between((0.15, 2.5)) * height, dice.between((0.1, 1.5)) * height)
        lean = np.float32(dice.around(1.0))
        across = (x + lean * y[:, None]) / np.float32(reach[0])
        spot = strength * np.exp(-(across**2) - (y[:, None] / np.float32(reach[1])) ** 2)
        pixels = np.asarray(gray, dtype=np.float32)
        return Image.fromarray((pixels + spot * (255 - pixels)).astype(np.uint8))
