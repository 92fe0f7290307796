"""Augmentation: what changes, what stays, and that texts stay readable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.evaluation.measure import LabeledImages, evaluate
from exprocr.core.image.preprocess import preprocess, to_ink
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import value_of
from exprocr.synth.augment import Augmenter, text_box, unstretched
from exprocr.synth.fonts import FontFile
from exprocr.synth.renderer import Renderer
from tests.support.pictures import matplotlib_fonts

Ink = NDArray[np.uint8]
SANS = FontFile("DejaVu Sans", "Book", str(matplotlib_fonts() / "DejaVuSans.ttf"))


def draw(text: str = "12+34", width: int = 180, size: int = 30) -> Ink:
    """Return a preprocessed picture of a text in the middle: uint8 (60, width)."""
    image = Image.new("L", (width, 60), 230)
    font = ImageFont.truetype(SANS.path, size)
    ImageDraw.Draw(image).text((width / 2, 30), text, fill=60, font=font, anchor="mm")
    return preprocess(image, PreprocessConfig(width_multiple=1))


def versions(augment: Augmenter, ink: Ink, num: int = 40) -> list[Ink]:
    return [augment(ink, np.random.default_rng((1, i))) for i in range(num)]


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 150),
    strength=st.sampled_from((0.0, 0.01, 0.4, 1.0)),
    kind=st.sampled_from(("noise", "blank", "full", "bar")),
    flat_field=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_picture_keeps_its_shape(
    height: int, width: int, strength: float, kind: str, flat_field: bool, seed: int
) -> None:
    ink = np.full((height, width), 255 * (kind == "full"), dtype=np.uint8)
    if kind == "noise":
        ink[:] = np.random.default_rng(seed).integers(0, 256, ink.shape)
    elif kind == "bar":
        ink[height // 3 :, width // 2 : width // 2 + 3] = 255
    before = ink.copy()
    augment = Augmenter(strength, flat_field=flat_field)
    found, again = (augment(ink, np.random.default_rng(seed)) for _ in range(2))
    assert found.shape == ink.shape
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(ink, before)
    if not strength or kind == "blank":
        np.testing.assert_array_equal(found, ink)


def test_the_share_that_stays_as_it_is() -> None:
    ink = draw()
    for share in (0.0, 0.3, 1.0):
        found = versions(Augmenter(0.5, unchanged_share=share), ink, 200)
        kept = np.mean([np.array_equal(one, ink) for one in found])
        assert kept == pytest.approx(share, abs=0.1)
        assert 0 < share < 1 or kept == share


@pytest.mark.parametrize("text", ["12+34", "1", "8888888888"])
@pytest.mark.parametrize("size", [20, 30, 44])
def test_a_picture_of_the_deviation_has_the_same_ink(text: str, size: int) -> None:
    ink = draw(text, size=size)
    deviation, level = unstretched(ink)
    gray = np.asarray(1 - deviation / 255, dtype=np.float32)
    for again in (to_ink(gray, flat_field=False), to_ink(gray)):
        assert np.abs(again * 255 - ink).max() < 8
    assert np.abs(deviation.astype(int) - ink).max() > 20  # it is another picture
    assert level == pytest.approx(max(np.quantile(deviation, 0.95) / 255, 16 / 255), abs=0.02)


def test_little_strength_changes_little() -> None:
    ink = draw()
    changes = []
    for strength in (0.01, 0.25, 0.5, 1.0):
        found = np.stack(versions(Augmenter(strength), ink)).astype(int)
        changes.append(np.abs(found - ink).mean())
    assert changes == sorted(changes)
    assert changes[0] < 2 < 10 < changes[-1]


def only(**changes: Any) -> Augmenter:
    """Return what moves and bends at full strength, and changes nothing of the light."""
    augment = Augmenter(1.0)
    shares = [name for name in vars(augment.ranges.light) if name.endswith("_share")]
    quiet: dict[str, Any] = dict.fromkeys(shares, 0.0)
    light = replace(augment.ranges.light, contrast=(1.0, 1.0), ground=(1.0, 1.0), **quiet)
    changes = {"light_share": 1.0, "patches": 0, **changes}
    augment.ranges = replace(augment.ranges, light=light, **changes)
    return augment


def test_text_is_moved_and_scaled_and_stays_inside() -> None:
    ink = draw()
    total = ink.sum(dtype=int)
    places, sizes = [], []
    for one in versions(only(), ink):
        box = text_box(one)
        assert box is not None
        left, top, right, bottom = box
        places.append(((left + right) / 2, (top + bottom) / 2))
        sizes.append((right - left, bottom - top))
        # Nothing is cut off: the ink is that of the text, larger or smaller by up to a fourth.
        assert 0.5 < one.sum(dtype=int) / total < 1.8
    assert all(10 < spread < 40 for spread in np.ptp(places, axis=0))
    assert np.ptp(sizes, axis=0)[0] > 20
    assert np.ptp(sizes, axis=0)[1] > 6


def test_text_at_all_edges_stays_inside() -> None:
    ink = np.zeros((60, 200), dtype=np.uint8)
    ink[:, :4] = ink[:, -4:] = ink[:4] = ink[-4:] = 255  # a frame at the very edge
    for one in versions(only(bend=0.0), ink):
        rows, columns = (one > 100).any(axis=1), (one > 100).any(axis=0)
        assert (rows.sum(), columns.sum()) > (40, 130)
        # A line across the middle meets the left and the right side of the frame, and no more.
        middle = one[np.flatnonzero(rows).mean().astype(int)] > 100
        assert np.count_nonzero(np.diff(np.pad(middle, 1).astype(int)) == 1) == 2


def test_a_long_text_is_tilted_less() -> None:
    ink = draw("1234567890" * 4, width=1200, size=40)
    for one in versions(only(shear=0.0, zoom=0.0, aspect=0.0, bend=0.0), ink, 20):
        box = text_box(one)
        assert box is not None
        assert box[2] - box[0] > 800
        left, right = (
            one[:, part].astype(float).sum(axis=1)
            for part in (slice(box[0], box[0] + 200), slice(box[2] - 200, box[2]))
        )
        middles = [np.average(np.arange(60), weights=part) for part in (left, right)]
        assert abs(middles[1] - middles[0]) < 0.2 * 60 + 1


def test_the_network_sees_little_of_light_and_nothing_of_polarity() -> None:
    ink = draw()
    augment = only(zoom=0, aspect=0, shift=0, tilt_deg=0, shear=0, bend=0)
    (same,) = versions(augment, ink, 1)
    assert np.abs(same.astype(int) - ink).max() < 10
    inverse = replace(augment.ranges.light, inverse_share=1.0)
    dark = replace(augment.ranges.light, ground=(0.5, 0.5))
    shaded = replace(augment.ranges.light, shadow=(0.4, 0.4), shadow_share=1.0)
    changes = {}
    for name, light in (("inverse", inverse), ("dark", dark), ("shadow", shaded)):
        other = only(zoom=0, aspect=0, shift=0, tilt_deg=0, shear=0, bend=0)
        other.ranges = replace(other.ranges, light=light)
        differences = [np.abs(one.astype(int) - ink).mean() for one in versions(other, ink, 10)]
        changes[name] = np.mean(differences)
    assert changes["inverse"] < 1
    assert changes["dark"] < 1
    assert 1 < changes["shadow"] < 30


def test_noise_does_not_hide_text_that_is_faint_beside_dirt() -> None:
    ink = draw()
    text, background = ink > 200, np.s_[45:, :]
    ink = (ink * 0.4).astype(np.uint8)
    ink[5:9, 5:25] = 255
    augment = only(zoom=0, aspect=0, shift=0, tilt_deg=0, shear=0, bend=0)
    noisy = replace(augment.ranges.light, noise_share=1.0, noise=(0.08, 0.08))
    augment.ranges = replace(augment.ranges, light=noisy)
    for one in versions(augment, ink, 10):
        assert one[text].mean() > 3 * np.quantile(one[background], 0.9)


@pytest.mark.parametrize(("strength", "least"), [(0.5, 0.97), (1.0, 0.85)])
def test_texts_stay_readable(strength: float, least: float) -> None:
    recognizer = Recognizer.load("contest", device="cpu", threads=1)
    renderer = Renderer([SANS])
    samples = [renderer.sample(3, 0, i) for i in range(150)]
    inks = [preprocess(image, recognizer.preprocess) for _, image in samples]
    readings = recognizer.predict([image for _, image in samples])
    right = [i for i, reading in enumerate(readings) if reading.text == samples[i][0]]
    assert len(right) > 140
    augment = Augmenter(strength)
    augmented = [augment(inks[i], np.random.default_rng((2, i))) for i in right]
    texts = [samples[i][0] for i in right]
    counts, _ = evaluate(
        recognizer, LabeledImages(augmented, texts, [value_of(text) for text in texts])
    )
    assert counts.exact_match >= least
