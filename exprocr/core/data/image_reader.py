"""Reading the pictures of a whole data set: decoding and preprocessing, in parallel processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.data.labels import Sample
from exprocr.core.image.files import StoredPicture
from exprocr.core.image.preprocess import Loaded, load
from exprocr.core.system.processes import starting_workers, worker_pool
from exprocr.errors import DataError, ImageError
from exprocr.words import MORE_FRAMES, first_few, quantity

CHUNK_SIZE = 100
"""Pictures per task of a process."""

FEW = 4000
"""With fewer pictures, starting processes takes longer than reading."""

S = TypeVar("S")
T = TypeVar("T")

Read = Loaded | str
"""A preprocessed picture, or the reason why it cannot be read."""


def load_images(
    samples: Sequence[Sample],
    config: PreprocessConfig,
    *,
    workers: int = 1,
    progress: Callable[[], object] | None = None,
    remarks: list[str] | None = None,
) -> list[NDArray[np.uint8]]:
    """Decode and preprocess all pictures of a data set.

    Args:
        samples: n samples.
        config: The network's input.
        workers: Number of processes, if there are many pictures.
        progress: Called after each picture, readable or not.
        remarks: Gets one line if files have more frames or pages than the first, which is read.

    Returns:
        n arrays, uint8 (config.height, W_i), 0 background .. 255 strongest ink.

    Raises:
        DataError: Some pictures cannot be read. All are tried; the message names the first few.
    """
    sources = [sample.source for sample in samples]
    inks: list[NDArray[np.uint8]] = []
    failures: list[str] = []
    several: list[str] = []
    with closing(read_all(sources, partial(_read, config=config), workers)) as results:
        for sample, result in zip(samples, results, strict=True):
            if isinstance(result, str):
                failures.append(result)
            else:
                inks.append(result.ink)
                if result.more_frames:
                    several.append(str(sample.path))
            if progress is not None:
                progress()
    if failures:
        raise DataError(
            f"{len(failures)} of {len(samples)} images cannot be read: {first_few(failures, '; ')}"
        )
    if several and remarks is not None:
        remarks.append(
            f"{len(several):,} of {quantity(len(samples), 'image')}: {MORE_FRAMES}: "
            f"{first_few(several)}"
        )
    return inks


def read_all(
    sources: Sequence[S], read: Callable[[S], T], workers: int
) -> Generator[T, None, None]:
    """Yield what a function returns for each source, in order; close it to stop early.

    Args:
        sources: Paths or stored pictures.
        read: A function that processes can be sent: a module's, or a `partial` of one.
        workers: Number of processes, if there are many sources.

    Raises:
        DataError: A process was killed.
    """
    if workers == 1 or len(sources) < FEW:
        yield from map(read, sources)
        return
    # Processes, because reading holds Python's lock and changes its filter of warnings, which all
    # threads share.
    pool = worker_pool(workers)
    try:
        with starting_workers():
            futures = [
                pool.submit(_read_chunk, sources[start : start + CHUNK_SIZE], read)
                for start in range(0, len(sources), CHUNK_SIZE)
            ]
        for future in futures:
            yield from future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a process that reads images ended unexpectedly: killed, or out of memory"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_chunk(sources: Sequence[S], read: Callable[[S], T]) -> list[T]:
    return [read(source) for source in sources]


def _read(source: Path | StoredPicture, config: PreprocessConfig) -> Read:
    try:
        return load(source, config)
    except ImageError as error:
        return str(error)
