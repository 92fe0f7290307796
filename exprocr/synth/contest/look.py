"""Random appearance of a rendered picture: fonts, sizes, positions and colors.

There are two styles. The *contest's* style is that of 2017: version 0.2 of the Python package
``captcha`` with thin minus signs, with wider ranges, to include images from other sources. The
*package's* style is that of version 0.7: fixed sizes, weaker warps, no random opacity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exprocr.core.config.schema import SynthConfig
from exprocr.errors import FontError
from exprocr.synth.contest.distort import CONTEST_WARP, PACKAGE_WARP, Warp
from exprocr.synth.fonts import FontFile

MASTER_SIZES_PX = (40, 56, 96)
"""Sizes of prepared glyphs; for other sizes, the next larger one is scaled down."""

PACKAGE_SIZES_PX = (42, 50, 56)
"""The ``captcha`` package's font sizes; in pictures 60 px high, glyphs are prepared at these."""

_MASK_GAIN = 1.97
"""The package's ratio of opacity to luminance of a glyph."""

_LUMA = np.array([0.299, 0.587, 0.114])

Manner = Literal["solid", "faded", "nearest", "bilinear"]
"""How glyphs are distorted, see `exprocr.synth.contest.distort`: in steps, beginning with the full
color or with one that fades at the edges; or at once, with one of two resampling methods."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The appearance of a picture, except for the distortion of each glyph.

    Lengths in px, except ``master_sizes_px``, are for pictures 60 px high. ``start`` and
    ``overlaps`` are shares of the average width of the glyphs, ``drops`` of the free height above
    and below a glyph, and ``shift`` of the free width on the right of the text.
    """

    fonts: Sequence[FontFile]
    sizes_px: Sequence[float]
    master_sizes_px: Sequence[int]
    """Sizes of prepared glyphs, ascending."""
    manner: Manner
    rotation_deg: float
    stretched: bool
    block_minus: bool
    box_margin_px: int
    """Added to the font metrics of a glyph to get the width and height of its box."""
    warp: Warp
    start: float
    overlaps: Sequence[float]
    drops: Sequence[float]
    shift: float
    squeezed_by_widths: bool
    """Whether the drawing is as wide as all glyphs side by side, though glyphs overlap."""
    background: NDArray[np.float64]
    color: NDArray[np.float64]
    opacity: float
    """Opacity of the text; above 1 it is clipped."""
    num_dots: int
    dot_width_px: int
    degraded: bool
    num_spaces: int = 0
    """How many of the glyphs are spaces that are no characters of the text."""
    has_curve: bool = False
    """Whether a curve goes across."""
    auto_width_px: tuple[float, float] | None = None
    """Range of the width of a picture that follows its text; None is near the text's own width."""


