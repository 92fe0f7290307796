"""LMDB folders with pictures and texts, as parseq and deep-text-recognition-benchmark write them.

The key ``num-samples`` holds the number n of samples, as a decimal. ``image-000000001`` to
``image-`` n hold the files of the pictures, and ``label-000000001`` to ``label-`` n their texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from exprocr.core.image.files import StoredPicture
from exprocr.core.system.limits import MAX_ARCHIVE_BYTES, MAX_LABEL_LENGTH, MAX_LABELS
from exprocr.core.system.regular import open_regular
from exprocr.errors import DataError, ImageError
from exprocr.words import quoted, shortened

DATA_NAME = "data.mdb"

INSTALL = "pip install 'exprocr[lmdb]'"

IMAGE_KEY = re.compile(r"image-[0-9]{9,10}")


@dataclass(frozen=True)
class LmdbPicture(StoredPicture):
    """A picture in an LMDB folder."""

    folder: Path
    key: str
    """``image-000000001``."""

    @property
    def file(self) -> Path:
        """The file of all pictures."""
        return self.folder / DATA_NAME

    @property
    def name(self) -> str:
        """The folder with the key."""
        return str(self.folder / self.key)

    def content(self) -> bytes:
        """Return the picture's bytes.

        Raises:
            ImageError: There is none, or the folder cannot be read.
        """
        try:
            with _reported(self.folder), open_lmdb(self.folder).begin() as values:
                found = values.get(self.key.encode())
        except DataError as error:
            raise ImageError(str(error)) from None
        if not found:
            raise ImageError("expected a picture, found none")
        return bytes(found)


class Entry(NamedTuple):
    """A sample of an LMDB folder."""

    number: str
    """Nine digits, from 000000001."""

    text: str | None
    """None if there is none."""

    has_picture: bool


def entries(folder: Path) -> Iterator[Entry]:
    """Yield all samples of a folder, in order.

    Raises:
        DataError: The folder is damaged or holds something else, or lmdb is not installed.
    """
    environment = open_lmdb(folder)
    with _reported(folder), environment.begin(buffers=True) as values:
        number = bytes(values.get(b"num-samples") or b"")[:20]
        if not number.isdigit() or not int(number) <= MAX_LABELS:
            raise DataError(
                f"{folder}: expected a number of at most {MAX_LABELS:,} samples in 'num-samples', "
                f"found {quoted(number.decode(errors='replace')) if number else 'none'}"
            )
        for i in range(1, int(number) + 1):
            found = values.get(f"label-{i:09}".encode())
            text = None
            if found is not None:
                try:
                    text = bytes(found[: 4 * MAX_LABEL_LENGTH + 4]).decode()
                except UnicodeDecodeError:
                    raise DataError(f"{folder}, label-{i:09}: expected UTF-8") from None
            picture = values.get(f"image-{i:09}".encode())
            yield Entry(f"{i:09}", text, picture is not None and len(picture) > 0)


def open_lmdb(folder: Path) -> Any:
    """Return a folder's LMDB environment for reading, opened once in this process; write nothing.

    Raises:
        DataError: It is none, it is damaged, or lmdb is not installed.
    """
    return _opened(folder.resolve())  # one folder cannot be opened twice


@lru_cache(maxsize=16)
def _opened(folder: Path) -> Any:
    try:
        from lmdb import open as open_environment
    except ImportError as error:
        raise DataError(
            f"{folder}: reading LMDB needs the package lmdb ({error}): {INSTALL}"
        ) from None
    with _reported(folder):
        with open_regular(folder / DATA_NAME, MAX_ARCHIVE_BYTES) as file:
            size = file.seek(0, 2)
        environment = open_environment(
            str(folder), readonly=True, lock=False, create=False, readahead=False, meminit=False
        )
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if size < needed:  # a page that is not there would end the program
            environment.close()
            raise DataError(
                f"{folder / DATA_NAME}: expected {needed:,} bytes, found {size:,}: it is cut off"
            )
    return environment


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """Raise what LMDB says of a damaged folder as a `DataError`."""
    try:
        yield
    except DataError:
        raise
    # The base of lmdb's errors is Exception, and the package need not be installed.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"{folder}: expected a readable LMDB folder, found: "
            f"{shortened(reason.splitlines()[0], 200)}"
        ) from None
