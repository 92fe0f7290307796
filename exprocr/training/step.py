"""Optimizer steps, which are queued on the device, and their results, which are read later.

To read a loss, the processor waits until the device has computed it. Then the device waits until
the processor has queued more. So a step's result is read only after the next step is queued.

T frames, N images, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exprocr.core.config.schema import TrainingConfig
from exprocr.core.decode.hypothesis import collapse
from exprocr.core.model.geometry import num_frames
from exprocr.core.model.torch_engine import to_input
from exprocr.core.text.charset import BLANK
from exprocr.training.batches import Batch
from exprocr.training.learner import Learner
from exprocr.training.loss import TargetEncoder, Targets, mean_ctc_loss
from exprocr.training.precision import Precision, mixed_precision
from exprocr.training.schedule import learning_rate_at, make_optimizer


@dataclass(frozen=True)
class StepResult:
    """The result of a step."""

    loss: float
    """Mean CTC loss of the batch before the step, nats."""

    num_images: int
    """N, the number of images in the batch."""

    num_exact: int
    """Images whose text the network read exactly, in this training step."""

    edit_distance: float
    """Sum of their edit distances, each divided by the length of its text."""

    is_skipped: bool
    """Whether the loss or the gradient was not finite, so that the step changed nothing."""


class TakenStep:
    """A step that is queued and may not be computed yet.

    Args:
        learning_rate: Its learning rate.
        loss: Scalar, on the device.
        path: (T, N) classes of the best paths, int64, on the device.
        skipped: Scalar, on the device: 1 if the step changed nothing, else 0.
        targets: The batch's texts.
        lengths: (N,) frames of each image.
    """

    def __init__(
        self,
        learning_rate: float,
        loss: Tensor,
        path: Tensor,
        skipped: Tensor,
        targets: Targets,
        lengths: NDArray[np.int64],
    ) -> None:
        self.learning_rate = learning_rate
        self._targets = targets
        self._lengths = lengths
        self._ready: torch.cuda.Event | None = None
        on_cuda = loss.is_cuda
        self._loss = loss.to("cpu", non_blocking=on_cuda)  # which copies into pinned memory
        self._path = path.to("cpu", non_blocking=on_cuda)
        self._skipped = skipped.to("cpu", non_blocking=on_cuda)
        if on_cuda:
            self._ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._ready.record()

    def result(self) -> StepResult:
        """Wait for the step, and count the texts that were read right."""
        if self._ready:
            self._ready.synchronize()
        exact, distances = compare(self._path.numpy(), self._targets, self._lengths)
        return StepResult(
            loss=float(self._loss),
            num_images=len(exact),
            num_exact=int(exact.sum()),
            edit_distance=float((distances / self._targets.lengths).sum()),
            is_skipped=bool(self._skipped),
        )


class Stepper:
    """Takes the optimizer steps of a training.

    Args:
        learner: The network.
        config: How to train it.
        num_steps: Length of the learning rate's schedule.
        precision: Number format of the layers.
    """

    def __init__(
        self, learner: Learner, config: TrainingConfig, num_steps: int, precision: Precision
    ) -> None:
        self.network = learner.network
        self.device = learner.device
        self.config = config
        self.num_steps = num_steps
        self.precision = precision
        self.optimizer = make_optimizer(learner.network, config)
        self._encode = TargetEncoder(learner.charset)
        self._statistics = list(learner.network.buffers())  # of batch normalization

    def take(self, number: int, batch: Batch) -> TakenStep:
        """Queue a step; it changes nothing if the loss or the gradient is not finite.

        Args:
            number: Number of steps before it.
            batch: The images to train on.
        """
        learning_rate = learning_rate_at(number, self.num_steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        targets = self._encode(batch.texts)
        self.network.train()
        statistics = [values.clone() for values in self._statistics]
        pictures = to_input(batch.pictures, self.device)
        with mixed_precision(self.device, self.precision):
            frames = self.network.encode(pictures, batch.widths)
        log_probs = self.network.classify(frames)  # (T, N, K)
        lengths = np.array([num_frames(self.network.config, width) for width in batch.widths])
        loss = mean_ctc_loss(log_probs, targets, lengths)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        # Where the norm has no limit, the gradients are multiplied by 1.
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.config.max_grad_norm or math.inf
        )
        is_bad = ~(loss.detach().isfinite() & norm.isfinite())
        self._update(is_bad)
        for values, before in zip(self._statistics, statistics, strict=True):
            values.copy_(torch.where(is_bad, before, values))
        path = log_probs.detach().argmax(2)
        return TakenStep(learning_rate, loss.detach(), path, is_bad, targets, lengths)

    def _update(self, is_bad: Tensor) -> None:
        """Change the weights, unless ``is_bad``, a scalar on the device."""
        if self.optimizer.defaults["fused"]:
            # The fused kernel looks at this itself, as it does for scaled losses. Nothing waits.
            self.optimizer.found_inf = is_bad.to(torch.float32)  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not is_bad:
            self.optimizer.step()


def compare(
    path: NDArray[np.int64], targets: Targets, lengths: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Compare the texts of best paths with the targets, for all images at once.

    Args:
        path: (T, N) classes.
        targets: N texts.
        lengths: (N,) frames of each image, the first ones of its T.

    Returns:
        Whether each text was read exactly, and its edit distance (Levenshtein 1966).
    """
    is_padding = np.arange(len(path))[:, None] >= lengths
    labels, num_read = collapse(np.where(is_padding, BLANK, path))  # (S, N), (N,)
    read, truth = labels.T, targets.ids
    # costs[n, j]: edits that turn the first i characters of text n into the first j of its reading
    columns = np.arange(read.shape[1] + 1)
    costs = np.broadcast_to(columns, (len(read), len(columns)))
    distances = num_read.copy()  # of empty truths
    for i in range(truth.shape[1]):
        row = np.empty_like(costs)
        row[:, 0] = i + 1
        paired = costs[:, :-1] + (truth[:, i, None] != read)
        row[:, 1:] = np.minimum(paired, costs[:, 1:] + 1)
        # Insertions: a cost is at most that of its left neighbor, plus one.
        costs = np.minimum.accumulate(row - columns, axis=1) + columns
        is_last = targets.lengths == i + 1
        distances[is_last] = costs[is_last, num_read[is_last]]
    return distances == 0, distances
