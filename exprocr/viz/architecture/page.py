"""A network as a picture: the output, the layers and the cost of each stage.

From the picture at the top to the reading at the bottom, a row for each stage.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.viz.architecture.blocks import Scale, draw_arrow, draw_block, draw_image
from exprocr.viz.architecture.stages import Profile, Stage
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, GRAY, LIGHT, LINE, Color
from exprocr.viz.canvas.page import LINE_PX, MARGIN_PX, Heading
from exprocr.viz.canvas.text import DOTS, clip, wrap
from exprocr.words import format_count, format_seconds, format_shape, format_share

BLOCKS_PX, TEXT_WIDTH_PX, BAR_PX = 416, 350, 132
"""Widths of the columns: the blocks, what they are, and a bar of each figure."""

GAP_PX = 26
WIDTH_PX = 2 * MARGIN_PX + BLOCKS_PX + GAP_PX + TEXT_WIDTH_PX + 3 * (GAP_PX + BAR_PX)
ARROW_PX = 30
NAME_PX, READING_PX, BAR_HEIGHT_PX = 19, 30, 14
MAX_LINES = 5
"""Most lines of a stage's description."""

COLORS: tuple[Color, ...] = ((31, 59, 115), (217, 95, 2), (77, 146, 33))


class Figure(NamedTuple):
    """A figure of the stages, drawn as a column of bars."""

    name: str
    total: str
    amounts: list[str]
    shares: list[float]


class Row(NamedTuple):
    """A row of the picture: a block and its description."""

    block: Image.Image
    name: str
    shape: str
    lines: list[str]

    @property
    def text_height(self) -> int:
        """Height of the description, px."""
        return NAME_PX + 9 + LINE_PX * len(self.lines)

    @property
    def height(self) -> int:
        """Height of the row, px."""
        return max(self.block.height, self.text_height)


