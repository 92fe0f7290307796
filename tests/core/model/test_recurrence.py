"""The GRU for training on a CPU: outputs and gradients equal those of `torch.nn.GRU`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from exprocr.core.model.network import BiGRU, FrameLinear
from exprocr.core.model.recurrence import bidirectional_gru

SHAPES = [(7, 2, 5, 3), (1, 4, 2, 6), (12, 1, 1, 1), (2, 3, 8, 4)]
"""Frames, batch, inputs, units."""


def layer(inputs: int, units: int, dtype: torch.dtype = torch.float64) -> nn.GRU:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(inputs + units)
        gru = nn.GRU(inputs, units, bidirectional=True, dtype=dtype)
        for parameter in gru.parameters():
            nn.init.normal_(parameter, std=0.7)  # saturates some gates
    return gru


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def gradients(output: Tensor, frames: Tensor, module: nn.Module) -> list[Tensor]:
    weighted = (output.to(frames.dtype) * random(*output.shape, dtype=frames.dtype)).sum()
    return list(torch.autograd.grad(weighted, [frames, *module.parameters()]))


@pytest.mark.parametrize(("t", "n", "inputs", "units"), SHAPES)
def test_outputs_and_gradients_equal_those_of_torch(
    t: int, n: int, inputs: int, units: int
) -> None:
    gru, frames = layer(inputs, units), random(t, n, inputs).requires_grad_()
    theirs, ours = gru(frames)[0], bidirectional_gru(frames, gru)
    assert ours.shape == (t, n, 2 * units)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    names = ["frames", *dict(gru.named_parameters())]
    found = zip(names, gradients(ours, frames, gru), gradients(theirs, frames, gru), strict=True)
    for name, our, their in found:
        assert their.abs().max() > 1e-3 or (t == 1 and "weight_hh" in name), name
        torch.testing.assert_close(our, their, rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padded_sequences_equal_those_of_torch(dtype: torch.dtype) -> None:
    gru, frames = layer(5, 3, dtype), random(9, 4, 5, dtype=dtype).requires_grad_()
    lengths = torch.tensor([4, 9, 1, 4])
    packed = pack_padded_sequence(frames, lengths, enforce_sorted=False)
    theirs = pad_packed_sequence(gru(packed)[0])[0]
    ours = bidirectional_gru(frames, gru, lengths)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)
    # The padding of the result has gradients here too, which reach nothing.
    found = zip(gradients(ours, frames, gru), gradients(theirs, frames, gru), strict=True)
    for our, their in found:
        torch.testing.assert_close(our, their, rtol=0, atol=tolerance)


def test_gradients_equal_finite_differences() -> None:
    gru, frames = layer(3, 2), random(4, 2, 3).requires_grad_()
    inputs = (frames, *gru.parameters())
    assert torch.autograd.gradcheck(lambda frames, *_: bidirectional_gru(frames, gru), inputs)


def test_the_backward_pass_can_run_twice() -> None:
    gru, frames = layer(3, 2), random(4, 2, 3).requires_grad_()
    output = bidirectional_gru(frames, gru).square().sum()
    (first,) = torch.autograd.grad(output, frames, retain_graph=True)
    (second,) = torch.autograd.grad(output, frames)
    assert torch.equal(first, second)


def test_bfloat16_is_as_exact_as_in_torch() -> None:
    gru, frames = layer(32, 24, torch.float32), random(30, 8, 32, dtype=torch.float32)
    frames.requires_grad_()
    exact = layer(32, 24)
    exact.load_state_dict(gru.state_dict())
    exact_frames = frames.detach().double().requires_grad_()
    truth_output = exact(exact_frames)[0]
    truth = [truth_output.detach(), *gradients(truth_output, exact_frames, exact)]

    def errors(own: bool) -> list[float]:
        with torch.autocast("cpu", torch.bfloat16):
            output = bidirectional_gru(frames, gru) if own else gru(frames)[0]
        assert not own or output.dtype == torch.bfloat16
        found = [output.detach(), *gradients(output, frames, gru)]
        return [float((a - b).norm() / b.norm()) for a, b in zip(found, truth, strict=True)]

    for ours, theirs in zip(errors(own=True), errors(own=False), strict=True):
        assert 1e-4 < ours < 1.5 * theirs < 0.2  # only rounding errors


@pytest.mark.parametrize("merge", ["sum", "concat"])
def test_training_and_evaluation_agree(merge: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = BiGRU(5, 3, merge)
    frames = random(9, 4, 5, dtype=torch.float32)
    training = module.train()(frames)
    assert "BidirectionalGRU" in tree(training)
    evaluation = module.eval()(frames)
    assert "BidirectionalGRU" not in tree(evaluation)
    torch.testing.assert_close(training, evaluation, rtol=0, atol=1e-6)


def tree(tensor: Tensor) -> str:
    """Return the names of the functions that computed a tensor."""
    seen: set[Any] = set()
    nodes = [tensor.grad_fn]
    while nodes:
        if (node := nodes.pop()) is not None and node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions]
    return " ".join(node.name() for node in seen)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_fc1_is_a_linear_layer_on_each_column(batch_norm: bool) -> None:
    n, c, h, t, units = 3, 4, 5, 7, 6
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = FrameLinear(c * h, units, batch_norm).double().train()
    maps = random(n, c, h, t).requires_grad_()

    def by_hand() -> Tensor:
        frames = []
        for frame in range(t):
            column = torch.stack([maps[i, :, :, frame].flatten() for i in range(n)])  # C, then H
            frames.append(linear(column, module.linear.weight, module.linear.bias))
        together = torch.cat(frames)
        if module.norm is not None:
            together = torch.relu(module.norm(together))
        return together.reshape(t, n, units)

    for layout in (torch.contiguous_format, torch.channels_last):
        ours, theirs = module(maps.contiguous(memory_format=layout)), by_hand()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
        found = (gradients(output, maps, module) for output in (ours, theirs))
        for our, their in zip(*found, strict=True):
            torch.testing.assert_close(our, their, rtol=0, atol=1e-9)
