"""Grad-CAM and integrated gradients against brute force and closed forms."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exprocr.core.config.schema import ConvModuleConfig, ModelConfig
from exprocr.core.model.geometry import CONV_LAYERS, LAYERS
from exprocr.core.model.network import Network
from exprocr.errors import ConfigError, ModelFileError
from exprocr.viz.architecture.anatomy import multiply_adds
from exprocr.viz.architecture.profile import observe
from exprocr.viz.saliency.attribution import (
    Spot,
    Target,
    Text,
    grad_cam,
    integrated_gradients,
    score,
)
from exprocr.viz.saliency.cost import Cost, cost_of
from tests.support.ctc_oracle import collapse, random_log_probs
from tests.support.networks import CASES

CPU = torch.device("cpu")
CONFIG = ModelConfig(
    conv1=ConvModuleConfig(kernel_sizes=(3,), channels=(3,), strides=(2,), pool=(1, 1)),
    conv2=ConvModuleConfig(kernel_sizes=(3, 3), channels=(3, 4), strides=(1, 1)),
    conv3=ConvModuleConfig(kernel_sizes=(3,), channels=(5,), strides=(1,), pool=(2, 1)),
    fc1_units=6,
    gru_units=4,
    dropout=0.5,
)
TARGETS: list[Target] = [Text((1,)), Text((2, 3)), Text(()), Spot(3, 1, 3), Spot(1, 4, 4)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Run so small a network on one thread: on a busy machine, several wait for each other."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(2)
    network = Network(CONFIG, 16, 4)
    with torch.no_grad():
        network.fc2.weight.mul_(5)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):  # as after training
                module.running_mean.normal_(std=0.2)  # type: ignore[union-attr]
                module.running_var.uniform_(0.2, 2)  # type: ignore[union-attr]
    return network


@pytest.fixture
def pictures() -> NDArray[np.uint8]:
    """Return pictures of 5 frames."""
    return np.random.default_rng(0).integers(0, 256, (len(TARGETS), 16, 20), dtype=np.uint8)


def brute_force(log_probs: NDArray[np.float64], target: Target) -> float:
    """Return a target's score, from (T, K)."""
    if isinstance(target, Spot):
        return float(sum(log_probs[t, target.label] for t in range(target.first, target.last + 1)))
    num_frames, num_classes = log_probs.shape
    total = sum(
        math.exp(sum(log_probs[t, label] for t, label in enumerate(path)))
        for path in itertools.product(range(num_classes), repeat=num_frames)
        if collapse(path)[0] == target.ids
    )
    return math.log(total)


def test_scores_are_sums_over_alignments() -> None:
    log_probs = random_log_probs(0, 5, len(TARGETS), 4)
    scores = score(torch.tensor(log_probs), TARGETS)
    expected = [brute_force(log_probs[:, n], target) for n, target in enumerate(TARGETS)]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-12)


def test_a_characters_score_knows_its_own_frames_alone() -> None:
    log_probs = torch.tensor(random_log_probs(1, 8, 1, 4), requires_grad=True)
    (gradient,) = torch.autograd.grad(score(log_probs, [Spot(2, 3, 5)]).sum(), log_probs)
    expected = torch.zeros(8, 1, 4)
    expected[3:6, 0, 2] = 1
    assert torch.equal(gradient, expected.double())
    # Of the whole text, all frames count: one that is lost takes the text with it.
    (gradient,) = torch.autograd.grad(score(log_probs, [Text((1, 2))]).sum(), log_probs)
    assert (gradient.abs().sum(dim=2) > 0).all()


@pytest.mark.parametrize("value", [float("nan"), -math.inf])
def test_a_score_that_is_no_number_is_an_error(value: float) -> None:
    log_probs = torch.tensor(random_log_probs(0, 4, 2, 3))
    with pytest.raises(ModelFileError, match="found a log-probability of -inf"):
        score(log_probs, [Text((1,)), Text((1, 1, 1))])  # three need five frames
    log_probs[:, 1] = value
    with pytest.raises(ModelFileError, match=f"found a log-probability of {value}"):
        score(log_probs, [Text((1,)), Spot(1, 0, 1)])


