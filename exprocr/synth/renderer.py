"""Drawing distorted expressions after the look of the 2017 contest's images.

The geometry is that of the Python package ``captcha`` 0.2 (``ImageCaptcha``), which cannot be
seeded: each glyph is cropped to its ink, rotated, stretched to the box of its font metrics and
warped to a random quadrilateral; glyphs are pasted left to right, one over the other; dots and a
3 x 3 smoothing follow. So is a quirk of it that makes the contest's hard cases: a glyph is blended
with its own *luminance* (times 1.97) as opacity, so dark colours come out pale, black ones
invisible, while the dots keep the full colour.

A sample is a pure function of ``(seed, stream, index)``: the same whatever process draws it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from exprocr.core.config import SynthConfig
from exprocr.errors import FontError
from exprocr.synth.distort import Distortion, distort_at_once, distort_in_steps
from exprocr.synth.fonts import FontFile

CHARACTERS = "()*+-0123456789"
MASTER_SIZES_PX = (40, 56, 96)
"""Sizes glyphs are prepared at; the next larger one serves every size between."""

MASK_GAIN = 1.97
"""The ``captcha`` package's factor from a glyph's luminance to its opacity."""

TRAIN_STREAM, VAL_STREAM, FILES_STREAM, VAL_FILES_STREAM, SAMPLE_STREAM = range(5)
"""Streams of a seed, so that training, validation, written files and single samples share no
image."""

_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class _Glyph:
    """A prepared glyph: its ink, and the box of its font metrics."""

    ink: Image.Image  # mode L, cropped
    box_width: float  # from the pen to the end of the ink or of the advance, px
    box_height: float  # from the ascender line to the lower end of the ink, px


@lru_cache(maxsize=100_000)
def _prepare(font: FontFile, character: str, size_px: int) -> _Glyph:
    ink, (right, bottom) = font.draw(character, size_px)
    return _Glyph(ink, max(right, ink.width), max(bottom, ink.height))


def random_expression(rng: np.random.Generator) -> str:
    """Draw one of the contest's 27,000 expressions, each of the three templates equally often."""
    template = ("{}{}{}{}{}", "({}{}{}){}{}", "{}{}({}{}{})")[rng.integers(3)]
    a, b, c = rng.integers(10, size=3).tolist()
    first, second = rng.integers(3, size=2).tolist()
    return template.format(a, "+-*"[first], b, "+-*"[second], c)


def sample_rng(seed: int, stream: int, index: int) -> np.random.Generator:
    """Return the generator of sample ``index``; streams of one seed are independent."""
    return np.random.default_rng((seed, stream, index))


