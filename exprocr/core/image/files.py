"""Decoding the files of pictures, within limits on memory and time.

A file is read into memory, its header is checked, and only then Pillow opens it, as one of
`FORMATS` and nothing else. Pillow would otherwise start programs (Ghostscript for EPS) and allocate
memory before the size of a picture can be checked.
"""

from __future__ import annotations

import ctypes
import io
import logging
import struct
import warnings
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import (
    GifImagePlugin,
    Image,
    ImageOps,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from exprocr.core.system.limits import (
    MAX_PICTURE_BYTES,
    MAX_PICTURE_PIXELS,
    MAX_PICTURE_READS,
    MAX_READS_BY_SIZE,
    MAX_REDUCED_PIXELS,
    MAX_SCAN_PIXELS,
    MAX_SLOW_PIXELS,
    MAX_TAG_VALUES,
)
from exprocr.core.system.regular import read_regular, too_large
from exprocr.errors import ImageError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats that are read. JPEG includes MPO; PPM includes PBM, PGM and PFM."""

FORMAT_NAMES = "PNG, JPEG, GIF, BMP, TIFF, WebP, PPM"

_USED = (TiffImagePlugin, WebPImagePlugin)  # or else Pillow would import the plugins of all formats

# Pillow logs some damage. Without a handler, Python would write it to standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_DIRECTORY_TAGS = (0x8769, 0x8825, 0xA005)
"""Tags of directories inside a TIFF's directory that Pillow reads."""

_TILE_TAGS = (322, 323)
"""Tags of a TIFF's width and height of tiles."""

_TYPE_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
"""Bytes per value of a TIFF's types."""

_BYTE_TYPES = (1, 2, 6, 7)


class StoredPicture(ABC):
    """A picture inside a file of many, which is read when it is needed."""

    @property
    @abstractmethod
    def file(self) -> Path:
        """The file that it is in."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called: a path that leads into the file."""

    @abstractmethod
    def content(self) -> bytes:
        """Return its bytes, which are those of a picture's file.

        Raises:
            ImageError: There are none; the message does not name it.
        """


class Decoded(NamedTuple):
    """A decoded picture."""

    image: Image.Image
    """The picture, upright. A JPEG of more than `MAX_PICTURE_PIXELS` has a half of its width and
    height, or less."""

    size: tuple[int, int]
    """Its original width and height, upright, px."""

    more_frames: bool = False
    """Whether its file has more frames or pages than the first one, which was decoded."""


def read_picture(source: Path | str | bytes | BinaryIO | StoredPicture) -> Decoded:
    """Decode a picture's file and rotate the picture as its EXIF orientation says.

    Args:
        source: A path, the content of a file, a binary file object, or a picture inside a file.

    Raises:
        ImageError: It is in none of `FORMATS`, or beyond a limit; the message does not name it.
        OSError: The file cannot be read, or is damaged; other errors of Pillow's decoders.
    """
    content = _content(source)
    jpeg = _check_jpeg(content) if content[:2] == b"\xff\xd8" else None
    if content[:4] in _TIFF_STARTS:
        _check_tiff(content)
    if webp_size := _webp_size(content[:30]):
        _check_pixels(*webp_size)  # because opening it allocates its memory
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about unusual metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            # The formats are given, because Pillow would start a program for some others.
            image = Image.open(metered := _Metered(content), formats=FORMATS)
        except UnidentifiedImageError:
            raise ImageError(
                f"expected a picture ({FORMAT_NAMES}), found a file in no known image format"
            ) from None
        size = width, height = image.size
        is_reduced = jpeg is not None and jpeg.in_one_scan and width * height > MAX_PICTURE_PIXELS
        _check_pixels(width, height, MAX_REDUCED_PIXELS if is_reduced else MAX_PICTURE_PIXELS)
        if is_reduced:
            image.draft(None, (width // 2, height // 2))
        if jpeg and width * height * jpeg.num_scans > MAX_SCAN_PIXELS:
            raise ImageError(f"expected a JPEG of few scans, found {jpeg.num_scans:,}")
        if image.format == "TIFF":
            _silence_libtiff()
        # Decoders in this table are written in Python.
        if any(tile[0] in Image.DECODERS for tile in image.tile[:1]):
            _check_pixels(width, height, MAX_SLOW_PIXELS)
            metered.left += 10 * MAX_SLOW_PIXELS  # they can read pixel by pixel
        more_frames = _has_more_frames(image, content)
        image.load()
        if image.has_transparency_data:  # whose damage Pillow finds only when it converts
            image.crop((0, 0, 1, 1)).convert("RGBA")
        _check_exif(image.info.get("exif", b""))
        loaded = image.size
        ImageOps.exif_transpose(image, in_place=True)
    if not is_reduced:
        size = image.size
    elif image.size != loaded:
        size = height, width
    return Decoded(image, size, more_frames)


def _has_more_frames(image: Image.Image, content: bytes) -> bool:
    """Return whether a file that was just opened has more than one frame or page.

    The further pictures of an MPO, which many cameras write, are previews: they do not count.
    """
    if image.format != "GIF":
        return image.format != "MPO" and getattr(image, "is_animated", False)
    metered = _Metered(content)
    metered.left += len(content) // 100  # two for each full block of the first frame
    try:  # in a second object, because looking for the next frame leaves the first one
        return GifImagePlugin.GifImageFile(metered).is_animated
    except Exception:  # the rest of the file is damaged: the first frame is read all the same
        return False


def _content(source: Path | str | bytes | BinaryIO | StoredPicture) -> bytes:
    """Return a file's content; at most `MAX_PICTURE_BYTES`."""
    if isinstance(source, bytes):
        content = source
    elif isinstance(source, StoredPicture):
        content = source.content()
    elif isinstance(source, Path | str):
        return read_regular(source, MAX_PICTURE_BYTES)
    else:
        if source.seekable():
            source.seek(0)
        content = source.read(MAX_PICTURE_BYTES + 1)
    if len(content) > MAX_PICTURE_BYTES:
        raise too_large("", MAX_PICTURE_BYTES)
    return content


def _check_pixels(width: int, height: int, limit: int = MAX_PICTURE_PIXELS) -> None:
    if width * height > limit:
        raise ImageError(
            f"expected at most {limit:,} pixels, found {width:,} x {height:,} = {width * height:,}"
        )


class _Metered(io.BytesIO):
    """A picture's content, read in a limited number of pieces.

    Pillow reads metadata piece by piece, in Python. A file with millions of empty blocks would take
    minutes.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        by_size = min(len(content) // 1024, MAX_READS_BY_SIZE)
        self.left = MAX_PICTURE_READS + by_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read a piece.

        Raises:
            ImageError: There are too many.
        """
        self.left -= 1
        if self.left < 0:
            raise ImageError("expected a picture of few blocks of metadata, found too many")
        return super().read(size)


class _Jpeg(NamedTuple):
    """What the header of a JPEG tells about the work of decoding it."""

    in_one_scan: bool
    """Whether it is decoded row by row, so that it can be reduced in little memory."""

    num_scans: int


def _check_jpeg(content: bytes) -> _Jpeg:
    """Read a JPEG's header and check its EXIF data, which Pillow parses when it opens the file."""
    exif, frame, position = b"", b"", 2
    for _ in range(MAX_PICTURE_READS + MAX_READS_BY_SIZE):  # Pillow's limit here, too
        if position + 4 > len(content):
            break
        marker, length = struct.unpack_from(">HH", content, position)
        if marker < 0xFF01:  # no marker: skip what is there, as Pillow does
            position += 1
            continue
        if marker == 0xFFFF or 0xFFD0 <= marker <= 0xFFD9 or marker == 0xFF01:
            position += 1 if marker == 0xFFFF else 2  # padding, or a marker without a length
            continue
        segment = content[position + 4 : position + 2 + length]
        if marker == 0xFFE1 and segment[:6] == b"Exif\0\0":
            exif += segment[6:] if exif else segment
        elif marker & 0xFFF0 == 0xFFC0 and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
            frame = bytes([marker & 0xFF]) + segment
        elif marker == 0xFFDA:
            break
        position += 2 + max(length, 2)
    _check_exif(exif)
    # Inside compressed data, this marker occurs at the start of a scan alone.
    num_scans = content.count(b"\xff\xda", position)
    components, in_scan = frame[6:7], content[position + 4 : position + 5]
    return _Jpeg(frame[:1] in (b"\xc0", b"\xc1") and components == in_scan, num_scans)


def _webp_size(header: bytes) -> tuple[int, int] | None:
    """Return the size of a WebP, px, from the file's first 30 bytes; None if it is none."""
    if header[:4] != b"RIFF" or header[8:12] != b"WEBP" or len(header) < 30:
        return None
    kind = header[12:16]
    if kind == b"VP8X":  # extended: 24 bits each, less one
        width, height = (int.from_bytes(header[i : i + 3], "little") + 1 for i in (24, 27))
    elif kind == b"VP8L":  # lossless: 14 bits each, less one
        bits = int.from_bytes(header[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", header, 26))
    return width, height


_TIFF_STARTS = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
"""First bytes of a TIFF, and its byte order and whether it is a BigTIFF."""


def _check_exif(exif: bytes) -> None:
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    if exif[:4] in _TIFF_STARTS:
        _check_tiff(exif)


def _check_tiff(content: bytes) -> None:
    """Check the directories of a TIFF or of EXIF data, which has the same structure.

    A small file can have thousands of tags whose values are all the same large part of the file.

    Raises:
        ImageError: The values have more bytes than the file, or there are too many, or a tile is
            too large.
    """
    order, is_big = _TIFF_STARTS[content[:4]]
    number, entry, pointer = (
        order + kinds for kinds in (("Q", "HHQ", "Q") if is_big else ("H", "HHI", "I"))
    )
    num_bytes = num_values = 0
    tile = [1, 1]
    places = [8 if is_big else 4]  # of pointers to directories
    for place in places:  # grows while it is read
        offset = _number(pointer, content, place)
        first = offset + struct.calcsize(number)
        size = struct.calcsize(entry) + struct.calcsize(pointer)
        last = min(first + size * _number(number, content, offset), len(content) + 1 - size)
        num_values += max(0, last - first) // size
        for position in range(first, last, size):
            if num_values > MAX_TAG_VALUES:
                break
            tag, kind, count = struct.unpack_from(entry, content, position)
            num_bytes += count * (_TYPE_SIZES[kind] if kind < len(_TYPE_SIZES) else 0)
            num_values += count if kind not in _BYTE_TYPES else 0
            place = position + struct.calcsize(entry)
            if tag in _DIRECTORY_TAGS and len(places) < 10:
                places.append(place)
            elif tag in _TILE_TAGS:
                tile[tag - _TILE_TAGS[0]] = _number(
                    order + "H" if kind == 3 else pointer, content, place
                )
    if num_bytes > 2 * len(content) or num_values > MAX_TAG_VALUES:
        raise ImageError("expected a picture with little metadata, found too much")
    _check_pixels(*tile)


def _number(kind: str, content: bytes, place: int) -> int:
    """Return the number at a place of a file; 0 outside it."""
    if place + struct.calcsize(kind) > len(content):
        return 0
    number: int = struct.unpack_from(kind, content, place)[0]
    return number


@cache
def _silence_libtiff() -> None:
    """Stop libtiff from writing to standard error, in this process.

    Pillow reports its errors anyway. Redirecting standard error would affect other threads.
    """
    try:
        library = ctypes.CDLL(Image.core.__file__)  # type: ignore[attr-defined]
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            setter = getattr(library, name)
            setter.restype, setter.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
            setter(None)
    except (OSError, AttributeError):  # part of Pillow itself, as on Windows
        pass
