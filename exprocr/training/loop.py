"""The training loop: steps, evaluations, checkpoints, and when to stop.

    exprocr train data/          # on files
    exprocr train --synth-mix 1  # on freshly rendered images, without files

`Trainer._loop` is the loop. What is in a batch and how large the learning rate is depend on the
number of the step, never on the time. So a run that was stopped and resumed gives the same
network, bit for bit, as one that was not stopped (with equal threads). A checkpoint is written
before the first step, so that a run can be resumed from its beginning on.

A step whose loss or gradient is not finite changes nothing and is counted. After
`MAX_SKIPPED_IN_A_ROW` of them the run stops.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from exprocr.core.config.settings import to_dict
from exprocr.core.evaluation.measure import LabeledImages, evaluate
from exprocr.core.evaluation.metrics import Evaluation, is_as_good, score
from exprocr.core.model.torch_engine import export_weights, parameter_values
from exprocr.core.runs.journal import Journal
from exprocr.core.runs.layout import CHECKPOINT_NAME, METRICS_NAME, TENSORS_NAME
from exprocr.core.runs.tensor_record import TensorRecorder
from exprocr.core.system.memory import return_freed_memory
from exprocr.errors import DataError
from exprocr.training.average import AveragedWeights
from exprocr.training.batches import Batches
from exprocr.training.best import BestNetwork
from exprocr.training.checkpoint import Checkpoint, TrainingState, restore, save_checkpoint
from exprocr.training.folder import RunFolder
from exprocr.training.learner import Learner
from exprocr.training.limits import Limits, Outcome
from exprocr.training.observer import Observer
from exprocr.training.processes import Processes
from exprocr.training.run import RunSpec
from exprocr.training.step import Stepper, TakenStep

PLACES = ("data", "val", "images")
"""Settings that say where a run's files are; options of these names give their new places."""

MAX_SKIPPED_IN_A_ROW = 10
"""After so many steps in a row whose loss or gradient is not finite, the run stops."""

STOP_REASONS: tuple[Outcome | None, ...] = (None, "time_limit", "interrupted")
"""What stops a training after any step; the last one wins where processes have different ones."""


