"""The flat-field correction, against Pillow's rank filters and under shadows drawn here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.image.preprocess import flatten, preprocess
from exprocr.core.model.artifact import ModelFile
from tests.support.pictures import correlation, text_picture

CONFIG = PreprocessConfig()
GLOBAL = PreprocessConfig(flat_field=False)


def shadow(kind: str) -> NDArray[np.float32]:
    """Return the light on a picture of 60 x 180 px, 0.3..1."""
    x, y = np.meshgrid(np.arange(180, dtype=np.float32), np.arange(60, dtype=np.float32))
    if kind == "soft edge":
        share = 0.5 + 0.5 * np.tanh((x + y - 110) / 12)
    elif kind == "slope":
        share = x / 179
    else:  # a lamp
        share = np.exp(-(((x - 60) / 70) ** 2) - ((y - 20) / 60) ** 2)
    return (0.3 + 0.7 * share).astype(np.float32)


@pytest.mark.parametrize("is_light", [False, True])
@pytest.mark.parametrize("width", [9, 61, 180])
def test_the_background_is_what_rank_filters_leave(is_light: bool, width: int) -> None:
    rng = np.random.default_rng(width)
    gray = np.linspace(0.5, 0.9, width, dtype=np.float32) + np.zeros((20, 1), np.float32)
    gray[rng.random(gray.shape) < 0.2] -= 0.3
    gray = 1 - gray if is_light else gray
    first, second = ImageFilter.MaxFilter(15), ImageFilter.MinFilter(15)
    if is_light:
        first, second = second, first  # type: ignore[assignment]
    level = np.asarray(Image.fromarray(gray).filter(first).filter(second))
    found, is_dark = flatten(gray)
    assert is_dark is not is_light
    np.testing.assert_allclose(found, gray - level + np.median(level), atol=1e-6)


@pytest.mark.parametrize("is_light", [False, True])
@pytest.mark.parametrize("kind", ["soft edge", "slope", "lamp"])
def test_text_in_a_shadow_is_the_text(kind: str, is_light: bool) -> None:
    plain = text_picture(60, 250)
    shadowed = Image.fromarray((np.asarray(plain) * shadow(kind)).astype(np.uint8))
    if is_light:  # or in a reflection
        plain, shadowed = ImageOps.invert(plain), ImageOps.invert(shadowed)
    expected = preprocess(plain, CONFIG)
    found, uncorrected = preprocess(shadowed, CONFIG), preprocess(shadowed, GLOBAL)
    assert correlation(found, expected) > max(0.7, correlation(uncorrected, expected) + 0.3)


@pytest.mark.parametrize("is_light", [False, True])
@pytest.mark.parametrize(
    ("edge", "level", "contrast"), [("frame", 150, 0.1), ("frame", 250, 0.25), ("spot", 250, 0.1)]
)
def test_a_strong_edge_does_not_outweigh_faint_text(
    edge: str, level: int, contrast: float, is_light: bool
) -> None:
    """As on displays in photographs: dark text, and a bright frame or a reflection."""
    faint = text_picture(60, 250).point(lambda gray: round(80 + contrast * gray))
    expected = preprocess(faint, CONFIG)
    draw = ImageDraw.Draw(faint)
    if edge == "frame":
        draw.rectangle((0, 0, 179, 3), level)
    else:
        draw.ellipse((166, 40, 178, 56), level)
    found = preprocess(ImageOps.invert(faint) if is_light else faint, CONFIG)
    assert correlation(found[8:, :160], expected[8:, :160]) > 0.7


@pytest.mark.parametrize("is_light", [False, True])
@pytest.mark.parametrize("width", [180, 300])
def test_a_faint_texture_does_not_outweigh_text(width: int, is_light: bool) -> None:
    plain = Image.new("L", (width, 60), 220)
    ImageDraw.Draw(plain).text((15, 8), "1+2", 40, ImageFont.load_default(36))
    specks = np.random.default_rng(0).random((60, width)) < 0.02
    pictures = [Image.fromarray(np.asarray(plain) + 20 * specks.astype(np.uint8)), plain]
    found, expected = (
        preprocess(ImageOps.invert(p) if is_light else p, CONFIG).astype(int) for p in pictures
    )
    assert correlation(found, expected) > 0.9


def test_even_light_needs_no_correction() -> None:
    picture = text_picture(60, 250, dots=10)
    np.testing.assert_array_equal(preprocess(picture, CONFIG), preprocess(picture, GLOBAL))


@pytest.mark.parametrize("size", [(30, 40), (40, 20), (12, 60)])
def test_a_block_is_ink(size: tuple[int, int]) -> None:
    """Some captchas stretch a minus to a block."""
    picture = text_picture(60, 250)
    picture.paste(60, (140, 10, 140 + size[0], 10 + size[1]))
    np.testing.assert_array_equal(preprocess(picture, CONFIG), preprocess(picture, GLOBAL))


@pytest.mark.parametrize("text", ["1", "0", "1 - 1"])
@pytest.mark.parametrize("is_light", [False, True])
def test_little_text_is_ink(text: str, is_light: bool) -> None:
    """Gaps wider than the window are no text of the other kind."""
    picture = Image.new("L", (600, 60), 240)
    draw = ImageDraw.Draw(picture)
    for place, character in enumerate(text):
        draw.text((60 + 120 * place, 2), character, 30, ImageFont.load_default(48))
    picture = ImageOps.invert(picture) if is_light else picture
    found = preprocess(picture, CONFIG)
    assert correlation(found, preprocess(picture, GLOBAL)) > 0.99


def test_a_shadow_alone_is_no_ink() -> None:
    light = Image.fromarray((shadow("slope") * 250).astype(np.uint8))
    assert preprocess(light, CONFIG).mean() < 0.4 * preprocess(light, GLOBAL).mean()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (60, 1), (7, 300)])
def test_any_size(shape: tuple[int, int]) -> None:
    gray = np.random.default_rng(0).random(shape, dtype=np.float32)
    found, _ = flatten(gray)
    assert found.shape == shape
    assert np.isfinite(found).all()


def test_models_of_older_versions_read_without(tiny_model: Path, tmp_path: Path) -> None:
    model = ModelFile.load(tiny_model)
    old = tmp_path / "old.safetensors"
    model.save(old)
    content = old.read_bytes()
    field = rb", \"flat_field\": true"
    assert content.count(field) == 1
    old.write_bytes(content.replace(field, b" " * len(field)))
    assert ModelFile.load(old).preprocess == replace(model.preprocess, flat_field=False)