def layer_gradients(
    network: Network, picture: NDArray[np.uint8], target: Target, layer: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a layer's output (C, H', W'), and the score's differences quotient by it."""
    network = copy.deepcopy(network).double().eval()
    stages = [getattr(network, name) for name in LAYERS]
    following = LAYERS.index(layer) + 1
    with torch.no_grad():
        values = torch.tensor(picture[None, None] / 255.0)
        for stage in stages[:following]:
            values = stage(values)
        step = 1e-5
        cells = values.numel()
        moved = values.expand(2 * cells, *values.shape[1:]).clone()
        moved.view(2, cells, cells).diagonal(dim1=1, dim2=2).add_(torch.tensor([[step], [-step]]))
        for stage in stages[following:]:
            moved = stage(moved)
        log_probs = torch.log_softmax(moved, dim=2).numpy()
        scores = np.array([brute_force(log_probs[:, n], target) for n in range(2 * cells)])
    gradients = (scores[:cells] - scores[cells:]) / (2 * step)
    return values[0].numpy(), gradients.reshape(values.shape[1:])


@pytest.mark.parametrize("layer", CONV_LAYERS)
def test_grad_cam_is_that_of_finite_differences(
    network: Network, pictures: NDArray[np.uint8], layer: str
) -> None:
    targets: list[Target] = [Spot(label, label, label + 1) for label in range(4)]
    if layer == "conv3":  # to list all alignments of a text takes long
        targets.append(Text((2, 3)))
    found = grad_cam(network, pictures[: len(targets)], targets, layer, CPU)
    assert found.maps.any(axis=(1, 2)).sum() >= 2  # the others are below 0 everywhere
    for n, target in enumerate(targets):
        values, gradients = layer_gradients(network, pictures[n], target, layer)
        weights = gradients.mean(axis=(1, 2))  # eq. 1
        expected = np.einsum("c,chw->hw", weights, values)  # eq. 2
        limit = 1e-3 * np.abs(expected).max()
        np.testing.assert_allclose(found.maps[n], np.maximum(expected, 0), atol=limit)
        expected = np.einsum("cw,chw->hw", gradients.mean(axis=1), values)
        limit = 1e-3 * np.abs(expected).max()
        np.testing.assert_allclose(found.maps_by_column[n], np.maximum(expected, 0), atol=limit)


def test_a_batch_is_its_pictures_one_by_one(network: Network, pictures: NDArray[np.uint8]) -> None:
    cams = grad_cam(network, pictures, TARGETS, "conv2", CPU, batch_size=2)
    integrated = integrated_gradients(
        network, pictures, TARGETS, CPU, batch_size=2, max_gradients=12
    )
    assert cams.maps.shape == (5, 4, 5)
    assert integrated.maps.shape == pictures.shape
    for n, target in enumerate(TARGETS):
        cam = grad_cam(network, pictures[n : n + 1], [target], "conv2", CPU)
        one = integrated_gradients(network, pictures[n : n + 1], [target], CPU, max_gradients=12)
        for several, single in zip((*cams, *vars(integrated).values()),
                                   (*cam, *vars(one).values()), strict=True):  # fmt: skip
            np.testing.assert_allclose(several[n], single[0], rtol=1e-3, atol=1e-5)


class Model(nn.Module):
    """A score that is a known function of a weighted sum of the ink."""

    def __init__(self, weights: Tensor, name: str) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.name = name

    def forward(self, pictures: Tensor) -> Tensor:
        total = (pictures[:, 0] * self.weights).sum(dim=(1, 2))
        values = {
            "linear": total - 7,
            "square": total**2,
            "edge": torch.tanh(60 * (total - 0.3)),
        }[self.name]
        return values[None, :, None].expand(2, -1, 3) / 2  # (T, N, K)


@pytest.mark.parametrize("name", ["linear", "square", "edge"])
def test_integrated_gradients_of_a_function_of_a_weighted_sum(name: str) -> None:
    """Of f(w x) they are w x / sum(w x) of the change, whatever f is; of a linear one w x."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 4, 6), dtype=np.uint8)
    pictures[:, 1] = 0
    weights = rng.normal(size=(4, 6)) + 0.3
    model = Model(torch.tensor(weights, dtype=torch.float32), name)
    targets: list[Target] = [Spot(1, 0, 1)] * 3
    found = integrated_gradients(model, pictures, targets, CPU, tolerance=0.002)
    parts = weights * pictures / 255
    if name == "linear":
        np.testing.assert_allclose(found.maps, parts, rtol=1e-4, atol=1e-6)
        assert found.num_gradients.tolist() == [8] * 3
    change = (found.scores - found.baselines)[:, None, None]
    expected = parts / parts.sum(axis=(1, 2), keepdims=True) * change
    np.testing.assert_allclose(found.maps, expected, atol=0.01 * np.abs(expected).max())
    assert not found.maps[:, 1].any()  # what is background in both adds nothing


@pytest.mark.parametrize("tolerance", [0.1, 0.03])
def test_completeness(network: Network, pictures: NDArray[np.uint8], tolerance: float) -> None:
    """The maps add up to the change of the score, which two forward passes tell."""
    found = integrated_gradients(network, pictures, TARGETS, CPU, tolerance=tolerance)
    network.double().eval()
    ends = []
    for inks in (pictures, np.zeros_like(pictures)):
        with torch.no_grad():
            log_probs = network(torch.tensor(inks[:, None] / 255.0)).numpy()
        ends.append([brute_force(log_probs[:, n], target) for n, target in enumerate(TARGETS)])
    np.testing.assert_allclose(found.scores, ends[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.baselines, ends[1], rtol=1e-4, atol=1e-5)
    change = np.subtract(ends[0], ends[1])
    missing = np.abs(found.maps.sum(axis=(1, 2)) - change)
    assert (missing <= np.maximum(tolerance * np.abs(change), 0.005) + 1e-4).all()
    np.testing.assert_allclose(found.gaps, missing, atol=1e-4)
    assert np.abs(change).min() > 0.1


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(
    network: Network, pictures: NDArray[np.uint8], training: bool
) -> None:
    network.train(training)
    network.conv1.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    wanted = {name: p.requires_grad for name, p in network.named_parameters()}

    def check() -> None:
        assert all(module.training == training for module in network.modules())
        assert {name: p.requires_grad for name, p in network.named_parameters()} == wanted
        assert all(p.grad is None for p in network.parameters())
        assert not any(module._forward_hooks for module in network.modules())
        assert all(torch.equal(v, before[name]) for name, v in network.state_dict().items())
        assert torch.backends.cudnn.enabled

    one, again = (grad_cam(network, pictures, TARGETS, "conv1", CPU).maps for _ in range(2))
    np.testing.assert_array_equal(one, again)  # no dropout
    check()
    integrated_gradients(network, pictures, TARGETS, CPU)
    check()
    too_long: list[Any] = [Text((1,) * 9)] * len(TARGETS)
    for explain in (
        lambda: grad_cam(network, pictures, too_long, "conv1", CPU),
        lambda: integrated_gradients(network, pictures, too_long, CPU),
    ):
        with pytest.raises(ModelFileError):
            explain()
        check()


@pytest.mark.parametrize("layer", ["fc1", "gru2", "fc2", "conv4", ""])
def test_grad_cam_names_the_layers_it_takes(
    network: Network, pictures: NDArray[np.uint8], layer: str
) -> None:
    with pytest.raises(ConfigError, match="conv1, conv2, conv3"):
        grad_cam(network, pictures, TARGETS, layer, CPU)


@pytest.mark.parametrize("case", CASES)
def test_the_cost_is_that_of_the_modules(case: str) -> None:
    config, (height, width) = CASES[case]
    network = Network(config, height, 16).eval()
    cost = cost_of(network, height, width)
    with torch.no_grad():
        stages = {name: getattr(network, name) for name in LAYERS}
        calls, _ = observe(network, stages, torch.zeros(1, 1, height, width))
    assert cost.multiply_adds == sum(multiply_adds(call) for call in calls)
    assert cost.cells == sum(math.prod(c.shape) for c in calls if c.stage in CONV_LAYERS)


def test_wide_pictures_get_fewer_gradients_and_the_widest_none() -> None:
    wide = [Cost(round(1e8 * factor), round(1e6 * factor)) for factor in (1, 10, 30, 1000)]
    assert [cost.gradients > 0 for cost in wide] == [True, True, True, False]
    assert wide[0].gradients > wide[1].gradients > wide[2].gradients >= 10
    assert wide[0].batch > wide[1].batch > wide[2].batch >= wide[3].batch == 1
