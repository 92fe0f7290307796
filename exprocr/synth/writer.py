"""Writing rendered sets to files in the contest's layout, in one or several processes.

A set is ``0.png``, ``1.png`` .. and a ``labels.txt`` whose line i is the expression in ``i.png``,
a space, and its value. A sample depends on the seed, the stream and its number alone, and is
encoded with fixed parameters, so the files are the same however many processes write them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from exprocr.core.config.schema import SynthConfig
from exprocr.core.system.files import atomic_write, make_folder, output_error
from exprocr.core.system.processes import interrupt_held_back, worker_pool
from exprocr.core.text.expression import evaluate, format_value
from exprocr.errors import OutputError
from exprocr.synth.fonts import FontFile
from exprocr.synth.renderer import Renderer

LABELS = "labels.txt"
PARTS = ("train", "val")
CHUNK_SIZE = 50
"""Images rendered between two looks at the other processes."""

FEW = 200
"""Below this many images, starting processes takes longer than rendering."""

PNG_COMPRESS_LEVEL = 3
"""A third faster than Pillow's default of 6, and the files are no larger."""

_IMAGE_NAME = re.compile(r"(0|[1-9][0-9]*)\.png")


@dataclass(frozen=True, kw_only=True)
class WriteReport:
    """What `write_samples` did."""

    num_images: int
    """Images in the folder, each with its label."""

    cpu_s: float
    """Processor time spent on rendering, encoding and writing, all processes together."""

    interrupted: bool
    """Ctrl-C ended it early; the images are the first of those asked for."""


@dataclass(frozen=True)
class _Task:
    folder: Path
    seed: int
    stream: int
    start: int
    stop: int


@dataclass(frozen=True)
class _Chunk:
    start: int
    texts: list[str]
    cpu_s: float


