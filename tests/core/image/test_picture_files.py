"""Files of pictures made to do harm: each ends in one line, before memory or time is spent."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.image.files import FORMATS
from exprocr.core.image.preprocess import load, load_image, to_gray
from exprocr.core.system import limits
from exprocr.errors import ImageError
from tests.support.pictures import encoded, text_picture

CONFIG = PreprocessConfig()
PNG, JPEG, TIFF, GIF = (encoded(text_picture(), name) for name in ("PNG", "JPEG", "TIFF", "GIF"))
PALETTE = encoded(text_picture().convert("P"), "PNG")


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def before_data(png: bytes, chunks: bytes) -> bytes:
    """Return a PNG with more chunks before its data."""
    place = png.index(b"IDAT") - 4
    return png[:place] + chunks + png[place:]


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content


def directory(num_tags: int, num_bytes: int, kind: int = 7) -> bytes:
    """Return a TIFF's directory with tags whose values are all the same part of the file."""
    tags = [struct.pack("<HHII", 50_000 + i, kind, num_bytes, 8) for i in range(num_tags)]
    start = b"II*\0" + struct.pack("<IH", 8, num_tags)
    return start + b"".join(tags) + bytes(4) + bytes(num_bytes)


def webp(kind: bytes, size: bytes) -> bytes:
    content = kind + struct.pack("<I", 10) + size
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WEBP" + content


def tiled(side: int) -> bytes:
    """Return the TIFF of a small picture in one tile."""
    tags = [(256, 64), (257, 64), (258, 8), (259, 5), (262, 1), (277, 1)]
    tags += [(322, side), (323, side), (324, 200), (325, 100)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(500)


def exif_jpeg(exif: bytes) -> bytes:
    return JPEG[:2] + segment(0xE1, b"Exif\0\0" + exif) + JPEG[2:]


SCAN = JPEG[JPEG.index(b"\xff\xda") : -2]
HARMFUL = {
    "size of an extended webp": (webp(b"VP8X", bytes(4) + b"\xff\x3f\0\xff\x3f\0"), "pixels"),
    "size of a lossless webp": (webp(b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(5)), "pixels"),
    "size of a webp": (webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a\xff\x3f\xff\x3f"), "pixels"),
    "size of a png": (
        PNG[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 9000, 9000, 8, 0, 0, 0, 0)) + PNG[33:],
        "expected at most 20,000,000 pixels, found 9,000 x 9,000 = 81,000,000",
    ),
    "size of a gif": (GIF[:6] + b"\x10\x27\x10\x27" + GIF[10:], "at most 20,000,000 pixels"),
    "chunks": (PNG[:33] + 200_000 * chunk(b"teSt") + PNG[33:], "few blocks of metadata"),
    "chunks at the end": (PNG[:-12] + 200_000 * chunk(b"teSt") + PNG[-12:], "few blocks of"),
    "empty data": (
        before_data(PNG, 200_000 * chunk(b"IDAT")),
        "few blocks of metadata",
    ),
    "segments": (JPEG[:2] + 200_000 * segment(0xFE, b"") + JPEG[2:], "few blocks of metadata"),
    "scans": (JPEG[:-2] + 50_000 * SCAN[:14] + JPEG[-2:], "expected a JPEG of few scans, found"),
    "extensions": (GIF[:-1].replace(b",", 200_000 * b"!\xfe\1a\0" + b",", 1), "few blocks of"),
    "exif": (exif_jpeg(directory(2000, 30_000)), "little metadata"),
    "exif of a png": (PNG[:33] + chunk(b"eXIf", directory(5000, 10**6)) + PNG[33:], "little meta"),
    "tags": (directory(5000, 10**6), "little metadata, found too much"),
    "values of a tag": (directory(1, 10**6, kind=1) + directory(1, 300_000, kind=3), "found"),
    "tile": (tiled(40_000), "expected at most 20,000,000 pixels, found 40,000 x 40,000"),
    "transparency": (
        before_data(PALETTE, chunk(b"tRNS", bytes(300))),
        "palette index out of range",
    ),
    "text": (b"P2 5000 4000 255 " + 10**6 * b"1 ", "at most 300,000 pixels"),
    "another maximum": (b"P5 5000 4000 254 " + bytes(10**6), "at most 300,000 pixels"),
}


@pytest.mark.parametrize("kind", HARMFUL)
def test_what_would_take_memory_or_time_is_refused(kind: str) -> None:
    content, message = HARMFUL[kind]
    with pytest.raises(ImageError) as error:
        load(content, CONFIG)
    assert str(error.value).startswith("<bytes>: expected ")
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_many_values_of_a_tag_are_refused() -> None:
    with pytest.raises(ImageError, match="little metadata"):
        load(directory(1, 10**6, kind=3)[:14] + struct.pack("<I", 400_000) + bytes(10**6), CONFIG)


def test_other_formats_are_unknown_and_start_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gs", "gswin32c", "gswin64c"):
        (programs / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name in ("EPS", "PCX", "SGI", "TGA", "ICO", "PDF"):
        content = encoded(text_picture().convert("RGB"), name)
        with pytest.raises(ImageError) as error:
            load(content, CONFIG)
        assert "expected a picture (PNG, JPEG, GIF, BMP, TIFF, WebP, PPM)" in str(error.value)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "DIB"])
