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

from exprocr.core.config.schema import Kind, SynthConfig, parse_looks
from exprocr.synth.contest.painter import CaptchaPainter, ContestPainter
from exprocr.synth.fonts import FontFile, FontReport, find_fonts
from exprocr.synth.paint.display import DisplayPainter
from exprocr.synth.paint.handwritten import HandPainter
from exprocr.synth.paint.printed import PrintPainter
from exprocr.synth.paint.screen import ScreenPainter
from exprocr.synth.texts import LEVEL1, UNKNOWN, Texts, characters_of, load_texts, sources
from exprocr.synth.typefaces import Typefaces
from exprocr.synth.widths import width_of_frames

TRAIN_STREAM, VAL_STREAM, FILES_STREAM, VAL_FILES_STREAM, SAMPLE_STREAM = range(5)
"""Streams of a seed, so that training, validation, written files and single samples share no
image."""

CONTEST_WIDTH_PX = 180
"""Width of the contest's pictures."""

LETTERS = "ACEFGHJKLMNPRTUVWYacdefhjkmnpruvwyz"
"""What unknown characters are drawn as: letters that hardly resemble a digit or a sign."""


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
        texts: What `sample` draws pictures of, in the looks without texts of their own.

    Raises:
        FontError: The favorite font is not among them, or a look finds no font that it needs.
        DataError: The handwritten digits cannot be read.
    """

    def __init__(
        self, fonts: list[FontFile], config: SynthConfig | None = None, texts: Texts = LEVEL1
    ) -> None:
        self.config = config or SynthConfig()
        shares = parse_looks(self.config.looks)
        self.texts = sources(shares, texts)
        """What is drawn, by the names in ``looks``; those without a name are ""."""
        typefaces = Typefaces(fonts, _drawn(characters_of(self.texts)))
        self._painters = {
            look: _painter(look, typefaces, self.config)
            for look in dict.fromkeys(kind.look for kind in shares)
        }
        self._up_to = dict(zip(shares, accumulate(shares.values()), strict=True))
        self.widths = {kind: self._width(kind) for kind in shares}
        """Width of the pictures of each kind, px; None follows the text."""

    def _width(self, kind: Kind) -> int | None:
        if self.config.width is not None:
            return self.config.width if isinstance(self.config.width, int) else None
        is_level1 = self.texts[kind.texts_like] == LEVEL1 or (
            not kind.texts_like and self.config.grammar == "level1"
        )
        return CONTEST_WIDTH_PX if kind.look == "contest" and is_level1 else None

    @property
    def one_width(self) -> bool:
        """Whether all pictures have the same width, whatever they say."""
        widths = set(self.widths.values())
        return len(widths) == 1 and None not in widths

    def sample(self, seed: int, stream: int, index: int) -> tuple[str, Image.Image]:
        """Return sample ``index``: a random text and its RGB picture."""
        rng = sample_rng(seed, stream, index)
        kind = self._draw_kind(rng)
        text = self.texts[kind.texts_like].draw(rng)
        return text, self._paint(kind, text, rng)

    def render(self, text: str, rng: np.random.Generator) -> Image.Image:
        """Return a picture of ``text``: RGB, ``config.height`` px high.

        An unknown character, U+FFFD, is drawn as a random letter.
        """
        return self._paint(self._draw_kind(rng), text, rng)

    def _draw_kind(self, rng: np.random.Generator) -> Kind:
        first = next(iter(self._up_to))
        if len(self._up_to) == 1:  # the contest's look alone draws what it always drew
            return first
        chance = rng.random()
        return next((kind for kind, end in self._up_to.items() if chance < end), first)

    def _paint(self, kind: Kind, text: str, rng: np.random.Generator) -> Image.Image:
        if UNKNOWN in text:
            letters = (LETTERS[i] for i in rng.integers(len(LETTERS), size=len(text)))
            text = "".join(d if c == UNKNOWN else c for c, d in zip(text, letters, strict=True))
        return self._painters[kind.look].paint(text, self.widths[kind], rng)

    def least_width_px(self, kind: Kind) -> int:
        """Return the width, px, of the narrowest picture of a kind's most demanding text."""
        auto = width_of_frames(self.texts[kind.texts_like].max_frames, self.config.height)
        return self.widths[kind] or auto


def _drawn(characters: str) -> str:
    """Return the characters that are drawn for those of the texts, sorted."""
    known = characters.replace(UNKNOWN, "")
    return "".join(sorted({*known, *LETTERS})) if known != characters else characters


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
    report = fonts_for(config, texts)
    return Renderer(report.usable, config, texts), report


def fonts_for(config: SynthConfig, texts: Texts) -> FontReport:
    """Find the fonts for texts, in the looks without texts of their own.

    Raises:
        FontError: A folder of fonts does not exist, or no font is usable.
    """
    kinds = parse_looks(config.looks)
    drawn = sources(kinds, texts)
    folders = [Path(folder) for folder in config.fonts]
    characters = _drawn(characters_of(drawn)).replace(" ", "")  # it has no ink
    is_contest = {kind.look for kind in kinds} == {"contest"} and list(drawn.values()) == [LEVEL1]
    return find_fonts(folders, characters, system=config.system_fonts, partial=not is_contest)
