"""The kinds of pictures that ``exprocr visualize`` draws, and what one is asked for.

Each kind has a module here with a function ``show(request)``, which draws, writes, and prints the
figures behind the picture. ``--help`` shows `KINDS`, so this module imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from exprocr.cli.options import Session


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a kind of picture is drawn from, and which options it understands."""

    summary: str
    """What it shows, for ``--help``."""

    source: Literal["model", "run", "runs", "data"] = "model"
    """A model (or the model of a run), the record of one run, those of several, or a data set
    alone, where a run gives settings."""

    options: tuple[str, ...] = ()
    """Parameters that it understands, beside ``output`` and what it is drawn from."""

    is_plot: bool = False
    """Whether it can be written as SVG."""

    module: str = ""
    """The module that draws it; empty where that has the kind's name."""


KINDS = {
    "features": Kind(
        summary="all channels of a layer",
        options=("image", "layer", "seed", "scale", "top", "channels"),
    ),
    "alignment": Kind(
        summary="each frame's class probabilities, and the characters found there",
        options=("image", "seed"),
    ),
    "saliency": Kind(
        summary="which pixels a reading rests on: Grad-CAM and integrated gradients",
        options=("image", "layer", "seed", "character"),
    ),
    "filters": Kind(summary="the kernels of the first convolution"),
    "weights": Kind(
        summary="a histogram of every parameter tensor", options=("layer",), is_plot=True
    ),
    "distributions": Kind(
        summary="percentiles of every tensor over a run",
        source="run",
        options=("layer",),
        is_plot=True,
        module="tensors",
    ),
    "history": Kind(
        summary="histograms of every tensor over a run",
        source="run",
        options=("layer",),
        is_plot=True,
        module="tensors",
    ),
    "curves": Kind(
        summary="loss, exact match, edit distance, learning rate and speed of one or more runs",
        source="runs",
        options=("over",),
        is_plot=True,
    ),
    "samples": Kind(
        summary="images with truth, reading and confidence",
        options=(
            *("image", "seed", "errors", "limit", "images", "allow_outside"),
            *("layout", "label_pattern"),
            *("grammar", "texts", "texts_like", "max_length", "look", "digits"),
        ),
    ),
    "augment": Kind(
        summary="labeled images as they are, and as training on them distorts them",
        source="data",
        options=(
            *("image", "seed", "strength", "limit", "images", "allow_outside"),
            *("layout", "label_pattern"),
        ),
    ),
    "architecture": Kind(
        summary="each stage's output of an image, its parameters, multiply-adds and time",
        options=("image", "seed"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be drawn, and where it goes."""

    session: Session
    kind: str
    image: str | None = None
    """The picture, ``-`` for standard input; of samples and augment, the data set."""

    layers: tuple[str, ...] = ()
    """Names of layers, as given."""

    model: str | None = None
    """Model file or run directory to read with; None is the bundled model."""

    runs: tuple[Path, ...] = ()
    """Runs whose records are drawn, or the run that is the model."""

    output: str | None = None
    """File, or folder: where there are several pictures, or it ends in a slash."""

    seed: int = 0
    """Seed of what is rendered where no picture is given, or of distortions."""

    scale: str | None = None
    """``own`` or ``shared``."""

    top: int | None = None
    """How many of the strongest channels to draw."""

    channels: tuple[int, ...] | None = None
    """Channels to draw."""

    character: int | None = None
    """Number of the character to explain, from 1; None explains the whole reading."""

    over: str = "step"
    """``step`` or ``time``."""

    errors: bool = False
    """Draw the wrong readings alone, the worst first."""

    strength: float | None = None
    """Strength of the distortions, 0..1; None is that of the settings."""

    limit: int = 24
    """Images of a sheet, at most."""

    look: tuple[str, ...] | None = None
    """Looks of rendered samples, with their shares; None is the contest's."""

    digits: str | None = None
    """Folder of handwritten digits."""

    images: str | None = None
    """The folder that the paths of samples' table start from; None is the table's own."""

    allow_outside: bool = False
    """Whether they may lead out of it."""

    layout: str | None = None
    """Layout of the samples' data set; None recognizes it."""

    label_pattern: str | None = None
    """Pattern of samples' labels in the names of files."""

    grammar: str | None = None
    """Grammar of the texts of rendered samples."""

    texts: str | None = None
    """File of the texts of rendered samples."""

    texts_like: str | None = None
    """Distribution of the texts of rendered samples."""

    max_length: int | None = None
    """Most characters of a text of a grammar with very many texts."""

    device: str = "auto"
    threads: int | None = None

    def path(self, name: str | None = None, *, of_several: bool = False) -> Path:
        """Return where a picture goes.

        Args:
            name: What tells it from others of its kind, such as its layer.
            of_several: It is one of several, which go to a folder.
        """
        file_name = f"{self.kind}-{name}.png" if name else f"{self.kind}.png"
        if of_several or (self.output or "").endswith("/"):
            return Path(self.output or self.kind) / file_name
        return Path(self.output or file_name)
