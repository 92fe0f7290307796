"""An exponential moving average of a network's weights in training.

At a high learning rate the weights wander about a good place, and their average is nearer to it
(Polyak & Juditsky 1992; Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from exprocr.core.model.network import Network
from exprocr.errors import ModelFileError
from exprocr.training.checkpoint import Checkpoint


class AveragedWeights:
    """The average of a network's weights and of the statistics of its batch norms.

    After step t, counted from 0, the average moves towards the weights by the share 1 - d, with
    d = min(decay, (1 + t) / (10 + t)): the first steps are soon forgotten.

    Args:
        network: The network in training.
        decay: Of the average, below 1; 0 averages nothing.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        state = network.state_dict() if decay else {}
        self._current = {name: value for name, value in state.items() if value.is_floating_point()}
        self.tensors = {name: value.clone() for name, value in self._current.items()}
        """The average, by name; empty if there is none."""

    def update(self, step: int) -> None:
        """Take the weights after step ``step``, counted from 0, into the average."""
        if not self.decay:
            return
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), list(self._current.values()), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the network the average for a while; it gets its own weights back."""
        own = {name: value.clone() for name, value in self._current.items()}
        try:
            _copy(self.tensors, self._current)
            yield
        finally:
            _copy(own, self._current)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            ModelFileError: It has another average.
        """
        found = checkpoint.part("average")
        shapes = {name: value.shape for name, value in found.items()}
        if shapes != {name: tuple(value.shape) for name, value in self.tensors.items()}:
            raise ModelFileError(
                f"{checkpoint.name}: average: expected {len(self.tensors)} tensors of the "
                f"network's shapes, found {len(found)} others"
            )
        _copy({name: torch.from_numpy(value) for name, value in found.items()}, self.tensors)


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)
