"""The characters of a reading, framed in the picture and named below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from exprocr.core.reading.prediction import Character
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, GRAY, TEXT_PX, WHITE, Box
from exprocr.viz.canvas.page import READING_PX
from exprocr.viz.canvas.text import Font, typeset
from exprocr.words import format_confidence

DOUBT = 0.01
"""The second best reading of a character is written if it is at least this probable."""

MAX_LINES = 5
"""Most lines of labels: a label that would overlap another one goes to the next line."""

GAP_PX = 8
LEADING_PX = 5


@dataclass(frozen=True)
class Label:
    """The texts below a character."""

    texts: tuple[tuple[str, Font, int], ...]
    """Texts below each other, with their fonts and sizes, px."""

    x: int
    """Where the network marks the character, px from the left of the drawing."""

    left: int
    """Where the label begins, px from the left of the drawing."""

    line: int
    """Its line of labels, from 0."""

    @property
    def width(self) -> int:
        """Width, px."""
        return _width(self.texts)

    @property
    def height(self) -> int:
        """Height, px."""
        return sum(size + LEADING_PX for _, _, size in self.texts)


@dataclass(frozen=True)
class Labels:
    """The labels of a reading with their places."""

    labels: Sequence[Label]
    """Labels that have room."""

    num_left_out: int
    """Number of labels without room."""

    @property
    def line_height(self) -> int:
        """Height of a line of labels, px."""
        return max((label.height for label in self.labels), default=0) + GAP_PX

    @property
    def height(self) -> int:
        """Height of all lines, px."""
        return max((label.line + 1 for label in self.labels), default=0) * self.line_height


def place_labels(
    characters: Sequence[Character], left: int, scale: float, limits: tuple[int, int]
) -> Labels:
    """Place the labels of characters below them, in as few lines as keep them apart.

    Args:
        characters: The characters of the reading, from left to right.
        left: Where the picture begins, px from the left of the drawing.
        scale: Pixels of the drawing per pixel of the picture.
        limits: Limits of the labels at the left and right, px.
    """
    ends = [limits[0]] * MAX_LINES
    labels = []
    for character in characters:
        texts = _texts(character)
        width = _width(texts)
        x = left + round((character.x + 0.5) * scale)
        start = min(max(x - width // 2, limits[0]), limits[1] - width)
        line = next((i for i, end in enumerate(ends) if end <= start), None)
        if line is not None:
            ends[line] = start + width + GAP_PX
            labels.append(Label(texts, x, start, line))
    return Labels(labels, len(characters) - len(labels))


def _texts(character: Character) -> tuple[tuple[str, Font, int], ...]:
    """Return the lines of a character's label: the character, its probability, the next best."""
    texts = [
        (*typeset(character.text, READING_PX), READING_PX),
        (format_confidence(character.probability), drawing.font(), TEXT_PX),
    ]
    if character.alternative_probability >= DOUBT:
        other = typeset(character.alternative)[0] or "none"
        share = format_confidence(character.alternative_probability)
        texts.append((*typeset(f"or {other}: {share}"), TEXT_PX))
    return tuple(texts)


def _width(texts: Sequence[tuple[str, Font, int]]) -> int:
    return math.ceil(max(font.getlength(text) for text, font, _ in texts))


def draw_boxes(
    draw: ImageDraw.ImageDraw, characters: Sequence[Character], scale: float, box: Box
) -> None:
    """Frame the characters in the picture, dark inside light: visible on any background."""
    left, top, _, bottom = box
    for character in characters:
        x0, x1 = (left + round(character.box[side] * scale) for side in (0, 2))
        x1 = max(x1, x0 + 4)
        draw.rectangle((x0, top, x1 - 1, bottom - 1), outline=WHITE)
        draw.rectangle((x0 + 1, top + 1, x1 - 2, bottom - 2), outline=DARK)


def draw_labels(draw: ImageDraw.ImageDraw, labels: Labels, top: int) -> None:
    """Draw the labels from ``top`` on, each with a line up to its picture."""
    tops = [top + label.line * labels.line_height for label in labels.labels]
    for label, y in zip(labels.labels, tops, strict=True):
        draw.line((label.x, top - 11, label.x, y + 2), fill=GRAY)
    for label, y in zip(labels.labels, tops, strict=True):
        # Over the lines that lead to labels further down.
        box = (label.left - 2, y + 3, label.left + label.width + 1, y + label.height)
        draw.rectangle(box, fill=WHITE)
        middle = label.left + label.width / 2
        for text, font, size in label.texts:
            color = DARK if size == READING_PX else GRAY
            draw.text((middle, y + size), text, fill=color, font=font, anchor="ms")
            y += size + LEADING_PX
