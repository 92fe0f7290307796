"""Where pictures come from, and what is none: one line that names it, and nothing else raised."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.image.preprocess import describe, load, load_image
from exprocr.errors import ImageError
from tests.support.pictures import encoded, gray_values, text_picture, with_alpha

CONFIG = PreprocessConfig()


def test_every_kind_of_source(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    text_picture().save(path)
    expected = load(path, CONFIG).ink
    with path.open("rb") as file, io.BytesIO(path.read_bytes()) as stream:
        sources: list[Any] = [str(path), path.read_bytes(), file, stream, gray_values()]
        sources += [
            text_picture(),
            np.asarray(text_picture().convert("RGB")),
            np.asarray(with_alpha("RGBA")),
        ]
        for source in sources:
            np.testing.assert_allclose(load(source, CONFIG).ink, expected, atol=1)
        assert not file.closed
        assert [describe(source) for source in (path, file, b"", stream, gray_values())] == [
            str(path), str(path), "<bytes>", "<BytesIO>", "<ndarray>",
        ]  # fmt: skip
    with open(os.open(path, os.O_RDONLY), "rb") as numbered:
        assert isinstance(describe(numbered), str)


def test_files_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    text_picture().save(good)
    bad.write_bytes(good.read_bytes()[:200])
    unclosed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unclosed.append(args.exc_value))
    load(good, CONFIG)
    with pytest.raises(ImageError):
        load(bad, CONFIG)
    assert unclosed == []  # a ResourceWarning, as pytest is told to make it an error


def check_message(error: pytest.ExceptionInfo[ImageError], path: Path, found: str) -> None:
    message = str(error.value)
    assert message.startswith(f"{path}: expected ")
    assert found in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        (b"", "no known image format"),
        (b"(7+5)-4 8\n", "no known image format"),
        (encoded(text_picture(), "PNG")[:300], "truncated"),
        (encoded(text_picture(), "PNG")[:20], "found"),
        (encoded(text_picture(), "JPEG")[:700], "truncated"),
        (encoded(text_picture(), "GIF")[:100], "found"),
    ],
)
def test_what_is_no_picture(tmp_path: Path, content: bytes | None, found: str) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError) as error:
        load(path, CONFIG)
    check_message(error, path, found)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as error:
        load(tmp_path, CONFIG)
    check_message(error, tmp_path, "found a folder")
    inside = tmp_path / "file" / "x.png"
    (tmp_path / "file").touch()
    with pytest.raises(ImageError) as error:
        load(inside, CONFIG)
    check_message(error, inside, "found: ")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (5, 5, 5), (2, 5, 5, 3)])
def test_arrays_that_are_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"^<ndarray>: expected .* found"):
        load(np.zeros(shape, dtype=np.uint8), CONFIG)


@pytest.mark.parametrize("dtype", ["bool", "uint16", "int64", "float32"])
def test_arrays_of_another_type(dtype: str) -> None:
    with pytest.raises(ImageError, match=f"^<ndarray>: expected an array of uint8, found {dtype}$"):
        load(np.zeros((60, 180), dtype=dtype), CONFIG)


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("L", (25, 40)).save(path)
    assert load_image(path).size == (25, 40)
    for size in ((25, 41), (40, 40), (60, 60), (3000, 1)):  # Pillow warns, and from 2000 px raises
        Image.new("L", size).save(path)
        with pytest.raises(ImageError) as error:
            load(path, CONFIG)
        check_message(error, path, "expected at most 1,000 pixels, found more")
    assert Image.MAX_IMAGE_PIXELS == 1000


FILES = [
    encoded(text_picture().resize((45, 15)).convert(mode), format_, **options)
    for format_, mode, options in (
        ("PNG", "RGBA", {}), ("PNG", "P", {}), ("GIF", "L", {}), ("JPEG", "RGB", {}),
        ("BMP", "RGB", {}), ("TIFF", "L", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    )
]  # fmt: skip


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(FILES)))
    for position in draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        content[position] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), damaged_files()))
def test_arbitrary_bytes_raise_nothing_else(content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)  # quick, however large the header says
        message = ""
        try:
            ink = load(content, CONFIG).ink
        except ImageError as error:
            message, ink = str(error), np.zeros((60, 20), np.uint8)
    assert len(message.splitlines()) <= 1
    assert ink.dtype == np.uint8
    assert (ink.shape[0], ink.shape[1] % 20) == (60, 0)
