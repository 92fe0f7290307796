"""Loading a model: the choice of the engine, and the files that it needs."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exprocr import Recognizer
from exprocr.core.image.preprocess import load
from exprocr.core.model import engine as engines
from exprocr.core.model.artifact import MODEL_FILE_NAME, NAMED, ModelFile, model_path
from exprocr.core.model.engine import pick_threads
from exprocr.core.model.loading import load_model
from exprocr.core.model.onnx_engine import OnnxEngine, load_graph
from exprocr.core.model.onnx_export import write_graph
from exprocr.core.model.torch_engine import TorchEngine
from exprocr.errors import ConfigError, ModelFileError
from tests.support.tiny_runs import invoke

SAMPLES = Path(__file__).parents[3] / "docs" / "samples"
KINDS = {"onnx": OnnxEngine, "torch": TorchEngine}


@pytest.fixture(autouse=True)
def torch_threads() -> Iterator[None]:
    """Restore the number of PyTorch's threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a model file with a graph beside it."""
    path = tmp_path / "run" / MODEL_FILE_NAME
    path.parent.mkdir()
    shutil.copy(tiny_model, path)
    shutil.copy(tiny_model.with_suffix(".onnx"), path.with_suffix(".onnx"))
    return path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "onnx"),
        ({"engine": None}, "onnx"),
        ({"engine": "onnx"}, "onnx"),
        ({"engine": "torch"}, "torch"),
        ({"device": "cpu"}, "onnx"),
        ({"device": "cpu", "engine": "onnx"}, "onnx"),
        ({"device": "cpu", "engine": "torch"}, "torch"),
    ],
)
def test_which_engine_reads(model: Path, options: dict[str, str], expected: str) -> None:
    for source in (model, str(model), model.parent, None, "bundled"):
        loaded = load_model(source, threads=1, **options)
        assert type(loaded.engine) is KINDS[expected]
        assert loaded.remark == ""
    # A model without a graph is read by PyTorch, and a graph alone by ONNX Runtime.
    graph = model.with_suffix(".onnx")
    if options.get("engine") != "torch":
        assert type(load_model(graph, threads=1, **options).engine) is OnnxEngine
    graph.unlink()
    if options.get("engine") != "onnx":
        loaded = load_model(model, threads=1, **options)
        assert type(loaded.engine) is TorchEngine
        wanted = options.get("engine") == "torch"
        assert loaded.remark == (
            ""
            if wanted
            else f"{graph}: no such graph, so PyTorch reads, which is slower to start; exprocr "
            f"export {model} writes one"
        )


def test_devices_that_need_pytorch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "mps"):
        if device == "mps" and torch.backends.mps.is_available():
            continue
        with pytest.raises(ConfigError, match=f"device: expected one of .*cpu, found '{device}'"):
            load_model(model, device=device)
        with pytest.raises(ConfigError, match=r"device: expected auto or cpu for engine onnx, fou"):
            load_model(model, engine="onnx", device=device)
    # PyTorch does not open the graph.
    model.with_suffix(".onnx").write_bytes(b"no graph")
    assert type(load_model(model, engine="torch", threads=1).engine) is TorchEngine
    with pytest.raises(ModelFileError, match=r"model\.onnx: expected an ONNX graph, found: "):
        load_model(model)


@pytest.mark.parametrize("options", [{"engine": "torch"}, {"device": "cuda"}, {"device": "mps"}])
def test_a_graph_is_refused_for_pytorch(model: Path, options: dict[str, str]) -> None:
    graph = model.with_suffix(".onnx")
    with pytest.raises(ModelFileError) as caught:
        load_model(graph, **options)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"{graph}: expected a model file for PyTorch, found a graph for ONNX Runtime"
    )


