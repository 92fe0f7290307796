"""Outputs of the network's layers for one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exprocr.core.model.geometry import CONV_LAYERS, check_layer
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import TorchEngine


@contextmanager
def capturing(network: Network, layers: Sequence[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Record the outputs of layers while the network processes one picture at a time.

    Args:
        network: The network.
        layers: Names of layers, see `LAYERS`.

    Yields:
        The outputs of the last run by layer, as `capture` returns them; empty before the first run.

    Raises:
        ConfigError: A layer is unknown.
    """
    for layer in layers:
        check_layer(layer)
    outputs: dict[str, NDArray[np.float32]] = {}

    def keep(layer: str) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            # (1, C, H', W') or (T, 1, units); copied, because the next layer may work in place.
            one = output[0] if layer in CONV_LAYERS else output[:, 0].T
            outputs[layer] = np.array(one.detach().float().cpu().numpy(), order="C")

        return hook

    handles = [getattr(network, name).register_forward_hook(keep(name)) for name in set(layers)]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def capture(
    network: Network,
    picture: NDArray[np.uint8],
    layers: Sequence[str],
    device: torch.device,
) -> dict[str, NDArray[np.float32]]:
    """Run the network once, in evaluation mode, and return the outputs of layers.

    Args:
        network: The network; its mode is restored at the end.
        picture: uint8 (H, W), as `exprocr.core.image.preprocess.preprocess` returns it.
        layers: Names of layers, see `LAYERS`.
        device: The network's device.

    Returns:
        float32 arrays by layer: (C, H', W') for a convolution module, after pooling; (units, T) for
        other layers. The output of fc2 are the classes' logits.

    Raises:
        ConfigError: A layer is unknown.
    """
    with capturing(network, layers) as outputs:
        TorchEngine(network, device).log_probs(picture[None])
    return {layer: outputs[layer] for layer in layers}
