"""How a text was read: the picture, the characters, and each frame's probabilities.

All share the columns of the picture: a frame is drawn where its receptive field is centered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from exprocr.core.reading.prediction import Prediction
from exprocr.core.text.expression import equals_value
from exprocr.viz.alignment.frames import Frames
from exprocr.viz.alignment.labels import Labels, draw_boxes, draw_labels, place_labels
from exprocr.viz.alignment.posteriors import (
    ROW_PX,
    draw_probabilities,
    draw_runs,
    has_numbers,
    pick_rows,
)
from exprocr.viz.canvas import drawing, page
from exprocr.viz.canvas.drawing import DARK, GRAY, Box
from exprocr.viz.canvas.heatmap import MAX_WIDTH_PX, draw_frame_axis, draw_row_axis, row_axis_width
from exprocr.viz.canvas.text import clip, draw_side, pairs_of, side_width
from exprocr.words import format_confidence, quantity

TITLE = "Alignment: the characters and their frames"
FRAME_PX = 20
LEAST_FRAME_PX = 3
WIDE_PX = 1200
"""Frames become narrower than `FRAME_PX` where the plot would be wider than this."""

PICTURE_PX = 320
MAX_BAR_PX = 240
SMALL = 0.001
TEXT_LINE_PX = 28
FIGURE_PX, VALUE_PX = 84, 200
"""Widths of a text's probability, at the left, and of its value, at the right."""


@dataclass(frozen=True)
class Layout:
    """Where everything is, px."""

    content: int
    """Width between the margins."""

    left: int
    """Where the picture and the heat map begin."""

    width: int
    """Width of the network's input: the picture and the background added to it."""

    picture_height: int
    scale: float
    """Pixels of the drawing per pixel of the picture."""

    @classmethod
    def of(cls, image: Image.Image, frames: Frames, names: list[str]) -> Layout:
        """Return the layout for a picture, with rows of these names."""
        geometry = frames.geometry
        width = min(max(2 * FRAME_PX, FRAME_PX * frames.number), WIDE_PX)
        width = min(max(width, LEAST_FRAME_PX * frames.number), MAX_WIDTH_PX)
        height = min(PICTURE_PX, max(16, round(width * geometry.height / geometry.width)))
        axis = row_axis_width(["class", *names])
        scale = geometry.zoom(width, image.width)
        content = max(page.MIN_CONTENT_PX, axis + width + page.BAR_ROOM_PX)
        return cls(content, page.MARGIN_PX + axis, width, height, scale)

    def box(self, top: int, height: int) -> Box:
        """Return the box over the columns of the input."""
        return self.left, top, self.left + self.width, top + height


def draw_alignment(
    image: Image.Image, prediction: Prediction, reading: str, frames: Frames
) -> Image.Image:
    """Draw how a text was read.

    Args:
        image: The picture, of any mode.
        prediction: What was read in it, with characters placed in ``image``, and alternatives.
        reading: The text, its value and confidence, on one line.
        frames: What the network makes of each frame.

    Returns:
        An RGB picture, neither side longer than 4000 px.
    """
    rows = pick_rows(frames, prediction.characters)
    names = [frames.classes[row] for row in rows]
    layout = Layout.of(image, frames, names)
    limits = (page.MARGIN_PX, page.MARGIN_PX + layout.content)
    labels = place_labels(prediction.characters, layout.left, layout.scale, limits)
    heading = page.Heading.of(TITLE, _explain(frames, rows, labels, layout.width), layout.content)
    picture = layout.box(heading.bottom + page.READING_PX + 20, layout.picture_height)
    plot = layout.box(picture[3] + 12 + labels.height + 30, ROW_PX * len(rows))
    list_top = plot[3] + 2 * page.LABEL_PX + 26
    num_lines = len(prediction.alternatives) + 2
    canvas = heading.new_page(list_top + page.LINE_PX + TEXT_LINE_PX * num_lines)
    draw = ImageDraw.Draw(canvas)
    page.draw_reading(canvas, (page.MARGIN_PX, heading.bottom), reading, layout.content)
    page.draw_picture(canvas, image, frames.geometry, picture)
    draw_boxes(draw, prediction.characters, layout.scale, picture)
    draw_labels(draw, labels, picture[3] + 12)
    draw_probabilities(canvas, frames, rows, plot)
    draw_runs(draw, prediction.characters, names, frames, plot)
    draw_row_axis(draw, names, plot, "class")
    draw_frame_axis(draw, frames.number, frames.geometry, plot)
    bar_px = min(plot[3] - plot[1], MAX_BAR_PX)
    shares = (0.0, 0.01, 0.1, 0.5, 1.0) if bar_px >= 120 else (0.0, 1.0)
    ticks = [(float(np.cbrt(share)), f"{share:.0%}") for share in shares]
    place = (plot[2] + 20, plot[1])
    page.draw_color_bar(
        canvas, place, drawing.viridis(), ticks, name="probability", upright_px=bar_px
    )
    draw_texts(canvas, prediction, (page.MARGIN_PX, list_top), layout.content)
    return canvas


