"""Batches of labeled pictures: from files, freshly rendered, or both.

What is in a batch depends only on the seed and the number of the step, not on the number of
workers or processes, or on interruptions. Pictures of files can be augmented: each is distorted, in
every epoch in another way.

Where pictures have several widths, the batches of a *pool* of steps are filled together: its
pictures are sorted by width and cut into batches, which are taken in random order. So a batch has
little padding. A pool is an epoch, or, where pictures are rendered, some steps of it.

Where several processes train, each loads and renders a part of the pictures, and its share of a
batch are those that it has. The number of a picture says whose it is, its *strand*, which is the
number modulo `NUM_STRANDS`. Of any neighbors, all strands have equal parts: so shares are equal
where all widths are, and nearly equal on the average where they differ.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from exprocr.core.config.schema import PreprocessConfig, TrainingConfig
from exprocr.core.data.pictures import Sampler
from exprocr.core.image.preprocess import preprocess
from exprocr.core.system.processes import begin_worker, starting_workers
from exprocr.errors import DataError
from exprocr.synth.augment import Augmenter
from exprocr.training.processes import Processes

ORDER_STREAM = 1000
"""Random stream of the order of the files; the renderer's streams have smaller numbers."""

POOL_STREAM = 1001
"""Random stream of the order of a pool's batches."""

AUGMENT_STREAM = 1002
"""Random stream of the distortions of the files' pictures."""

NOTHING_PX = 60
"""Width of a picture that is all padding, px."""

LEAST_PRIORITY = 19
"""The rendering processes take what the training leaves of the processors."""

NUM_STRANDS = 8
"""Up to so many processes have shares of one size, if their number divides it."""

POOL_STEPS, POOL_PICTURES = 16, 1024
"""Most steps of a pool of rendered pictures, and, unless it has one step, most of these pictures.
They are in memory together, and the first step waits for all of its pool."""


@dataclass(frozen=True)
class Batch:
    """Pictures and their texts: a batch, or the share of it that a process has."""

    pictures: NDArray[np.uint8]
    """uint8 (N, H, W), 0 background .. 255 ink; those that are narrower have background on the
    right."""

    texts: list[str]
    """N expressions."""

    widths: list[int]
    """Width of each picture, at most W, px."""

    num_images: int
    """Images of the whole batch. Where a process has none of them, its share is one picture that
    is all padding, without a text."""


@dataclass(frozen=True)
class Drawn:
    """Rendered pictures and their texts."""

    inks: list[NDArray[np.uint8]]
    """uint8 (H, W) each, preprocessed."""

    texts: list[str]
    """Their expressions."""

    @property
    def widths(self) -> NDArray[np.intp]:
        """The widths of the pictures, px."""
        return _widths(self.inks)


class RenderedBatches(Dataset[Drawn]):
    """Freshly rendered pictures: an item is the samples of some numbers.

    Args:
        renderer: What draws them, such as `exprocr.synth.renderer.Renderer`.
        input_size: The network's input.
        seed: Seed of the samples.
        stream: Stream of the samples, such as `exprocr.synth.renderer.TRAIN_STREAM`.
        size: Pictures per batch.
        one_width: Whether all of them have the same width, so that there is nothing to sort.
    """

    def __init__(
        self,
        renderer: Sampler,
        input_size: PreprocessConfig,
        *,
        seed: int,
        stream: int,
        size: int,
        one_width: bool = False,
    ) -> None:
        self.renderer = renderer
        self.input_size = input_size
        self.seed = seed
        self.stream = stream
        self.size = size
        self.one_width = one_width

    def __getitem__(self, numbers: Iterable[int]) -> Drawn:
        samples = [self.renderer.sample(self.seed, self.stream, int(i)) for i in numbers]
        inks = [preprocess(image, self.input_size) for _, image in samples]
        return Drawn(inks, [text for text, _ in samples])


def _begin_worker(worker_id: int) -> None:
    begin_worker()
    # With equal priority it would stop a thread of the training, for which all others wait.
    if hasattr(os, "nice"):
        os.nice(LEAST_PRIORITY)


