"""Batches of labeled pictures: from files, freshly rendered, or both.

What is in a batch depends only on the seed and the number of the step, not on the number of
workers or on interruptions.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from exprocr.core.config.schema import PreprocessConfig, TrainingConfig
from exprocr.core.image.preprocess import preprocess
from exprocr.core.system.processes import begin_worker, starting_workers
from exprocr.errors import DataError
from exprocr.synth.renderer import Renderer

ORDER_STREAM = 1000
"""Random stream of the order of the files; the renderer's streams have smaller numbers."""


@dataclass(frozen=True)
class Batch:
    """Pictures and their texts."""

    pictures: NDArray[np.uint8]
    """uint8 (N, H, W), 0 background .. 255 ink."""

    texts: list[str]
    """N expressions."""


class RenderedBatches(Dataset[Batch]):
    """Freshly rendered pictures: item i has the samples ``i * size`` to ``(i + 1) * size - 1``.

    Args:
        renderer: What draws them.
        input_size: The network's input.
        seed: Seed of the samples.
        stream: Stream of the samples, such as `exprocr.synth.renderer.TRAIN_STREAM`.
        size: Pictures per item.
    """

    def __init__(
        self,
        renderer: Renderer,
        input_size: PreprocessConfig,
        *,
        seed: int,
        stream: int,
        size: int,
    ) -> None:
        self.renderer = renderer
        self.input_size = input_size
        self.seed = seed
        self.stream = stream
        self.size = size

    def __getitem__(self, index: int) -> Batch:
        numbers = range(index * self.size, (index + 1) * self.size)
        samples = [self.renderer.sample(self.seed, self.stream, i) for i in numbers]
        inks = [preprocess(image, self.input_size) for _, image in samples]
        return Batch(np.stack(inks), [text for text, _ in samples])


def _begin_worker(worker_id: int) -> None:
    begin_worker()


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
    """

    def __init__(
        self,
        inks: Sequence[NDArray[np.uint8]],
        texts: Sequence[str],
        paths: Sequence[str],
        rendered: RenderedBatches | None,
        config: TrainingConfig,
        workers: int,
    ) -> None:
        self.inks = inks
        self.texts = texts
        self.paths = paths
        self.rendered = rendered
        self.seed = config.seed
        self.workers = workers
        self._processes: list[BaseProcess] = []
        self.num_from_files = config.batch_size - (rendered.size if rendered else 0)
        if self.num_from_files:
            self.steps_per_epoch = -(-len(inks) // self.num_from_files)
        else:
            self.steps_per_epoch = -(-config.images_per_epoch // config.batch_size)

    def between(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """Yield the batches of the steps ``first_step`` to ``last_step - 1``."""
        rendered = self._render(first_step, last_step)
        order: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        for step in range(first_step, last_step):
            epoch, position = divmod(step, self.steps_per_epoch)
            if self.num_from_files and (position == 0 or step == first_step):
                order = self._order(epoch)
            chosen = self._chosen(order, position)
            inks = [self.inks[i] for i in chosen]
            texts = [self.texts[i] for i in chosen]
            if self.rendered:
                drawn = next(rendered)
                inks += list(drawn.pictures)
                texts += drawn.texts
            yield Batch(_side_by_side(inks), texts)

    def names(self, step: int) -> list[str]:
        """Return what the batch of a step holds: paths of files, and numbers of rendered pictures.

        Args:
            step: Number of steps before it.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        names = [self.paths[i] for i in self._chosen(self._order(epoch), position)]
        if self.rendered:
            first = step * self.rendered.size
            names += [f"rendered {first + i}" for i in range(self.rendered.size)]
        return names

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

    def _chosen(self, order: NDArray[np.intp], position: int) -> NDArray[np.intp]:
        """Return the files of a batch, by its position in the epoch."""
        start = position * self.num_from_files
        return order[start : start + self.num_from_files]

    def _order(self, epoch: int) -> NDArray[np.intp]:
        rng = np.random.default_rng((self.seed, ORDER_STREAM, epoch))
        return rng.permutation(len(self.inks))

    def _render(self, first_step: int, last_step: int) -> Iterator[Batch]:
        if self.rendered is None:
            return iter(())
        options: dict[str, Any] = {}
        if self.workers:
            options = {"prefetch_factor": 4, "worker_init_fn": _begin_worker}
        loader = DataLoader(
            self.rendered,
            batch_size=None,
            sampler=range(first_step, last_step),
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


def _side_by_side(inks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Stack pictures (H, W_i) to (N, H, W); background widens them to the widest."""
    width = max(ink.shape[1] for ink in inks)
    pictures = np.zeros((len(inks), inks[0].shape[0], width), dtype=np.uint8)
    for picture, ink in zip(pictures, inks, strict=True):
        picture[:, : ink.shape[1]] = ink
    return pictures


def _unchanged(batch: Any) -> Any:
    return batch
