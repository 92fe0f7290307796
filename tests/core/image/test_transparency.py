"""Transparent pictures: the ink decides what they are laid over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.image.preprocess import ground_of, load, preprocess, to_gray
from exprocr.viz.canvas.drawing import to_rgb
from tests.support.pictures import correlation, encoded, gray_values, text_picture

CONFIG = PreprocessConfig()
OPACITY = ImageOps.invert(text_picture())
"""How much of the text covers each pixel; its edges are half transparent."""


def rgba(red: int, green: int, blue: int) -> Image.Image:
    image = Image.new("RGBA", OPACITY.size, (red, green, blue, 0))
    image.putalpha(OPACITY)
    return image


def gray_with_alpha(level: int) -> Image.Image:
    return Image.merge("LA", (Image.new("L", OPACITY.size, level), OPACITY))


def palette(level: int) -> Image.Image:
    """Return text in one color of a palette; the other one is transparent, and of the same gray."""
    image = Image.fromarray((gray_values() < 128).astype(np.uint8)).convert("P")
    image.putpalette([level] * 768)
    return image


LIGHT: dict[str, tuple[float, Callable[[], bytes]]] = {
    # name: (least correlation with black text on white, file)
    "white": (0.9999, lambda: encoded(rgba(255, 255, 255), "PNG")),
    "yellow": (0.9999, lambda: encoded(rgba(255, 255, 0), "PNG")),
    "light gray": (0.9999, lambda: encoded(rgba(150, 150, 150), "PNG")),
    "gray with alpha": (0.9999, lambda: encoded(gray_with_alpha(255), "PNG")),
    "webp": (0.999, lambda: encoded(rgba(255, 255, 255), "WEBP", lossless=True)),
    "palette": (0.95, lambda: encoded(palette(255), "PNG", transparency=0)),
    "gif": (0.95, lambda: encoded(palette(255), "GIF", transparency=0)),
    "shadow": (0.98, lambda: encoded(with_shadow(), "PNG")),
}


def with_shadow() -> Image.Image:
    """Return white text with a faint black shadow, as subtitles have."""
    shadow = Image.new("RGBA", OPACITY.size, (0, 0, 0, 0))
    shadow.putalpha(OPACITY.point(lambda value: value // 4))
    shadow = shadow.transform(shadow.size, Image.Transform.AFFINE, (1, 0, -2, 0, 1, -2))
    return Image.alpha_composite(shadow, rgba(255, 255, 255))


@pytest.mark.parametrize("name", LIGHT)
def test_light_ink_is_read_like_dark_ink(name: str) -> None:
    least, file = LIGHT[name]
    plain = load(text_picture(), CONFIG).ink
    ink = load(file(), CONFIG).ink
    assert correlation(ink, plain) >= least
    assert (ink[:, :15] < 40).all()  # the background is background


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_premultiplied_light_ink(mode: str) -> None:
    picture = gray_with_alpha(255).convert(mode)
    premultiplied = picture.convert({"LA": "La", "RGBA": "RGBa"}[mode])
    np.testing.assert_array_equal(preprocess(premultiplied, CONFIG), preprocess(picture, CONFIG))
    assert ground_of(premultiplied) == "black"


def over_white(image: Image.Image) -> NDArray[np.float64]:
    """Return the gray of a picture on white paper, 0..1, without rounding."""
    pixels = np.asarray(image.convert("RGBA"), dtype=np.float64) / 255
    gray = pixels[..., :3] @ (0.299, 0.587, 0.114)
    result: NDArray[np.float64] = pixels[..., 3] * gray + 1 - pixels[..., 3]
    return result


def screenshot(paper: int, ink: int) -> Image.Image:
    """Return text in a window whose rounded corners are transparent."""
    image = text_picture(ink, paper).convert("RGBA")
    alpha = np.full((60, 180), 255, np.uint8)
    for row, column in ((0, 0), (0, -8), (-8, 0), (-8, -8)):
        alpha[row:, column:][:8, :8] = 0
    image.putalpha(Image.fromarray(alpha))
    return image


def veiled() -> Image.Image:
    """Return black text on a veil, which is white and a third opaque."""
    veil = Image.new("RGBA", OPACITY.size, (255, 255, 255, 85))
    return Image.alpha_composite(veil, rgba(0, 0, 0))


@pytest.mark.parametrize(
    "image",
    [
        rgba(0, 0, 0),
        rgba(200, 0, 0),
        rgba(100, 100, 100),
        gray_with_alpha(0),
        screenshot(255, 0),
        veiled(),
        Image.new("RGBA", (20, 10), (255, 255, 255, 0)),
        text_picture(),
        text_picture(255, 0).convert("RGBA"),
    ],
    ids=["black", "red", "gray", "gray with alpha", "window", "veil", "nothing", "opaque", "dark"],
)
def test_what_stands_out_from_white_lies_on_white(image: Image.Image) -> None:
    assert ground_of(image) == "white"
    np.testing.assert_allclose(to_gray(image), over_white(image), atol=1 / 255)


def test_dark_ink_is_unchanged() -> None:
    image = rgba(0, 0, 0)
    white = Image.new("RGBA", image.size, "white")
    expected = preprocess(Image.alpha_composite(white, image).convert("RGB"), CONFIG)
    np.testing.assert_array_equal(preprocess(image, CONFIG), expected)


def test_the_whole_of_a_large_picture_decides() -> None:
    """It is converted in bands, of which the upper ones have no ink and the last one dark ink."""
    image = Image.new("RGBA", (1800, 2000), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (300, 900, 1500, 1200))
    image.paste((0, 0, 0, 255), (300, 1900, 310, 1910))
    assert ground_of(image) == "black"
    gray = to_gray(image)
    factor = 2000 // len(gray)
    expected = np.zeros((2000, 1800))
    expected[900:1200, 300:1500] = 1
    blocks = expected.reshape(len(gray), factor, -1, factor).mean(axis=(1, 3))
    np.testing.assert_allclose(gray, blocks, atol=2 / 255)


def test_people_are_shown_what_is_read() -> None:
    shown = np.asarray(to_rgb(rgba(255, 255, 255)))
    np.testing.assert_array_equal(shown[..., 0], np.asarray(OPACITY))
    assert (np.asarray(to_rgb(rgba(0, 0, 0)))[0, 0] == 255).all()
