"""The CTC loss of a batch, and the texts of the batch as the loss takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import ctc_loss

from exprocr.core.text.charset import BLANK, Charset


@dataclass(frozen=True)
class Targets:
    """The texts of a batch."""

    ids: NDArray[np.int64]
    """(N, L) class ids, padded with blanks to the length of the longest text."""

    lengths: NDArray[np.int64]
    """(N,) number of characters of each text."""


class TargetEncoder:
    """Turns texts into targets, for all characters of a batch at once.

    Args:
        charset: The classes.
    """

    def __init__(self, charset: Charset) -> None:
        points = [ord(character) for character in charset.characters]
        self._class_ids = np.zeros(max(points) + 1, dtype=np.int64)
        self._class_ids[points] = np.arange(1, len(points) + 1)

    def __call__(self, texts: Sequence[str]) -> Targets:
        """Encode N texts, whose characters are all in the charset."""
        points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4")
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        ids = np.full((len(texts), lengths.max(initial=0)), BLANK, dtype=np.int64)
        ids[np.arange(ids.shape[1]) < lengths[:, None]] = self._class_ids[points]
        return Targets(ids, lengths)


def ctc_losses(
    log_probs: Tensor, targets: Targets, lengths: NDArray[np.int64] | None = None
) -> Tensor:
    """Return the CTC loss (Graves et al. 2006, eq. 10) of each image of a batch.

    Args:
        log_probs: (T, N, K) float32 natural logarithms.
        targets: The texts of the N images.
        lengths: (N,) frames of each image, the first ones of its T; None if it has all.

    Returns:
        (N,) nats; infinite if a text does not fit into the frames of its image.
    """
    if log_probs.device.type not in ("cpu", "cuda"):
        log_probs = log_probs.cpu()  # PyTorch has no CTC kernel elsewhere
    ids = torch.from_numpy(targets.ids)
    if log_probs.device.type == "cuda":
        ids = ids.pin_memory()
    if lengths is None:
        lengths = np.full(log_probs.shape[1], len(log_probs), dtype=np.int64)
    losses: Tensor = ctc_loss(
        log_probs,
        ids.to(log_probs.device, non_blocking=True),
        # On the CPU, where CUDA's kernel expects the lengths.
        torch.from_numpy(lengths),
        torch.from_numpy(targets.lengths),
        blank=BLANK,
        reduction="none",
    )
    return losses
