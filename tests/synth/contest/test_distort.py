"""Distorting a glyph in steps, against the captcha package's pixels, and at once."""

from __future__ import annotations

from itertools import product

import captcha.image
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exprocr.synth.contest.distort import Distortion, distort_at_once, distort_in_steps
from exprocr.synth.fonts import FontFile
from exprocr.synth.texts import LEVEL1
from tests.support.pictures import correlation

FONT = FontFile("Droid Sans Mono", "Regular", captcha.image.DEFAULT_FONTS[0])
SIZES_PX = (50, 33)


def random_case(character: str, size_px: int, seed: int) -> tuple[Image.Image, Distortion]:
    """Return a glyph at its final size, and a distortion with whole shifts, as in the package."""
    ink, (width, height) = FONT.draw(character, size_px)
    rng = np.random.default_rng(seed)
    drawn = Distortion.random((width + 1, height + 1), 30, rng)
    (left, right), (top, bottom) = map(np.trunc, (drawn.dx, drawn.dy))
    return ink, Distortion(drawn.angle_deg, drawn.box, (left, right), (top, bottom))


def draw_like_captcha(character: str, size_px: int, distortion: Distortion) -> NDArray[np.uint8]:
    """Return the mask of ``ImageCaptcha._draw_character``, computed by the same steps in white."""
    font = ImageFont.truetype(FONT.path, size_px)
    canvas = Image.new("RGBA", (100, 100))
    ImageDraw.Draw(canvas).text((10, 10), character, font=font, fill=(255, 255, 255, 255))
    image = canvas.crop(canvas.getbbox())
    image = image.rotate(distortion.angle_deg, Image.Resampling.BILINEAR, expand=True)
    if distortion.box is not None:
        (w, h), (x1, x2), (y1, y2) = (
            np.rint(pair) for pair in (distortion.box, distortion.dx, distortion.dy)
        )
        w2, h2 = w + abs(x1) + abs(x2), h + abs(y1) + abs(y2)
        data = (x1, y1, -x1, h2 - y2, w2 + x2, h2 + y2, w2 - x2, -y1)
        image = image.resize((int(w2), int(h2)))
        image = image.transform((int(w), int(h)), Image.Transform.QUAD, data)
    return np.asarray(image.convert("L"))


@pytest.mark.parametrize("size_px", SIZES_PX)
def test_steps_give_the_pixels_of_the_captcha_package(size_px: int) -> None:
    for seed, character in enumerate(LEVEL1.characters * 3):
        ink, distortion = random_case(character, size_px, seed)
        drawn = np.asarray(distort_in_steps(ink, 1.0, distortion, solid=True))
        assert np.array_equal(drawn, draw_like_captcha(character, size_px, distortion)), character


def test_steps_without_a_box_only_turn() -> None:
    for seed, character in enumerate(LEVEL1.characters):
        ink, distortion = random_case(character, 50, seed)
        turned = Distortion(distortion.angle_deg, None)
        drawn = np.asarray(distort_in_steps(ink, 1.0, turned, solid=True))
        assert np.array_equal(drawn, draw_like_captcha(character, 50, turned))


def test_solid_strokes_are_heavier_and_faded_ones_heavier_than_smooth() -> None:
    weights = []
    for seed, character in enumerate(LEVEL1.characters):
        ink, distortion = random_case(character, 50, seed)
        pictures = (
            distort_in_steps(ink, 1.0, distortion, solid=True),
            distort_in_steps(ink, 1.0, distortion, solid=False),
            distort_at_once(ink, 1.0, distortion, Image.Resampling.BILINEAR),
        )
        weights.append([np.asarray(picture).mean() for picture in pictures])
    solid, faded, smooth = np.mean(weights, axis=0)
    assert solid > 1.05 * faded > 1.05 * 1.05 * smooth


def construct(ink: Image.Image, distortion: Distortion, scale: float) -> Image.Image:
    """Rotate, stretch, warp and finally scale a large glyph, with one Pillow call per step."""
    image = ink.rotate(distortion.angle_deg, Image.Resampling.BILINEAR, expand=True)
    if distortion.box is not None:
        (w, h), (x1, x2), (y1, y2) = (
            np.array(lengths) / scale for lengths in (distortion.box, distortion.dx, distortion.dy)
        )
        w2, h2 = w + abs(x1) + abs(x2), h + abs(y1) + abs(y2)
        data = (x1, y1, -x1, h2 - y2, w2 + x2, h2 + y2, w2 - x2, -y1)
        image = image.resize((round(w2), round(h2)))
        size = (round(w), round(h))
        image = image.transform(size, Image.Transform.QUAD, data, Image.Resampling.BILINEAR)
    small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(small, Image.Resampling.BILINEAR)


@pytest.mark.parametrize("stretched", [True, False])
@pytest.mark.parametrize("size_px", [96, 56, 33])
def test_one_transform_equals_rotate_stretch_and_warp(size_px: int, stretched: bool) -> None:
    right, wrong = [], []
    scale = size_px / 96
    for seed, (character, _) in enumerate(product(LEVEL1.characters, range(3))):
        ink, (end, bottom) = FONT.draw(character, 96)
        box = (end * scale, bottom * scale) if stretched else None
        distortion = Distortion.random(box, 30, np.random.default_rng(seed))
        drawn = distort_at_once(ink, scale, distortion, Image.Resampling.BILINEAR)
        expected = construct(ink, distortion, scale)
        assert np.abs(np.subtract(drawn.size, expected.size)).max() <= 2
        expected = expected.resize(drawn.size)
        right.append(correlation(drawn, expected))
        wrong.append(correlation(drawn, expected.transpose(Image.Transpose.ROTATE_180)))
    assert min(right) > (0.9 if size_px > 40 else 0.85)  # few pixels, mostly at edges
    assert np.mean(right) > 0.95
    assert np.mean(wrong) < 0.6  # unrelated glyphs do not correlate


def test_no_distortion_is_the_glyph() -> None:
    ink, _ = FONT.draw("8", 50)
    still = Distortion(0.0, None)
    assert distort_at_once(ink, 1.0, still, Image.Resampling.BILINEAR).tobytes() == ink.tobytes()
    opacity = np.asarray(ink, dtype=float)
    faded = np.asarray(distort_in_steps(ink, 1.0, still, solid=False), dtype=float)
    # Color times opacity is rounded to whole levels, so faint pixels have coarse colors.
    assert np.all(np.abs(faded - opacity) <= 1 + 128 / np.maximum(opacity, 1))
    assert np.abs(faded - opacity).mean() < 0.5