class Renderer:
    """Draws texts in random fonts, places, colours and distortions.

    Args:
        fonts: Usable fonts; a family is drawn first, then one of its fonts, so that families of
            many styles do not crowd out the others.
        config: Sizes, ranges and shares.

    Raises:
        FontError: The favourite font is none of them.
    """

    def __init__(self, fonts: list[FontFile], config: SynthConfig | None = None) -> None:
        self.config = config or SynthConfig()
        families: dict[str, list[FontFile]] = {}
        for font in fonts:
            families.setdefault(font.family, []).append(font)
        self._families = list(families.values())
        self._favourite = families.get(self.config.favourite_font, [])
        if self.config.favourite_share and not self._favourite:
            raise FontError(
                f"synth.favourite_font: expected one of {len(families):,} font families, found "
                f"{self.config.favourite_font!r}"
            )
        self._scale = self.config.height / 60

    def sample(self, seed: int, stream: int, index: int) -> tuple[str, Image.Image]:
        """Draw sample ``index``: a random expression and its RGB picture."""
        rng = sample_rng(seed, stream, index)
        text = random_expression(rng)
        return text, self.render(text, rng)

    def render(self, text: str, rng: np.random.Generator) -> Image.Image:
        """Draw ``text``: an RGB image of ``config.width`` x ``config.height`` px."""
        config = self.config
        background = rng.integers(238, 256, size=3).astype(np.float64)
        colour, opacity = self._text_colour(background, rng)
        image = _blend(self._draw_text(text, opacity, rng), background, colour)
        self._draw_dots(image, colour, rng)
        image = image.filter(ImageFilter.SMOOTH)
        if rng.random() < config.degraded_share:
            image = _degrade(image, rng)
        return image

    def _draw_text(self, text: str, opacity: float, rng: np.random.Generator) -> Image.Image:
        """Return the opacity of the text: mode L, the size of the picture."""
        config = self.config
        num = len(text)
        fonts = [self._random_font(rng)] * num
        if rng.random() < config.mixed_fonts_share:
            fonts = [self._random_font(rng) for _ in text]
        if config.favourite_share and rng.random() < config.favourite_share:
            fonts = [self._favourite[rng.integers(len(self._favourite))]] * num
        # Mostly large, as in the contest, where the smallest glyph is two thirds of the largest.
        smallest = rng.uniform(config.min_font_size_px, config.max_font_size_px)
        sizes = rng.uniform(smallest, config.max_font_size_px, size=num)
        glyphs = self._draw_glyphs(text, fonts, sizes * self._scale, rng)
        average = sum(g.width for g in glyphs) / num
        # Mostly overlapping by a random amount of its own, as in the contest; some lines set wider.
        low, high = (-0.3, 0.1) if rng.random() < 0.1 else (0.0, config.max_overlap)
        overlaps = rng.uniform(low, high * rng.uniform(0.2, 1.0), size=num) * average
        offset = average * rng.uniform(0.0, 0.2)
        starts = []
        for glyph, overlap in zip(glyphs, overlaps, strict=True):
            starts.append(round(offset))
            offset += glyph.width - overlap
        # The captcha package squeezes by the sum of the widths; the text's true end is as good
        # and leaves no space behind it, as in the real images.
        right = max(s + g.width for s, g in zip(starts, glyphs, strict=True))
        width = max(config.width, right)
        shift = int(rng.integers(width - right + 1)) if rng.random() < 0.3 else 0
        canvas = Image.new("L", (width, config.height))
        # As in the captcha package, glyphs are laid one over the other, each with its own opacity:
        # where a pale text overlaps it is darker, and both glyphs can be told. The product is
        # clipped, as the package's mask is.
        mask = np.minimum(np.rint(np.arange(256) * opacity), 255).astype(int).tolist()
        drops = rng.uniform(-0.15, 0.15, size=num).tolist()
        for start, drop, glyph in zip(starts, drops, _point(glyphs, mask), strict=True):
            free = config.height - glyph.height
            top = free // 2 + round(free * drop)
            canvas.paste(255, (start + shift, top), glyph)
        if width > config.width:
            canvas = canvas.resize((config.width, config.height), Image.Resampling.BICUBIC)
        return canvas

    def _draw_glyphs(
        self,
        text: str,
        fonts: list[FontFile],
        sizes_px: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> list[Image.Image]:
        """Return the distorted glyphs of a text: coverage, mode L each."""
        config = self.config
        stretched = rng.random() >= config.unstretched_share
        block_minus = rng.random() < config.block_minus_share
        in_steps = rng.random() < config.stepwise_share
        solid = rng.random() < 0.5
        resampling = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR)[rng.integers(2)]
        glyphs = []
        for character, font, size_px in zip(text, fonts, sizes_px.tolist(), strict=True):
            master = next((s for s in MASTER_SIZES_PX if s >= size_px), MASTER_SIZES_PX[-1])
            glyph = _prepare(font, character, master)
            scale = size_px / master
            box = None
            if stretched and (character != "-" or block_minus):
                box = (glyph.box_width * scale, glyph.box_height * scale)
            distortion = Distortion.random(box, config.rotation_deg, rng)
            if in_steps:
                glyphs.append(distort_in_steps(glyph.ink, scale, distortion, solid=solid))
            else:
                glyphs.append(distort_at_once(glyph.ink, scale, distortion, resampling))
        return glyphs

    def _random_font(self, rng: np.random.Generator) -> FontFile:
        family = self._families[rng.integers(len(self._families))]
        return family[rng.integers(len(family))]

    def _text_colour(
        self, background: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], float]:
        """Return the colour (RGB, 0..255) and the opacity of the text; above 1 it is clipped."""
        colour = rng.integers(0, 201, size=3).astype(np.float64)
        if rng.random() < self.config.faint_share:
            contrast = math.exp(rng.uniform(math.log(2.0), math.log(40.0)))
            if rng.random() < 0.5:  # dots as faint as the text
                return np.maximum(background - contrast, 0), 1.0
            return colour, contrast / float((background - colour) @ _LUMA)
        opacity = rng.uniform(220, 256) / 255
        if rng.random() < 0.7:
            # Below 0.15 the image counts as faint, and faint_share says how many there are.
            opacity *= max(MASK_GAIN * float(colour @ _LUMA) / 255, 0.15)
        return colour, opacity

    def _draw_dots(
        self, image: Image.Image, colour: NDArray[np.float64], rng: np.random.Generator
    ) -> None:
        num = int(rng.integers(self.config.max_dots + 1) * rng.uniform(0.3, 1.0))
        draw = ImageDraw.Draw(image)
        fill = tuple(np.rint(colour).astype(int).tolist())
        width = round((2, 3, 3, 3, 4)[rng.integers(5)] * self._scale)
        for x, y in rng.integers((0, 0), (image.width, image.height), size=(num, 2)).tolist():
            draw.line((x, y, x - 1, y - 1), fill=fill, width=width)


def _point(images: list[Image.Image], table: list[int]) -> list[Image.Image]:
    """Map all pixels of several images, mode L, side by side in one: a table is dear to pass."""
    lefts = list(accumulate((image.width for image in images), initial=0))
    strip = Image.new("L", (lefts[-1], max(image.height for image in images)))
    for image, left in zip(images, lefts[:-1], strict=True):
        strip.paste(image, (left, 0))
    strip = strip.point(table)
    return [
        strip.crop((left, 0, right, image.height))
        for image, (left, right) in zip(images, pairwise(lefts), strict=True)
    ]


def _blend(
    opacity: Image.Image, background: NDArray[np.float64], colour: NDArray[np.float64]
) -> Image.Image:
    """Lay a colour over a background, by a table of the 256 opacities: mode L to RGB.

    ``opacity`` gets the table as its palette.
    """
    alpha = np.arange(256)[:, None] / 255
    table = np.rint(background + alpha * (colour - background)).astype(np.uint8)
    opacity.putpalette(table.tobytes())
    return opacity.convert("RGB")


def _degrade(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lose quality in one of four ways: noise, blur, shrinking, binarising and shrinking."""
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
        grey = np.asarray(image.convert("L"))
        darkest, background = np.quantile(grey, 0.05), np.median(grey)
        threshold = background + (darkest - background) * rng.uniform(0.1, 0.7)
        image = Image.fromarray(grey > threshold).convert("L")
    methods = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BOX)
    small = image.resize(size, methods[rng.integers(3)])
    if kind == 3:
        small = small.point(lambda value: 255 if value > 127 else 0)
    return small.convert("RGB").resize((image.width, image.height), Image.Resampling.BICUBIC)
