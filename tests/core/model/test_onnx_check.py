"""Graphs from files: those that exprocr writes pass, and all others never reach ONNX Runtime."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exprocr.core.config.schema import PRESETS, ModelConfig
from exprocr.core.model.artifact import METADATA_KEY, ModelFile, model_path
from exprocr.core.model.geometry import weight_shapes
from exprocr.core.model.loading import load_model
from exprocr.core.model.onnx_check import check_graph
from exprocr.core.model.onnx_engine import DIGEST_KEY, check_match, load_graph
from exprocr.core.model.onnx_graph import build_graph
from exprocr.core.model.torch_engine import export_weights, new_network
from exprocr.errors import ModelFileError
from tests.support.networks import ODD, SHAPES, SMALL, random_model

PATH = Path("x.onnx")
ALL_SHAPES: dict[str, tuple[ModelConfig, int]] = {
    name: (dataclasses.replace(SMALL, **changes), height)
    for name, (changes, height) in SHAPES.items()
}
ALL_SHAPES |= {name: (preset.model, 60) for name, preset in PRESETS.items()}
ALL_SHAPES["odd"] = ODD, 53


def exported(model: ModelFile) -> bytes:
    """Return a graph as `write_graph` writes it."""
    entry = {**model.metadata(), DIGEST_KEY: model.weights_digest()}
    return bytes(build_graph(model, {METADATA_KEY: json.dumps(entry)}).SerializeToString())


@pytest.mark.parametrize("shape", ALL_SHAPES)
def test_exported_graphs_pass_unchanged(shape: str) -> None:
    content = exported(random_model(*ALL_SHAPES[shape]))
    assert check_graph(PATH, content) == content


@pytest.mark.parametrize("shape", ALL_SHAPES)
def test_weight_shapes_are_those_of_the_network(shape: str) -> None:
    model = random_model(*ALL_SHAPES[shape])
    network = new_network(model.model, model.preprocess, model.charset)
    expected = {
        name: weight.shape
        for name, weight in export_weights(network).items()
        if not name.endswith("num_batches_tracked")
    }
    assert (
        weight_shapes(model.model, model.preprocess.height, model.charset.num_classes) == expected
    )


def test_the_graph_in_the_package_is_that_of_its_model() -> None:
    """It is run unchecked, because checking would make every start slower."""
    graph = model_path(None).with_suffix(".onnx")
    content = graph.read_bytes()
    assert check_graph(graph, content) == content
    info, digest, _ = load_graph(graph)
    model = ModelFile.load()
    check_match(graph, info, digest, model)
    (entry,) = onnx.load_from_string(content).metadata_props
    rebuilt = build_graph(model, {METADATA_KEY: entry.value})
    for ours, theirs in zip(
        rebuilt.graph.initializer, onnx.load_from_string(content).graph.initializer, strict=True
    ):
        np.testing.assert_array_equal(numpy_helper.to_array(ours), numpy_helper.to_array(theirs))


def add_loop(graph: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    graph.graph.node.insert(0, helper.make_node("Loop", ["", ""], ["x"], body=body))


def add_huge_tensor(graph: onnx.ModelProto) -> None:
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
    graph.graph.node.append(helper.make_node("ConstantOfShape", ["columns"], ["x"], value=value))


def add_function(graph: onnx.ModelProto) -> None:
    graph.functions.append(helper.make_function("own", "F", [], [], [], graph.opset_import))


def add_sparse_constant(graph: onnx.ModelProto) -> None:
    graph.graph.sparse_initializer.add()


def add_output(graph: onnx.ModelProto) -> None:
    graph.graph.output.add(name="y")


def enlarge_padding(graph: onnx.ModelProto) -> None:
    (pads,) = (a for a in graph.graph.node[2].attribute if a.name == "pads")
    pads.ints[:] = [10**9] * 4


def enlarge_reshape(graph: onnx.ModelProto) -> None:
    (columns,) = (c for c in graph.graph.initializer if c.name == "columns")
    columns.CopyFrom(numpy_helper.from_array(np.array([10**6, 10**6, -1]), "columns"))


def enlarge_constant(graph: onnx.ModelProto) -> None:
    graph.graph.initializer[1].dims.insert(0, 1)


def refer_to_a_file(graph: onnx.ModelProto) -> None:
    bias = graph.graph.initializer[2]
    bias.ClearField("raw_data")
    bias.data_location = TensorProto.EXTERNAL
    bias.external_data.add(key="location", value="weights.bin")


def set_newer_opset(graph: onnx.ModelProto) -> None:
    graph.opset_import[0].version = 21


def claim_a_huge_network(graph: onnx.ModelProto) -> None:
    entry = json.loads(graph.metadata_props[0].value)
    entry["model"]["gru_units"] = entry["model"]["fc1_units"] = 4096
    graph.metadata_props[0].value = json.dumps(entry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add_loop, "expected Cast as node 1, found another 'Loop'"),
        (add_huge_tensor, "found another one"),
        (add_function, "found another one"),
        (add_sparse_constant, "found another one"),
        (add_output, "found another one"),
        (enlarge_padding, "expected Conv as node 3, found another 'Conv'"),
        (enlarge_reshape, "found another one"),
        (enlarge_constant, "found another one"),
        (refer_to_a_file, "values of conv1.0.bias, found 0 bytes"),
        (set_newer_opset, "found another one"),
        (claim_a_huge_network, "expected a network of at most 15,000,000 values, found"),
    ],
)
def test_other_graphs_are_refused(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    proto = onnx.load_from_string(exported(random_model(SMALL, 60)))
    change(proto)
    path = tmp_path / "x.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelFileError) as error:
        load_model(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_hidden_reference_to_a_file_is_refused() -> None:
    """The length of a name may be written with more bytes than needed."""
    content = exported(random_model(SMALL, 60))
    field = b"\x6a\x12" + b"\x0a\x88\x00location\x12\x05w.bin"  # external_data, key in ten bytes
    place = content.index(b"conv1.0.bias")
    assert onnx.TensorProto.FromString(field).external_data[0].key == "location"
    with pytest.raises(ModelFileError, match="found"):
        check_graph(PATH, content[: place + 12] + field + content[place + 12 :])


@pytest.mark.parametrize("message", [b"\x0a\x00", b"\x2a\x00", b"\x7a\x00"])
def test_millions_of_empty_parts_are_refused(message: bytes) -> None:
    body = message * 1_000_000
    for content in (body, b"\x3a" + b"\x80\x89\x7a" + body):  # in a model, and in its graph
        with pytest.raises(ModelFileError, match=r"^x\.onnx: expected an ONNX graph, found: "):
            check_graph(PATH, content)


@pytest.mark.parametrize("content", [b"\xff" * 100, b"\x3a", b"\x3a\x7f", b"\x0b", b"\x08"])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ModelFileError, match=r"^x\.onnx: expected an ONNX graph, found: "):
        check_graph(PATH, content)
