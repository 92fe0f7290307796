"""What a run validated on, as pictures that can be looked at: its files, or rendered again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from exprocr.core.config.settings import load_settings
from exprocr.core.data.dataset import Sample, load_dataset
from exprocr.core.image.preprocess import ImageSource
from exprocr.core.text.expression import value_of
from exprocr.errors import DataError, FontError
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import CHARACTERS, VAL_STREAM, Renderer
from exprocr.training.run import CONFIG_NAME, SPLIT_NAME, VAL_NAME


@dataclass(frozen=True)
class LabeledPicture:
    """A picture as it came, before any preprocessing, and what it says."""

    name: str
    """The path of its file, or what a rendered one is called."""

    source: ImageSource
    """The path, or the rendered picture itself."""

    text: str
    """The expression."""

    value: Fraction | None
    """Its value; None where it is no expression or divides by zero."""


@dataclass(frozen=True)
class ValidationSet:
    """The pictures a run validated on, in its order; each is loaded or drawn when it is asked for.

    Iterating again starts over and gives the same pictures.
    """

    name: str
    """What it is called: ``the run's 250 validation images``."""

    number: int
    """How many pictures there are."""

    pictures: Callable[[], Iterator[LabeledPicture]]
    """Starts over at the first picture."""

    warnings: list[str] = field(default_factory=list)
    """What is odd but no reason to stop, one line each."""

    def __iter__(self) -> Iterator[LabeledPicture]:
        return self.pictures()

    def __len__(self) -> int:
        return self.number


def validation_pictures(run_dir: Path) -> ValidationSet:
    """Return what a run validated on.

    The files its ``val.csv`` lists, where it had any; otherwise the rendered pictures, drawn again
    from its settings. They are the same as long as the fonts are.

    Args:
        run_dir: The run directory.

    Raises:
        DataError: It is no run directory, or more than half of its files are gone.
        ConfigError: Its ``config.toml`` cannot be used.
        FontError: The fonts it rendered with are gone.
    """
    if (run_dir / VAL_NAME).is_file():
        return _files(run_dir / VAL_NAME)
    if not (run_dir / CONFIG_NAME).is_file():
        found = "no such folder"
        if run_dir.exists():
            found = "none inside" if run_dir.is_dir() else "a file"
        raise DataError(f"{run_dir}: expected a run directory with {CONFIG_NAME}, found {found}")
    if (run_dir / SPLIT_NAME).exists():
        raise DataError(
            f"{run_dir / VAL_NAME}: expected the files the run validated on, found no such file"
        )
    return _rendered(run_dir / CONFIG_NAME)


def _files(table: Path) -> ValidationSet:
    found = load_dataset(table)
    samples = found.parts["all"]
    return file_pictures(samples, _name(len(samples)), found.warnings)


def _rendered(config: Path) -> ValidationSet:
    settings = load_settings("default", config)
    synth, training = settings.synth, settings.training
    try:
        fonts = find_fonts(
            [Path(folder) for folder in synth.fonts], CHARACTERS, system=synth.system_fonts
        ).usable
    except FontError as error:
        raise FontError(f"{config}: the images it validated on cannot be drawn: {error}") from None
    name, number = _name(training.val_images), training.val_images
    return rendered_pictures(Renderer(fonts, synth), training.seed, VAL_STREAM, number, name)


def _name(number: int) -> str:
    return f"the run's {number:,} validation image" + ("" if number == 1 else "s")


def file_pictures(
    samples: Sequence[Sample], name: str, warnings: list[str] | None = None
) -> ValidationSet:
    """Return the pictures of labeled files."""

    def pictures() -> Iterator[LabeledPicture]:
        for sample in samples:
            value = value_of(sample.text) if sample.value is None else sample.value
            yield LabeledPicture(str(sample.path), sample.path, sample.text, value)

    return ValidationSet(name, len(samples), pictures, warnings or [])


def rendered_pictures(
    renderer: Renderer, seed: int, stream: int, number: int, name: str
) -> ValidationSet:
    """Return the first pictures of a stream, which are drawn one by one."""

    def pictures() -> Iterator[LabeledPicture]:
        for i in range(number):
            text, picture = renderer.sample(seed, stream, i)
            yield LabeledPicture(f"rendered image {i}", picture, text, value_of(text))

    return ValidationSet(name, number, pictures)
