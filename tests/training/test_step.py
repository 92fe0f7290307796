"""Optimizer steps: queued first, read later; counted without a look at single images."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from exprocr.core.config.schema import TrainingConfig
from exprocr.core.evaluation.measure import evaluate
from exprocr.core.evaluation.metrics import edit_operations
from exprocr.core.runs.layout import CHECKPOINT_NAME, SPLIT_NAME
from exprocr.core.runs.summary import read_run
from exprocr.core.text.charset import Charset
from exprocr.errors import DataError
from exprocr.training import loop, step
from exprocr.training.batches import Batch
from exprocr.training.checkpoint import load_checkpoint, save_checkpoint
from exprocr.training.limits import Limits
from exprocr.training.loss import TargetEncoder, Targets, ctc_losses
from exprocr.training.run import RunSpec
from exprocr.training.schedule import make_optimizer
from exprocr.training.step import Stepper, StepResult, TakenStep, compare
from tests.support.tiny_runs import (
    NEVER,
    Recorder,
    check_same,
    go_on,
    metrics,
    prepare,
    start,
    tiny_settings,
)

CHARSET = Charset("+-01")
TEXTS = st.text(CHARSET.characters, min_size=1, max_size=6)


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_targets_are_the_class_ids(texts: list[str]) -> None:
    targets = TargetEncoder(CHARSET)(texts)
    assert targets.lengths.tolist() == [len(text) for text in texts]
    for ids, text in zip(targets.ids, texts, strict=True):
        assert ids[: len(text)].tolist() == CHARSET.encode(text)
        assert not ids[len(text) :].any()


def test_targets_of_characters_beyond_the_first_plane() -> None:
    charset = Charset("a\u2212\U0001d7d8\ud800")
    assert TargetEncoder(charset)(["\U0001d7d8a", "\ud800\u2212"]).ids.tolist() == [[3, 1], [4, 2]]


@settings(deadline=None)
@given(st.data(), st.integers(1, 9))
def test_counts_are_those_of_texts_compared_one_by_one(data: st.DataObject, frames: int) -> None:
    texts = data.draw(st.lists(TEXTS, min_size=1, max_size=4))
    classes = st.lists(st.integers(0, 4), min_size=frames, max_size=frames)
    paths = data.draw(st.lists(classes, min_size=len(texts), max_size=len(texts)))
    ends = data.draw(
        st.lists(st.integers(1, frames), min_size=len(texts), max_size=len(texts))
    )  # what comes later is padding
    targets = TargetEncoder(CHARSET)(texts)
    exact, distances = compare(np.array(paths).T, targets, np.array(ends))
    for whole, end, text, is_exact, distance in zip(
        paths, ends, texts, exact, distances, strict=True
    ):
        path = whole[:end]
        kept = [c for i, c in enumerate(path) if c and (i == 0 or path[i - 1] != c)]
        read = CHARSET.decode(kept)
        assert is_exact == (read == text)
        assert distance == len(edit_operations(text, read))


def test_a_step_is_read_after_the_next_is_queued(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run")
    events: list[str] = []
    taken: list[TakenStep] = []
    take, result = Stepper.take, TakenStep.result

    def logged_take(self: Stepper, number: int, batch: Batch) -> TakenStep:
        with _Reads(events):
            taken.append(take(self, number, batch))
        events.append(f"queue {number + 1}")
        return taken[-1]

    def logged_result(self: TakenStep) -> StepResult:
        events.append(f"read {taken.index(self) + 1}")
        return result(self)

    def logged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            events.append(name)
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(Stepper, "take", logged_take)
    monkeypatch.setattr(TakenStep, "result", logged_result)
    monkeypatch.setattr(loop, "save_checkpoint", logged("save", save_checkpoint))
    monkeypatch.setattr(loop, "evaluate", logged("evaluate", evaluate))
    trainer.train(Limits(epochs=2), Recorder(), NEVER)
    # Two epochs of five steps; saved every three.
    assert events == [
        *("queue 1", "queue 2", "read 1", "queue 3", "read 2", "read 3", "save"),
        *("queue 4", "queue 5", "read 4", "read 5", "evaluate", "save"),
        *("queue 6", "read 6", "save"),
        *("queue 7", "queue 8", "read 7", "queue 9", "read 8", "read 9", "save"),
        *("queue 10", "read 10", "evaluate", "save"),
    ]


class _Reads(TorchDispatchMode):
    """Notes each value of a tensor that is read."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events = events

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            self.events.append("a value is read while steps are queued")
        return func(*args, **(kwargs or {}))


Break = Callable[[Tensor], Tensor]


