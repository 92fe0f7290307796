"""What layers of the network put out for one picture."""

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
    """Keep what layers put out for one picture while the network runs.

    Args:
        network: The network.
        layers: Names out of `LAYERS`.

    Yields:
        What the last run has put out, by layer, as `capture` returns it; empty before it.

    Raises:
        ConfigError: A layer is unknown.
    """
    for layer in layers:
        check_layer(layer)
    outputs: dict[str, NDArray[np.float32]] = {}

    def keep(layer: str) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            # (1, C, H', W') or (T, 1, units); one copy, as the next layer may work in place.
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
    """Run the network once, in evaluation mode, and keep what layers put out.

    Args:
        network: The network; it is left in the mode it was in.
        picture: uint8 (H, W), as `exprocr.core.image.preprocess.preprocess` returns it.
        layers: Names out of `LAYERS`.
        device: Where the network is.

    Returns:
        float32 arrays by layer: (C, H', W') of a convolution module, after pooling;
        (units, T) of the others, which for fc2 are the classes' logits.

    Raises:
        ConfigError: A layer is unknown.
    """
    with capturing(network, layers) as outputs:
        TorchEngine(network, device).log_probs(picture[None])
    return {layer: outputs[layer] for layer in layers}