class Trainer:
    """Trains one network in one run directory.

    Args:
        learner: The network.
        spec: The run's settings; checkpoints keep them.
        batches: The training batches.
        validation: The validation images.
        folder: Where to write.
        resume: Checkpoint to go on from; None begins a new run.
        facts: What else the model file says of the training.
        processes: Those that train together; None is this one alone.
    """

    def __init__(
        self,
        learner: Learner,
        spec: RunSpec,
        batches: Batches,
        validation: LabeledImages,
        folder: RunFolder,
        resume: Checkpoint | None = None,
        facts: Mapping[str, Any] | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes(device=learner.device)
        self.network, self.device, self.charset = learner.network, learner.device, learner.charset
        self.config = config = spec.settings.training
        self.settings = {**to_dict(spec), "charset": learner.charset.characters}
        self.batches = batches
        self.validation = validation
        self.folder, run_dir = folder, folder.path
        self.starts_from_weights = spec.init is not None
        self.num_steps = config.steps or config.epochs * batches.steps_per_epoch
        self.stepper = Stepper(learner, config, self.num_steps, spec.precision, self.processes)
        self.average = AveragedWeights(learner.network, config.ema_decay)
        self.recognizer = learner.recognizer()
        self.journal = Journal(run_dir / METRICS_NAME)
        self.tensors = TensorRecorder(run_dir / TENSORS_NAME)
        self.state = TrainingState()
        self._lap = time.monotonic()
        self.best = BestNetwork(
            run_dir,
            charset=learner.charset,
            input_size=learner.input_size,
            grammar=learner.grammar,
            config=config,
            num_val_images=len(validation.inks),
            facts=facts or {},
        )
        self._begin(resume)

    def _begin(self, resume: Checkpoint | None) -> None:
        """Restore the checkpoint, if there is one, and drop what was recorded after it."""
        if resume:
            restore(resume, self.network, self.stepper.optimizer)
            self.average.restore(resume)
            self.state = resume.state
            if self.processes.leads:
                self.best.restore(resume.part("best"), self.network, self.state)
            else:
                self.best.weights = resume.part("best")
            if any(self.settings.get(name) != resume.settings.get(name) for name in PLACES):
                self._save()  # perhaps no step is left that would do it
        else:  # first of all files: from here on the run can be resumed
            self._save()
        # An evaluation within an epoch, at a time limit, is of a network that is gone. Before the
        # first step, one that the checkpoint does not know of is done again.
        evaluated = self.state.epoch_images == 0 and bool(self.state.step or self.best.weights)
        if not self.processes.leads:
            return
        for record in (self.journal, self.tensors):
            record.rewind(self.state.step, evaluated=evaluated)

    @property
    def num_epochs_done(self) -> int:
        """Complete epochs."""
        return self.state.step // self.batches.steps_per_epoch

    @property
    def images_per_s(self) -> float:
        """Images per second in training, over all sessions, without the time of evaluations."""
        return self.batches.num_images(self.state.step) / max(self.state.elapsed_s, 1e-9)

    def train(
        self, limits: Limits, observer: Observer, stop_requested: Callable[[], bool]
    ) -> Outcome:
        """Train until a limit is reached, then calibrate the best network.

        Args:
            limits: When to stop.
            observer: Is told of each step, each evaluation and the calibration.
            stop_requested: Asked during each step; true stops after it.

        Raises:
            DataError: The loss or the gradient was not finite in too many steps in a row, or the
                weights are not; or a process that renders images was killed.
            OutputError: The run directory cannot be written, or was removed or renamed.
        """
        try:
            outcome = self._loop(limits, observer, stop_requested)
        except RuntimeError:  # PyTorch raises it, wherever the loop is when a process ends
            self.batches.check_processes()
            raise
        if not self.processes.leads:
            return outcome
        self.folder.check()
        calibration = self.best.calibrate(
            self.recognizer, self.network, self.state, self.validation
        )
        if calibration:
            observer.on_calibration(calibration)
        return outcome

    def _loop(
        self, limits: Limits, observer: Observer, stop_requested: Callable[[], bool]
    ) -> Outcome:
        """Take steps, evaluate and save until a limit is reached, and return which."""
        if self.starts_from_weights and not self.state.step and not self.best.weights:
            # The weights that a run starts from are the first candidate for the best network.
            observer.on_evaluation(self._evaluate())
            self._checkpoint()
        if reached := self._limit_reached(limits):
            return reached
        last_step = self.last_step(limits)
        started = self._lap = time.monotonic()
        queued: TakenStep | None = None
        batches = self.batches.between(self.state.step, last_step)
        for number, batch in enumerate(batches, self.state.step):
            taken = self.stepper.take(number, batch)
            self.average.update(number)
            if queued:  # the step before, whose result is read while this one is computed
                self._record(queued, observer)
            queued = taken
            stop = self._stop_reason(started, limits, stop_requested)
            is_evaluated = number + 1 == last_step or self._is_evaluated(number + 1)
            is_saved = (number + 1) % self.config.checkpoint_every_steps == 0
            if not (stop or is_evaluated or is_saved):
                continue
            self._record(queued, observer)
            queued = None
            self._check_weights()  # only a sound network is evaluated or saved
            if is_evaluated:
                observer.on_evaluation(self._evaluate())
                self._checkpoint()
                self._lap = time.monotonic()  # the time of evaluations is not counted
                if reached := self._limit_reached(limits):
                    return reached
            elif not stop:
                self._checkpoint()
            if stop:
                return self._stop_early(stop, observer)
        return "finished"

    def _is_evaluated(self, step: int) -> bool:
        every = self.config.evaluate_every_steps or self.batches.steps_per_epoch
        return step % every == 0

    def _stop_reason(
        self, started: float, limits: Limits, stop_requested: Callable[[], bool]
    ) -> Outcome | None:
        reason: Outcome | None = None
        if limits.max_time_s is not None and time.monotonic() - started >= limits.max_time_s:
            reason = "time_limit"
        elif stop_requested():
            reason = "interrupted"
        # All processes stop after the same step.
        return STOP_REASONS[self.processes.greatest(STOP_REASONS.index(reason))]

    def _stop_early(self, outcome: Outcome, observer: Observer) -> Outcome:
        """Save all there is.

        The checkpoint comes first. So a resumed run does not know of the evaluation, and goes on
        as if there had been none.
        """
        self._checkpoint()
        if outcome == "time_limit" and self.state.epoch_images:
            observer.on_evaluation(self._evaluate())
            self._flush()
        elif not self.best.weights:
            with self.average.in_place():
                self._keep_best()
        return outcome

    def _keep_best(self) -> None:
        if not self.processes.leads:
            self.best.weights = export_weights(self.network)
        self.processes.lead(lambda: self.best.keep(self.network, self.state))

    def last_step(self, limits: Limits) -> int:
        """Return the number of steps after which the run is finished."""
        if limits.epochs is None:
            return self.num_steps
        return limits.epochs * self.batches.steps_per_epoch

    def _limit_reached(self, limits: Limits) -> Outcome | None:
        done = self.state.step >= self.last_step(limits)
        return limits.reached(self.state) or ("finished" if done else None)

    def _record(self, taken: TakenStep, observer: Observer) -> None:
        """Wait for the result of a step; count and record it.

        Raises:
            DataError: It was skipped, and so were too many before it.
        """
        state, result = self.state, taken.result()
        state.step += 1
        if result.is_skipped:
            state.skipped_steps += 1
            state.skipped_in_a_row += 1
        else:
            state.skipped_in_a_row = 0
            state.epoch_images += result.num_images
            state.epoch_loss += result.loss * result.num_images
            state.epoch_exact += result.num_exact
            state.epoch_edit_distance += result.edit_distance
        now = time.monotonic()
        state.elapsed_s, self._lap = state.elapsed_s + now - self._lap, now
        record = {
            "kind": "step",
            "step": state.step,
            "epoch": self._epoch_of_last_step(),
            "loss": result.loss if math.isfinite(result.loss) else None,
            "learning_rate": taken.learning_rate,
            "elapsed_s": state.elapsed_s,
        }
        if result.is_skipped:
            record["skipped_steps"] = state.skipped_steps
            shares = self.processes.gather(self.batches.names(state.step - 1))
            record["images"] = [name for names in shares for name in names]
        if self.processes.leads:
            self.journal.add(record)
        observer.on_step(state, record)
        if state.skipped_in_a_row == MAX_SKIPPED_IN_A_ROW:
            self._flush()  # which names the images; the checkpoint stays as it is
            raise DataError(
                f"steps {state.step - MAX_SKIPPED_IN_A_ROW + 1} to {state.step}: expected a finite "
                "loss and gradient, found none in all of them; try a lower learning rate"
            )

    def _check_weights(self) -> None:
        """Check that all weights are finite.

        Raises:
            DataError: They are not.
        """
        sound = [value.isfinite().all() for value in self.network.state_dict().values()]
        if not torch.stack(sound).all():
            raise DataError(
                f"step {self.state.step}: expected finite weights, found others; try a lower "
                "learning rate or weight decay"
            )

    def _epoch_of_last_step(self) -> int:
        return -(-self.state.step // self.batches.steps_per_epoch)

    def _evaluate(self) -> dict[str, Any]:
        """Validate, keep the network if it is the best, and begin new counts of training images."""
        with self.average.in_place():
            return self._evaluate_network()

    def _evaluate_network(self) -> dict[str, Any]:
        state = self.state
        counts, val_loss = self._validate()
        is_best = self._is_best(counts, val_loss)
        record = {
            "kind": "evaluation",
            "step": state.step,
            "epoch": self._epoch_of_last_step(),
            "train_loss": self._mean(state.epoch_loss),
            "train_exact_match": self._mean(state.epoch_exact),
            "train_normalized_edit_distance": self._mean(state.epoch_edit_distance),
            "val_loss": val_loss,
            "val_exact_match": counts.exact_match,
            "val_normalized_edit_distance": counts.normalized_edit_distance,
            "val_cer": counts.cer,
            "best_step": state.step if is_best else state.best_step,
            "images_per_s": self.images_per_s,
            "elapsed_s": state.elapsed_s,
        }
        if self.processes.leads:
            self.journal.add(record)
            self.tensors.add(state.step, parameter_values(self.network))
        self.processes.lead(self.folder.check)  # before the model is written
        if is_best:
            state.best_exact_match = counts.exact_match
            state.best_val_loss = val_loss
            state.best_step = state.step
            self._keep_best()
        has_gain = counts.exact_match > state.highest_exact_match or val_loss < state.least_val_loss
        state.evaluations_since_best = 0 if has_gain else state.evaluations_since_best + 1
        state.highest_exact_match = max(state.highest_exact_match, counts.exact_match)
        state.least_val_loss = min(state.least_val_loss, val_loss)
        state.epoch_loss, state.epoch_exact, state.epoch_images = 0.0, 0, 0
        state.epoch_edit_distance = 0.0
        return record

    def _is_best(self, counts: Evaluation, val_loss: float) -> bool:
        """Return whether the network that was evaluated takes the place of the best one.

        The learning rate falls until the end. So of networks that are equally good, the last one
        is the best. But the weights that a run started from give way only to better ones.
        """
        state = self.state
        if state.best_step == 0 and state.best_exact_match >= 0:
            return score(counts.exact_match, val_loss) > state.best_score
        return is_as_good(counts.exact_match, state.highest_exact_match, counts.num_images)

    def _validate(self) -> tuple[Evaluation, float]:
        """Return the counts over the validation images, and their mean loss.

        Each process reads its part of them.
        """
        part, whole = slice(self.processes.rank, None, self.processes.size), self.validation
        own = LabeledImages(whole.inks[part], whole.texts[part], whole.values[part])
        counts, loss = evaluate(self.recognizer, own)
        num = sum(not self.charset.missing(text) for text in own.texts)  # which have a loss
        found = self.processes.gather((counts, num, loss))
        if len(found) == 1:
            return counts, loss
        total = sum((counts for counts, _, _ in found), Evaluation())
        return total, sum(n * loss for _, n, loss in found) / sum(n for _, n, _ in found)

    def _mean(self, total: float) -> float | None:
        """Return the mean over the images since the last evaluation; None if there are none."""
        return total / self.state.epoch_images if self.state.epoch_images else None

    def _flush(self) -> None:
        """Write the records that are not written yet."""
        self.processes.lead(self._write_records)

    def _write_records(self) -> None:
        self.folder.check()
        self.journal.flush()
        self.tensors.flush()

    def _checkpoint(self) -> None:
        # Records first: on resuming, those after the checkpoint are dropped, but none is added.
        self._flush()
        self._save()
        return_freed_memory()

    def _save(self) -> None:
        self.processes.lead(
            lambda: save_checkpoint(
                self.folder.path / CHECKPOINT_NAME,
                state=self.state,
                settings=self.settings,
                network=self.network,
                optimizer=self.stepper.optimizer,
                average=self.average.tensors,
                best=self.best.weights,
            )
        )
