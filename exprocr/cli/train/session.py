"""A training under way: who is told of it, and how it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

from exprocr.cli.options import Session
from exprocr.cli.output import progress
from exprocr.cli.train.report import ProgressBar
from exprocr.errors import ConfigError
from exprocr.training.observer import Observers
from exprocr.training.tensorboard import EVENTS_NAME, require_tensorboard, write_events

if TYPE_CHECKING:
    from exprocr.training.loop import Trainer
    from exprocr.training.run import RunSpec


def writes_events(session: Session, run_dir: Path, *, asked: bool) -> bool:
    """Return whether a run writes event files: if asked for, or if it has some and goes on.

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


def run_training(
    session: Session,
    trainer: Trainer,
    spec: RunSpec,
    interrupts: list[int],
    *,
    with_events: bool,
) -> str:
    """Train under a progress bar; a signal, added to ``interrupts``, stops it after the step."""
    steps = (spec.limits.epochs or trainer.config.epochs) * trainer.batches.steps_per_epoch
    with ExitStack() as stack:
        stack.enter_context(_collect(interrupts))
        events = [stack.enter_context(write_events(trainer))] if with_events else []
        bar = stack.enter_context(progress(session, steps, description="training", unit="step"))
        # Short enough for 80 columns: what is done, the figures, the time left.
        bar.bar_format = "{desc} |{bar:8}| {percentage:.0f}% {remaining} left"
        bar.update(trainer.state.step)
        bar.unpause()
        observer = Observers(*events, ProgressBar(bar, session, trainer))
        return trainer.train(spec.limits, observer, lambda: bool(interrupts))


@contextmanager
def _collect(received: list[int]) -> Iterator[None]:
    """Collect Ctrl-C and SIGTERM instead of ending; a second Ctrl-C ends at once."""

    def remember(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = {number: signal.signal(number, remember) for number in (SIGINT, SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
