"""Checking a graph from a file, before ONNX Runtime sees it.

ONNX Runtime does whatever a graph asks for: loops without end, tensors of any size, reading other
files. So nothing but the numbers of a file are used: the graph is built again from its metadata,
must be the same as in the file, and receives the file's weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from exprocr.core.model.artifact import METADATA_KEY, ModelInfo, json_object, parse_metadata
from exprocr.core.model.geometry import weight_shapes
from exprocr.core.model.onnx_graph import outline_graph
from exprocr.core.system.limits import MAX_HEADER_BYTES, MAX_PARAMETERS
from exprocr.errors import ModelFileError
from exprocr.words import quoted

MAX_FIELDS = 2_000
"""Most fields of a part of a file. A graph has up to 48 convolutions, each with a few."""

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
"""Field numbers in ONNX's format: a model's graph, a graph's constants, a constant's values."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Types of fields in the format of Protocol Buffers."""


def check_graph(path: Path, content: bytes) -> bytes:
    """Return a graph with the weights of a file, safe to run.

    Args:
        path: The file, for messages.
        content: Its content.

    Raises:
        ModelFileError: It is not a graph that exprocr has written, or is beyond a limit.
    """
    try:
        size = _size_beside_weights(content)
    except (IndexError, ValueError):
        raise ModelFileError(f"{path}: expected an ONNX graph, found: another format") from None
    if size > MAX_HEADER_BYTES:
        raise ModelFileError(
            f"{path}: expected at most {MAX_HEADER_BYTES:,} bytes beside the weights, "
            f"found {size:,}; not a graph of exprocr"
        )
    found = onnx.ModelProto()
    try:
        found.ParseFromString(content)
    except DecodeError as error:
        raise ModelFileError(f"{path}: expected an ONNX graph, found: {error}") from None
    entries = {entry.key: entry.value for entry in found.metadata_props}
    if METADATA_KEY not in entries:
        raise ModelFileError(
            f"{path}: expected the metadata entry {METADATA_KEY!r}, found "
            f"{quoted(', '.join(sorted(entries))) if entries else 'no metadata'}; "
            "not a graph of exprocr"
        )
    info = ModelInfo(**parse_metadata(path, json_object(path, METADATA_KEY, entries[METADATA_KEY])))
    graph = _outline(path, info)
    graph.metadata_props.add(key=METADATA_KEY, value=entries[METADATA_KEY])
    return _with_weights(path, graph, found)


def _outline(path: Path, info: ModelInfo) -> onnx.ModelProto:
    """Build the graph of a model without weights."""
    try:
        shapes = weight_shapes(info.model, info.preprocess.height, info.charset.num_classes)
    except ValueError as error:
        raise ModelFileError(f"{path}: model: {error}") from None
    number = sum(map(math.prod, shapes.values()))
    if number > MAX_PARAMETERS:
        raise ModelFileError(
            f"{path}: model: expected a network of at most {MAX_PARAMETERS:,} values, "
            f"found {number:,}"
        )
    return outline_graph(info, shapes)


def _with_weights(path: Path, graph: onnx.ModelProto, found: onnx.ModelProto) -> bytes:
    """Return ``graph`` with the weights of ``found``, serialized.

    The weights are removed from ``found``. What is left must be the same.
    """
    ours, theirs = graph.graph, found.graph
    for number, (expected, node) in enumerate(zip(ours.node, theirs.node, strict=False), start=1):
        if expected != node:
            kinds = f"{expected.op_type} as node {number}", quoted(node.op_type)
            raise _other(path, kinds[0], f"another {kinds[1]}")
    weights: list[bytes] = []
    for expected, given in zip(ours.initializer, theirs.initializer, strict=False):
        if expected.data_type == TensorProto.FLOAT:
            weights.append(given.raw_data)
            if len(weights[-1]) != 4 * math.prod(expected.dims):
                size = f"{len(weights[-1]):,} bytes"
                raise _other(path, f"{list(expected.dims)} values of {expected.name}", size)
            given.ClearField("raw_data")
    # Compared as bytes, because fields that this version does not know count too.
    if found.SerializeToString(deterministic=True) != graph.SerializeToString(deterministic=True):
        raise _other(path, "the graph of the network in its metadata", "another one")
    theirs.Clear()  # frees its memory
    given_weights = iter(weights)
    for constant in ours.initializer:
        if constant.data_type == TensorProto.FLOAT:
            constant.raw_data = next(given_weights)
    return bytes(graph.SerializeToString())


def _other(path: Path, expected: str, found: str) -> ModelFileError:
    return ModelFileError(
        f"{path}: expected {expected}, found {found}; not a graph of this exprocr "
        "(exprocr export writes one)"
    )


def _size_beside_weights(content: bytes) -> int:
    """Return the number of a file's bytes that are not values of constants.

    Small messages take far more memory than their bytes in the file, values do not.

    Raises:
        IndexError: The content is not in the format of Protocol Buffers.
        ValueError: The same.
    """
    size = len(content)
    for start, end in _fields(content, 0, len(content), _GRAPH):
        for first, last in _fields(content, start, end, _INITIALIZER):
            for low, high in _fields(content, first, last, _RAW_DATA):
                size -= high - low
    return size


def _fields(content: bytes, start: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Yield where the contents of a message's fields of one number begin and end."""
    for _ in range(MAX_FIELDS):
        if start >= end:
            return
        tag, start = _varint(content, start)
        kind = tag & 7
        if kind == _BYTES:
            length, start = _varint(content, start)
            if start + length > end:
                raise ValueError("a field ends after its message")
            if tag >> 3 == number:
                yield start, start + length
            start += length
        elif kind == _VARINT:
            _, start = _varint(content, start)
        elif kind in (_FIXED32, _FIXED64):
            start += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"unknown type of a field: {kind}")
    raise ValueError("too many fields")


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """Return the number at a place, of seven bits per byte, and the place after it."""
    number = shift = 0
    while True:
        byte = content[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
