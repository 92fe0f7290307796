"""Networks of different shapes, and what their stages put out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exprocr.core.config.schema import PRESETS, ConvModuleConfig, ModelConfig, PreprocessConfig
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.geometry import LAYERS
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import export_weights
from exprocr.core.text.charset import Charset

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


def conv(*kernels: int, stride: int = 1, pool: tuple[int, int] = (2, 2)) -> ConvModuleConfig:
    """Return a small module: one convolution per kernel size, the first with a stride."""
    strides = (stride,) + (1,) * (len(kernels) - 1)
    channels = tuple(3 + i for i in range(len(kernels)))
    return ConvModuleConfig(kernel_sizes=kernels, channels=channels, strides=strides, pool=pool)


SMALL = ModelConfig(
    conv1=conv(5, stride=2, pool=(1, 1)), conv2=conv(3), conv3=conv(3), fc1_units=7, gru_units=5
)
SHAPES: dict[str, tuple[dict[str, Any], int]] = {
    "small": ({}, 60),
    "no batch norm": ({"batch_norm": False}, 60),
    "no padding": ({"padding": False}, 60),
    "neither": ({"batch_norm": False, "padding": False}, 60),
    "sum": ({"gru1_merge": "sum"}, 60),
    "low": ({}, 32),
    "odd height": ({}, 37),
    "no pool": ({"conv2": conv(3, pool=(1, 1)), "conv3": conv(3, pool=(1, 1))}, 20),
    "rows alone": ({"conv2": conv(3, pool=(2, 1)), "conv3": conv(3, pool=(3, 1))}, 41),
    "columns alone": ({"conv2": conv(3, pool=(1, 2)), "conv3": conv(3, pool=(1, 3))}, 20),
    "many convolutions": ({"conv1": conv(3, 5, 3), "conv2": conv(1, 3), "conv3": conv(3, 3)}, 60),
    "many, no batch norm": ({"conv1": conv(3, 5), "conv2": conv(3, 3), "batch_norm": False}, 60),
    "strides": ({"conv1": conv(5, stride=3), "conv2": conv(3, stride=2, pool=(1, 1))}, 60),
    "wide GRUs": ({"gru_units": 70, "fc1_units": 33}, 60),
    "narrow GRUs": ({"gru_units": 1, "fc1_units": 1}, 60),
    "large windows": ({"conv2": conv(3, pool=(5, 3)), "conv3": conv(1, pool=(4, 4))}, 60),
}


def random_model(config: ModelConfig, height: int, seed: int = 0) -> ModelFile:
    """Return a model with random biases, statistics and gains."""
    charset = Charset("01+-")
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = export_weights(Network(config, height, charset.num_classes))
    for name, tensor in weights.items():
        if tensor.ndim == 1 and not name.startswith("gru"):
            tensor[:] = rng.normal(0, 0.5, tensor.shape)
    for name, variance in weights.items():
        if name.endswith("running_var"):
            # Some so small that the epsilon matters; gains of both signs.
            variance[:] = 10.0 ** rng.uniform(-6, 1, variance.shape)
            weights[name.replace("running_var", "weight")] *= 3 * np.sqrt(variance + 1e-5)
    weights["fc2.weight"] *= 4  # so that frames differ
    preprocess = PreprocessConfig(height=height)
    return ModelFile(model=config, preprocess=preprocess, charset=charset, weights=weights)
