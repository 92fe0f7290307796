"""What ``exprocr train`` says: before, while and after it trains."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exprocr.cli.options import Session

if TYPE_CHECKING:
    from tqdm import tqdm

    from exprocr.core.evaluation.calibration import Calibration
    from exprocr.training.checkpoint import TrainingState
    from exprocr.training.loop import Trainer
    from exprocr.training.run import RunData

OUTCOMES = {
    "finished": "all epochs done",
    "interrupted": "interrupted",
    "time_limit": "time limit reached",
    "target_accuracy": "target accuracy reached",
    "patience": "no better evaluation for a while",
}


def describe(trainer: Trainer, data: RunData, run_dir: Path) -> str:
    """Say in one line what is trained on what."""
    from exprocr.core.model.network import num_parameters

    batches = trainer.batches
    rendered = f" + {batches.rendered.size} rendered in each batch" if batches.rendered else ""
    source = f"{len(data.train):,} images{rendered}" if data.train else "rendered images"
    return (
        f"{source} to train on, {len(trainer.validation.inks):,} to validate; "
        f"{num_parameters(trainer.network):,} parameters, "
        f"characters {trainer.charset.characters}, grammar {trainer.best.grammar}; "
        f"steps in {trainer.stepper.precision}; writing {run_dir}"
    )


class ProgressBar:
    """Shows the training in a tqdm bar."""

    def __init__(self, bar: tqdm[Any], session: Session, trainer: Trainer) -> None:
        self.bar = bar
        self.session = session
        self.trainer = trainer
        self.mean_loss: float | None = None
        self.val = ""

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Advance by one step."""
        loss = record["loss"]
        self.mean_loss = loss if self.mean_loss is None else 0.95 * self.mean_loss + 0.05 * loss
        epoch = (state.step - 1) // self.trainer.batches.steps_per_epoch + 1
        exact = state.epoch_exact / state.epoch_images
        self.bar.set_description_str(
            f"epoch {epoch} loss {self.mean_loss:.3g} train {exact:.1%}{self.val} "
            f"{self.trainer.images_per_s:.0f} img/s",
            refresh=False,
        )
        self.bar.update()

    def on_evaluation(self, record: dict[str, Any]) -> None:
        """Say what the evaluation found."""
        self.val = f" val {record['val_exact_match']:.1%}"
        training, speed = "before training", ""
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
        """Say how sure the model is told to be, and how right that is."""
        reliability = calibration.reliability
        self.session.note(
            f"calibrated with grammar {self.trainer.best.grammar}: temperature "
            f"{calibration.temperature:.3f}, calibration error {reliability.ece():.2%}, exact "
            f"{sum(reliability.correct) / len(reliability.correct):.2%}"
        )


def finish(session: Session, trainer: Trainer, data: RunData, run_dir: Path, outcome: str) -> None:
    """Draw the curves, print what came out, and name the next commands."""
    from exprocr.cli.output import print_table, summary_table
    from exprocr.core.model.artifact import MODEL_FILE_NAME
    from exprocr.core.runs.journal import read_records
    from exprocr.core.runs.summary import best_evaluation
    from exprocr.training.run import VAL_NAME
    from exprocr.viz.canvas.picture import save_picture
    from exprocr.viz.plots.curves import draw_curves
    from exprocr.words import format_duration, quantity

    records = read_records(trainer.journal.path)
    save_picture(draw_curves({run_dir.resolve().name: records}), run_dir / "curves.png")
    best = best_evaluation(records)
    state = trainer.state
    rows: list[tuple[str, object]] = [
        ("stopped", OUTCOMES[outcome]),
        ("epochs", f"{trainer.num_epochs_done} ({quantity(state.step, 'step')})"),
        ("time", format_duration(state.elapsed_s)),
    ]
    if best is not None:
        rows += [
            ("images/s", f"{trainer.images_per_s:.0f}"),
            ("best after epoch", best["epoch"]),
            ("validation exact match", f"{best['val_exact_match']:.2%}"),
            ("validation CER", f"{best['val_cer']:.3%}"),
        ]
    rows.append(("model", run_dir / MODEL_FILE_NAME))
    if trainer.best.graph_path.exists():
        rows.append(("graph", trainer.best.graph_path))
    print_table(summary_table(rows, title="Training"))
    if trainer.best.graph_problem:
        session.report(f"warning: {trainer.best.graph_problem}")
    run = shlex.quote(str(run_dir))
    if data.val:
        image, target = _shown(str(data.val[0].path)), _shown(str(run_dir / VAL_NAME))
        session.note(f"Next: exprocr predict --model {run} {image}")
    else:  # nothing is on disk to read
        target = "rendered"
        session.note(f"Next: exprocr synth {target} -n 1000")
        session.note(f"      exprocr predict --model {run} {target}/0.png")
    session.note(f"      exprocr eval {target} --model {run}")


def _shown(path: str) -> str:
    """Write a path for a command line: relative if it is below this folder."""
    below = Path(path).is_relative_to(Path.cwd())
    return shlex.quote(str(Path(path).relative_to(Path.cwd())) if below else path)