def draw_architecture(
    profile: Profile, picture: Image.Image, ink: NDArray[np.uint8], reading: str
) -> Image.Image:
    """Draw a network.

    Args:
        profile: What was measured.
        picture: The picture it was measured with, of any mode, as it was loaded.
        ink: The network's input, uint8 (H, W).
        reading: What is read in it.

    Returns:
        An RGB picture, neither side longer than 4000 px.
    """
    title = (
        f"Architecture: {profile.num_parameters:,} parameters, "
        f"{format_count(profile.multiply_adds)} multiply-adds and "
        f"{format_seconds(profile.seconds)} per picture"
    )
    heading = Heading.of(title, _explanation(profile), WIDTH_PX - 2 * MARGIN_PX)
    rows = make_rows(profile, picture, ink, reading)
    head = heading.bottom + 8
    top = head + 2 * LINE_PX + 20
    canvas = heading.new_page(top + sum(row.height for row in rows) + (len(rows) - 1) * ARROW_PX)
    draw = ImageDraw.Draw(canvas)
    figures = make_figures(profile)
    draw_heads(draw, figures, head)
    middles = []
    for row in rows:
        middles.append(top + row.height // 2)
        draw_row(canvas, row, middles[-1])
        top += row.height + ARROW_PX
    edges = [
        (m - row.block.height // 2, row.block.height) for m, row in zip(middles, rows, strict=True)
    ]
    for (above, block_height), (below, _) in pairwise(edges):
        draw_arrow(draw, MARGIN_PX + BLOCKS_PX // 2, above + block_height + 5, below - 5)
    for number, middle in enumerate(middles[2:-1]):
        draw_bars(draw, figures, number, middle)
    return canvas


def _explanation(profile: Profile) -> str:
    """Explain how to read the picture, and how times were measured."""
    return (
        "What each stage makes of the picture at the top, in proportion: maps are sheets of rows x "
        "columns of cells, one per channel, the strongest in front; sequences have a column for "
        "each frame and a row for each unit. Dark is low, light is high. Multiply-adds are those "
        "of convolutions, linear layers and GRUs' matrices; batch norm, ReLU, pooling and gates "
        f"are not counted. Time: {profile.timing}."
    )


def make_rows(
    profile: Profile, picture: Image.Image, ink: NDArray[np.uint8], reading: str
) -> list[Row]:
    """Return the rows: picture, input, stages, reading."""
    scale = Scale.of(profile)
    first = Row(
        draw_image(picture),
        "picture",
        f"{picture.width} x {picture.height} px",
        ["as it comes, in color or gray"],
    )
    second = Row(
        draw_image(Image.fromarray(255 - ink), scale.face(profile.input_shape)),
        "input",
        format_shape(profile.input_shape),
        [
            "gray, scaled to the network's height, its contrast",
            "stretched so that faint ink is as strong as any",
        ],
    )
    stages = [
        Row(
            draw_block(stage.shape, stage.values, scale),
            stage.name,
            format_shape(stage.shape),
            [*_wrap(stage.made_of), _sees(stage, profile.input_shape)],
        )
        for stage in profile.stages
    ]
    text, font = clip(reading, BLOCKS_PX - 4, READING_PX)
    left, upper, right, lower = map(round, font.getbbox(text))
    block = Image.new("RGBA", (right - left + 2, lower - upper + 2))
    ImageDraw.Draw(block).text((1 - left, 1 - upper), text, DARK, font)
    last = Row(block, "reading", "", _wrap("log-softmax, CTC decoding: no weights, not timed"))
    return [first, second, *stages, last]


def _wrap(text: str) -> list[str]:
    """Break a text into lines of the text's column; a text that is too long ends in dots."""
    lines = wrap(text, TEXT_WIDTH_PX)
    if len(lines) > MAX_LINES:
        last = clip(lines[MAX_LINES - 1], TEXT_WIDTH_PX - 16)[0].removesuffix(DOTS)
        lines[MAX_LINES - 1 :] = [last.rstrip(" ,;(") + DOTS]
    return lines


def _sees(stage: Stage, input_shape: tuple[int, int, int]) -> str:
    """Describe what a cell of maps or a frame of a sequence sees."""
    what = "a cell" if len(stage.shape) == 3 else "a frame"
    if stage.sees == input_shape[1:]:
        return f"{what} sees the whole input"
    return f"{what} sees {format_shape(stage.sees)} px"


def make_figures(profile: Profile) -> list[Figure]:
    """Return the figures that are drawn as bars."""
    kinds: list[tuple[str, Callable[[Any], str], Callable[[Stage], float]]] = [
        ("parameters", format_count, lambda stage: stage.num_parameters),
        ("multiply-adds", format_count, lambda stage: stage.multiply_adds),
        ("time", format_seconds, lambda stage: stage.seconds),
    ]
    return [
        Figure(
            name,
            write(sum(figure(stage) for stage in profile.stages)),
            [write(figure(stage)) for stage in profile.stages],
            profile.shares(figure),
        )
        for name, write, figure in kinds
    ]


def bar_left(number: int) -> int:
    """Return the left of a column of bars, px."""
    return WIDTH_PX - MARGIN_PX - (3 - number) * BAR_PX - (2 - number) * GAP_PX


def draw_heads(draw: ImageDraw.ImageDraw, figures: list[Figure], top: int) -> None:
    """Write the columns' names, and the totals that their bars are shares of."""
    heads = [
        (MARGIN_PX, "output", "for this picture, in proportion"),
        (MARGIN_PX + BLOCKS_PX + GAP_PX, "stage", "channels x rows x columns, or frames x units"),
        *((bar_left(i), f.name, f"share of {f.total}") for i, f in enumerate(figures)),
    ]
    for left, name, note in heads:
        draw.text((left, top), name, fill=DARK, font=drawing.font(16))
        draw.text((left, top + LINE_PX), note, fill=GRAY, font=drawing.font())
    y = top + 2 * LINE_PX + 4
    draw.line((MARGIN_PX, y, WIDTH_PX - MARGIN_PX, y), fill=LINE)


def draw_row(canvas: Image.Image, row: Row, middle: int) -> None:
    """Draw a block and its description, both centered on ``middle``, px from the top."""
    draw = ImageDraw.Draw(canvas)
    left = MARGIN_PX + (BLOCKS_PX - row.block.width) // 2
    canvas.paste(row.block, (left, middle - row.block.height // 2), row.block)
    left, top = MARGIN_PX + BLOCKS_PX + GAP_PX, middle - row.text_height // 2
    draw.text((left, top), row.name, fill=DARK, font=drawing.font(NAME_PX))
    place = (left + TEXT_WIDTH_PX, top + 2)
    draw.text(place, row.shape, fill=DARK, font=drawing.font(16), anchor="ra")
    for number, line in enumerate(row.lines):
        y = top + NAME_PX + 9 + number * LINE_PX
        draw.text((left, y), line, fill=GRAY, font=drawing.font())


def draw_bars(draw: ImageDraw.ImageDraw, figures: list[Figure], stage: int, middle: int) -> None:
    """Draw a stage's shares as bars in tracks as long as the total; below them, the figures."""
    for number, figure in enumerate(figures):
        left, share = bar_left(number), figure.shares[stage]
        top = middle - BAR_HEIGHT_PX - 2
        length = max(round(share * BAR_PX), int(share > 0))
        draw.rectangle((left, top, left + BAR_PX - 1, top + BAR_HEIGHT_PX - 1), fill=LIGHT)
        if length:
            box = (left, top, left + length - 1, top + BAR_HEIGHT_PX - 1)
            draw.rectangle(box, fill=COLORS[number])
        y = top + BAR_HEIGHT_PX + 6
        draw.text((left, y), figure.amounts[stage], fill=GRAY, font=drawing.font())
        place = (left + BAR_PX, y)
        draw.text(place, format_share(share), fill=DARK, font=drawing.font(), anchor="ra")
