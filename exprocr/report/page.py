"""A page of blocks (figures, tables, texts): HTML that needs no other file and no network.

`render_report` writes it. Pictures are inside it; nothing in it is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from PIL import Image

from exprocr.core.image.files import read_picture
from exprocr.report.html import data_uri, render
from exprocr.viz.canvas.picture import to_png

if TYPE_CHECKING:
    from exprocr.viz.canvas.picture import Picture

TEMPLATE = "page.html.jinja"


@dataclass(frozen=True)
class Figure:
    """A picture with its caption."""

    image: bytes
    """A PNG or JPEG file."""

    size: tuple[int, int]
    """Its width and height, px."""

    alt: str
    """What it shows, for those who cannot see it."""

    caption: str
    """How to read it."""

    title: str = ""
    """A heading of its own."""

    block: ClassVar[str] = "figure"

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return data_uri(self.image)


@dataclass(frozen=True)
class Table:
    """A table: rows under named columns."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    caption: str
    """What it shows and how to read it."""

    title: str = ""
    """A heading of its own."""

    right: tuple[str, ...] = ()
    """Columns set flush right, for numbers."""

    block: ClassVar[str] = "table"


@dataclass(frozen=True)
class Facts:
    """A list of names, each with its value."""

    pairs: Sequence[tuple[str, str]]
    title: str = ""
    caption: str = ""
    block: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Missing:
    """One line on what is not there, and why."""

    text: str
    block: ClassVar[str] = "missing"


@dataclass(frozen=True)
class Card:
    """A picture, its true text, and what was read in it."""

    image: Figure
    name: str
    """What the picture is called."""

    truth: Sequence[tuple[str, bool]]
    """Pieces of the right text, and whether each was read otherwise; an empty piece stands for a
    character that the reading has too many."""

    reading: Sequence[tuple[str, bool]]
    """Pieces of the reading, and whether each is wrong; an empty piece stands for a character that
    it lacks."""

    confidence: str


@dataclass(frozen=True)
class Cards:
    """Pictures with what was read in them, side by side."""

    cards: Sequence[Card]
    caption: str
    title: str = ""
    block: ClassVar[str] = "cards"


Block = Figure | Table | Facts | Missing | Cards


@dataclass(frozen=True)
class Row:
    """Blocks that stand side by side where there is room."""

    blocks: Sequence[Table | Facts]
    block: ClassVar[str] = "row"


@dataclass(frozen=True)
class Section:
    """A part of the page, with an entry in its table of contents."""

    name: str
    """Its anchor: letters and hyphens."""

    title: str
    blocks: Sequence[Block | Row]
    intro: str = ""
    """What it is about."""


@dataclass(frozen=True)
class Report:
    """Everything on a page."""

    title: str
    subtitle: str
    headline: Sequence[tuple[str, str, str]]
    """The most important figures: name, figure, remark."""

    sections: Sequence[Section]
    footer: str = ""


def figure(picture: Picture, alt: str, caption: str, title: str = "") -> Figure:
    """Return a picture as a figure of a page.

    Plots have few colors and get a palette, which takes a third of the bytes; in other pictures
    it could swallow what is faint.
    """
    image = to_png(picture)
    decoded, size, _ = read_picture(image)
    if not isinstance(picture, Image.Image):
        few = decoded.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        image = to_png(few)
    return Figure(image, size, alt, caption, title)


def render_report(report: Report) -> str:
    """Write a page.

    Whatever the texts hold is shown as it is, never taken for markup.

    Returns:
        HTML5, without characters that UTF-8 cannot hold.
    """
    return render(TEMPLATE, report=report)
