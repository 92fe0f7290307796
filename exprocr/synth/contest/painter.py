"""Drawing distorted texts that look like the images of the 2017 contest.

Those images were made by the Python package ``captcha`` (``ImageCaptcha``), or in its style; the
package cannot be seeded. Each glyph is cropped to its ink, rotated, stretched to the box of its
font metrics and warped to a random quadrilateral. Glyphs are pasted from left to right, one over
the other. Dots, in the package also a curve, and a 3 x 3 smoothing follow. The random choices and
their ranges are in `exprocr.synth.contest.look`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from exprocr.core.config.schema import SynthConfig
from exprocr.synth.contest.distort import Distortion, distort_at_once, distort_in_steps
from exprocr.synth.contest.look import Look, Looks
from exprocr.synth.fonts import FontFile
from exprocr.synth.looks import CAPTCHA, Captcha
from exprocr.synth.typefaces import Typefaces
from exprocr.synth.widths import natural_width

_CLEAR, _OPAQUE = 20, 235
"""Pixel values for no and for full opacity in a drawing. Values outside are left for bicubic
resampling, which overshoots at edges: a squeezed text has pale edges."""

_SHARES = ((np.arange(256) - _CLEAR) / (_OPAQUE - _CLEAR))[:, None]
"""The opacity of each pixel value, (256, 1)."""

_RESAMPLING = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}

LOW_SIGNS, LOW = frozenset(".,…_"), 0.3
"""Signs whose place on the baseline tells them apart, and how far below the line's middle they are,
by the font size. Stretched to the box of a glyph, as the package does it, a point would be a block:
nobody could tell it from a minus, or ``…`` from ``111``. They overlap no neighbor, which would hide
them."""

AUTO_WIDTHS = (0.85, 1.2)
"""Least and greatest width of a picture whose width follows its text, by the text's own width."""


@dataclass(frozen=True)
class _Glyph:
    """A prepared glyph: its ink and the size of its box."""

    ink: Image.Image  # mode L, cropped
    box_width: float  # from the pen to the end of the ink or of the advance, px
    box_height: float  # from the ascender line to the lower end of the ink, px


@lru_cache(maxsize=100_000)
def prepare(font: FontFile, character: str, size_px: int) -> _Glyph:
    """Return a glyph that a font drew once."""
    ink, (right, bottom) = font.draw(character, size_px)
    return _Glyph(ink, max(right, ink.width), max(bottom, ink.height))


