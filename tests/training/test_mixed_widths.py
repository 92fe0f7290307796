"""Batches of several widths: padding changes neither the loss, nor gradients, nor statistics.

The reference runs every stage on each picture alone, and normalizes all columns of all pictures
together.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, ctc_loss, linear

from exprocr.core.config.schema import PRESETS, ModelConfig, SynthConfig
from exprocr.core.model.geometry import num_frames
from exprocr.core.model.network import Network
from exprocr.core.text.charset import Charset
from exprocr.core.text.expression import evaluate, format_value
from exprocr.synth.renderer import Renderer
from exprocr.training.loss import TargetEncoder, ctc_losses
from exprocr.training.precision import mixed_precision
from exprocr.training.run import RunSpec
from tests.support.networks import SHAPES, SMALL, conv
from tests.support.tiny_runs import (
    BUILT_IN,
    SYNTH,
    Recorder,
    check_same,
    go_on,
    metrics,
    start,
    tiny_settings,
)

CHARSET = Charset("01+-")
CPU = torch.device("cpu")
MORE: dict[str, tuple[dict[str, Any], int]] = {
    "strides and pools without padding": (
        {"conv1": conv(5, 3, stride=2), "conv2": conv(3, pool=(2, 3)), "padding": False},
        60,
    ),
    "no padding, no batch norm, sum": (
        {"padding": False, "batch_norm": False, "gru1_merge": "sum"},
        60,
    ),
}
CASES = {
    name: (dataclasses.replace(SMALL, **changes), h)
    for name, (changes, h) in (SHAPES | MORE).items()
}
WIDTHS = (78, 49, 49, 66, 77)
"""Not in order, and two neighbors are equal."""


def make(config: ModelConfig, height: int, mode: str, dtype: torch.dtype) -> Network:
    """Return a network in training mode, in evaluation mode, or with frozen statistics alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(dataclasses.replace(config, dropout=0.0), height, CHARSET.num_classes)
        for name, values in network.state_dict().items():
            if values.dim() == 1 and "gru" not in name:  # biases, gains and statistics
                values.add_(torch.rand(values.shape) / 2)
    network.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train(mode != "eval")
    if mode == "frozen":
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
    return network


def pictures(height: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, height, w, generator=generator).to(dtype) for w in WIDTHS]


def encode(network: Network, inks: Sequence[Tensor]) -> Tensor:
    """Return the frames of one batch."""
    batch = torch.zeros(len(inks), *inks[0].shape[:2], max(WIDTHS), dtype=inks[0].dtype)
    for ink, place in zip(inks, batch, strict=True):
        place[:, :, : ink.shape[2]] = ink
    batch = batch.contiguous(memory_format=torch.channels_last)
    return network.encode(batch, WIDTHS)


def alone(network: Network, inks: Sequence[Tensor]) -> list[Tensor]:
    """Return the log-probabilities (T_i, 1, K) of each picture, which no stage sees padded."""
    maps = [ink[None] for ink in inks]
    for module in (network.conv1, network.conv2, network.conv3):
        for stage in module:
            if isinstance(stage, nn.BatchNorm2d):
                maps = together(stage, maps)
            else:
                maps = [nn.Sequential(stage)(one.clone()) for one in maps]  # ReLU works in place
    fc1 = network.fc1
    columns = [one.flatten(1, 2).mT[0] for one in maps]  # (T_i, C*H)
    frames = [linear(one, fc1.linear.weight, fc1.linear.bias) for one in columns]
    if fc1.norm is not None:
        frames = [torch.relu(one) for one in together(fc1.norm, frames)]
    logs = []
    for one in frames:
        states = one[:, None]
        for layer in (network.gru1, network.gru2):
            states = layer.gru(states)[0]
            if layer.merge == "sum":
                states = sum(states.chunk(2, dim=2))
        logs.append(network.classify(states))
    return logs


