"""Handwritten digits: what is read of IDX files, what is refused, and what a pen makes of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from exprocr.errors import DataError
from exprocr.synth.dice import Dice
from exprocr.synth.paint import digits
from exprocr.synth.paint.digits import Digits, load_digits
from tests.support.handwriting import drawn_digits, idx, write_digits

IMAGES, LABELS = drawn_digits(60)


@pytest.mark.parametrize("packed", [True, False])
def test_only_the_digits_of_the_range_are_read(tmp_path: Path, packed: bool) -> None:
    folder = write_digits(tmp_path / "digits", IMAGES, LABELS, packed=packed)
    read = load_digits(str(folder), 20, 49)
    assert np.array_equal(read.images, IMAGES[20:50])
    for digit, numbers in enumerate(read.by_label):
        assert numbers.tolist() == [digit, digit + 10, digit + 20]
    everything = load_digits(str(folder), 0, 7_999)
    assert np.array_equal(everything.images, IMAGES)


def test_several_pairs_follow_each_other(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "digits", IMAGES[20:], LABELS[20:], "train")
    write_digits(folder, IMAGES[:20], LABELS[:20], "t10k", packed=False)
    assert np.array_equal(load_digits(str(folder), 0, 99).images, IMAGES)


def broken(folder: Path, kind: str) -> None:
    """Damage a folder of digits."""
    images, labels = (folder / f"t10k-{name}.gz" for name in (digits.IMAGES, digits.LABELS))
    match kind:
        case "no images":
            images.unlink()
        case "no labels":
            labels.unlink()
        case "no gzip":
            images.write_bytes(idx(IMAGES))
        case "cut gzip":
            images.write_bytes(images.read_bytes()[:-30])
        case "no IDX":
            images.write_bytes(gzip.compress(b"not an IDX file at all"))
        case "shorts":
            images.write_bytes(gzip.compress(idx(IMAGES).replace(b"\0\0\x08", b"\0\0\x0b", 1)))
        case "cut":
            images.write_bytes(gzip.compress(idx(IMAGES)[:-1]))
        case "longer":
            images.write_bytes(gzip.compress(idx(IMAGES) + b"\0"))
        case "fewer labels":
            labels.write_bytes(gzip.compress(idx(LABELS[:-1])))
        case "huge":
            images.write_bytes(gzip.compress(idx(np.zeros((1, 4000, 4000), np.uint8))))
        case "one digit":
            labels.write_bytes(gzip.compress(idx(np.zeros(len(LABELS), np.uint8))))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no images", "expected a file *-images-idx3-ubyte or *-images-idx3-ubyte.gz"),
        ("no labels", "expected its labels in t10k-labels-idx1-ubyte"),
        ("no gzip", "cannot be read: "),
        ("cut gzip", "cannot be read: "),
        ("no IDX", "expected an IDX file of bytes in 3 dimensions"),
        ("shorts", "expected an IDX file of bytes in 3 dimensions"),
        ("cut", "expected 47,040 values, as its beginning says, found 47,039"),
        ("longer", "expected 47,040 values, as its beginning says, found 47,041"),
        ("fewer labels", "expected as many images as labels, found 60 and 59"),
        ("huge", "expected images of 1 to 256 px a side"),
        ("one digit", "expected each of the ten digits among numbers 0 to 99, found no 1"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, kind: str, message: str) -> None:
    folder = write_digits(tmp_path / "digits", IMAGES, LABELS)
    broken(folder, kind)
    with pytest.raises(DataError) as caught:
        load_digits(str(folder), 0, 99)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_other_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="expected a folder of handwritten digits, found none"):
        load_digits(str(tmp_path / "nowhere"), 0, 9)
    folder = write_digits(tmp_path / "digits", IMAGES, LABELS)
    with pytest.raises(DataError, match="expected each of the ten digits"):
        load_digits(str(folder), 1_000, 2_000)
    # Neither a large file nor one that is large when decompressed is read.
    monkeypatch.setattr(digits, "MAX_DIGITS_BYTES", 20_000)
    with pytest.raises(DataError, match="expected at most 20,000 bytes, found more"):
        load_digits(str(folder), 0, 8)
    write_digits(folder, IMAGES, LABELS, "train", packed=False)
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match="cannot be read: a file of more than"):
        load_digits(str(folder), 0, 7)


def bars(thickness: int) -> Digits:
    """Return ten digits that are upright bars."""
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 10 : 10 + thickness] = 255
    numbers = tuple(np.array([0]) for _ in range(10))
    return Digits(image[None], numbers, digits._thickness(image[None]))


def test_thickness_of_strokes_is_that_of_drawn_lines() -> None:
    for thickness in (2, 4, 6):
        image = Image.new("L", (28, 28))
        draw = ImageDraw.Draw(image)
        draw.ellipse((3, 3, 24, 24), outline=255, width=thickness)
        (measured,) = digits._thickness(np.asarray(image)[None])
        assert measured == pytest.approx(thickness, rel=0.25)


@pytest.mark.parametrize("slant", [0.0, 0.4, -0.4])
def test_a_digit_has_the_height_the_slant_and_the_pen_that_are_asked_for(slant: float) -> None:
    areas = []
    for pen_px in (6.0, 12.0, 14.0):
        ink = bars(4).write(1, 60.0, 1.0, slant, pen_px, Dice(np.random.default_rng(0)))
        levels = np.asarray(ink, dtype=float)
        rows = np.flatnonzero(levels.max(axis=1) > 127)
        assert rows[-1] - rows[0] + 1 == pytest.approx(60, abs=4)
        areas.append(levels.sum() / 255 / 60)
        columns = np.arange(ink.width)
        parts = (levels[8:18], levels[48:58])  # 40 px apart
        upper, lower = (float((p.sum(axis=0) @ columns) / p.sum()) for p in parts)
        assert upper - lower == pytest.approx(slant * 40, abs=3)
    assert areas[0] < areas[1] < areas[2]
    assert areas[1] == pytest.approx(12.0, rel=0.25)  # as in the image, enlarged three times
