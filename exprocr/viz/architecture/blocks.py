"""Stages as blocks: stacks of feature maps, and strips of frames, in proportion to each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.viz.architecture.stages import Profile
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import Color

MAX_FACE_PX = (360, 130)
"""Largest width and height of a map, and of the input."""

MAX_CELL_PX = 6.0
MIN_SIDE_PX = 4

MAX_DEPTH_PX = 64
"""Depth of the stack with the most channels; a channel is at most `MAX_CHANNEL_PX` deep."""

MAX_CHANNEL_PX = 1.0
SHEET_PX = 6
"""Smallest distance between the sheets of a stack."""

SLANT = (0.8, 0.6)
"""Direction of depth: to the right, and up."""

MAX_STRIP_PX = 96
"""Height of the sequence with the most units; a unit is at most `MAX_UNIT_PX` high."""

MAX_UNIT_PX = 1.0
MIN_STRIP_PX = 16
EDGE: Color = (255, 255, 255)
RIM: Color = (70, 70, 70)


@dataclass(frozen=True)
class Scale:
    """How large cells, channels and units are drawn, px; the same for all stages."""

    cell: float
    channel: float
    unit: float

    @classmethod
    def of(cls, profile: Profile) -> Scale:
        """Return the largest scale at which every stage has room."""
        shapes = [profile.input_shape, *(stage.shape for stage in profile.stages)]
        maps = [shape for shape in shapes if len(shape) == 3]
        sequences = [shape for shape in shapes if len(shape) == 2]
        rows, columns = (max(shape[axis] for shape in maps) for axis in (1, 2))
        return cls(
            cell=min(MAX_FACE_PX[0] / columns, MAX_FACE_PX[1] / rows, MAX_CELL_PX),
            channel=min(MAX_DEPTH_PX / max(c for c, _, _ in maps), MAX_CHANNEL_PX),
            unit=min(MAX_STRIP_PX / max((u for _, u in sequences), default=1), MAX_UNIT_PX),
        )

    def face(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the width and height of a map or a sequence."""
        if len(shape) == 2:
            frames, units = shape
            width, height, least = frames * self.cell, units * self.unit, MIN_STRIP_PX
        else:
            _, rows, columns = shape
            width, height, least = columns * self.cell, rows * self.cell, MIN_SIDE_PX
        return max(round(width), MIN_SIDE_PX), max(round(height), least)

    def depth(self, shape: tuple[int, ...]) -> float:
        """Return the depth of a stack; 0 for a single map and for sequences."""
        return shape[0] * self.channel if len(shape) == 3 and shape[0] > 1 else 0.0


def draw_block(shape: tuple[int, ...], values: NDArray[np.float32], scale: Scale) -> Image.Image:
    """Draw a stage's output.

    Args:
        shape: (C, H, W) of maps, (T, units) of a sequence.
        values: Maps, the one for the front first, or a sequence (units, T); NaN is left gray.
        scale: The scale of all blocks.

    Returns:
        An RGBA picture without a margin.
    """
    width, height = scale.face(shape)
    sheets = list(values) if values.ndim == 3 else [values]
    depth = scale.depth(shape)
    num = min(len(sheets), 1 + max(round(depth / SHEET_PX), int(depth > 0)))
    steps = [depth * i / max(num - 1, 1) for i in range(num)]
    places = [(round(SLANT[0] * step), round(SLANT[1] * step)) for step in steps]
    right, up = places[-1]
    block = Image.new("RGBA", (width + right + 2, height + up + 2))
    draw = ImageDraw.Draw(block)
    for (x, y), sheet in reversed(list(zip(places, sheets, strict=False))):
        top = 1 + up - y
        face = Image.fromarray(paint(sheet)).resize((width, height), Image.Resampling.BOX)
        block.paste(face, (1 + x, top))
        draw.rectangle((x, top - 1, x + width + 1, top + height), outline=RIM if x == 0 else EDGE)
    return block


def draw_image(image: Image.Image, size: tuple[int, int] | None = None) -> Image.Image:
    """Draw a picture of any mode, with a line around it.

    Args:
        image: The picture.
        size: Width and height, px; None is as large as a map may be, in its own proportions.

    Returns:
        An RGBA picture.
    """
    if size is None:
        scale = min(MAX_FACE_PX[0] / image.width, MAX_FACE_PX[1] / image.height)
        size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    width, height = size
    block = Image.new("RGBA", (width + 2, height + 2))
    block.paste(drawing.to_rgb(image).resize(size, Image.Resampling.BICUBIC), (1, 1))
    ImageDraw.Draw(block).rectangle((0, 0, width + 1, height + 1), outline=RIM)
    return block


def paint(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Color values by viridis, from the least to the greatest; NaN and infinity become gray."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    return drawing.colorize(values, low, high)


def draw_arrow(draw: ImageDraw.ImageDraw, x: int, top: int, bottom: int) -> None:
    """Draw an arrow downwards."""
    head = min(7, (bottom - top) // 2)
    draw.line((x, top, x, bottom - head), fill=drawing.GRAY, width=2)
    draw.polygon(
        ((x - head, bottom - head), (x + head, bottom - head), (x, bottom)), fill=drawing.GRAY
    )
