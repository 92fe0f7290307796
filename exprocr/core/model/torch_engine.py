"""The engine in PyTorch, and building and loading its network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exprocr.core.config.schema import ModelConfig, PreprocessConfig
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.engine import pick_threads
from exprocr.core.model.network import Network, num_parameters
from exprocr.core.system.limits import MAX_PARAMETERS
from exprocr.core.text.charset import Charset
from exprocr.errors import ConfigError, ModelFileError
from exprocr.words import quoted


class TorchEngine:
    """Runs a `Network` in PyTorch.

    Args:
        network: The network; during each call it is in evaluation mode.
        device: Its device.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        self.network = network
        self.device = device

    def __str__(self) -> str:
        return f"PyTorch {torch.__version__} on {self.device}, threads: {torch.get_num_threads()}"

    def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network; see `exprocr.core.model.engine.Engine.log_probs`."""
        training = self.network.training
        self.network.eval()
        try:
            with torch.inference_mode():
                log_probs: torch.Tensor = self.network(to_input(pictures, self.device))
        finally:
            self.network.train(training)
        return log_probs.float().cpu().numpy()


def to_input(pictures: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Convert uint8 (N, H, W) to the network's float32 (N, 1, H, W), 0..1, channels last."""
    batch = torch.from_numpy(pictures)
    if device.type == "cuda":
        batch = batch.pin_memory()  # so that the host does not wait for the copy
    batch = batch.to(device, non_blocking=True).unsqueeze(1)
    return batch.to(torch.float32, memory_format=torch.channels_last).div_(255)


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` takes CUDA, else MPS, else the CPU.

    Raises:
        ConfigError: The device is not available, or ``name`` is not a device.
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
        raise ConfigError(f"device: expected one of {available}, found {quoted(name)}")
    return torch.device(name)


def set_threads(num_threads: int | None) -> int:
    """Set the number of PyTorch's threads, see `pick_threads`, and return it."""
    num_threads = pick_threads(num_threads)
    torch.set_num_threads(num_threads)
    return num_threads


def new_network(model: ModelConfig, preprocess: PreprocessConfig, charset: Charset) -> Network:
    """Create a network with random weights, on the CPU.

    Raises:
        ConfigError: It would have more than `MAX_PARAMETERS` values, or the pictures are too
            low for its convolutions. This is checked before its memory is allocated.
    """
    try:
        number = num_parameters(_outline(model, preprocess, charset))
    except ValueError as error:
        raise ConfigError(f"preprocess.height: {error}") from None
    if number > MAX_PARAMETERS:
        raise ConfigError(
            f"model: expected a network of at most {MAX_PARAMETERS:,} values, found {number:,}"
        )
    return Network(model, preprocess.height, charset.num_classes)


def _outline(model: ModelConfig, preprocess: PreprocessConfig, charset: Charset) -> Network:
    """Return a network that has shapes but no memory; ValueError as `Network` raises it."""
    with torch.device("meta"):
        return Network(model, preprocess.height, charset.num_classes)


def build_network(model: ModelFile, device: torch.device) -> Network:
    """Create the network of a model file, with its weights.

    Raises:
        ModelFileError: The weights do not fit the configuration.
    """
    try:
        outline = _outline(model.model, model.preprocess, model.charset)
    except ValueError as error:
        raise ModelFileError(f"{model.name}: model: {error}") from None
    # Checked first, because the configuration could need more memory than available.
    _check_shapes(outline, model.weights, model.name)
    # No random numbers are used, so that training continues the same after writing a model.
    network = outline.to_empty(device=device)
    load_weights(network, model.weights, model.name)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def load_weights(network: Network, weights: Any, where: str) -> None:
    """Copy tensors into a network.

    Args:
        network: The network.
        weights: Arrays by parameter and buffer name.
        where: Name of their file, for messages.

    Raises:
        ModelFileError: A tensor is missing, superfluous, or has another shape.
    """
    _check_shapes(network, weights, where)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})


def _check_shapes(network: Network, weights: Any, where: str) -> None:
    """Check names and shapes of tensors against a network; see `load_weights`."""
    expected = network.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            raise ModelFileError(f"{where}: weights: expected a tensor {quoted(name)}, found none")
        if name not in expected:
            raise ModelFileError(
                f"{where}: weights: expected the network's tensors, found another one, "
                f"{quoted(name)}"
            )
        shapes = tuple(expected[name].shape), tuple(weights[name].shape)
        if shapes[0] != shapes[1]:
            raise ModelFileError(
                f"{where}: weights: {name}: expected shape {shapes[0]}, found {shapes[1]}"
            )


def export_weights(network: Network) -> dict[str, NDArray[Any]]:
    """Return copies of a network's parameters and buffers, by name."""
    return {name: t.detach().cpu().numpy().copy() for name, t in network.state_dict().items()}


def parameter_values(network: Network) -> dict[str, NDArray[Any]]:
    """Return a network's parameters by name, without buffers; on the CPU they are not copied."""
    return {name: p.detach().cpu().numpy() for name, p in network.named_parameters()}
