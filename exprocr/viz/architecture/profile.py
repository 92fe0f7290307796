"""The output and the cost of a network's stages, measured while it runs.

Nothing is read from the network's configuration: hooks note what its modules are, what shape they
put out, and when they begin and end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exprocr.core.model.geometry import LAYERS
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import to_input
from exprocr.viz.architecture.anatomy import Call, describe, multiply_adds, receptive_fields
from exprocr.viz.architecture.stages import Profile, Stage

MAX_RUNS = 200
MAX_SECONDS = 1.0
"""A stage is timed over this many runs, or over the runs of this time; the fastest counts."""

WARM_UP_RUNS = 3
WARM_UP_SECONDS = 0.3

MAX_CHANNELS = 16
MAX_CELLS = 1000
"""Most channels of an output, and most cells along an axis, that are kept to draw it."""


class Output(NamedTuple):
    """The output of a stage; see `Stage`."""

    shape: tuple[int, ...]
    values: NDArray[np.float32]


def measure(network: Network, picture: NDArray[np.uint8], device: torch.device) -> Profile:
    """Run a network on one picture, in evaluation mode, and note what each stage does.

    It runs again and again for about a second. A stage's time is its fastest: on a busy machine the
    scheduler takes whole time slices away, often from the same stage run after run, which a median
    would not get rid of. On an accelerator each stage is waited for.

    Args:
        network: The network; it is left in the mode it was in.
        picture: uint8 (H, W), as `exprocr.core.image.preprocess.preprocess` returns it.
        device: Where the network is.
    """
    stages = {name: getattr(network, name) for name in LAYERS}
    inputs = to_input(picture[None], device)
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            deadline = perf_counter() + WARM_UP_SECONDS
            calls, outputs = observe(network, stages, inputs)
            for _ in range(1, WARM_UP_RUNS):
                if perf_counter() < deadline:
                    network(inputs)
            times = time_stages(network, stages, inputs, device)
    finally:
        network.train(training)
    sees = receptive_fields(calls, inputs.shape[2:])
    share = network.dropout.p
    dropout = f"{share:.0%} dropout in training; " if share else ""
    return Profile(
        stages=tuple(
            Stage(
                name=name,
                made_of=(dropout if name == "fc2" else "") + describe(stage),
                shape=outputs[name].shape,
                sees=sees[name],
                num_parameters=sum(parameter.numel() for parameter in stage.parameters()),
                multiply_adds=sum(multiply_adds(call) for call in calls if call.stage == name),
                seconds=min(times[name]),
                values=outputs[name].values,
            )
            for name, stage in stages.items()
        ),
        input_shape=(inputs.shape[1], inputs.shape[2], inputs.shape[3]),
        num_runs=len(times[LAYERS[0]]),
        place=describe_place(device),
    )


def observe(
    network: Network, stages: Mapping[str, nn.Module], inputs: Tensor
) -> tuple[list[Call], dict[str, Output]]:
    """Run a network; return the modules that ran, in order, and the stages' outputs."""
    calls: list[Call] = []
    outputs: dict[str, Output] = {}

    def note(stage: str) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output  # of a GRU: its frames
            calls.append(Call(stage, module, tuple(first.shape)))

        return hook

    def keep(stage: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            outputs[stage] = keep_output(output)

        return hook

    with ExitStack() as hooks:
        for name, stage in stages.items():
            hooks.callback(stage.register_forward_hook(keep(name)).remove)
            for module in stage.modules():
                if not any(module.children()):
                    hooks.callback(module.register_forward_hook(note(name)).remove)
        network(inputs)
    return calls, outputs


def keep_output(output: Tensor) -> Output:
    """Return the shape of a stage's output, (1, C, H, W) or (T, 1, units), and its drawn part."""
    one = output[0] if output.ndim == 4 else output[:, 0].T  # (C, H, W) or (units, T)
    values = one.float()
    if values.ndim == 3:
        strength = values.nan_to_num().flatten(1).std(dim=1, correction=0)
        strongest = strength.argsort(descending=True, stable=True)[:MAX_CHANNELS]
        values = values[strongest]
    rows, columns = (slice(None, None, -(-n // MAX_CELLS)) for n in values.shape[-2:])
    shape = tuple(one.shape) if one.ndim == 3 else tuple(one.shape[::-1])
    return Output(shape, values[..., rows, columns].cpu().numpy())


def time_stages(
    network: Network, stages: Mapping[str, nn.Module], inputs: Tensor, device: torch.device
) -> dict[str, list[float]]:
    """Run a network as often as `MAX_RUNS` and `MAX_SECONDS` allow; return the stages' times, s."""
    times: dict[str, list[float]] = {name: [] for name in stages}

    def begin(stage: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            wait_for(device)
            times[stage].append(-perf_counter())

        return hook

    def end(stage: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            wait_for(device)
            times[stage][-1] += perf_counter()

        return hook

    with ExitStack() as hooks:
        for name, stage in stages.items():
            hooks.callback(stage.register_forward_pre_hook(begin(name)).remove)
            hooks.callback(stage.register_forward_hook(end(name)).remove)
        deadline = perf_counter() + MAX_SECONDS
        for _ in range(MAX_RUNS):
            network(inputs)
            if perf_counter() >= deadline:
                break
    return times


def wait_for(device: torch.device) -> None:
    """Wait until an accelerator has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def describe_place(device: torch.device) -> str:
    """Name the place where a network runs: ``CPU, 2 threads``, or the accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type.upper()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread" + ("" if threads == 1 else "s")
