"""Reading pictures; all commands and the validation during training use it.

Pictures are grouped into batches by width, without padding. So a prediction does not depend on the
other pictures of its batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.decode.decoder import Decoder
from exprocr.core.image.preprocess import ImageSource, Loaded, describe, load, scaled_width
from exprocr.core.model.engine import Engine
from exprocr.core.model.geometry import CellAxis, cell_axis
from exprocr.core.model.loading import load_model
from exprocr.core.reading.prediction import Prediction, View, to_prediction, without_ink
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.errors import ImageError, ModelFileError

BATCH_PIXELS = 32 * 60 * 180
"""Most pixels of a batch, unless a single picture has more."""

CHUNK_SIZE = 256
"""Number of pictures that `Recognizer.stream` decodes together."""


class Recognizer:
    """Reads pictures of expressions.

    Args:
        engine: The engine that computes log-probabilities.
        preprocess: The size of the network's input.
        decoder: The decoder of the log-probabilities.
        frame_axis: Positions of the network's frames.
        num_workers: Number of batches that the engine computes at the same time, each in its own
            thread. With one, it computes in the caller's thread.
        remark: A remark on the engine for the user, or empty.
    """

    def __init__(
        self,
        engine: Engine,
        preprocess: PreprocessConfig,
        decoder: Decoder,
        frame_axis: CellAxis,
        *,
        num_workers: int = 1,
        remark: str = "",
    ) -> None:
        self.engine = engine
        self.preprocess = preprocess
        self.decoder = decoder
        self.frame_axis = frame_axis
        self.remark = remark
        self.num_workers = num_workers

    @property
    def charset(self) -> Charset:
        """The model's characters."""
        return self.decoder.grammar.charset

    @classmethod
    def load(
        cls,
        model: Path | str | None = None,
        *,
        engine: str | None = None,
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
            model: A model file, a graph (``.onnx``) or a run directory; None is the model inside
                the package.
            engine: ``onnx`` or ``torch``; None is ONNX Runtime if the model has a graph.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``; the last two need PyTorch.
            threads: Number of threads; None is a default from the processors.
            grammar: The allowed texts: ``level1``, ``digits``, ``number``, ``expression``,
                ``equation``, ``none``, ``regex:PATTERN`` or ``lexicon:FILE``; None is the model's
                default.
            decoder: ``auto`` (exact with a limit, and beam beyond it), ``exact`` (the most probable
                text), ``beam`` (prefix beam search) or ``greedy`` (best path).
            beam_width: Number of prefixes that the beam search keeps.
            n_best: Length of `Prediction.alternatives`.
            by_value: Choose the most probable value, and the most probable text with this value.

        Raises:
            ModelFileError: The file is not a usable model.
            ConfigError: An argument is out of range.
        """
        loaded = load_model(model, engine=engine, device=device, threads=threads)
        info = loaded.info
        decode = Decoder(
            info.own_grammar() if grammar is None else load_grammar(grammar, info.charset),
            method=decoder,
            beam_width=beam_width,
            num_best=n_best,
            by_value=by_value,
            temperature=info.temperature,
        )
        return cls(
            loaded.engine,
            info.preprocess,
            decode,
            cell_axis(info.model),
            num_workers=loaded.num_workers,
            remark=loaded.remark,
        )

    def predict(self, sources: Iterable[ImageSource]) -> list[Prediction]:
        """Read pictures.

        Args:
            sources: Paths, bytes, file objects, Pillow images or uint8 arrays.

        Returns:
            A prediction for each, in order.

        Raises:
            ImageError: A picture cannot be read; `stream` continues instead.
            TypeError: ``sources`` is a single path or the bytes of a single file.
        """
        predictions = []
        for result in self.stream(sources):
            if isinstance(result, ImageError):
                raise result
            predictions.append(result)
        return predictions

    def stream(self, sources: Iterable[ImageSource]) -> Iterator[Prediction | ImageError]:
        """Read pictures in order; memory does not grow with their number.

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
        begun: deque[Iterator[Prediction | ImageError]] = deque()
        with self._workers() as pool:
            # If worker threads compute, the next chunk is loaded at the same time.
            ahead = 1 if pool else 0
            while chunk := list(islice(remaining, CHUNK_SIZE)):
                begun.append(self._begin(chunk, pool))
                if len(begun) > ahead:
                    yield from begun.popleft()
            for readings in begun:
                yield from readings

    @contextmanager
    def _workers(self) -> Iterator[Executor | None]:
        """Yield a pool of threads, or None for one worker; its end drops waiting batches."""
        if self.num_workers == 1:
            yield None
            return
        pool = ThreadPoolExecutor(self.num_workers)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)

    def _begin(
        self, sources: list[ImageSource], pool: Executor | None
    ) -> Iterator[Prediction | ImageError]:
        """Load pictures and submit their batches; return an iterator that decodes the results."""
        names = [describe(source) for source in sources]
        pictures: list[Loaded | ImageError] = []
        for source in sources:
            try:
                pictures.append(load(source, self.preprocess))
            except ImageError as error:
                pictures.append(error)
        loaded = [picture for picture in pictures if isinstance(picture, Loaded)]
        inks = [picture.ink for picture in loaded]
        batches = self._log_probs(inks, pool)

        def readings() -> Iterator[Prediction | ImageError]:
            read = iter(self._decode(inks, [p.size for p in loaded], batches))
            for name, picture in zip(names, pictures, strict=True):
                if isinstance(picture, ImageError):
                    yield picture
                else:
                    yield replace(next(read), path=name, more_frames=picture.more_frames)

        return readings()

    def read(
        self, inks: Sequence[NDArray[np.uint8]], sizes: Sequence[tuple[int, int]] | None = None
    ) -> list[Prediction]:
        """Read preprocessed pictures; one without ink reads as nothing, whatever the grammar.

        Args:
            inks: uint8 (H, W) each, as `preprocess` returns them.
            sizes: Width and height, px, of the original pictures, for the positions of characters;
                None for those of the inks.

        Returns:
            A prediction for each, in order, without paths.
        """
        with self._workers() as pool:
            return self._decode(inks, sizes, self._log_probs(inks, pool))

    def _decode(
        self,
        inks: Sequence[NDArray[np.uint8]],
        sizes: Sequence[tuple[int, int]] | None,
        batches: Iterator[tuple[list[int], NDArray[np.float32]]],
    ) -> list[Prediction]:
        """Decode the batches of `log_probs`; see `read`."""
        predictions: list[Prediction | None] = [None] * len(inks)
        # Batches of one width are decoded together, because the decoder loops over frames.
        for _, same_width in groupby(batches, key=lambda batch: inks[batch[0][0]].shape[1]):
            batch, log_probs = zip(*same_width, strict=True)
            indices = np.concatenate(batch)
            has_ink = np.array([inks[index].any() for index in indices])
            for index in indices[~has_ink]:
                predictions[index] = without_ink(by_value=self.decoder.by_value)
            readings = self.decoder(np.concatenate(log_probs, axis=1).compress(has_ink, axis=1))
            for index, reading in zip(indices[has_ink], readings, strict=True):
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
            For each batch, the indices of its pictures and the log-probabilities, float32
            (T, N, K). Batches of the same width are consecutive.

        Raises:
            ModelFileError: The network's output are no probabilities.
        """
        with self._workers() as pool:
            yield from self._log_probs(inks, pool)

    def _log_probs(
        self, inks: Sequence[NDArray[np.uint8]], pool: Executor | None
    ) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Run the network: at once in a pool, or in the caller's thread during iteration."""
        batches = _batches(inks)

        def compute(batch: list[int]) -> NDArray[np.float32]:
            log_probs = self.engine.log_probs(np.stack([inks[i] for i in batch]))
            return _checked(log_probs, len(batch), self.charset.num_classes)

        results = pool.map(compute, batches) if pool and batches[1:] else map(compute, batches)
        return zip(batches, results, strict=True)


