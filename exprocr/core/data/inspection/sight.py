"""What one picture of a data set looks like: its size, its ink, and what tells it from others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exprocr.core.data.inspection.likeness import Map, ink_map, working_ink
from exprocr.core.image.files import StoredPicture
from exprocr.core.image.preprocess import decode, describe, to_gray
from exprocr.errors import ImageError

MUCH_INK = 0.5
"""Least ink of a pixel that counts, 0..1."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of a picture."""

    size: tuple[int, int]
    """Width and height, upright, px."""

    digest: bytes
    """Digest of its gray values, the same in every file format without loss."""

    ink: Map
    """The map of its ink."""

    ink_share: float
    """Share of the pixels with much ink, 0..1; 0 for a blank picture."""

    is_light_on_dark: bool
    """Whether its ink is lighter than its background."""

    more_frames: bool
    """Whether its file has more frames or pages, which were not looked at."""

    @property
    def is_blank(self) -> bool:
        """Whether there is no ink at all."""
        return not self.ink.any()


def look(source: Path | StoredPicture) -> Sight | str:
    """Return what a picture looks like, or the reason why it cannot be read."""
    try:
        image, _, more_frames = decode(source)
        if not image.width or not image.height:
            raise ImageError(f"{describe(source)}: expected a picture, found one without pixels")
    except ImageError as error:
        return str(error)
    gray = to_gray(image)
    levels = np.rint(gray * 255).astype(np.uint8)
    digest = hashlib.blake2b(f"{image.size} ".encode(), digest_size=16)
    digest.update(levels.data)
    low, background, high = np.quantile(levels, (0.005, 0.5, 0.995), method="nearest")
    ink = working_ink(gray)
    return Sight(
        size=image.size,
        digest=digest.digest(),
        ink=ink_map(ink),
        ink_share=float((ink >= MUCH_INK).mean()),
        is_light_on_dark=int(high) - int(background) > int(background) - int(low),
        more_frames=more_frames,
    )
