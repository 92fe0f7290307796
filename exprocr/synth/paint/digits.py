"""Handwritten digits from two IDX files, as MNIST publishes them.

An IDX file begins with two zeros, the type of its values (8: a byte), and the number of its
dimensions. The length of each dimension follows, 4 bytes with the highest first, and then the
values (http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.system.limits import MAX_DIGITS_BYTES
from exprocr.core.system.regular import read_regular
from exprocr.errors import DataError
from exprocr.synth.dice import Dice

IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
MAX_SIDE_PX = 256

EDGE_GAIN_PX = 0.9
"""How much thicker a stroke is with the lowest threshold, or thinner with the highest."""

STEEPNESS = np.float32(3.5)
"""Contrast at the edges of an enlarged digit, by that of its picture."""


@dataclass(frozen=True)
class Digits:
    """Handwritten digits."""

    images: NDArray[np.uint8]
    """uint8 (N, H, W), 255 is full ink."""

    by_label: tuple[NDArray[np.intp], ...]
    """The numbers of the zeros, of the ones, and so on to the nines."""

    thickness_px: NDArray[np.float32]
    """Thickness of each digit's strokes: float32 (N,)."""

    def digest(self) -> str:
        """Return a fingerprint of the images and their labels: BLAKE2b of 16 bytes, hexadecimal."""
        digest = hashlib.blake2b(f"{self.images.shape} ".encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.images).data)
        for numbers in self.by_label:
            digest.update(f"{len(numbers)} ".encode())
            digest.update(numbers.data)
        return digest.hexdigest()

    def write(
        self, digit: int, height_px: float, stretch: float, slant: float, pen_px: float, dice: Dice
    ) -> Image.Image:
        """Return one of the digits of a label as if written with another pen.

        Args:
            digit: The label.
            height_px: Height of the digit; its proportions stay.
            stretch: Its width, by that in these proportions.
            slant: How far the upper end is moved to the right, by the height.
            pen_px: Thickness of the strokes.
            dice: Draws which of the digits.

        Returns:
            Coverage, mode L, with a narrow edge around the digit.
        """
        numbers = self.by_label[digit]
        number = int(numbers[dice.number(len(numbers))])
        drawn = Image.fromarray(self.images[number])
        left, top, right, bottom = drawn.getbbox() or (0, 0, *drawn.size)
        scale = height_px / (bottom - top)
        # With the pixels around the ink: a stroke's edge is there.
        drawn = drawn.crop((left - 1, top - 1, right + 1, bottom + 1))
        width, height = (max(2, round(side * scale)) for side in drawn.size)
        width = max(2, round(width * stretch))
        room = round(abs(slant) * height)
        if room:
            across, down = drawn.width / width, drawn.height / height
            lean = math.copysign(across * room / height, slant)
            start = -across * room if slant > 0 else 0.0
            drawn = drawn.transform(
                (width + room, height),
                Image.Transform.AFFINE,
                (across, lean, start, 0, down, 0),
                Image.Resampling.BILINEAR,
            )
        else:
            drawn = drawn.resize((width, height), Image.Resampling.BICUBIC)
        # The edge of a stroke is where its enlarged picture passes a threshold.
        wanted = max(pen_px / scale, 0.5 * float(self.thickness_px[number]))
        change = (wanted - float(self.thickness_px[number])) / EDGE_GAIN_PX
        threshold = min(max(128 - 128 * change, 30.0), 205.0)
        levels = np.asarray(drawn, dtype=np.float32) - np.float32(threshold)
        return Image.fromarray(np.clip(128 + STEEPNESS * levels, 0, 255).astype(np.uint8))


