"""A sheet of augmented pictures: each as it is, as the network sees it, and distorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, GRAY, LIGHT, LINE
from exprocr.viz.canvas.page import LABEL_PX, MARGIN_PX, Heading
from exprocr.viz.canvas.text import SPELLING_PX, clip
from exprocr.viz.samples import fit

LEAST_ROOM_PX, MOST_ROOM_PX = (180, 60), (420, 60)
"""Width and height of a picture's place: the least, and the most, for wide pictures."""

SPACE_PX = 12


@dataclass(frozen=True)
class Row:
    """A picture and what is made of it."""

    name: str
    """Its name."""

    label: str
    """The text in it."""

    original: Image.Image
    """The picture as it is, of any mode."""

    inks: Sequence[NDArray[np.uint8]]
    """As the network sees it, then distorted: uint8 (H, W) each, 0 background .. 255 ink."""

    @property
    def pictures(self) -> list[Image.Image]:
        """All of them, ink in black."""
        return [self.original, *(ImageOps.invert(Image.fromarray(ink)) for ink in self.inks)]


def draw_augmented(rows: Sequence[Row], title: str, subtitle: str) -> Image.Image:
    """Draw a sheet of augmented pictures, a row for each picture.

    Args:
        rows: At least one, all of the same number of pictures.
        title: The sheet's title.
        subtitle: How it was made.

    Returns:
        An RGB picture.
    """
    height = LEAST_ROOM_PX[1]
    widest = max(ink.shape[1] * height // ink.shape[0] for row in rows for ink in row.inks)
    room = min(max(widest, LEAST_ROOM_PX[0]), MOST_ROOM_PX[0]), height
    across, down = room[0] + SPACE_PX, LABEL_PX + room[1] + SPACE_PX
    num_columns = len(rows[0].pictures)
    heading = Heading.of(title, subtitle, num_columns * across - SPACE_PX)
    top = heading.bottom + LABEL_PX + SPACE_PX // 2
    canvas = heading.new_page(top + len(rows) * down - SPACE_PX)
    draw = ImageDraw.Draw(canvas)
    for column, name in enumerate(("as it is", "as the network sees it", "augmented")):
        place = (MARGIN_PX + column * across, heading.bottom)
        draw.text(place, name, fill=DARK, font=drawing.font())
    for number, row in enumerate(rows):
        y = top + number * down
        label, font = clip(row.label, 2 * room[0], SPELLING_PX)
        draw.text((MARGIN_PX, y + LABEL_PX - 5), label, fill=DARK, font=font, anchor="ls")
        x = MARGIN_PX + font.getlength(label) + SPACE_PX
        name, font = clip(row.name, room[0])
        draw.text((x, y + LABEL_PX - 5), name, fill=GRAY, font=font, anchor="ls")
        for column, picture in enumerate(row.pictures):
            left = MARGIN_PX + column * across
            box = (left, y + LABEL_PX, left + room[0], y + LABEL_PX + room[1])
            draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=LIGHT, outline=LINE)
            canvas.paste(fit(picture, room), box[:2])
    return canvas
