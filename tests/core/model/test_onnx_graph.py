"""The graph gives the same as PyTorch, for any configuration, width and batch size."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from exprocr.core.config.schema import PRESETS, ModelConfig
from exprocr.core.image.preprocess import load
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.geometry import num_frames
from exprocr.core.model.onnx_engine import LOG_PROBS, PICTURES, OnnxEngine
from exprocr.core.model.onnx_graph import build_graph
from exprocr.core.model.torch_engine import TorchEngine, build_network, pick_device
from exprocr.synth.renderer import Renderer
from tests.support.networks import ODD, SHAPES, SMALL, random_model
from tests.support.tiny_runs import BUILT_IN

TOLERANCE = 1e-4


def graph_of(model: ModelFile) -> bytes:
    return bytes(build_graph(model, {}).SerializeToString())


def torch_engine(model: ModelFile) -> TorchEngine:
    return TorchEngine(build_network(model, pick_device("cpu")), pick_device("cpu"))


def noise(num: int, height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(width)
    strokes = rng.random((num, 1, width)) < 0.4
    return (rng.integers(0, 256, (num, height, width)) * strokes).astype(np.uint8)


def check_parity(model: ModelFile, widths: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    expected_of, found_of = torch_engine(model), OnnxEngine(graph_of(model))
    for width in widths:
        for num in sizes:
            pictures = noise(num, model.preprocess.height, width)
            expected, found = expected_of.log_probs(pictures), found_of.log_probs(pictures)
            frames = num_frames(model.model, width)
            assert found.shape == expected.shape == (frames, num, model.charset.num_classes)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
            # The outputs are not trivially equal.
            assert expected.std(axis=0).max() > 1e-3
            assert num == 1 or np.abs(found[:, 0] - found[:, 1]).max() > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_network(shape: str) -> None:
    changes, height = SHAPES[shape]
    model = random_model(dataclasses.replace(SMALL, **changes), height)
    # Partial windows at the right edge, and none.
    check_parity(model, (60, 61, 62, 63, 80, 139), (1, 2, 5))


@pytest.mark.parametrize("seed", range(5))
def test_other_weights(seed: int) -> None:
    check_parity(random_model(SMALL, 24, seed), (40, 101), (3,))


def test_gains_of_either_sign_occur() -> None:
    weights = random_model(SMALL, 60).weights
    norms = [name.removesuffix(".running_var") for name in weights if name.endswith("running_var")]
    gains = np.concatenate([weights[f"{norm}.weight"] for norm in norms])
    assert gains.min() < 0 < gains.max()
    variances = np.concatenate([weights[f"{norm}.running_var"] for norm in norms])
    assert variances.min() < 1e-5 < 1 < variances.max()


@pytest.mark.parametrize(
    ("config", "height", "widths"),
    [(ODD, 53, (97, 160)), (PRESETS["reference"].model, 60, (160,))],
)
def test_odd_and_reference_networks(
    config: ModelConfig, height: int, widths: tuple[int, ...]
) -> None:
    check_parity(random_model(config, height), widths, (1, 3))


def test_the_narrowest_picture_with_a_frame() -> None:
    model = random_model(dataclasses.replace(SMALL, padding=False), 60)
    narrowest = next(width for width in range(1, 100) if num_frames(model.model, width))
    assert narrowest > 5
    expected = torch_engine(model).log_probs(noise(2, 60, narrowest))
    found = OnnxEngine(graph_of(model)).log_probs(noise(2, 60, narrowest))
    assert found.shape[0] == 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_the_shipped_model_on_rendered_pictures() -> None:
    model = ModelFile.load()
    renderer = Renderer([BUILT_IN])
    images = [renderer.sample(0, 0, i)[1] for i in range(6)]
    expected_of, found_of = torch_engine(model), OnnxEngine(graph_of(model))
    for scale in (0.7, 1.0, 1.31):  # other widths at the same height
        resized = [i.resize((round(i.width * scale), i.height)) for i in images]
        inks = np.stack([load(image, model.preprocess).ink for image in resized])
        for num in (1, 2, 6):
            expected, found = (e.log_probs(inks[:num]) for e in (expected_of, found_of))
            np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
        assert expected.argmax(axis=2).any()  # something was read


@pytest.mark.skipif(
    onnx.defs.onnx_opset_version() < 28, reason="the evaluator of onnx < 1.23 has no backward GRUs"
)
@pytest.mark.parametrize("shape", ["small", "sum", "neither", "rows alone"])
def test_onnx_reference_evaluator_gives_the_same(shape: str) -> None:
    """ONNX's reference evaluator, written in NumPy, runs the graph as the standard defines."""
    changes, height = SHAPES[shape]
    model = random_model(dataclasses.replace(SMALL, **changes), height)
    pictures = noise(2, height, 60)
    (found,) = ReferenceEvaluator(build_graph(model, {})).run(None, {PICTURES: pictures})
    assert isinstance(found, np.ndarray)
    expected = torch_engine(model).log_probs(pictures)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_metadata_and_interface_of_the_graph() -> None:
    model = random_model(SMALL, 32)
    proto = build_graph(model, {"exprocr": "{}", "ä": "ö"})
    onnx.checker.check_model(proto, full_check=True)
    assert {entry.key: entry.value for entry in proto.metadata_props} == {"exprocr": "{}", "ä": "ö"}
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 17)]
    assert proto.ir_version == 8
    (given,), (gives,) = proto.graph.input, proto.graph.output
    assert (given.name, gives.name) == (PICTURES, LOG_PROBS)
    dims = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (given, gives)]  # fmt: skip
    assert dims == [["N", 32, "W"], ["T", "N", 5]]
    # Batch norm is folded into other nodes.
    kinds = {node.op_type for node in proto.graph.node}
    assert {"Conv", "GRU", "LogSoftmax"} < kinds
    assert "BatchNormalization" not in kinds


def test_a_frame_is_a_distribution() -> None:
    found = OnnxEngine(graph_of(random_model(SMALL, 60))).log_probs(noise(3, 60, 100))
    np.testing.assert_allclose(np.exp(found.astype(np.float64)).sum(axis=2), 1, rtol=1e-5)
