"""Writing pictures: images of Pillow, and figures of matplotlib."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from exprocr.core.system.files import atomic_write

Picture = Image.Image | Figure

SVG = ".svg"
_SVG_SALT = "exprocr"


def save_picture(picture: Picture, path: Path) -> None:
    """Write a picture as PNG; a figure whose file name ends in ``.svg`` as SVG.

    Raises:
        OutputError: The place cannot be written.
    """
    with atomic_write(path) as temporary:
        if isinstance(picture, Image.Image):
            picture.save(temporary, format="PNG")
        else:
            _print_figure(picture, temporary, "svg" if path.suffix.lower() == SVG else "png")


def to_png(picture: Picture) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    if isinstance(picture, Image.Image):
        picture.save(stream, format="PNG")
    else:
        _print_figure(picture, stream, "png")
    return stream.getvalue()


def _print_figure(figure: Figure, target: Path | io.BytesIO, kind: str) -> None:
    options: dict[str, Any] = {"format": kind}
    if kind == "svg":  # the same figure, the same bytes
        options["metadata"] = {"Date": None}
    with mpl.rc_context({"svg.hashsalt": _SVG_SALT}):
        FigureCanvasAgg(figure).print_figure(target, **options)
