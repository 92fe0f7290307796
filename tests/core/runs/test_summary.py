"""The figures of a run's record: read, over time, between evaluations, in sum."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exprocr.core.runs.journal import read_records
from exprocr.core.runs.layout import METRICS_NAME
from exprocr.core.runs.summary import (
    Floats,
    Series,
    best_evaluation,
    moving_average,
    over_time,
    read_run,
    series,
    smoothed,
    summarize,
    throughput,
)
from exprocr.errors import DataError

STEP = {"kind": "step", "step": 1, "epoch": 1, "loss": 2.0, "learning_rate": 0.1}


def clocked(number: int, seconds: float | None, **figures: Any) -> dict[str, Any]:
    return {"kind": "evaluation", "step": number, "epoch": 1, "elapsed_s": seconds, **figures}


def write(run: Path, *records: Any, end: str = "") -> Path:
    text = "".join(json.dumps(record) + "\n" for record in records)
    (run / METRICS_NAME).write_text(text + end, encoding="utf-8")
    return run


def test_a_series_leaves_out_what_is_missing_or_no_number() -> None:
    values = [1.0, None, float("nan"), float("inf"), 5]
    records = [{"step": n, "loss": value} for n, value in enumerate(values)]
    x, y = series([*records, {"step": 9}], "loss")
    assert (x.tolist(), y.tolist()) == ([0, 4], [1, 5])
    assert all(array.shape == (0,) and array.dtype == np.float64 for array in series([], "loss"))


def test_time_is_recorded_or_between_what_is_recorded() -> None:
    records = [clocked(2, 10.0), clocked(4, None), clocked(6, 50.0), clocked(7, 51.0)]
    steps = Series(np.arange(10.0), np.arange(10.0) ** 2)
    x, y = over_time(steps, records)
    assert x.tolist() == pytest.approx([0, 5, 10, 20, 30, 40, 50, 51])
    assert y.tolist() == [n**2 for n in range(8)]
    assert over_time(steps, [clocked(2, None)]).x.size == 0
    noted = over_time(steps, [*records, {"kind": "note", "elapsed_s": 70.0}])
    assert noted.x.tolist() == x.tolist()


def test_throughput_is_that_of_each_interval() -> None:
    rng = np.random.default_rng(0)
    images, seconds = rng.integers(1, 900, 20), rng.random(20) + 0.1
    done, elapsed = np.cumsum(images), np.cumsum(seconds)
    records = [
        clocked(int(n), t, images_per_s=n / t) for n, t in zip(done, elapsed.tolist(), strict=True)
    ]
    begun = clocked(0, 0.0, images_per_s=0.0)  # before training
    x, y = throughput([begun, STEP, *records, {**records[-1], "step": 10**6}])
    assert x.tolist() == done.tolist()
    np.testing.assert_allclose(y, images / seconds)
    assert throughput([clocked(5, None), clocked(6, 1.0)]).x.size == 0


def test_moving_average() -> None:
    values = np.random.default_rng(0).random(20)
    expected = [values[i : i + 4].mean() for i in range(17)]
    np.testing.assert_allclose(moving_average(values, 4), expected)
    assert moving_average(np.zeros(0), 1).size == 0


@pytest.mark.parametrize(("num", "window"), [(0, 1), (39, 1), (40, 2), (1000, 50), (9000, 100)])
def test_a_mean_stands_at_its_last_step(num: int, window: int) -> None:
    losses: Floats = np.random.default_rng(0).random(num)
    mean, width = smoothed(Series(np.arange(1.0, num + 1), losses))
    assert width == window
    assert len(mean.x) == len(mean.y) == max(0, num - window + 1)
    for i in (0, -1) if num else ():
        last = int(mean.x[i])
        assert mean.y[i] == pytest.approx(losses[last - window : last].mean())


def test_the_best_evaluation() -> None:
    def scored(exact: float | None, loss: float | None) -> dict[str, Any]:
        return {"val_exact_match": exact, "val_loss": loss}

    bad, good, better = scored(0.5, 0.1), scored(0.9, 0.4), scored(0.9, 0.3)
    diverged, unknown = scored(0.9, float("nan")), scored(None, 0.0)
    assert best_evaluation([diverged, STEP, bad, good, better, {**better}, unknown]) is better
    assert best_evaluation([diverged, scored(0.9, None), bad]) is diverged
    assert best_evaluation([unknown, STEP]) is None


def test_the_best_evaluation_is_that_of_the_network_that_was_kept() -> None:
    shares, best_steps = (0.90, 0.95, 0.94, 0.50), (5, 10, 15, 15)
    records = [
        {"step": 5 * n, "val_exact_match": share, "val_loss": 1.0, "best_step": best}
        for n, (share, best) in enumerate(zip(shares, best_steps, strict=True), start=1)
    ]
    unmarked = [{k: v for k, v in record.items() if k != "best_step"} for record in records]
    assert best_evaluation(records) is records[2]
    assert best_evaluation(records[:2]) is records[1]
    assert best_evaluation(unmarked) is unmarked[1]  # of an older run
    assert best_evaluation(unmarked[:2] + records[2:]) is records[2]  # which this version took up
    assert best_evaluation(unmarked[:3] + records[3:]) is unmarked[2]


def test_a_run_in_sum() -> None:
    figures = {"val_loss": 1.0, "images_per_s": 8.0}
    records = [
        *({**STEP, "step": n, "loss": float(n)} for n in range(1, 101)),
        clocked(100, 50.0, val_exact_match=0.75, **figures),
        clocked(200, 75.0, val_exact_match=0.5, epoch=2, **figures | {"images_per_s": 10.0}),
        {**STEP, "step": 250, "epoch": 3, "loss": 0.0, "elapsed_s": 99.5},
        {"kind": "note"},
        {"kind": "note", "elapsed_s": 1.0, "val_exact_match": 1.0},
        {"step": "third", "epoch": None, "elapsed_s": "long"},
    ]
    summary = summarize(records)
    assert (summary.num_steps, summary.num_epochs, summary.num_images) == (250, 3, 750)
    assert (summary.elapsed_s, summary.images_per_s, summary.best) == (99.5, 10.0, records[100])
    assert summary.last_loss == pytest.approx((0 + 100 + 99 + 98 + 97) / 5)
    nothing = summarize([])
    assert (nothing.num_steps, nothing.num_epochs) == (0, 0)
    figures_left = (nothing.num_images, nothing.elapsed_s, nothing.best, nothing.last_loss)
    assert (*figures_left, nothing.images_per_s) == (None,) * 5


def test_a_run_under_way_is_read(tmp_path: Path) -> None:
    records = [STEP, clocked(1, None, train_loss=None), {"kind": "note", "by": "me"}]
    write(tmp_path, *records, end='{"kind": "step", "st')
    assert read_run(tmp_path) == records == read_records(tmp_path / METRICS_NAME)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({**STEP, "loss": "1"}, "line 2: loss: expected a number, found '1'"),
        ({**STEP, "loss": [1]}, r"line 2: loss: expected a number, found \[1\]"),
        ({**STEP, "loss": True}, "line 2: loss: expected a number, found True"),
        ({**STEP, "step": None}, "line 2: step: expected a whole number from 0, found None"),
        ({**STEP, "epoch": "x" * 99}, "line 2: epoch: expected a whole number .*, found 'x{39}$"),
        ({**STEP, "epoch": math.nan}, "line 2: epoch: expected a whole number from 0, found nan"),
        ({**STEP, "step": 10**30}, "line 2: step: expected a whole number from 0, found 10"),
        ({**STEP, "loss": 10**400}, "line 2: loss: expected a finite number, found 10"),
        ({**STEP, "elapsed_s": math.inf}, "line 2: elapsed_s: expected a finite number, found inf"),
        ({**STEP, "step": -1}, "line 2: step: expected a whole number from 0, found -1"),
        ({**STEP, "step": 0.5}, "line 2: step: expected a whole number from 0, found 0.5"),
        ({"kind": "step"}, "line 2: step: expected a whole number from 0, found None"),
        ([1], "line 2: expected a JSON object, found '\\[1\\]'"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, record: Any, message: str) -> None:
    write(tmp_path, STEP, record, STEP)
    with pytest.raises(DataError, match=f"{METRICS_NAME}, {message}"):
        read_run(tmp_path)


def test_a_run_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a run directory with metrics.jsonl, found a f"):
        read_run(tmp_path)
    with pytest.raises(DataError, match=r"none: expected a run directory .* found no such folder"):
        read_run(tmp_path / "none")
    for records in ([], [{"kind": "note"}]):
        write(tmp_path, *records)
        with pytest.raises(DataError, match="jsonl: expected steps or evaluations, found none yet"):
            read_run(tmp_path)


def test_metrics_with_a_truncated_last_line(tmp_path: Path) -> None:
    path = tmp_path / METRICS_NAME
    path.write_text('{"kind"\n' + json.dumps(STEP) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1: expected a JSON object"):
        read_records(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_records(tmp_path / "none.jsonl")
