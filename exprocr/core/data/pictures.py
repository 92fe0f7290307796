"""Labeled pictures as they came, before any preprocessing: from files, or rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from PIL import Image

from exprocr.core.data.labels import Sample
from exprocr.core.image.preprocess import ImageSource
from exprocr.core.text.expression import value_of


@dataclass(frozen=True)
class LabeledPicture:
    """A picture and its label."""

    name: str
    """The path of its file, or the name of a rendered one."""

    source: ImageSource
    """The path, what it is stored in, or the rendered picture itself."""

    text: str
    """The expression."""

    value: Fraction | None
    """Its value, as the label gives it; None where it is no expression or divides by zero."""


@dataclass(frozen=True)
class PictureSet:
    """Labeled pictures in their order; each is loaded or drawn only when it is needed.

    Every iteration starts over and yields the same pictures.
    """

    name: str
    """What it is called, such as ``the run's 250 validation images``."""

    number: int
    """How many pictures there are."""

    pictures: Callable[[], Iterator[LabeledPicture]]
    """Returns an iterator from the first picture on."""

    warnings: list[str] = field(default_factory=list)
    """What is odd but no reason to stop, one line each."""

    def __iter__(self) -> Iterator[LabeledPicture]:
        return self.pictures()

    def __len__(self) -> int:
        return self.number


class Sampler(Protocol):
    """What draws labeled pictures, such as `exprocr.synth.renderer.Renderer`."""

    def sample(self, seed: int, stream: int, index: int, /) -> tuple[str, Image.Image]:
        """Return a text and its picture; equal arguments give equal results."""
        ...


def file_pictures(samples: Sequence[Sample], name: str, warnings: Sequence[str] = ()) -> PictureSet:
    """Return the pictures of labeled files."""

    def pictures() -> Iterator[LabeledPicture]:
        for sample in samples:
            yield LabeledPicture(str(sample.path), sample.source, sample.text, sample.truth)

    return PictureSet(name, len(samples), pictures, list(warnings))


def rendered_pictures(
    renderer: Sampler, seed: int, stream: int, number: int, name: str
) -> PictureSet:
    """Return the first pictures of a stream of rendered ones, drawn one by one."""

    def pictures() -> Iterator[LabeledPicture]:
        for i in range(number):
            text, picture = renderer.sample(seed, stream, i)
            yield LabeledPicture(f"rendered image {i}", picture, text, value_of(text))

    return PictureSet(name, number, pictures)
