"""What layers of the network put out for one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exprocr.core.engine import to_input
from exprocr.core.geometry import CONV_LAYERS
from exprocr.core.model import Network
from exprocr.viz.geometry import check_layer


def capture(
    network: Network,
    picture: NDArray[np.uint8],
    layers: Sequence[str],
    device: torch.device,
) -> dict[str, NDArray[np.float32]]:
    """Run the network once, in evaluation mode, and keep what layers put out.

    Args:
        network: The network; it is left in the mode it was in.
        picture: uint8 (H, W), as `exprocr.core.preprocess.preprocess` returns it.
        layers: Names out of `LAYERS`.
        device: Where the network is.

    Returns:
        float32 arrays by layer: (C, H', W') of a convolution module, after pooling;
        (units, T) of the others, which for fc2 are the classes' logits.

    Raises:
        ConfigError: A layer is unknown.
    """
    for layer in layers:
        check_layer(layer)
    outputs: dict[str, NDArray[np.float32]] = {}

    def keep(layer: str) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            # (1, C, H', W') or (T, 1, units); copied, as the next layer may work in place.
            one = output[0] if layer in CONV_LAYERS else output[:, 0].T
            outputs[layer] = one.detach().float().cpu().contiguous().numpy().copy()

        return hook

    handles = [getattr(network, name).register_forward_hook(keep(name)) for name in set(layers)]
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            network(to_input(picture[None], device))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return {layer: outputs[layer] for layer in layers}
