"""The record of a run's tensors: statistics against NumPy's, and the file's bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exprocr.core.runs.layout import TENSORS_NAME
from exprocr.core.runs.tensor_record import (
    NUM_BINS,
    PERCENTILES,
    TensorRecorder,
    read_tensor_record,
    summarize,
)
from exprocr.errors import DataError, OutputError

RNG = np.random.default_rng(0)
INF, NAN = np.inf, np.nan


def floats(*values: Any) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


TENSORS = {
    "normal": RNG.normal(0.1, 0.3, (64, 32, 3, 3)).astype(np.float32),
    "few": RNG.normal(size=7).astype(np.float32),
    "two": floats(-1, 3),
    "one": floats(0.7),
    "scalar": np.array(0.7, dtype=np.float32),
    "equal": np.full((4, 5), 0.1, dtype=np.float32),
    "zeros": np.zeros(16, dtype=np.float32),
    "on edges": np.arange(49, dtype=np.float32).repeat(3),
    "tenths": (np.arange(481) / 10).astype(np.float32),  # the bins' edges are not float32
    "neighbors": np.nextafter(floats(1, 1, 1), floats(1, 2, 0)),
    "far apart": floats(-3.4e38, 1e-38, 0, 3.4e38),
    "smallest": floats(0, 1e-45, 3e-45),
    "minus zero": floats(-0.0, 0.0, -0.0),
}


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("num_bins", [NUM_BINS, 1, 7])
def test_percentiles_and_counts_equal_those_of_numpy(name: str, num_bins: int) -> None:
    values = TENSORS[name].astype(np.float64)
    percentiles, counts = summarize(TENSORS[name], num_bins)
    expected = np.percentile(values, PERCENTILES)
    np.testing.assert_allclose(percentiles, expected, rtol=1e-7, atol=1e-45)
    assert percentiles[[0, -1]].tolist() == [values.min(), values.max()]
    if values.min() < values.max():
        expected = np.histogram(values, num_bins, (values.min(), values.max()))[0]
    else:
        expected = np.eye(num_bins)[-1] * values.size
    assert counts.tolist() == expected.tolist()
    assert (percentiles.dtype.name, counts.dtype.name) == ("float32", "uint32")


def test_order_and_layout_of_values_do_not_matter_and_values_are_unchanged() -> None:
    values = TENSORS["normal"][..., ::-1].transpose(0, 2, 3, 1)
    before = values.copy()
    for one, other in zip(summarize(values), summarize(np.sort(values, axis=None)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("odd", [NAN, INF, -INF])
def test_values_that_are_not_finite_are_ignored(odd: float) -> None:
    values = np.append(TENSORS["few"], floats(odd, odd))
    for one, other in zip(summarize(values), summarize(TENSORS["few"]), strict=True):
        np.testing.assert_array_equal(one, other)
    percentiles, counts = summarize(floats(odd, odd))
    assert np.isnan(percentiles).all()
    assert not counts.any()


def network(step: int) -> dict[str, NDArray[np.float32]]:
    """Return tensors that differ at each step."""
    rng = np.random.default_rng(step)
    bias = np.zeros(5) if step == 0 else rng.normal(size=5)
    weight = rng.normal(size=(2, 3, 5))
    return {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}


def recorded(path: Path, *steps: int) -> Path:
    recorder = TensorRecorder(path)
    for step in steps:
        recorder.add(step, network(step))
        recorder.flush()
    return path


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = read_tensor_record(recorded(tmp_path / "t", 0, 5, 12))
    assert record.names == ("weight", "bias")
    assert record.shapes == ((2, 3, 5), (5,))
    assert record.steps.tolist() == [0, 5, 12]
    assert record.percentiles.shape == (3, 2, 9)
    assert record.counts.shape == (3, 2, NUM_BINS)
    for evaluation, step in enumerate((0, 5, 12)):
        for tensor, values in enumerate(network(step).values()):
            percentiles, counts = summarize(values)
            np.testing.assert_array_equal(record.percentiles[evaluation, tensor], percentiles)
            np.testing.assert_array_equal(record.counts[evaluation, tensor], counts)
            wide = values.astype(np.float64)
            edges = np.histogram(wide, NUM_BINS, (wide.min(), wide.max()))[1]
            if step or tensor == 0:
                np.testing.assert_array_equal(record.edges(evaluation, tensor), edges)
    assert record.edges(0, 1).tolist() == [0.0] * (NUM_BINS + 1)


def test_the_file_is_laid_out_as_described(tmp_path: Path) -> None:
    header, body = recorded(tmp_path / "t", 3, 9).read_bytes().split(b"\n", 1)
    assert json.loads(header) == {
        "format_version": 1,
        "percentiles": [0, 7, 16, 31, 50, 69, 84, 93, 100],
        "num_bins": 48,
        "names": ["weight", "bias"],
        "shapes": [[2, 3, 5], [5]],
    }
    assert len(body) == 2 * (8 + 2 * 9 * 4 + 2 * 48 * 4)
    second = body[len(body) // 2 :]
    assert int.from_bytes(second[:8], "little") == 9
    assert np.frombuffer(second, "<f4", 1, 8 + 9 * 4)[0] == network(9)["bias"].min()
    assert np.frombuffer(second, "<u4", 2 * 48, 8 + 18 * 4).sum() == 30 + 5


def test_nothing_is_written_before_flush(tmp_path: Path) -> None:
    path = tmp_path / "t"
    recorder = TensorRecorder(path)
    recorder.flush()
    recorder.rewind(3, evaluated=True)
    recorder.add(1, network(1))
    assert not path.exists()
    recorder.add(2, network(2))
    recorder.flush()
    recorder.flush()
    assert path.read_bytes() == recorded(tmp_path / "other", 1, 2).read_bytes()


@pytest.mark.parametrize(
    ("step", "evaluated", "kept"),
    [(9, True, 3), (5, True, 2), (5, False, 1), (4, True, 1), (0, True, 1), (0, False, 0)],
)
@pytest.mark.parametrize("tail", [b"", b"cut off"])
def test_rewind_and_continue(
    step: int, evaluated: bool, kept: int, tail: bytes, tmp_path: Path
) -> None:
    path = recorded(tmp_path / "t", 0, 5, 9)
    path.write_bytes(path.read_bytes() + tail)
    recorder = TensorRecorder(path)
    recorder.rewind(step, evaluated=evaluated)
    if kept:
        expected = recorded(tmp_path / "rewound", *(0, 5, 9)[:kept])
        assert path.read_bytes() == expected.read_bytes()
    assert path.exists() == (kept > 0)
    recorder.add(11, network(11))
    recorder.flush()
    expected = recorded(tmp_path / "expected", *(0, 5, 9)[:kept], 11)
    assert path.read_bytes() == expected.read_bytes()


def test_an_incomplete_record_is_ignored_and_overwritten(tmp_path: Path) -> None:
    whole = recorded(tmp_path / "whole", 1, 2).read_bytes()
    path = recorded(tmp_path / "t", 1)
    start = path.stat().st_size
    for end in (start, start + 1, start + 100, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert read_tensor_record(path).steps.tolist() == [1]
        assert recorded(path, 2).read_bytes() == whole
    path.write_bytes(whole[: start - 1])
    with pytest.raises(DataError, match="t: expected the record of an evaluation, found none"):
        read_tensor_record(path)


CHANGES: list[tuple[Any, str]] = [
    ({"format_version": 2}, "format_version: expected 1, found 2"),
    ({"format_version": None}, "format_version: expected 1, found None"),
    ({"percentiles": [0, 50, 100]}, "percentiles: expected [0, 7, 16"),
    ({"num_bins": 0}, "num_bins: expected 1 to 1000, found 0"),
    ({"num_bins": True}, "num_bins: expected 1 to 1000, found True"),
    ({"num_bins": 10**9}, "num_bins: expected 1 to 1000, found 1000000000"),
    ({"names": []}, "names: expected 1 to 100,000 tensors, found 0"),
    ({"names": "ab"}, "names: expected names of tensors, found ab"),
    ({"names": ["a", 1]}, "names: expected names of tensors, found ['a', 1]"),
    ({"names": ["a", "a"]}, "names: expected different names, found a name twice"),
    ({"shapes": [[30]]}, "shapes: expected one for each of 2 names"),
    ({"shapes": [[30], 5]}, "shapes: bias: expected sizes of a tensor, found 5"),
    ({"shapes": [[-30], [5]]}, "shapes: weight: expected sizes of a tensor, found [-30]"),
    ({"shapes": [[2**16, 2**16], [5]]}, "shapes: weight: expected sizes of a tensor"),
    ({"shapes": [[3], [5]]}, "step 1: weight: expected percentiles in order and counts of at most"),
    ({"more": 1}, "expected a first line as exprocr writes it, found b'{"),
    (b"", "expected a first line of JSON, found b''"),
    (b"\x89PNG\r\n\x1a\n", "expected a first line of JSON, found b'\\x89PNG\\r\\n'"),
    (b"[" * 10_000 + b"\n", "expected a first line of JSON, found b'[[["),
    (b"[1]\n", "expected a first line of JSON, found b'[1]"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_damaged_file(change: Any, message: str, tmp_path: Path) -> None:
    path = recorded(tmp_path / TENSORS_NAME, 1, 2)
    header, body = path.read_bytes().split(b"\n", 1)
    if isinstance(change, dict):
        change = json.dumps(json.loads(header) | change).encode() + b"\n" + body
    path.write_bytes(change)
    with pytest.raises(DataError) as caught:
        read_tensor_record(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def damaged(path: Path, offset: int, value: Any) -> str:
    """Return the error of a file with changed bytes in its second record."""
    content = bytearray(path.read_bytes())
    start = len(content) - (8 + 2 * 9 * 4 + 2 * 48 * 4) + offset
    content[start : start + value.nbytes] = value.tobytes()
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_tensor_record(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, np.int64(1), "expected ascending steps, found [1, 1]"),
        (0, np.int64(-4), "expected ascending steps, found [1, -4]"),
        (8, np.float32(9), "step 2: weight: expected percentiles in order"),
        (8 + 9 * 4, np.float32(NAN), "step 2: bias: expected percentiles in order"),
        (8 + 17 * 4, np.float32(INF), "step 2: bias: expected percentiles in order"),
        (8 + 16 * 4, floats(INF, INF), "step 2: bias: expected percentiles in order"),
        (8 + 18 * 4, np.uint32(31), "step 2: weight: expected percentiles in order and counts of"),
        (8 + 66 * 4, np.zeros(48, np.uint32), "step 2: bias: expected percentiles in order"),
    ],
)
def test_damaged_values(offset: int, value: Any, message: str, tmp_path: Path) -> None:
    path = recorded(tmp_path / TENSORS_NAME, 1, 2)
    assert damaged(path, offset, value).startswith(f"{path}: {message}")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t.bin: expected the record .* found none; exprocr train"):
        read_tensor_record(tmp_path / "t.bin")
    with pytest.raises(DataError, match=f"{tmp_path}: cannot be read"):
        read_tensor_record(tmp_path)
    recorder = TensorRecorder(tmp_path / "none" / "t.bin" / "x")
    (tmp_path / "none").write_text("a file")
    recorder.add(1, network(1))
    with pytest.raises(OutputError, match="cannot be written"):
        recorder.flush()


def test_records_of_other_tensors_are_refused(tmp_path: Path) -> None:
    path = recorded(tmp_path / "t", 1)
    before = path.read_bytes()
    recorder = TensorRecorder(path)
    recorder.add(2, {"weight": network(2)["weight"]})
    with pytest.raises(DataError, match="t: expected this network's tensors, found others"):
        recorder.flush()
    assert path.read_bytes() == before
