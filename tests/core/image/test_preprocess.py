"""Preprocessing: every picture Pillow opens, faint text, sizes, and what is no picture."""

from __future__ import annotations

import dataclasses
import math
import statistics
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from exprocr.core.config.schema import MAX_WIDTH_PX, PreprocessConfig
from exprocr.core.image.preprocess import (
    load,
    padded_width,
    preprocess,
    scaled_width,
    stretch_contrast,
    to_gray,
)
from exprocr.errors import ConfigError, ImageError
from tests.support.pictures import (
    correlation,
    dot_places,
    encoded,
    gray_values,
    text_picture,
    with_alpha,
)

Ink = NDArray[np.uint8]
CONFIG = PreprocessConfig()


def transparent_palette() -> bytes:
    """Return a GIF whose transparent background and whose text are both black."""
    image = Image.fromarray((gray_values() < 128).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0] * 256)
    return encoded(image, "GIF", transparency=0)


def sideways_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise for display
    return encoded(text_picture().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


def rgb() -> Image.Image:
    return text_picture().convert("RGB")


MODES: dict[str, tuple[float, Callable[[], bytes]]] = {
    # name: (least correlation with the plain text, file)
    "gray png": (0.9999, lambda: encoded(text_picture(), "PNG")),
    "rgb png": (0.9999, lambda: encoded(rgb(), "PNG")),
    "rgba over white": (0.9999, lambda: encoded(with_alpha("RGBA"), "PNG")),
    "gray with alpha": (0.9999, lambda: encoded(with_alpha("LA"), "PNG")),
    "palette": (0.9999, lambda: encoded(text_picture().convert("P"), "PNG")),
    "transparent palette": (0.95, transparent_palette),
    "1 bit": (0.95, lambda: encoded(text_picture().point(lambda v: 255 * (v > 127), "1"), "PNG")),
    "16-bit png": (
        0.9999,
        lambda: encoded(Image.fromarray(gray_values().astype(np.uint16) * 257), "PNG"),
    ),
    "32-bit tiff": (
        0.9999,
        lambda: encoded(Image.fromarray(gray_values().astype(np.int32) * 257), "TIFF"),
    ),
    "8 bits in a 32-bit tiff": (
        0.9999,
        lambda: encoded(Image.fromarray(gray_values().astype(np.int32)), "TIFF"),
    ),
    "float tiff": (
        0.9999,
        lambda: encoded(Image.fromarray(gray_values().astype(np.float32) / 255), "TIFF"),
    ),
    "lab tiff": (0.97, lambda: encoded(lab(), "TIFF")),
    "cmyk jpeg": (0.98, lambda: encoded(rgb().convert("CMYK"), "JPEG", quality=95)),
    "gray jpeg": (0.98, lambda: encoded(text_picture(), "JPEG", quality=95)),
    "turned by exif": (0.95, sideways_jpeg),
    "gif": (0.999, lambda: encoded(text_picture(), "GIF")),
    "bmp": (0.9999, lambda: encoded(text_picture(), "BMP")),
    "webp": (0.999, lambda: encoded(rgb(), "WEBP", lossless=True)),
}


def lab() -> Image.Image:
    neutral = Image.new("L", (180, 60), 0)
    return Image.merge("LAB", (text_picture(), neutral, neutral))


@pytest.mark.parametrize("name", MODES)
def test_the_same_text_in_every_mode(name: str) -> None:
    if name == "webp" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    least, file = MODES[name]
    plain = load(text_picture(), CONFIG).ink
    ink, size, more_frames = load(file(), CONFIG)
    assert not more_frames
    assert size == (180, 60)  # of the upright picture
    assert ink.shape == plain.shape == (60, 180)
    assert correlation(ink, plain) >= least
    assert (ink[:, :15] < 40).all()  # the background is background


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_premultiplied_alpha(mode: str) -> None:
    """A picture in memory may hold colors that are multiplied by their opacity."""
    picture = with_alpha(mode)
    premultiplied = picture.convert({"LA": "La", "RGBA": "RGBa"}[mode])
    np.testing.assert_array_equal(preprocess(premultiplied, CONFIG), preprocess(picture, CONFIG))


def test_gray_is_not_rounded_to_8_bits() -> None:
    values = np.linspace(30_000, 30_250, 180 * 60).astype(np.uint16).reshape(60, 180)
    gray = to_gray(Image.fromarray(values))
    assert len(np.unique(gray)) == len(np.unique(values))
    np.testing.assert_allclose(gray, values / 65535, atol=1e-6)


def test_colors_weigh_as_in_bt601() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    gray = to_gray(Image.fromarray(pixels)) * 255
    assert np.abs(gray - np.asarray(Image.fromarray(pixels).convert("L"))).max() <= 0.51


@pytest.mark.parametrize("dots", [None, 0])
@pytest.mark.parametrize("background", [255, 240])
def test_nearly_invisible_text_survives(background: int, dots: int | None) -> None:
    black = preprocess(text_picture(0, background), CONFIG)
    faint = preprocess(text_picture(background - 2, background, dots=dots), CONFIG)
    away = np.ones_like(black, dtype=bool)
    if dots is not None:
        for x, y in dot_places():
            away[max(y - 2, 0) : y + 5, max(x - 2, 0) : x + 5] = False
    assert correlation(faint[away], black[away]) > 0.9
    strokes = away & (black > 200)
    assert faint[strokes].mean() > 20 + 10 * np.median(faint)  # visible to a network, in 0..255


def test_light_on_dark_is_dark_on_light() -> None:
    dark = preprocess(text_picture(40, 250, dots=10), CONFIG)
    light = preprocess(ImageOps.invert(text_picture(40, 250, dots=10)), CONFIG)
    assert np.abs(dark.astype(int) - light).max() <= 1
    assert dark.max() == 255


@pytest.mark.parametrize("level", [0, 7, 128, 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I", "F"])
def test_blank_pictures_are_all_background(mode: str, level: int) -> None:
    image = Image.new("L", (90, 30), level).convert(mode)
    assert not preprocess(image, CONFIG).any()
    assert not preprocess(Image.new("I;16", (90, 30), level * 257), CONFIG).any()


def test_stretch_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    for height in range(1, 21):  # an even and an odd number of pixels
        rows = 0.9 - rng.random((height, 17)) ** rng.uniform(1, 12) * rng.uniform(0.01, 0.9)
        gray = (rows if rng.random() < 0.5 else 1 - rows).astype(np.float32)
        np.testing.assert_allclose(stretch_contrast(gray), restated(gray), atol=2e-6)


def restated(gray: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the asinh stretch from sorted lists, one pixel at a time."""

    def at(values: list[float], share: float) -> float:
        return sorted(values)[round(share * (len(values) - 1))]

    background = statistics.median(gray.ravel().tolist())
    depth = [background - value for value in gray.ravel().tolist()]
    if -at(depth, 0.005) > at(depth, 0.995):
        depth = [-value for value in depth]
    top = at(depth, 0.995)
    bend = max(4 / 255, 3 * statistics.median([abs(value) for value in depth]), at(depth, 0.95) / 4)
    stretched = [math.asinh(min(max(d, 0), top) / bend) / math.asinh(top / bend) for d in depth]
    return np.array(stretched).reshape(gray.shape)


@pytest.mark.parametrize(
    ("size", "config", "shape"),
    [
        ((180, 60), {}, (60, 180)),
        ((181, 60), {}, (60, 200)),  # widened to a multiple of 20
        ((181, 60), {"width_multiple": 1}, (60, 181)),
        ((90, 30), {}, (60, 180)),
        ((60, 120), {"width_multiple": 1}, (60, 30)),
        ((360, 120), {"height": 32, "width_multiple": 8}, (32, 96)),
        ((180, 60), {"width": 160}, (60, 160)),
        ((5000, 9), {"width": 160}, (60, 160)),
        ((1, 1), {"width_multiple": 1}, (60, 60)),
        ((100, 1), {"width_multiple": 1}, (60, 6000)),
        ((1, 300), {"width_multiple": 1}, (60, 1)),
        ((1, 300), {}, (60, 20)),
    ],
)
def test_sizes(size: tuple[int, int], config: dict[str, Any], shape: tuple[int, int]) -> None:
    assert preprocess(Image.new("RGB", size, "white"), PreprocessConfig(**config)).shape == shape


@pytest.mark.parametrize("size", [(181, 60), (90, 30), (5000, 1000), (1, 300)])
@pytest.mark.parametrize("config", [CONFIG, PreprocessConfig(width=160)])
def test_load_tells_the_size_of_the_picture(
    size: tuple[int, int], config: PreprocessConfig
) -> None:
    picture = Image.new("RGB", size, "white")
    loaded = load(picture, config)
    assert loaded.size == size
    np.testing.assert_array_equal(loaded.ink, preprocess(picture, config))
    turned = Image.Exif()
    turned[0x0112] = 8
    file = encoded(picture.transpose(Image.Transpose.ROTATE_270), "PNG", exif=turned)
    assert load(file, config).size == size


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from((32, 60)), st.integers(1, 90))
def test_widths_by_hand(width: int, height: int, rows: int, multiple: int) -> None:
    config = PreprocessConfig(height=rows, width_multiple=multiple)
    scaled = scaled_width((width, height), config)
    assert scaled == max(round(Fraction(width * rows, height)), 1)
    widened = padded_width(scaled, config)
    assert widened % multiple == 0
    assert scaled <= widened < scaled + multiple
    assert scaled_width((width, height), PreprocessConfig(width=160)) == 160


def test_widening_adds_background_on_the_right() -> None:
    picture = text_picture().crop((0, 0, 171, 60))
    narrow = preprocess(picture, PreprocessConfig(width_multiple=1))
    wide = preprocess(picture, PreprocessConfig(width_multiple=50))
    assert narrow.shape[1] == 171
    np.testing.assert_array_equal(wide[:, :171], narrow)
    assert not wide[:, 171:].any()


def test_too_wide_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("L", (MAX_WIDTH_PX // 60 + 1, 1)).save(path)
    with pytest.raises(ImageError, match=r"wide\.png: expected .* 100 times .* found 101 x 1 px$"):
        load(path, CONFIG)


@pytest.mark.parametrize("field", ["height", "width", "width_multiple"])
@pytest.mark.parametrize("value", [0, -1, MAX_WIDTH_PX + 1])
def test_configurations_out_of_range(field: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"preprocess\.{field}: expected 1 to 6000"):
        dataclasses.replace(CONFIG, **{field: value})  # type: ignore[arg-type]


def test_large_pictures_take_little_memory() -> None:
    picture = Image.new("RGB", (3000, 3000), "white")
    preprocess(text_picture(), CONFIG)
    tracemalloc.start()
    try:
        preprocess(picture, CONFIG)
        assert tracemalloc.get_traced_memory()[1] < 3000 * 3000 * 3  # below one copy of it
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "F"])
def test_deep_pictures_are_reduced_before_they_become_floats(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = text_picture(size=17)
    values = np.asarray(large).astype(np.int32) * 257
    picture = Image.fromarray(values)  # mode I
    if mode == "I;16B":
        picture = Image.frombytes(mode, large.size, values.astype(">u2").tobytes())
    elif mode != "I":
        picture = picture.convert(mode)
    sizes: list[tuple[int, int]] = []
    as_array = np.asarray

    def asarray(source: Any, *args: Any, **options: Any) -> NDArray[Any]:
        if isinstance(source, Image.Image):
            sizes.append(source.size)
        return as_array(source, *args, **options)

    monkeypatch.setattr(np, "asarray", asarray)
    gray = to_gray(picture)
    assert sizes == [(large.width // 2, large.height // 2)]
    np.testing.assert_allclose(gray, to_gray(large), atol=0.01)


def test_reducing_first_changes_little(monkeypatch: pytest.MonkeyPatch) -> None:
    large = text_picture(size=17)  # 1020 px high
    config = PreprocessConfig(flat_field=False)  # which reduces too
    reduced = preprocess(large, config)
    calls: list[int] = []

    def reduce(self: Image.Image, factor: int) -> Image.Image:
        calls.append(factor)
        return self

    monkeypatch.setattr(Image.Image, "reduce", reduce)
    plain = preprocess(large, config)
    assert set(calls) == {2}
    assert np.abs(reduced.astype(int) - plain).mean() < 1
    assert correlation(reduced, plain) > 0.999