def test_threads(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [load_model(model, threads=n).num_workers for n in (1, 3)] == [1, 3]
    loaded = load_model(model, engine="torch", threads=3)
    assert (loaded.num_workers, torch.get_num_threads()) == (1, 3)
    for usable, used in ((1, 1), (3, 3), (64, 4)):
        monkeypatch.setattr(engines, "usable_processors", lambda n=usable: n)
        assert (pick_threads(None), load_model(model).num_workers) == (used, used)
        assert pick_threads(7) == 7


def test_a_graph_of_other_weights(model: Path) -> None:
    old = ModelFile.load(model)
    weights = {**old.weights, "fc2.bias": old.weights["fc2.bias"] + 1}
    dataclasses.replace(old, weights=weights).save(model)
    graph = model.with_suffix(".onnx")
    new = ModelFile.load(model)
    for options in ({}, {"engine": "onnx"}):
        with pytest.raises(ModelFileError) as caught:
            load_model(model.parent, **options)  # type: ignore[arg-type]
        assert str(caught.value) == (
            f"{graph}: expected the graph of {model}, whose weights have the digest "
            f"{new.weights_digest()[:12]}, found that of others, {old.weights_digest()[:12]}; "
            f"exprocr export {model} writes it again"
        )
    assert load_model(model, engine="torch").info.weights_digest() == new.weights_digest()  # type: ignore[attr-defined]
    result = invoke("predict", "--model", model, SAMPLES / "0.png")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"exprocr: {graph}: expected the graph of {model}")
    # The advice of the message helps.
    assert invoke("export", model).exit_code == 0
    assert type(load_model(model).engine) is OnnxEngine


@pytest.mark.parametrize("name", ["model", "preprocess", "charset"])
def test_a_graph_of_another_network_with_these_weights(model: Path, name: str) -> None:
    old = ModelFile.load(model)
    conv2 = dataclasses.replace(old.model.conv2, pool=(2, 1))
    changed = {
        "model": dataclasses.replace(old.model, conv2=conv2),
        "preprocess": dataclasses.replace(old.preprocess, width_multiple=40),
        "charset": type(old.charset)(old.charset.characters[::-1]),
    }[name]
    dataclasses.replace(old, **{name: changed}).save(model)  # type: ignore[arg-type]
    with pytest.raises(ModelFileError) as caught:
        load_model(model)
    assert str(caught.value) == (
        f"{model.with_suffix('.onnx')}: expected the graph of {model}, found one with another "
        f"{name!r} in its metadata; exprocr export {model} writes it again"
    )


def test_the_model_file_overrides_the_graphs_metadata(model: Path) -> None:
    graph, image = model.with_suffix(".onnx"), SAMPLES / "0.png"
    old = Recognizer.load(model, threads=1)
    changes = {"temperature": 3.0, "grammar": "level1", "training": {"val_ece": 0.1}}
    dataclasses.replace(ModelFile.load(model), **changes).save(model)  # type: ignore[arg-type]
    new = Recognizer.load(model, threads=1)
    assert type(new.engine) is OnnxEngine
    assert (new.decoder.temperature, new.decoder.grammar.name) == (3.0, "level1")
    alone = Recognizer.load(graph, threads=1)
    assert (alone.decoder.temperature, alone.decoder.grammar.name) == (1.0, "none")
    assert alone.predict([image]) == old.predict([image]) != new.predict([image])


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_a_graph_without_its_model_file_reads_the_same(
    model: Path, tmp_path: Path, temperature: float
) -> None:
    changed = dataclasses.replace(
        ModelFile.load(model), temperature=temperature, grammar="expression"
    )
    changed.save(model)
    write_graph(changed, model.with_suffix(".onnx"))
    images = sorted(SAMPLES.glob("*.png"))
    line = ("predict", "--format", "json", "--n-best", 2, *images)
    expected = invoke(*line, "--model", model.parent)
    assert expected.exit_code == 0
    assert len({json.loads(line)["text"] for line in expected.stdout.splitlines()}) > 1
    elsewhere = tmp_path / "elsewhere" / "sums.onnx"
    elsewhere.parent.mkdir()
    shutil.move(model.with_suffix(".onnx"), elsewhere)
    shutil.rmtree(model.parent)
    found = invoke(*line, "--model", elsewhere)
    assert (found.exit_code, found.stdout, found.stderr) == (0, expected.stdout, "")


