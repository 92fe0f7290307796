"""The network: published shapes, both directions of the GRUs, the number of frames."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from exprocr.core.config.schema import PRESETS, ConvModuleConfig, ModelConfig
from exprocr.core.model.geometry import LAYERS, num_frames
from exprocr.core.model.network import BiGRU, Network, num_parameters
from exprocr.core.model.torch_engine import TorchEngine, to_input

NUM_CLASSES = 16
CPU = torch.device("cpu")


@lru_cache
def network_of(preset: str) -> Network:
    """Return an untrained network, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Network(PRESETS[preset].model, 60, NUM_CLASSES).eval()


def pictures(num: int, width: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return to_input(rng.integers(0, 256, size=(num, 60, width), dtype=np.uint8), CPU)


@torch.no_grad()
def stages(network: Network, images: Tensor) -> dict[str, Tensor]:
    """Return the output of each layer."""
    found: dict[str, Tensor] = {}
    handles = [
        getattr(network, name).register_forward_hook(
            lambda module, inputs, output, name=name: found.update({name: output})
        )
        for name in LAYERS
    ]
    found["log_probs"] = network(images)
    for handle in handles:
        handle.remove()
    return found


def test_reference_has_the_published_shapes() -> None:
    shapes = {
        k: tuple(v.shape) for k, v in stages(network_of("reference"), pictures(2, 160)).items()
    }
    assert shapes == {
        "conv1": (2, 32, 28, 78),
        "conv2": (2, 32, 12, 37),
        "conv3": (2, 32, 4, 17),  # 17 columns x 4 rows x 32
        "fc1": (17, 2, 128),
        "gru1": (17, 2, 128),
        "gru2": (17, 2, 256),
        "fc2": (17, 2, NUM_CLASSES),
        "log_probs": (17, 2, NUM_CLASSES),
    }


def test_reference_parameters_counted_by_hand() -> None:
    first, conv = 9 * 1 * 32 + 32, 9 * 32 * 32 + 32
    fc1 = 4 * 32 * 128 + 128
    gru = 2 * (3 * 128 * (128 + 128) + 2 * 3 * 128)  # two directions; three gates; two biases
    fc2 = 256 * NUM_CLASSES + NUM_CLASSES
    assert num_parameters(network_of("reference")) == first + 5 * conv + fc1 + 2 * gru + fc2
    assert first + 5 * conv + fc1 + 2 * gru + fc2 == 463_472


def test_reference_has_no_batch_norm_and_the_published_initial_weights() -> None:
    network = network_of("reference")
    assert not any("Norm" in type(module).__name__ for module in network.modules())
    assert any("Norm" in type(module).__name__ for module in network_of("default").modules())
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.bias is not None
            assert not module.bias.any()
            assert float(module.weight.detach().abs().max()) <= 0.2
    # A normal of sigma 0.1 cut at two sigma has a standard deviation of 0.0880.
    assert float(network.state_dict()["conv2.0.weight"].std()) == pytest.approx(0.0880, abs=0.003)


@pytest.mark.parametrize("preset", PRESETS)
def test_stages_by_name_and_in_order(preset: str) -> None:
    names = [name for name, _ in network_of(preset).named_children()]
    assert names == ["conv1", "conv2", "conv3", "fc1", "gru1", "gru2", "dropout", "fc2"]
    assert [name for name in names if name != "dropout"] == list(LAYERS)


@pytest.mark.parametrize(("preset", "dropped"), [("reference", 0.75), ("default", 0.1)])
def test_dropout_in_training_only(preset: str, dropped: float) -> None:
    network = network_of(preset)
    images = pictures(4, 160)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        assert torch.equal(network(images), network(images))
        network.train()
        try:
            assert not torch.equal(network(images), network(images))
            zeros = float((network.dropout(torch.ones(100_000)) == 0).float().mean())
            # The engine runs without dropout and restores the mode.
            inks = np.full((1, 60, 160), 100, dtype=np.uint8)
            engine = TorchEngine(network, CPU)
            assert np.array_equal(engine.log_probs(inks), engine.log_probs(inks))
            assert network.training
        finally:
            network.eval()
    assert zeros == pytest.approx(dropped, abs=0.01)


@pytest.mark.parametrize("preset", PRESETS)
def test_both_directions_see_the_whole_picture(preset: str) -> None:
    network = network_of(preset)
    images = pictures(1, 160)
    before = stages(network, images)
    for columns, near, far in ((slice(150, None), -1, 0), (slice(0, 10), 0, -1)):
        changed = images.clone()
        changed[..., columns] = 1 - changed[..., columns]
        after = stages(network, changed)
        # Before the GRUs, a frame depends on nearby columns; after them, on the whole picture.
        assert torch.equal(before["fc1"][far], after["fc1"][far])
        assert not torch.equal(before["fc1"][near], after["fc1"][near])
        for name in ("gru1", "gru2", "fc2", "log_probs"):
            assert not torch.equal(before[name][far], after[name][far]), name


def one_direction(both: nn.GRU, suffix: str) -> nn.GRU:
    """Return a forward GRU with the weights of one direction of ``both``."""
    single = nn.GRU(both.input_size, both.hidden_size)
    weights = both.state_dict()
    single.load_state_dict({name: weights[name + suffix] for name in single.state_dict()})
    return single


@pytest.mark.parametrize("merge", ["sum", "concat"])
def test_two_separate_grus_give_the_same(merge: str) -> None:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = BiGRU(5, 3, merge)
        frames = torch.randn(7, 2, 5)
        forward = one_direction(layer.gru, "")(frames)[0]
        backward = one_direction(layer.gru, "_reverse")(frames.flip(0))[0].flip(0)
        joined = forward + backward if merge == "sum" else torch.cat([forward, backward], dim=2)
        assert layer(frames) == pytest.approx(joined, abs=1e-6)


def test_only_gru1_of_the_reference_is_summed() -> None:
    merges = {p: (network_of(p).gru1.merge, network_of(p).gru2.merge) for p in PRESETS}
    assert merges.pop("reference") == ("sum", "concat")
    assert set(merges.values()) == {("concat", "concat")}


@torch.no_grad()
def real_frames(network: Network, width: int) -> int:
    """Return the number of columns after the convolutions; 0 if the picture is too small."""
    try:
        maps: Tensor = network.conv3(network.conv2(network.conv1(torch.zeros(1, 1, 60, width))))
    except RuntimeError:
        return 0
    return maps.shape[3]


@pytest.mark.parametrize("preset", PRESETS)
def test_num_frames_of_the_presets(preset: str) -> None:
    network = network_of(preset)
    widths = [*range(1, 60), *range(60, 400, 17), 1001]
    frames = [num_frames(network.config, width) for width in widths]
    assert frames == [real_frames(network, width) for width in widths]
    if preset == "reference":
        assert frames[25] == 0  # two 3 x 3 convolutions without padding, three times
        assert frames[widths.index(60 + 17 * 6)] == 17


@st.composite
def modules(draw: st.DrawFn) -> ConvModuleConfig:
    num = draw(st.integers(1, 2))
    return ConvModuleConfig(
        kernel_sizes=tuple(draw(st.sampled_from((1, 3, 5))) for _ in range(num)),
        channels=(1,) * num,
        strides=tuple(draw(st.integers(1, 3)) for _ in range(num)),
        pool=(1, draw(st.integers(1, 3))),
    )


@settings(max_examples=60, deadline=None)
@given(modules(), modules(), modules(), st.booleans(), st.integers(1, 90))
def test_num_frames_of_random_configurations(
    conv1: ConvModuleConfig,
    conv2: ConvModuleConfig,
    conv3: ConvModuleConfig,
    padding: bool,
    width: int,
) -> None:
    config = ModelConfig(
        conv1=conv1, conv2=conv2, conv3=conv3, padding=padding, fc1_units=1, gru_units=1
    )
    try:
        network = Network(config, 60, 2).eval()
    except ValueError:  # too low for these convolutions
        return
    assert num_frames(config, width) == real_frames(network, width)


def test_pictures_too_low_for_the_network_are_refused() -> None:
    with pytest.raises(ValueError, match="pictures 20 px high are too low"):
        Network(PRESETS["reference"].model, 20, NUM_CLASSES)


@pytest.mark.parametrize("preset", PRESETS)
def test_frames_sum_to_one(preset: str) -> None:
    with torch.no_grad():
        sums = network_of(preset)(pictures(3, 160)).exp().sum(dim=2)
    assert sums.numpy() == pytest.approx(1.0, abs=1e-5)


def test_the_output_does_not_depend_on_the_batch() -> None:
    network = network_of("default")
    images = pictures(3, 180)
    with torch.no_grad():
        together, alone = network(images)[:, 1], network(images[1:2])[:, 0]
    assert together.numpy() == pytest.approx(alone.numpy(), abs=1e-5)
