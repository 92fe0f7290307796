"""Labels and their pictures, whatever the layout of the data set.

A label's text holds no white space but blanks between other characters, which only tables can
have. Its value, if it has one, is an integer, a decimal or ``p/q``; of an equation, it is the value
of its left side.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from exprocr.core.data.stored import stored_at
from exprocr.core.image.files import StoredPicture
from exprocr.core.system.limits import (
    MAX_LABEL_FILE_BYTES,
    MAX_LABEL_LENGTH,
    MAX_LABELS,
    MAX_LINE_LENGTH,
)
from exprocr.core.system.regular import open_regular
from exprocr.core.text.expression import format_value, value_of
from exprocr.errors import DataError
from exprocr.words import NUM_NAMED, first_few, quantity, quoted, shortened

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
)  # fmt: skip

MANY = 1_000
"""With fewer labels, each picture is looked up by itself."""

_VALUE = re.compile(r"-?[0-9]{1,1000}([/.][0-9]{1,1000})?")


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and its label."""

    path: Path
    """The picture's file, or for a stored one a path that leads into its file."""

    text: str
    """The text; never empty, with visible characters and blanks between them."""

    where: str
    """Where the label is written: ``data/labels.txt, line 12``."""

    value: Fraction | None = None
    """The value in the label, right or wrong; None if there is none."""

    stored: StoredPicture | None = None
    """The picture where it has no file of its own, such as a row of a Parquet file."""

    @property
    def source(self) -> Path | StoredPicture:
        """What the picture is read from."""
        return self.stored or self.path

    @property
    def file(self) -> Path:
        """The picture's file, or the one that it is in."""
        return self.stored.file if self.stored else self.path

    @property
    def truth(self) -> Fraction | None:
        """The value that a reading should have: the label's, or else that of the text."""
        return value_of(self.text) if self.value is None else self.value


class Label(NamedTuple):
    """One label, as written in its file."""

    where: str
    """Where it is written: ``data/labels.txt, line 12``."""

    image: str
    """Path of the image, relative to the folder of the images."""

    text: str
    """The expression; `check_labels` takes the blanks around it off, and checks it."""

    value: Fraction | None
    """The value written beside it, right or wrong; None if there is none."""

    stored: StoredPicture | None = None
    """The picture where it has no file of its own."""


@dataclass(frozen=True, kw_only=True)
class TablePaths:
    """Where the paths of a table's pictures start, and whether they may lead elsewhere."""

    images: Path | None = None
    """The folder that they start from; None is the table's own."""

    allow_outside: bool = False
    """Whether they may be absolute, or leave that folder by ``..``."""


class LabelFile(NamedTuple):
    """A label file that a layout has found."""

    file: Path
    """The file."""

    folder: Path
    """The folder of its pictures."""

    read: Callable[[LabelFile, list[str]], list[Sample]]
    """Reads the samples; its arguments are this label file and a list for warnings."""

    has_paths: bool = False
    """Whether it names its pictures by paths, which start from `folder`."""

    allow_outside: bool = False
    """Whether pictures may lie outside `folder`."""

    label_map: Callable[[str], str] = str
    """Returns the text to use for the text of a label."""

    note: Callable[[str], object] = str
    """Is told what is unusual in how the labels are written, for the line about the layout."""


class Layout(NamedTuple):
    """A layout, found at a path."""

    description: str
    """One line for people."""

    parts: dict[str, LabelFile]
    """Either ``train`` and ``val``, or ``all``."""

    unread: tuple[str, ...] = ()
    """Other labels at the same path, which are not read, as people call them."""


