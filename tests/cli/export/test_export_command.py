"""``exprocr export``: where the graph is written, and when it is not."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exprocr.core.config.schema import PRESETS, PreprocessConfig
from exprocr.core.model import onnx_export
from exprocr.core.model.artifact import MODEL_FILE_NAME, ModelFile
from exprocr.core.model.geometry import num_frames
from exprocr.core.model.onnx_engine import OnnxEngine, load_graph
from exprocr.core.model.onnx_export import check_pictures, write_graph
from exprocr.errors import ModelFileError, OutputError
from tests.support.tiny_runs import invoke

EARLIER = b"an earlier file"


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a model file without a graph, in a folder of its own."""
    path = tmp_path / "run" / MODEL_FILE_NAME
    path.parent.mkdir()
    shutil.copy(tiny_model, path)
    return path


def check_graph(graph: Path, model: Path | None) -> None:
    found, digest, _ = load_graph(graph)
    expected = ModelFile.load(model)
    assert digest == expected.weights_digest()
    assert found.metadata() == expected.metadata()


def test_the_default_place_is_beside_the_model_file(model: Path) -> None:
    other = model.with_name("other.v2.safetensors")
    shutil.copy(model, other)
    for source, name in ((model, "model.onnx"), (other, "other.v2.onnx"), (model.parent, None)):
        graph = model.with_name(name or "model.onnx")
        graph.unlink(missing_ok=True)
        result = invoke("export", source)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "nats from PyTorch" in result.stdout
        assert graph.name in result.stdout
        check_graph(graph, model)
    assert sorted(os.listdir(model.parent)) == [
        "model.onnx", "model.safetensors", "other.v2.onnx", "other.v2.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("option", ["-o", "--output"])
def test_another_place(model: Path, tmp_path: Path, option: str) -> None:
    graph = tmp_path / "new" / "folder" / "sums.onnx"
    for _ in range(2):  # an earlier file is replaced
        assert invoke("export", model, option, graph).exit_code == 0
        check_graph(graph, model)
        assert os.listdir(graph.parent) == ["sums.onnx"]
        graph.write_bytes(EARLIER)
    assert os.listdir(model.parent) == [MODEL_FILE_NAME]


def test_through_a_link(model: Path, tmp_path: Path) -> None:
    (tmp_path / "target.onnx").write_bytes(EARLIER)
    link = tmp_path / "link.onnx"
    link.symlink_to("target.onnx")
    assert invoke("export", model, "-o", link).exit_code == 0
    assert link.is_symlink()
    check_graph(tmp_path / "target.onnx", model)


def test_the_model_inside_the_package(tmp_path: Path) -> None:
    place = Path(ModelFile.load().name).parent
    before = {path: path.stat().st_mtime_ns for path in place.iterdir()}
    result = invoke("export", "bundled")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--output is needed for 'bundled', a model inside the package" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in place.iterdir()} == before
    graph = tmp_path / "x.onnx"
    assert invoke("export", "bundled", "-o", graph).exit_code == 0
    check_graph(graph, None)


@pytest.mark.parametrize("name", ["x.txt", "x", "onnx", "x.ONNX", "model.safetensors"])
def test_names_that_reading_would_not_take_for_a_graph(model: Path, name: str) -> None:
    content = model.read_bytes()
    result = invoke("export", model, "-o", model.with_name(name))
    assert result.exit_code == 2
    assert f"--output expects a name that ends in .onnx, found {model.parent}" in result.stderr
    assert os.listdir(model.parent) == [MODEL_FILE_NAME]
    assert model.read_bytes() == content


def test_a_graph_is_no_model_file(model: Path) -> None:
    assert invoke("export", model).exit_code == 0
    graph = model.with_suffix(".onnx")
    content = graph.read_bytes()
    for more in ((), ("-o", model.with_name("x.onnx"))):
        result = invoke("export", graph, *more)
        assert result.exit_code == 2
        assert f"MODEL expects a model file, found a graph, {graph}" in result.stderr
    assert graph.read_bytes() == content


@pytest.mark.parametrize("content", [None, b"", b"no model\n" * 9])
def test_no_model(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    graph = tmp_path / "model.onnx"
    graph.write_bytes(EARLIER)
    for source in (path, tmp_path):
        result = invoke("export", source)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"exprocr: {path}: expected a ")
    assert graph.read_bytes() == EARLIER


def test_unwritable_places(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.onnx").mkdir()
    for place in (tmp_path / "file" / "x.onnx", tmp_path / "folder.onnx"):
        result = invoke("export", model, "-o", place)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"exprocr: {place}: ")
    graph = model.with_suffix(".onnx")
    graph.write_bytes(EARLIER)

    def full(temporary: Path, content: bytes) -> int:
        with temporary.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"model.onnx: cannot be written: No space left"):
        write_graph(ModelFile.load(model), graph)
    assert graph.read_bytes() == EARLIER
    assert sorted(os.listdir(model.parent)) == ["model.onnx", "model.safetensors"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fc2.bias", np.nan),
        ("conv1.0.weight", np.nan),
        ("gru2.gru.weight_hh_l0_reverse", np.nan),
        ("fc2.bias", np.inf),
        ("fc2.bias", -np.inf),
    ],
)
def test_weights_that_are_no_numbers(model: Path, name: str, value: float) -> None:
    old = ModelFile.load(model)
    tensor = old.weights[name].copy()
    tensor.flat[1] = value
    dataclasses.replace(old, weights={**old.weights, name: tensor}).save(model)
    for exists in (False, True):
        graph = model.with_suffix(".onnx")
        if exists:
            graph.write_bytes(EARLIER)
        result = invoke("export", model)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"exprocr: {model}: expected a graph whose log-probabilities differ")
        assert line.endswith("; it is not written")
        assert graph.exists() == exists
        assert not exists or graph.read_bytes() == EARLIER


