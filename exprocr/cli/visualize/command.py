"""``exprocr visualize``: pictures of what a model does, and of how it was trained."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from exprocr.cli.options import (
    FiniteRange,
    Session,
    compute_options,
    layout_options,
    limit_option,
    look_options,
    model_option,
    pass_session,
    table_options,
    texts_options,
)
from exprocr.cli.visualize.kinds import KINDS, Kind, Request
from exprocr.core.config.schema import AugmentConfig, ranges

ALWAYS = ("kind", "output", "device", "threads")
"""Parameters of every kind; a kind that computes nothing ignores the last two."""

OTHER_FORMATS = (".jpg", ".jpeg", ".pdf", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".eps", ".ps")
"""Names of files that a picture must not get: it would not be what its name says."""


class Numbers(click.ParamType):  # type: ignore[type-arg]  # none before click 8.4
    """Numbers from 0 with commas between them, such as ``1,7,13``."""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers of ``value``."""
        if isinstance(value, tuple):
            return value
        parts = value.split(",")
        if not all(part.strip().isdecimal() and len(part) < 10 for part in parts):
            self.fail(f"{value!r}: expected numbers with commas between them, such as 1,7,13")
        return tuple(dict.fromkeys(int(part) for part in parts))


def _kinds_help() -> str:
    """Return the kinds and what they show, a line each."""
    width = max(map(len, KINDS)) + 2
    lines = (f"  {name:{width}}{kind.summary}" for name, kind in KINDS.items())
    return "\b\nKinds:\n" + "\n".join(lines)


@click.command(
    epilog=_kinds_help() + "\n\n\b\nExamples:\n  exprocr visualize img.png --layer conv2\n"
    "  exprocr visualize img.png --layer all --output features/\n"
    "  exprocr visualize img.png --kind alignment\n"
    "  exprocr visualize --kind samples --look print,screen\n"
    "  exprocr visualize data/ --kind augment\n"
    "  exprocr visualize --kind curves --run runs/a --run runs/b --output curves.svg",
)
@click.argument("image", required=False, type=click.Path())
@click.option(
    "--kind",
    type=click.Choice(tuple(KINDS)),
    default="features",
    show_default=True,
    help="What to draw; see below.",
)
@click.option(
    "--layer",
    multiple=True,
    metavar="NAME",
    help="conv1, conv2, conv3, fc1, gru1, gru2, fc2, or all; repeatable.  [default: conv3; for "
    "weights, distributions and history: all]",
)
@model_option
@click.option(
    "--run",
    "runs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="RUN",
    help="Run directory: its record, or its model; repeatable for curves.",
)
@click.option(
    "--output",
    type=click.Path(),
    metavar="FILE|DIR",
    help="PNG file, for plots also SVG; a folder where there are several pictures.  [default: "
    "<kind>-<layer>.png, <kind>.png, or the folder <kind>]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of what is rendered where no IMAGE is given; augment: of the distortions.",
)
@click.option(
    "--scale",
    type=click.Choice(("own", "shared")),
    help="Features: colors by each channel's own range, or by one for all.  [default: own for "
    "maps, shared for units]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="K",
    help="Features: the K strongest channels, by their mean absolute value, strongest first.",
)
@click.option(
    "--channels",
    type=Numbers(),
    metavar="N,N,..",
    help="Features: these channels, in this order; the first is 0.",
)
@click.option(
    "--character",
    type=click.IntRange(min=1),
    metavar="N",
    help="Saliency: for the reading's Nth character alone.",
)
@click.option(
    "--over",
    type=click.Choice(("step", "time")),
    default="step",
    show_default=True,
    help="Curves: what they run over.",
)
@click.option(
    "--strength",
    type=FiniteRange(*ranges(AugmentConfig)["strength"]),
    metavar="X",
    help="Augment: strength of the distortions.  [default: that of --run, or as train chooses for "
    "few images]",
)
@click.option("--errors", is_flag=True, help="Samples: only what is read wrong, the worst first.")
@texts_options
@look_options
@limit_option("Samples and augment: images on the sheet, at most.")
@layout_options
@table_options
@compute_options
@pass_session
@click.pass_context
def visualize(
    ctx: click.Context,
    session: Session,
    /,
    kind: str,
    layer: tuple[str, ...],
    **options: Any,
) -> None:
    """Draw what a model makes of IMAGE, what its weights are, or how it was trained.

    Without IMAGE, a sample is rendered. IMAGE may be - for standard input. For samples and
    augment, IMAGE is a labeled data set, as `exprocr eval` reads it.
    """
    request = Request(
        session=session,
        kind=kind,
        layers=tuple(name for names in layer for name in names.split(",")),
        **options,
    )
    _check(ctx, KINDS[kind], request)
    import_module(f"exprocr.cli.visualize.{KINDS[kind].module or kind}").show(request)


def _check(ctx: click.Context, kind: Kind, request: Request) -> None:
    """Check that what was given goes together, before anything is loaded.

    Raises:
        click.UsageError: It does not.
    """
    understood = {*ALWAYS, *kind.options, "runs", *(["model"] if kind.source == "model" else [])}
    for parameter in ctx.command.params:
        name = parameter.name or ""
        given = ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
        if given and name not in understood:
            shown = "IMAGE" if name == "image" else parameter.opts[-1]
            raise click.UsageError(f"--kind {request.kind} takes no {shown}.")
    if kind.source in ("run", "runs") and not request.runs:
        raise click.UsageError(f"--kind {request.kind} needs a run directory: --run RUN.")
    if kind.source != "runs" and len(request.runs) > 1:
        raise click.UsageError(f"--kind {request.kind} takes one --run.")
    if request.runs and request.model is not None:
        raise click.UsageError("--run and --model both name a model; give one of them.")
    suffix = Path(request.output or "").suffix.lower()
    if suffix == ".svg" and not kind.is_plot:
        plots = ", ".join(name for name, other in KINDS.items() if other.is_plot)
        raise click.UsageError(f"--kind {request.kind} is drawn as PNG; SVG is for {plots}.")
    if suffix in OTHER_FORMATS:
        formats = "PNG or SVG" if kind.is_plot else "PNG"
        raise click.UsageError(f"--kind {request.kind} is drawn as {formats}, found {suffix}.")
