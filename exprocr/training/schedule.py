"""The learning rate of each step, and the optimizer."""

from __future__ import annotations

import math

import torch

from exprocr.core.config.schema import TrainingConfig
from exprocr.core.model.network import Network
from exprocr.training.muon import Muon


def learning_rate_at(step: int, num_steps: int, config: TrainingConfig) -> float:
    """Return the learning rate of a step.

    ``one_cycle``: it rises linearly from a 25th of the peak, then falls as a cosine to a hundredth
    of the peak (after Smith & Topin 2018), where it stays after the schedule's end. ``constant``:
    it is the peak in every step.

    Args:
        step: 0-based number of the optimizer step.
        num_steps: Length of the schedule.
        config: Peak, schedule and warm-up.
    """
    peak = config.learning_rate
    if config.schedule == "constant":
        return peak
    warmup = max(1, round(num_steps * config.warmup_fraction))
    if step < warmup:
        return peak * (0.04 + 0.96 * step / warmup)
    progress = min(1.0, (step - warmup) / max(1, num_steps - warmup))
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def make_optimizer(network: Network, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return Muon, or AdamW (Loshchilov & Hutter 2019); only kernels and matrices decay."""
    if config.optimizer == "muon":
        return Muon(network, config.learning_rate, config.weight_decay)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    # All parameters in one kernel, where PyTorch has one.
    fused = next(network.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)