def break_steps(
    monkeypatch: pytest.MonkeyPatch, bad: range, by: Break = lambda loss: loss * math.nan
) -> None:
    """Break the loss of some steps, counted from 1."""
    calls: list[int] = []

    def broken(log_probs: Tensor, targets: Targets, lengths: NDArray[np.int64]) -> Tensor:
        calls.append(1)
        loss = ctc_losses(log_probs, targets, lengths)
        return by(loss) if len(calls) in bad else loss

    monkeypatch.setattr(step, "ctc_losses", broken)


def bad_gradient(loss: Tensor) -> Tensor:
    """Return the same loss, with a gradient that is not finite."""
    loss.register_hook(lambda gradient: gradient * math.inf)  # type: ignore[no-untyped-call]
    return loss * 1.0


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize(
    "by", [lambda loss: loss * math.nan, lambda loss: loss + math.inf, bad_gradient]
)
def test_a_step_that_is_not_finite_changes_nothing(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: Break, optimizer: str
) -> None:
    settings = tiny_settings(max_grad_norm=0.0, optimizer=optimizer)
    spec = RunSpec(settings=settings, data=str(files))
    trainer = prepare(spec, tmp_path / "run")
    break_steps(monkeypatch, range(2, 3), by)
    batches = list(trainer.batches.between(0, 3))

    def everything() -> list[Tensor]:
        moments = [v for s in trainer.stepper.optimizer.state.values() for v in s.values()]
        return [v.clone() for v in (*trainer.network.state_dict().values(), *moments)]

    results = [trainer.stepper.take(0, batches[0]).result()]
    before = everything()
    results.append(trainer.stepper.take(1, batches[1]).result())
    for one, other in zip(everything(), before, strict=True):
        assert torch.equal(one, other)
    results.append(trainer.stepper.take(2, batches[2]).result())
    assert [result.is_skipped for result in results] == [False, True, False]
    assert not all(torch.equal(a, b) for a, b in zip(everything(), before, strict=True))


def test_skipped_steps_are_counted_and_their_images_named(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = tmp_path / "run", tmp_path / "stopped"
    spec = RunSpec(settings=tiny_settings(epochs=2, synth_mix=0.5), data=str(files))
    break_steps(monkeypatch, range(4, 7))
    assert start(spec, run, recorder := Recorder()) == "finished"
    steps = [r for r in metrics(run) if r["kind"] == "step"]
    skipped = [r for r in steps if "skipped_steps" in r]
    assert [r["step"] for r in steps] == list(range(1, 19))
    assert [(r["step"], r["skipped_steps"], r["loss"]) for r in skipped] == [
        (4, 1, None),
        (5, 2, None),
        (6, 3, None),
    ]
    names = [r["images"] for r in skipped]
    assert [n[2:] for n in names] == [
        [f"rendered {2 * i}", f"rendered {2 * i + 1}"] for i in (3, 4, 5)
    ]
    listed = json.loads((run / SPLIT_NAME).read_text())["train"]
    assert {Path(name).name for n in names for name in n[:2]} <= set(listed)
    assert all(Path(name).is_file() for n in names for name in n[:2])
    assert load_checkpoint(run / CHECKPOINT_NAME).state.skipped_steps == 3
    # The mean is over the other images.
    losses = [r["loss"] for r in steps[:9] if r["loss"] is not None]
    assert recorder.evaluations[0]["train_loss"] == pytest.approx(np.mean(losses))
    assert read_run(run)  # the record can be read

    # Stopped between skipped steps and resumed, it comes to the same.
    break_steps(monkeypatch, range(4, 7))
    assert start(spec, other, Recorder(5)) == "interrupted"
    break_steps(monkeypatch, range(1, 2))
    assert go_on(other) == "finished"
    check_same(other, run)


def test_what_was_trained_on_is_named_as_it_was_read(files: Path, tmp_path: Path) -> None:
    spec = RunSpec(settings=tiny_settings(synth_mix=0.5), data=str(files))
    trainer = prepare(spec, tmp_path / "run")
    texts = {
        str(files / f"{i}.png"): line.split()[0]
        for i, line in enumerate((files / "labels.txt").read_text().splitlines())
    }
    for number, batch in enumerate(trainer.batches.between(0, 12)):
        names = trainer.batches.names(number)
        assert len(names) == len(batch.texts)
        for name, text in zip(names, batch.texts, strict=True):
            assert texts.get(name, text) == text


def test_ten_bad_steps_in_a_row_stop_the_run(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    break_steps(monkeypatch, range(4, 100))
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), run)
    with pytest.raises(DataError, match="steps 4 to 13: expected a finite loss and gradient"):
        trainer.train(Limits(), Recorder(), NEVER)
    assert [r["step"] for r in metrics(run) if r.get("skipped_steps")] == list(range(4, 14))
    checkpoint = load_checkpoint(run / CHECKPOINT_NAME)
    assert checkpoint.state.step < 13
    assert all(np.isfinite(values).all() for values in checkpoint.part("network").values())
    break_steps(monkeypatch, range(0))
    assert go_on(run) == "finished"


