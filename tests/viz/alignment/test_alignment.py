"""The picture of an alignment: each mark on the columns it speaks of, found in the pixels."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.core.decode.decoder import Alternative
from exprocr.core.model.geometry import CellAxis
from exprocr.core.reading.prediction import Character, Prediction
from exprocr.viz.alignment.frames import Frames
from exprocr.viz.alignment.labels import place_labels
from exprocr.viz.alignment.page import draw_alignment, rest_of
from exprocr.viz.alignment.posteriors import MAX_ROWS, ROW_PX, draw_probabilities, pick_rows
from exprocr.viz.canvas.geometry import Geometry
from tests.support.feature_maps import box_of_change, viridis

CLASSES = ("blank", *"()*+-0123456789")


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


@pytest.mark.parametrize(("num_frames", "padding"), [(45, 0), (15, 12), (600, 0)])
@pytest.mark.parametrize("place", [0.0, 0.37, 0.9])
def test_a_frame_is_below_the_columns_it_sees(num_frames: int, padding: int, place: float) -> None:
    geometry = geometry_of(num_frames, padding=padding)
    frame = round(place * (geometry.picture_width / 4 - 2))
    center = geometry.columns.center(frame)
    plain = Image.new("RGB", (geometry.picture_width, 60), "white")
    marked = plain.copy()  # the columns that the frame sees are red
    ImageDraw.Draw(marked).rectangle((center - 2, 0, center + 1, 59), fill="red")
    values = np.zeros((num_frames, 16))
    hot = values.copy()
    hot[frame, 7] = 1.0

    def draw(picture: Image.Image, values: NDArray[np.float64]) -> Image.Image:
        return draw_alignment(picture, prediction_of(), "", frames_of(values, geometry=geometry))

    drawn = draw(plain, values)
    left, top, right, bottom = box_of_change(drawn, draw(plain, hot))
    assert bottom - top == ROW_PX
    seen = box_of_change(drawn, draw(marked, values))
    assert seen[3] < top
    # The picture is enlarged smoothly, so red reaches into its neighbors.
    assert (seen[0] + seen[2]) / 2 == pytest.approx((left + right) / 2, abs=2)
    assert seen[0] <= left < right <= seen[2]


def cells_of(shares: list[float], **options: Any) -> NDArray[np.uint8]:
    """Return the pixels of a heat map of one class: (ROW_PX, frames, 20, 3)."""
    canvas = Image.new("RGB", (20 * len(shares), ROW_PX))
    frames = frames_of(np.array(shares)[:, None], classes=["blank"], **options)
    draw_probabilities(canvas, frames, [0], (0, 0, *canvas.size))
    return np.asarray(canvas).reshape(ROW_PX, len(shares), 20, 3)


def test_colors_follow_the_cube_root() -> None:
    shares = [0.0, 1e-3, 0.01, 0.02, 0.1, 0.5, 0.9, 1.0]
    # In the corner of a cell: its middle may hold a number.
    corners = cells_of(shares)[2, :, 2]
    levels = np.rint(255 * np.cbrt(shares)).astype(int)
    np.testing.assert_array_equal(corners, viridis(levels, 0, 255))
    gray = corners @ [0.299, 0.587, 0.114]
    assert (np.diff(gray[[0, 2, 4, 5, 7]]) > 20).all()  # 0, 1, 10, 50, 100%
    assert gray[3] - gray[0] > 40  # a doubt of 2% is seen, in gray as well


def test_numbers_stand_in_cells_that_are_not_sure() -> None:
    inside = cells_of([0.0, 0.0099, 0.01, 0.5, 0.98, 0.99, 1.0])[3:-3, :, 3:-3]
    has_number = [len(np.unique(inside[:, i].reshape(-1, 3), axis=0)) > 1 for i in range(7)]
    assert has_number == [False, False, True, True, True, False, False]


@pytest.mark.parametrize("padding", [0, 12])
def test_characters_are_framed_in_the_picture_and_in_the_heat_map(padding: int) -> None:
    # Half as large as the network's input.
    picture = Image.new("RGB", ((180 - padding) // 2, 30), "red")
    geometry = geometry_of(45, padding=padding)
    values = np.zeros((45, 16))
    plain = draw_alignment(picture, prediction_of(), "7", frames_of(values, geometry=geometry))
    other = picture.copy()
    other.paste((255, 255, 0), (0, 0, *other.size))
    left, top, right, bottom = box_of_change(
        plain, draw_alignment(other, prediction_of(), "7", frames_of(values, geometry=geometry))
    )
    assert right - left == 10 * picture.width
    one = character("7", 20, (9, 11), box=(15, 0, 27, 30))
    drawn = draw_alignment(picture, prediction_of(one), "7", frames_of(values, geometry=geometry))
    framed = box_of_change(*(image.crop((left, top, right, bottom)) for image in (plain, drawn)))
    assert framed == (150, 0, 270, bottom - top)
    # The heat map stands above the list of texts; 20 px a frame, and an outline of 2 px.
    hot = values.copy()
    hot[9:12, CLASSES.index("7")] = 1
    inside = box_of_change(
        drawn,
        draw_alignment(picture, prediction_of(one), "7", frames_of(hot, geometry=geometry)),
    )
    assert (inside[0] - left, inside[2] - left) == (180, 240)
    unframed = draw_alignment(
        picture,
        prediction_of(character("0", 20, (9, 11), box=(15, 0, 27, 30))),
        "7",
        frames_of(values, geometry=geometry),
    )
    below = (0, inside[1] - 12, drawn.width, inside[3] + 2)
    outline = box_of_change(drawn.crop(below), unframed.crop(below))
    assert (outline[0], outline[2]) == (inside[0] - 2, inside[2] + 2)
    assert (outline[1], outline[3]) == (10, inside[3] - inside[1] + 14)


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
    spike[3001] = np.eye(16)[0]
    other = draw_alignment(
        Image.new("RGB", (6000, 60)), prediction_of(), "",
        frames_of(spike, geometry=geometry_of(6000, step=1)),
    )  # fmt: skip
    left, _, right, _ = box_of_change(drawn, other)
    assert right - left == 1  # the frame beside it has the blank


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
