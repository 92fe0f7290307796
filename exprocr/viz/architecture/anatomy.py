"""A network's modules: their description, receptive fields and multiply-adds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from torch import nn

from exprocr.core.model.network import BiGRU, ConvModule, FrameLinear
from exprocr.words import quantity


class Call(NamedTuple):
    """A module that ran on one picture."""

    stage: str
    """The stage it is in."""

    module: nn.Module
    """A module without submodules."""

    shape: tuple[int, ...]
    """Shape of its output, of a batch of one."""


def multiply_adds(call: Call) -> int:
    """Return the multiply-adds of a module's weight matrices.

    Each weight of a convolution, a linear layer or a GRU is used once for every cell or frame
    that is put out. That is rows x columns x channels in x channels out x kernel of a convolution
    (zeros of the padding are multiplied as well), and frames x 3 x units x (inputs + units) of
    each direction of a GRU (Cho et al. 2014, equations 5 to 8). Biases, batch norm, ReLU, pooling
    and what a GRU's gates do value by value are not counted.
    """
    if isinstance(call.module, nn.Conv2d):
        cells = math.prod(call.shape[2:])  # of (1, C, H, W)
    elif isinstance(call.module, nn.Linear | nn.GRU):
        cells = math.prod(call.shape[:-1])  # of (T, 1, units), or (T, units)
    else:
        return 0
    weights = (p for name, p in call.module.named_parameters() if name.startswith("weight"))
    return cells * sum(weight.numel() for weight in weights)


class Window(NamedTuple):
    """What the cells of a layer see along an axis of the network's input, px."""

    high: int
    """Where the part that all cells together see ends."""

    low: int = 0
    """Where that part begins."""

    first: int = 0
    """Where the window of cell 0 begins; negative in the padding."""

    size: int = 1
    """Length of a window."""

    step: int = 1
    """Distance of neighbors."""

    def behind(self, kernel: int, stride: int, padding: int, num: int) -> Window:
        """Return the windows of the ``num`` cells of a convolution or a pool over this layer.

        Dumoulin & Visin 2016, sections 2 and 3.
        """
        first, size = self.first - padding * self.step, self.size + (kernel - 1) * self.step
        step = self.step * stride
        end = first + size + (num - 1) * step
        return Window(min(end, self.high), max(first, self.low), first, size, step)

    def widest(self, num: int) -> int:
        """Return the length that the cell with the largest view sees, of ``num`` cells."""
        starts = (self.first + cell * self.step for cell in range(num))
        return max(min(start + self.size, self.high) - max(start, self.low) for start in starts)


def receptive_fields(calls: Sequence[Call], size: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Return which part of the input one output of each stage depends on.

    Args:
        calls: The modules that ran, in order.
        size: Rows and columns of the input.

    Returns:
        Rows and columns, px, by stage; of a cell whose field the input's edges do not cut.
    """
    windows = [Window(length) for length in size]
    num = list(size)
    whole = [False, False]
    fields: dict[str, tuple[int, int]] = {}
    for stage, module, shape in calls:
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            num = list(shape[2:])
            kernel, stride, padding = (
                _sides(module, name) for name in ("kernel_size", "stride", "padding")
            )
            windows = [
                window.behind(kernel[axis], stride[axis], padding[axis], num[axis])
                for axis, window in enumerate(windows)
            ]
        whole[0] |= isinstance(module, nn.Linear)  # takes all rows of a column
        whole[1] |= isinstance(module, nn.GRU)  # goes over all columns, both ways
        rows, columns = (
            window.high - window.low if is_whole else window.widest(n)
            for window, n, is_whole in zip(windows, num, whole, strict=True)
        )
        fields[stage] = (rows, columns)
    return fields


def _sides(module: nn.Conv2d | nn.MaxPool2d, name: str) -> tuple[int, int]:
    """Return an attribute for rows and for columns."""
    value = getattr(module, name)
    return (value, value) if isinstance(value, int) else value


def describe(stage: nn.Module) -> str:
    """Describe on one line what a stage is made of."""
    if isinstance(stage, ConvModule):
        groups = [(part, len(list(same))) for part, same in groupby(_parts(stage))]
        return "; ".join(part if num == 1 else f"{num} x ({part})" for part, num in groups)
    if isinstance(stage, FrameLinear):
        norm = "" if stage.norm is None else ", batch norm, ReLU"
        linear = stage.linear
        return f"linear, {linear.in_features} to {linear.out_features} for each column{norm}"
    if isinstance(stage, BiGRU):
        units = quantity(stage.gru.hidden_size, "unit")
        merged = "summed" if stage.merge == "sum" else "concatenated"
        return f"bidirectional GRU, {units} each way, {merged}"
    if isinstance(stage, nn.Linear):
        return f"linear, {stage.in_features} to {stage.out_features} for each frame"
    return type(stage).__name__


def _parts(stage: ConvModule) -> list[str]:
    """Describe each convolution of a module, with what follows it, and the pool."""
    parts: list[str] = []
    for module in stage:
        if isinstance(module, nn.Conv2d):
            (rows, columns), (stride, _) = module.kernel_size, module.stride
            part = f"{rows}x{columns} conv"
            part += f", stride {stride}" if stride > 1 else ""
            part += f", {quantity(module.out_channels, 'channel')}"
            unpadded = rows > 1 and _sides(module, "padding") == (0, 0)
            parts.append(part + ", no padding" * unpadded)
        elif isinstance(module, nn.MaxPool2d):
            rows, columns = _sides(module, "kernel_size")
            parts.append(f"max-pool {rows}x{columns}")
        else:
            batch_norm = isinstance(module, nn.BatchNorm2d)
            parts[-1] += ", batch norm" if batch_norm else f", {type(module).__name__}"
    return parts
