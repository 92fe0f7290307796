"""Positions and numbers of the network's cells and frames, computed from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from exprocr.core.config.schema import ConvModuleConfig, ModelConfig
from exprocr.errors import ConfigError, unknown_name

LAYERS = ("conv1", "conv2", "conv3", "fc1", "gru1", "gru2", "fc2")
"""Names of the network's layers, in order."""

CONV_LAYERS = LAYERS[:3]

ROWS, COLUMNS = 0, 1


def check_layer(layer: str, layers: Sequence[str] = LAYERS) -> None:
    """Check a layer's name.

    Raises:
        ConfigError: It is not one of ``layers``.
    """
    if layer not in layers:
        raise ConfigError(unknown_name(layer, layer, layers, what="layer"))


class CellAxis(NamedTuple):
    """Centers of the receptive fields of a layer's cells, along one axis."""

    first: float
    """Center of cell 0, px from the edge of the network's input."""

    step: float
    """Distance between neighboring centers, px."""

    def center(self, cell: int) -> float:
        """Return the center of a cell, px from the edge of the network's input."""
        return self.first + cell * self.step


def cell_axis(config: ModelConfig, layer: str = "conv3", axis: int = COLUMNS) -> CellAxis:
    """Return the positions of a layer's cells; layers after conv3 have its columns, the frames.

    Each convolution or pooling moves the first center by half its window minus its padding, and
    multiplies the distance by its stride (Dumoulin & Visin 2016, sections 2 and 3).

    Args:
        config: The network's shape.
        layer: The layer.
        axis: `ROWS` or `COLUMNS`.
    """
    first, step = 0.5, 1.0  # the center of the first pixel
    for name in CONV_LAYERS:
        module: ConvModuleConfig = getattr(config, name)
        for kernel, stride in zip(module.kernel_sizes, module.strides, strict=True):
            first += (kernel // 2) * step * (not config.padding)
            step *= stride
        first += (module.pool[axis] - 1) / 2 * step
        step *= module.pool[axis]
        if name == layer:
            break
    return CellAxis(first, step)


def conv_length(length: int, kernel: int, stride: int, padding: int) -> int:
    """Return the number of rows or columns after a convolution, from ``length``; at least 0.

    Args:
        length: Rows or columns of its input.
        kernel: Its size.
        stride: Its stride.
        padding: Rows or columns of zeros on either side.
    """
    return max(0, (length + 2 * padding - kernel) // stride + 1)


def output_length(length: int, module: ConvModuleConfig, padding: bool, axis: int) -> int:
    """Return the number of rows (axis 0) or columns (axis 1) after a module, from ``length``."""
    for kernel, stride in zip(module.kernel_sizes, module.strides, strict=True):
        length = conv_length(length, kernel, stride, kernel // 2 if padding else 0)
        if length < 1:
            return 0
    return -(-length // module.pool[axis])


def num_frames(config: ModelConfig, width: int) -> int:
    """Return T, the number of frames of a picture ``width`` px wide; 0 if it is too narrow."""
    for module in (config.conv1, config.conv2, config.conv3):
        width = output_length(width, module, config.padding, axis=1)
    return width


def weight_shapes(config: ModelConfig, height: int, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights that the results of a network depend on, by name.

    Args:
        config: The network's shape.
        height: Height of the pictures, px.
        num_classes: K, the blank included.

    Raises:
        ValueError: The pictures are too low for the convolutions.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def add_linear(name: str, norm: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        if not norm:
            shapes[f"{name}.bias"] = shape[:1]
            return
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = shape[:1]

    channels, rows = 1, height
    for layer in CONV_LAYERS:
        module: ConvModuleConfig = getattr(config, layer)
        rows = output_length(rows, module, config.padding, axis=ROWS)
        position = 0  # in the module: convolution, optional batch norm, ReLU
        for kernel, outputs in zip(module.kernel_sizes, module.channels, strict=True):
            norm = f"{layer}.{position + 1}" if config.batch_norm else ""
            add_linear(f"{layer}.{position}", norm, outputs, channels, kernel, kernel)
            channels = outputs
            position += 3 if config.batch_norm else 2
    if rows < 1:
        raise ValueError(f"pictures {height} px high are too low for these convolutions")
    units = config.gru_units
    norm = "fc1.norm" if config.batch_norm else ""
    add_linear("fc1.linear", norm, config.fc1_units, channels * rows)
    inputs = {"gru1": config.fc1_units, "gru2": units * (1 if config.gru1_merge == "sum" else 2)}
    for layer, size in inputs.items():
        for way in ("", "_reverse"):
            shapes[f"{layer}.gru.weight_ih_l0{way}"] = 3 * units, size
            shapes[f"{layer}.gru.weight_hh_l0{way}"] = 3 * units, units
            shapes[f"{layer}.gru.bias_ih_l0{way}"] = shapes[f"{layer}.gru.bias_hh_l0{way}"] = (
                3 * units,
            )
    add_linear("fc2", "", num_classes, 2 * units)
    return shapes
