"""Small anti-aliased text, enlarged: the look `exprocr.synth.looks.Screen`."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from exprocr.synth.dice import Dice, Range
from exprocr.synth.looks import SCREEN, Screen
from exprocr.synth.paint import light
from exprocr.synth.paint.line import CAP_HEIGHT, Line, glyphs_of
from exprocr.synth.typefaces import Typefaces
from exprocr.synth.widths import natural_width

LEAST_ADVANCE = 0.78
"""From one character to the next, by the font's own distance: closer, one would hide the other."""

GROUND_TINT = 0.12
"""Greatest loss of a channel of a colored ground."""

MAX_SPECKLES = 400

DOTS = frozenset(".…")
"""Characters that speckles look like, and that a line hides."""

LUMA = (0.299, 0.587, 0.114)

RESAMPLING = (
    Image.Resampling.NEAREST,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.BICUBIC,
)

Color = tuple[int, int, int]


class ScreenPainter:
    """Draws texts as small text on a screen.

    Args:
        typefaces: Usable fonts.
        height: Height of the pictures, px.
        ranges: The ranges of the look.
    """

    def __init__(self, typefaces: Typefaces, height: int, ranges: Screen = SCREEN) -> None:
        self.typefaces = typefaces
        self.height = height
        self.ranges = ranges

    def paint(self, text: str, width: int | None, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text``: RGB; see `PrintPainter.paint`."""
        dice, ranges = Dice(rng), self.ranges
        size = round(dice.between(ranges.size_px))
        line, places = self._set(text, size, dice, rng)
        left, top, right, bottom = line.box(-CAP_HEIGHT * size)
        height = max(bottom - top + 2, round(size * dice.between(ranges.height_by_size)))
        margins = [dice.between(ranges.margin_em) * size for _ in range(2)]
        needed = right - left + sum(margins)
        scale = self.height / height
        final = natural_width(needed * scale, text, self.height) if width is None else width
        small = max(round(final / scale), round(needed))
        spare = small - needed
        x = round(margins[0] + spare * dice.between((0.0, 1.0))) - left
        y = round((height - (bottom - top)) * dice.between((0.1, 0.9))) - top
        shares = (ranges.grain_share, ranges.speckles_share, ranges.lines_share)
        has_grain, has_speckles, has_lines = (dice.happens(share) for share in shares)
        if set(text) & DOTS:
            has_speckles = has_lines = False
        is_noisy = has_grain or has_speckles or has_lines
        contrast = ranges.noisy_contrast if is_noisy else ranges.contrast
        level, ground = self._ground_color(dice)
        colors = [self._text_color(level, contrast, dice)] * len(text)
        if dice.happens(ranges.several_colors_share):
            colors = [self._text_color(level, ranges.noisy_contrast, dice) for _ in text]
        image = Image.new("RGB", (small, height), ground)
        if has_grain:
            image = self._roughen(image, dice)
        if has_speckles:
            self._speckle(image, dice)
        for (ink, ink_left, ink_top), number in zip(line.inks, places, strict=True):
            image.paste(colors[number], (x + ink_left, y + ink_top), ink)
        if has_lines:
            self._draw_lines(image, level, colors, dice)
        if dice.happens(ranges.inverse_share):
            image = ImageChops.invert(image)
        if dice.happens(ranges.jpeg_share):
            image = light.jpeg(image, dice.between(ranges.jpeg_quality))
        return image.resize((final, self.height), dice.pick(RESAMPLING))

    def _set(
        self, text: str, size: int, dice: Dice, rng: np.random.Generator
    ) -> tuple[Line, list[int]]:
        """Return a line, and the number of the character of each ink."""
        ranges = self.ranges
        fonts = self.typefaces.draw(text, rng)
        gap = dice.between(ranges.gap_em) * size
        uneven = 0.0
        if dice.happens(ranges.uneven_share):
            uneven = dice.between(ranges.uneven_em) * size
        drop = ranges.drop_em * size if dice.happens(0.5) else 0.0
        turn = ranges.rotation_deg if dice.happens(ranges.rotation_share) else 0.0
        line, places = Line(), []
        pen = 0.0
        for number, glyph in enumerate(glyphs_of(fonts, text, size)):
            assert glyph is not None, (fonts[number], text[number])
            ink = glyph.ink
            left, top = pen + glyph.left, glyph.top + dice.around(drop)
            if turn and ink.width:
                rotated = ink.rotate(dice.around(turn), Image.Resampling.BILINEAR, expand=True)
                left -= (rotated.width - ink.width) / 2
                top -= (rotated.height - ink.height) / 2
                ink = rotated
            if ink.width:
                line.add(ink, left, top)
                places.append(number)
            line.spans.append((pen, pen + glyph.advance))
            pen += max(glyph.advance + gap + dice.around(uneven), LEAST_ADVANCE * glyph.advance)
        line.end = pen
        return line, places

    def _ground_color(self, dice: Dice) -> tuple[float, Color]:
        """Draw the ground's level, 0..255, and color, RGB."""
        if dice.happens(0.5):
            return 255.0, (255, 255, 255)
        level = 255 * dice.between(self.ranges.ground)
        tint = GROUND_TINT if dice.happens(0.7) else 0.0
        red, green, blue = (round(level * (1 - dice.between((0.0, tint)))) for _ in range(3))
        return level, (red, green, blue)

    def _text_color(self, level: float, contrast: Range, dice: Dice) -> Color:
        """Draw a text's color, RGB, darker than the ground by the contrast."""
        gray = level * (1 - dice.between(contrast))
        if not dice.happens(self.ranges.color_share):
            return round(gray), round(gray), round(gray)
        hue = colorsys.hsv_to_rgb(dice.between((0.0, 1.0)), dice.between((0.4, 1.0)), 1.0)
        # The hue, mixed with black or with white until it is as bright as wanted.
        luma = 255 * sum(part * share for part, share in zip(hue, LUMA, strict=True))
        if gray <= luma:
            red, green, blue = (255 * part * gray / luma for part in hue)
        else:
            white = (gray - luma) / (255 - luma)
            red, green, blue = (255 * (part + (1 - part) * white) for part in hue)
        return round(red), round(green), round(blue)

    def _roughen(self, image: Image.Image, dice: Dice) -> Image.Image:
        field = light.part_of(dice.number(3), image.size, dice)
        pixels = np.asarray(image) + 255 * dice.between(self.ranges.grain) * field[..., None]
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    def _speckle(self, image: Image.Image, dice: Dice) -> None:
        draw = ImageDraw.Draw(image)
        num = round(dice.between(self.ranges.speckles) * image.width * image.height)
        num_colors = 1 + dice.number(4)
        for _ in range(num_colors):
            places = [
                (dice.number(image.width), dice.number(image.height))
                for _ in range(min(num, MAX_SPECKLES) // num_colors)
            ]
            draw.point(places, fill=self._text_color(255.0, self.ranges.contrast, dice))

    def _draw_lines(
        self, image: Image.Image, level: float, colors: list[Color], dice: Dice
    ) -> None:
        draw = ImageDraw.Draw(image)
        has_own_color = dice.happens(0.5)
        for _ in range(round(dice.between(self.ranges.lines))):
            color = dice.pick(colors)
            if has_own_color:
                color = self._text_color(level, self.ranges.contrast, dice)
            ends = [(dice.number(image.width), dice.number(image.height)) for _ in range(2)]
            draw.line(ends, fill=color)
