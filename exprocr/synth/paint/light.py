"""From ink to a picture: the ground under it, its contrast, and what blurs and roughens it.

All is done in one gray channel; the colors come last. Noise and uneven light are prepared once, as
large fields of which each picture gets a random part.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter
from PIL.JpegImagePlugin import JpegImageFile

from exprocr.synth.dice import Dice
from exprocr.synth.looks import Light

Field = NDArray[np.float32]
Color = tuple[float, float, float]

FIELD_SIZE = (512, 2048)
"""Rows and columns of a prepared field; larger pictures repeat it."""

MOST_SHRUNK = 0.85
"""A text that would be shrunk by less stays as it is."""

CLOUD_PX = 48
"""Distance between the independent values of uneven light."""


@lru_cache(maxsize=1)
def _fields() -> tuple[Field, Field, Field]:
    """Return fine grain, coarse grain and clouds: mean 0, standard deviation 1, the same always."""
    rng = np.random.default_rng(2017)
    fine = rng.standard_normal(FIELD_SIZE, dtype=np.float32)
    coarse = (fine + np.roll(fine, 1, axis=0)) / np.float32(2)
    coarse += np.roll(coarse, 1, axis=1)
    few = rng.standard_normal([side // CLOUD_PX for side in FIELD_SIZE], dtype=np.float32)
    size = (FIELD_SIZE[1], FIELD_SIZE[0])
    clouds = np.asarray(Image.fromarray(few).resize(size, Image.Resampling.BICUBIC), np.float32)
    return fine, coarse, (clouds - clouds.mean()) / clouds.std()


def part_of(number: int, size: tuple[int, int], dice: Dice) -> Field:
    """Return a random part of a field: float32 (H, W).

    Args:
        number: 0 for fine grain, 1 for coarse grain, 2 for clouds.
        size: Width and height, px.
        dice: Draws which part.
    """
    field = _fields()[number]
    (width, height), (rows, columns) = size, field.shape
    if height >= rows or width >= columns:
        field = np.tile(field, (height // rows + 2, width // columns + 2))
    top = dice.number(field.shape[0] - height)
    left = dice.number(field.shape[1] - width)
    return field[top : top + height, left : left + width]


def _ramp(num: int, end: float) -> Field:
    """Return evenly spaced values from ``-end`` to nearly ``end``."""
    return np.arange(num, dtype=np.float32) * np.float32(2 * end / num) - np.float32(end)


def ground(size: tuple[int, int], light: Light, dice: Dice) -> Field:
    """Return the brightness of an empty ground, 1 at its brightest: float32 (H, W)."""
    width, height = size
    level: Field = np.ones((height, width), np.float32)
    if dice.happens(light.gradient_share):
        fall = dice.between(light.gradient)
        across, down = dice.around(1.0), dice.around(0.5)
        x, y = _ramp(width, across), _ramp(height, down)
        level -= np.float32(fall / 2) * (1 + x + y[:, None])
    if dice.happens(light.clouds_share):
        level += np.float32(dice.between(light.clouds) / 2) * part_of(2, size, dice)
    if dice.happens(light.shadow_share):
        depth, softness = dice.between(light.shadow), dice.between((4.0, 60.0))
        edge, lean = dice.between((0.0, 1.0)) * width, dice.around(1.5)
        x = np.arange(width, dtype=np.float32) - np.float32(edge)
        y = np.arange(height, dtype=np.float32) - np.float32(height / 2)
        away = (x + np.float32(lean) * y[:, None]) / np.float32(softness * dice.pick((-1, 1)))
        level -= np.float32(depth) * np.clip(away + 0.5, 0, 1)
    return level


def draw_blur(light: Light, text_px: float, dice: Dice) -> float:
    """Draw the standard deviation of the blur, px, of a text this high; 0 for no blur."""
    return dice.between(light.blur) * text_px if dice.happens(light.blur_share) else 0.0


def blur(ink: Image.Image, sigma_px: float) -> Image.Image:
    """Return a blurred picture: two box blurs are near enough to a Gaussian, and faster."""
    if not sigma_px:
        return ink
    # The variance of a box of radius r is r (r + 1) / 3 for whole r, and nearly so in between.
    radius = ((1 + 6 * sigma_px**2) ** 0.5 - 1) / 2
    return ink.filter(ImageFilter.BoxBlur(radius)).filter(ImageFilter.BoxBlur(radius))


def draw_contrast(light: Light, dice: Dice) -> float:
    """Draw the difference between ink and ground, by the ground's level."""
    is_low = dice.happens(light.low_contrast_share)
    return dice.between(light.low_contrast if is_low else light.contrast)


def exposed(
    ink: Image.Image, level: Field, light: Light, contrast: float, dice: Dice
) -> Image.Image:
    """Return a gray picture of ink on a ground, with noise.

    Args:
        ink: Its opacity, mode L.
        level: The ground's brightness, as `ground` returns it.
        light: What is random.
        contrast: Difference between ink and ground, by the ground's level.
        dice: Draws it.

    Returns:
        The picture, mode L.
    """
    brightness = np.float32(255 * dice.between(light.ground))
    gray = np.asarray(ink, dtype=np.float32)
    gray = (1 - np.float32(contrast / 255) * gray) * level
    if dice.happens(light.noise_share):
        sigma = dice.between(light.noise) * contrast
        gray += np.float32(sigma) * part_of(dice.number(2), ink.size, dice)
    gray *= brightness
    return Image.fromarray(np.clip(gray, 0, 255, out=gray).astype(np.uint8))


def colored(gray: Image.Image, dark: Color, bright: Color) -> Image.Image:
    """Color a gray picture: mode L to RGB; the gray picture is changed.

    Args:
        gray: The picture.
        dark: The color of level 0, 0..255.
        bright: The color of level 255.
    """
    share = np.arange(256, dtype=np.float32)[:, None] / 255
    low = np.array(dark, dtype=np.float32)
    table = low + share * (np.array(bright, dtype=np.float32) - low)
    gray.putpalette(np.clip(table, 0, 255).astype(np.uint8).tobytes())
    return gray.convert("RGB")


def degraded(
    image: Image.Image, light: Light, text_px: float, dice: Dice, *, keep_size: bool = False
) -> Image.Image:
    """Return a picture, mode L or RGB: some inverted, some shrunk and enlarged, some JPEGs.

    Args:
        image: The picture.
        light: What happens how often.
        text_px: Height of its text, px.
        dice: Draws it.
        keep_size: Whether it keeps its size.
    """
    if dice.happens(light.inverse_share):
        image = ImageChops.invert(image)
    factor = dice.between(light.resolution_px) / text_px
    is_shrunk = dice.happens(light.resolution_share) and factor < MOST_SHRUNK
    if is_shrunk and not keep_size:
        small = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        methods = (Image.Resampling.BILINEAR, Image.Resampling.BOX, Image.Resampling.NEAREST)
        reduced = image.resize(small, methods[dice.number(2 + (factor > 0.5))])
        if dice.happens(light.jpeg_share):
            reduced = jpeg(reduced, dice.between(light.jpeg_quality))
        return reduced.resize(image.size, Image.Resampling.BICUBIC)
    if dice.happens(light.jpeg_share):
        return jpeg(image, dice.between(light.jpeg_quality))
    return image


def jpeg(image: Image.Image, quality: float) -> Image.Image:
    """Return a picture as a JPEG file gives it back."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=round(quality))
    stream.seek(0)
    decoded = JpegImageFile(stream)
    decoded.load()
    return decoded
