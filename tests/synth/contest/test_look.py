"""Looks: configured shares and ranges, and the captcha package's style against the package."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import captcha.image
import numpy as np
import pytest
from captcha.image import ImageCaptcha
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.core.config.schema import SynthConfig
from exprocr.errors import FontError
from exprocr.synth.contest.distort import CONTEST_WARP, PACKAGE_WARP, Distortion, Warp
from exprocr.synth.contest.look import PACKAGE_SIZES_PX, Look, Looks
from exprocr.synth.contest.painter import ContestPainter
from exprocr.synth.fonts import FontFile, find_fonts
from exprocr.synth.renderer import Renderer, sample_rng
from exprocr.synth.texts import LEVEL1
from exprocr.synth.typefaces import Typefaces
from tests.benchmarks.captcha_images import SeededSecrets, draw_images

(DROID,) = find_fonts([Path(captcha.image.DATA_DIR)], LEVEL1.characters, system=False).usable
SANS, SERIF = FontFile("Sans", "Book", "sans.ttf"), FontFile("Serif", "Book", "serif.ttf")
NUM_LOOKS = 2000


def draw(config: SynthConfig, fonts: list[FontFile], num: int = NUM_LOOKS) -> list[Look]:
    looks, rng = Looks(fonts, config), np.random.default_rng(0)
    return [looks.draw(7, rng) for _ in range(num)]


def share(flags: list[bool]) -> float:
    return sum(flags) / len(flags)


def near(expected: float) -> Any:
    """Expect a share, within four standard errors."""
    return pytest.approx(expected, abs=4 * (expected * (1 - expected) / NUM_LOOKS) ** 0.5)


def test_families_are_drawn_evenly() -> None:
    styles = [replace(SERIF, style=str(number)) for number in range(9)]
    looks = draw(SynthConfig(mixed_fonts_share=0), [SANS, *styles])
    assert share([look.fonts[0] == SANS for look in looks]) == near(0.5)
    counts = Counter(look.fonts[0].style for look in looks if look.fonts[0] != SANS)
    assert len(counts) == len(styles)
    assert max(counts.values()) < 1.5 * min(counts.values())


def test_the_favorite_font_has_its_share_in_addition_to_chance() -> None:
    fonts = [SANS, *(replace(SERIF, family=f"Serif {number}") for number in range(3))]
    config = SynthConfig(
        favorite_font=SANS.family, favorite_share=0.6, mixed_fonts_share=0.0, width=300
    )
    looks = draw(config, fonts)
    assert all(len(set(look.fonts)) == 1 for look in looks)
    assert share([look.fonts[0] == SANS for look in looks]) == near(0.6 + 0.4 / 4)


def test_a_favorite_font_without_a_share_changes_nothing() -> None:
    plain, named = (draw(SynthConfig(favorite_font=f), [SANS, SERIF], 50) for f in ("", "Sans"))
    assert [look.fonts for look in plain] == [look.fonts for look in named]
    assert [look.overlaps for look in plain] == [look.overlaps for look in named]


@pytest.mark.parametrize(
    "config", [SynthConfig(favorite_share=0.1), SynthConfig(package_share=0.1)]
)
def test_a_missing_favorite_font_is_named(config: SynthConfig) -> None:
    message = "synth.favorite_font: expected one of 2 font families, found 'Comic'"
    with pytest.raises(FontError, match=message):
        Looks([SANS, SERIF], replace(config, favorite_font="Comic"))


def test_shares_of_the_contests_style_follow_the_configuration() -> None:
    config = SynthConfig(
        mixed_fonts_share=0.2,
        unstretched_share=0.3,
        stepwise_share=0.6,
        block_minus_share=0.7,
        degraded_share=0.4,
    )
    looks = draw(config, [SANS, SERIF])
    # Seven glyphs of two families have one family by chance in 2 of 128 cases.
    assert share([len(set(look.fonts)) == 2 for look in looks]) == near(0.2 * 126 / 128)
    assert share([look.stretched for look in looks]) == near(0.7)
    assert share([look.block_minus for look in looks]) == near(0.7)
    assert share([look.degraded for look in looks]) == near(0.4)
    manners: Counter[str] = Counter(look.manner for look in looks)
    for manner, expected in (("solid", 0.3), ("faded", 0.3), ("nearest", 0.2), ("bilinear", 0.2)):
        assert manners[manner] / NUM_LOOKS == near(expected)
    # Shares are drawn independently.
    both = [look.block_minus and look.degraded for look in looks]
    assert share(both) == near(0.28)


def test_ranges_of_the_contests_style_follow_the_configuration() -> None:
    config = SynthConfig(min_font_size_px=30, max_font_size_px=50, max_overlap=0.4, max_dots=80)
    looks = draw(config, [SANS])
    sizes = [size for look in looks for size in look.sizes_px]
    assert [min(sizes), max(sizes)] == pytest.approx([30, 50], abs=0.5)
    overlaps = [overlap for look in looks for overlap in look.overlaps]
    assert [min(overlaps), max(overlaps)] == pytest.approx([-0.3, 0.4], abs=0.02)
    assert share([min(look.overlaps) < 0 for look in looks]) == near(0.1)
    assert 76 <= max(look.num_dots for look in looks) <= 80
    assert {look.dot_width_px for look in looks} == {2, 3, 4}
    assert {look.warp for look in looks} == {CONTEST_WARP}


def test_the_packages_style_has_its_share_and_its_favorite_font() -> None:
    config = SynthConfig(package_share=0.25, favorite_font="Sans", mixed_fonts_share=0)
    looks = draw(config, [SANS, SERIF])
    package = [look for look in looks if look.warp == PACKAGE_WARP]
    assert len(package) / NUM_LOOKS == near(0.25)
    assert {font for look in package for font in look.fonts} == {SANS}
    assert {size for look in package for size in look.sizes_px} == set(PACKAGE_SIZES_PX)
    without = draw(replace(config, package_share=1, favorite_font=""), [SANS, SERIF])
    assert {look.fonts[0] for look in without} == {SANS, SERIF}


def figures(image: Image.Image) -> list[float]:
    """Return measurements of a picture: ink, extent, contrast, pale edges, unevenness."""
    gray = np.asarray(image.convert("L"), dtype=float)
    deviation = np.median(gray) - gray
    ink = deviation > 0.3 * deviation.max()
    columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    return [
        ink.mean(),
        columns[-1] - columns[0],
        rows[-1] - rows[0],
        deviation.max(),
        deviation.mean(),
        (deviation < -1.5).mean(),
        np.abs(np.diff(gray, axis=0)).mean(),
        np.abs(np.diff(gray, axis=1)).mean(),
    ]


def test_glyphs_in_the_packages_style_have_the_packages_sizes() -> None:
    config, rng = SynthConfig(package_share=1), np.random.default_rng(0)
    text = LEVEL1.characters
    one = ContestPainter(Typefaces([DROID], text), config)
    looks = Looks([DROID], config)
    canvas = ImageDraw.Draw(Image.new("RGB", (180, 60)))
    for size in PACKAGE_SIZES_PX:
        artist = ImageCaptcha(font_sizes=(size,))
        theirs = [artist._draw_character(c, canvas, (9, 9, 9, 255)).size for c in text]
        look = replace(looks.draw(len(text), rng), sizes_px=[size] * len(text))
        assert [glyph.size for glyph in one.draw_glyphs(text, look, rng)] == theirs


def test_other_settings_do_not_change_the_packages_style() -> None:
    other = SynthConfig(
        min_font_size_px=20,
        max_font_size_px=30,
        rotation_deg=0,
        max_overlap=0.5,
        max_dots=0,
        mixed_fonts_share=1,
        unstretched_share=1,
        stepwise_share=0,
        block_minus_share=0,
        faint_share=1,
        degraded_share=1,
        package_share=1,
    )
    one, two = (Renderer([DROID], c) for c in (SynthConfig(package_share=1), other))
    for index in range(5):
        assert one.sample(0, 0, index)[1].tobytes() == two.sample(0, 0, index)[1].tobytes()


@pytest.mark.slow
def test_pictures_in_the_packages_style_are_like_the_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(captcha.image, "secrets", vars(captcha.image)["secrets"])  # restored later
    ours = Renderer([DROID], SynthConfig(package_share=1))
    contest = Renderer([DROID], SynthConfig(block_minus_share=1))
    drawn = [list(draw_images(400, 0))]
    drawn += [[one.sample(0, 0, index) for index in range(400)] for one in (ours, contest)]
    theirs, package, other = (
        np.mean([figures(image) for text, image in some if len(text) == 7], axis=0)
        for some in drawn
    )
    ours_apart, other_apart = (np.abs(np.divide(f, theirs) - 1) for f in (package, other))
    assert np.all(ours_apart < [0.05, 0.05, 0.05, 0.05, 0.05, 0.2, 0.05, 0.05]), ours_apart
    assert other_apart[0] > 0.12


def shifts_of(warp: Warp, box: tuple[int, int], num: int) -> NDArray[np.float64]:
    """Return horizontal and vertical shifts of the first corner."""
    rng = np.random.default_rng(0)
    drawn = [Distortion.random(box, 30, rng, warp) for _ in range(num)]
    return np.array([(one.dx[0], one.dy[0]) for one in drawn])


def test_warps_are_like_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs: list[tuple[float, float]] = []
    transform = Image.Image.transform

    def spy(image: Image.Image, size: Any, method: Any, data: Any, *rest: Any, **more: Any) -> Any:
        if method == Image.Transform.QUAD:
            theirs.append(data[:2])
        return transform(image, size, method, data, *rest, **more)

    monkeypatch.setattr(Image.Image, "transform", spy)
    artist = ImageCaptcha(font_sizes=(56,))
    canvas = ImageDraw.Draw(Image.new("RGB", (180, 60)))
    monkeypatch.setattr(captcha.image, "secrets", SeededSecrets(0))
    while len(theirs) < 2000:
        size = artist._draw_character("(", canvas, (9, 9, 9, 255)).size
    assert np.all(shifts_of(PACKAGE_WARP, size, 50) % 1 == 0)
    for warp, is_like in ((PACKAGE_WARP, True), (CONTEST_WARP, False)):
        spread = np.abs(shifts_of(warp, size, 2000)).mean(axis=0) / np.abs(theirs).mean(axis=0)
        assert np.all(np.abs(spread - 1) < 0.2) == is_like, spread


@pytest.mark.parametrize("text", ["1", "(1+2)*3-(4*5)"])
def test_any_text_can_be_drawn_in_the_packages_style(text: str) -> None:
    for width, height in ((180, 60), (400, 133)):
        config = SynthConfig(package_share=1, width=width, height=height)
        image = Renderer([DROID], config).render(text, sample_rng(0, 0, 0))
        assert image.size == (width, height)
        assert 0.01 < figures(image)[0] < 0.6