@lru_cache(maxsize=4)
def load_digits(folder: str, first: int, last: int) -> Digits:
    """Read handwritten digits.

    Args:
        folder: Folder with the files ``*-images-idx3-ubyte`` and ``*-labels-idx1-ubyte``, which may
            be compressed as ``.gz``. Where there are several pairs, one follows the other.
        first: Number of the first digit to take.
        last: Number of the last one; fewer are taken where there are fewer.

    Raises:
        DataError: A file is missing, damaged or too large, or one of the ten digits is not among
            them.
    """
    pairs = [(_read(images, 3), _read(labels, 1)) for images, labels in _pairs(Path(folder))]
    for (images, labels), (path, _) in zip(pairs, _pairs(Path(folder)), strict=True):
        if len(images) != len(labels):
            raise DataError(
                f"{path}: expected as many images as labels, found {len(images):,} and "
                f"{len(labels):,}"
            )
    shapes = {images.shape[1:] for images, _ in pairs}
    if len(shapes) > 1:
        raise DataError(f"{folder}: expected images of one size, found {len(shapes)} sizes")
    images = np.concatenate([images for images, _ in pairs])[first : last + 1]
    labels = np.concatenate([labels for _, labels in pairs])[first : last + 1]
    has_ink = images.any(axis=(1, 2))
    by_label = tuple(np.flatnonzero((labels == digit) & has_ink) for digit in range(10))
    if lacking := [digit for digit in range(10) if not len(by_label[digit])]:
        raise DataError(
            f"{folder}: expected each of the ten digits among numbers {first:,} to {last:,}, found "
            f"no {lacking[0]}"
        )
    return Digits(images, by_label, _thickness(images))


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return the files of images, each with its labels."""
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of handwritten digits, found none")
    names = sorted(path.name for path in folder.iterdir())
    images = [name for name in names if name.removesuffix(".gz").endswith(IMAGES)]
    if not images:
        raise DataError(f"{folder}: expected a file *-{IMAGES} or *-{IMAGES}.gz, found none")
    pairs = []
    for name in images:
        stem = name.removesuffix(".gz").removesuffix(IMAGES) + LABELS
        labels = next((other for other in (stem, f"{stem}.gz") if other in names), None)
        if labels is None:
            raise DataError(f"{folder / name}: expected its labels in {stem}, found no such file")
        pairs.append((folder / name, folder / labels))
    return pairs


def _read(path: Path, num_dimensions: int) -> NDArray[np.uint8]:
    """Return the values of an IDX file, in its dimensions."""
    try:
        content = read_regular(path, MAX_DIGITS_BYTES)
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(MAX_DIGITS_BYTES + 1)
    except OSError as error:  # also a damaged gzip file
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if len(content) > MAX_DIGITS_BYTES:
        raise DataError(f"{path}: expected at most {MAX_DIGITS_BYTES:,} bytes, found more")
    start = 4 + 4 * num_dimensions
    if len(content) < start or content[:4] != bytes([0, 0, 8, num_dimensions]):
        raise DataError(
            f"{path}: expected an IDX file of bytes in {num_dimensions} dimensions, found another "
            "beginning"
        )
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    if not all(shape) or max(shape[1:], default=1) > MAX_SIDE_PX:
        raise DataError(f"{path}: expected images of 1 to {MAX_SIDE_PX} px a side, found {shape}")
    if math.prod(shape) != len(content) - start:
        raise DataError(
            f"{path}: expected {math.prod(shape):,} values, as its beginning says, found "
            f"{len(content) - start:,}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _thickness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the thickness of the strokes of each image, px: its area by half its outline.

    The sum of the changes between neighbors is 4/pi of the outline, if it has all directions.
    """
    result = []
    for some in np.array_split(images, max(1, len(images) // 1000)):
        levels = np.pad(some, ((0, 0), (1, 1), (1, 1))).astype(np.int16)
        changes = sum(np.abs(np.diff(levels, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2))
        outline = np.maximum(changes * (np.pi / 4), 1)
        result.append(2 * levels.sum(axis=(1, 2)) / outline)
    return np.concatenate(result).astype(np.float32)
