"""``exprocr train``: train a model on labeled images, rendered images, or both."""

from __future__ import annotations

import re
from typing import Any

import click
from click.core import ParameterSource

from exprocr.choices import AUTO, MAX_PROCESSES
from exprocr.cli.options import (
    FiniteRange,
    Session,
    compute_options,
    layout_options,
    look_options,
    map_option,
    pass_session,
    table_options,
    texts_options,
)
from exprocr.core.config.schema import PRESETS, TrainingConfig, ranges

COUNT = click.IntRange(min=1)


class Duration(click.ParamType):  # type: ignore[type-arg]  # none before click 8.4
    """A time such as ``90s``, ``10m``, ``1h30m`` or ``600``: seconds, float."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> float:
        """Return the seconds of ``value``."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", value)
        seconds = 0
        if match:
            hours, minutes, rest = (int(part or 0) for part in match.groups())
            seconds = hours * 3600 + minutes * 60 + rest
        if not seconds:
            self.fail(f"{value!r} is no time; write 90s, 10m or 1h30m", param, ctx)
        return float(seconds)


class Share(click.ParamType):  # type: ignore[type-arg]  # none before click 8.4
    """A share of rendered images: float, or `AUTO`."""

    name = "share"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> Any:
        """Return a share, or `AUTO`."""
        if value == AUTO:
            return AUTO
        try:
            return _setting("synth_mix").convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"expected 0 to 1 or {AUTO}, found {value!r}", param, ctx)


def _setting(name: str) -> click.ParamType[Any]:
    """Return the type of the option that sets a value of `TrainingConfig`, with its range."""
    low, high = ranges(TrainingConfig)[name]
    if isinstance(getattr(TrainingConfig, name), int):
        return click.IntRange(int(low), int(high))
    return FiniteRange(low, high)


@click.command(
    epilog="\b\nExamples:\n  exprocr train data/\n  exprocr train data/ --init bundled "
    "--synth-mix auto\n  exprocr train --synth-mix 1 --max-time 10m\n  exprocr train --synth-mix 1 "
    "--grammar 'regex:[A-Z]{2}-[0-9]{4}'\n  exprocr train --resume "
    "runs/20250101-120000"
)
@click.argument("data", required=False, type=click.Path())
@click.option(
    "--output", type=click.Path(), metavar="DIR", help="Run directory.  [default: runs/<time>]"
)
@click.option(
    "--preset",
    type=click.Choice(tuple(PRESETS)),
    help="Settings to start from; --config and options change them.  [default: finetune with "
    "--init and DATA to train on, else default]",
)
@click.option("--config", type=click.Path(), metavar="FILE", help="Settings in TOML.")
@click.option("--epochs", type=_setting("epochs"), metavar="N", help="Passes over the data.")
@click.option("--steps", type=_setting("steps"), metavar="N", help="Steps, in place of --epochs.")
@click.option("--batch-size", type=_setting("batch_size"), metavar="N", help="Images per step.")
@click.option(
    "--learning-rate", type=_setting("learning_rate"), metavar="X", help="Peak learning rate."
)
@click.option(
    "--optimizer",
    type=click.Choice(("adamw", "muon")),
    help="How weights are changed. A step with muon takes a little longer and teaches more.  "
    "[default: adamw]",
)
@click.option(
    "--seed",
    type=_setting("seed"),
    metavar="N",
    help="Seed of weights, order, split and rendering.",
)
@click.option("--val", type=click.Path(), metavar="DATA", help="Data set to validate on.")
@click.option(
    "--val-fraction",
    type=_setting("val_fraction"),
    metavar="X",
    help="Share of DATA to validate on.",
)
@layout_options
@table_options
@map_option
@click.option(
    "--synth-mix",
    type=Share(),
    metavar="X|auto",
    help="Share of freshly rendered images in every batch, 0 to 1; auto mixes in texts and a "
    "look that are like DATA.",
)
@texts_options
@look_options
@click.option(
    "--fonts",
    type=click.Path(),
    multiple=True,
    metavar="DIR",
    help="Render with the fonts in this folder too; repeatable.",
)
@click.option("--no-system-fonts", is_flag=True, help="Render with the fonts of --fonts only.")
@click.option(
    "--init",
    metavar="MODEL",
    help="Start from a model's weights; 'bundled' and 'contest' are exprocr's own.",
)
@click.option(
    "--charset",
    type=click.Choice(("union", "data", "keep")),
    help="With --init: read the characters of the model and of the data (union), of the data "
    "alone, or of the model alone (keep).  [default: union]",
)
@click.option("--resume", type=click.Path(), metavar="RUN", help="Go on with a stopped run.")
@click.option(
    "--data",
    "moved",
    type=click.Path(),
    metavar="DATA",
    help="With --resume: where the run's DATA is now. --val and --images do the same.",
)
@click.option(
    "--max-time",
    type=Duration(),
    metavar="TIME",
    help="Stop after this time: 90s, 10m, 1h30m. Without --epochs or --steps, a new run's "
    "schedule gets no longer than that.",
)
@click.option(
    "--target-accuracy",
    type=FiniteRange(0, 1),
    metavar="X",
    help="Stop at this validation exact match.",
)
@click.option(
    "--patience",
    type=COUNT,
    metavar="N",
    help="Stop after N evaluations in a row without a better one, or a lower validation loss.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, MAX_PROCESSES),
    metavar="N",
    help="Processes that render ahead.  [default: one per processor, at most 4]",
)
@click.option(
    "--tensorboard",
    is_flag=True,
    help="Also write event files for TensorBoard, to RUN/tensorboard.",
)
@compute_options
@pass_session
@click.pass_context
def train(ctx: click.Context, session: Session, /, **options: Any) -> int:
    """Train a model on DATA, on rendered images (--synth-mix 1), or on both.

    DATA is a folder or file in any layout that is known, such as images with labels.txt, train/
    and val/, a CSV with the columns image and text, or a text file for each image. The reference
    lists all.
    """
    from exprocr.cli.train.run import run

    given = {
        name for name in options if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    return run(session, options, given)