def _batches(inks: Sequence[NDArray[np.uint8]]) -> list[list[int]]:
    """Return the indices of the pictures of each batch; see `Recognizer.log_probs`."""
    by_width: dict[int, list[int]] = {}
    for index, ink in enumerate(inks):
        by_width.setdefault(ink.shape[1], []).append(index)
    batches = []
    for indices in by_width.values():
        size = max(1, BATCH_PIXELS // max(1, inks[indices[0]].size))
        batches += [indices[start : start + size] for start in range(0, len(indices), size)]
    return batches


def _checked(log_probs: NDArray[np.float32], num: int, num_classes: int) -> NDArray[np.float32]:
    """Return log-probabilities without change.

    Args:
        log_probs: The output of an engine.
        num: N, the number of pictures.
        num_classes: K.

    Raises:
        ModelFileError: They are not (T, N, K) with at least one frame, or no probabilities.
    """
    shape = log_probs.shape
    if len(shape) != 3 or not shape[0] or shape[1:] != (num, num_classes):
        raise ModelFileError(
            f"model: expected a network that gives (frames, {num}, {num_classes}) probabilities, "
            f"found one that gives {shape}"
        )
    # In each frame some class has a probability above 0; NaN spreads to the maximum.
    if not np.isfinite(log_probs.max(axis=2)).all():
        found = "NaN" if np.isnan(log_probs).any() else "infinities"
        raise ModelFileError(
            f"model: expected a network that gives probabilities, found one that gives {found}; "
            "its weights are damaged, or its training diverged"
        )
    return log_probs