def read_lines(
    file: Path, *, keep_returns: bool = False, note: Callable[[str], object] = str
) -> Iterator[str]:
    """Read the lines of a UTF-8 file, with or without a byte-order mark, with either line end.

    Args:
        file: The file.
        keep_returns: Keep the carriage return before a line feed, which may be within quotes.
        note: Is told of a byte-order mark, and of Windows line ends.

    Yields:
        The lines without their ends; blank lines at the end of the file are left out.

    Raises:
        DataError: The file is not UTF-8, or a line or the file is longer than allowed.
        OSError: The file cannot be read, or is no regular file.
    """
    num_blank = 0
    with open_regular(file, MAX_LABEL_FILE_BYTES) as lines:
        for number in range(1, MAX_LABELS + 2):
            content = lines.readline(MAX_LINE_LENGTH + 1)
            if not content:
                return
            where = f"{file}, line {number}"
            if number == 1 and content.startswith(codecs.BOM_UTF8):
                note("a byte-order mark")
            if number == 1 and content.endswith(b"\r\n"):
                note("Windows line ends")
            if len(content) > MAX_LINE_LENGTH:
                raise DataError(f"{where}: expected at most {MAX_LINE_LENGTH:,} bytes, found more")
            try:
                line = content.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                found = f"the byte 0x{error.object[error.start]:02x}"
                raise DataError(f"{where}: expected UTF-8, found {found}") from None
            if not line.strip():
                num_blank += 1
                continue
            yield from [""] * num_blank
            num_blank = 0
            line = line.removesuffix("\n")
            yield line if keep_returns else line.removesuffix("\r")
    raise DataError(f"{file}: expected at most {MAX_LABELS:,} lines, found more")


def is_plain(text: str) -> bool:
    """Return whether a text has neither white space nor other unprintable characters."""
    return text.isprintable() and " " not in text


def check_text(text: object, where: str) -> str:
    """Return the text of a label.

    Raises:
        DataError: It is empty, longer than `MAX_LABEL_LENGTH`, or has unprintable characters, or
            white space other than blanks between visible characters.
    """
    if not isinstance(text, str) or not text or not text.isprintable() or text != text.strip():
        raise DataError(
            f"{where}: text: expected visible characters, with blanks only between them, found "
            f"{quoted(text)}"
        )
    if len(text) > MAX_LABEL_LENGTH:
        raise DataError(
            f"{where}: text: expected at most {MAX_LABEL_LENGTH:,} characters, found {len(text):,}"
        )
    return text