class Looks:
    """Draws random looks.

    Args:
        fonts: Usable fonts. First a family is drawn, then one of its fonts, so that all families
            are equally frequent.
        config: Sizes, ranges and shares.

    Raises:
        FontError: The favorite font is not among them.
    """

    def __init__(self, fonts: Sequence[FontFile], config: SynthConfig) -> None:
        self.config = config
        families: dict[str, list[FontFile]] = {}
        for font in fonts:
            families.setdefault(font.family, []).append(font)
        self._families = list(families.values())
        self._favorite = families.get(config.favorite_font, [])
        is_drawn = config.favorite_share or (config.package_share and config.favorite_font)
        if is_drawn and not self._favorite:
            raise FontError(
                f"synth.favorite_font: expected one of {len(families):,} font families, found "
                f"{config.favorite_font!r}"
            )

    def draw(self, num: int, rng: np.random.Generator) -> Look:
        """Draw a random look for a picture of ``num`` glyphs."""
        if self.config.package_share and rng.random() < self.config.package_share:
            return self.package_look(num, rng)
        return self._contest_look(num, rng)

    def _contest_look(self, num: int, rng: np.random.Generator) -> Look:
        config = self.config
        chance = rng.random(9).tolist()
        fonts = [self._random_font(rng)] * num
        if chance[0] < config.mixed_fonts_share:
            fonts = [self._random_font(rng) for _ in range(num)]
        if chance[1] < config.favorite_share:
            fonts = [self._random_font(rng, self._favorite)] * num
        # Mostly large sizes, as in the contest: its smallest glyphs have 2/3 of the largest size.
        smallest = rng.uniform(config.min_font_size_px, config.max_font_size_px)
        # Mostly overlaps of a random maximum, as in the contest; some pictures with gaps.
        low, high = (-0.3, 0.1) if chance[2] < 0.1 else (0.0, config.max_overlap)
        high *= rng.uniform(0.2, 1.0)
        manners: tuple[Manner, Manner] = ("nearest", "bilinear")
        if chance[3] < config.stepwise_share:
            manners = ("solid", "faded")
        start, shift, share_of_dots = rng.random(3).tolist()
        background = rng.integers(238, 256, size=3).astype(np.float64)
        color, opacity = self._contest_color(background, rng)
        return Look(
            fonts=fonts,
            sizes_px=rng.uniform(smallest, config.max_font_size_px, size=num).tolist(),
            master_sizes_px=MASTER_SIZES_PX,
            manner=manners[chance[4] < 0.5],
            rotation_deg=config.rotation_deg,
            stretched=chance[5] >= config.unstretched_share,
            block_minus=chance[6] < config.block_minus_share,
            box_margin_px=0,
            warp=CONTEST_WARP,
            start=0.2 * start,
            overlaps=rng.uniform(low, high, size=num).tolist(),
            drops=rng.uniform(-0.15, 0.15, size=num).tolist(),
            shift=shift if chance[7] < 0.3 else 0.0,
            squeezed_by_widths=False,
            background=background,
            color=color,
            opacity=opacity,
            num_dots=int(rng.integers(config.max_dots + 1) * (0.3 + 0.7 * share_of_dots)),
            dot_width_px=(2, 3, 3, 3, 4)[rng.integers(5)],
            degraded=chance[8] < config.degraded_share,
        )

    def _contest_color(
        self, background: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], float]:
        """Return the color (RGB, 0..255) and the opacity of the text."""
        color = rng.integers(0, 201, size=3).astype(np.float64)
        if rng.random() < self.config.faint_share:
            contrast = math.exp(rng.uniform(math.log(2.0), math.log(40.0)))
            if rng.random() < 0.5:  # faint dots, too
                return np.maximum(background - contrast, 0), 1.0
            return color, contrast / float((background - color) @ _LUMA)
        opacity = rng.uniform(220, 256) / 255
        if rng.random() < 0.7:
            # Below 0.15 a picture counts as faint, and faint_share determines their number.
            opacity *= max(_package_opacity(color), 0.15)
        return color, opacity

    def package_look(self, num: int, rng: np.random.Generator) -> Look:
        """Draw a look like that of ``ImageCaptcha`` with one font."""
        font = self._random_font(rng, self._favorite)
        color = rng.integers(10, 201, size=3).astype(np.float64)
        return Look(
            fonts=[font] * num,
            sizes_px=[PACKAGE_SIZES_PX[i] for i in rng.integers(3, size=num).tolist()],
            master_sizes_px=(*PACKAGE_SIZES_PX, MASTER_SIZES_PX[-1]),
            manner="solid",
            rotation_deg=30.0,
            stretched=True,
            block_minus=True,
            box_margin_px=1,  # the package measures texts from (1, 1)
            warp=PACKAGE_WARP,
            start=0.1,
            overlaps=rng.uniform(0.0, 0.25, size=num).tolist(),
            drops=[0.0] * num,
            shift=0.0,
            squeezed_by_widths=True,
            background=rng.integers(238, 256, size=3).astype(np.float64),
            color=color,
            opacity=_package_opacity(color),
            num_dots=30,
            dot_width_px=3,
            degraded=False,
        )

    def _random_font(
        self, rng: np.random.Generator, family: list[FontFile] | None = None
    ) -> FontFile:
        family = family or self._families[rng.integers(len(self._families))]
        return family[rng.integers(len(family))]


def _package_opacity(color: NDArray[np.float64]) -> float:
    """Return the opacity of a text in the ``captcha`` package, which depends on its luminance."""
    return _MASK_GAIN * float(color @ _LUMA) / 255
