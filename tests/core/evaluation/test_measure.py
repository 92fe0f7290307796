"""The loop that reads labeled pictures: what it counts and keeps, and that it holds few of them."""

from __future__ import annotations

import random
import weakref
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from exprocr.core.data.pictures import LabeledPicture
from exprocr.core.evaluation.measure import (
    Example,
    Extremes,
    Measurement,
    read_pictures,
    reliability_rows,
)
from exprocr.core.image.preprocess import ImageSource
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import CHUNK_SIZE
from exprocr.core.text.expression import outcome_of
from exprocr.errors import ImageError
from tests.support.pictures import with_a_mark
from tests.support.scripted import scripted_recognizer


def example(
    name: str = "", text: str = "1", read: str = "1", confidence: float = 0.5,
    value: Fraction | None = None,
) -> Example:  # fmt: skip
    picture = LabeledPicture(name, b"", text, value)
    return Example(picture, Prediction(text=read, value=value, confidence=confidence))


@pytest.mark.parametrize(("number", "limit"), [(0, 3), (2, 3), (200, 7), (200, 1)])
def test_extremes_are_the_first_of_all_sorted(number: int, limit: int) -> None:
    rng = random.Random(number)
    values = [rng.choice([0.1, 0.2, 0.5, 0.9]) for _ in range(number)]
    kept = Extremes(limit)
    for i, value in enumerate(values):
        kept.add(value, example(str(i)))
    ordered = sorted(range(number), key=lambda i: -values[i])  # stable: of equals, the first
    assert [e.picture.name for e in kept] == [str(i) for i in ordered[:limit]]
    assert [e.picture.name for e in kept] == [str(i) for i in ordered[:limit]]  # twice


def test_thousands_of_pictures_are_not_held_at_once() -> None:
    number = 1500
    alive: set[int] = set()
    most = 0

    def pictures() -> Iterator[LabeledPicture]:
        nonlocal most
        for i in range(number):
            picture = with_a_mark(40, 60)
            alive.add(i)
            weakref.finalize(picture, alive.discard, i)
            most = max(most, len(alive))
            yield LabeledPicture(f"image {i}", picture, "1+2", Fraction(3))
            del picture

    # Every third is read wrong.
    recognizer = scripted_recognizer(*(("1+2" if i % 3 else "1-2", 0.9) for i in range(number)))
    measurement, worst = Measurement(recognizer.decoder), Extremes(5)
    for found in read_pictures(recognizer, pictures(), measurement):
        assert isinstance(found, Example)
        if not found.is_right:
            worst.add(found.prediction.confidence, found)
    counts = measurement.counts
    assert (counts.num_images, counts.num_exact, measurement.num_wrong) == (number, 1000, 500)
    assert len(measurement.reliability.correct) == number
    assert [e.picture.name for e in worst] == [f"image {3 * i}" for i in range(5)]
    assert CHUNK_SIZE <= most < 2 * CHUNK_SIZE + 20


def test_pictures_and_readings_stay_together() -> None:
    """A picture that cannot be read takes no other's reading."""
    image = with_a_mark(40, 60)
    sources: list[ImageSource] = [image, b"no picture", image, b"", image]
    pictures = [LabeledPicture(str(i), s, f"{i}+{i}", None) for i, s in enumerate(sources)]
    recognizer = scripted_recognizer(("0+0", 0.9), ("2+3", 0.9), ("4+4", 0.8))
    measurement = Measurement(recognizer.decoder)
    found = list(read_pictures(recognizer, pictures, measurement))
    assert [isinstance(one, ImageError) for one in found] == [False, True, False, True, False]
    texts = [(e.picture.text, e.prediction.text) for e in found if isinstance(e, Example)]
    assert texts == [("0+0", "0+0"), ("2+2", "2+3"), ("4+4", "4+4")]
    assert (measurement.num_unreadable, measurement.counts.num_images) == (2, 3)
    assert measurement.reliability.correct == [True, False, True]


def test_labels_that_the_grammar_excludes_are_counted_readable_or_not() -> None:
    image = with_a_mark(180, 60)
    recognizer = scripted_recognizer(("1", 0.9), ("12", 0.9), grammar="digits")
    labels = (("1", image), ("1+1", b""), ("1+2", image))
    pictures = [LabeledPicture("", source, text, None) for text, source in labels]
    measurement = Measurement(recognizer.decoder)
    assert len(list(read_pictures(recognizer, pictures, measurement))) == 3
    assert measurement.num_outside_grammar == 2


@pytest.mark.parametrize("by_value", [False, True])
def test_what_the_confidence_is_compared_with(by_value: bool) -> None:
    decoder = scripted_recognizer(decoder="auto", by_value=by_value).decoder
    measurement = Measurement(decoder)
    measurement.add(example(text="1+1", read="2", value=Fraction(2)))
    # Where the truth has no value, the text must be right.
    measurement.add(example(text="1/0", read="1/0"))
    measurement.add(example(text="1/0", read="2/0"))
    assert measurement.reliability.correct == [by_value, True, False]
    assert measurement.num_wrong == 2


def test_pictures_of_neighboring_confidences_share_a_row() -> None:
    measurement = Measurement(scripted_recognizer().decoder)
    for number in range(45):  # three for each of 15 rows
        read = "2" if number < 2 else "1"
        measurement.add(example(read=read, confidence=0.5 + number**2 / 10_000))
    rows = reliability_rows(measurement.reliability)
    assert len(rows) == 15
    assert rows[0] == ("3", "0.5000", "0.5004", "0.5001", "33.33%")
    assert rows[14] == ("3", "0.6764", "0.6936", "0.6849", "100.00%")


def test_nothing_to_read() -> None:
    recognizer = scripted_recognizer()
    measurement = Measurement(recognizer.decoder)
    assert list(read_pictures(recognizer, [], measurement)) == []
    assert measurement == Measurement(recognizer.decoder)
    assert np.isfinite(measurement.seconds)


@pytest.mark.parametrize(("by_value", "num_right"), [(True, 2), (False, 1)])
def test_by_value_a_reading_is_right_if_it_holds_as_its_label_does(
    by_value: bool, num_right: int
) -> None:
    decoder = scripted_recognizer(decoder="exact", by_value=by_value).decoder
    measurement = Measurement(decoder)
    for text in ("1+2=3", "2+1=3", "1+2=4"):
        value, holds = outcome_of(text)
        picture = LabeledPicture("", b"", "1+2=3", Fraction(3))
        reading = Prediction(text=text, value=value, confidence=0.5, holds=holds)
        measurement.add(Example(picture, reading))
    assert sum(measurement.reliability.correct) == num_right
    assert measurement.counts.num_value == 3
