"""What a run records of its tensors while it is trained, stopped, killed and resumed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from exprocr.core.model.artifact import MODEL_FILE_NAME, load_tensors
from exprocr.core.runs.layout import CHECKPOINT_NAME, TENSORS_NAME
from exprocr.core.runs.tensor_record import (
    PERCENTILES,
    TensorRecord,
    TensorRecorder,
    read_tensor_record,
)
from exprocr.errors import DataError
from exprocr.training.checkpoint import ENTRY
from exprocr.training.limits import Limits
from exprocr.training.run import RunSpec
from tests.support.tiny_runs import (
    Recorder,
    check_same,
    go_on,
    metrics,
    prepare,
    start,
    tiny_settings,
    write_files,
)

STEPS = 5
"""Steps an epoch."""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> RunSpec:
    data = write_files(tmp_path_factory.mktemp("files") / "data", 24)
    return RunSpec(settings=tiny_settings(), data=str(data))


@pytest.fixture(scope="module")
def straight(spec: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of three epochs that was not stopped."""
    run = tmp_path_factory.mktemp("straight") / "run"
    assert start(spec, run) == "finished"
    return run


def recorded(run: Path) -> TensorRecord:
    return read_tensor_record(run / TENSORS_NAME)


def check_is_network(run: Path) -> None:
    """Check that the last record is of the parameters that the checkpoint holds."""
    record = recorded(run)
    tensors, _ = load_tensors(run / CHECKPOINT_NAME, ENTRY)
    network = {k.removeprefix("network."): v for k, v in tensors.items() if "network." in k}
    buffers = {name for name in network if "running_" in name or "num_batches" in name}
    assert buffers
    assert set(record.names) == network.keys() - buffers
    for i, name in enumerate(record.names):
        values = network[name].astype(np.float64)
        assert record.shapes[i] == values.shape
        expected = np.percentile(values, PERCENTILES)
        np.testing.assert_allclose(record.percentiles[-1, i], expected, rtol=1e-6, atol=1e-9)
        assert record.counts[-1, i].sum() == values.size


def test_each_evaluation_is_recorded(straight: Path) -> None:
    evaluations = [r["step"] for r in metrics(straight) if r["kind"] == "evaluation"]
    record = recorded(straight)
    assert record.steps.tolist() == evaluations == [STEPS, 2 * STEPS, 3 * STEPS]
    check_is_network(straight)
    moved = np.abs(np.diff(record.percentiles, axis=0)).max(axis=(0, 2))
    assert (moved > 0).all()  # each tensor is trained


@pytest.mark.parametrize("stops", [(2, 6), (5, 5), (7,)])
def test_stopped_and_resumed(
    stops: tuple[int, ...], straight: Path, spec: RunSpec, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert start(spec, run, Recorder(stops[0])) == "interrupted"
    assert (run / TENSORS_NAME).exists() == (stops[0] >= STEPS)
    for steps in stops[1:]:
        assert go_on(run, Recorder(steps)) == "interrupted"
    assert len(recorded(run).steps) == sum(stops) // STEPS
    assert go_on(run) == "finished"
    check_same(run, straight)
    assert (run / TENSORS_NAME).read_bytes() == (straight / TENSORS_NAME).read_bytes()


def test_killed_while_it_was_written_and_resumed(
    straight: Path, spec: RunSpec, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match="killed"):
        start(spec, run, Recorder(kill_after=8))
    path = run / TENSORS_NAME
    written = path.read_bytes()
    later = TensorRecorder(path)
    names = recorded(run)
    zeros = [np.zeros(shape, dtype=np.float32) for shape in names.shapes]
    later.add(9, dict(zip(names.names, zeros, strict=True)))
    later.flush()  # recorded, but after the last checkpoint
    path.write_bytes(path.read_bytes() + written[-100:])  # and cut off
    assert recorded(run).steps.tolist() == [STEPS, 9]
    assert go_on(run) == "finished"
    assert path.read_bytes() == (straight / TENSORS_NAME).read_bytes()


def test_an_evaluation_at_a_time_limit_is_dropped_on_resuming(
    straight: Path, spec: RunSpec, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert start(spec, run, Recorder(STEPS + 2)) == "interrupted"
    assert go_on(run, max_time_s=1e-9) == "time_limit"  # after one step
    assert recorded(run).steps.tolist() == [STEPS, STEPS + 3]
    check_is_network(run)
    assert go_on(run, max_time_s=None) == "finished"
    assert (run / TENSORS_NAME).read_bytes() == (straight / TENSORS_NAME).read_bytes()


def test_weights_to_start_from_are_recorded_first(
    straight: Path, spec: RunSpec, tmp_path: Path
) -> None:
    model = str(straight / MODEL_FILE_NAME)
    init = RunSpec(settings=tiny_settings(epochs=1), data=spec.data, init=model)
    assert start(init, tmp_path / "run") == "finished"
    record = recorded(tmp_path / "run")
    assert record.steps.tolist() == [0, STEPS]
    weights, _ = load_tensors(straight / MODEL_FILE_NAME, "exprocr")
    for i, name in enumerate(record.names):
        ends = weights[name].min(), weights[name].max()
        assert record.percentiles[0, i, [0, -1]].tolist() == list(ends)


def test_a_run_from_before_there_were_records(
    straight: Path, spec: RunSpec, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    start(spec, run, Recorder(STEPS + 2))
    (run / TENSORS_NAME).unlink()
    assert go_on(run) == "finished"
    assert recorded(run).steps.tolist() == [2 * STEPS, 3 * STEPS]
    np.testing.assert_array_equal(recorded(run).counts, recorded(straight).counts[1:])


def test_a_new_run_forgets_what_lay_in_its_folder(spec: RunSpec, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    other = TensorRecorder(run / TENSORS_NAME)
    for step in (0, STEPS):
        other.add(step, {"weight": np.zeros(3, dtype=np.float32)})
    other.flush()
    trainer = prepare(spec, run)
    assert not (run / TENSORS_NAME).exists()
    assert trainer.train(Limits(epochs=1), Recorder(), lambda: False) == "finished"
    assert recorded(run).steps.tolist() == [STEPS]


def test_a_damaged_record_is_named_before_anything_is_trained(
    straight: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(straight, run)
    path = run / TENSORS_NAME
    path.write_bytes(b"damaged" + path.read_bytes())
    with pytest.raises(DataError, match=r"tensors\.bin: expected a first line of JSON, found b"):
        go_on(run, epochs=4)
