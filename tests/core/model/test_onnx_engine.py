"""Graph files: their content, and files that are not graph files."""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exprocr.core.model.artifact import METADATA_KEY, ModelFile
from exprocr.core.model.onnx_engine import DIGEST_KEY, LOG_PROBS, PICTURES, OnnxEngine, load_graph
from exprocr.errors import ModelFileError


@pytest.fixture
def graph(tiny_model: Path) -> Path:
    """Return the graph of the tiny model."""
    return tiny_model.with_suffix(".onnx")


def entry_of(graph: Path) -> dict[str, Any]:
    """Read the metadata entry with ONNX's own package."""
    (entry,) = onnx.load(graph).metadata_props
    assert entry.key == METADATA_KEY
    metadata = json.loads(entry.value)
    assert isinstance(metadata, dict)
    return metadata


def with_entry(graph: Path, path: Path, text: str, key: str = METADATA_KEY) -> Path:
    """Write the graph with another metadata entry."""
    proto = onnx.load(graph)
    del proto.metadata_props[:]
    proto.metadata_props.add(key=key, value=text)
    path.write_bytes(proto.SerializeToString())
    return path


def rewrite(graph: Path, path: Path, changes: dict[str, Any]) -> Path:
    """Write the graph with changed metadata; a change to None removes the field."""
    entry = {key: value for key, value in (entry_of(graph) | changes).items() if value is not None}
    return with_entry(graph, path, json.dumps(entry))


def noise(num: int, width: int, height: int = 60) -> NDArray[np.uint8]:
    rng = np.random.default_rng(width)
    return rng.integers(0, 256, (num, height, width)).astype(np.uint8)


def test_content_of_a_graph_file(tiny_model: Path, graph: Path) -> None:
    model = ModelFile.load(tiny_model)
    expected = {**model.metadata(), DIGEST_KEY: model.weights_digest()}
    assert entry_of(graph) == json.loads(json.dumps(expected))
    info, digest, engine = load_graph(graph)
    assert info.metadata() == model.metadata()
    assert info.name == str(graph)
    assert digest == model.weights_digest()
    assert str(engine).startswith("ONNX Runtime ")


def test_the_digest_covers_names_types_shapes_and_values() -> None:
    model = ModelFile.load()
    weights = dict(model.weights)
    same = dataclasses.replace(model, weights=dict(reversed(weights.items())), temperature=9.0)
    assert same.weights_digest() == model.weights_digest()
    bias = weights["fc2.bias"]
    nearly = bias.copy()
    nearly[3] = np.nextafter(nearly[3], np.float32(9))
    others: list[dict[str, NDArray[Any]]] = [
        {**weights, "fc2.bias": nearly},
        {**weights, "fc2.bias": bias[None]},
        {**weights, "fc2.bias": bias.view(np.int32)},
        {**weights, "fc2.bias": bias[::-1]},
        {**weights, "more": np.zeros((0, 2))},
        {name: tensor for name, tensor in weights.items() if name != "fc2.bias"},
        {name.replace("fc2.bias", "fc2.bias2"): tensor for name, tensor in weights.items()},
    ]
    digests = {dataclasses.replace(model, weights=w).weights_digest() for w in others}
    assert len(digests | {model.weights_digest()}) == len(others) + 1


