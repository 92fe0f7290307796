"""The CTC loss of a batch."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

from exprocr.core.charset import BLANK


def mean_ctc_loss(log_probs: Tensor, ids: list[list[int]]) -> Tensor:
    """Return the CTC loss (Graves et al. 2006, eq. 10), averaged over the batch.

    Args:
        log_probs: (T, N, K) float32 natural logarithms; every sample has all T frames.
        ids: N lists of class ids.

    Returns:
        A scalar, nats; infinite where a text does not fit into the frames.
    """
    if log_probs.device.type not in ("cpu", "cuda"):
        log_probs = log_probs.cpu()  # PyTorch has no CTC kernel elsewhere
    num_frames, num_images = log_probs.shape[:2]
    # On the CPU, where the lengths must be for CUDA's kernel and cost no synchronisation.
    losses: Tensor = ctc_loss(
        log_probs,
        torch.tensor(list(itertools.chain.from_iterable(ids)), dtype=torch.long),
        torch.full((num_images,), num_frames, dtype=torch.long),
        torch.tensor([len(i) for i in ids], dtype=torch.long),
        blank=BLANK,
        reduction="none",
    )
    return losses.mean()
