"""Positions of characters: marks and boxes, in rotated and scaled pictures, too."""

from __future__ import annotations

import dataclasses
import itertools
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exprocr.core.config.schema import PRESETS, PreprocessConfig
from exprocr.core.decode.decoder import Decoder
from exprocr.core.model.geometry import CellAxis, cell_axis
from exprocr.core.reading.prediction import Character
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.grammar.grammars import load_grammar
from tests.support.pictures import encoded, with_a_mark
from tests.support.scripted import CHARSET, FRAME_AXIS, scripted_recognizer

SAMPLES = Path(__file__).parents[3] / "docs" / "samples"


class BarReader:
    """Reads the first bar as 0, the second as 1, ..., each in the frame nearest to its center."""

    def __init__(self, axis: CellAxis) -> None:
        self.axis = axis

    def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        num = int((pictures.shape[2] - self.axis.first) // self.axis.step) + 1
        probs = np.full((num, len(pictures), CHARSET.num_classes), 1e-4, dtype=np.float32)
        probs[:, :, 0] = 1.0
        for n, picture in enumerate(pictures):
            dark = np.append(picture.mean(axis=0) > 100, False)
            edges = np.flatnonzero(np.diff(dark, prepend=False)).reshape(-1, 2)
            for number, (start, end) in enumerate(edges.tolist()):
                frame = round(((start + end) / 2 - self.axis.first) / self.axis.step)
                frame = min(max(frame, 0), num - 1)
                probs[frame, n, 0] = 1e-4
                probs[frame, n, CHARSET.encode(str(number))[0]] = 1.0
        log_probs: NDArray[np.float32] = np.log(probs / probs.sum(axis=2, keepdims=True))
        return log_probs


def bar_recognizer(preset: str, **size: Any) -> Recognizer:
    config = PRESETS[preset]
    return Recognizer(
        BarReader(cell_axis(config.model)),
        dataclasses.replace(config.preprocess, **size),
        Decoder(load_grammar("none", CHARSET)),
        cell_axis(config.model),
    )


def bars(size: tuple[int, int], places: list[float]) -> Image.Image:
    """Draw dark bars at shares of the width; a bar's width is 1/20 of the height."""
    image = Image.new("L", size, 250)
    half = size[1] / 40
    for place in places:
        x = place * size[0]
        ImageDraw.Draw(image).rectangle((round(x - half), 0, round(x + half) - 1, size[1]), fill=0)
    return image


def check_boxes(characters: tuple[Character, ...], size: tuple[int, int]) -> None:
    """Check that boxes end halfway between marks, and that the first and last are symmetric."""
    width, height = size
    marks = [character.x for character in characters]
    assert marks == sorted(marks)
    middles = [(left + right) / 2 for left, right in itertools.pairwise(marks)]
    starts, ends = [0.0, *middles], [*middles, float(width)]
    if middles:
        starts[0] = max(marks[0] - (middles[0] - marks[0]), 0)
        ends[-1] = min(marks[-1] + (marks[-1] - middles[-1]), width)
    for character, start, end in zip(characters, starts, ends, strict=True):
        left, top, right, bottom = character.box
        assert (top, bottom) == (0, height)
        assert 0 <= left <= character.x < right <= width
        # These marks are rounded; the boxes are computed from exact ones.
        assert left == pytest.approx(start, abs=1.5)
        assert right == pytest.approx(end, abs=1.5)
    for one, other in itertools.pairwise(characters):
        assert one.box[0] <= other.box[0] <= one.box[2] <= other.box[2]


PLACES = [0.12, 0.31, 0.44, 0.7, 0.9]
SIZES = [(180, 60), (90, 30), (720, 240), (171, 60), (400, 70), (130, 45), (3000, 1000)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("preset", PRESETS)
def test_characters_are_located_where_they_were_drawn(preset: str, size: tuple[int, int]) -> None:
    recognizer = bar_recognizer(preset)
    (prediction,) = recognizer.predict([bars(size, PLACES)])
    assert prediction.text == "01234"
    # The reference's input is 160 px wide whatever the picture, the default's 60 px high.
    scale = size[0] / 160 if preset == "reference" else size[1] / 60
    tolerance = recognizer.frame_axis.step / 2 * scale + 2  # the resolution is one frame
    for character, place in zip(prediction.characters, PLACES, strict=True):
        assert character.x == pytest.approx(place * size[0], abs=tolerance)
    check_boxes(prediction.characters, size)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_positions_are_those_in_the_upright_picture(orientation: int) -> None:
    upright = bars((240, 60), PLACES)
    turns = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    turn = turns[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if turn is None else upright.transpose(turn)
    assert stored.size == ((60, 240) if orientation > 4 else (240, 60))
    recognizer = bar_recognizer("default")
    expected, found = recognizer.predict([upright, encoded(stored, "PNG", exif=exif)])
    assert found.characters == expected.characters
    check_boxes(found.characters, (240, 60))


def test_pictures_of_different_sizes_in_one_batch() -> None:
    """All are 180 px wide in the network's input."""
    sizes = [(180, 60), (90, 30), (360, 120), (165, 60)]
    pictures = [bars(size, PLACES) for size in sizes]
    recognizer = bar_recognizer("default")
    together = recognizer.predict(pictures)
    for picture, prediction in zip(pictures, together, strict=True):
        assert prediction.characters == recognizer.predict([picture])[0].characters
        check_boxes(prediction.characters, picture.size)
    assert together[2].characters[3].x == pytest.approx(2 * together[0].characters[3].x, abs=2)


def test_positions_in_preprocessed_pictures() -> None:
    (placed,) = scripted_recognizer(("1+2", 0.9)).read([np.ones((60, 100), np.uint8)])
    assert [character.x for character in placed.characters] == [8, 20, 32]
    assert [c.box for c in placed.characters] == [
        (2, 0, 14, 60), (14, 0, 26, 60), (26, 0, 38, 60),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("size", "marks"),
    [
        ((180, 60), [8, 20, 32, 44]),  # the frames 1, 3, 5, 7, at 2 + 6 t
        ((90, 30), [4, 10, 16, 22]),
        ((450, 150), [20, 50, 80, 110]),
        # Narrower than the network's input: marks in the added background move to the edge.
        ((35, 60), [8, 20, 32, 34]),
        ((9, 60), [8, 8, 8, 8]),
        ((1, 60), [0, 0, 0, 0]),
    ],
)
def test_marks_in_pixels(size: tuple[int, int], marks: list[int]) -> None:
    assert FRAME_AXIS == (2.0, 6.0)
    (prediction,) = scripted_recognizer(("(7+5", 0.9)).predict([with_a_mark(*size)])
    assert [character.x for character in prediction.characters] == marks
    check_boxes(prediction.characters, size)


def test_the_mark_is_the_spike_not_the_start() -> None:
    class ThreeFrames:
        def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
            probs = np.full((9, len(pictures), CHARSET.num_classes), 1e-3, dtype=np.float32)
            probs[:, :, 0] = 0.985
            probs[3:6, :, 0] = 0.05
            probs[3:6, :, CHARSET.encode("7")[0]] = np.array([0.7, 0.8, 0.9])[:, None]
            return np.asarray(np.log(probs / probs.sum(axis=2, keepdims=True)))

    decoder = Decoder(load_grammar("none", CHARSET))
    recognizer = Recognizer(ThreeFrames(), PreprocessConfig(), decoder, FRAME_AXIS)
    (prediction,) = recognizer.predict([with_a_mark(180, 60)])
    (character,) = prediction.characters
    assert (character.frames, character.x) == ((3, 5), 2 + 6 * 5)


def test_a_single_character_has_the_whole_picture() -> None:
    (prediction,) = scripted_recognizer(("7", 0.9)).predict([with_a_mark(91, 30)])
    (character,) = prediction.characters
    assert (character.x, character.box) == (4, (0, 0, 91, 30))
    assert scripted_recognizer(("", 0.9)).predict([with_a_mark(9, 3)])[0].characters == ()


def test_the_first_and_last_boxes_are_symmetric() -> None:
    # First the picture's edges cut the boxes, then they do not.
    recognizer = bar_recognizer("default", height=60)
    (prediction,) = recognizer.predict([bars((180, 60), [20 / 180, 60 / 180, 140 / 180])])
    first, _, last = prediction.characters
    assert [first.box[0], last.box[0]] == pytest.approx([0, 100], abs=3)
    assert last.box[2] == 180
    (prediction,) = recognizer.predict([bars((180, 60), [60 / 180, 80 / 180, 100 / 180])])
    first, _, last = prediction.characters
    assert [*first.box[::2], *last.box[::2]] == pytest.approx([50, 70, 90, 110], abs=3)


@lru_cache
def bundled() -> Recognizer:
    return Recognizer.load(grammar="level1", device="cpu", threads=1)


def test_the_bundled_model_places_the_samples_characters() -> None:
    paths = sorted(SAMPLES.glob("*.png"))
    predictions = bundled().predict(paths)
    assert predictions
    for path, prediction in zip(paths, predictions, strict=True):
        with Image.open(path) as image:
            check_boxes(prediction.characters, image.size)
        assert "".join(character.text for character in prediction.characters) == prediction.text
        marks = [character.x for character in prediction.characters]
        assert len(set(marks)) == len(marks) >= 5


def plain_text(
    text: str, size: tuple[int, int], font_size: float
) -> tuple[Image.Image, list[tuple[float, float]]]:
    """Draw text; return the picture, and the first and last column of each glyph."""
    image = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(font_size)
    x, columns = size[1] / 10, []
    for character in text:
        left, _, right, _ = draw.textbbox((x, size[1] / 7), character, font=font)
        draw.text((x, size[1] / 7), character, fill=0, font=font)
        columns.append((left, right))
        x = right + size[1] / 30
    return image, columns


def test_the_bundled_model_marks_every_glyph_within_its_strokes() -> None:
    num_right = 0
    texts = ["6-(8+3)", "7*(2+0)", "(4+2)*6", "9-8-7", "5*4+0", "(3-2)+8"]
    for text, (width, height, font_size) in itertools.product(
        texts, [(180, 60, 34), (90, 30, 17), (400, 120, 68), (170, 60, 30)]
    ):
        picture, columns = plain_text(text, (width, height), font_size)
        (prediction,) = bundled().predict([picture])
        if prediction.text != text:
            continue
        num_right += 1
        for character, (left, right) in zip(prediction.characters, columns, strict=True):
            assert left - height / 30 <= character.x <= right + height / 30
    assert num_right >= 20