class ContestPainter:
    """Draws texts in the contest's look.

    Args:
        typefaces: Usable fonts.
        config: Sizes, ranges and shares.

    Raises:
        FontError: The favorite font is not among them.
    """

    def __init__(self, typefaces: Typefaces, config: SynthConfig) -> None:
        self.typefaces = typefaces
        self.config = config
        self._looks = Looks(typefaces.fonts, config)
        self._scale = config.height / 60

    def paint(self, text: str, width: int | None, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text``: RGB.

        Args:
            text: The text.
            width: Width of the picture, px; None follows the text.
            rng: Draws all that is random.
        """
        look = self._looks.draw(len(text), rng)
        fonts = self.typefaces.complete(look.fonts, text, rng)
        return self.draw(text, replace(look, fonts=fonts), rng, width)

    def draw(
        self, text: str, look: Look, rng: np.random.Generator, width: int | None
    ) -> Image.Image:
        """Return a picture of ``text`` with a given look; ``rng`` draws distortions and dots."""
        canvas = self._draw_text(text, look, self.draw_glyphs(text, look, rng), rng, width)
        self._draw_dots(canvas, look, rng)
        if look.has_curve:
            _draw_curve(canvas, rng)
        # Smoothing the opacity smooths the colors, in a third of the time.
        image = _color(canvas.filter(ImageFilter.SMOOTH), look)
        if look.degraded:
            image = _degrade(image, rng)
        return image

    def draw_glyphs(self, text: str, look: Look, rng: np.random.Generator) -> list[Image.Image]:
        """Return the distorted glyphs of a text: coverage, mode L."""
        glyphs = []
        for character, font, size in zip(text, look.fonts, look.sizes_px, strict=True):
            size_px = size * self._scale
            masters = look.master_sizes_px
            master = next((s for s in masters if s >= size_px), masters[-1])
            glyph = prepare(font, character, master)
            scale = size_px / master
            if not glyph.ink.width:  # a space
                end = glyph.box_width * scale + look.box_margin_px * self._scale
                glyphs.append(Image.new("L", (int(end), 1)))
                continue
            box = None
            is_thin = character in LOW_SIGNS or (character == "-" and not look.block_minus)
            if look.stretched and not is_thin:
                margin = look.box_margin_px * self._scale
                box = (glyph.box_width * scale + margin, glyph.box_height * scale + margin)
            distortion = Distortion.random(box, look.rotation_deg, rng, look.warp)
            if look.manner in _RESAMPLING:
                resampling = _RESAMPLING[look.manner]
                glyphs.append(distort_at_once(glyph.ink, scale, distortion, resampling))
            else:
                solid = look.manner == "solid"
                glyphs.append(distort_in_steps(glyph.ink, scale, distortion, solid=solid))
        return glyphs

    def _draw_text(
        self,
        text: str,
        look: Look,
        glyphs: list[Image.Image],
        rng: np.random.Generator,
        wanted: int | None,
    ) -> Image.Image:
        """Return the text's opacity, `_CLEAR` to `_OPAQUE`: mode L, of the picture's size."""
        height = self.config.height
        # The package counts the text's characters, not the spaces that it adds.
        average = sum(g.width for g in glyphs) / (len(glyphs) - look.num_spaces)
        offset = average * look.start
        starts = []
        for place, (glyph, overlap) in enumerate(zip(glyphs, look.overlaps, strict=True)):
            starts.append(round(offset))
            if not LOW_SIGNS.isdisjoint(text[place : place + 2]):
                overlap = min(overlap, 0.0)  # a gap stays
            offset += glyph.width - overlap * average
        right = max(s + g.width for s, g in zip(starts, glyphs, strict=True))
        if look.squeezed_by_widths:
            right = sum(g.width for g in glyphs)
        if wanted is None:
            low, high = look.auto_width_px or (AUTO_WIDTHS[0] * right, AUTO_WIDTHS[1] * right)
            wanted = natural_width(low + (high - low) * rng.random(), text, height)
        width = max(wanted, right)
        shift = int(look.shift * (width - right + 1))
        canvas = Image.new("L", (width, height), _CLEAR)
        for start, drop, glyph, character, size in zip(
            starts, look.drops, glyphs, text, look.sizes_px, strict=True
        ):
            free = height - glyph.height
            top = int(free / 2) + round(free * drop)
            if character in LOW_SIGNS:
                top = min(top + round(LOW * size * self._scale), free)
            # As in the captcha package, each glyph is pasted with its own opacity, so overlaps of a
            # pale text are darker and both glyphs remain visible. The sum, divided by the scale, is
            # clipped, as the package's mask is. Half a level compensates for truncation.
            mask = ImageChops.add(glyph, glyph, scale=2 / (look.opacity + 0.5 / 255))
            canvas.paste(_OPAQUE, (start + shift, top), mask)
        if width > wanted:
            canvas = canvas.resize((wanted, height), Image.Resampling.BICUBIC)
        return canvas

    def _draw_dots(self, canvas: Image.Image, look: Look, rng: np.random.Generator) -> None:
        corner = (canvas.width + 1, canvas.height + 1)
        places = rng.integers((0, 0), corner, size=(look.num_dots, 2))
        dot = dot_pixels(round(look.dot_width_px * self._scale))
        pixels = (places[:, None] + dot).astype(np.float32).ravel()  # as (dots, pixels of a dot, 2)
        # Pillow accepts a buffer of float32 without conversion; this is not documented.
        ImageDraw.Draw(canvas).point(pixels, fill=_OPAQUE)  # type: ignore[arg-type]


class CaptchaPainter(ContestPainter):
    """Draws texts as version 0.7 of the ``captcha`` package does: several fonts, spaces, a curve.

    Args:
        typefaces: Usable fonts.
        config: The height, and the favorite font.
        ranges: The ranges of the look.

    Raises:
        FontError: The favorite font is not among them.
    """

    def __init__(
        self, typefaces: Typefaces, config: SynthConfig, ranges: Captcha = CAPTCHA
    ) -> None:
        super().__init__(typefaces, config)
        self.ranges = ranges

    def paint(self, text: str, width: int | None, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text``: RGB; see `ContestPainter.paint`."""
        ranges, scale = self.ranges, self.config.height / 60
        before = (rng.random(len(text)) < ranges.space_share).tolist()
        spaced = "".join(" " * space + c for space, c in zip(before, text, strict=True))
        look = self._looks.package_look(len(spaced), rng)
        if rng.random() < ranges.several_fonts_share:
            fonts = [self.typefaces.draw(text, rng) for _ in range(rng.integers(2, 5))]
            chosen = rng.integers(len(fonts), size=len(text)).tolist()
            by_character = [fonts[one][i] for i, one in enumerate(chosen)]
        else:
            by_character = list(self.typefaces.complete([look.fonts[0]] * len(text), text, rng))
        widths = [
            more + len(text) * each
            for each, more in zip(ranges.width_per_character_px, ranges.width_px, strict=True)
        ]
        # A space is drawn in the next character's font.
        order = np.repeat(np.arange(len(text)), 1 + np.array(before, dtype=int)).tolist()
        look = replace(
            look,
            fonts=[by_character[i] for i in order],
            num_spaces=sum(before),
            has_curve=True,
            auto_width_px=(scale * widths[0], scale * widths[1]),
        )
        image = self.draw(spaced, look, rng, width)
        return ImageChops.invert(image) if rng.random() < ranges.inverse_share else image


def _draw_curve(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Draw the arc of the ``captcha`` package's ``create_noise_curve``."""
    width, height = canvas.size
    fifth, below = width // 5, height // 5
    left = int(rng.integers(fifth + 1))
    right = int(rng.integers(width - fifth + 1)) + fifth
    top = int(rng.integers(height - 2 * below + 1)) + below
    bottom = int(rng.integers(height - top - below + 1)) + top
    end, start = int(rng.integers(41)) + 160, int(rng.integers(21))
    ImageDraw.Draw(canvas).arc((left, top, right, bottom), start, end, fill=_OPAQUE)


@lru_cache(maxsize=16)
def dot_pixels(width_px: int) -> NDArray[np.int64]:
    """Return the pixels of a dot, relative to its position: (n, 2), x and y.

    As in the ``captcha`` package, a dot is a line to the next pixel on the upper left.
    """
    center = width_px + 1
    image = Image.new("L", (2 * center, 2 * center))
    ImageDraw.Draw(image).line((center, center, center - 1, center - 1), fill=255, width=width_px)
    return np.argwhere(np.asarray(image))[:, ::-1] - center


def _color(opacity: Image.Image, look: Look) -> Image.Image:
    """Color a drawing of opacities: mode L to RGB.

    ``opacity`` is changed: the table of all colors becomes its palette.
    """
    table = look.background + _SHARES * (look.color - look.background)
    opacity.putpalette(np.clip(np.rint(table), 0, 255).astype(np.uint8).tobytes())
    return opacity.convert("RGB")


def _degrade(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Degrade a picture by noise, blur, shrinking, or binarizing and shrinking."""
    kind = rng.integers(4)
    if kind == 0:
        pixels = np.asarray(image)
        contrast = float(np.subtract(*np.quantile(pixels[..., 1], (0.5, 0.05))))
        sigma = rng.uniform(0.0, 0.2) * contrast
        noise = rng.normal(0, sigma, size=(image.height, image.width, 1))
        return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))
    if kind == 1:
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.1)))
    factor = rng.uniform(0.55, 0.9)
    size = (round(image.width * factor), round(image.height * factor))
    if kind == 3:
        gray = np.asarray(image.convert("L"))
        darkest, background = np.quantile(gray, 0.05), np.median(gray)
        threshold = background + (darkest - background) * rng.uniform(0.1, 0.7)
        image = Image.fromarray(gray > threshold).convert("L")
    methods = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BOX)
    small = image.resize(size, methods[rng.integers(3)])
    if kind == 3:
        small = small.point(lambda value: 255 if value > 127 else 0)
    return small.convert("RGB").resize((image.width, image.height), Image.Resampling.BICUBIC)
