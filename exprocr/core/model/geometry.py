"""Where the network's frames lie in its input, from the shape of its convolutions alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from exprocr.core.config.schema import ConvModuleConfig, ModelConfig
from exprocr.errors import ConfigError, unknown_name

LAYERS = ("conv1", "conv2", "conv3", "fc1", "gru1", "gru2", "fc2")
"""The network's stages by name, in order."""

CONV_LAYERS = LAYERS[:3]

ROWS, COLUMNS = 0, 1


def check_layer(layer: str, layers: Sequence[str] = LAYERS) -> None:
    """Check a layer's name.

    Raises:
        ConfigError: It is none of ``layers``; the message names them.
    """
    if layer not in layers:
        raise ConfigError(unknown_name(layer, layer, layers, what="layer"))


class CellAxis(NamedTuple):
    """The centers of the receptive fields of a layer's cells along an axis."""

    first: float
    """Center of cell 0, px from the edge of the network's input."""

    step: float
    """Distance of neighbors, px."""

    def center(self, cell: int) -> float:
        """Return the center of a cell, px from the edge of the network's input."""
        return self.first + cell * self.step


def cell_axis(config: ModelConfig, layer: str = "conv3", axis: int = COLUMNS) -> CellAxis:
    """Return where a layer's cells lie; layers after conv3 have its columns, the frames.

    The center of a cell's receptive field moves by half the window less the padding, the distance
    between cells grows by the stride (Dumoulin & Visin 2016, sections 2 and 3).

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


def output_length(length: int, module: ConvModuleConfig, padding: bool, axis: int) -> int:
    """Return the rows (axis 0) or columns (axis 1) a module leaves of ``length``."""
    for kernel, stride in zip(module.kernel_sizes, module.strides, strict=True):
        padded = length + (2 * (kernel // 2) if padding else 0)
        length = (padded - kernel) // stride + 1
        if length < 1:
            return 0
    return -(-length // module.pool[axis])


def num_frames(config: ModelConfig, width: int) -> int:
    """Return T, the frames of a picture ``width`` px wide; 0 if it is too narrow."""
    for module in (config.conv1, config.conv2, config.conv3):
        width = output_length(width, module, config.padding, axis=1)
    return width
