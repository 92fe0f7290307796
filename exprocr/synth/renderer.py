"""Rendering of labeled pictures: a random text, in one of the looks.

The looks are in `exprocr.synth.looks`; each has a painter. A sample depends on ``(seed, stream,
index)`` alone, not on the process that draws it.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from exprocr.core.config.schema import SynthConfig, parse_looks
from exprocr.synth.contest.painter import CaptchaPainter, ContestPainter
from exprocr.synth.fonts import FontFile, FontReport, find_fonts
from exprocr.synth.paint.display import DisplayPainter
from exprocr.synth.paint.handwritten import HandPainter
from exprocr.synth.paint.printed import PrintPainter
from exprocr.synth.paint.screen import ScreenPainter
from exprocr.synth.texts import LEVEL1, Texts, load_texts
from exprocr.synth.typefaces import Typefaces
from exprocr.synth.widths import width_of_frames

TRAIN_STREAM, VAL_STREAM, FILES_STREAM, VAL_FILES_STREAM, SAMPLE_STREAM = range(5)
"""Streams of a seed, so that training, validation, written files and single samples share no
image."""

CONTEST_WIDTH_PX = 180
"""Width of the contest's pictures."""


def sample_rng(seed: int, stream: int, index: int) -> np.random.Generator:
    """Return the random generator of sample ``index``; the streams of a seed are independent."""
    return np.random.default_rng((seed, stream, index))


class Painter(Protocol):
    """What draws texts in one look."""

    def paint(self, text: str, width: int | None, rng: np.random.Generator, /) -> Image.Image:
        """Return an RGB picture of ``text``, ``width`` px wide; None follows the text."""
        ...


class Renderer:
    """Renders texts with random looks, fonts, positions, colors and distortions.

    Args:
        fonts: Usable fonts; together they have all characters of the texts.
        config: Looks, size, ranges and shares.
        texts: What `sample` draws pictures of.

    Raises:
        FontError: The favorite font is not among them, or a look finds no font that it needs.
        DataError: The handwritten digits cannot be read.
    """

    def __init__(
        self, fonts: list[FontFile], config: SynthConfig | None = None, texts: Texts = LEVEL1
    ) -> None:
        self.config = config or SynthConfig()
        self.texts = texts
        typefaces = Typefaces(fonts, texts.characters)
        shares = parse_looks(self.config.looks)
        self._painters = {look: _painter(look, typefaces, self.config) for look in shares}
        self._up_to = dict(zip(shares, accumulate(shares.values()), strict=True))
        width = self.config.width
        self.widths = dict.fromkeys(shares, width if isinstance(width, int) else None)
        """Width of the pictures of each look, px; None follows the text."""
        is_level1 = texts == LEVEL1 or self.config.grammar == "level1"
        if width is None and "contest" in shares and is_level1:
            self.widths["contest"] = CONTEST_WIDTH_PX

    @property
    def one_width(self) -> bool:
        """Whether all pictures have the same width, whatever they say."""
        widths = set(self.widths.values())
        return len(widths) == 1 and None not in widths

    def sample(self, seed: int, stream: int, index: int) -> tuple[str, Image.Image]:
        """Return sample ``index``: a random text and its RGB picture."""
        rng = sample_rng(seed, stream, index)
        text = self.texts.draw(rng)
        return text, self.render(text, rng)

    def render(self, text: str, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text``: RGB, ``config.height`` px high."""
        look = next(iter(self._painters))
        if len(self._painters) > 1:  # the contest's look alone draws what it always drew
            chance = rng.random()
            look = next((name for name, end in self._up_to.items() if chance < end), look)
        return self._painters[look].paint(text, self.widths[look], rng)

    def least_width_px(self, num_frames: int) -> int:
        """Return the width, px, of the narrowest picture of a text that needs so many frames."""
        auto = width_of_frames(num_frames, self.config.height)
        return min(auto if width is None else width for width in self.widths.values())


def _painter(look: str, typefaces: Typefaces, config: SynthConfig) -> Painter:
    match look:
        case "contest":
            return ContestPainter(typefaces, config)
        case "captcha":
            return CaptchaPainter(typefaces, config)
        case "print":
            return PrintPainter(typefaces, config.height)
        case "screen":
            return ScreenPainter(typefaces, config.height)
        case "hand":
            return HandPainter(typefaces, config)
        case "display":
            return DisplayPainter(typefaces, config.height)
    raise AssertionError(look)


def load_renderer(config: SynthConfig) -> tuple[Renderer, FontReport]:
    """Return the renderer that the settings describe, and the fonts that were found for it.

    Raises:
        ConfigError: The grammar or the file of the texts cannot be used.
        FontError: A folder of fonts does not exist, no font is usable, a look finds no font that it
            needs, or the favorite font is not among them.
        DataError: The handwritten digits cannot be read.
    """
    texts = load_texts(config)
    folders = [Path(folder) for folder in config.fonts]
    characters = texts.characters.replace(" ", "")  # it has no ink
    is_contest = texts is LEVEL1 and tuple(parse_looks(config.looks)) == ("contest",)
    report = find_fonts(folders, characters, system=config.system_fonts, partial=not is_contest)
    return Renderer(report.usable, config, texts), report
