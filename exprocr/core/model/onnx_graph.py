"""The network as an ONNX graph, built from the weights of a model file.

It is the same computation as `exprocr.core.model.network`, node by node, with two simplifications.
Batch norm, which is affine in evaluation mode, is folded into the convolution or matrix before it.
The division of the pictures by 255 is folded into the first convolution, so the graph's input are
the bytes of preprocessed pictures.

PyTorch orders a GRU's gates as r, z, n; ONNX as z, r, h. PyTorch applies the reset gate after the
recurrent matrix, which is ONNX's ``linear_before_reset``; Cho et al. 2014 apply it before.

Shapes: N batch, C channels, H rows, W columns, T frames, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exprocr.core.config.schema import ConvModuleConfig, ModelConfig
from exprocr.core.model.artifact import ModelFile, ModelInfo
from exprocr.core.model.geometry import CONV_LAYERS
from exprocr.core.model.onnx_engine import LOG_PROBS, PICTURES

OPSET = 17
IR_VERSION = 8
"""The version of 2022, which every ONNX Runtime since then reads."""

EPSILON = 1e-5
"""Value that PyTorch's batch norm adds to the variance."""


def build_graph(model: ModelFile, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Build the graph of a model.

    Args:
        model: The model; its weights must fit its configuration.
        metadata: Metadata entries of the file.
    """
    proto = _build(model, model.weights, _Nodes())
    helper.set_model_props(proto, dict(metadata))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def outline_graph(model: ModelInfo, shapes: Mapping[str, tuple[int, ...]]) -> onnx.ModelProto:
    """Build the graph of a model without the values of its weights, and without metadata.

    Args:
        model: The model.
        shapes: The shapes of its weights, by name.
    """
    weights = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    return _build(model, weights, _Outline())


def _build(model: ModelInfo, weights: Mapping[str, NDArray[Any]], nodes: _Nodes) -> onnx.ModelProto:
    maps = nodes.add("Cast", PICTURES, to=TensorProto.FLOAT)
    maps = nodes.add("Unsqueeze", maps, nodes.constant("channel_axis", np.array([1])))
    for layer in CONV_LAYERS:
        scale = 1 / 255 if layer == "conv1" else 1.0
        maps = _add_conv_module(nodes, maps, layer, model.model, weights, scale)
    frames = nodes.add("Transpose", maps, perm=[3, 0, 1, 2])  # (T, N, C, H')
    frames = nodes.add("Reshape", frames, nodes.constant("columns", np.array([0, 0, -1])))
    frames = _add_frame_linear(nodes, frames, model.model, weights)  # (T, N, fc1_units)
    frames = _add_gru(nodes, frames, "gru1", weights, merge=model.model.gru1_merge)
    frames = _add_gru(nodes, frames, "gru2", weights, merge="concat")
    logits = _add_linear(nodes, frames, "fc2", weights["fc2.weight"], weights["fc2.bias"])
    nodes.add("LogSoftmax", logits, output=LOG_PROBS, axis=2)
    pictures = helper.make_tensor_value_info(
        PICTURES, TensorProto.UINT8, ["N", model.preprocess.height, "W"]
    )
    log_probs = helper.make_tensor_value_info(
        LOG_PROBS, TensorProto.FLOAT, ["T", "N", model.charset.num_classes]
    )
    graph = helper.make_graph(nodes.nodes, "exprocr", [pictures], [log_probs], nodes.constants)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )


class _Nodes:
    """Collects the nodes and constants of a graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant, with floats as float32; return its name."""
        if values.dtype.kind == "f":
            values = values.astype(np.float32)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output


class _Outline(_Nodes):
    """Collects nodes and constants, without the values of floats."""

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant, with the type and shape alone if its values are floats."""
        if values.dtype.kind != "f":
            return super().constant(name, values)
        kind = TensorProto.FLOAT
        self.constants.append(TensorProto(name=name, dims=values.shape, data_type=kind))
        return name


def _add_conv_module(
    nodes: _Nodes,
    maps: str,
    layer: str,
    model: ModelConfig,
    weights: Mapping[str, NDArray[Any]],
    scale: float,
) -> str:
    """Add a `ConvModule`, its inputs multiplied by ``scale``."""
    config: ConvModuleConfig = getattr(model, layer)
    position = 0  # in the module: convolution, optional batch norm, ReLU
    for kernel, stride in zip(config.kernel_sizes, config.strides, strict=True):
        name = f"{layer}.{position}"
        weight, bias = _fold(weights, name, f"{layer}.{position + 1}", model.batch_norm)
        maps = nodes.add(
            "Conv",
            maps,
            nodes.constant(f"{name}.weight", weight * scale),
            nodes.constant(f"{name}.bias", bias),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2 if model.padding else 0] * 4,
        )
        maps = nodes.add("Relu", maps)
        scale = 1.0
        position += 3 if model.batch_norm else 2
    if config.pool != (1, 1):
        window = list(config.pool)
        maps = nodes.add("MaxPool", maps, kernel_shape=window, strides=window, ceil_mode=1)
    return maps


