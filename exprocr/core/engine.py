"""What computes log-probabilities. The recogniser knows nothing else of the network.

An engine is anything with `Engine`'s one method; `TorchEngine` runs the network in PyTorch.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from exprocr.core.artifact import ModelFile
from exprocr.core.model import Network
from exprocr.core.processors import usable_processors
from exprocr.errors import ConfigError, ModelFileError

DEVICES = ("auto", "cpu", "cuda", "mps")


class Engine(Protocol):
    """Computes the classes' log-probabilities of a batch of pictures."""

    def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network.

        Args:
            pictures: uint8 (N, H, W), 0 background .. 255 ink.

        Returns:
            float32 (T, N, K), natural logarithms.
        """
        ...


class TorchEngine:
    """Runs a `Network` in PyTorch.

    Args:
        network: The network; it is put into evaluation mode for each call and back after it.
        device: Where it is.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        self.network = network
        self.device = device

    def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network; see `Engine.log_probs`."""
        training = self.network.training
        self.network.eval()
        try:
            with torch.inference_mode():
                log_probs: torch.Tensor = self.network(to_input(pictures, self.device))
        finally:
            self.network.train(training)
        return log_probs.float().cpu().numpy()


def to_input(pictures: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Turn uint8 (N, H, W) into the network's float32 (N, 1, H, W), 0..1, channels last."""
    batch = torch.from_numpy(pictures).to(device).unsqueeze(1)
    return batch.to(torch.float32, memory_format=torch.channels_last).div_(255)


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` takes CUDA, else MPS, else the CPU.

    Raises:
        ConfigError: The device is not there, or ``name`` is none of `DEVICES`.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, is_there in there.items() if is_there)
    if not there.get(name, False):
        available = ", ".join(device for device, is_there in there.items() if is_there)
        raise ConfigError(f"device: expected one of {available}, found {name!r}")
    return torch.device(name)


def set_threads(num_threads: int | None) -> int:
    """Set the threads PyTorch computes with; return their number.

    None takes the processors this process may use, at most four: beyond that networks this
    small gain little and burn processor time.
    """
    if num_threads is None:
        num_threads = min(4, usable_processors())
    torch.set_num_threads(num_threads)
    return num_threads


def build_network(model: ModelFile, device: torch.device) -> Network:
    """Build the network of a model file and fill in its weights.

    Raises:
        ModelFileError: The weights do not fit the configuration.
    """
    try:
        network = Network(model.model, model.preprocess.height, model.charset.num_classes)
    except ValueError as error:
        raise ModelFileError(f"{model.name}: model: {error}") from None
    load_weights(network, model.weights, model.name)
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def load_weights(network: Network, weights: Any, where: str) -> None:
    """Copy tensors into a network.

    Args:
        network: The network.
        weights: Arrays by parameter and buffer name.
        where: The file they come from, for messages.

    Raises:
        ModelFileError: A tensor is missing, left over, or has another shape.
    """
    expected = network.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            raise ModelFileError(f"{where}: weights: expected a tensor {name!r}, found none")
        if name not in expected:
            raise ModelFileError(
                f"{where}: weights: expected the network's tensors, found another one, {name!r}"
            )
        shapes = tuple(expected[name].shape), tuple(weights[name].shape)
        if shapes[0] != shapes[1]:
            raise ModelFileError(
                f"{where}: weights: {name}: expected shape {shapes[0]}, found {shapes[1]}"
            )
    network.load_state_dict({name: torch.from_numpy(weights[name]) for name in expected})


def export_weights(network: Network) -> dict[str, NDArray[Any]]:
    """Return copies of a network's parameters and buffers by name."""
    return {name: t.detach().cpu().numpy().copy() for name, t in network.state_dict().items()}
