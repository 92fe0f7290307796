"""From any picture to the network's input, in the same way for training and prediction.

A picture is converted to floating-point gray and scaled to the network's height. A flat-field
correction removes shadows and uneven light: what is left by a morphological closing, or an opening
of light text, is the background (the top-hat transform, Serra 1982). Then the deviation from the
background is compressed to 0 (background) .. 255 (strongest ink). The compression is the asinh
stretch of astronomy (Lupton, Gunn & Szalay 1999, eq. 2): linear for faint signals, logarithmic for
strong ones. Text that differs from its background by two gray levels stays visible beside dots that
differ a hundred times more. Dark text on light looks like light text on dark, and pictures can be
widened with zeros, which are background.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from exprocr.core.config.schema import MAX_WIDTH_PX, PreprocessConfig
from exprocr.core.image.files import Decoded, StoredPicture, read_picture
from exprocr.core.system.limits import MAX_PICTURE_PIXELS
from exprocr.errors import ImageError

ImageSource = Path | str | bytes | BinaryIO | StoredPicture | Image.Image | NDArray[np.uint8]

MAX_PIXELS = 2**24
"""Pictures with more pixels or more than 960 rows are reduced by an integer factor, before the
conversion to floating point."""

BAND_PIXELS = 2**20
"""Pixels of a picture that are converted at a time."""

GRAY_LEVEL = 1 / 255
FAINTEST_INK = 1.5 * GRAY_LEVEL
"""A picture is blank if its strongest deviation from the background is below this."""

FIELD_ROWS = 20
"""Rows, about, of the reduced picture that the flat field is computed from."""

FIELD_WINDOW = 0.75
"""Side of the square window, by the height: what it fits into is background. So the window must be
larger than the thickest stroke, and the block that some captchas have for a minus."""

INK_WINDOW = 0.35
"""Side of the window, likewise, in which ink is rarer than background. A strong edge, such as that
of a frame, is in fewer of these windows than in larger ones."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's "L"


def describe(source: ImageSource) -> str:
    """Return the name of a source for messages: its path, or the type of the object."""
    if isinstance(source, Path | str):
        return str(source)
    return str(getattr(source, "name", "") or f"<{type(source).__name__}>")


def load_image(source: ImageSource) -> Image.Image:
    """Decode a picture and rotate it as its EXIF orientation says.

    Args:
        source: A path, the bytes of a file, a binary file object, a picture inside a file, a Pillow
            image, or a uint8 array of shape (H, W) or (H, W, 3 or 4).

    Returns:
        The picture. A JPEG of more than 20 million pixels has a half of its width and height, or
        less.

    Raises:
        ImageError: The file does not exist, is in no known format, is damaged, or is beyond one of
            the limits in `exprocr.core.system.limits`; or an array is not uint8.
    """
    return decode(source).image


def decode(source: ImageSource) -> Decoded:
    """Decode a picture as `load_image` does, and return what else its file tells."""
    name = describe(source)
    try:
        if isinstance(source, np.ndarray):
            if source.dtype != np.uint8:
                raise ImageError(f"expected an array of uint8, found {source.dtype}")
            source = Image.fromarray(source)
        if not isinstance(source, Image.Image):
            return read_picture(source)
        image = ImageOps.exif_transpose(source)
        return Decoded(image, image.size)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: expected a picture, found no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: expected a picture, found a folder") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = min(Image.MAX_IMAGE_PIXELS or MAX_PICTURE_PIXELS, MAX_PICTURE_PIXELS)
        raise ImageError(f"{name}: expected at most {limit:,} pixels, found more") from None
    except MemoryError:
        raise
    # Pillow's decoders raise many types of errors for damaged files.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(
            f"{name}: expected a readable picture, found: {reason.splitlines()[0]}"
        ) from error


