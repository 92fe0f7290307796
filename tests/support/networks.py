"""Networks of different shapes, and what their stages put out."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from exprocr.core.config.schema import PRESETS, ConvModuleConfig, ModelConfig
from exprocr.core.model.geometry import LAYERS
from exprocr.core.model.network import Network

CPU = torch.device("cpu")
ODD = ModelConfig(
    conv1=ConvModuleConfig(kernel_sizes=(5, 3), channels=(4, 3), strides=(3, 1), pool=(1, 1)),
    conv2=ConvModuleConfig(kernel_sizes=(1,), channels=(5,), strides=(2,), pool=(3, 2)),
    conv3=ConvModuleConfig(kernel_sizes=(3,) * 16, channels=(2,) * 16, strides=(1,) * 16),
    batch_norm=False,
    gru1_merge="sum",
    fc1_units=7,
    gru_units=5,
    dropout=0,
)
CASES = {
    "default": (PRESETS["default"].model, (60, 180)),
    "reference": (PRESETS["reference"].model, (60, 160)),
    "odd": (ODD, (53, 97)),
}
"""Networks, and rows and columns of their inputs."""


def outputs(network: Network, pictures: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield each stage's name, what goes in and what comes out."""
    network.eval()
    values = pictures
    for name in LAYERS:
        with torch.no_grad():
            inputs, values = values, getattr(network, name)(values)
        yield name, inputs, values