def prepare_folder(folder: Path, *, overwrite: bool) -> None:
    """Make sure that ``folder`` is an empty folder, or that its old rendered set is gone.

    Args:
        folder: Where a set will be written.
        overwrite: Remove numbered PNG files and ``labels.txt``, here and in ``train/`` and
            ``val/``; nothing else.

    Raises:
        OutputError: It is no folder, cannot be made or emptied, or is not empty without
            ``overwrite``.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: expected a folder, found a file")
    make_folder(folder)
    try:
        entries = os.listdir(folder)
        if entries and not overwrite:
            raise OutputError(
                f"{folder}: expected an empty folder or a new name, found {len(entries)} entries; "
                "--overwrite replaces a rendered set"
            )
        for part in PARTS:
            inner = folder / part
            if inner.is_dir() and not inner.is_symlink():
                _remove_set(inner)
                with suppress(OSError):  # something else is in it: leave it
                    inner.rmdir()
        _remove_set(folder)
    except OSError as error:
        raise output_error(Path(error.filename or folder), error) from error


def _remove_set(folder: Path) -> None:
    (folder / LABELS).unlink(missing_ok=True)  # first: without it the rest is no data set
    with os.scandir(folder) as entries:
        images = [e.path for e in entries if _IMAGE_NAME.fullmatch(e.name) and e.is_file()]
    for image in images:
        os.unlink(image)


def write_samples(
    folder: Path,
    fonts: list[FontFile],
    config: SynthConfig,
    *,
    seed: int,
    stream: int,
    num_images: int,
    workers: int = 1,
    on_progress: Callable[[int], object] | None = None,
) -> WriteReport:
    """Render samples 0 .. ``num_images`` - 1 of a stream into a folder.

    If it is ended early, by Ctrl-C or an error, the images up to the first that is missing stay,
    with their labels: the set that a smaller ``num_images`` would have given.

    Args:
        folder: An empty folder, or the name of one to make.
        fonts: Usable fonts.
        config: What images look like.
        seed: Seed of the set.
        stream: Which of the seed's independent streams.
        num_images: How many.
        workers: Processes to render in.
        on_progress: Called with the number of images just written.

    Raises:
        OutputError: The folder cannot be written, or a process died.
    """
    make_folder(folder)
    tasks = [
        _Task(folder, seed, stream, start, min(start + CHUNK_SIZE, num_images))
        for start in range(0, num_images, CHUNK_SIZE)
    ]
    done: dict[int, _Chunk] = {}
    chunks = _chunks(tasks, fonts, config, workers, done)
    interrupted = False
    try:
        with closing(chunks):
            for chunk in chunks:
                done[chunk.start] = chunk
                if on_progress:
                    on_progress(len(chunk.texts))
    except KeyboardInterrupt:
        interrupted = True
    except OutputError as error:
        num_kept = _finish(folder, done, num_images)
        raise OutputError(f"{error}; {num_kept} of {num_images} images are complete") from error
    num_kept = _finish(folder, done, num_images)
    cpu_s = sum(chunk.cpu_s for chunk in done.values())
    return WriteReport(num_images=num_kept, cpu_s=cpu_s, interrupted=interrupted)


def _chunks(
    tasks: Sequence[_Task],
    fonts: list[FontFile],
    config: SynthConfig,
    workers: int,
    done: dict[int, _Chunk],
) -> Generator[_Chunk, None, None]:
    """Yield the chunks of all tasks, rendered here or, where that is faster, in processes."""
    if workers == 1 or tasks[-1].stop < FEW:
        renderer = Renderer(fonts, config)
        return (_render(renderer, task) for task in tasks)
    return _render_parallel(tasks, fonts, config, min(workers, len(tasks)), done)


def _finish(folder: Path, done: dict[int, _Chunk], num_images: int) -> int:
    """Write the labels of the images without a gap, remove the others; return how many stay."""
    texts: list[str] = []
    while len(texts) in done:
        texts += done[len(texts)].texts
    for index in range(len(texts), num_images):
        with suppress(OSError):
            (folder / f"{index}.png").unlink()
    if texts:
        lines = (f"{text} {format_value(evaluate(text))}\n" for text in texts)
        with atomic_write(folder / LABELS) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8", newline="\n")
    else:
        with suppress(OSError):
            folder.rmdir()
    return len(texts)


def _render(renderer: Renderer, task: _Task) -> _Chunk:
    """Write the images of a task.

    Raises:
        OutputError: One cannot be written.
    """
    start = time.process_time()
    texts = []
    for index in range(task.start, task.stop):
        text, image = renderer.sample(task.seed, task.stream, index)
        path = task.folder / f"{index}.png"
        try:
            image.save(path, "PNG", compress_level=PNG_COMPRESS_LEVEL)
        except OSError as error:
            raise output_error(path, error) from error
        texts.append(text)
    return _Chunk(task.start, texts, time.process_time() - start)


def _render_parallel(
    tasks: Sequence[_Task],
    fonts: list[FontFile],
    config: SynthConfig,
    workers: int,
    done: dict[int, _Chunk],
) -> Generator[_Chunk, None, None]:
    """Yield the chunks of all tasks as they are done.

    Closing it ends the processes, after the chunks they are at; these are put into ``done``.
    """
    futures: list[Future[_Chunk]] = []
    pool = worker_pool(workers, _start_worker, fonts, config)
    try:
        with interrupt_held_back():
            futures += [pool.submit(_render_in_worker, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise OutputError(
            "a rendering process ended unexpectedly: killed, or out of memory"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for future in futures:
            if not future.cancelled() and future.exception() is None:
                done[future.result().start] = future.result()


_worker_renderer: Renderer | None = None


def _start_worker(fonts: list[FontFile], config: SynthConfig) -> None:
    global _worker_renderer
    _worker_renderer = Renderer(fonts, config)


def _render_in_worker(task: _Task) -> _Chunk:
    assert _worker_renderer is not None
    return _render(_worker_renderer, task)
