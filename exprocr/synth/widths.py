"""How wide a picture must be for its text."""

from __future__ import annotations

import math

from exprocr.core.config.schema import MAX_WIDTH_PX, SynthConfig, ranges
from exprocr.core.text.charset import num_frames_needed

FRAME_PX = 4
"""Distance between two of the network's frames, in pictures 60 px high."""


def least_width(text: str, height: int) -> int:
    """Return the width, px, with the frames that CTC needs for a text, or the least allowed.

    Args:
        text: The text.
        height: Height of the picture, px.
    """
    return width_of_frames(num_frames_needed(text), height)


def width_of_frames(num_frames: int, height: int) -> int:
    """Return the width, px, of a picture ``height`` px high with this many frames, or the least."""
    least = int(ranges(SynthConfig)["width"][0])
    return max(least, math.ceil(num_frames * FRAME_PX * height / 60))


def natural_width(needed: float, text: str, height: int) -> int:
    """Return the width, px, of a picture that is as wide as its text needs.

    Args:
        needed: What the text with its margins takes in the picture's look, px.
        text: The text.
        height: Height of the picture, px.
    """
    return min(max(math.ceil(needed), least_width(text, height)), MAX_WIDTH_PX)
