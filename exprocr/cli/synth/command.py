"""``exprocr synth``: render a labeled set of images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import click

from exprocr.cli.options import FiniteRange, Session, look_options, pass_session, texts_options
from exprocr.core.config.schema import SynthConfig, ranges


def _parse_size(
    ctx: click.Context, param: click.Parameter, text: str | None
) -> tuple[int | Literal["auto"], int] | None:
    """Return width and height, px, as `SynthConfig` has them."""
    if text is None:
        return None
    if text == "auto":
        return "auto", SynthConfig.height
    match = re.fullmatch("([0-9]{1,5})[xX]([0-9]{1,5})", text)
    if not match:
        raise click.BadParameter(
            f"expected WIDTHxHEIGHT, like 180x60, or auto, found {text!r}", ctx, param
        )
    width, height = int(match[1]), int(match[2])
    limits = ranges(SynthConfig)
    (min_width, max_width), (min_height, max_height) = limits["width"], limits["height"]
    if not (min_width <= width <= max_width and min_height <= height <= max_height):
        expected = f"{min_width}x{min_height} to {max_width}x{max_height}"
        raise click.BadParameter(f"expected {expected}, found {text!r}", ctx, param)
    return width, height


@click.command(
    epilog="\b\nExamples:\n  exprocr synth data/ -n 10000 --val-fraction 0.1\n"
    "  exprocr synth plates/ -n 1000 --grammar 'regex:[A-Z]{2}-[0-9]{4}'"
)
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "-n",
    "--num-images",
    type=click.IntRange(min=1),
    metavar="N",
    default=10_000,
    show_default=True,
    help="Number of images, in all parts together.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Another seed gives other images.",
)
@texts_options
@click.option(
    "--size",
    callback=_parse_size,
    metavar="WxH|auto",
    help="Size of an image, px; auto is 60 high and as wide as the text needs.  [default: 180x60 "
    "for level-1 expressions in the look contest, else auto]",
)
@look_options
@click.option(
    "--fonts",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="Use the fonts in this folder too; repeatable.",
)
@click.option("--no-system-fonts", is_flag=True, help="Use only the fonts of --fonts.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings in TOML, as for train; the section [synth] sets what the images look like.",
)
@click.option(
    "--val-fraction",
    type=FiniteRange(min=0, max=1, max_open=True),
    metavar="SHARE",
    default=0.0,
    show_default=True,
    help="Write train/ and val/, with this share of the images in val/.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes to render in.  [default: one per processor]",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace the set in OUT: its numbered PNG files, labels.txt and labels.csv, nothing else.",
)
@pass_session
def synth(session: Session, /, **options: Any) -> int:
    """Render a labeled set of images into the folder OUT.

    Writes 0.png, 1.png .. and labels.txt. Its line i is the text in image i and, where the text has
    a value, a space and the value. Where texts can have blanks, a table labels.csv is written
    instead. The same seed gives the same files, byte for byte, as long as the fonts are the same;
    the number of processes makes no difference.
    """
    from exprocr.cli.synth.run import run

    return run(session, **options)
