"""Writing rendered data sets, in one or several processes.

A data set is ``0.png``, ``1.png``, ... and ``labels.txt``, in the contest's layout: line i is the
text in ``i.png`` and, if the text has a value, a space and the value. If texts can have blanks, it
is ``labels.csv`` instead, a table with the columns ``image`` and ``text``. A sample depends on the
seed, the stream and its number alone, and is encoded with fixed parameters. So the files do not
depend on the number of processes.
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

from exprocr.core.system.csv_rows import csv_writer
from exprocr.core.system.files import atomic_write, make_folder, output_error
from exprocr.core.system.processes import starting_workers, worker_pool
from exprocr.core.text.expression import format_value, value_of
from exprocr.errors import OutputError
from exprocr.synth.renderer import Renderer
from exprocr.synth.texts import characters_of

LABELS, TABLE = "labels.txt", "labels.csv"
PARTS = ("train", "val")
CHUNK_SIZE = 50
"""Images per task of a process."""

FEW = 200
"""With fewer images, starting processes takes longer than rendering."""

PNG_COMPRESS_LEVEL = 3
"""A third faster than Pillow's default of 6; the files are not larger."""

_IMAGE_NAME = re.compile(r"(0|[1-9][0-9]*)\.png")


@dataclass(frozen=True, kw_only=True)
class WriteReport:
    """The result of `write_samples`."""

    num_images: int
    """Number of images in the folder, each with its label."""

    cpu_s: float
    """Processor time of rendering, encoding and writing, summed over processes."""

    interrupted: bool
    """Whether a `KeyboardInterrupt` stopped it early; the folder then has the first images."""


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
    """Create ``folder``, or check that it is empty, or remove its old rendered data set.

    Args:
        folder: The folder for a data set.
        overwrite: Whether to remove numbered PNG files, ``labels.txt`` and ``labels.csv``, here and
            in ``train/`` and ``val/``; other files stay.

    Raises:
        OutputError: It is not a folder, cannot be created or emptied, or is not empty without
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
                with suppress(OSError):  # it contains other files and stays
                    inner.rmdir()
        _remove_set(folder)
    except OSError as error:
        raise output_error(Path(error.filename or folder), error) from error


def _remove_set(folder: Path) -> None:
    for name in (LABELS, TABLE):  # first: without them, the rest is no data set
        (folder / name).unlink(missing_ok=True)
    with os.scandir(folder) as entries:
        images = [e.path for e in entries if _IMAGE_NAME.fullmatch(e.name) and e.is_file()]
    for image in images:
        os.unlink(image)


def write_samples(
    folder: Path,
    renderer: Renderer,
    *,
    seed: int,
    stream: int,
    num_images: int,
    workers: int = 1,
    on_progress: Callable[[int], object] | None = None,
) -> WriteReport:
    """Render samples 0 to ``num_images`` - 1 of a stream into a folder.

    If a `KeyboardInterrupt` or an error stops it early, the images before the first missing one
    stay, with their labels. This is the same data set as with a smaller ``num_images``.

    Args:
        folder: An empty folder, or one to create.
        renderer: What draws them.
        seed: Seed of the data set.
        stream: One of the seed's independent streams.
        num_images: Number of images.
        workers: Number of processes.
        on_progress: Called with the number of images written since the last call.

    Raises:
        OutputError: The folder cannot be written, or a process ended unexpectedly.
    """
    make_folder(folder)
    tasks = [
        _Task(folder, seed, stream, start, min(start + CHUNK_SIZE, num_images))
        for start in range(0, num_images, CHUNK_SIZE)
    ]
    done: dict[int, _Chunk] = {}
    chunks = _chunks(tasks, renderer, workers, done)
    interrupted = False
    as_table = " " in characters_of(renderer.texts)
    try:
        with closing(chunks):
            for chunk in chunks:
                done[chunk.start] = chunk
                if on_progress:
                    on_progress(len(chunk.texts))
        num_kept = _finish(folder, done, num_images, as_table)
    except KeyboardInterrupt:  # also while the labels are written, which begins anew
        interrupted = True
        num_kept = _finish(folder, done, num_images, as_table)
    except OutputError as error:
        num_kept = _finish(folder, done, num_images, as_table)
        raise OutputError(f"{error}; {num_kept} of {num_images} images are complete") from error
    cpu_s = sum(chunk.cpu_s for chunk in done.values())
    return WriteReport(num_images=num_kept, cpu_s=cpu_s, interrupted=interrupted)


def _chunks(
    tasks: Sequence[_Task],
    renderer: Renderer,
    workers: int,
    done: dict[int, _Chunk],
) -> Generator[_Chunk, None, None]:
    """Yield the chunks of all tasks, rendered here or, if that is faster, in processes."""
    if workers == 1 or tasks[-1].stop < FEW:
        return (_render(renderer, task) for task in tasks)
    return _render_parallel(tasks, renderer, min(workers, len(tasks)), done)


def _finish(folder: Path, done: dict[int, _Chunk], num_images: int, as_table: bool) -> int:
    """Write the labels of images before a gap, remove other images, return the number that stay."""
    texts: list[str] = []
    while len(texts) in done:
        texts += done[len(texts)].texts
    for index in range(len(texts), num_images):
        with suppress(OSError):
            (folder / f"{index}.png").unlink()
    if texts:
        with (
            atomic_write(folder / (TABLE if as_table else LABELS)) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            if as_table:
                rows = csv_writer(file)
                rows.writerow(("image", "text"))
                rows.writerows((f"{index}.png", text) for index, text in enumerate(texts))
            else:
                lines = (f"{text} {format_value(value_of(text), text)}".rstrip() for text in texts)
                file.writelines(f"{line}\n" for line in lines)
    else:
        with suppress(OSError):
            folder.rmdir()
    return len(texts)


def _render(renderer: Renderer, task: _Task) -> _Chunk:
    """Write the images of a task.

    Raises:
        OutputError: An image cannot be written.
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
    renderer: Renderer,
    workers: int,
    done: dict[int, _Chunk],
) -> Generator[_Chunk, None, None]:
    """Yield the chunks of all tasks as they are completed.

    Closing the generator ends the processes after their present chunks, and adds these to ``done``.
    """
    futures: list[Future[_Chunk]] = []
    pool = worker_pool(workers, _start_worker, renderer)
    try:
        with starting_workers():
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


def _start_worker(renderer: Renderer) -> None:
    global _worker_renderer
    _worker_renderer = renderer


def _render_in_worker(task: _Task) -> _Chunk:
    assert _worker_renderer is not None
    return _render(_worker_renderer, task)
