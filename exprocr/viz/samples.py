"""A sheet of pictures, each with its truth, what was read, and the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from exprocr.core.image.preprocess import ImageSource, load_image
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, GRAY, LIGHT, LINE, WHITE, Color, to_rgb
from exprocr.viz.canvas.page import MARGIN_PX, MIN_CONTENT_PX, Heading
from exprocr.viz.canvas.text import SPELLING_PX, clip, draw_side, pairs_of, typeset
from exprocr.words import format_confidence

WRONG: Color = (150, 20, 40)
"""Dark in gray as well."""

FRAME_PX = 5
NAME_PX = 20
TEXT_LINE_PX = SPELLING_PX + 7
LABEL_PX = 40
CONFIDENCE_PX = 52
MAX_ENLARGEMENT = 4.0

ROOMS_PX = ((260, 110, 12), (440, 110, 12), (190, 63, 8))
"""Most width and height of a picture, and the space around it and its tile: for ordinary pictures,
for wide ones, and for hundreds."""

LEAST_ROOM_PX = 40
EMPTY_PX = 60
"""Height of a sheet without tiles."""

WIDE = 4.0
"""Pictures are wide where their median aspect is at least this."""

PAGES_PX = ((1240, 1300), (1650, 2200), (2500, 3300), (4000, 4000))
"""Sizes of sheets; the first with room for all tiles is used."""


MAX_PICTURE_PX = (900, 450)
"""Larger pictures are shrunk before they are put on a sheet."""


def load_shrunk(source: ImageSource) -> Image.Image:
    """Load a picture as a sheet shows it: RGB, and not too large.

    Raises:
        ImageError: It cannot be read.
    """
    picture = to_rgb(load_image(source))
    picture.thumbnail(MAX_PICTURE_PX)
    return picture


@dataclass(frozen=True)
class Tile:
    """A labeled picture, and what was read in it or is odd about it."""

    picture: Image.Image
    """The picture, of any mode."""

    name: str
    """Its name."""

    truth: str
    """The text in it."""

    reading: str | None = None
    """What was read; None where nothing has read it."""

    confidence: float = 0.0
    """Probability that the reading is right, as the model has it: 0..1; not shown without one."""

    remark: str = ""
    """What is odd about a picture that was not read; empty if nothing is."""

    @property
    def mark(self) -> str:
        """The word in its corner: ``wrong`` or ``odd``; empty where there is none."""
        if self.reading is not None and self.reading != self.truth:
            return "wrong"
        return "odd" if self.remark else ""


@dataclass(frozen=True)
class Sheet:
    """How tiles are arranged."""

    room: tuple[int, int]
    """Width and height of a picture, at most, px."""

    space: int
    """Space around a picture in its tile, and between tiles, px."""

    num_columns: int = 1

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of a tile, px."""
        height = 2 * self.space + NAME_PX + self.room[1] + 6 + 2 * TEXT_LINE_PX
        return self.room[0] + 2 * self.space, height

    @classmethod
    def of(cls, tiles: Sequence[Tile]) -> Sheet:
        """Arrange tiles."""
        aspects = sorted(tile.picture.width / tile.picture.height for tile in tiles) or [1.0]
        aspect = aspects[len(aspects) // 2]
        head = 160  # an upper bound of the heading's height
        for width, height, space in (ROOMS_PX[aspect >= WIDE], ROOMS_PX[2]):
            room = (width, min(height, max(LEAST_ROOM_PX, round(width / aspect))))
            for page_w, page_h in PAGES_PX:
                across, down = (side + space for side in cls(room, space).tile)
                num_columns = (page_w - 2 * MARGIN_PX + space) // across
                num_rows = (page_h - head - MARGIN_PX + space) // down
                sheet = cls(room, space, max(1, min(num_columns, len(tiles))))
                if num_columns * num_rows >= len(tiles):
                    return sheet
        return sheet


def draw_samples(tiles: Sequence[Tile], title: str, subtitle: str) -> Image.Image:
    """Draw a sheet of samples; those read wrong, or odd, have a thick frame and a mark.

    Args:
        tiles: The samples, in their order; none gives a sheet that says so.
        title: The sheet's title.
        subtitle: How many there are, and how many of them are wrong.

    Returns:
        An RGB picture, neither side longer than 4000 px for 400 tiles.
    """
    sheet = Sheet.of(tiles)
    across, down = (side + sheet.space for side in sheet.tile)
    num_rows = -(-len(tiles) // sheet.num_columns)
    content = max(MIN_CONTENT_PX, sheet.num_columns * across - sheet.space)
    heading = Heading.of(title, subtitle, content)
    top = heading.bottom
    canvas = heading.new_page(top + (num_rows * down - sheet.space if tiles else EMPTY_PX))
    draw = ImageDraw.Draw(canvas)
    if not tiles:
        draw.rectangle((MARGIN_PX, top, MARGIN_PX + content - 1, top + EMPTY_PX - 1), fill=LIGHT)
        place = (MARGIN_PX + 16, top + EMPTY_PX // 2)
        draw.text(place, "Nothing to show.", fill=DARK, font=drawing.font(), anchor="lm")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, sheet.num_columns)
        draw_tile(canvas, tile, (MARGIN_PX + column * across, top + row * down), sheet)
    return canvas


def draw_tile(canvas: Image.Image, tile: Tile, place: tuple[int, int], sheet: Sheet) -> None:
    """Draw one sample: its name, the picture, the truth, and the reading or what is odd."""
    draw = ImageDraw.Draw(canvas)
    (left, top), (width, height) = place, sheet.tile
    box = (left, top, left + width - 1, top + height - 1)
    draw.rectangle(box, outline=LINE)
    x, y = left + sheet.space, top + sheet.space
    room = sheet.room[0]
    if tile.mark:
        draw.rectangle(box, outline=WRONG, width=FRAME_PX)
        room -= _draw_mark(draw, (left + width, top), tile.mark) - sheet.space + 6
    name, font = clip(tile.name, room)
    draw.text((x, y + 12), name, fill=GRAY, font=font, anchor="ls")
    y += NAME_PX
    picture = fit(tile.picture, sheet.room)
    draw.rectangle((x, y, x + sheet.room[0] - 1, y + sheet.room[1] - 1), fill=LIGHT)
    spare = [(have - used) // 2 for have, used in zip(sheet.room, picture.size, strict=True)]
    canvas.paste(picture, (x + spare[0], y + spare[1]))
    y += sheet.room[1] + 6
    is_read = tile.reading is not None
    pairs = pairs_of(tile.truth, tile.truth if tile.reading is None else tile.reading)
    room = sheet.room[0] - LABEL_PX - CONFIDENCE_PX
    for side, label in enumerate(("truth", "read") if is_read else ("label",)):
        draw.text((x, y + SPELLING_PX - 1), label, fill=GRAY, font=drawing.font(), anchor="ls")
        draw_side(canvas, (x + LABEL_PX, y), pairs, side, room)
        y += TEXT_LINE_PX
    if not is_read:
        remark, font = clip(tile.remark, sheet.room[0])
        draw.text((x, y + SPELLING_PX - 1), remark, fill=DARK, font=font, anchor="ls")
        return
    confidence = format_confidence(tile.confidence)
    end = (x + sheet.room[0], y - TEXT_LINE_PX + SPELLING_PX - 1)
    draw.text(end, confidence, fill=DARK, font=drawing.font(), anchor="rs")


def _draw_mark(draw: ImageDraw.ImageDraw, corner: tuple[int, int], mark: str) -> int:
    """Draw a mark in the upper right corner of a tile; return how wide it is."""
    right, top = corner
    text, font = typeset(mark)
    width = round(font.getlength(text)) + 16
    draw.rectangle((right - width, top, right - 1, top + NAME_PX + 5), fill=WRONG)
    draw.text((right - width // 2, top + 18), text, fill=WHITE, font=font, anchor="ms")
    return width


def fit(picture: Image.Image, room: tuple[int, int]) -> Image.Image:
    """Scale a picture to fit a room, in its proportions; enlarge it four times at most."""
    scale = min(room[0] / picture.width, room[1] / picture.height, MAX_ENLARGEMENT)
    size = [max(1, round(side * scale)) for side in picture.size]
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return drawing.to_rgb(picture).resize((size[0], size[1]), method)
