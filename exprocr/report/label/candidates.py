"""The pictures of a page for labeling: what was read in each, and in which order they are shown."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from exprocr.core.data.labels import Sample
from exprocr.core.image.files import StoredPicture
from exprocr.core.image.preprocess import load_image
from exprocr.core.reading.prediction import Prediction
from exprocr.core.system.csv_rows import path_cell
from exprocr.errors import ImageError
from exprocr.viz.canvas.drawing import to_rgb

MAX_LOSSLESS_BYTES = 10_000
"""A thumbnail of more loses detail. Below it none is lost: some texts differ from their background
by two gray levels."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A picture to label."""

    path: str
    """Its path, relative to the folder that all pictures are in; with ``/`` between folders."""

    label: str | None
    """The label it has; None if it has none."""

    prediction: Prediction | None = None
    """What was read in it; None if it cannot be labeled."""

    thumbnail: bytes = b""
    """The picture at the network's height, a WebP file; empty if it cannot be labeled."""

    size: tuple[int, int] = (0, 0)
    """Width and height of the thumbnail, px."""

    problem: str = ""
    """Why it cannot be labeled; else empty."""

    @property
    def cell(self) -> str:
        """The path as ``labels.csv`` has it."""
        return path_cell(self.path)

    @property
    def disagrees(self) -> bool:
        """Whether it has a label, and something else was read."""
        return bool(self.prediction and self.label not in (None, self.prediction.text))

    @property
    def rank(self) -> tuple[int, float]:
        """Sort key.

        First come labels that differ from a reading, the surest reading first: these are most
        probably wrong. Then come the others, the least certain first, and last what cannot be
        labeled.
        """
        if self.prediction is None:
            return 2, 0.0
        confidence = self.prediction.confidence
        return (0, -confidence) if self.disagrees else (1, confidence)


@dataclass(frozen=True)
class CandidateSet:
    """All pictures of a page."""

    folder: str
    """The folder that they are all in, absolute."""

    candidates: Sequence[Candidate]
    """The pictures, in the order of their paths on the command line."""

    characters: str
    """The characters that the model knows."""

    labels: str | None = None
    """Where the labels are from; None if the pictures had none."""

    @cached_property
    def in_order(self) -> list[Candidate]:
        """The pictures in the order in which they are shown."""
        return sorted(self.candidates, key=lambda candidate: candidate.rank)

    @property
    def digest(self) -> str:
        """A fingerprint of the paths, the pictures and the labels they had, in any order.

        What was read is no part of it: a page of the same set, made with another model, goes on
        with the work that was done.
        """
        contents = hashlib.blake2b(digest_size=16)
        for candidate in sorted(self.candidates, key=lambda candidate: candidate.path):
            for part in (candidate.path, candidate.label or ""):
                contents.update(part.encode("utf-8", "surrogateescape") + b"\0")
            contents.update(hashlib.blake2b(candidate.thumbnail).digest())
        return contents.hexdigest()


def common_folder(sources: Sequence[str | Path | StoredPicture]) -> str:
    """Return the innermost folder, absolute, that the files of all pictures are in."""
    files = [source.file if isinstance(source, StoredPicture) else source for source in sources]
    return os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])


def source_of(file: str, known: Mapping[str, Sample]) -> str | Path | StoredPicture:
    """Return what a picture is read from.

    Args:
        file: Its path.
        known: The samples of pictures that have a label, by absolute path.
    """
    sample = known.get(os.path.abspath(file))
    return sample.source if sample else file


def make_candidate(
    file: str,
    folder: str,
    result: Prediction | ImageError,
    known: Mapping[str, Sample],
    height: int,
) -> Candidate:
    """Return the picture of a file.

    Args:
        file: Its path.
        folder: The folder that all pictures are in, absolute.
        result: What was read in it.
        known: The samples of pictures that have a label, by absolute path.
        height: The network's height, px.
    """
    path = os.path.relpath(os.path.abspath(file), folder).replace(os.sep, "/")
    sample = known.get(os.path.abspath(file))
    label = sample.text if sample else None
    try:
        path.encode()
    except UnicodeEncodeError:
        problem = f"{file}: expected a name in UTF-8, which a table can hold, found other bytes"
        return Candidate(path=path, label=label, problem=problem)
    try:
        if isinstance(result, ImageError):
            raise result
        picture = load_image(source_of(file, known))  # it may be gone since it was read
    except ImageError as error:
        return Candidate(path=path, label=label, problem=str(error))
    thumbnail, size = shrink(picture, height)
    return Candidate(
        path=path,
        label=label,
        prediction=result,
        thumbnail=thumbnail,
        size=size,
    )


def shrink(picture: Image.Image, height: int) -> tuple[bytes, tuple[int, int]]:
    """Return a picture as a WebP file, and its width and height, px; larger ones are shrunk.

    Args:
        picture: Any picture.
        height: Its greatest height, px.
    """
    small = to_rgb(picture)
    if small.height > height:
        width = max(1, round(small.width * height / small.height))
        small = small.resize((width, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, format="WEBP", lossless=True)
    if stream.tell() > MAX_LOSSLESS_BYTES:
        stream = io.BytesIO()
        small.save(stream, format="WEBP", quality=90)
    return stream.getvalue(), small.size
