"""Files with more frames or pages than the first: it is read as if it were alone."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.image.preprocess import decode, load
from tests.support.pictures import encoded, text_picture

FIRST, OTHER = text_picture(), text_picture(80)
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("GIF", {}),
    ("PNG", {}),
    ("PNG", {"default_image": True}),  # which is no part of the animation
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
]


@pytest.mark.parametrize(("format_", "options"), KINDS)
@pytest.mark.parametrize("others", [[OTHER], [OTHER, FIRST, OTHER]])
def test_the_first_frame_is_read(
    format_: str, options: dict[str, Any], others: list[Image.Image]
) -> None:
    several = encoded(FIRST, format_, save_all=True, append_images=others, **options)
    alone = encoded(FIRST, format_, **{k: v for k, v in options.items() if k != "default_image"})
    found, expected = decode(several), decode(alone)
    assert (found.more_frames, expected.more_frames) == (True, False)
    np.testing.assert_array_equal(found.image.convert("RGB"), expected.image.convert("RGB"))
    read = load(several, PreprocessConfig())
    assert read.more_frames
    np.testing.assert_array_equal(read.ink, load(alone, PreprocessConfig()).ink)


@pytest.mark.parametrize("format_", ["JPEG", "BMP", "PPM"])
def test_formats_of_one_picture(format_: str) -> None:
    assert not decode(encoded(FIRST, format_)).more_frames


def test_previews_that_a_camera_adds_do_not_count() -> None:
    photo = encoded(FIRST, "MPO", save_all=True, append_images=[OTHER])
    with Image.open(io.BytesIO(photo)) as opened:
        assert opened.n_frames == 2  # type: ignore[attr-defined]
    assert not decode(photo).more_frames


def test_a_large_first_frame_of_a_gif() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), "GIF", save_all=True, append_images=[OTHER])
    assert len(content) > 10**6  # in thousands of blocks, each of which is skipped
    assert decode(content).more_frames


@pytest.mark.parametrize("length", [0.7, 0.9])
def test_a_second_frame_that_is_cut_off(length: float) -> None:
    second = np.random.default_rng(0).integers(0, 256, (60, 180), dtype=np.uint8)
    content = encoded(FIRST, "GIF", save_all=True, append_images=[Image.fromarray(second)])
    found = decode(content[: int(length * len(content))])
    np.testing.assert_array_equal(found.image.convert("L"), FIRST)


def test_an_open_picture_is_read_as_it_is() -> None:
    content = encoded(FIRST, "GIF", save_all=True, append_images=[OTHER])
    with Image.open(io.BytesIO(content)) as opened:
        opened.seek(1)
        found = decode(opened)
        assert not found.more_frames  # the caller chose the frame
        np.testing.assert_array_equal(found.image.convert("L"), OTHER)
