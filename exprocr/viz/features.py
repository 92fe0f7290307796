"""Feature maps: what every channel of a layer makes of one picture.

Convolution layers become a grid of tiles, the later stages a heat map of units over frames. Both
are laid out on the picture's own axes: a cell is drawn where its receptive field is centred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.config import ModelConfig
from exprocr.core.engine import to_input
from exprocr.core.files import atomic_write
from exprocr.core.geometry import COLUMNS, CONV_LAYERS, ROWS, CellAxis, cell_axis
from exprocr.core.model import LAYERS, Network
from exprocr.core.preprocess import PreprocessConfig, padded_width, scaled_width
from exprocr.core.settings import unknown_name
from exprocr.errors import ConfigError

CONSTANT_RANGE = 1e-6
"""A channel whose values differ by less than this is dead."""


def check_layer(layer: str) -> None:
    """Check a layer's name.

    Raises:
        ConfigError: It is none of `LAYERS`; the message names them.
    """
    if layer not in LAYERS:
        raise ConfigError(unknown_name(layer, layer, LAYERS, what="layer"))


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


@dataclass(frozen=True)
class FeatureStats:
    """A layer's output in figures, by channel."""

    layer: str
    """The layer's name."""

    shape: tuple[int, ...]
    """(C, H', W') or (units, T)."""

    minimum: NDArray[np.float32]
    """Smallest value of each channel."""

    maximum: NDArray[np.float32]
    """Largest value of each channel."""

    mean: NDArray[np.float32]
    """Mean of each channel."""

    @property
    def num_channels(self) -> int:
        """Channels, or units."""
        return self.shape[0]

    @property
    def dead(self) -> list[int]:
        """Channels that are constant all over this picture."""
        return np.flatnonzero(~(self.maximum - self.minimum >= CONSTANT_RANGE)).tolist()


def feature_stats(layer: str, maps: NDArray[np.float32]) -> FeatureStats:
    """Return the figures of what `capture` kept of a layer."""
    flat = maps.reshape(len(maps), -1)
    return FeatureStats(layer, maps.shape, flat.min(axis=1), flat.max(axis=1), flat.mean(axis=1))


@dataclass(frozen=True)
class Geometry:
    """Where a layer's cells lie on the network's input; px of that input."""

    width: int
    """Width of the input."""

    height: int
    """Height of the input."""

    picture_width: int
    """Columns the picture takes; the rest is background it was widened with."""

    columns: CellAxis
    """Where its columns of cells lie."""

    rows: CellAxis
    """Where its rows of cells lie."""


def geometry_of(
    layer: str, image_size: tuple[int, int], model: ModelConfig, preprocess: PreprocessConfig
) -> Geometry:
    """Work out where the cells of a layer lie on a picture.

    Args:
        layer: The layer; those after conv3 have its columns.
        image_size: Width and height of the picture as loaded, px.
        model: The network's shape.
        preprocess: The network's input.

    Raises:
        ConfigError: The layer is unknown.
    """
    check_layer(layer)
    picture_width = scaled_width(image_size, preprocess)
    return Geometry(
        padded_width(picture_width, preprocess),
        preprocess.height,
        picture_width,
        columns=cell_axis(model, layer, COLUMNS),
        rows=cell_axis(model, layer, ROWS),
    )


def draw_grid(
    layer: str,
    maps: NDArray[np.float32],
    image: Image.Image,
    reading: str,
    *,
    geometry: Geometry,
    ink: NDArray[np.uint8] | None = None,
    row_labels: Sequence[str] | None = None,
) -> Image.Image:
    """Draw a layer's output below the picture it comes from.

    Args:
        layer: The layer's name, for the title.
        maps: float32 (C, H', W') for a grid of maps, each scaled to its own range, or (units, T)
            for one heat map.
        image: The picture, of any mode.
        reading: What the model reads in it.
        geometry: Where the cells lie in the picture.
        ink: The network's input, uint8 (H, W), drawn beside the picture of a grid of maps.
        row_labels: Names of the units of a heat map instead of their numbers.

    Returns:
        An RGB picture, neither side longer than 4000 px.
    """
    from exprocr.viz.grid import draw_maps
    from exprocr.viz.heatmap import draw_units

    maps = np.nan_to_num(maps)  # a network that diverged can be looked into as well
    stats = feature_stats(layer, maps)
    if maps.ndim == 3:
        return draw_maps(stats, maps, image, reading, geometry, ink)
    return draw_units(stats, maps, image, reading, geometry, row_labels)


def save_png(image: Image.Image, path: Path) -> None:
    """Write a picture as PNG, whatever the name's suffix.

    Raises:
        OutputError: The place cannot be written.
    """
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)
