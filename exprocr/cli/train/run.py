"""What ``exprocr train`` does: plan the run, train under a progress bar, print what came out."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import click
from tqdm import tqdm

from exprocr.choices import AUTO
from exprocr.cli import signals
from exprocr.cli.options import Session, check_digits, look_settings, texts_settings
from exprocr.cli.output import print_table, progress, summary_table, warn_of_excluded
from exprocr.core.config.schema import PRESETS, TEXT_SOURCES, Preset, SynthConfig
from exprocr.core.config.settings import load_settings, read_toml
from exprocr.core.evaluation.calibration import Calibration
from exprocr.core.model.artifact import MODEL_FILE_NAME, NAMED, ModelFile
from exprocr.core.model.network import num_parameters
from exprocr.core.model.torch_engine import pick_device, set_threads
from exprocr.core.runs.journal import EVALUATION, read_records
from exprocr.core.runs.layout import (
    CHECKPOINT_NAME,
    CONFIG_NAME,
    CURVES_NAME,
    EVENTS_NAME,
    METRICS_NAME,
    VAL_NAME,
)
from exprocr.core.runs.summary import best_evaluation, of_kind
from exprocr.core.system.ranks import num_processes
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import LEXICON
from exprocr.core.text.notation import look_alike
from exprocr.errors import ConfigError, DataError, ExprocrError
from exprocr.training.checkpoint import Checkpoint, TrainingState
from exprocr.training.folder import RunFolder, check_new
from exprocr.training.limits import Limits
from exprocr.training.loop import PLACES, Trainer
from exprocr.training.mixing import AUTO_MIX, mix_in
from exprocr.training.observer import Observers
from exprocr.training.processes import Processes, join, losses_noticed
from exprocr.training.run import (
    RunData,
    RunSpec,
    check_sources,
    default_workers,
    read_checkpoint,
    read_data,
)
from exprocr.training.setup import make_trainer
from exprocr.training.tensorboard import require_tensorboard, write_events
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.plots.curves import draw_curves
from exprocr.words import first_few, format_duration, quantity

LIMITS = ("epochs", "max_time", "target_accuracy", "patience")
"""Options of when to stop."""

MACHINE = ("device", "threads", "workers")
"""Options of where to compute."""

RESUMABLE = ("resume", "tensorboard", "moved", "val", "images", "allow_outside", *LIMITS, *MACHINE)
"""Options that may be given with ``--resume``."""

SETTINGS = (
    "epochs",
    "steps",
    "batch_size",
    "learning_rate",
    "optimizer",
    "seed",
    "val_fraction",
    "charset",
    "synth_mix",
    "map",
)
"""Options that set the value of the same name in [training]."""

OUTCOMES = {
    "interrupted": "interrupted",
    "time_limit": "time limit reached",
    "target_accuracy": "target accuracy reached",
    "patience": "no better evaluation for a while",
}


def run(session: Session, options: dict[str, Any], given: Collection[str]) -> int:
    """Train, and return the exit code.

    Args:
        session: Which messages to write.
        options: All options of the command, by name.
        given: Names of those that are on the command line.
    """
    with ExitStack() as stack:
        if num_processes() > 1:
            # A signal to one of them stops all, and so waits for the first step.
            stack.enter_context(signals.collected())
        stack.enter_context(losses_noticed())
        return _run(session, options, given, join(pick_device(options["device"])))


def _run(
    session: Session, options: dict[str, Any], given: Collection[str], processes: Processes
) -> int:
    session.is_silent = not processes.leads
    spec, run_dir, checkpoint, init = _plan(options, given, processes)
    if checkpoint and options["resume"] is None:
        session.note(f"{run_dir} has a run, which goes on")
    with_events = processes.leads and _writes_events(session, run_dir, asked=options["tensorboard"])
    spec, data = read_data(spec)
    _tell(session, data)
    if options["synth_mix"] == AUTO and not checkpoint:
        spec, remark = _mixed(spec, data, init, processes)
        session.note(remark)
    fit_s = None
    by_need = not checkpoint and not _has_length(options, spec)
    if by_need and spec.limits.max_time_s:
        fit_s = spec.limits.max_time_s
        session.note("measuring how many steps fit into the time")
    with progress(session, len(data.texts), description="reading") as bar:
        trainer = make_trainer(
            spec,
            data,
            run_dir,
            init=init,
            resume=checkpoint,
            by_need=by_need,
            fit_s=fit_s,
            progress=bar.update,
            processes=processes,
        )
    _tell(session, data)
    session.note(_describe(trainer, data, run_dir))
    if init:
        _say_what_is_new(session, trainer.charset, init.charset.characters, data.texts)
    _warn_of_texts_outside(session, trainer, spec, data)
    try:
        outcome = _train(session, trainer, spec, with_events=with_events)
        if processes.leads:
            _finish(session, trainer, spec, data, run_dir, outcome)
    except ExprocrError:
        if (run_dir / CHECKPOINT_NAME).exists():
            session.report(_how_to_go_on(run_dir))
        raise
    if outcome == "interrupted":
        session.report(_how_to_go_on(run_dir))
        # torchrun starts processes again that end with another code.
        return signals.exit_code() if processes.size == 1 else 0
    return 0


def _tell(session: Session, data: RunData) -> None:
    """Write the remarks and warnings on a run's files that are not written yet."""
    for remark in data.remarks:
        session.note(remark)
    for warning in data.warnings:
        session.report(f"warning: {warning}")
    data.remarks.clear()
    data.warnings.clear()


