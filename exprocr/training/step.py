"""Optimizer steps, which are queued on the device, and their results, which are read later.

A host that reads a loss waits until the device has computed it, and the device then waits until
the host has queued more. So a step's result is not looked at before the next step is queued.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exprocr.core.config.schema import TrainingConfig
from exprocr.core.decode.hypothesis import collapse
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import to_input
from exprocr.core.text.charset import Charset
from exprocr.training.batches import Batch
from exprocr.training.loss import TargetEncoder, Targets, mean_ctc_loss
from exprocr.training.precision import Precision, mixed_precision
from exprocr.training.schedule import learning_rate_at, make_optimizer


@dataclass(frozen=True)
class StepResult:
    """What came of a step."""

    loss: float
    """Mean CTC loss of the batch before the step, nats."""

    num_images: int
    """N, the images of the batch."""

    num_exact: int
    """Images read exactly, as the network read them while it was trained on them."""

    edit_distance: float
    """Sum of their edit distances, each divided by the length of its text."""


class TakenStep:
    """A step that is queued, and perhaps not computed yet.

    Args:
        learning_rate: The step's.
        loss: Scalar, on the device.
        path: (T, N) classes of the best paths, on the device.
        targets: The batch's texts.
    """

    def __init__(self, learning_rate: float, loss: Tensor, path: Tensor, targets: Targets) -> None:
        self.learning_rate = learning_rate
        self._targets = targets
        self._ready: torch.cuda.Event | None = None
        on_cuda = loss.is_cuda
        self._loss = loss.to("cpu", non_blocking=on_cuda)  # then into pinned memory
        self._path = path.to("cpu", non_blocking=on_cuda)
        if on_cuda:
            self._ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._ready.record()

    def result(self) -> StepResult:
        """Wait for the step, and count what was read right."""
        if self._ready:
            self._ready.synchronize()
        exact, distances = compare(self._path.numpy(), self._targets)
        return StepResult(
            loss=float(self._loss),
            num_images=len(exact),
            num_exact=int(exact.sum()),
            edit_distance=float((distances / self._targets.lengths).sum()),
        )


class Stepper:
    """Takes the optimizer steps of a training.

    Args:
        network: The network, on ``device``.
        device: Where to compute.
        charset: The network's characters.
        config: How to train.
        num_steps: Length of the learning rate's schedule.
        precision: What to compute in.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device,
        charset: Charset,
        config: TrainingConfig,
        num_steps: int,
        precision: Precision,
    ) -> None:
        self.network = network
        self.device = device
        self.config = config
        self.num_steps = num_steps
        self.precision = precision
        self.optimizer = make_optimizer(network, config)
        self._encode = TargetEncoder(charset)

    def take(self, number: int, batch: Batch) -> TakenStep:
        """Queue a step.

        Args:
            number: Steps before it.
            batch: What to train on.
        """
        learning_rate = learning_rate_at(number, self.num_steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        targets = self._encode(batch.texts)
        self.network.train()
        pictures = to_input(batch.pictures, self.device)
        with mixed_precision(self.device, self.precision):
            frames = self.network.encode(pictures)
        log_probs = self.network.classify(frames)  # (T, N, K)
        loss = mean_ctc_loss(log_probs, targets)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        return TakenStep(learning_rate, loss.detach(), log_probs.detach().argmax(2), targets)


def compare(
    path: NDArray[np.int64], targets: Targets
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Compare the texts of best paths with the targets, all at once.

    Args:
        path: (T, N) classes.
        targets: N texts.

    Returns:
        Whether each text was read exactly, and its edit distance (Levenshtein 1966).
    """
    labels, lengths = collapse(path)  # (S, N), (N,)
    read, truth = labels.T, targets.ids
    # costs[:, j]: edits that turn the first i characters of the truth into j of the reading
    columns = np.arange(read.shape[1] + 1)
    costs = np.broadcast_to(columns, (len(read), len(columns)))
    distances = lengths.copy()  # of empty truths
    for i in range(truth.shape[1]):
        row = np.empty_like(costs)
        row[:, 0] = i + 1
        paired = costs[:, :-1] + (truth[:, i, None] != read)
        row[:, 1:] = np.minimum(paired, costs[:, 1:] + 1)
        # Insertions: each cost is at most its left neighbor's and one more.
        costs = np.minimum.accumulate(row - columns, axis=1) + columns
        is_last = targets.lengths == i + 1
        distances[is_last] = costs[is_last, lengths[is_last]]
    return distances == 0, distances
