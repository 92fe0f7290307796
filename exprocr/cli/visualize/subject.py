"""What pictures of a reading are drawn from: the model, the image, and what is read in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exprocr.cli.predict.inputs import STDIN, read_stdin
from exprocr.cli.visualize.kinds import Request
from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.image.preprocess import describe, load_image, preprocess
from exprocr.core.model.torch_engine import TorchEngine
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import format_value
from exprocr.errors import ImageError
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import CHARACTERS, SAMPLE_STREAM, Renderer
from exprocr.words import format_confidence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from exprocr.core.reading.prediction import Prediction


@dataclass(frozen=True)
class Subject:
    """A picture, and how a model reads it."""

    recognizer: Recognizer
    name: str
    """What the picture is called."""

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
        """What was read, on one line: the text, its value, the confidence."""
        reading = self.prediction.text or "(nothing)"
        if self.prediction.value is not None:
            reading += f" = {format_value(self.prediction.value)}"
        return f"{reading}   {format_confidence(self.prediction.confidence)}"


def torch_engine(recognizer: Recognizer) -> TorchEngine:
    """Return the engine that holds the network: what is inside a network needs the network."""
    assert isinstance(recognizer.engine, TorchEngine)
    return recognizer.engine


def load_recognizer(request: Request, *, n_best: int = 1) -> Recognizer:
    """Load the model that was asked for.

    Args:
        request: What is asked for.
        n_best: Length of `Prediction.alternatives`.

    Raises:
        ModelFileError: The file is no usable model.
        ConfigError: The device is not there.
    """
    model = str(request.runs[0]) if request.runs else request.model
    return Recognizer.load(
        model, engine="torch", device=request.device, threads=request.threads, n_best=n_best
    )


def load_subject(request: Request, *, n_best: int = 1) -> Subject:
    """Load the model and the picture, or render one, and read it.

    Args:
        request: What is asked for.
        n_best: Length of `Prediction.alternatives`.

    Raises:
        ImageError: The picture cannot be read.
        ModelFileError: The file is no usable model.
    """
    return read_subject(request, load_recognizer(request, n_best=n_best))


def read_subject(request: Request, recognizer: Recognizer) -> Subject:
    """Load the picture, or render one, and read it.

    Raises:
        ImageError: The picture cannot be read.
        ModelFileError: The model gives no probabilities.
    """
    picture, ink = _picture(request, recognizer.preprocess)
    (prediction,) = recognizer.read([ink], [picture.size])
    subject = Subject(recognizer, request.image or "a rendered sample", picture, ink, prediction)
    request.session.note(f"{subject.name}: {subject.reading}")
    return subject


def _picture(request: Request, config: PreprocessConfig) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Return the decoded picture, or a rendered sample; and the network's input."""
    if request.image is None:
        renderer = Renderer(find_fonts([], CHARACTERS).usable)
        picture = renderer.sample(request.seed, SAMPLE_STREAM, 0)[1]
        return picture, preprocess(picture, config)
    source = read_stdin() if request.image == STDIN else request.image
    picture = load_image(source)
    try:
        return picture, preprocess(picture, config)
    except ImageError as error:
        raise ImageError(f"{describe(source)}: {error}") from None