def together(norm: nn.BatchNorm1d | nn.BatchNorm2d, values: Sequence[Tensor]) -> list[Tensor]:
    """Normalize the channels (axis 1) of all positions of all pictures."""
    rows = [one.movedim(1, -1).reshape(-1, one.shape[1]) for one in values]
    result = batch_norm(
        torch.cat(rows),
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        norm.training,
        norm.momentum or 0.0,
        norm.eps,
    )
    parts = torch.split(result, [len(one) for one in rows])
    return [
        part.view(one.movedim(1, -1).shape).movedim(-1, 1)
        for part, one in zip(parts, values, strict=True)
    ]


def results(
    network: Network, height: int, dtype: torch.dtype, is_padded: bool
) -> dict[str, Tensor]:
    """Return the loss, the gradients and the statistics after a training step."""
    network = copy.deepcopy(network)
    inks = pictures(height, dtype)
    lengths = np.array([num_frames(network.config, width) for width in WIDTHS])
    texts = ["+-01"[i % 4] for i in range(len(WIDTHS))]
    targets = TargetEncoder(CHARSET)(texts)
    if is_padded:
        loss = ctc_losses(network.classify(encode(network, inks)), targets, lengths).mean()
    else:
        one = torch.tensor([1])
        losses = [
            ctc_loss(
                logs, torch.tensor(ids[:1])[None], torch.tensor([len(logs)]), one, reduction="sum"
            )
            for logs, ids in zip(alone(network, inks), targets.ids, strict=True)
        ]
        loss = torch.stack(losses).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    found = {"loss": loss.detach()}
    found |= {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    assert len(found) == 1 + len(list(network.parameters()))
    return found | {n: b for n, b in network.named_buffers() if "num_batches" not in n}


@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
@pytest.mark.parametrize("name", CASES)
def test_padding_changes_nothing(name: str, mode: str) -> None:
    config, height = CASES[name]
    if mode == "frozen" and not config.batch_norm:
        pytest.skip("it has no statistics")
    single = 1e-4 if mode == "train" else 1e-5  # the statistics of a batch cost digits
    for dtype, tolerance in ((torch.float32, single), (torch.float64, 1e-11)):
        network = make(config, height, mode, dtype)
        ours, theirs = (results(network, height, dtype, is_padded) for is_padded in (True, False))
        for key, value in theirs.items():
            scale = max(1.0, float(value.abs().max()))
            torch.testing.assert_close(
                ours[key], value, rtol=0, atol=tolerance * scale, msg=f"{key}, {dtype}"
            )


def test_bfloat16_differs_by_rounding_alone() -> None:
    network = make(PRESETS["default"].model, 60, "train", torch.float32)
    inks = pictures(60, torch.float32)

    def gradient(precision: Literal["float32", "bfloat16"]) -> Tensor:
        network.zero_grad()
        with mixed_precision(CPU, precision):
            frames = encode(network, inks)
        assert frames.dtype == {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
        network.classify(frames)[:10, :, 3].mean().backward()  # type: ignore[no-untyped-call]
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    exact, rounded = gradient("float32"), gradient("bfloat16")
    assert 1e-4 < float((rounded - exact).norm() / exact.norm()) < 0.1


def test_a_batch_of_one_width_is_computed_as_without_widths() -> None:
    network = make(SMALL, 60, "train", torch.float32)
    batch = torch.stack([ink[:, :, :40] for ink in pictures(60, torch.float32)])
    one, other = (copy.deepcopy(network).encode(batch, widths) for widths in (None, [40] * 5))
    assert torch.equal(one, other)


@pytest.mark.usefixtures("one_font")
def test_a_run_on_mixed_widths_can_be_resumed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    lines = []
    for i, width in enumerate((60, 100, 80, 140) * 4):
        synth = SynthConfig(**{**SYNTH, "width": width})
        text, image = Renderer([BUILT_IN], synth).sample(0, 0, i)
        image.save(data / f"{i}.png")
        lines.append(f"{text} {format_value(evaluate(text))}\n")
    (data / "labels.txt").write_text("".join(lines))
    spec = RunSpec(settings=tiny_settings(synth_mix=0.5, epochs=2), data=str(data))
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert start(spec, straight) == "finished"
    assert all(record["loss"] for record in metrics(straight) if record["kind"] == "step")
    assert start(spec, stopped, Recorder(stop_after=4)) == "interrupted"
    assert go_on(stopped, workers=1) == "finished"
    check_same(stopped, straight)
