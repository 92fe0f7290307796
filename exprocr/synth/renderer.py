"""Rendering of distorted expressions that look like the images of the 2017 contest.

Those images were made by the Python package ``captcha`` (``ImageCaptcha``), or in its style; the
package cannot be seeded. Each glyph is cropped to its ink, rotated, stretched to the box of its
font metrics and warped to a random quadrilateral. Glyphs are pasted from left to right, one over
the other. Dots and a 3 x 3 smoothing follow. The random choices and their ranges are in
`exprocr.synth.look`.

A sample depends on ``(seed, stream, index)`` alone, not on the process that draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from exprocr.core.config.schema import SynthConfig
from exprocr.synth.distort import Distortion, distort_at_once, distort_in_steps
from exprocr.synth.fonts import FontFile, FontReport, find_fonts
from exprocr.synth.look import Look, Looks
from exprocr.synth.texts import LEVEL1, Texts, load_texts

_CLEAR, _OPAQUE = 20, 235
"""Pixel values for no and for full opacity in a drawing. Values outside are left for bicubic
resampling, which overshoots at edges: a squeezed text has pale edges."""

TRAIN_STREAM, VAL_STREAM, FILES_STREAM, VAL_FILES_STREAM, SAMPLE_STREAM = range(5)
"""Streams of a seed, so that training, validation, written files and single samples share no
image."""

_SHARES = ((np.arange(256) - _CLEAR) / (_OPAQUE - _CLEAR))[:, None]
"""The opacity of each pixel value, (256, 1)."""

_RESAMPLING = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class _Glyph:
    """A prepared glyph: its ink and the size of its box."""

    ink: Image.Image  # mode L, cropped
    box_width: float  # from the pen to the end of the ink or of the advance, px
    box_height: float  # from the ascender line to the lower end of the ink, px


@lru_cache(maxsize=100_000)
def _prepare(font: FontFile, character: str, size_px: int) -> _Glyph:
    ink, (right, bottom) = font.draw(character, size_px)
    return _Glyph(ink, max(right, ink.width), max(bottom, ink.height))


def sample_rng(seed: int, stream: int, index: int) -> np.random.Generator:
    """Return the random generator of sample ``index``; the streams of a seed are independent."""
    return np.random.default_rng((seed, stream, index))


class Renderer:
    """Renders texts with random fonts, positions, colors and distortions.

    Args:
        fonts: Usable fonts, which draw all characters of the texts.
        config: Sizes, ranges and shares.
        texts: What `sample` draws pictures of.

    Raises:
        FontError: The favorite font is not among them.
    """

    def __init__(
        self, fonts: list[FontFile], config: SynthConfig | None = None, texts: Texts = LEVEL1
    ) -> None:
        self.config = config or SynthConfig()
        self.texts = texts
        self._looks = Looks(fonts, self.config)
        self._scale = self.config.height / 60

    def sample(self, seed: int, stream: int, index: int) -> tuple[str, Image.Image]:
        """Return sample ``index``: a random text and its RGB picture."""
        rng = sample_rng(seed, stream, index)
        text = self.texts.draw(rng)
        return text, self.render(text, rng)

    def render(self, text: str, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text``: RGB, ``config.width`` x ``config.height`` px."""
        return self.draw(text, self._looks.draw(len(text), rng), rng)

    def draw(self, text: str, look: Look, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text`` with a given look; ``rng`` draws distortions and dots."""
        canvas = self._draw_text(look, self.draw_glyphs(text, look, rng))
        self._draw_dots(canvas, look, rng)
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
            glyph = _prepare(font, character, master)
            scale = size_px / master
            if character == " ":
                width = round(glyph.box_width * scale)
                glyphs.append(Image.new("L", (width, 1)))
                continue
            box = None
            if look.stretched and (character != "-" or look.block_minus):
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

    def _draw_text(self, look: Look, glyphs: list[Image.Image]) -> Image.Image:
        """Return the text's opacity, `_CLEAR` to `_OPAQUE`: mode L, of the picture's size."""
        config = self.config
        average = sum(g.width for g in glyphs) / len(glyphs)
        offset = average * look.start
        starts = []
        for glyph, overlap in zip(glyphs, look.overlaps, strict=True):
            starts.append(round(offset))
            offset += glyph.width - overlap * average
        right = max(s + g.width for s, g in zip(starts, glyphs, strict=True))
        if look.squeezed_by_widths:
            right = sum(g.width for g in glyphs)
        width = max(config.width, right)
        shift = int(look.shift * (width - right + 1))
        canvas = Image.new("L", (width, config.height), _CLEAR)
        for start, drop, glyph in zip(starts, look.drops, glyphs, strict=True):
            free = config.height - glyph.height
            top = int(free / 2) + round(free * drop)
            # As in the captcha package, each glyph is pasted with its own opacity, so overlaps of a
            # pale text are darker and both glyphs remain visible. The sum, divided by the scale, is
            # clipped, as the package's mask is. Half a level compensates for truncation.
            mask = ImageChops.add(glyph, glyph, scale=2 / (look.opacity + 0.5 / 255))
            canvas.paste(_OPAQUE, (start + shift, top), mask)
        if width > config.width:
            canvas = canvas.resize((config.width, config.height), Image.Resampling.BICUBIC)
        return canvas

    def _draw_dots(self, canvas: Image.Image, look: Look, rng: np.random.Generator) -> None:
        corner = (canvas.width + 1, canvas.height + 1)
        places = rng.integers((0, 0), corner, size=(look.num_dots, 2))
        dot = dot_pixels(round(look.dot_width_px * self._scale))
        pixels = (places[:, None] + dot).astype(np.float32).ravel()  # as (dots, pixels of a dot, 2)
        # Pillow accepts a buffer of float32 without conversion; this is not documented.
        ImageDraw.Draw(canvas).point(pixels, fill=_OPAQUE)  # type: ignore[arg-type]


def load_renderer(config: SynthConfig) -> tuple[Renderer, FontReport]:
    """Return the renderer that the settings describe, and the fonts that were found for it.

    Raises:
        ConfigError: The grammar or the file of the texts cannot be used.
        FontError: A folder of fonts does not exist, no font is usable, or the favorite font is not
            among them.
    """
    texts = load_texts(config)
    folders = [Path(folder) for folder in config.fonts]
    characters = texts.characters.replace(" ", "")  # it has no ink
    report = find_fonts(folders, characters, system=config.system_fonts)
    return Renderer(report.usable, config, texts), report


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
