"""The cost of differentiating a network, to keep its time and its memory within limits."""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import torch
from torch import nn

from exprocr.core.model.network import Network
from exprocr.viz.architecture.anatomy import Call, multiply_adds

MAX_WORK = 40e9
"""Most multiply-adds of all pictures along a path, without gradients: a few seconds."""

MAX_GRADIENTS = 300
LEAST_GRADIENTS = 10
"""With fewer gradients than this, most of the score's change would be missing."""

BATCH_CELLS = 65e6
"""Most output values of the convolutions per batch: about 400 MB with all that gradients need."""


class Cost(NamedTuple):
    """The work of a network for one picture."""

    multiply_adds: int

    cells: int
    """Output values of the convolutions' modules."""

    @property
    def batch(self) -> int:
        """Number of pictures to differentiate at once."""
        return max(1, int(BATCH_CELLS / self.cells))

    @property
    def gradients(self) -> int:
        """Number of gradients along a path; 0 where there would be too few to be useful."""
        number = int(MAX_WORK / self.multiply_adds)
        return min(number, MAX_GRADIENTS) if number >= LEAST_GRADIENTS else 0


def cost_of(network: Network, height: int, width: int) -> Cost:
    """Count a network's work for a picture of ``height`` x ``width`` px without running it."""
    convolutions = nn.Sequential(network.conv1, network.conv2, network.conv3)
    outline = copy.deepcopy(convolutions).to("meta").eval()
    calls: list[Call] = []

    def note(module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        calls.append(Call("", module, tuple(output.shape)))

    for module in outline.modules():
        if not any(module.children()):
            module.register_forward_hook(note)
    with torch.no_grad():
        num_frames = outline(torch.empty(1, 1, height, width, device="meta")).shape[3]
    matrices = sum(
        weight.numel()
        for stage in (network.fc1, network.gru1, network.gru2, network.fc2)
        for weight in stage.parameters()
        if weight.ndim == 2
    )
    return Cost(
        sum(map(multiply_adds, calls)) + matrices * num_frames,
        sum(math.prod(call.shape) for call in calls),
    )
