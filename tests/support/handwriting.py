"""Folders of handwritten digits that tests make."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def idx(values: NDArray[np.uint8]) -> bytes:
    """Return an IDX file of bytes."""
    lengths = b"".join(length.to_bytes(4, "big") for length in values.shape)
    return bytes([0, 0, 8, values.ndim]) + lengths + values.tobytes()


def drawn_digits(num: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images, uint8 (num, 28, 28), and labels: the digits 0 to 9 in turns."""
    images = []
    for number in range(num):
        image = Image.new("L", (28, 28))
        size = 22 + number // 10 % 5
        ImageDraw.Draw(image).text((14, 14), str(number % 10), 255, font_size=size, anchor="mm")
        images.append(np.asarray(image))
    return np.stack(images), (np.arange(num) % 10).astype(np.uint8)


def write_digits(
    folder: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    name: str = "t10k",
    *,
    packed: bool = True,
) -> Path:
    """Write two files as MNIST publishes them, compressed or not."""
    folder.mkdir(exist_ok=True)
    for values, kind in ((images, "images-idx3-ubyte"), (labels, "labels-idx1-ubyte")):
        content = idx(values)
        path = folder / f"{name}-{kind}{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder
