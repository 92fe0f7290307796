"""What stages see, against pulses sent through the network; and what they are said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from exprocr.core.config.schema import PRESETS, ConvModuleConfig, ModelConfig
from exprocr.core.model.geometry import CONV_LAYERS
from exprocr.core.model.network import Network
from exprocr.viz.architecture import profile as profiling
from exprocr.viz.architecture.profile import measure
from tests.support.networks import CASES, CPU, ODD, outputs


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "MAX_RUNS", 1)


def positive(network: Network) -> Network:
    """Give a network weights through which every pixel that a cell can see comes through."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear) and module is not network.fc2:
            nn.init.constant_(module.weight, 1e-3)
    return network.double()


@pytest.mark.parametrize(
    ("name", "size", "padding"),
    [
        ("default", (60, 80), True),
        ("reference", (60, 100), False),
        ("odd", (53, 97), True),
        ("default", (59, 83), False),
        ("default", (24, 20), True),
        # The edges cut what every cell sees.
        ("odd", (29, 36), True),
        ("odd", (35, 24), True),
        # The last rows and columns are passed over.
        ("strides", (60, 61), True),
        ("strides", (61, 59), False),
    ],
)
def test_outputs_see_what_changes_them(name: str, size: tuple[int, int], padding: bool) -> None:
    config = CASES[name][0] if name in CASES else ODD
    if name == "strides":
        module = ConvModuleConfig(kernel_sizes=(3,), channels=(1,), strides=(4,), pool=(1, 1))
        config = replace(ODD, conv1=module, conv2=replace(module, pool=(2, 3), strides=(1,)))
        config = replace(config, conv3=replace(module, kernel_sizes=(1,), strides=(2,)))
    config = replace(config, padding=padding, fc1_units=4, gru_units=4)
    for conv in CONV_LAYERS:
        channels = (1,) * len(getattr(config, conv).channels)
        config = replace(config, **{conv: replace(getattr(config, conv), channels=channels)})
    torch.manual_seed(0)
    network = Network(config, size[0], 3)
    picture = np.zeros(size, dtype=np.uint8)
    sees = {stage.name: stage.sees for stage in measure(network, picture, CPU).stages}
    positive(network)
    for axis in (0, 1):
        # Picture i is black but for its row (or column) i; the last one is all black.
        lines = torch.eye(size[axis] + 1, dtype=torch.double)[:, :-1, None]
        pictures = (lines if axis == 0 else lines.mT).expand(-1, *size)[:, None]
        for stage, _, output in outputs(network, pictures):
            if stage not in CONV_LAYERS:  # (T, N, units) to (N, units, T)
                output = output.permute(1, 2, 0)
            # Rounding differs with the place in a batch; what a GRU hands on fades, but not so far.
            changed = (output[:-1] - output[-1]).abs() > 1e-13
            by_cell = changed.flatten(1).numpy().T  # (cells, lines)
            extents = [np.ptp(np.flatnonzero(seen)) + 1 for seen in by_cell if seen.any()]
            assert sees[stage][axis] == max(extents), stage


def made_of(config: ModelConfig) -> dict[str, str]:
    measured = measure(Network(config, 60, 16), np.zeros((60, 180), np.uint8), CPU)
    return {stage.name: stage.made_of for stage in measured.stages}


def test_what_the_presets_are_made_of() -> None:
    default, reference = (made_of(PRESETS[name].model) for name in ("default", "reference"))
    assert default["conv1"] == "5x5 conv, stride 2, 16 channels, batch norm, ReLU"
    assert default["conv2"] == "3x3 conv, 32 channels, batch norm, ReLU; max-pool 2x2"
    assert default["conv3"] == (
        "3x3 conv, 48 channels, batch norm, ReLU; 3x3 conv, 64 channels, batch norm, ReLU; "
        "max-pool 3x1"
    )  # rows x columns
    assert default["fc1"] == "linear, 320 to 160 for each column, batch norm, ReLU"
    assert default["gru1"] == "bidirectional GRU, 96 units each way, concatenated"
    assert default["fc2"] == "10% dropout in training; linear, 192 to 16 for each frame"
    assert reference["conv1"] == "2 x (3x3 conv, 32 channels, no padding, ReLU); max-pool 2x2"
    assert reference["fc1"] == "linear, 128 to 128 for each column"
    assert reference["gru1"] == "bidirectional GRU, 128 units each way, summed"
    assert reference["gru2"] == "bidirectional GRU, 128 units each way, concatenated"


def test_what_odd_networks_are_made_of() -> None:
    parts = made_of(replace(ODD, gru_units=1))
    assert parts["conv1"] == "5x5 conv, stride 3, 4 channels, ReLU; 3x3 conv, 3 channels, ReLU"
    assert parts["conv2"] == "1x1 conv, stride 2, 5 channels, ReLU; max-pool 3x2"
    assert parts["conv3"] == "16 x (3x3 conv, 2 channels, ReLU); max-pool 2x2"
    assert parts["gru1"] == "bidirectional GRU, 1 unit each way, summed"
    assert parts["fc2"] == "linear, 2 to 16 for each frame"
