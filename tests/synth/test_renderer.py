"""The renderer: reproducible samples, even distributions, and the parts of a picture."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import captcha.image
import numpy as np
import pytest
from captcha.image import ImageCaptcha
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.core.config.schema import SynthConfig
from exprocr.synth import fonts
from exprocr.synth.contest.look import Looks
from exprocr.synth.contest.painter import ContestPainter, dot_pixels
from exprocr.synth.fonts import FontFile
from exprocr.synth.renderer import Renderer, sample_rng
from exprocr.synth.texts import LEVEL1
from exprocr.synth.typefaces import Typefaces
from tests.support.pictures import correlation

MATPLOTLIB = next(f for f in fonts.system_font_folders() if "mpl-data" in f.parts)
SANS = FontFile("DejaVu Sans", "Book", str(MATPLOTLIB / "DejaVuSans.ttf"))
SERIF = FontFile("DejaVu Serif", "Book", str(MATPLOTLIB / "DejaVuSerif.ttf"))
BUILT_IN = FontFile("Aileron", "Regular", "")
FONTS = [SANS, SERIF, BUILT_IN]
PLAIN = SynthConfig(max_dots=0, degraded_share=0, faint_share=0)
"""Text only."""

NUM_DRAWS = 30_000


@pytest.fixture(scope="module")
def expressions() -> list[str]:
    rng = np.random.default_rng(0)
    return [LEVEL1.draw(rng) for _ in range(NUM_DRAWS)]


def pixels(seed: int = 1, stream: int = 0, index: int = 0, fonts: list[FontFile] = FONTS) -> bytes:
    return Renderer(fonts).sample(seed, stream, index)[1].tobytes()


def test_a_sample_is_a_function_of_seed_stream_and_index() -> None:
    assert pixels() == pixels()
    others = [pixels(seed=2), pixels(stream=1), pixels(index=1)]
    assert len({pixels(), *others}) == 4
    assert pixels(1, 2, 3) != pixels(3, 2, 1)
    assert pixels(0, 0, 256) != pixels(0, 1, 0)  # the numbers are not added


def test_samples_do_not_depend_on_those_drawn_before() -> None:
    ordered = [Renderer(FONTS).sample(5, 0, index) for index in range(12)]
    one = Renderer([replace(font, style="not in the cache yet") for font in FONTS])
    for index in reversed(range(12)):
        text, image = one.sample(5, 0, index)
        assert (text, image.tobytes()) == (ordered[index][0], ordered[index][1].tobytes())
    assert len({text for text, _ in ordered}) > 9


def test_a_sample_is_drawn_by_its_generator() -> None:
    rng = sample_rng(9, 1, 4)
    text = LEVEL1.draw(rng)
    image = Renderer(FONTS).render(text, rng)
    drawn = Renderer(FONTS).sample(9, 1, 4)
    assert (text, image.tobytes()) == (drawn[0], drawn[1].tobytes())


EXPRESSION = re.compile(r"\d[-+*]\d[-+*]\d|\(\d[-+*]\d\)[-+*]\d|\d[-+*]\(\d[-+*]\d\)")


def test_expressions_are_those_of_the_contest(expressions: list[str]) -> None:
    assert all(EXPRESSION.fullmatch(text) for text in expressions)
    assert all(type(text) is str for text in expressions)
    assert set("".join(expressions)) == set(LEVEL1.characters)
    # Expected number of different ones among 27,000; the standard deviation is about 70.
    expected = 27_000 * (1 - (1 - 1 / 27_000) ** NUM_DRAWS)
    assert abs(len(set(expressions)) - expected) < 350


def check_even(counts: Counter[str], num_kinds: int) -> None:
    """Check for a uniform distribution with the chi-square statistic, at 6 sigma."""
    assert len(counts) == num_kinds
    expected = counts.total() / num_kinds
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    freedom = num_kinds - 1
    assert statistic < freedom + 6 * math.sqrt(2 * freedom)


def test_templates_operators_and_digits_are_evenly_distributed(expressions: list[str]) -> None:
    shapes = [re.sub("[-+*]", "?", re.sub(r"\d", "0", text)) for text in expressions]
    check_even(Counter(shapes), 3)
    for place in range(3):
        check_even(Counter(re.findall(r"\d", text)[place] for text in expressions), 10)
    for place in range(2):
        check_even(Counter(re.findall("[-+*]", text)[place] for text in expressions), 3)
    pairs = Counter("".join(re.findall("[-+*]", text)) for text in expressions)
    check_even(pairs, 9)
    firsts = [re.findall("[-+*]", text)[0] for text in expressions]
    check_even(Counter(map("".join, zip(shapes, firsts, strict=True))), 9)


@pytest.mark.parametrize(("width", "height"), [(180, 60), (60, 20), (200, 100), (1000, 333)])
def test_sizes(width: int, height: int) -> None:
    one = Renderer(FONTS, SynthConfig(width=width, height=height))
    for index in range(8):
        image = one.sample(0, 0, index)[1]
        assert (image.mode, image.size) == ("RGB", (width, height))


def test_text_grows_with_the_picture() -> None:
    rows = []
    for scale in (1, 3):
        config = replace(PLAIN, width=180 * scale, height=60 * scale)
        inks = [ink_of(Renderer(FONTS, config).sample(0, 0, index)[1]) for index in range(30)]
        rows.append(np.mean([np.flatnonzero(ink.any(axis=1)).size / (60 * scale) for ink in inks]))
    assert rows[1] == pytest.approx(rows[0], rel=0.1)


@pytest.mark.parametrize("sign", [".", "…"])
def test_signs_on_the_baseline_stay_low_and_small(sign: str) -> None:
    renderer = Renderer(FONTS, replace(PLAIN, unstretched_share=0, rotation_deg=0, width="auto"))
    middles = []
    for index in range(20):
        ink = ink_of(renderer.render(sign, sample_rng(0, 0, index)))
        rows = np.flatnonzero(ink.any(axis=1))
        assert rows.size < 20  # stretched to the box of its font, it would have 30 and more
        middles.append(rows.mean())
    assert min(middles) > 30
    assert np.mean(middles) > 37


def test_a_point_is_not_overlapped() -> None:
    loose, dense = (Renderer(FONTS, replace(PLAIN, max_overlap=most)) for most in (0, 0.9))
    for text, is_same in (("8.8", True), ("888", False)):
        pictures = [r.render(text, sample_rng(0, 0, 1)).tobytes() for r in (loose, dense)]
        assert (pictures[0] == pictures[1]) == is_same


@pytest.mark.parametrize("text", ["1", "(1+2)*3-(4*5)", "00000000000000000000"])
def test_texts_of_any_length(text: str) -> None:
    assert Renderer(FONTS).render(text, np.random.default_rng(0)).size == (180, 60)


def ink_of(image: Image.Image) -> NDArray[np.bool_]:
    """Return which pixels of a picture without dots are text."""
    gray = np.asarray(image.convert("L"), dtype=float)
    deviation = np.abs(np.median(gray) - gray)
    return np.asarray(deviation > 0.3 * deviation.max())


def heights_of_minus(config: SynthConfig) -> list[int]:
    one = Renderer([SANS], config)
    inks = [ink_of(one.render("-", np.random.default_rng(index))) for index in range(60)]
    return [int(np.flatnonzero(ink.any(axis=1)).size) for ink in inks]


def test_the_minus_is_thin() -> None:
    level = replace(PLAIN, rotation_deg=0, block_minus_share=0, min_font_size_px=56)
    assert max(heights_of_minus(level)) <= 8
    assert min(heights_of_minus(replace(level, block_minus_share=1, unstretched_share=0))) >= 20
    turned = heights_of_minus(replace(level, rotation_deg=30))
    assert min(turned) < max(heights_of_minus(level)) + 2 < max(turned) < 15  # but it is rotated


@pytest.mark.parametrize("place", [(30, 20), (0, 0), (59, 40)])
@pytest.mark.parametrize("width", [2, 3, 4, 9])
def test_dots_equal_those_of_the_captcha_package(
    width: int, place: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = list(reversed(place))
    monkeypatch.setattr(captcha.image, "secrets", SimpleNamespace(randbelow=lambda _: rest.pop()))
    theirs, ours = Image.new("RGB", (60, 41)), Image.new("RGB", (60, 41))
    ImageCaptcha.create_noise_dots(theirs, (9, 9, 9), width, 1)
    ImageDraw.Draw(ours).point((dot_pixels(width) + place).ravel().tolist(), fill=(9, 9, 9))
    assert ours.tobytes() == theirs.tobytes()


def test_the_number_of_dots() -> None:
    shares = []
    for num in (0, 30, 2000):
        config = replace(PLAIN, max_dots=num, min_font_size_px=8, max_font_size_px=8)
        one = Renderer([SANS], config)
        images = [one.render("1", sample_rng(0, 0, index)) for index in range(100)]
        shares.append(float(np.mean([ink_of(image).mean() for image in images])))
    # A dot has about 8 px; the average number of dots is a third of the maximum.
    assert shares[0] < 0.003
    assert 0.004 < shares[1] - shares[0] < 0.0095
    assert shares[2] > 0.15


def contrasts(config: SynthConfig, num: int) -> NDArray[np.float64]:
    """Return the largest luma difference from the background for ``num`` single glyphs."""
    one = Renderer([SANS], config)
    result = []
    for index in range(num):
        image = np.asarray(one.render("8", sample_rng(0, 0, index)), dtype=float)
        background = np.median(image, axis=(0, 1))
        result.append(float(((background - image) @ [0.299, 0.587, 0.114]).max()))
    return np.array(result)


def test_faint_text_has_2_to_40_gray_levels() -> None:
    levels = contrasts(replace(PLAIN, faint_share=1), 300)
    assert levels.min() >= 1.5  # rounded to whole levels
    assert levels.max() <= 40.6
    # Evenly spread on a logarithmic scale.
    logs = (np.log(levels) - math.log(2)) / math.log(20)
    assert logs.mean() == pytest.approx(0.5, abs=0.06)
    assert logs.std() == pytest.approx(math.sqrt(1 / 12), abs=0.04)


@dataclass(frozen=True, order=True)
class Squares(FontFile):
    """A font of full squares."""

    side_px: int = 60

    def draw(self, character: str, size_px: int) -> tuple[Image.Image, tuple[int, int]]:
        return Image.new("L", (self.side_px,) * 2, 255), (self.side_px,) * 2


def draw_squares(text: str, side_px: int, seed: int = 0, **changes: Any) -> NDArray[np.float64]:
    """Draw squares instead of characters, with a random look except for the changes: RGB."""
    rng = sample_rng(0, 0, seed)
    look = replace(
        Looks([SANS], PLAIN).draw(len(text), rng),
        fonts=[Squares("", "", "", side_px=side_px)] * len(text),
        sizes_px=[side_px] * len(text),
        master_sizes_px=[side_px],
        manner="bilinear",
        rotation_deg=0.0,
        stretched=False,
        **changes,
    )
    painter = ContestPainter(Typefaces([SANS], text), PLAIN)
    return np.asarray(painter.draw(text, look, rng, 180)).astype(float)


def test_glyphs_are_darker_where_they_overlap() -> None:
    color = np.array([90.0, 20.0, 160.0])
    num_overlapping = 0
    for index in range(20):
        row = draw_squares("88", 60, index, color=color, opacity=0.5)[30]
        background = row.max(axis=0)
        # Porter and Duff 1984, "over": the transparency of two layers is the product.
        once, twice = (
            int((np.abs(row - (background + share * (color - background))) <= 1).all(axis=1).sum())
            for share in (0.5, 0.75)
        )
        assert once >= 80
        num_overlapping += twice > 0
    assert num_overlapping >= 10


@pytest.mark.parametrize(
    ("start", "drop", "shift", "left", "top"),
    [
        (0.0, 0.0, 0.0, 0, 20),
        (0.2, 0.0, 0.0, 4, 20),  # share of the glyph's width
        (0.0, 0.15, 0.0, 0, 26),  # share of the 40 px that it does not fill
        (0.0, -0.15, 0.0, 0, 14),
        (0.2, 0.0, 0.5, 4 + 78, 20),  # share of the 157 positions of its left end
        (0.0, 0.0, 0.999, 160, 20),
    ],
)
def test_the_look_determines_the_position_of_a_glyph(
    start: float, drop: float, shift: float, left: int, top: int
) -> None:
    gray = draw_squares("8", 20, start=start, drops=[drop], shift=shift, opacity=1.0).mean(axis=2)
    ink = gray < (gray.min() + gray.max()) / 2
    columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    assert (columns[0], columns[-1], rows[0], rows[-1]) == (left, left + 19, top, top + 19)


def test_other_text_has_contrast_and_backgrounds_are_nearly_white() -> None:
    assert np.median(contrasts(PLAIN, 60)) > 40
    for index in range(40):
        image = np.asarray(Renderer(FONTS, PLAIN).sample(0, 0, index)[1])
        assert np.quantile(image, 0.7, axis=(0, 1)).min() >= 238  # text covers half of some


def test_degraded_pictures_keep_their_size_and_remain_similar() -> None:
    clean, worse = Renderer([SANS], PLAIN), Renderer([SANS], replace(PLAIN, degraded_share=1))
    same, num_changed = [], 0
    for index in range(40):
        before, after = clean.sample(0, 0, index)[1], worse.sample(0, 0, index)[1]
        assert (after.mode, after.size) == ("RGB", (180, 60))
        num_changed += before.tobytes() != after.tobytes()
        same.append(correlation(before.convert("L"), after.convert("L")))
    assert num_changed >= 36  # very weak noise is rounded away
    assert np.median(same) > 0.85