def _add_frame_linear(
    nodes: _Nodes, frames: str, model: ModelConfig, weights: Mapping[str, NDArray[Any]]
) -> str:
    """Add fc1."""
    weight, bias = _fold(weights, "fc1.linear", "fc1.norm", model.batch_norm)
    frames = _add_linear(nodes, frames, "fc1", weight, bias)
    return nodes.add("Relu", frames) if model.batch_norm else frames


def _add_linear(
    nodes: _Nodes, frames: str, name: str, weight: NDArray[Any], bias: NDArray[Any]
) -> str:
    product = nodes.add("MatMul", frames, nodes.constant(f"{name}.weight", weight.T))
    return nodes.add("Add", product, nodes.constant(f"{name}.bias", bias))


def _add_gru(
    nodes: _Nodes, frames: str, name: str, weights: Mapping[str, NDArray[Any]], *, merge: str
) -> str:
    """Add a `BiGRU`."""

    def both(*parts: str) -> NDArray[Any]:
        """Return tensors of both directions, gates in ONNX's order: (2, sum of rows, ...)."""
        return np.stack(
            [
                np.concatenate([_reorder(weights[f"{name}.gru.{part}_l0{way}"]) for part in parts])
                for way in ("", "_reverse")
            ]
        )

    recurrent = both("weight_hh")  # (2, 3 * units, units)
    states = nodes.add(  # (T, 2, N, units)
        "GRU",
        frames,
        nodes.constant(f"{name}.weight_ih", both("weight_ih")),
        nodes.constant(f"{name}.weight_hh", recurrent),
        nodes.constant(f"{name}.bias", both("bias_ih", "bias_hh")),
        direction="bidirectional",
        hidden_size=recurrent.shape[2],
        linear_before_reset=1,
    )
    if merge == "sum":
        axis = nodes.constant(f"{name}.directions", np.array([1]))
        return nodes.add("ReduceSum", states, axis, keepdims=0)  # (T, N, units)
    states = nodes.add("Transpose", states, perm=[0, 2, 1, 3])
    return nodes.add(  # (T, N, 2 * units)
        "Reshape", states, nodes.constant(f"{name}.merged", np.array([0, 0, -1]))
    )


def _reorder(stacked: NDArray[Any]) -> NDArray[Any]:
    """Reorder a GRU's stacked gates from PyTorch's r, z, n to ONNX's z, r, h."""
    reset, update, new = np.split(stacked, 3)
    return np.concatenate((update, reset, new))


def _fold(
    weights: Mapping[str, NDArray[Any]], name: str, norm: str, batch_norm: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a layer's weight and bias, with the batch norm after it folded in.

    y = gain * (W x + b - mean) + shift, gain = gamma / sqrt(variance + epsilon) (Ioffe & Szegedy
    2015, algorithm 2).
    """
    weight = weights[f"{name}.weight"].astype(np.float64)
    if not batch_norm:
        return weight, weights[f"{name}.bias"].astype(np.float64)
    gamma, beta, mean, variance = (
        weights[f"{norm}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gamma / np.sqrt(variance + EPSILON)
    shape: Sequence[int] = (-1,) + (1,) * (weight.ndim - 1)
    return weight * gain.reshape(shape), beta - mean * gain
