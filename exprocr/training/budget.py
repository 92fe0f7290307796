"""How many steps a training takes, if nobody says it: as few images need, or as fit into a time.

The time of a step is measured before the training begins. The learning rate must depend on the step
alone, or else a resumed run would not be the same. So a training with a time limit gets its number
of steps before the first one.
"""

from __future__ import annotations

import copy
import time
from dataclasses import replace

import torch

from exprocr.core.config.schema import TrainingConfig
from exprocr.core.evaluation.measure import LabeledImages, evaluate
from exprocr.training.batches import Batches
from exprocr.training.learner import Learner
from exprocr.training.precision import Precision
from exprocr.training.step import Stepper

MEASURED_SHARE, MOST_MEASURED_S = 0.04, 30.0
"""Share of the time that is spent on measuring, and the longest time, s."""

PLANNED_SHARE = 0.93
"""Share of the rest that is planned: the machine may be slower later."""

FEWEST_STEPS, EVALUATION_STEPS = 1_000, 50
"""Steps of a training with few images, and steps between two of its evaluations, if nobody names
them."""

LEAST_STEPS, MOST_STEPS, NUM_READ = 4, 10_000, 256
"""Steps that are timed at least and at most, and validation images that are."""


def planned(config: TrainingConfig, steps_per_epoch: int) -> TrainingConfig:
    """Return the settings of a training whose length nobody named.

    With few images an epoch is nothing: it gets `FEWEST_STEPS`, and evaluations that do not take
    longer than the steps.

    Args:
        config: Its settings.
        steps_per_epoch: Steps of a pass over the data.
    """
    if config.epochs * steps_per_epoch >= FEWEST_STEPS:
        return config
    every = config.evaluate_every_steps or max(steps_per_epoch, EVALUATION_STEPS)
    return replace(config, steps=FEWEST_STEPS, evaluate_every_steps=every)


def steps_within(
    seconds: float,
    learner: Learner,
    config: TrainingConfig,
    precision: Precision,
    batches: Batches,
    validation: LabeledImages,
) -> int:
    """Return how many steps, with their evaluations, a training takes within a time; at least one.

    Some steps of a copy of the network are timed. Nothing remains of them.

    Args:
        seconds: The time.
        learner: The network, before its first step.
        config: How it will be trained.
        precision: Number format of the steps.
        batches: The training batches.
        validation: The validation images.
    """
    started = time.monotonic()
    trial = replace(learner, network=copy.deepcopy(learner.network))
    devices = [learner.device] if learner.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        step_s = _time_steps(
            trial, config, precision, batches, min(MEASURED_SHARE * seconds, MOST_MEASURED_S)
        )
    evaluation_s = _time_evaluation(trial, validation)
    left = PLANNED_SHARE * (seconds - (time.monotonic() - started))
    evaluations = 1 / (config.evaluate_every_steps or batches.steps_per_epoch)
    # Once more at the end, and once for the calibration.
    return max(1, int((left - 2 * evaluation_s) / (step_s + evaluations * evaluation_s)))


def _time_steps(
    trial: Learner, config: TrainingConfig, precision: Precision, batches: Batches, seconds: float
) -> float:
    """Return the mean time of a step, s, in the second half of those taken in so many seconds.

    In the first half, kernels are made for new shapes, and memory is used for the first time.
    Rendered pictures come for several steps at once: there is at least one wait for them.
    """
    least = max(LEAST_STEPS, batches.pool_steps + 1 if batches.rendered else 0)
    stepper = Stepper(trial, config, MOST_STEPS, precision)
    ends = [time.monotonic()]
    try:
        for number, batch in enumerate(batches.between(0, MOST_STEPS)):
            stepper.take(number, batch).result()
            ends.append(time.monotonic())
            is_enough = len(ends) > least and ends[-1] - ends[0] > seconds
            if batches.processes.greatest(is_enough):  # all stop together
                break
    except RuntimeError:
        batches.check_processes()
        raise
    half = len(ends) // 2
    return (ends[-1] - ends[half]) / (len(ends) - 1 - half)


def _time_evaluation(trial: Learner, validation: LabeledImages) -> float:
    """Return the time of an evaluation, s."""
    recognizer = trial.recognizer()
    num = len(validation.inks)
    sample = slice(0, num, -(-num // NUM_READ))
    some = LabeledImages(
        validation.inks[sample], validation.texts[sample], validation.values[sample]
    )
    evaluate(recognizer, some)  # what only the first one takes
    begin = time.monotonic()
    evaluate(recognizer, some)
    return (time.monotonic() - begin) * num / len(some.inks)
