"""Sheets of samples: every tile has its place and its picture, and what is wrong shows in gray."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exprocr.synth.texts import LEVEL1
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.page import MARGIN_PX
from exprocr.viz.canvas.text import (
    DOTS,
    clip,
    draw_side,
    pairs_of,
    side_width,
    typeset,
    window,
)
from exprocr.viz.samples import (
    CONFIDENCE_PX,
    FRAME_PX,
    LABEL_PX,
    WRONG,
    Sheet,
    Tile,
    draw_samples,
    fit,
)

BLUE = (30, 90, 200)


def tile_of(truth: str = "7+5", reading: str = "7+5", **options: Any) -> Tile:
    picture = options.pop("picture", None) or Image.new("RGB", (180, 60), BLUE)
    return Tile(picture, options.pop("name", "img.png"), truth, reading, 0.98765)


def mask(image: Image.Image, color: tuple[int, int, int]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (np.asarray(image) == color).all(axis=2)
    return found


def places(sheet: Sheet, top: int, num: int) -> list[tuple[int, int, int, int]]:
    """Return where tiles are, row by row: left, top, right, bottom."""
    width, height = sheet.tile
    steps = [divmod(i, sheet.num_columns) for i in range(num)]
    corners = [
        (MARGIN_PX + column * (width + sheet.space), top + row * (height + sheet.space))
        for row, column in steps
    ]
    return [(x, y, x + width, y + height) for x, y in corners]


def test_a_picture_that_was_not_read_has_its_label_and_what_is_odd() -> None:
    picture = Image.new("RGB", (180, 60), BLUE)
    plain = Tile(picture, "img.png", "7+5")
    odd = Tile(picture, "img.png", "7+5", remark="blank pictures with a label")
    assert (plain.mark, odd.mark, tile_of(reading="7").mark) == ("", "odd", "wrong")
    alone, marked = (draw_samples([tile], "a", "b") for tile in (plain, odd))
    assert alone.size == marked.size
    assert not mask(alone, WRONG).any()
    assert mask(marked, WRONG).sum() > 4 * FRAME_PX * Sheet.of([odd]).tile[1] / 2
    # The label stands where it does on a sheet of readings, and below it only the remark.
    (box,) = places(Sheet.of([odd]), alone.height - MARGIN_PX - Sheet.of([odd]).tile[1], 1)
    below = (box[0] + FRAME_PX, box[3] - 30, box[2] - FRAME_PX, box[3] - FRAME_PX)
    dark = [(np.asarray(sheet.crop(below).convert("L")) < 100).sum() for sheet in (alone, marked)]
    assert dark[0] == 0 < dark[1]


def test_wrong_ones_have_a_thick_frame_and_a_mark() -> None:
    wrong = {1, 4}
    tiles = [tile_of("7+5", "1+5" if i in wrong else "7+5") for i in range(7)]
    sheet = Sheet.of(tiles)
    drawn = draw_samples(tiles, "Samples", "7 images")
    height = sheet.tile[1] * 2 + sheet.space
    top = drawn.height - MARGIN_PX - height
    assert sheet.num_columns == 4
    for number, box in enumerate(places(sheet, top, 7)):
        tile = drawn.crop(box)
        dark = mask(tile, WRONG)
        assert dark.any() == (number in wrong)
        if number in wrong:
            for side in (dark, dark[:, ::-1], dark.T, dark.T[:, ::-1]):
                assert side[:, :FRAME_PX].all()  # all round
            assert dark[FRAME_PX : FRAME_PX + 10, -60:-FRAME_PX].mean() > 0.3  # the mark
            assert tile.convert("L").getpixel((2, 40)) < 80  # type: ignore[operator]
        else:
            assert tile.convert("L").getpixel((2, 40)) == 255


def test_the_picture_is_shown_as_it_is() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 120, 3), dtype=np.uint8)
    drawn = draw_samples([tile_of(picture=Image.fromarray(pixels))], "Samples", "1 image")
    expected = np.asarray(fit(Image.fromarray(pixels), Sheet.of([tile_of()]).room))
    height, width = expected.shape[:2]
    assert (width, height) == (260, 87)  # 3 : 1
    found = np.asarray(drawn)
    where = [
        (y, x)
        for y, x in zip(*np.nonzero((found == expected[0, 0]).all(axis=2)), strict=True)
        if np.array_equal(found[y : y + height, x : x + width], expected)
    ]
    assert len(where) == 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [((180, 60), (240, 80)), ((900, 60), (240, 16)), ((20, 20), (80, 80)), ((9, 900), (1, 100))],
)
def test_pictures_keep_their_proportions(size: tuple[int, int], expected: tuple[int, int]) -> None:
    # Enlarged at most four times.
    assert fit(Image.new("L", size), (240, 100)).size == expected


@pytest.mark.parametrize("aspect", [(60, 60), (180, 60), (900, 60)])
@pytest.mark.parametrize("num", [1, 2, 24, 25, 100, 399, 400])
def test_sheets_have_room_for_all(num: int, aspect: tuple[int, int]) -> None:
    tiles = [tile_of(picture=Image.new("RGB", aspect))] * num
    sheet = Sheet.of(tiles)
    num_rows = -(-num // sheet.num_columns)
    across, down = (side + sheet.space for side in sheet.tile)
    assert sheet.num_columns * across + 2 * MARGIN_PX - sheet.space <= 4000
    # The title and four lines are above the tiles.
    assert num_rows * down + 2 * MARGIN_PX - sheet.space + 122 <= 4000
    boxes = places(sheet, 0, num)
    for a, b in itertools.pairwise(boxes):
        assert a[2] < b[0] or a[3] < b[1]


@pytest.mark.parametrize("num", [1, 400])
def test_expressions_of_the_contest_are_not_cut(num: int) -> None:
    sheet = Sheet.of([tile_of()] * num)
    widest = max(side_width(pairs_of(c, c)) for c in LEVEL1.characters)
    assert 7 * widest <= sheet.room[0] - LABEL_PX - CONFIDENCE_PX


def test_a_sheet_without_tiles_says_so() -> None:
    drawn = draw_samples([], "Wrong readings", "6 images read, none wrong.")
    below = np.asarray(drawn)[90:150]
    assert mask(drawn, drawing.LIGHT)[90:130].any()
    assert (below == drawing.DARK).all(axis=2).sum() > 50  # letters


def test_odd_tiles() -> None:
    gray = Image.fromarray(np.arange(10_800, dtype=np.uint16).reshape(60, 180) * 6)
    tiles = [
        tile_of("1", "", name="x" * 500),
        tile_of("3\u00d7é", "3÷中", name="é\n\udcff.png"),
        tile_of("1" * 4000, "1" * 3000, picture=Image.new("RGBA", (5000, 60), (9, 9, 9, 99))),
        tile_of(picture=Image.new("P", (1, 1))),
        tile_of(picture=gray),
    ]
    drawn = draw_samples(tiles, "Samples: a\nb " + "x" * 900, "what " * 300)
    assert max(drawn.size) < 1600
    pixels = np.asarray(drawn)
    for edge in (pixels[:8], pixels[-8:], pixels[:, :8], pixels[:, -8:]):
        assert (edge == 255).all()


def spelled(truth: str, reading: str, side: int, width: int = 400) -> Image.Image:
    canvas = Image.new("RGB", (width, 30), "white")
    draw_side(canvas, (0, 0), pairs_of(truth, reading), side, width)
    return canvas


@pytest.mark.parametrize(
    ("truth", "reading", "dark", "framed"),
    [
        ("7+5", "7+5", [[], []], [[], []]),
        ("7+5", "1+5", [[0], [0]], [[], []]),
        ("(7+5)", "(7+5", [[4], []], [[], [4]]),
        ("75", "7+5", [[], [1]], [[1], []]),
    ],
)
def test_what_differs_is_marked(
    truth: str, reading: str, dark: list[list[int]], framed: list[list[int]]
) -> None:
    for side in (0, 1):
        cells = np.asarray(spelled(truth, reading, side).convert("L"))[:22, : 14 * 5]
        corners = cells[[0, 0, 21, 21]].reshape(4, 5, 14)[:, :, [0, 3]]
        grounds = cells[2].reshape(5, 14)[:, 2]  # inside the frame, above the character
        outlined = [i for i in range(5) if (corners[:, i] < 40).all()]
        assert [i for i in outlined if grounds[i] < 40] == dark[side]
        assert [i for i in outlined if grounds[i] > 200] == framed[side]


def test_both_texts_stand_below_each_other() -> None:
    truth, reading = (np.asarray(spelled("(7+5)-4", "(7+5)*4", side)) for side in (0, 1))
    changed = np.flatnonzero((truth != reading).any(axis=(0, 2)))
    assert 5 * 14 <= changed.min() <= changed.max() < 6 * 14
    # A cell is as wide as the wider of the two.
    wide = side_width(pairs_of("7", "中"))
    assert wide > drawing.font(18).getlength("U+4E2D")
    assert side_width(pairs_of("中", "7")) == wide


@pytest.mark.parametrize("seed", range(20))
def test_the_first_difference_is_never_cut_off(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = "".join(rng.choice(list("0123456789+"), size=int(rng.integers(1, 80))))
    position = int(rng.integers(len(truth)))
    reading = truth[:position] + "*" + truth[position + int(rng.integers(2)) :]
    width = int(rng.integers(110, 500))
    pairs = pairs_of(truth, reading)
    start, stop = window(pairs, width)
    first = next(i for i, (one, other) in enumerate(pairs) if one != other)
    assert start <= first < stop
    dots = drawing.font(18).getlength(DOTS)
    taken = side_width(pairs[start:stop]) + dots * ((start > 0) + (stop < len(pairs)))
    assert taken <= width
    # No more could be shown: not cut at all, or no room for one more.
    assert (start, stop) == (0, len(pairs)) or stop == len(pairs) or taken + 14 > width - 2


def test_texts_are_drawn_in_a_font_that_has_them() -> None:
    plain, wide = drawing.font(14), typeset("\u00d7", 14)[1]
    assert typeset("7+5", 14) == ("7+5", plain)
    assert wide is not plain
    assert typeset("3\u00d7é中", 14) == ("3\u00d7é?", wide)
    assert typeset("中", 14) == ("U+4E2D", plain)
    assert typeset("a\nb\udcff\x1b", 14) == ("a?b??", plain)


def test_long_texts_are_cut_as_late_as_can_be() -> None:
    text = "0123456789" * 30
    shown, font = clip(text, 300)
    number = len(shown) - len(DOTS)
    assert shown == text[:number] + DOTS
    assert font.getlength(shown) <= 300 < font.getlength(text[: number + 1] + DOTS)
    assert clip("short", 300)[0] == "short"