def test_nine_bad_steps_in_a_row_do_not(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_steps(monkeypatch, range(4, 13))
    assert start(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run") == "finished"


def test_weights_that_are_not_finite_are_neither_saved_nor_evaluated(
    files: Path, tmp_path: Path
) -> None:
    run, recorder = tmp_path / "run", Recorder()
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), run)

    def on_step(state: Any, record: dict[str, Any]) -> None:
        if record["step"] == 4:  # the fifth is taken already, and evaluated
            trainer.network.fc2.bias.data[0] = math.inf

    recorder.on_step = on_step  # type: ignore[method-assign]
    with pytest.raises(DataError, match="step 5: expected finite weights, found others"):
        trainer.train(Limits(), recorder, NEVER)
    assert recorder.evaluations == []
    checkpoint = load_checkpoint(run / CHECKPOINT_NAME)
    assert checkpoint.state.step == 3
    assert all(np.isfinite(values).all() for values in checkpoint.part("network").values())


def test_evaluations_at_other_times_than_the_end_of_an_epoch(files: Path, tmp_path: Path) -> None:
    spec = RunSpec(settings=tiny_settings(evaluate_every_steps=2), data=str(files))
    trainer = prepare(spec, tmp_path / "run")
    recorder = Recorder()
    trainer.train(Limits(epochs=2), recorder, NEVER)
    # Each tells of the images since the one before: of 18 an epoch, by four.
    assert [e["step"] for e in recorder.evaluations] == [2, 4, 6, 8, 10]
    losses = np.array(recorder.losses)
    weights = np.array([4, 4, 4, 4, 2] * 2)
    parts = [slice(first, first + 2) for first in range(0, 10, 2)]
    expected = [np.average(losses[part], weights=weights[part]) for part in parts]
    assert [e["train_loss"] for e in recorder.evaluations] == pytest.approx(expected)
    # To look more often changes nothing of what is learned.
    plain = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "plain")
    unlooked = Recorder()
    plain.train(Limits(epochs=2), unlooked, NEVER)
    assert unlooked.losses == recorder.losses


def test_the_optimizer_is_adamw_by_the_formula(files: Path, tmp_path: Path) -> None:
    trainer = prepare(RunSpec(settings=tiny_settings(), data=str(files)), tmp_path / "run")
    config = TrainingConfig(learning_rate=0.01, weight_decay=0.1)
    optimizer = make_optimizer(trainer.network, config)
    before = [p.detach().clone().double() for p in trainer.network.parameters()]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in before]
    for number, grads in enumerate(_gradients(before), start=1):
        for parameter, grad in zip(trainer.network.parameters(), grads, strict=True):
            parameter.grad = grad.float().to(memory_format=torch.preserve_format)
        optimizer.step()
        for p, (m, v), grad in zip(before, moments, grads, strict=True):
            if p.ndim > 1:
                p.mul_(1 - 0.01 * 0.1)
            m.mul_(0.9).add_(grad, alpha=0.1)
            v.mul_(0.999).add_(grad**2, alpha=0.001)
            p -= 0.01 * (m / (1 - 0.9**number)) / ((v / (1 - 0.999**number)).sqrt() + 1e-8)
    for p, parameter in zip(before, trainer.network.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach().double(), p, rtol=0, atol=1e-6)


def _gradients(like: list[Tensor]) -> Iterator[list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        yield [torch.empty_like(p).normal_(generator=generator) for p in like]


def test_a_stop_takes_the_step_under_way_along(files: Path, tmp_path: Path) -> None:
    spec = RunSpec(settings=tiny_settings(checkpoint_every_steps=100), data=str(files))
    trainer = prepare(dataclasses.replace(spec), tmp_path / "run")
    asked = iter([False, True])
    assert trainer.train(Limits(), Recorder(), lambda: next(asked)) == "interrupted"
    checkpoint = load_checkpoint(tmp_path / "run" / CHECKPOINT_NAME)
    assert checkpoint.state.step == 2
    assert [r["step"] for r in metrics(tmp_path / "run")] == [1, 2]
