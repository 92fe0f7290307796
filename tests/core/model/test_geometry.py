"""Positions of cells, against receptive fields measured with gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from exprocr.core.config.schema import PRESETS, ConvModuleConfig, ModelConfig
from exprocr.core.model.geometry import COLUMNS, CONV_LAYERS, ROWS, CellAxis, cell_axis
from exprocr.core.model.network import Network


def averaging(config: ModelConfig, height: int, layers: tuple[str, ...]) -> nn.Sequential:
    """Return the network's convolutions with positive weights, and average instead of max pooling.

    Then exactly the pixels in a cell's receptive field have a gradient.
    """
    single = {
        name: dataclasses.replace(module, channels=(1,) * len(module.channels))
        for name in CONV_LAYERS
        for module in [getattr(config, name)]
    }
    network = Network(dataclasses.replace(config, batch_norm=False, **single), height, 2)
    stages = nn.Sequential()
    for name in layers:
        layer: list[nn.Module] = []
        for module in getattr(network, name):
            if isinstance(module, nn.MaxPool2d):
                window = module.kernel_size
                module = nn.AvgPool2d(window, ceil_mode=module.ceil_mode)
            elif isinstance(module, nn.Conv2d):
                nn.init.ones_(module.weight)
            layer.append(module)
        stages.add_module(name, nn.Sequential(*layer))
    return stages.double()


def seen(stages: nn.Sequential, size: tuple[int, int], axis: int, cell: int) -> tuple[int, int]:
    """Return the first and the last row or column in a cell's receptive field."""
    picture = torch.ones(1, 1, *size, dtype=torch.double, requires_grad=True)
    maps = stages(picture)
    line = maps[0, 0, cell] if axis == ROWS else maps[0, 0, :, cell]
    line.sum().backward()
    assert picture.grad is not None
    where = torch.nonzero(picture.grad[0, 0].sum(dim=1 - axis)).flatten()
    return int(where[0]), int(where[-1])


def check_axis(config: ModelConfig, size: tuple[int, int], layer: str, axis: int) -> int:
    """Check the cells in the middle; return the number of checked cells."""
    stages = averaging(config, size[0], CONV_LAYERS[: CONV_LAYERS.index(layer) + 1])
    with torch.no_grad():
        num_cells = stages(torch.ones(1, 1, *size, dtype=torch.double)).shape[2 + axis]
    where = cell_axis(config, layer, axis)
    checked = 0
    for cell in range(num_cells // 2 - 1, num_cells // 2 + 1):
        first, last = seen(stages, size, axis, cell)
        if first > 0 and last < size[axis] - 1:
            assert where.center(cell) == pytest.approx((first + last + 1) / 2)
            checked += 1
    return checked


@pytest.mark.parametrize("layer", CONV_LAYERS)
@pytest.mark.parametrize("preset", PRESETS)
def test_cells_are_at_the_centers_of_their_receptive_fields(preset: str, layer: str) -> None:
    for axis in (ROWS, COLUMNS):
        assert check_axis(PRESETS[preset].model, (160, 180), layer, axis) == 2


@st.composite
def modules(draw: st.DrawFn) -> ConvModuleConfig:
    num = draw(st.integers(1, 2))
    return ConvModuleConfig(
        kernel_sizes=tuple(draw(st.sampled_from((1, 3, 5))) for _ in range(num)),
        channels=(1,) * num,
        strides=(draw(st.integers(1, 2)), *(1,) * (num - 1)),
        pool=(1, draw(st.integers(1, 2))),
    )


@settings(max_examples=40, deadline=None)
@given(modules(), modules(), modules(), st.booleans(), st.integers(900, 930))
def test_columns_of_random_configurations(
    conv1: ConvModuleConfig,
    conv2: ConvModuleConfig,
    conv3: ConvModuleConfig,
    padding: bool,
    width: int,
) -> None:
    config = ModelConfig(conv1=conv1, conv2=conv2, conv3=conv3, padding=padding, batch_norm=False)
    assert check_axis(config, (90, width), "conv3", COLUMNS) == 2


def test_axes_of_the_presets_by_hand() -> None:
    # A 5 x 5 stem of stride 2, padded; a pool of two of its columns.
    assert cell_axis(PRESETS["default"].model) == CellAxis(0.5 + 1.0, 4.0)
    # Three times two 3 x 3 without padding, and a pool of two: half a window from the edge each.
    assert cell_axis(PRESETS["reference"].model) == CellAxis(0.5 + 2.5 + 5.0 + 10.0, 8.0)
    assert CellAxis(1.5, 4.0).center(3) == 13.5
