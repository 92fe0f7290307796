"""The one way from pictures to readings: eval, predict, visualize and validation all use it.

A picture is read the same whatever it is batched with: pictures are grouped by width, not padded
to their neighbours'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exprocr.core import decode
from exprocr.core.artifact import ModelFile
from exprocr.core.charset import Charset
from exprocr.core.expression import value_of
from exprocr.core.preprocess import ImageSource, PreprocessConfig, describe, load
from exprocr.core.settings import unknown_name
from exprocr.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from exprocr.core.engine import Engine

DECODERS = ("greedy", "beam")
MAX_BEAM_WIDTH = 1000
BATCH_SIZE = 64
CHUNK_SIZE = 256
"""Pictures held in memory at a time by `Recognizer.stream`."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was read in one picture."""

    path: str = ""
    """Where the picture came from."""

    text: str
    """The expression; empty for a picture without any."""

    value: Fraction | None
    """Its exact value; None where the text is no expression or divides by zero."""

    confidence: float
    """The network's probability of the text, summed over all its alignments: 0..1."""

    frames: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """First and last frame of each character on the text's best alignment."""

    num_frames: int = field(default=0, repr=False)
    """Frames of the picture; frame t sees the columns around ``t / num_frames`` of its width."""


class Recognizer:
    """Reads pictures of expressions.

    Args:
        engine: What computes the log-probabilities.
        charset: The model's characters.
        preprocess: The input's size.
        decoder: ``greedy`` (best path) or ``beam`` (prefix beam search).
        beam_width: Prefixes kept by the beam search.

    Raises:
        ConfigError: The decoder is unknown, or the beam width is not 1 to `MAX_BEAM_WIDTH`.
    """

    def __init__(
        self,
        engine: Engine,
        charset: Charset,
        preprocess: PreprocessConfig,
        *,
        decoder: str = "greedy",
        beam_width: int = 10,
    ) -> None:
        if decoder not in DECODERS:
            raise ConfigError(unknown_name("decoder", decoder, DECODERS, what="decoder"))
        if not 1 <= beam_width <= MAX_BEAM_WIDTH:
            raise ConfigError(f"beam_width: expected 1 to {MAX_BEAM_WIDTH}, found {beam_width}")
        self.engine = engine
        self.charset = charset
        self.preprocess = preprocess
        self.decoder = decoder
        self.beam_width = beam_width

    @classmethod
    def load(
        cls,
        model: Path | str | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        decoder: str = "greedy",
        beam_width: int = 10,
    ) -> Recognizer:
        """Load a model.

        Args:
            model: A model file or run directory; None is the model inside the package.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            threads: Threads to compute with; None picks a sensible number.
            decoder: ``greedy`` (best path) or ``beam`` (prefix beam search).
            beam_width: Prefixes kept by the beam search.

        Raises:
            ModelFileError: The file is no usable model.
            ConfigError: An argument is out of range.
        """
        from exprocr.core.engine import TorchEngine, build_network, pick_device, set_threads

        model_file = ModelFile.load(model)
        set_threads(threads)
        torch_device = pick_device(device)
        engine = TorchEngine(build_network(model_file, torch_device), torch_device)
        return cls(
            engine,
            model_file.charset,
            model_file.preprocess,
            decoder=decoder,
            beam_width=beam_width,
        )

    def predict(self, sources: Iterable[ImageSource]) -> list[Prediction]:
        """Read pictures.

        Args:
            sources: Paths, bytes, file objects, Pillow images or uint8 arrays.

        Returns:
            A prediction for each, in order.

        Raises:
            ImageError: A picture cannot be read; `stream` goes on instead.
            TypeError: ``sources`` is a single path or the bytes of a single file.
        """
        predictions = []
        for result in self.stream(sources):
            if isinstance(result, ImageError):
                raise result
            predictions.append(result)
        return predictions

    def stream(self, sources: Iterable[ImageSource]) -> Iterator[Prediction | ImageError]:
        """Read pictures one chunk at a time, in order; memory does not grow with their number.

        Yields:
            A `Prediction`, or the `ImageError` of a picture that cannot be read.

        Raises:
            TypeError: ``sources`` is a single path or the bytes of a single file.
        """
        if isinstance(sources, str | bytes | Path):  # a string would be read letter by letter
            raise TypeError(
                f"sources: expected a list of pictures, found one {type(sources).__name__}; "
                "pass [source]"
            )
        remaining = iter(sources)
        while chunk := list(islice(remaining, CHUNK_SIZE)):
            names = [describe(source) for source in chunk]
            inks: list[NDArray[np.uint8] | ImageError] = []
            for source in chunk:
                try:
                    inks.append(load(source, self.preprocess))
                except ImageError as error:
                    inks.append(error)
            readings = iter(self.read([ink for ink in inks if isinstance(ink, np.ndarray)]))
            for name, ink in zip(names, inks, strict=True):
                if isinstance(ink, ImageError):
                    yield ink
                else:
                    yield replace(next(readings), path=name)

    def read(self, inks: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Read preprocessed pictures.

        Args:
            inks: uint8 (H, W) each, as `preprocess` returns them.

        Returns:
            A prediction for each, in order, without paths.
        """
        readings: list[Prediction | None] = [None] * len(inks)
        for indices, log_probs in self.log_probs(inks):
            for index, reading in zip(indices, self.decode(log_probs), strict=True):
                readings[index] = reading
        return [reading for reading in readings if reading is not None]

    def log_probs(
        self, inks: Sequence[NDArray[np.uint8]]
    ) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Run the network over preprocessed pictures, in batches of one width.

        Yields:
            The indices of a batch and its log-probabilities, float32 (T, N, K).
        """
        by_width: dict[int, list[int]] = {}
        for index, ink in enumerate(inks):
            by_width.setdefault(ink.shape[1], []).append(index)
        for indices in by_width.values():
            for start in range(0, len(indices), BATCH_SIZE):
                batch = indices[start : start + BATCH_SIZE]
                yield batch, self.engine.log_probs(np.stack([inks[i] for i in batch]))

    def decode(self, log_probs: NDArray[np.float32]) -> list[Prediction]:
        """Turn log-probabilities, (T, N, K), into N predictions without paths."""
        if self.decoder == "beam":
            hypotheses = decode.beam_search(log_probs, self.beam_width)
        else:
            hypotheses = decode.greedy(log_probs)
        predictions = []
        for hypothesis in hypotheses:
            text = self.charset.decode(hypothesis.ids)
            predictions.append(
                Prediction(
                    text=text,
                    value=value_of(text),
                    confidence=float(np.exp(hypothesis.log_prob)),
                    frames=hypothesis.frames,
                    num_frames=log_probs.shape[0],
                )
            )
        return predictions