class Batches:
    """The training batches of all epochs, by step.

    Args:
        inks: Preprocessed pictures of the files, uint8 (H, W) each; may be empty.
        texts: Their expressions.
        paths: Their files.
        rendered: Source of rendered pictures; its ``size`` is their number in each batch. None
            takes files alone.
        config: Batch size, length of an epoch, and seed.
        workers: Processes that render ahead; 0 renders in this process.
        processes: Those that have a share of each batch; None is this one alone. Of the files, the
            ``inks`` of its strands alone are used, and the others may be empty.
        augment: Distorts the pictures of the files; None leaves them as they are.
    """

    def __init__(
        self,
        inks: Sequence[NDArray[np.uint8]],
        texts: Sequence[str],
        paths: Sequence[str],
        rendered: RenderedBatches | None,
        config: TrainingConfig,
        workers: int,
        processes: Processes | None = None,
        augment: Augmenter | None = None,
    ) -> None:
        self.processes = processes or Processes()
        self.inks = inks
        self.widths = np.max(self.processes.gather(_widths(inks)), axis=0)
        self.texts = texts
        self.paths = paths
        self.rendered = rendered
        self.seed = config.seed
        self.workers = workers
        self.augment = augment
        self._processes: list[BaseProcess] = []
        self.num_from_files = config.batch_size - (rendered.size if rendered else 0)
        if self.num_from_files:
            self.steps_per_epoch = -(-len(inks) // self.num_from_files)
        else:
            self.steps_per_epoch = -(-config.images_per_epoch // config.batch_size)
        self.pool_steps = self._choose_pool_steps()
        height = rendered.input_size.height if rendered else inks[0].shape[0]
        self._nothing = np.zeros((1, height, NOTHING_PX), dtype=np.uint8)

    def between(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """Yield the batches of the steps ``first_step`` to ``last_step - 1``."""
        rendered = self._render(first_step, last_step)
        try:
            for pool in self._pools(first_step, last_step):
                drawn = next(rendered) if self.rendered else Drawn([], [])
                batches = self._fill(pool, self._all_widths(pool, drawn))
                for step in range(max(first_step, pool.start), min(last_step, pool.stop)):
                    files, numbers, num_images = batches[step - pool.start]
                    inks = self._from_files(files, step) + [drawn.inks[i] for i in numbers]
                    texts = [self.texts[i] for i in files] + [drawn.texts[i] for i in numbers]
                    if inks:
                        widths = [ink.shape[1] for ink in inks]
                        yield Batch(_side_by_side(inks), texts, widths, num_images)
                    else:
                        yield Batch(self._nothing, [], [0], num_images)
        except RuntimeError:  # PyTorch raises it for a process that has ended
            self.check_processes()
            raise
        finally:
            # The traceback of an error keeps the iterator alive, and so its processes.
            self._processes = []
            if self.rendered and self.workers:
                with suppress(RuntimeError):  # nobody waits any more for what a process fails at
                    rendered._shutdown_workers()  # type: ignore[attr-defined]

    def _from_files(self, files: NDArray[np.intp], step: int) -> list[NDArray[np.uint8]]:
        """Return the pictures of some files, as the epoch of a step has them."""
        inks = [self.inks[i] for i in files]
        if self.augment is None:
            return inks
        stream = (self.seed, AUGMENT_STREAM, step // self.steps_per_epoch)
        rngs = (np.random.default_rng((*stream, i)) for i in files)
        return [self.augment(ink, rng) for ink, rng in zip(inks, rngs, strict=True)]

    def names(self, step: int) -> list[str]:
        """Return what this process's share of a batch holds.

        These are paths of files, and numbers of rendered pictures. The pictures of its pool are
        rendered again.

        Args:
            step: Number of steps before it.
        """
        pool = self._pool(step)
        numbers = self._numbers(pool)
        drawn = self.rendered[numbers] if self.rendered else Drawn([], [])
        files, chosen, _ = self._fill(pool, self._all_widths(pool, drawn))[step - pool.start]
        return [self.paths[i] for i in files] + [f"rendered {numbers[i]}" for i in chosen]

    def check_processes(self) -> None:
        """Check that no process that renders ahead was ended by anything but this program.

        Raises:
            DataError: One was.
        """
        if any(process.exitcode for process in self._processes):
            raise DataError(
                "a process that renders images ended unexpectedly: killed, or out of memory"
            )

    def num_images(self, num_steps: int) -> int:
        """Return the number of images in the first ``num_steps`` batches.

        The last batch of an epoch may be smaller than the others.
        """
        epochs, steps = divmod(num_steps, self.steps_per_epoch)
        num_rendered = self.rendered.size if self.rendered else 0
        per_epoch = self.steps_per_epoch * num_rendered
        if self.num_from_files:
            per_epoch += len(self.inks)
        return epochs * per_epoch + steps * (self.num_from_files + num_rendered)

    def _choose_pool_steps(self) -> int:
        if self.rendered is None:
            return self.steps_per_epoch
        if self.rendered.one_width and len(np.unique(self.widths)) <= 1:
            return 1
        return min(max(1, POOL_PICTURES // self.rendered.size), POOL_STEPS)

    def _pool(self, step: int) -> range:
        """Return the steps of the pool of a step; a pool does not go beyond its epoch."""
        epoch, position = divmod(step, self.steps_per_epoch)
        begin = epoch * self.steps_per_epoch
        first = begin + position // self.pool_steps * self.pool_steps
        return range(first, min(first + self.pool_steps, begin + self.steps_per_epoch))

    def _pools(self, first_step: int, last_step: int) -> Iterator[range]:
        while first_step < last_step:
            pool = self._pool(first_step)
            yield pool
            first_step = pool.stop

    def _numbers(self, pool: range) -> NDArray[np.intp]:
        """Return the numbers of a pool's rendered pictures that this process has."""
        size = self.rendered.size if self.rendered else 0
        numbers = np.arange(pool.start * size, pool.stop * size)
        own: NDArray[np.intp] = numbers[owned_by(self.processes, numbers)]
        return own

    def _all_widths(self, pool: range, drawn: Drawn) -> NDArray[np.intp]:
        """Return the widths of a pool's rendered pictures, also of those that others draw, px."""
        if not self.rendered:
            return drawn.widths
        num = len(pool) * self.rendered.size
        if self.rendered.one_width:  # which all others have too
            return np.full(num, drawn.widths.max(initial=0))
        widths = np.zeros(num, dtype=np.intp)
        widths[self._numbers(pool) - pool.start * self.rendered.size] = drawn.widths
        everybodys: NDArray[np.intp] = np.max(self.processes.gather(widths), axis=0)
        return everybodys

    def _fill(
        self, pool: range, drawn: NDArray[np.intp]
    ) -> list[tuple[NDArray[np.intp], NDArray[np.intp], int]]:
        """Return what the batches of a pool hold, of what this process has.

        Files and rendered pictures are both sorted by width, so that a batch has the same part of
        either order. Pictures of equal widths stay in their random order. Where all widths are
        equal, the batches do so too.

        Args:
            pool: Its steps.
            drawn: Widths of all its rendered pictures, in the order of their numbers, px.

        Returns:
            For each batch the files, positions in ``drawn``, and the images of the whole batch.
        """
        epoch, position = divmod(pool.start, self.steps_per_epoch)
        start, num_files = position * self.num_from_files, len(pool) * self.num_from_files
        files = self._order(epoch)[start : start + num_files]
        size = self.rendered.size if self.rendered else 0
        numbers, order = np.arange(pool.start * size, pool.stop * size), np.arange(len(pool))
        is_drawn_here = owned_by(self.processes, numbers)
        widths = self.widths[files]
        if len(np.unique(np.concatenate([widths, drawn]))) > 1:
            files = files[np.argsort(widths, kind="stable")]
            numbers = numbers[np.argsort(drawn, kind="stable")]
            order = np.random.default_rng((self.seed, POOL_STREAM, pool.start)).permutation(order)
        # The last batch of an epoch may have fewer files, wherever it is in the order of widths.
        sizes = np.full(len(pool), self.num_from_files)
        sizes[order[-1]] -= num_files - len(files)
        file_parts = np.split(files, sizes.cumsum()[:-1])
        number_parts = np.split(numbers, len(pool))
        places = np.cumsum(is_drawn_here) - 1  # in the pictures that are drawn here

        def shared(part: np.intp) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
            of_files, of_numbers = (
                those[owned_by(self.processes, those)]
                for those in (file_parts[part], number_parts[part])
            )
            return of_files, places[of_numbers - pool.start * size], int(sizes[part]) + size

        return [shared(part) for part in order]

    def _order(self, epoch: int) -> NDArray[np.intp]:
        """Return the order of an epoch's files; of any neighbors, all strands have equal parts."""
        rng = np.random.default_rng((self.seed, ORDER_STREAM, epoch))
        order = np.arange(len(self.inks))
        for strand in range(NUM_STRANDS):
            order[strand::NUM_STRANDS] = rng.permutation(order[strand::NUM_STRANDS])
        return order

    def _render(self, first_step: int, last_step: int) -> Iterator[Drawn]:
        if self.rendered is None:
            return iter(())
        options: dict[str, Any] = {}
        if self.workers:
            ahead = -(-4 // self.pool_steps)  # pools, of each process
            options = {"prefetch_factor": ahead, "worker_init_fn": _begin_worker}
        loader = DataLoader(
            self.rendered,
            batch_size=None,
            sampler=map(self._numbers, self._pools(first_step, last_step)),
            num_workers=self.workers,
            collate_fn=_unchanged,
            # Else it would draw from the global generator, which dropout uses.
            generator=torch.Generator(),
            **options,
        )
        others = multiprocessing.active_children()
        with starting_workers():
            batches = iter(loader)
        self._processes = [p for p in multiprocessing.active_children() if p not in others]
        return batches


def owned_by(processes: Processes, numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which pictures this process has: those of every n-th strand, of n processes."""
    is_own: NDArray[np.bool_] = numbers % NUM_STRANDS % processes.size == processes.rank
    return is_own


def _side_by_side(inks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Stack pictures (H, W_i) to (N, H, W); background widens them to the widest."""
    width = max(ink.shape[1] for ink in inks)
    pictures = np.zeros((len(inks), inks[0].shape[0], width), dtype=np.uint8)
    for picture, ink in zip(pictures, inks, strict=True):
        picture[:, : ink.shape[1]] = ink
    return pictures


def _widths(inks: Sequence[NDArray[np.uint8]]) -> NDArray[np.intp]:
    return np.array([ink.shape[1] for ink in inks], dtype=np.intp)


def _unchanged(batch: Any) -> Any:
    return batch
