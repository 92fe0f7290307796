"""``exprocr train``: train a model on labeled images, rendered images, or both."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from exprocr.cli.options import FiniteRange, Session, compute_options, pass_session

if TYPE_CHECKING:
    from exprocr.training.checkpoint import Checkpoint
    from exprocr.training.run import RunSpec

PRESETS = ("default", "reference")
RESUMABLE = ("resume", "epochs", "max_time", "target_accuracy", "patience", "tensorboard")
"""What may be given with ``--resume``: the stopping limits, and what is recorded."""

MACHINE = ("device", "threads", "workers")
"""And where to compute."""

COUNT = click.IntRange(min=1)
SHARE = FiniteRange(0, 1)


class Duration(click.ParamType[float]):
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


@click.command(
    epilog="\b\nExamples:\n  exprocr train data/\n  exprocr train data/ --init bundled "
    "--synth-mix 0.5\n  exprocr train --synth-mix 1 --max-time 10m\n  exprocr train --resume "
    "runs/20250101-120000"
)
@click.argument("data", required=False, type=click.Path())
@click.option(
    "--output", type=click.Path(), metavar="DIR", help="Run directory.  [default: runs/<time>]"
)
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    default="default",
    show_default=True,
    help="Where settings come from that neither --config nor an option gives.",
)
@click.option("--config", type=click.Path(), metavar="FILE", help="Settings in TOML.")
@click.option("--epochs", type=COUNT, metavar="N", help="Passes over the data.")
@click.option("--batch-size", type=COUNT, metavar="N", help="Images a step.")
@click.option(
    "--learning-rate", type=FiniteRange(1e-8, 10), metavar="X", help="Peak learning rate."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Seed of weights, order, split and rendering.",
)
@click.option("--val", type=click.Path(), metavar="DATA", help="Data set to validate on.")
@click.option(
    "--val-fraction",
    type=FiniteRange(0, 0.9),
    metavar="X",
    help="Share of DATA to validate on.",
)
@click.option(
    "--synth-mix", type=SHARE, metavar="X", help="Share of freshly rendered images, 0 to 1."
)
@click.option(
    "--fonts",
    type=click.Path(),
    multiple=True,
    metavar="DIR",
    help="Render in these fonts too; repeatable.",
)
@click.option(
    "--init", metavar="MODEL", help="Start from a model's weights; 'bundled' is exprocr's own."
)
@click.option("--resume", type=click.Path(), metavar="RUN", help="Go on with a stopped run.")
@click.option(
    "--max-time", type=Duration(), metavar="TIME", help="Stop after this time: 90s, 10m, 1h30m."
)
@click.option(
    "--target-accuracy", type=SHARE, metavar="X", help="Stop at this validation exact match."
)
@click.option("--patience", type=COUNT, metavar="N", help="Stop after N evaluations without gain.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes that render ahead.  [default: one fewer than processors, at most 4]",
)
@click.option(
    "--tensorboard",
    is_flag=True,
    help="Write event files for TensorBoard too, to RUN/tensorboard.",
)
@compute_options
@pass_session
@click.pass_context
def train(ctx: click.Context, session: Session, /, **options: Any) -> None:
    """Train a model on DATA, on rendered images (--synth-mix 1), or on both.

    DATA is a folder or file as `exprocr synth` writes it: images with labels.txt, train/ and
    val/, or a CSV, TSV or JSONL file with the columns image and text.
    """
    from exprocr.cli.output import progress
    from exprocr.cli.train.report import describe, finish
    from exprocr.cli.train.session import run_training, writes_events
    from exprocr.errors import ExprocrError
    from exprocr.training.checkpoint import CHECKPOINT_NAME
    from exprocr.training.run import read_data
    from exprocr.training.setup import make_trainer

    spec, checkpoint, run_dir = _plan(ctx, options)
    with_events = writes_events(session, run_dir, asked=options["tensorboard"])
    spec, data = read_data(spec)
    for remark in data.remarks:
        session.note(remark)
    for warning in data.warnings:
        session.report(f"warning: {warning}")
    with progress(session, len(data.texts), description="reading") as bar:
        trainer = make_trainer(spec, data, run_dir, resume=checkpoint, progress=bar.update)
    session.note(describe(trainer, data, run_dir))
    interrupts: list[int] = []
    try:
        outcome = run_training(session, trainer, spec, interrupts, with_events=with_events)
        finish(session, trainer, data, run_dir, outcome)
    except ExprocrError:
        if (run_dir / CHECKPOINT_NAME).exists():
            session.report(_how_to_go_on(run_dir))
        raise
    if outcome == "interrupted":
        session.report(_how_to_go_on(run_dir))
        ctx.exit(128 + interrupts[0])


def _how_to_go_on(run_dir: Path) -> str:
    return f"stopped; go on with: exprocr train --resume {shlex.quote(str(run_dir))}"


def _plan(ctx: click.Context, options: dict[str, Any]) -> tuple[RunSpec, Checkpoint | None, Path]:
    """Return the run's settings, the checkpoint to go on from, and the run directory."""
    from dataclasses import replace

    from exprocr.core.model.torch_engine import set_threads
    from exprocr.training.run import default_workers, read_checkpoint

    given = {
        name: value
        for name, value in options.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    limits: dict[str, Any] = {
        name: given[name] for name in ("epochs", "target_accuracy", "patience") if name in given
    }
    if "max_time" in given:
        limits["max_time_s"] = given["max_time"]
    if options["resume"] is not None:
        for name in given:
            if name not in (*RESUMABLE, *MACHINE):
                raise click.UsageError(
                    f"--resume takes everything from the run: leave out {_option(name)}"
                )
        run_dir = Path(options["resume"])
        spec, checkpoint = read_checkpoint(run_dir)
        machine = {name: given[name] for name in MACHINE if name in given}
        return replace(spec, limits=replace(spec.limits, **limits), **machine), checkpoint, run_dir
    spec = _new_spec(options, limits)
    workers = options["workers"]
    if workers is None:
        workers = default_workers(spec.settings.training.synth_mix)
    return (
        replace(spec, threads=set_threads(options["threads"]), workers=workers),
        None,
        _run_dir(options["output"]),
    )


def _new_spec(options: dict[str, Any], limits: dict[str, Any]) -> RunSpec:
    from dataclasses import replace

    from exprocr.core.config.schema import PRESETS as PRESET_SETTINGS
    from exprocr.core.config.settings import load_settings
    from exprocr.core.model.artifact import BUNDLED, ModelFile
    from exprocr.errors import ConfigError
    from exprocr.training.limits import Limits
    from exprocr.training.run import RunSpec

    if options["val"] is not None and options["val_fraction"] is not None:
        raise click.UsageError("give --val or --val-fraction, not both")
    names = ("epochs", "batch_size", "learning_rate", "seed", "val_fraction", "synth_mix")
    changes = {"training": {n: options[n] for n in names if options[n] is not None}}
    if options["fonts"]:
        changes["synth"] = {"fonts": options["fonts"]}
    file = Path(options["config"]) if options["config"] else None
    settings = load_settings(options["preset"], file, changes)
    folders = tuple(str(Path(folder).resolve()) for folder in settings.synth.fonts)
    settings = replace(settings, synth=replace(settings.synth, fonts=folders))
    if options["data"] is None and settings.training.synth_mix < 1:
        raise click.UsageError("give DATA, or --synth-mix 1 to train on rendered images alone")
    init = options["init"]
    if init is not None:
        model = ModelFile.load(init)
        preset = PRESET_SETTINGS[options["preset"]]
        shape = (settings.model, settings.preprocess)
        known = [(source.model, source.preprocess) for source in (preset, model)]
        if shape not in known:
            raise ConfigError(
                f"{file}: --init takes the network from the model: leave out [model] and "
                "[preprocess]"
            )
        settings = replace(settings, model=model.model, preprocess=model.preprocess)
        init = init if init == BUNDLED else str(Path(init).resolve())
    return RunSpec(
        settings=settings,
        data=_resolved(options["data"]),
        val=_resolved(options["val"]),
        init=init,
        limits=Limits(**limits),
        device=options["device"],
    )


def _resolved(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _option(name: str) -> str:
    return "DATA" if name == "data" else "--" + name.replace("_", "-")


def _run_dir(output: str | None) -> Path:
    import time

    from exprocr.errors import OutputError

    run_dir = Path(output) if output else Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise OutputError(
            f"{run_dir}: expected a new or empty folder for the run, found one that is not; "
            "name another with --output, or go on with --resume"
        )
    return run_dir