def _explain(frames: Frames, rows: list[int], labels: Labels, width: int) -> Iterator[str]:
    """Yield sentences that explain what is drawn, and what is left out."""
    which = "not calibrated"
    if frames.temperature != 1.0:
        which = f"calibrated: logits divided by {frames.temperature:.4g}"
    yield f"{quantity(frames.number, 'frame')}, each below the columns of the picture that it sees;"
    yield f"a frame's probabilities ({which}) sum to 1 over all classes."
    if has_numbers(frames, width):
        yield "Numbers are percentages from 1 to 98."
    if (count := frames.pooled(width)[2]) > 1:
        yield f"Each column shows the maximum of {count} frames."
    if frames.geometry.picture_width < frames.geometry.width:
        yield page.WIDENED
    if len(rows) < len(frames.classes):
        yield f"The {len(rows)} most probable of {len(frames.classes)} classes are drawn."
    yield "Boxes in the heat map: each character's frames on the best alignment of the text; all"
    yield "other frames are blank there. Below the picture: each character's probability, and the"
    yield "next best character from a probability of 0.01 on."
    if labels.num_left_out:
        yield f"{quantity(labels.num_left_out, 'character')} had no room for a label."


def draw_texts(
    canvas: Image.Image, prediction: Prediction, place: tuple[int, int], width: int
) -> None:
    """List the most probable texts; differences from the text that was read are marked."""
    draw = ImageDraw.Draw(canvas)
    left, y = place
    draw.text((left, y), "most probable texts", fill=GRAY, font=drawing.font())
    y += page.LINE_PX + 4
    texts = prediction.alternatives
    pairs = [pairs_of(prediction.text, other.text) for other in texts]
    room = width - FIGURE_PX - VALUE_PX
    longest = min(max(side_width(one) for one in pairs), room)
    for number, (other, one) in enumerate(zip(texts, pairs, strict=True)):
        is_small = number or other.probability < SMALL
        figure = f"{other.probability:.3g}" if is_small else format_confidence(other.probability)
        draw.text((left, y + 3), figure, fill=DARK, font=drawing.font())
        draw_side(canvas, (left + FIGURE_PX, y), one, 1, room)
        if answer := equals_value(other.value, other.text):
            value, font = clip(answer, VALUE_PX - 20)
            draw.text((left + FIGURE_PX + longest + 20, y + 3), value, fill=DARK, font=font)
        y += TEXT_LINE_PX
    for name, share in rest_of(prediction):
        draw.text((left, y + 3), f"{share:.3g}", fill=GRAY, font=drawing.font())
        draw.text((left + FIGURE_PX, y + 3), name, fill=GRAY, font=drawing.font())
        y += TEXT_LINE_PX


def rest_of(prediction: Prediction) -> list[tuple[str, float]]:
    """Return the probability of all texts that are not listed, inside the grammar and outside."""
    listed = sum(other.probability for other in prediction.alternatives)
    rest = (
        ("all other texts of the grammar", prediction.grammar_mass - listed),
        ("texts outside the grammar", 1.0 - prediction.grammar_mass),
    )
    # Smaller values are rounding errors of the sums.
    return [(name, max(round(share, 9), 0.0)) for name, share in rest]
