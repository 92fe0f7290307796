"""Where the cells of a layer lie on the picture."""

from __future__ import annotations

from dataclasses import dataclass

from exprocr.core.config.schema import ModelConfig, PreprocessConfig
from exprocr.core.image.preprocess import padded_width, scaled_width
from exprocr.core.model.geometry import COLUMNS, ROWS, CellAxis, cell_axis, check_layer


@dataclass(frozen=True)
class Geometry:
    """Where a layer's cells lie on the network's input, in px of that input."""

    width: int
    """Width of the input."""

    height: int
    """Height of the input."""

    picture_width: int
    """Columns of the picture; the rest is the background that it was widened with."""

    columns: CellAxis
    """Centers of its columns of cells."""

    rows: CellAxis
    """Centers of its rows of cells."""

    def zoom(self, drawn_px: int, image_px: int) -> float:
        """Return the pixels of a drawing per pixel of the picture as it was loaded.

        Args:
            drawn_px: Width of the drawing of the whole input, px.
            image_px: Width of the picture as loaded, px.
        """
        return drawn_px * self.picture_width / self.width / image_px


def geometry_of(
    layer: str, image_size: tuple[int, int], model: ModelConfig, preprocess: PreprocessConfig
) -> Geometry:
    """Return where the cells of a layer lie on a picture.

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