def parse_value(value: object, where: str) -> Fraction | None:
    """Parse the value of a label; None and the empty string mean that there is none.

    Raises:
        DataError: It is neither an integer nor a decimal nor ``p/q``.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    written = repr(value) if isinstance(value, float) else value  # 1.7 in JSON is exactly 17/10
    if isinstance(written, str) and _VALUE.fullmatch(written):
        with suppress(ZeroDivisionError):
            return Fraction(written)
    raise DataError(
        f"{where}: value: expected an integer, a decimal or a fraction p/q, found {quoted(value)}"
    )


def check_labels(source: LabelFile, labels: Iterable[Label], warnings: list[str]) -> list[Label]:
    """Return the labels of a file without blanks around them, after its map.

    Wrong values are warned of.

    Raises:
        DataError: There is no label, or one is malformed, also by the map.
    """
    file, change = source.file, source.label_map
    checked = []
    num_stripped = 0
    for label in labels:
        text = label.text.strip()
        num_stripped += len(text) != len(label.text)
        text = check_text(change(text), label.where)
        checked.append(label if text == label.text else label._replace(text=text))
    labels = checked
    if num_stripped:
        source.note(f"blanks around {quantity(num_stripped, 'label')} taken off")
    right_of = lru_cache(2**16)(value_of)  # texts are often repeated
    if not labels:
        raise DataError(f"{file}: expected labels, found none")
    wrong = [
        f"{where.removeprefix(f'{file}, ')}: {shortened(text)} is "
        f"{shortened(format_value(right, text)) or 'without a value'}, "
        f"not {shortened(format_value(value, text))}"
        for where, _, text, value, _ in labels
        if value is not None and value != (right := right_of(text))
    ]
    if wrong:
        warnings.append(
            f"{file}: {len(wrong)} of {len(labels)} values are not those of their expressions: "
            + first_few(wrong, "; ")
        )
    return labels


def join(source: LabelFile, labels: Sequence[Label], warnings: list[str]) -> list[Sample]:
    """Join labels with their pictures, without opening any; warn of missing ones.

    A backslash in a path is one of the name, or else a separator, as Windows writes it.

    Raises:
        DataError: A path leads out of the folder, or more than half of the pictures are missing.
    """
    file, folder = source.file, source.folder
    samples, missing = [], []
    num_backslashes = 0
    is_file = _file_finder(folder, len(labels))
    for where, image, text, value, stored in labels:
        if stored is not None:
            samples.append(Sample(Path(stored.name), text, where, value, stored))
            continue
        slashed = image.replace("\\", "/")
        if not source.allow_outside and any(map(_leads_out, {image, slashed})):
            raise DataError(
                f"{where}: image: expected a path inside {folder}, found "
                f"{quoted(image)}; give --allow-outside if you trust this table"
            )
        if is_file(image):
            samples.append(Sample(folder / image, text, where, value))
        elif slashed != image and is_file(slashed):
            num_backslashes += 1
            samples.append(Sample(folder / slashed, text, where, value))
        elif inside := stored_at(folder / image):
            samples.append(Sample(folder / image, text, where, value, inside))
        else:
            missing.append(image)
    if num_backslashes:
        source.note(f"backslashes in {quantity(num_backslashes, 'path')} taken as /")
    report_missing(file, "labels have no image", missing, len(labels), warnings)
    return samples


def _leads_out(path: str) -> bool:
    """Return whether a path is absolute or climbs above its start; links are not looked at."""
    if path.startswith(("/", os.sep)) or os.path.splitdrive(path)[0]:
        return True
    return ".." in path and os.path.normpath(path).split(os.sep, 1)[0] == os.pardir


def _file_finder(folder: Path, num: int) -> Callable[[str], bool]:
    """Return a function that tells whether a path in a folder is a file.

    Args:
        folder: The folder.
        num: How many paths there are. Of many, whole folders are listed, which is faster.
    """
    base = str(folder)
    listed: dict[str, set[str]] = {}

    def is_file(image: str) -> bool:
        # os.path, because Path.is_file raises an error if the name is too long.
        place, name = os.path.split(image)
        if num >= MANY and place not in listed:
            listed[place] = _files_in(os.path.join(base, place))
        if name in listed.get(place, ()):
            return True
        return os.path.isfile(os.path.join(base, image))  # the file system may ignore the case

    return is_file


def _files_in(folder: str) -> set[str]:
    """Return the names of a folder's regular files, without links; empty if there is none."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
    except (OSError, ValueError):
        return set()


def image_names(folder: Path) -> Iterator[str]:
    """Yield the names of a folder's images, in no order; hidden files are left out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.lower().endswith(IMAGE_SUFFIXES) and name[0] != "." and entry.is_file():
                yield name


def images_by_stem(folder: Path) -> dict[str, str]:
    """Return the file names of a folder's images by their stems.

    Raises:
        DataError: Two images have one stem.
    """
    images: dict[str, str] = {}
    for name in image_names(folder):
        stem = os.path.splitext(name)[0]
        if other := images.get(stem):
            both = " and ".join(sorted((other, name)))
            raise DataError(f"{folder}: expected one image called {stem}, found {both}")
        images[stem] = name
    return images


def report_missing(
    place: Path, what: str, names: Sequence[str], total: int, warnings: list[str]
) -> None:
    """Warn if something is missing.

    Raises:
        DataError: More than half of the total is missing.
    """
    if not names:
        return
    named = first_few([shortened(name) for name in names[: NUM_NAMED + 1]])
    found = f"{len(names)} of {total} {what}: {named}"
    if 2 * len(names) > total:
        raise DataError(f"{place}: expected at most half missing; {found}")
    warnings.append(f"{place}: {found}")
