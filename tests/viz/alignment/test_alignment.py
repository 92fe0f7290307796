"""The picture of an alignment: each mark on the columns it speaks of, found in the pixels."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.core.decode.decoder import Alternative
from exprocr.core.model.geometry import CellAxis
from exprocr.core.reading.prediction import Character, Prediction
from exprocr.viz.alignment.labels import place_labels
from exprocr.viz.alignment.page import draw_alignment, rest_of
from exprocr.viz.alignment.posteriors import (
    MAX_ROWS,
    ROW_PX,
    Frames,
    draw_probabilities,
    draw_runs,
    pick_rows,
)
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.geometry import Geometry

CLASSES = ("blank", *"()*+-0123456789")
RED = (255, 0, 0)
YELLOW = (253, 231, 36)  # the light end of viridis


def geometry_of(num_frames: int, step: float = 4.0, padding: int = 0) -> Geometry:
    width = round(num_frames * step)
    return Geometry(width, 60, width - padding, CellAxis(step / 2, step), CellAxis(0.5, 1))


def frames_of(values: NDArray[np.float64], **options: Any) -> Frames:
    classes = options.pop("classes", CLASSES)
    geometry = options.pop("geometry", None) or geometry_of(len(values))
    return Frames(values, classes, geometry, **options)


def random_frames(num_frames: int, num_classes: int = 16, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(num_classes, 0.1), size=num_frames)


def character(text: str, x: int, frames: tuple[int, int], **options: Any) -> Character:
    defaults: dict[str, Any] = {
        "box": (max(x - 8, 0), 0, x + 8, 60),
        "probability": 0.9876543,
        "alternative": "1",
        "alternative_probability": 0.0021,
    }
    return Character(text=text, x=x, frames=frames, **{**defaults, **options})


def prediction_of(*characters: Character, others: tuple[str, ...] = ()) -> Prediction:
    text = "".join(c.text for c in characters)
    texts = tuple(
        Alternative(text=other, value=Fraction(7), probability=0.6 / 2**i)
        for i, other in enumerate((text, *others))
    )
    return Prediction(
        text=text,
        value=Fraction(7),
        confidence=0.6,
        grammar_mass=0.999,
        alternatives=texts,
        characters=characters,
    )


def mask(image: Image.Image, color: tuple[int, int, int]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (np.asarray(image) == color).all(axis=2)
    return found


def box_of(found: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return the box of what is marked: left, top, right, bottom."""
    ys, xs = np.nonzero(found)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


@pytest.mark.parametrize(("num_frames", "padding"), [(45, 0), (15, 12), (600, 0)])
@pytest.mark.parametrize("place", [0.0, 0.37, 0.9])
def test_a_frame_is_below_the_columns_it_sees(num_frames: int, padding: int, place: float) -> None:
    geometry = geometry_of(num_frames, padding=padding)
    frame = round(place * (geometry.picture_width / 4 - 2))
    center = geometry.columns.center(frame)
    # The columns that the frame sees are red in an otherwise white picture.
    picture = Image.new("RGB", (geometry.picture_width, 60), "white")
    ImageDraw.Draw(picture).rectangle((center - 2, 0, center + 1, 59), fill="red")
    values = np.zeros((num_frames, 16))
    values[frame, 7] = 1.0
    drawn = draw_alignment(picture, prediction_of(), "", frames_of(values, geometry=geometry))
    # The rest of the heat map is dark; the scale at its right has the same yellow.
    cell = mask(drawn, YELLOW)
    columns = np.flatnonzero(cell.any(axis=0))
    cell[:, columns[0] + 1 + int(np.argmax(np.append(np.diff(columns), 99) > 10)) :] = False
    left, top, right, bottom = box_of(cell)
    assert bottom - top == ROW_PX
    pixels = np.asarray(drawn).astype(int)
    reddish = (pixels[..., 0] > 240) & (pixels[..., 1] < 128) & (pixels[..., 2] < 128)
    stripe = box_of(reddish)
    assert stripe[3] < top
    assert abs(stripe[0] - left) <= 1  # the picture is enlarged smoothly
    assert abs(stripe[2] - right) <= 1