def test_weights_that_do_not_fit(model: Path) -> None:
    old = ModelFile.load(model)
    dataclasses.replace(old, weights={**old.weights, "fc2.bias": np.zeros(3)}).save(model)
    result = invoke("export", model)
    assert result.exit_code == 1
    assert "weights: fc2.bias: expected shape (16,), found (3,)" in result.stderr
    assert not model.with_suffix(".onnx").exists()


@pytest.mark.parametrize(
    "break_", ["one value", "one frame of a long picture", "a frozen batch", "a frozen time axis"]
)
def test_a_graph_that_gives_something_else_is_not_written(
    model: Path, monkeypatch: pytest.MonkeyPatch, break_: str
) -> None:
    class Broken(OnnxEngine):
        def log_probs(self, pictures: Any) -> Any:
            found = super().log_probs(pictures)
            if break_ == "one value":
                found[0, 0, 3] += 2e-4
            elif break_ == "one frame of a long picture":
                found[12:13] += 2e-4
            elif break_ == "a frozen batch":
                found = found[:, :1]
            else:
                found = found[:3]
            return found

    monkeypatch.setattr(onnx_export, "OnnxEngine", Broken)
    with pytest.raises(ModelFileError, match=rf"^{model}: expected a graph .*; it is not written$"):
        write_graph(ModelFile.load(model), model.with_suffix(".onnx"))
    assert os.listdir(model.parent) == [MODEL_FILE_NAME]


def test_the_difference_is_told_and_random_numbers_are_left_alone(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shifted(OnnxEngine):
        def log_probs(self, pictures: Any) -> Any:
            return super().log_probs(pictures) + np.float32(5e-5 * (len(pictures) == 3))

    before = torch.get_rng_state()
    assert write_graph(ModelFile.load(model), model.with_suffix(".onnx")) < 1e-5
    monkeypatch.setattr(onnx_export, "OnnxEngine", Shifted)
    difference = write_graph(ModelFile.load(model), model.with_suffix(".onnx"))
    assert difference == pytest.approx(5e-5, rel=0.1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("width", [None, 160])
def test_what_graphs_are_checked_on(tiny_model: Path, preset: str, width: int | None) -> None:
    network = PRESETS[preset].model
    size = PreprocessConfig(width=width)
    model = dataclasses.replace(ModelFile.load(tiny_model), model=network, preprocess=size)
    batches = list(check_pictures(model))
    assert {batch.dtype for batch in batches} == {np.dtype(np.uint8)}
    assert len({batch.shape[2] for batch in batches}) >= 4
    assert {1, 2, 3} < {len(batch) for batch in batches}
    frames = [num_frames(network, batch.shape[2]) for batch in batches]
    assert frames[0] == min(frames) >= 1
    # The narrowest that can be, and the width of its usual pictures.
    assert num_frames(network, batches[0].shape[2] - size.width_multiple) == 0
    assert (width or 180) in {batch.shape[2] for batch in batches}
    assert all(batch[0].any() for batch in batches)
    assert any(not picture.any() for batch in batches for picture in batch)
