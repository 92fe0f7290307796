"""What pictures of a reading are drawn from: the model, the image, and what is read in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.config.schema import SynthConfig
from exprocr.core.image.preprocess import ImageSource, decode, describe, preprocess
from exprocr.core.model.torch_engine import TorchEngine
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import equals_value
from exprocr.errors import ImageError
from exprocr.synth.renderer import SAMPLE_STREAM, load_renderer
from exprocr.words import format_confidence


@dataclass(frozen=True)
class Subject:
    """A picture, and how a model reads it."""

    recognizer: Recognizer
    """The model; its engine is PyTorch's."""

    name: str
    """The picture's name."""

    picture: Image.Image
    """The picture as loaded, of any mode."""

    ink: NDArray[np.uint8]
    """The network's input, uint8 (H, W)."""

    prediction: Prediction
    """What is read, its characters placed in the picture as it was loaded."""

    @property
    def engine(self) -> TorchEngine:
        """The engine that holds the network."""
        return torch_engine(self.recognizer)

    @property
    def reading(self) -> str:
        """What was read, on one line: the text, its value if it is no equation, the confidence."""
        text = self.prediction.text
        reading = f"{text or '(nothing)'} {equals_value(self.prediction.value, text)}".rstrip()
        return f"{reading}   {format_confidence(self.prediction.confidence)}"


def torch_engine(recognizer: Recognizer) -> TorchEngine:
    """Return the engine of a recognizer that was loaded with PyTorch: it holds the network."""
    assert isinstance(recognizer.engine, TorchEngine)
    return recognizer.engine


def read_subject(recognizer: Recognizer, source: ImageSource, name: str) -> Subject:
    """Load a picture and read it.

    Args:
        recognizer: What reads it; its engine is PyTorch's.
        source: The picture.
        name: Its name.

    Raises:
        ImageError: The picture cannot be read.
        ModelFileError: The network gives NaN.
    """
    picture, _, more_frames = decode(source)
    try:
        ink = preprocess(picture, recognizer.preprocess)
    except ImageError as error:
        raise ImageError(f"{describe(source)}: {error}") from None
    (prediction,) = recognizer.read([ink], [picture.size])
    prediction = replace(prediction, path=describe(source), more_frames=more_frames)
    return Subject(recognizer, name, picture, ink, prediction)


def render_subject(
    recognizer: Recognizer, seed: int = 0, config: SynthConfig | None = None
) -> Subject:
    """Render a sample and read it.

    Args:
        recognizer: What reads it; its engine is PyTorch's.
        seed: Equal seeds give equal samples.
        config: How it may look; None is the default.

    Raises:
        FontError: No font is usable.
        ModelFileError: The network gives NaN.
    """
    renderer, _ = load_renderer(config or SynthConfig())
    _, picture = renderer.sample(seed, SAMPLE_STREAM, 0)
    return read_subject(recognizer, picture, "a rendered sample")