def test_colors_follow_the_cube_root() -> None:
    shares = np.array([0.0, 1e-3, 0.01, 0.02, 0.1, 0.5, 0.9, 1.0])
    canvas = Image.new("RGB", (160, ROW_PX))
    frames = frames_of(shares[:, None], classes=["blank"], geometry=geometry_of(8))
    draw_probabilities(canvas, frames, [0], (0, 0, 160, ROW_PX))
    expected = matplotlib.colormaps["viridis"](np.rint(255 * shares ** (1 / 3)).astype(int))
    # In the corner of a cell: its middle may hold a number.
    found = np.asarray(canvas)[2, 2:160:20]
    np.testing.assert_array_equal(found, (expected[:, :3] * 255).astype(np.uint8))
    gray = np.asarray(canvas.convert("L")).astype(int)[2, 2:160:20]
    assert (np.diff(gray[[0, 2, 4, 5, 7]]) > 20).all()  # 0, 1, 10, 50, 100 %
    assert gray[3] - gray[0] > 40  # a doubt of 2 % is seen, in gray as well


def test_numbers_stand_in_cells_that_are_not_sure() -> None:
    shares = np.array([0.0, 0.0099, 0.01, 0.5, 0.98, 0.99, 1.0])
    canvas = Image.new("RGB", (140, ROW_PX))
    frames = frames_of(shares[:, None], classes=["blank"], geometry=geometry_of(7))
    draw_probabilities(canvas, frames, [0], (0, 0, 140, ROW_PX))
    cells = np.asarray(canvas).reshape(ROW_PX, 7, 20, 3)
    inside = cells[3:-3, :, 3:-3]
    has_number = [len(np.unique(inside[:, i].reshape(-1, 3), axis=0)) > 1 for i in range(7)]
    assert has_number == [False, False, True, True, True, False, False]


def test_the_frames_of_a_character_are_framed() -> None:
    canvas = Image.new("RGB", (400, 16 * ROW_PX))
    frames = frames_of(np.zeros((20, 16)), geometry=geometry_of(20))
    draw_runs(ImageDraw.Draw(canvas), [character("7", 0, (5, 7))], CLASSES, frames,
              (0, 0, 400, 16 * ROW_PX))  # fmt: skip
    # 20 px a frame, and the outline round them.
    y = CLASSES.index("7") * ROW_PX
    assert box_of(mask(canvas, (255, 255, 255))) == (98, y - 2, 162, y + ROW_PX + 2)
    assert box_of(mask(canvas, drawing.DARK)) == (99, y - 1, 161, y + ROW_PX + 1)
    assert not np.asarray(canvas)[y : y + ROW_PX, 100:160].any()  # the cells stay as they are


