"""Muon, an optimizer for the matrices of a network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from exprocr.core.model.network import Network

MOMENTUM = 0.95
"""Share that a mean of gradients keeps in each step."""

ADAM_RMS = 0.2
"""Root mean square of AdamW's changes, divided by the learning rate. Those of the matrices get the
same, so that both take one learning rate (Liu et al. 2025, "Muon is Scalable for LLM Training",
eq. 4)."""

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NUM_ITERATIONS = 5
"""Coefficients of x, of its third and of its fifth power; and how often they are applied."""

GATES = 3
"""A GRU's weights are the matrices of three gates, one below the other."""


class Muon(torch.optim.AdamW):
    """Changes matrices by about the orthogonal matrix that is nearest to their momentum.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". A kernel is a
    matrix with a row for each output channel. What is no matrix, and the classes' weights, are
    changed by AdamW.

    Args:
        network: The network to train.
        lr: Learning rate.
        weight_decay: Decoupled weight decay of kernels and matrices.
    """

    def __init__(self, network: Network, lr: float, weight_decay: float) -> None:
        matrices: dict[int, list[Tensor]] = {1: [], GATES: []}
        classes, vectors = [], []
        for name, parameter in network.named_parameters():
            if parameter.ndim < 2:
                vectors.append(parameter)
            elif name.startswith("fc2"):
                classes.append(parameter)
            else:
                matrices[GATES if name.startswith("gru") else 1].append(parameter)
        groups: list[dict[str, Any]] = [
            {"params": parameters, "weight_decay": weight_decay, "num_gates": num}
            for num, parameters in matrices.items()
        ]
        groups += [
            {"params": classes, "weight_decay": weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        super().__init__(groups, lr=lr)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Take a step."""
        groups = self.param_groups
        try:
            self.param_groups = [group for group in groups if "num_gates" not in group]
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if "num_gates" in group:
                self._change_matrices(group)

    def _change_matrices(self, group: dict[str, Any]) -> None:
        """Change the matrices of a group: those of one shape, in one product."""
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for parameter in group["params"]:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.tensor(0.0)  # which AdamW looks for in every state it loads
                state["momentum"] = torch.zeros_like(parameter)
            state["step"] += 1
            momentum = state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
            change = parameter.grad.lerp(momentum, MOMENTUM)  # Nesterov's
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parts = (values.chunk(group["num_gates"]) for values in (parameter, change))
            for values, matrix in zip(*parts, strict=True):
                flat = matrix.flatten(1)
                alike.setdefault(flat.shape, []).append((values, flat))
        for shape, pairs in alike.items():
            scale = ADAM_RMS * max(shape) ** 0.5
            changes = orthogonal(torch.stack([matrix for _, matrix in pairs]))
            for (values, _), matrix in zip(pairs, changes, strict=True):
                values.sub_(matrix.view_as(values), alpha=group["lr"] * scale)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about the nearest orthogonal matrices: all singular values come near 1.

    By a Newton-Schulz iteration whose polynomial is steep at 0 (Jordan et al. 2024).

    Args:
        matrices: (N, I, J) float32.

    Returns:
        (N, I, J).
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if is_tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NUM_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if is_tall else x