def to_gray(image: Image.Image) -> NDArray[np.float32]:
    """Convert a decoded picture to gray.

    Args:
        image: A Pillow image of any mode; a transparent one is laid over its `ground_of`.

    Returns:
        float32 (H, W), 0 black .. 1 white, not rounded to 8 bits.
    """
    factor = _reduction(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _brightness(_reduce(image, factor))
    ground = ground_of(image)
    return np.concatenate([_gray_band(band, factor, ground) for band in _bands(image, factor)])


def _bands(image: Image.Image, factor: int = 1) -> Iterator[Image.Image]:
    """Yield a large picture in bands, because each conversion takes its memory again.

    Args:
        image: The picture; a small one is a single band.
        factor: A number of rows that bands begin at multiples of.
    """
    if image.width * image.height <= BAND_PIXELS:
        yield image
        return
    rows = max(1, BAND_PIXELS // (image.width * factor)) * factor
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def ground_of(image: Image.Image) -> str:
    """Return what shows through a picture: ``white`` or ``black``.

    It is the one on which the picture has more contrast, so that white ink is seen as well as black
    ink. It is white where most of the picture is visible: then the ground is a part of the picture.

    Args:
        image: A Pillow image of any mode; one without transparency has white behind it.
    """
    if not image.has_transparency_data:
        return "white"
    num_pixels = image.width * image.height
    visible = 0.0
    sums = np.zeros((2, 2))  # of the gray over black and over white, and of its squares
    for band in _bands(image):
        pixels = np.asarray(_rgba(band)) * np.float32(GRAY_LEVEL)
        alpha = pixels[..., 3]
        over_black = alpha * (pixels[..., :3] @ _LUMA)
        for row, gray in zip(sums, (over_black, over_black + (1 - alpha)), strict=True):
            row += gray.sum(dtype=np.float64), np.square(gray).sum(dtype=np.float64)
        visible += float(alpha.sum(dtype=np.float64))
    # n times the sum of squares, less the square of the sum, is n^2 times the variance.
    black, white = num_pixels * sums[:, 1] - sums[:, 0] ** 2
    return "black" if visible < num_pixels / 2 and black > white else "white"


def lay_over(image: Image.Image, ground: str) -> Image.Image:
    """Return a picture without transparency, in front of a color."""
    if not image.has_transparency_data:
        return image
    image = _rgba(image)
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image)


def _rgba(image: Image.Image) -> Image.Image:
    if image.mode in ("La", "RGBa"):  # premultiplied
        image = image.convert(image.mode.upper())
    return image.convert("RGBA")


def _gray_band(image: Image.Image, factor: int, ground: str) -> NDArray[np.float32]:
    image = lay_over(image, ground)
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    values = np.asarray(_reduce(image, factor), dtype=np.float32)
    if values.ndim == 3:
        values = values @ _LUMA
    return values * np.float32(GRAY_LEVEL)


def _brightness(image: Image.Image) -> NDArray[np.float32]:
    """Return the values of a picture of more than 8 bits or of floats, scaled to 0..1."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    # These modes do not define the value of white: take the smallest depth that fits.
    depths = (1, 255, 1023, 4095, 65535)
    top = next((depth for depth in depths if values.max() <= depth), values.max())
    values /= np.float32(top)
    return np.clip(values, 0.0, 1.0, out=values)


def _reduction(image: Image.Image) -> int:
    """Return the integer factor to reduce a huge picture by, which bounds the memory it needs."""
    by_height = image.height // 480 if image.height > 960 else 1
    by_area = math.isqrt(image.width * image.height // MAX_PIXELS) + 1
    return max(by_height, by_area)


def _reduce(image: Image.Image, factor: int) -> Image.Image:
    if factor == 1:
        return image
    if image.mode.startswith("I;"):  # 16 bits, which Pillow cannot reduce
        image = image.convert("I")
    return image.reduce(factor)


def flatten(gray: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """Bring the background to one level.

    The background is the closing of the picture where text is dark, and the opening where it is
    light. Text is dark if pixels are nearer to the lightest than to the darkest one around them:
    there is less text than background. All is computed on a reduced picture.

    Args:
        gray: (H, W) float32, 0..1.

    Returns:
        (H, W) float32, whose values can be outside 0..1; and whether text is dark.
    """
    height, width = gray.shape
    factor = max(1, round(height / FIELD_ROWS))
    small = np.asarray(Image.fromarray(gray).reduce(factor))
    # Odd, so that they have a middle; the smaller one has neighbors, if the larger one has.
    window = round(FIELD_WINDOW * height / factor) | 1
    part = min(max(round(INK_WINDOW * height / factor) | 1, 3), window)
    lightest, darkest = _running_max(small, part), -_running_max(-small, part)
    is_dark = bool((lightest - small).sum() <= (small - darkest).sum())
    rest = window - part + 1  # a maximum over the one window, then the other, is that of both
    if is_dark:
        field = -_running_max(-_running_max(lightest, rest), window)
    else:
        field = _running_max(-_running_max(-darkest, rest), window)
    box = (0, 0, width / factor, height / factor)  # the last block of pixels may be a partial one
    enlarged = Image.fromarray(field).resize((width, height), Image.Resampling.BILINEAR, box)
    level = np.asarray(enlarged, dtype=np.float32)
    return np.asarray(gray - (level - _median(np.sort(field, axis=None)))), is_dark


def _running_max(values: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Return the maximum of a square window around each pixel of (H, W); odd windows only.

    A maximum over twice as many pixels is that of two maxima.
    """
    for _ in range(2):  # along the columns; then, transposed, along the rows
        most = np.full((len(values) + window - 1, values.shape[1]), -np.inf, np.float32)
        most[window // 2 : window // 2 + len(values)] = values
        size = 1
        while size < window:
            step = min(size, window - size)
            most = np.maximum(most[:-step], most[step:])
            size += step
        values = most.T
    return values


def stretch_contrast(gray: NDArray[np.float32], is_dark: bool | None = None) -> NDArray[np.float32]:
    """Convert gray to ink: 0 for the background, 1 for the strongest deviation from it.

    The background is the median. The asinh stretch changes from linear to logarithmic at
    ``softening``. This is above the noise, and at least a quarter of the ink's level, so that
    narrow gaps between strokes stay open.

    Args:
        gray: (H, W) float32, 0..1.
        is_dark: Whether ink is darker than the background, or lighter; None takes what deviates
            more.

    Returns:
        (H, W) float32, 0..1; all 0 for a blank picture.
    """
    # One sorted copy gives all quantiles, as `numpy.quantile` gives them with method="nearest".
    ordered = np.sort(gray, axis=None)
    last = ordered.size - 1
    background = _median(ordered)
    deviation = background - gray
    ordered = background - ordered[::-1]
    low, high = ordered[round(0.005 * last)], ordered[round(0.995 * last)]
    if is_dark is None:
        is_dark = -low <= high
    if not is_dark:
        deviation, ordered, high = -deviation, -ordered[::-1], -low
    if high < FAINTEST_INK:
        return np.zeros_like(gray)
    noise = _median_magnitude(ordered)
    ink = ordered[round(0.95 * last)]
    softening = max(4 * GRAY_LEVEL, 3 * noise, 0.25 * ink)
    stretched = np.arcsinh(np.clip(deviation, 0, high) / softening)
    return np.asarray(stretched / np.arcsinh(high / softening), dtype=np.float32)


def _median(ordered: NDArray[np.float32]) -> np.float32:
    """Return the median of sorted values."""
    last = ordered.size - 1
    return np.float32((ordered[last // 2] + ordered[-(-last // 2)]) / 2)


def _median_magnitude(ordered: NDArray[np.float32]) -> np.float32:
    """Return the median of the absolute values of sorted values, without sorting these too.

    The k values that are nearest to zero are neighbors, and the farthest of them is at an end. So
    the k-th absolute value is the least, over all k neighbors, of the greater end.
    """
    size = ordered.size
    low, high = (
        np.maximum(-ordered[: size - k + 1], ordered[k - 1 :]).min()
        for k in ((size + 1) // 2, size // 2 + 1)
    )
    return np.float32((low + high) / 2)


def preprocess(image: Image.Image, config: PreprocessConfig) -> NDArray[np.uint8]:
    """Convert a decoded picture to the network's input.

    Args:
        image: The result of `load_image`.
        config: The size that the network expects.

    Returns:
        uint8 (config.height, W), 0 background .. 255 strongest ink.

    Raises:
        ImageError: The picture is empty, or wider than `MAX_WIDTH_PX` at the network's height.
    """
    if not image.width or not image.height:
        raise ImageError(f"expected a picture, found one of {image.width} x {image.height} px")
    width = scaled_width(image.size, config)
    if width > MAX_WIDTH_PX:
        raise ImageError(
            f"expected a picture at most {MAX_WIDTH_PX // config.height} times as wide as high, "
            f"found {image.width} x {image.height} px"
        )
    gray = to_gray(image)
    if gray.shape != (config.height, width):
        scaled = Image.fromarray(gray).resize((width, config.height), Image.Resampling.BICUBIC)
        gray = np.asarray(scaled)
    ink = np.rint(to_ink(gray, flat_field=config.flat_field) * 255).astype(np.uint8)
    return widen(ink, padded_width(width, config))


def to_ink(gray: NDArray[np.float32], *, flat_field: bool = True) -> NDArray[np.float32]:
    """Convert gray (H, W) float32, 0..1, to ink as `stretch_contrast` does, evened out before.

    Without ``flat_field``, what `flatten` does is left out.
    """
    return stretch_contrast(*flatten(gray)) if flat_field else stretch_contrast(gray)


def scaled_width(size: tuple[int, int], config: PreprocessConfig) -> int:
    """Return the width, px, of a picture (width, height) after scaling to the network's height."""
    width, height = size
    return config.width or max(1, round(width * config.height / height))


def padded_width(width: int, config: PreprocessConfig) -> int:
    """Return the width, px, to which a picture ``width`` px wide is widened."""
    return -(-width // config.width_multiple) * config.width_multiple


def widen(ink: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Add background columns on the right until the picture is ``width`` px wide."""
    missing = width - ink.shape[1]
    return np.pad(ink, ((0, 0), (0, missing))) if missing else ink


class Loaded(NamedTuple):
    """A picture as the network's input."""

    ink: NDArray[np.uint8]
    """uint8 (H, W), as `preprocess` returns it."""

    size: tuple[int, int]
    """Width and height of the original picture, upright, px."""

    more_frames: bool = False
    """Whether its file has more frames or pages, which are not read."""


def load(source: ImageSource, config: PreprocessConfig) -> Loaded:
    """Return ``preprocess(load_image(source), config)``; an `ImageError` names the source."""
    image, size, more_frames = decode(source)
    try:
        return Loaded(preprocess(image, config), size, more_frames)
    except ImageError as error:
        raise ImageError(f"{describe(source)}: {error}") from None
