"""The one way from pictures to readings: eval, predict, visualize and validation all use it.

A picture is read the same whatever it is batched with: pictures are grouped by width, not padded
to their neighbours'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exprocr.core.artifact import ModelFile
from exprocr.core.charset import Charset
from exprocr.core.decode.decoder import Decoder
from exprocr.core.geometry import CellAxis, cell_axis
from exprocr.core.grammar.grammars import load_grammar
from exprocr.core.prediction import Prediction, View, to_prediction
from exprocr.core.preprocess import (
    ImageSource,
    Loaded,
    PreprocessConfig,
    describe,
    load,
    scaled_width,
)
from exprocr.errors import ImageError, ModelFileError

if TYPE_CHECKING:
    from exprocr.core.engine import Engine

BATCH_SIZE = 64
CHUNK_SIZE = 256
"""Pictures held in memory at a time by `Recognizer.stream`."""


class Recognizer:
    """Reads pictures of expressions.

    Args:
        engine: What computes the log-probabilities.
        preprocess: The input's size.
        decoder: What turns them into readings.
        frame_axis: Where the network's frames lie.
    """

    def __init__(
        self,
        engine: Engine,
        preprocess: PreprocessConfig,
        decoder: Decoder,
        frame_axis: CellAxis,
    ) -> None:
        self.engine = engine
        self.preprocess = preprocess
        self.decoder = decoder
        self.frame_axis = frame_axis

    @property
    def charset(self) -> Charset:
        """The model's characters."""
        return self.decoder.grammar.charset

    @classmethod
    def load(
        cls,
        model: Path | str | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        grammar: str | None = None,
        decoder: str = "auto",
        beam_width: int = 10,
        n_best: int = 1,
        by_value: bool = False,
    ) -> Recognizer:
        """Load a model.

        Args:
            model: A model file or run directory; None is the model inside the package.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            threads: Threads to compute with; None picks a sensible number.
            grammar: The texts that may be read: ``level1``, ``expression``, ``digits``, ``none``,
                ``regex:PATTERN`` or ``lexicon:FILE``; None is the model's own.
            decoder: ``auto`` (exact, and beam where that takes too long), ``exact`` (the most
                probable text), ``beam`` (prefix beam search) or ``greedy`` (best path).
            beam_width: Prefixes kept by the beam search.
            n_best: Length of `Prediction.alternatives`.
            by_value: Choose the most probable value; the text is its likeliest.

        Raises:
            ModelFileError: The file is no usable model.
            ConfigError: An argument is out of range.
        """
        from exprocr.core.engine import TorchEngine, build_network, pick_device, set_threads

        model_file = ModelFile.load(model)
        decode = Decoder(
            load_grammar(model_file.grammar if grammar is None else grammar, model_file.charset),
            method=decoder,
            beam_width=beam_width,
            num_best=n_best,
            by_value=by_value,
            temperature=model_file.temperature,
        )
        set_threads(threads)
        torch_device = pick_device(device)
        engine = TorchEngine(build_network(model_file, torch_device), torch_device)
        return cls(engine, model_file.preprocess, decode, cell_axis(model_file.model))

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
            pictures: list[Loaded | ImageError] = []
            for source in chunk:
                try:
                    pictures.append(load(source, self.preprocess))
                except ImageError as error:
                    pictures.append(error)
            loaded = [picture for picture in pictures if isinstance(picture, Loaded)]
            readings = iter(
                self.read([picture.ink for picture in loaded], [p.size for p in loaded])
            )
            for name, picture in zip(names, pictures, strict=True):
                if isinstance(picture, ImageError):
                    yield picture
                else:
                    yield replace(next(readings), path=name)

    def read(
        self, inks: Sequence[NDArray[np.uint8]], sizes: Sequence[tuple[int, int]] | None = None
    ) -> list[Prediction]:
        """Read preprocessed pictures.

        Args:
            inks: uint8 (H, W) each, as `preprocess` returns them.
            sizes: Width and height, px, of the pictures they came from, in which characters are
                placed; the inks' own if None.

        Returns:
            A prediction for each, in order, without paths.
        """
        predictions: list[Prediction | None] = [None] * len(inks)
        for indices in _by_width(inks):
            batches = [log_probs for _, log_probs in self.log_probs([inks[i] for i in indices])]
            # Decoded together: the decoder's loops over frames cost the same for many as for few.
            for index, reading in zip(
                indices, self.decoder(np.concatenate(batches, axis=1)), strict=True
            ):
                height, width = inks[index].shape
                view = View(size=(width, height), frame_axis=self.frame_axis)
                if sizes:
                    scale = sizes[index][0] / scaled_width(sizes[index], self.preprocess)
                    view = View(size=sizes[index], frame_axis=self.frame_axis, scale=scale)
                predictions[index] = to_prediction(reading, self.charset, view)
        return [prediction for prediction in predictions if prediction is not None]

    def log_probs(
        self, inks: Sequence[NDArray[np.uint8]]
    ) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Run the network over preprocessed pictures, in batches of one width.

        Yields:
            The indices of a batch and its log-probabilities, float32 (T, N, K).

        Raises:
            ModelFileError: The network gives NaN.
        """
        for indices in _by_width(inks):
            for start in range(0, len(indices), BATCH_SIZE):
                batch = indices[start : start + BATCH_SIZE]
                log_probs = self.engine.log_probs(np.stack([inks[i] for i in batch]))
                if np.isnan(log_probs).any():
                    raise ModelFileError(
                        "model: expected a network that gives probabilities, found one that gives "
                        "NaN; its weights are damaged, or its training diverged"
                    )
                yield batch, log_probs


def _by_width(inks: Sequence[NDArray[np.uint8]]) -> list[list[int]]:
    """Return the indices of the pictures of each width."""
    indices: dict[int, list[int]] = {}
    for index, ink in enumerate(inks):
        indices.setdefault(ink.shape[1], []).append(index)
    return list(indices.values())