def _has_length(options: dict[str, Any], spec: RunSpec) -> bool:
    """Return whether the user says how long the schedule is, or there is none."""
    file = options["config"]
    named = read_toml(Path(file)).get("training", {}) if file else {}
    has_length = any(options[name] or named.get(name) for name in ("epochs", "steps"))
    return has_length or spec.settings.training.schedule == "constant"


def _how_to_go_on(run_dir: Path) -> str:
    return f"stopped; go on with: exprocr train --resume {shlex.quote(str(run_dir))}"


class _Plan(NamedTuple):
    """What a run begins with."""

    spec: RunSpec
    run_dir: Path

    checkpoint: Checkpoint | None
    """What it goes on from; None begins a new run."""

    init: ModelFile | None
    """The model that a new run starts from; None is none."""


def _plan(options: dict[str, Any], given: Collection[str], processes: Processes) -> _Plan:
    """Read what the options name, and check that they go together."""
    limits = {name: options[name] for name in LIMITS if name in given}
    if "max_time" in limits:
        limits["max_time_s"] = limits.pop("max_time")
    if options["resume"] is not None:
        for name in options:
            if name in given and name not in RESUMABLE:
                shown = "--" + name.replace("_", "-")
                if name == "data":
                    shown = "DATA, or give it with --data if it has moved"
                raise click.UsageError(f"--resume takes everything from the run: leave out {shown}")
        run_dir = Path(options["resume"])
        # Where there is none, the next line says so.
        if (run_dir / CHECKPOINT_NAME).exists() and processes.leads:
            RunFolder(run_dir).release()  # so that a training in it is noticed now
        return _go_on(run_dir, options, given, limits)
    if options["moved"] is not None:
        raise click.UsageError("--data is for --resume: give DATA alone")
    if processes.size > 1:
        if options["output"] is None:
            raise click.UsageError("several processes need --output: they write one run directory")
        # The leader looks, before it makes the directory. What torchrun starts again finds the run.
        run_dir = Path(options["output"])
        if processes.greatest(processes.leads and (run_dir / CHECKPOINT_NAME).exists()):
            return _go_on(run_dir, options, given, limits)
    spec, init = _new_spec(options, Limits(**limits))
    workers = options["workers"]
    if workers is None:
        workers = default_workers(spec.settings.training.synth_mix)
    spec = replace(spec, threads=set_threads(options["threads"]), workers=workers)
    return _Plan(spec, _new_run_dir(options["output"], processes), None, init)


def _go_on(
    run_dir: Path, options: dict[str, Any], given: Collection[str], limits: dict[str, Any]
) -> _Plan:
    """Return what a run goes on with."""
    spec, checkpoint = read_checkpoint(run_dir)
    changes = {name: options[name] for name in (*MACHINE, "allow_outside") if name in given}
    spec = _moved(replace(spec, limits=replace(spec.limits, **limits), **changes), options)
    return _Plan(spec, run_dir, checkpoint, init=None)


def _moved(spec: RunSpec, options: dict[str, Any]) -> RunSpec:
    """Return the settings of a run with the new places of its files.

    Raises:
        UsageError: There is a new place of files that the run does not have.
        DataError: A data set is not where it should be.
    """
    places = {name: options["moved" if name == "data" else name] for name in PLACES}
    for name, place in places.items():
        known = spec.data or spec.val if name == "images" else getattr(spec, name)
        if place is not None and known is None:
            raise click.UsageError(
                f"--{name} with --resume is for files that have moved: the run has none"
            )
    moved: dict[str, Any] = {
        name: _resolved(place) for name, place in places.items() if place is not None
    }
    spec = replace(spec, **moved)
    for name in ("data", "val"):
        place = getattr(spec, name)
        if place is not None and not Path(place).exists():
            raise DataError(
                f"{place}: expected the data set of the run, found nothing there; if it has "
                f"moved, give its place with --{name}"
            )
    return spec


