"""What all pages share: the heading, the picture over its columns, color bars, and broken lines."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from exprocr.core.model.geometry import CellAxis
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.canvas.page import (
    MARGIN_PX,
    Heading,
    draw_color_bar,
    draw_picture,
    draw_reading,
    even_ticks,
)
from exprocr.viz.canvas.text import wrap
from tests.support.feature_maps import box_of_change, written

TEXTS = ["", "7+5", "word " * 60, "x" * 3000, "\u00d7 \u4e2d \udcff " * 50]


def blank(width: int = 700, height: int = 400) -> Image.Image:
    return Image.new("RGB", (width, height), "white")


@pytest.mark.parametrize("text", TEXTS)
def test_texts_stay_between_the_margins(text: str) -> None:
    heading = Heading.of(text or "title", text or "explanation", 640)
    page = heading.new_page(heading.bottom + 50)
    assert page.size == (640 + 2 * MARGIN_PX, heading.bottom + 50 + MARGIN_PX)
    draw_reading(page, (MARGIN_PX, heading.bottom), text, 640)
    left, top, right, bottom = box_of_change(page, blank(*page.size))
    assert MARGIN_PX - 4 <= left < right <= page.width - MARGIN_PX + 4
    assert top > 8
    assert bottom < heading.bottom + 40


@pytest.mark.parametrize("width", [90, 300])
def test_lines_hold_all_words_in_order(width: int) -> None:
    text = "One idea a line, as many words as have room, in their order."
    lines = wrap(text, width)
    assert " ".join(lines) == text
    lengths = [drawing.font().getlength(line) for line in lines]
    assert max(lengths) <= width
    for line, following in pairwise(lines):  # no room for one word more
        longer = f"{line} {following.split(' ')[0]}"
        assert drawing.font().getlength(longer) > width


@pytest.mark.parametrize(("widened", "end"), [(180, 1.0), (240, 0.75)])
def test_the_picture_takes_its_columns_of_the_input(widened: int, end: float) -> None:
    geometry = Geometry(widened, 60, 180, CellAxis(2, 4), CellAxis(2, 4))
    pages = []
    for ink in ("black", "red"):
        pages.append(blank())
        draw_picture(pages[-1], Image.new("RGB", (90, 30), ink), geometry, (40, 30, 640, 230))
    assert box_of_change(*pages) == (40, 30, 40 + round(600 * end), 230)
    beside = np.asarray(pages[0])[31:229, 40 + round(600 * end) : 639]
    assert (len(np.unique(beside)) > 1) == (end < 1)  # hatched, if there is anything


@pytest.mark.parametrize("upright_px", [None, 100, 320])
def test_a_color_bar_has_each_value_at_its_color(
    monkeypatch: pytest.MonkeyPatch, upright_px: int | None
) -> None:
    page = blank()
    ramp = drawing.viridis()
    ticks = [(0.0, "none"), (0.25, "little"), (1.0, "all")]
    with written(monkeypatch) as texts:
        draw_color_bar(page, (50, 30), ramp, ticks, name="share", upright_px=upright_px)
    assert [text for text, _ in texts] == ["share", "none", "little", "all"]
    pixels = np.asarray(page).astype(int)
    for (share, _), (_, (x, y)) in zip(ticks, texts[1:], strict=True):
        row, column = (38, round(x)) if upright_px is None else (round(y), 58)
        expected = ramp[round(share * 255)].astype(int)
        assert np.abs(pixels[row, column] - expected).max() <= 6
    drawn = box_of_change(page, blank())
    assert drawn[3] - drawn[1] > (upright_px or 40)


def test_values_of_a_color_bar() -> None:
    assert even_ticks(-1, 1.0000004, 3) == [(0.0, "-1"), (0.5, "0"), (1.0, "1")]
    assert even_ticks(2, 3, 2) == [(0.0, "2"), (1.0, "3")]
