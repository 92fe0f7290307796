"""Measured stages against modules run by hand, PyTorch's counter, unrolled GRUs, a set clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from exprocr.core.config.schema import PRESETS
from exprocr.core.model.geometry import CONV_LAYERS, LAYERS
from exprocr.core.model.network import Network, num_parameters
from exprocr.viz.architecture import profile as profiling
from exprocr.viz.architecture.profile import measure
from tests.support.networks import CASES, CPU, ODD, outputs


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "MAX_RUNS", 3)
    monkeypatch.setattr(profiling, "MAX_SECONDS", 600.0)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Network, NDArray[np.uint8]]:
    config, size = CASES[request.param]
    torch.manual_seed(0)
    picture = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    return Network(config, size[0], 16), picture


def as_input(picture: NDArray[np.uint8]) -> Tensor:
    return torch.tensor(picture[None, None].astype(np.float32) / 255)


def test_outputs_are_those_of_the_modules_run_by_hand(
    case: tuple[Network, NDArray[np.uint8]],
) -> None:
    network, picture = case
    measured = measure(network, picture, CPU)
    assert measured.input_shape == (1, *picture.shape)
    assert tuple(stage.name for stage in measured.stages) == LAYERS
    expected = {name: output for name, _, output in outputs(network, as_input(picture))}
    for stage in measured.stages:
        output = expected[stage.name].numpy()
        if stage.name in CONV_LAYERS:
            assert stage.shape == output.shape[1:]
            order = np.argsort(-output[0].std(axis=(1, 2)), kind="stable")[:16]
            output = output[0][order]
        else:
            assert stage.shape == (output.shape[0], output.shape[2])
            output = output[:, 0].T
        np.testing.assert_allclose(stage.values, output, rtol=1e-3, atol=1e-4)


def test_shapes_and_parameters_of_the_default_by_hand() -> None:
    network = Network(PRESETS["default"].model, 60, 16)
    stages = measure(network, np.zeros((60, 180), np.uint8), CPU).stages
    assert [stage.shape for stage in stages] == [
        (16, 30, 90), (32, 15, 45), (64, 5, 45), (45, 160), (45, 192), (45, 192), (45, 16),
    ]  # fmt: skip
    gru = [2 * 3 * 96 * (inputs + 96 + 2) for inputs in (160, 192)]  # two biases a gate
    assert [stage.num_parameters for stage in stages] == [
        16 * 25 + 2 * 16,
        32 * 9 * 16 + 2 * 32,
        48 * 9 * 32 + 64 * 9 * 48 + 2 * 48 + 2 * 64,
        5 * 64 * 160 + 2 * 160,
        *gru,
        192 * 16 + 16,
    ]


def test_parameters_are_all_there_are(case: tuple[Network, NDArray[np.uint8]]) -> None:
    assert measure(*case, CPU).num_parameters == num_parameters(case[0])


class Multiplier:
    """Multiplies matrices with vectors, and counts."""

    count = 0

    def __call__(self, matrix: NDArray[Any], vector: NDArray[Any]) -> NDArray[Any]:
        self.count += matrix.shape[0] * len(vector)
        return np.asarray(matrix @ vector)


def unrolled(gru: nn.GRU, frames: NDArray[Any], multiply: Multiplier) -> NDArray[Any]:
    """Run a GRU frame by frame, gate by gate. (T, inputs) to (T, 2 * units)."""
    weights = {k: v.detach().numpy().astype(np.float64) for k, v in gru.named_parameters()}

    def sigmoid(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(1 / (1 + np.exp(-values)))

    both = []
    for end, order in (("", frames), ("_reverse", frames[::-1])):
        names = [f"{kind}_{part}_l0{end}" for kind in ("weight", "bias") for part in ("ih", "hh")]
        reset, update, new = zip(*(np.split(weights[name], 3) for name in names), strict=True)
        state, states = np.zeros(gru.hidden_size), []
        for frame in order:
            gates = []
            for of_input, of_state, bias, state_bias in (reset, update):
                of_both = multiply(of_input, frame) + multiply(of_state, state)
                gates.append(sigmoid(of_both + bias + state_bias))
            r, z = gates
            memory = r * (multiply(new[1], state) + new[3])
            state = z * state + (1 - z) * np.tanh(multiply(new[0], frame) + new[2] + memory)
            states.append(state)
        both.append(states if not end else states[::-1])
    return np.concatenate(both, axis=1)


def test_multiply_adds_are_those_of_other_counts(case: tuple[Network, NDArray[np.uint8]]) -> None:
    network, picture = case
    counted = {stage.name: stage.multiply_adds for stage in measure(*case, CPU).stages}
    stages = outputs(network, as_input(picture))
    for name in LAYERS:
        with FlopCounterMode(display=False) as flops:
            _, inputs, output = next(stages)
        if name.startswith("gru"):
            multiply, module = Multiplier(), getattr(network, name)
            frames = unrolled(module.gru, inputs[:, 0].numpy(), multiply)
            if module.merge == "sum":
                frames = np.add(*np.split(frames, 2, axis=1))
            np.testing.assert_allclose(output[:, 0].numpy(), frames, atol=1e-4)
            assert counted[name] == multiply.count > 0
        else:
            assert counted[name] == flops.get_total_flops() / 2 > 0


def test_nothing_is_left_behind(case: tuple[Network, NDArray[np.uint8]]) -> None:
    network, picture = case
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measure(network, picture, CPU)
    with pytest.raises(RuntimeError):
        measure(network, picture[:20], CPU)  # other height than fc1 expects
    assert network.training
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class Clock:
    """A clock that stages of a network set forward."""

    def __init__(self, network: Network, **steps: list[float]) -> None:
        self.now = 0.0
        for name, times in steps.items():
            stage = getattr(network, name)
            stage.forward = self.slowed(stage.forward, iter(times))

    def slowed(self, forward: Callable[..., Tensor], times: Iterator[float]) -> Any:
        def run(*values: Any) -> Tensor:
            self.now += next(times)
            return forward(*values)

        return run

    def __call__(self) -> float:
        return self.now


def test_times_are_the_fastest_of_those_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(ODD, 53, 16)
    clock = Clock(network, conv1=[9.0, 1, 1, 1], gru1=[0.0, 4, 3, 5], fc2=[0.0, 0.5, 2, 2])
    monkeypatch.setattr(profiling, "perf_counter", clock)
    monkeypatch.setattr(profiling, "MAX_SECONDS", 17.0)
    monkeypatch.setattr(profiling, "MAX_RUNS", 100)
    measured = measure(network, np.zeros((53, 97), np.uint8), CPU)
    # The first run is long enough to warm up, the next three take 5.5, 6 and 8 seconds.
    assert measured.num_runs == 3
    assert [stage.seconds for stage in measured.stages] == [1, 0, 0, 0, 3, 0, 0.5]
    shares = measured.shares(lambda stage: stage.seconds)
    assert shares == pytest.approx([1 / 4.5, 0, 0, 0, 3 / 4.5, 0, 0.5 / 4.5])


def test_shares_of_real_times(case: tuple[Network, NDArray[np.uint8]]) -> None:
    measured = measure(*case, CPU)
    shares = measured.shares(lambda stage: stage.seconds)
    assert len(shares) == 7
    assert min(shares) >= 0
    assert sum(shares) == pytest.approx(1)
    assert measured.num_runs == 3


def test_large_outputs_are_kept_at_a_stride(monkeypatch: pytest.MonkeyPatch) -> None:
    network, picture = Network(ODD, 53, 16), np.zeros((53, 97), np.uint8)
    picture[10:30, 10:60] = 200
    whole = measure(network, picture, CPU).stages
    monkeypatch.setattr(profiling, "MAX_CELLS", 5)
    for stage, small in zip(whole, measure(network, picture, CPU).stages, strict=True):
        rows, columns = (-(-n // 5) for n in stage.values.shape[-2:])
        np.testing.assert_array_equal(small.values, stage.values[..., ::rows, ::columns])
        assert max(small.values.shape[-2:]) <= 5
        assert small.shape == stage.shape


def test_a_network_that_diverged(case: tuple[Network, NDArray[np.uint8]]) -> None:
    network, picture = case
    with torch.no_grad():
        next(network.conv2.parameters())[0] = torch.nan
    stages = measure(network, picture, CPU).stages
    assert np.isnan(stages[-1].values).all()
    assert not np.isnan(stages[0].values).any()