@pytest.mark.parametrize("padding", [0, 12])
def test_boxes_are_drawn_round_the_characters_of_the_picture(padding: int) -> None:
    # Half as large as the network's input.
    picture = Image.new("RGB", ((180 - padding) // 2, 30), RED)
    one = character("7", 20, (9, 10), box=(15, 0, 27, 30))
    frames = frames_of(random_frames(45), geometry=geometry_of(45, padding=padding))
    drawn = draw_alignment(picture, prediction_of(one), "7", frames)
    plain = draw_alignment(picture, prediction_of(), "7", frames)
    left, top, right, bottom = box_of(mask(plain, RED))
    assert right - left == 10 * picture.width
    pixels, plain_pixels = (np.asarray(image)[top:bottom] for image in (drawn, plain))
    differs = (pixels != plain_pixels).any(axis=2)
    assert box_of(differs) == (left + 150, 0, left + 270, bottom - top)


def test_no_frame_is_lost_where_there_are_more_than_columns() -> None:
    values = random_frames(6000, 3)
    frames = frames_of(values, classes=["blank", "1", "2"], geometry=geometry_of(6000, step=1))
    pooled, axis, count = frames.pooled(3600)
    assert count == 2
    expected = [values[i : i + 2].max(axis=0) for i in range(0, 6000, 2)]
    np.testing.assert_array_equal(pooled, expected)
    for cell in (0, 1, 2999):  # each is centered between its frames
        centers = [frames.geometry.columns.center(2 * cell + i) for i in (0, 1)]
        assert axis.center(cell) == sum(centers) / 2
    spike = np.zeros((6000, 16))
    spike[:, 0], spike[3001] = 1, np.eye(16)[3]
    drawn = draw_alignment(
        Image.new("RGB", (6000, 60)), prediction_of(), "",
        frames_of(spike, geometry=geometry_of(6000, step=1)),
    )  # fmt: skip
    rows = mask(drawn, YELLOW)[:, :3700].sum(axis=1)
    assert sorted(set(rows.tolist())) == [0, 1, 3600]  # the spike in its row, all of the blank's


@pytest.mark.parametrize("seed", range(5))
def test_labels_lie_beside_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = np.sort(rng.integers(0, 1000, size=60))
    characters = [
        character("7", int(x), (0, 0), alternative_probability=float(rng.choice([0, 0.3])))
        for x in places
    ]
    labels = place_labels(characters, 100, 1.0, (24, 1104))
    assert len(labels.labels) + labels.num_left_out == 60
    boxes = []
    for label in labels.labels:
        top = label.line * labels.line_height
        assert label.height < labels.line_height
        assert top + labels.line_height <= labels.height
        boxes.append((label.left, top, label.left + label.width, top + label.height))
        assert label.left >= 24
        assert label.left + label.width <= 1104
        assert label.left <= label.x <= label.left + label.width
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_doubts_are_named_from_one_per_cent_on() -> None:
    def written(**options: Any) -> list[str]:
        labels = place_labels([character("7", 50, (0, 0), **options)], 0, 1.0, (0, 500))
        return [text for text, _, _ in labels.labels[0].texts]

    assert written(alternative_probability=0.00999) == ["7", "0.9876"]  # rounded down
    assert written(alternative_probability=0.01) == ["7", "0.9876", "or 1: 0.0100"]
    assert written(alternative="", alternative_probability=0.2)[2] == "or none: 0.2000"


def test_of_many_classes_the_most_probable_are_drawn() -> None:
    classes = ["blank", *(chr(0x4E00 + i) for i in range(199))]
    values = np.zeros((30, 200))
    values[:, 150:] = np.linspace(0.1, 0.9, 50)
    read = character(classes[17], 10, (2, 2))
    rows = pick_rows(frames_of(values, classes=classes), [read])
    assert len(rows) == MAX_ROWS
    assert rows == sorted(rows)
    assert set(rows) == {0, 17, *range(200 - (MAX_ROWS - 2), 200)}
    few = frames_of(values[:, :MAX_ROWS], classes=classes[:MAX_ROWS])
    assert pick_rows(few, []) == list(range(MAX_ROWS))


def test_listed_texts_and_the_rest_make_one() -> None:
    prediction = prediction_of(character("7", 10, (1, 1)), others=("1",))
    rest = [share for _, share in rest_of(prediction)]
    assert rest == pytest.approx([0.999 - 0.6 - 0.3, 0.001])
    assert sum(rest) + 0.9 == pytest.approx(1)


WIDE = tuple(character("0123456789"[i % 10], 24 * i + 5, (6 * i, 6 * i + 2)) for i in range(249))


@pytest.mark.parametrize(
    ("size", "num_frames", "padding", "characters"),
    [
        ((180, 60), 45, 0, ()),
        ((180, 60), 45, 0, (character("7", 179, (44, 44)),)),
        ((9, 90), 5, 14, (character("(", 0, (0, 0), box=(0, 0, 1, 90)),)),
        ((6000, 60), 1500, 0, WIDE),
        ((180, 60), 45, 0, (character("\u00d7", 60, (3, 3)), character("中", 90, (5, 5)))),
    ],
)
def test_nothing_is_cut_whatever_is_read(
    size: tuple[int, int], num_frames: int, padding: int, characters: tuple[Character, ...]
) -> None:
    picture = Image.new("RGB", size, (200, 210, 220))
    classes = ["blank", *"\u00d7中", *CLASSES[3:]]
    frames = frames_of(
        random_frames(num_frames),
        geometry=geometry_of(num_frames, padding=padding),
        classes=classes,
        temperature=1.2,
    )
    prediction = prediction_of(*characters, others=("8" * 700, "", "中"))
    drawn = draw_alignment(picture, prediction, "x" * 3000, frames)
    assert max(drawn.size) <= 4000
    pixels = np.asarray(drawn)
    for edge in (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]):
        assert (edge == 255).all()
    assert len(np.unique(pixels[..., 1])) > 50
