"""``exprocr visualize``: what a layer of the network makes of an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exprocr.cli.options import (
    Session,
    compute_options,
    model_option,
    pass_session,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from exprocr.core.prediction import Prediction
    from exprocr.core.preprocess import PreprocessConfig
    from exprocr.viz.features import FeatureStats

ALL = "all"


@click.command(
    epilog="\b\nExamples:\n  exprocr visualize img.png --layer conv2\n"
    "  exprocr visualize img.png --layer all --output features/\n"
    "  exprocr visualize  # an image rendered on the spot",
)
@click.argument("image", required=False, type=click.Path())
@click.option(
    "--layer",
    default="conv3",
    show_default=True,
    metavar="NAME",
    help="conv1, conv2, conv3, fc1, gru1, gru2, fc2, or all.",
)
@click.option(
    "--output",
    type=click.Path(),
    metavar="FILE|DIR",
    help="PNG file; a folder for --layer all.  [default: features-<layer>.png, features/]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of the sample that is rendered where no IMAGE is given.",
)
@model_option
@compute_options
@pass_session
def visualize(
    session: Session,
    image: str | None,
    layer: str,
    output: str | None,
    seed: int,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Draw every channel of a layer's feature map for IMAGE, beside what the model reads in it.

    Without IMAGE, a sample is rendered on the spot. IMAGE may be - for standard input.
    """
    from exprocr.core.engine import TorchEngine
    from exprocr.core.model import LAYERS
    from exprocr.core.recognizer import Recognizer
    from exprocr.viz.features import (
        capture,
        check_layer,
        draw_grid,
        feature_stats,
        geometry_of,
        save_png,
    )

    layers = LAYERS if layer == ALL else (layer,)
    for name in layers:
        check_layer(name)
    recognizer = Recognizer.load(model, device=device, threads=threads)
    engine = recognizer.engine
    assert isinstance(engine, TorchEngine)  # feature maps need the network itself
    picture, ink = _picture(image, seed, recognizer.preprocess)
    (prediction,) = recognizer.read([ink])
    reading = _reading(prediction)
    maps = capture(engine.network, ink, layers, engine.device)
    stats = []
    for name in layers:
        path = _path(output, layer, name)
        classes = ["blank", *recognizer.charset.characters] if name == "fc2" else None
        geometry = geometry_of(name, picture.size, engine.network.config, recognizer.preprocess)
        grid = draw_grid(
            name, maps[name], picture, reading, geometry=geometry, ink=ink, row_labels=classes
        )
        save_png(grid, path)
        stats.append((feature_stats(name, maps[name]), path))
    session.note(f"{image or 'a rendered sample'}: {reading}")
    _print(stats)


def _picture(
    image: str | None, seed: int, config: PreprocessConfig
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Return the decoded picture, or a rendered sample; and the network's input."""
    from exprocr.cli.inputs import STDIN, read_stdin
    from exprocr.core.preprocess import describe, load_image, preprocess
    from exprocr.errors import ImageError
    from exprocr.synth.fonts import find_fonts
    from exprocr.synth.renderer import CHARACTERS, SAMPLE_STREAM, Renderer

    if image is None:
        picture = Renderer(find_fonts([], CHARACTERS).usable).sample(seed, SAMPLE_STREAM, 0)[1]
        return picture, preprocess(picture, config)
    source = read_stdin() if image == STDIN else image
    picture = load_image(source)
    try:
        return picture, preprocess(picture, config)
    except ImageError as error:
        raise ImageError(f"{describe(source)}: {error}") from None


def _reading(prediction: Prediction) -> str:
    """Write what was read on one line: the text, its value, the confidence."""
    from exprocr.cli.output import format_confidence
    from exprocr.core.expression import format_value

    reading = prediction.text or "(nothing)"
    if prediction.value is not None:
        reading += f" = {format_value(prediction.value)}"
    return f"{reading}   {format_confidence(prediction.confidence)}"


def _path(output: str | None, layer: str, name: str) -> Path:
    """Return where the picture of layer ``name`` goes, when ``layer`` was asked for."""
    if layer == ALL:
        return Path(output or "features") / f"features-{name}.png"
    return Path(output or f"features-{name}.png")


def _print(stats: list[tuple[FeatureStats, Path]]) -> None:
    from exprocr.cli.output import cell, new_table, print_table

    columns: Any = ("layer", "channels", "map", "dead", "mean", "max", "picture")
    table = new_table(*columns, right=columns[1:6])
    for stat, path in stats:
        shape = " x ".join(map(str, stat.shape[1:]))
        table.add_row(
            cell(stat.layer),
            cell(stat.num_channels),
            cell(shape),
            cell(len(stat.dead)),
            cell(f"{stat.mean.mean():.3g}"),
            cell(f"{stat.maximum.max():.3g}"),
            cell(path),
        )
    print_table(table)