def write_foreign(kind: str, path: Path, graph: Path) -> None:
    content = graph.read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind == "socket":
        os.mkfifo(path)  # reading it would wait forever
    elif kind != "missing":
        path.write_bytes(
            {
                "empty": b"",
                "text": b"hello, world, this is no graph\n" * 9,
                "random": np.random.default_rng(0).bytes(5000),
                "zeros": bytes(1000),
                "truncated": content[:-1],
                "half": content[: len(content) // 2],
                "beginning": content[:10],
                "safetensors": graph.with_suffix(".safetensors").read_bytes(),
            }[kind]
        )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "expected an ONNX graph, found none"),
        ("folder", "expected an ONNX graph, found: Is a directory"),
        ("socket", "expected an ONNX graph, found: a named pipe, not a regular file"),
        ("empty", "expected an ONNX graph, found: "),
        ("text", "expected an ONNX graph, found: "),
        ("random", "expected an ONNX graph, found: "),
        ("zeros", "expected an ONNX graph, found: "),
        ("truncated", "expected an ONNX graph, found: "),
        ("half", "expected an ONNX graph, found: "),
        ("beginning", "expected an ONNX graph, found: "),
        ("safetensors", "expected an ONNX graph, found: "),
    ],
)
def test_files_that_are_no_graph(
    graph: Path, tmp_path: Path, kind: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.onnx"
    write_foreign(kind, path, graph)
    check_refused(path, message)
    assert capfd.readouterr() == ("", "")  # ONNX Runtime's own messages are suppressed


def check_refused(path: Path, message: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        load_graph(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert message in said
    assert "\n" not in said


def test_any_damaged_byte_is_harmless(
    graph: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The graph still runs, or the error is one line."""
    content = graph.read_bytes()
    rng = np.random.default_rng(0)
    path, refused = tmp_path / "x.onnx", []
    for place in rng.choice(1500, 150, replace=False).tolist():
        damaged = bytearray(content)
        for end in (place, -1 - place):  # nodes at the beginning, metadata at the end
            damaged[end] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            _, _, engine = load_graph(path)
            engine.log_probs(noise(1, 60))
        except ModelFileError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(said.startswith(f"{path}: ") and "\n" not in said for said in refused)
    assert capfd.readouterr() == ("", "")


def test_names_that_are_not_utf8(
    graph: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.onnx"
    content = graph.read_bytes()
    path.write_bytes(content.replace(b"log_probs", b"log\xffprobs"))
    check_refused(path, "expected an ONNX graph, found: 'utf-8' codec can't decode")
    with_entry(graph, path, "0123456789" * 2)
    path.write_bytes(path.read_bytes().replace(b"0123456789" * 2, b"\xff" * 20))
    check_refused(path, "expected an ONNX graph, found: 'utf-8' codec can't decode")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format_version: expected 1 or older, found 2; a newer exprocr"),
        ({"format_version": None}, "format_version: expected 1 to 1, found None"),
        ({"charset": "1231"}, "a charset needs unique characters, found '1231'"),
        ({"charset": None}, "charset: expected a string, found None"),
        ({"model": {"fc1_unit": 3}}, "model.fc1_unit: unknown key; did you mean 'fc1_units'?"),
        ({"preprocess": None}, "preprocess: expected a section, found None"),
        ({"grammar": "levle1"}, "grammar: unknown grammar; did you mean 'level1'?"),
        ({"temperature": 0}, "temperature: expected 0.01 to 100, found 0"),
        ({DIGEST_KEY: None}, f"{DIGEST_KEY}: expected a string, found None"),
        ({DIGEST_KEY: 7}, f"{DIGEST_KEY}: expected a string, found 7"),
        # Metadata of another graph.
        ({"preprocess": {"height": 30}}, "expected a graph from (N, 30, W) to (T, N, 16), as its"),
        ({"charset": "12"}, "expected a graph from (N, 60, W) to (T, N, 3), as its metadata says"),
    ],
)
def test_bad_metadata(graph: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    check_refused(rewrite(graph, tmp_path / "x.onnx", changes), message)


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_metadata_that_is_no_json_object(graph: Path, tmp_path: Path, text: str) -> None:
    check_refused(with_entry(graph, tmp_path / "x.onnx", text), "exprocr: expected ")


def test_metadata_of_another_program(graph: Path, tmp_path: Path) -> None:
    path = with_entry(graph, tmp_path / "x.onnx", "{}", key="producer")
    check_refused(path, "expected the metadata entry 'exprocr', found 'producer'; not a graph of")
    proto = onnx.load(graph)
    del proto.metadata_props[:]
    onnx.save(proto, path)
    check_refused(path, "expected the metadata entry 'exprocr', found no metadata; not a graph")


def write_cast(path: Path, inputs: list[str], outputs: list[str], kind: int) -> None:
    """Write a graph that converts its first input to floats."""
    shape: list[str | int | None] = ["N", 60, "W"]
    given = [helper.make_tensor_value_info(name, kind, shape) for name in inputs]
    gives = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs]
    nodes = [helper.make_node("Cast", inputs[:1], [name], to=TensorProto.FLOAT) for name in outputs]
    graph = helper.make_graph(nodes, "g", given, gives)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


@pytest.mark.parametrize(
    ("inputs", "outputs", "kind", "found"),
    [
        (["x"], [LOG_PROBS], TensorProto.UINT8, "[('x', 'tensor(uint8)')] to ['log_probs']"),
        ([PICTURES], ["y"], TensorProto.UINT8, "[('pictures', 'tensor(uint8)')] to ['y']"),
        ([PICTURES], [LOG_PROBS], TensorProto.INT8, "[('pictures', 'tensor(int8)')] to ['log_pro"),
        ([PICTURES, "x"], [LOG_PROBS], TensorProto.UINT8, "('x', 'tensor(uint8)')] to ['log_prob"),
        ([PICTURES], [LOG_PROBS, "y"], TensorProto.UINT8, "['log_probs', 'y']; not a graph of exp"),
    ],
)
def test_another_programs_graph(
    tmp_path: Path, inputs: list[str], outputs: list[str], kind: int, found: str
) -> None:
    path = tmp_path / "x.onnx"
    write_cast(path, inputs, outputs, kind)
    check_refused(path, "expected a graph from 'pictures', tensor(uint8), to 'log_probs', found o")
    check_refused(path, found)


def test_pictures_of_a_wrong_height_are_refused(graph: Path) -> None:
    _, _, engine = load_graph(graph)
    with pytest.raises(ModelFileError, match=r"\.onnx: expected .* 80 x 59 px, found: ") as caught:
        engine.log_probs(noise(2, 80, height=59))
    assert "\n" not in str(caught.value)
    assert engine.log_probs(noise(2, 80)).shape[1:] == (2, 16)  # the engine remains usable


def test_several_threads_at_the_same_time(graph: Path) -> None:
    _, _, engine = load_graph(graph)
    batches = [noise(1 + i % 4, 60 + 20 * (i % 3)) for i in range(60)]
    expected = [engine.log_probs(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for found, one in zip(pool.map(engine.log_probs, batches), expected, strict=True):
            np.testing.assert_array_equal(found, one)


def test_pictures_may_be_strided_in_memory(graph: Path) -> None:
    _, _, engine = load_graph(graph)
    pictures = noise(6, 80)
    expected = engine.log_probs(pictures)
    np.testing.assert_array_equal(engine.log_probs(pictures[::2]), expected[:, ::2])
    flipped = np.asfortranarray(pictures)
    np.testing.assert_array_equal(engine.log_probs(flipped), expected)


def test_the_engine_computes_in_the_callers_thread(graph: Path) -> None:
    engine = OnnxEngine(graph.read_bytes())
    options = engine.session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
