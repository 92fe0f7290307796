"""Near-duplicates: what was saved, shrunk or moved again is one picture; another digit is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.config.schema import SynthConfig
from exprocr.core.data.inspection import likeness
from exprocr.core.data.inspection.likeness import (
    MAX_DIFFERENCE,
    Map,
    difference,
    ink_map,
    near_duplicates,
    working_ink,
)
from exprocr.core.image.preprocess import to_gray
from exprocr.synth.renderer import Renderer
from tests.support.drawn_lines import line
from tests.support.tiny_runs import BUILT_IN

TEXTS = ("12+34=46", "(7-5)*4", "9.5÷5=1.9", "3*3-3", "18÷7=2…4")


def map_of(image: Image.Image) -> Map:
    return ink_map(working_ink(to_gray(image)))


def encoded(image: Image.Image, kind: str, **options: int) -> Image.Image:
    stream = io.BytesIO()
    image.convert("RGB").save(stream, kind, **options)
    return Image.open(io.BytesIO(stream.getvalue()))


def shifted(image: Image.Image, right: int, down: int) -> Image.Image:
    gray = np.pad(np.asarray(image.convert("L")), 2, mode="edge")
    height, width = gray.shape
    return Image.fromarray(gray[2 - down : height - 2 - down, 2 - right : width - 2 - right].copy())


def shrunk(image: Image.Image, factor: float) -> Image.Image:
    size = (round(image.width * factor), round(image.height * factor))
    return image.convert("L").resize(size, Image.Resampling.LANCZOS)


CHANGES = {
    "JPEG": lambda image: encoded(image, "JPEG", quality=60),
    "WebP": lambda image: encoded(image, "WEBP", quality=60),
    "a pixel to the right": lambda image: shifted(image, 1, 0),
    "a pixel up": lambda image: shifted(image, 0, -1),
    "a pixel in both": lambda image: shifted(image, -1, 1),
    "three quarters": lambda image: shrunk(image, 0.75),
    "two thirds": lambda image: shrunk(image, 2 / 3),
    "light on dark": lambda image: Image.fromarray(255 - np.asarray(image.convert("L"))),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_picture_that_was_changed_a_little_is_near(text: str, change: str) -> None:
    image = line(text)
    assert difference(map_of(image), map_of(CHANGES[change](image))) <= MAX_DIFFERENCE


@pytest.mark.parametrize("change", CHANGES)
def test_so_is_a_distorted_picture(change: str) -> None:
    renderer = Renderer([BUILT_IN], SynthConfig(faint_share=0, degraded_share=0))
    images = [renderer.sample(0, 0, index)[1] for index in range(6)]
    for image in images:
        assert difference(map_of(image), map_of(CHANGES[change](image))) <= MAX_DIFFERENCE


@pytest.mark.parametrize("size_px", [18, 28, 40])
def test_a_picture_with_another_digit_is_not(size_px: int) -> None:
    """Every digit against every other one, at the start, in the middle and at the end."""
    for place, template in enumerate(("{}+34=5", "12+{}4=", "12+34-{}")):
        maps = [map_of(line(template.format(digit), size_px)) for digit in range(10)]
        for one in range(10):
            for other in range(one):
                found = difference(maps[one], maps[other])
                assert found > MAX_DIFFERENCE, (place, one, other, found)


def test_a_decimal_point_more_is_not_near() -> None:
    assert difference(map_of(line("15+21")), map_of(line("1.5+21"))) > MAX_DIFFERENCE


def random_maps(number: int, columns: int = 72) -> list[Map]:
    """Maps of blots that are unlike each other."""
    rng = np.random.default_rng(3)
    blots = rng.random((number, 6, columns // 4)) < 0.4
    return [np.kron(one, np.ones((4, 4))).astype(np.uint8) * 255 for one in blots]


def by_brute_force(maps: list[Map]) -> list[list[int]]:
    """Compare all pairs, and join what is near, directly or through others."""
    number = len(maps)
    near: NDArray[np.bool_] = np.array(
        [[difference(one, other) <= MAX_DIFFERENCE for other in maps] for one in maps]
    )
    # Each map is compared with its nearest ones alone, but here no group is larger than that.
    near |= near.T
    for middle in range(number):  # Warshall's closure
        near |= np.outer(near[:, middle], near[middle])
    groups = {tuple(np.flatnonzero(row).tolist()) for row in near}
    return [list(group) for group in sorted(groups) if len(group) > 1]


def test_groups_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the pairs are in different blocks, and a block has one map."""
    monkeypatch.setattr(likeness, "BLOCK", 12)
    images = [line(text, size) for text in TEXTS[:4] for size in (20, 28, 40)]
    images += [line(text, width=300) for text in ("7*8", "18÷7=2…4", "1234567")]
    images += [shifted(image, 1, 0) for image in images[::2]] + [images[4], images[4]]
    maps = [map_of(image) for image in images] + random_maps(12)
    assert len(maps) % 12 == 1
    done: list[int] = []
    found = near_duplicates(maps, done.append)
    assert len(found) > 5
    assert found == by_brute_force(maps)
    assert sum(done) == len(maps)


def test_many_copies_are_one_group() -> None:
    maps = random_maps(3)
    assert near_duplicates([maps[0], *[maps[1]] * 50, maps[2]]) == [list(range(1, 51))]


def test_nothing_to_compare() -> None:
    assert near_duplicates([]) == []
    assert near_duplicates(random_maps(1)) == []
    blank = map_of(Image.new("L", (90, 30), 200))
    assert not blank.any()