def _new_spec(options: dict[str, Any], limits: Limits) -> tuple[RunSpec, ModelFile | None]:
    """Return the settings of a new run, and the model that it starts from, if any."""
    if options["val"] is not None and options["val_fraction"] is not None:
        raise click.UsageError("give --val or --val-fraction, not both")
    if options["epochs"] is not None and options["steps"] is not None:
        raise click.UsageError("give --epochs or --steps, not both")
    changes = {
        "training": {n: options[n] for n in SETTINGS if options[n] not in (None, ())},
        "synth": texts_settings(options) | look_settings(options),
    }
    if options["synth_mix"] == AUTO:
        changes["training"]["synth_mix"] = AUTO_MIX
    if options["epochs"] is not None:
        changes["training"]["steps"] = 0
    if options["fonts"]:
        changes["synth"]["fonts"] = options["fonts"]
    if options["no_system_fonts"]:
        changes["synth"]["system_fonts"] = False
    file = Path(options["config"]) if options["config"] else None
    # Rendered images alone are no small set: a longer training with larger steps does no harm.
    trains_on_files = options["data"] is not None and options["synth_mix"] != 1
    fine_tunes = options["init"] is not None and trains_on_files
    preset = options["preset"] or ("finetune" if fine_tunes else "default")
    settings = load_settings(preset, file, changes)
    if options["synth_mix"] != AUTO:
        check_digits(options["digits"], settings.synth)
    settings = replace(settings, synth=_absolute(settings.synth))
    rendered = ({*TEXT_SOURCES} - {"grammar"}) | {"max_length", "look", "digits"}
    for name in sorted(rendered):
        if options[name] is not None and not settings.training.synth_mix:
            shown = name.replace("_", "-")
            raise click.UsageError(
                f"--{shown} is for rendered images: give --synth-mix above 0 too"
            )
    if options["data"] is None and settings.training.synth_mix < 1:
        raise click.UsageError("give DATA, or --synth-mix 1 to train on rendered images alone")
    init, model = options["init"], None
    if options["charset"] is not None and init is None:
        raise click.UsageError("--charset is for --init: without it, the data decides")
    if init is not None:
        model = ModelFile.load(init)
        known = [(source.model, source.preprocess) for source in (PRESETS[preset], model)]
        if (settings.model, settings.preprocess) not in known:
            raise ConfigError(
                f"{file}: --init takes the network from the model: leave out [model] and "
                "[preprocess]"
            )
        settings = replace(settings, model=model.model, preprocess=model.preprocess)
        init = init if init in NAMED else _resolved(init)
    spec = RunSpec(
        settings=settings,
        data=_resolved(options["data"]),
        val=_resolved(options["val"]),
        images=_resolved(options["images"]),
        allow_outside=options["allow_outside"],
        layout=options["layout"],
        label_pattern=options["label_pattern"],
        init=init,
        limits=limits,
        device=options["device"],
    )
    return spec, model


def _mixed(
    spec: RunSpec, data: RunData, init: ModelFile | None, processes: Processes
) -> tuple[RunSpec, str]:
    """Return settings that render what is like the data, as the leader sees it, and a remark."""
    chosen: list[tuple[Preset, str]] = []
    knows_all = init is None or spec.settings.training.charset != "keep"
    model = init or ModelFile.load()
    processes.lead(lambda: chosen.append(mix_in(spec.settings, data, model, knows_all=knows_all)))
    settings, remark = next(filter(None, processes.gather(chosen[0] if chosen else None)))
    workers = spec.workers if settings.training.synth_mix else 0
    return check_sources(replace(spec, settings=settings, workers=workers)), remark


def _absolute(synth: SynthConfig) -> SynthConfig:
    """Return settings whose folders and files are absolute, so that the run can go on elsewhere."""
    grammar = synth.grammar
    if grammar.startswith(LEXICON):
        grammar = f"{LEXICON}{_resolved(grammar.removeprefix(LEXICON))}"
    return replace(
        synth,
        fonts=tuple(str(Path(folder).resolve()) for folder in synth.fonts),
        texts=_resolved(synth.texts or None) or "",
        digits=_resolved(synth.digits or None) or "",
        grammar=grammar,
    )


