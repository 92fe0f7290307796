"""Feature maps: what every channel of a layer makes of one picture.

Convolution layers become a grid of tiles, the later stages a heat map of units over frames. Both
are laid out on the picture's own axes: a cell is drawn where its receptive field is centred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exprocr.viz.geometry import Geometry

CONSTANT_RANGE = 1e-6
"""A channel whose values differ by less than this is dead."""


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
