"""Optimizer steps, which are queued on the device, and their results, which are read later.

To read a loss, the processor waits until the device has computed it. Then the device waits until
the processor has queued more. So a step's result is read only after the next step is queued.

T frames, N images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from exprocr.core.config.schema import TrainingConfig
from exprocr.core.decode.hypothesis import collapse
from exprocr.core.model.geometry import num_frames
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import to_input
from exprocr.core.text.charset import BLANK
from exprocr.training.batches import Batch
from exprocr.training.learner import Learner
from exprocr.training.loss import TargetEncoder, Targets, ctc_losses
from exprocr.training.precision import Precision, mixed_precision
from exprocr.training.processes import Processes
from exprocr.training.schedule import learning_rate_at, make_optimizer

DROPOUT_STREAM = 1003
"""Random stream of the dropout, where several processes train."""


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
        loss: Scalar, on the device; of the whole batch.
        path: (T, N) classes of the best paths, int64, on the device.
        skipped: Scalar, on the device: 1 if the step changed nothing, else 0.
        targets: The texts of this process's share.
        lengths: (N,) frames of each image.
        num_images: Images of the whole batch.
        processes: Those that have a share of it.
    """

    def __init__(
        self,
        learning_rate: float,
        loss: Tensor,
        path: Tensor,
        skipped: Tensor,
        targets: Targets,
        lengths: NDArray[np.int64],
        num_images: int,
        processes: Processes,
    ) -> None:
        self.learning_rate = learning_rate
        self._targets = targets
        self._lengths = lengths
        self._num_images = num_images
        self._processes = processes
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
        sums = torch.zeros(2, dtype=torch.float64, device=self._processes.device)
        if len(self._lengths):
            exact, distances = compare(self._path.numpy(), self._targets, self._lengths)
            sums[0], sums[1] = exact.sum(), (distances / self._targets.lengths).sum()
        num_exact, edit_distance = self._processes.add_up(sums).tolist()
        return StepResult(
            loss=float(self._loss),
            num_images=self._num_images,
            num_exact=int(num_exact),
            edit_distance=edit_distance,
            is_skipped=bool(self._skipped),
        )


class Stepper:
    """Takes the optimizer steps of a training.

    Args:
        learner: The network.
        config: How to train it.
        num_steps: Length of the learning rate's schedule.
        precision: Number format of the layers.
        processes: Those that have a share of each batch; None is this one alone.
    """

    def __init__(
        self,
        learner: Learner,
        config: TrainingConfig,
        num_steps: int,
        precision: Precision,
        processes: Processes | None = None,
    ) -> None:
        self.network = learner.network
        self.device = learner.device
        self.config = config
        self.num_steps = num_steps
        self.precision = precision
        self.processes = processes or Processes(device=learner.device)
        self._log_probs: nn.Module = _InTraining(learner.network, self.device, precision)
        if self.processes.size > 1:
            learner.network.add_up = self.processes.add_up
            self._log_probs = DistributedDataParallel(self._log_probs)
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
        self._seed_dropout(number)
        log_probs = self._log_probs(pictures, batch.widths)  # (T, N, K)
        widths = batch.widths[: len(batch.texts)]
        lengths = np.array([num_frames(self.network.config, width) for width in widths])
        if batch.texts:
            loss = ctc_losses(log_probs, targets, lengths).sum() / batch.num_images
        else:  # no share of this batch: a gradient of zero
            loss = 0 * log_probs.sum()
        self.optimizer.zero_grad()
        # The processes' gradients are averaged, and are to be added up.
        (loss * self.processes.size).backward()  # type: ignore[no-untyped-call]
        loss = self.processes.add_up(loss.detach())
        # Where the norm has no limit, the gradients are multiplied by 1.
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.config.max_grad_norm or math.inf
        )
        is_bad = ~(loss.isfinite() & norm.isfinite())
        self._update(is_bad)
        for values, before in zip(self._statistics, statistics, strict=True):
            values.copy_(torch.where(is_bad, before, values))
        path = log_probs.detach().argmax(2)
        return TakenStep(
            learning_rate,
            loss,
            path,
            is_bad,
            targets,
            lengths,
            batch.num_images,
            self.processes,
        )

    def _seed_dropout(self, number: int) -> None:
        """Give each process and step its own dropout.

        A checkpoint has the state of one process's generator only.
        """
        if self.processes.size > 1:
            stream = (self.config.seed, DROPOUT_STREAM, number, self.processes.rank)
            torch.manual_seed(int(np.random.SeedSequence(stream).generate_state(1)[0]))

    def _update(self, is_bad: Tensor) -> None:
        """Change the weights, unless ``is_bad``, a scalar on the device."""
        if self.optimizer.defaults["fused"]:
            # The fused kernel looks at this itself, as it does for scaled losses. Nothing waits.
            self.optimizer.found_inf = is_bad.to(torch.float32)  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not is_bad:
            self.optimizer.step()


class _InTraining(nn.Module):
    """The network as a training step computes it. (N, 1, H, W) -> (T, N, K)."""

    def __init__(self, network: Network, device: torch.device, precision: Precision) -> None:
        super().__init__()
        self.network = network
        self._device = device
        self._precision = precision

    def forward(self, pictures: Tensor, widths: Sequence[int]) -> Tensor:
        """Return log-probabilities, float32; see `Network.encode` for the arguments."""
        with mixed_precision(self._device, self._precision):
            frames = self.network.encode(pictures, widths)
        return self.network.classify(frames)


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