def _resolved(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _new_run_dir(output: str | None, processes: Processes) -> Path:
    """Return the directory of a new run, which is not made yet."""
    run_dir = Path(output) if output else Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    processes.lead(lambda: check_new(run_dir))
    return run_dir


def _writes_events(session: Session, run_dir: Path, *, asked: bool) -> bool:
    """Return whether to write event files: if they are asked for, or if the run has some.

    Raises:
        ConfigError: They are asked for, and TensorBoard is not installed.
    """
    if not asked and not (run_dir / EVENTS_NAME).exists():
        return False
    try:
        require_tensorboard()
    except ConfigError as error:
        if asked:
            raise
        session.report(f"warning: {run_dir / EVENTS_NAME} is left as it is: {error}")
        return False
    return True


def _describe(trainer: Trainer, data: RunData, run_dir: Path) -> str:
    """Return what is trained on what, in one line."""
    batches = trainer.batches
    rendered = f" + {batches.rendered.size} rendered in each batch" if batches.rendered else ""
    augmented = f"augmentation {batches.augment.strength:g}; " if batches.augment else ""
    source = f"{len(data.train):,} images{rendered}" if data.train else "rendered images"
    return (
        f"{source} to train on, {len(trainer.validation.inks):,} to validate; "
        f"{augmented}{num_parameters(trainer.network):,} parameters, "
        f"characters {trainer.charset.characters}, grammar {trainer.best.grammar}; "
        f"{quantity(trainer.num_steps, 'step')} in {trainer.stepper.precision}; writing {run_dir}"
    )


def _say_what_is_new(session: Session, charset: Charset, known: str, labels: list[str]) -> None:
    """Name the characters that are new to the model that a run starts from, or left out.

    Args:
        session: Which messages to write.
        charset: The run's characters.
        known: The characters of the model.
        labels: The labels of the run.
    """
    if left := "".join(c for c in known if c not in charset.characters):
        session.note(f"characters of the model that are left out: {left}")
    new = "".join(c for c in charset.characters if c not in known)
    if not new:
        return
    session.note(f"new characters, which the model has to learn: {new}")
    written = "".join(c for c in new if any(c in label for label in labels))
    alike = {c: other for c in written if (other := look_alike(c, known))}
    if alike:
        options = " ".join(f"--map '{one}={other}'" for one, other in alike.items())
        session.report(f"warning: some look like characters that the model knows; try {options}")


def _warn_of_texts_outside(
    session: Session, trainer: Trainer, spec: RunSpec, data: RunData
) -> None:
    """Warn of texts outside the grammar that the user names."""
    named, used = spec.settings.synth.grammar, trainer.best.grammar
    if named not in ("", used.name):
        session.report(
            f"warning: texts of other looks are outside the grammar {named}, so the model's "
            f"grammar is {used}"
        )
    warn_of_excluded(session, used, (*data.train, *data.val))


def _train(session: Session, trainer: Trainer, spec: RunSpec, *, with_events: bool) -> str:
    """Train under a progress bar; a signal stops it after the step."""
    steps = trainer.last_step(spec.limits)
    with ExitStack() as stack:
        received = stack.enter_context(signals.collected())
        events = [stack.enter_context(write_events(trainer))] if with_events else []
        bar = stack.enter_context(progress(session, steps, description="training", unit="step"))
        # Short enough for 80 columns: what is done, the figures, the time left.
        bar.bar_format = "{desc} |{bar:8}| {percentage:.0f}% {remaining} left"
        bar.update(trainer.state.step)
        bar.unpause()
        observer = Observers(*events, ProgressBar(bar, session, trainer))
        return trainer.train(spec.limits, observer, lambda: bool(received))


class ProgressBar:
    """Shows a training in a tqdm bar, and its evaluations in lines above it.

    Args:
        bar: The bar.
        session: Which messages to write.
        trainer: The training.
    """

    def __init__(self, bar: tqdm[Any], session: Session, trainer: Trainer) -> None:
        self.bar = bar
        self.session = session
        self.trainer = trainer
        self.mean_loss: float | None = None
        self.val = ""

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Advance by one step."""
        if "skipped_steps" in record:
            self.session.report(
                f"warning: step {state.step} is skipped, because its loss or gradient is not "
                f"finite; its images: {first_few(record['images'])} (all are in {METRICS_NAME})"
            )
        else:
            loss, mean = record["loss"], self.mean_loss
            self.mean_loss = loss if mean is None else 0.95 * mean + 0.05 * loss
            epoch = (state.step - 1) // self.trainer.batches.steps_per_epoch + 1
            exact = state.epoch_exact / state.epoch_images
            self.bar.set_description_str(
                f"epoch {epoch} loss {self.mean_loss:.3g} train {exact:.1%}{self.val} "
                f"{self.trainer.images_per_s:.0f} img/s",
                refresh=False,
            )
        self.bar.update()

    def on_evaluation(self, record: dict[str, Any]) -> None:
        """Write what the evaluation found."""
        self.val = f" val {record['val_exact_match']:.1%}"
        training, speed = "before training" if not record["step"] else "no step was taken", ""
        if record["train_loss"] is not None:
            training = (
                f"epoch {record['epoch']}: loss {record['train_loss']:.4f}, training exact "
                f"{record['train_exact_match']:.2%}"
            )
            speed = f"; {record['images_per_s']:.0f} images/s"
        self.session.note(
            f"{training}; validation loss {record['val_loss']:.4f}, "
            f"exact {record['val_exact_match']:.2%}, CER {record['val_cer']:.3%}{speed}"
        )

    def on_calibration(self, calibration: Calibration) -> None:
        """Write the temperature, and how well confidences agree with the share of right texts."""
        reliability = calibration.reliability
        self.session.note(
            f"calibrated with grammar {self.trainer.best.grammar}: temperature "
            f"{calibration.temperature:.3f}, calibration error {reliability.ece():.2%}, exact "
            f"{sum(reliability.correct) / len(reliability.correct):.2%}"
        )


def _unit(trainer: Trainer, spec: RunSpec) -> str:
    """Return what the length of a run is counted in."""
    return "steps" if trainer.config.steps and spec.limits.epochs is None else "epochs"


def _finish(
    session: Session, trainer: Trainer, spec: RunSpec, data: RunData, run_dir: Path, outcome: str
) -> None:
    """Draw the curves, print what came out, and name the next commands."""
    trainer.folder.check()
    records = read_records(trainer.journal.path)
    save_picture(draw_curves({run_dir.resolve().name: records}), run_dir / CURVES_NAME)
    best = best_evaluation(of_kind(records, EVALUATION))
    state = trainer.state
    rows: list[tuple[str, object]] = [
        ("stopped", OUTCOMES.get(outcome) or f"all {_unit(trainer, spec)} done"),
        ("epochs", f"{trainer.num_epochs_done} ({quantity(state.step, 'step')})"),
        ("time", format_duration(state.elapsed_s)),
    ]
    if state.skipped_steps:
        rows.append(("skipped, not finite", quantity(state.skipped_steps, "step")))
    if best is not None:
        rows += [
            ("images/s", f"{trainer.images_per_s:.0f}"),
            ("best after epoch", best.get("epoch", "?")),
            ("validation exact match", f"{best['val_exact_match']:.2%}"),
            ("validation CER", f"{best.get('val_cer') or 0:.3%}"),
        ]
    rows.append(("model", run_dir / MODEL_FILE_NAME))
    if trainer.best.graph_path.exists():
        rows.append(("graph", trainer.best.graph_path))
    print_table(summary_table(rows, title="Training"))
    if trainer.best.graph_problem:
        session.report(f"warning: {trainer.best.graph_problem}")
    quoted_run = shlex.quote(str(run_dir))
    commands = []
    if data.val:
        target = _shown(str(run_dir / VAL_NAME))
        file = next((sample.path for sample in data.val if sample.stored is None), None)
        if file is not None:
            commands.append(f"predict --model {quoted_run} {_shown(str(file))}")
    else:  # there are no files to read
        target = "rendered"
        same = f" --config {shlex.quote(str(run_dir / CONFIG_NAME))}"
        config = same if spec.settings.synth != SynthConfig() else ""
        commands.append(f"synth {target} -n 1000{config}")
        commands.append(f"predict --model {quoted_run} {target}/0.png")
    commands.append(f"eval {target} --model {quoted_run}")
    for command, start in zip(commands, chain(["Next: "], repeat(" " * 6)), strict=False):
        session.note(f"{start}exprocr {command}")


def _shown(path: str) -> str:
    """Return a path for a command line: relative if it is below this folder."""
    below = Path(path).is_relative_to(Path.cwd())
    return shlex.quote(str(Path(path).relative_to(Path.cwd())) if below else path)
