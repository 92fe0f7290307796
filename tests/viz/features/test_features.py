"""What layers put out, its figures, and where it lies, against modules run by hand and loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from exprocr.core.config.schema import PRESETS, ConvModuleConfig, ModelConfig, PreprocessConfig
from exprocr.core.image.preprocess import preprocess
from exprocr.core.model.capture import capture, capturing
from exprocr.core.model.geometry import LAYERS
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import TorchEngine
from exprocr.errors import ConfigError
from exprocr.viz.canvas.geometry import geometry_of
from exprocr.viz.features.channels import choose, feature_stats
from tests.support.feature_maps import white

CPU = torch.device("cpu")
CONFIG = ModelConfig(
    conv1=ConvModuleConfig(kernel_sizes=(5,), channels=(4,), strides=(2,), pool=(1, 1)),
    conv2=ConvModuleConfig(kernel_sizes=(3,), channels=(6,), strides=(1,)),
    conv3=ConvModuleConfig(kernel_sizes=(3,), channels=(8,), strides=(1,), pool=(2, 1)),
    fc1_units=7,
    gru_units=5,
)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(CONFIG, 60, 16)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (60, 180), dtype=np.uint8)


def test_capture_equals_the_modules_run_by_hand(
    network: Network, picture: NDArray[np.uint8]
) -> None:
    maps = capture(network, picture, LAYERS, CPU)
    assert list(maps) == list(LAYERS)
    network.eval()
    with torch.no_grad():
        values = torch.tensor(picture[None, None].astype(np.float32) / 255)
        for layer in LAYERS:
            values = getattr(network, layer)(values)
            expected = values[0] if layer.startswith("conv") else values[:, 0].T
            np.testing.assert_allclose(maps[layer], expected.numpy(), rtol=1e-4, atol=1e-5)
    assert [maps[layer].shape for layer in LAYERS] == [
        (4, 30, 90), (6, 15, 45), (8, 8, 45), (7, 45), (10, 45), (10, 45), (16, 45),
    ]  # fmt: skip


def test_capture_leaves_no_hooks_and_the_mode(network: Network, picture: NDArray[np.uint8]) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    capture(network, picture, ["conv2", "conv2"], CPU)
    with pytest.raises(RuntimeError):
        capture(network, picture[:40], ["conv1", "fc1"], CPU)  # other height than fc1 expects
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_unknown_layer_names_those_there_are(network: Network, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ConfigError, match=r"conv4.*'conv3'.*conv1, conv2, conv3, fc1, gru1"):
        capture(network, picture, ["conv1", "conv4"], CPU)
    with pytest.raises(ConfigError, match="conv4"):
        geometry_of("conv4", (180, 60), CONFIG, PreprocessConfig())


def test_dead_channels_are_found(network: Network, picture: NDArray[np.uint8]) -> None:
    convolution = network.conv3[0]
    assert isinstance(convolution, torch.nn.Conv2d)
    with torch.no_grad():
        convolution.weight[[2, 5]] = 0
    stats = feature_stats("conv3", capture(network, picture, ["conv3"], CPU)["conv3"])
    assert stats.num_channels == 8
    assert stats.dead == [2, 5]


def test_stats() -> None:
    maps = np.array([[[1, 2], [3, 6]], [[4, 4], [4, 4 + 5e-7]]], dtype=np.float32)
    stats = feature_stats("conv1", maps)
    assert stats.shape == (2, 2, 2)
    assert stats.minimum.tolist() == [1, 4]
    assert stats.maximum[0] == 6
    assert stats.mean[0] == 3
    assert stats.dead == [1]


def one_channel(module: ConvModuleConfig) -> ConvModuleConfig:
    return replace(module, channels=(1,) * len(module.channels))


@pytest.mark.parametrize("preset", ["default", "reference"])
@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3"])
def test_a_cell_is_centered_on_the_pixels_it_depends_on(preset: str, layer: str) -> None:
    full, height, width = PRESETS[preset].model, 120, 200
    stages = [stage for stage in LAYERS[:3] if stage <= layer]
    config = replace(
        full,
        conv1=one_channel(full.conv1),
        conv2=one_channel(full.conv2),
        conv3=one_channel(full.conv3),
    )
    network = Network(config, height, 3).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.ones_(module.weight)
    geometry = geometry_of(layer, (width, height), config, PreprocessConfig(height=height))
    for axis, where in ((0, geometry.rows), (1, geometry.columns)):
        # Picture i is black but for its row (or column) i; the last one is all black.
        lines = torch.eye((height, width)[axis] + 1)[:, :-1, None]
        pictures = (lines if axis == 0 else lines.mT).expand(-1, height, width)
        with torch.no_grad():
            values = pictures[:, None]
            for stage in stages:
                values = getattr(network, stage)(values)
        row, column = values.shape[2] // 2, values.shape[3] // 2
        cell = values[:, 0, row, column]
        seen = torch.nonzero(cell[:-1] > cell[-1] + 1e-6).flatten()
        center = (int(seen[0]) + int(seen[-1]) + 1) / 2
        assert center == where.center((row, column)[axis])


def test_geometry_knows_the_widened_part() -> None:
    geometry = geometry_of("conv3", (170, 60), CONFIG, PreprocessConfig(width_multiple=100))
    assert (geometry.width, geometry.height, geometry.picture_width) == (200, 60, 170)
    ink = preprocess(white(170), PreprocessConfig(width_multiple=100))
    assert ink.shape == (60, 200)


def test_capturing_keeps_what_a_reading_rests_on(
    network: Network, picture: NDArray[np.uint8]
) -> None:
    with capturing(network, ["gru1", "conv2"]) as maps:
        assert maps == {}
        log_probs = TorchEngine(network, CPU).log_probs(picture[None])
    expected = capture(network, picture, ["conv2", "gru1"], CPU)
    assert maps.keys() == expected.keys()
    assert all(np.array_equal(maps[layer], expected[layer]) for layer in maps)
    assert all(values.flags.c_contiguous for values in maps.values())
    before = {layer: values.copy() for layer, values in maps.items()}
    TorchEngine(network, CPU).log_probs(255 - picture[None])  # no longer looked at
    assert all(np.array_equal(maps[layer], before[layer]) for layer in maps)
    assert log_probs.shape == (45, 1, 16)


@pytest.mark.parametrize("shape", [(7, 4, 6), (7, 40), (3, 1000, 1500)])
def test_figures_are_those_of_each_channel_by_itself(shape: tuple[int, ...]) -> None:
    maps = np.random.default_rng(0).normal(size=shape).astype(np.float32)  # the last: in parts
    maps[maps < -1] = 0
    stats = feature_stats("conv1", maps)
    for channel, of_channel in enumerate(maps):
        values = of_channel.astype(np.float64)
        assert stats.minimum[channel] == values.min()
        assert stats.maximum[channel] == values.max()
        assert stats.mean[channel] == pytest.approx(values.mean(), rel=1e-5)
        assert stats.strength[channel] == pytest.approx(np.abs(values).mean(), rel=1e-5)
        assert stats.zeros[channel] == pytest.approx((values == 0).mean())
        assert stats.finite[channel] == 1


def test_figures_are_of_the_finite_values() -> None:
    maps = np.ones((3, 2, 2), dtype=np.float32)
    maps[0] = [[1, np.nan], [-3, np.inf]]
    maps[2] = np.nan
    stats = feature_stats("conv1", maps)
    assert (stats.minimum[0], stats.maximum[0], stats.mean[0]) == (-3, 1, -1)
    assert stats.strength[0] == 2
    assert stats.finite.tolist() == [0.5, 1, 0]
    assert np.isnan(stats.minimum[2])
    assert stats.dead == [1, 2]
    assert stats.strongest(3) == [0, 1, 2]  # what is no number comes last


def test_the_strongest_come_first_and_the_lower_number_of_equals() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(4, 5, 4)).astype(np.float32)[rng.integers(0, 4, 200)]
    maps[::3] *= -1  # as strong: the sign does not matter
    left = set(range(200))
    order = []
    while left:
        best = max(sorted(left), key=lambda channel: float(np.abs(maps[channel]).sum()))
        order.append(best)
        left.remove(best)
    stats = feature_stats("conv1", maps)
    assert stats.strongest(200) == stats.strongest(500) == order
    assert stats.strongest(7) == order[:7]


def test_a_shared_scale_serves_what_is_drawn_and_alive() -> None:
    maps = np.zeros((4, 2, 2), dtype=np.float32)
    maps[:, 0, 0] = [3, 5, 100, 7]
    maps[2] = 100  # dead
    stats = feature_stats("conv1", maps)
    shown = choose(stats, scale="shared", channels=[2, 1, 0])
    assert (shown.channels, shown.low, shown.high) == ([2, 1, 0], 0, 5)
    assert shown.has_scale
    assert choose(stats, scale="shared").high == 7
    assert not choose(stats, scale="shared", channels=[2]).has_scale
    assert not choose(stats).is_shared
    assert choose(feature_stats("gru1", maps[:, 0])).is_shared
    assert not choose(feature_stats("gru1", maps[:, 0]), scale="own").is_shared