def test_the_listed_formats_are_read(name: str) -> None:
    expected = load(text_picture(), CONFIG).ink.astype(int)
    found = load(encoded(text_picture(), name), CONFIG).ink.astype(int)
    assert np.abs(found - expected).mean() < 10


@pytest.mark.parametrize(("orientation", "size"), [(1, (5200, 5000)), (6, (5000, 5200))])
def test_a_photograph_is_decoded_at_half_its_size(orientation: int, size: tuple[int, int]) -> None:
    image = Image.new("L", (5200, 5000), 255)
    image.paste(0, (1000, 1000, 2000, 4000))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, "JPEG", exif=exif)
    loaded = load(content, CONFIG)
    assert loaded.size == size
    assert load_image(content).size == (size[0] // 2, size[1] // 2)
    assert loaded.ink.max() == 255
    with pytest.raises(ImageError, match="expected at most 20,000,000 pixels, found 5,200 x 5,000"):
        load(encoded(image, "JPEG", progressive=True), CONFIG)


def test_files_are_limited_in_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    path.touch()
    os.truncate(path, limits.MAX_PICTURE_BYTES + 1)  # without taking space
    with pytest.raises(ImageError, match=r"large\.png: .* found: a file of more than 100 MB, the"):
        load(path, CONFIG)
    with path.open("rb") as file, pytest.raises(ImageError, match="found: a file of more than 100"):
        load(file, CONFIG)


def test_gray_values_do_not_depend_on_the_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1003, 130, 4)).astype(np.uint8)
    for mode in ("L", "RGB", "RGBA", "LA", "P"):
        image = Image.fromarray(pixels).convert("RGB" if mode == "P" else mode).convert(mode)
        whole = to_gray(image)
        with monkeypatch.context() as patch:
            patch.setattr("exprocr.core.image.preprocess.BAND_PIXELS", 5_000)
            np.testing.assert_array_equal(to_gray(image), whole)


def test_nothing_else_is_written_to_standard_error(tmp_path: Path) -> None:
    """Neither by libtiff and NumPy nor as warnings of Pillow."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (60, 180)).astype(np.uint8))
    files = [
        encoded(image.convert(mode), "TIFF", compression=compression)
        for mode, compression in (
            ("L", "tiff_lzw"), ("L", "tiff_adobe_deflate"), ("L", "jpeg"), ("1", "group4"),
        )
    ]  # fmt: skip
    strange = np.full((60, 180), np.nan, np.float32)
    strange[10:20], strange[20:30] = np.inf, 3e38
    files.append(encoded(Image.fromarray(strange), "TIFF"))
    samples = struct.pack("<HHI", 277, 3, 1)  # per pixel
    colors = encoded(image.convert("RGB"), "TIFF")
    files.append(colors.replace(samples + b"\3", samples + b"\xb4"))
    for number in range(100):
        content = bytearray(files[number % len(files)])
        for place in rng.integers(8, len(content), 4 * (number >= len(files))):
            content[place] = rng.integers(256)
        (tmp_path / f"{number}.tif").write_bytes(content)
    code = f"""
from pathlib import Path
from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.image.preprocess import load
from exprocr.errors import ImageError
failed = 0
for path in Path({str(tmp_path)!r}).glob("*.tif"):
    try:
        load(path, PreprocessConfig())
    except ImageError:
        failed += 1
print(failed)
"""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, timeout=100
    )
    assert done.stderr == ""
    assert int(done.stdout) > 20