@pytest.mark.parametrize("command", ["predict", "eval"])
def test_the_remark_is_printed_once_unless_quiet(model: Path, command: str) -> None:
    graph = model.with_suffix(".onnx")
    place = SAMPLES if command == "eval" else SAMPLES / "0.png"
    with_graph = invoke(command, place, "--model", model, "--threads", 1)
    assert "graph" not in with_graph.stderr
    graph.unlink()
    result = invoke(command, place, "--model", model, "--threads", 1)
    assert result.exit_code == 0
    assert result.stderr.count(f"{graph}: no such graph, so PyTorch reads") == 1
    quiet = invoke("-q", command, place, "--model", model, "--threads", 1)
    assert quiet.stderr == ""
    asked = invoke(command, place, "--model", model, "--threads", 1, "--engine", "torch")
    assert "graph" not in asked.stderr
    result = invoke(command, place, "--model", model, "--threads", 1, "--engine", "onnx")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        f"exprocr: {graph}: expected a graph for engine onnx, found none; exprocr export {model} "
        "writes it"
    )


@pytest.mark.parametrize("command", ["predict", "eval"])
def test_reading_imports_no_heavy_packages(command: str, tmp_path: Path) -> None:
    code = """
import sys
from exprocr.cli import run
code = run(sys.argv[1:])
heavy = ("torch", "onnx", "matplotlib", "jinja2", "ml_dtypes", "exprocr.synth", "exprocr.training")
print(code, [name for name in heavy if name in sys.modules], "onnxruntime" in sys.modules)
"""
    line = [command, str(SAMPLES), *(["-o", str(tmp_path / "x.csv")] * (command == "predict"))]
    done = subprocess.run(
        [sys.executable, "-c", code, *line], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 [] True"


def test_the_shipped_graph_is_that_of_the_shipped_weights() -> None:
    model = ModelFile.load()
    path = Path(model.name).with_suffix(".onnx")
    info, digest, found_of = load_graph(path)
    assert digest == model.weights_digest()
    assert info.metadata() == model.metadata()
    expected_of = load_model(engine="torch", threads=1).engine
    for image in sorted(SAMPLES.glob("*.png")):
        pictures = load(Image.open(image), model.preprocess).ink[None]
        found, expected = found_of.log_probs(pictures), expected_of.log_probs(pictures)
        # More than the exporter allows for its own pictures: of these, one is very faint.
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


def test_both_engines_read_the_samples_correctly() -> None:
    images = sorted(SAMPLES.glob("*.png"))
    truths = [line.split()[0] for line in (SAMPLES / "labels.txt").read_text().splitlines()]
    for engine in KINDS:
        readings = Recognizer.load(engine=engine, threads=1).predict(images)
        assert [reading.text for reading in readings] == truths


def test_the_program_of_the_how_to_reads_without_exprocr(tmp_path: Path) -> None:
    page = (SAMPLES.parent / "how-to.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n((?:(?!```).)*import onnxruntime.*?)```", page, re.DOTALL)
    assert "import exprocr" not in program
    assert invoke("export", "bundled", "-o", tmp_path / "sums.onnx").exit_code == 0
    shutil.copytree(SAMPLES, tmp_path / "docs" / "samples")
    labels = [line.split()[0] for line in (SAMPLES / "labels.txt").read_text().splitlines()]
    programs = [program.replace("samples/0.png", f"samples/{i}.png") for i in range(len(labels))]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(programs)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == labels


def test_the_models_in_the_package() -> None:
    files = {model_path(name) for name in NAMED}
    folder = model_path(None).parent
    assert files == set(folder.glob("*.safetensors"))
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 9_000_000
    for name, grammar in ((None, "equation"), ("contest", "level1")):
        loaded = load_model(name)
        assert (loaded.info.grammar, loaded.remark) == (grammar, "")
        assert isinstance(loaded.engine, OnnxEngine)
