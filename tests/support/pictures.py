"""Pictures that several test modules share."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

WIDTHS = (180, 90, 240, 180, 60, 240, 180, 121, 180)


def text_picture(
    ink: int = 0, background: int = 255, *, dots: int | None = None, size: int = 1
) -> Image.Image:
    """Return gray text, with 30 dots over it if asked for."""
    image = Image.new("L", (180 * size, 60 * size), background)
    draw = ImageDraw.Draw(image)
    draw.text((18 * size, 10 * size), "(7+5)-4", fill=ink, font_size=32 * size)
    if dots is not None:
        for x, y in dot_places():
            draw.rectangle((x, y, x + 2, y + 2), fill=dots)
    return image


def with_a_mark(width: int, height: int) -> Image.Image:
    """Return a picture with some ink, for networks that read what they are told."""
    image = Image.new("L", (width, height), 255)
    image.paste(0, (0, 0, max(1, width // 3), max(1, height // 3)))
    return image


def expressions() -> list[Image.Image]:
    """Return nine pictures of expressions, of several widths."""
    result = []
    for number, width in enumerate(WIDTHS):
        image = Image.new("RGB", (width, 60), "white")
        ImageDraw.Draw(image).text((4, 8), f"{number}+(7*{number})", "black", font_size=34)
        result.append(image)
    return result


def dot_places() -> list[tuple[int, int]]:
    rng = np.random.default_rng(3)
    return [(int(x), int(y)) for x, y in rng.integers((0, 0), (178, 58), size=(30, 2))]


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def gray_values() -> NDArray[Any]:
    return np.asarray(text_picture())


def with_alpha(mode: str) -> Image.Image:
    """Return black text that only its opacity shows: without it, the picture is all black."""
    image = Image.new(mode, (180, 60))
    image.putalpha(ImageOps.invert(text_picture()))
    return image


def correlation(a: Image.Image | NDArray[Any], b: Image.Image | NDArray[Any]) -> float:
    """Return Pearson's correlation of two pictures of one size."""
    x, y = (np.asarray(picture, dtype=np.float64).ravel() for picture in (a, b))
    return float(np.corrcoef(x, y)[0, 1])


def matplotlib_fonts() -> Path:
    """Return the folder of the fonts that come with matplotlib, without importing it."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "mpl-data/fonts/ttf"
