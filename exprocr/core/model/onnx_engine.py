"""The engine in ONNX Runtime: starts and reads faster than PyTorch.

    info, engine = load_graph(Path("model.onnx"))

A graph file is an ONNX model; `exprocr.core.model.onnx_export` writes it. Its metadata entry
``exprocr`` is that of the model file and the digest of the weights.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from exprocr.core.model.artifact import (
    METADATA_KEY,
    ModelFile,
    ModelInfo,
    json_object,
    parse_metadata,
)
from exprocr.core.system.files import read_regular
from exprocr.core.system.limits import MAX_MODEL_BYTES
from exprocr.errors import ModelFileError
from exprocr.words import quoted, shortened

DIGEST_KEY = "weights_digest"

PICTURES, LOG_PROBS = "pictures", "log_probs"
"""The graph's input, uint8 (N, H, W), 0 background .. 255 strongest ink, and its output, float32
(T, N, K)."""

_UNUSABLE = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoModel,
    runtime.NotImplemented,
    runtime.RuntimeException,
    RuntimeError,
    ValueError,  # names in a damaged file that are not UTF-8
)
"""Errors of ONNX Runtime for a file that is no graph, or that it cannot run. They have no common
base class."""


class OnnxEngine:
    """Runs a graph in ONNX Runtime on the CPU.

    A call computes in the caller's thread, and several threads may call at the same time. Several
    batches in parallel keep all processors busy; one batch divided among threads would wait at
    every frame of the GRUs.

    Args:
        graph: Content of the file.
        name: Name of the file, for messages.

    Raises:
        ModelFileError: It is no graph that exprocr has written.
    """

    def __init__(self, graph: bytes, name: str = "graph") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Pictures have many widths, and an arena keeps the memory of the largest.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        self.path = name
        try:
            self.session = onnxruntime.InferenceSession(
                graph,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # a fallback prints to stdout and tries the same again
            )
            self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
            found = [(i.name, i.type) for i in self.session.get_inputs()]
            outputs = [o.name for o in self.session.get_outputs()]
        except _UNUSABLE as error:
            raise ModelFileError(f"{name}: expected an ONNX graph, found: {_line(error)}") from None
        if found != [(PICTURES, "tensor(uint8)")] or outputs != [LOG_PROBS]:
            raise ModelFileError(
                f"{name}: expected a graph from {PICTURES!r}, tensor(uint8), to {LOG_PROBS!r}, "
                f"found one from {shortened(str(found), 200)} to {shortened(str(outputs), 200)}; "
                "not a graph of exprocr"
            )

    def __str__(self) -> str:
        return f"ONNX Runtime {onnxruntime.__version__} on cpu"

    def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the graph; see `exprocr.core.model.engine.Engine.log_probs`.

        Raises:
            ModelFileError: The graph cannot be run on these pictures.
        """
        try:
            (log_probs,) = self.session.run([LOG_PROBS], {PICTURES: pictures})
        except _UNUSABLE as error:
            raise ModelFileError(
                f"{self.path}: expected a graph that runs on pictures of {pictures.shape[2]} x "
                f"{pictures.shape[1]} px, found: {_line(error)}"
            ) from None
        return np.asarray(log_probs, dtype=np.float32)


def read_graph(path: Path) -> bytes:
    """Return the content of a graph file.

    Raises:
        ModelFileError: It is missing, no regular file, or larger than a graph may be.
    """
    try:
        return read_regular(path, MAX_MODEL_BYTES)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: expected an ONNX graph, found none") from None
    except OSError as error:
        raise ModelFileError(
            f"{path}: expected an ONNX graph, found: {error.strerror or error}"
        ) from None


def load_graph(path: Path, graph: bytes | None = None) -> tuple[ModelInfo, str, OnnxEngine]:
    """Load a graph that this program has written or checked.

    Args:
        path: Its file.
        graph: The graph, from `exprocr.core.model.onnx_check.check_graph`; None is the content of
            the file, which ONNX Runtime then runs whatever it does.

    Returns:
        The model, the digest of the weights, and the engine that runs the graph.

    Raises:
        ModelFileError: The file is missing, is no graph that exprocr has written, or has damaged
            metadata.
    """
    engine = OnnxEngine(read_graph(path) if graph is None else graph, str(path))
    entries = engine.metadata
    if METADATA_KEY not in entries:
        raise ModelFileError(
            f"{path}: expected the metadata entry {METADATA_KEY!r}, found "
            f"{quoted(', '.join(sorted(entries))) if entries else 'no metadata'}; "
            "not a graph of exprocr"
        )
    metadata = json_object(path, METADATA_KEY, entries[METADATA_KEY])
    info = ModelInfo(**parse_metadata(path, metadata))
    digest = metadata.get(DIGEST_KEY)
    if not isinstance(digest, str):
        raise ModelFileError(f"{path}: {DIGEST_KEY}: expected a string, found {quoted(digest)}")
    height, num_classes = info.preprocess.height, info.charset.num_classes
    shapes = engine.session.get_inputs()[0].shape, engine.session.get_outputs()[0].shape
    if [shapes[0][1:2], shapes[1][2:]] != [[height], [num_classes]]:
        raise ModelFileError(
            f"{path}: expected a graph from (N, {height}, W) to (T, N, {num_classes}), as its "
            f"metadata says, found one from {shortened(str(shapes[0]))} to "
            f"{shortened(str(shapes[1]))}"
        )
    return info, digest, engine


def check_match(path: Path, info: ModelInfo, digest: str, model: ModelFile) -> None:
    """Check that a graph was made from a model file.

    Args:
        path: The graph, for messages.
        info: The model, from `load_graph`; its temperature may differ.
        digest: The digest, from `load_graph`.
        model: The model file.

    Raises:
        ModelFileError: The graph was made from another model.
    """
    advice = f"exprocr export {shlex.quote(model.name)} writes it again"
    expected = model.weights_digest()
    if digest != expected:
        raise ModelFileError(
            f"{path}: expected the graph of {model.name}, whose weights have the digest "
            f"{expected[:12]}, found that of others, {digest[:12]}; {advice}"
        )
    for name in ("model", "preprocess", "charset"):
        if getattr(info, name) != getattr(model, name):
            raise ModelFileError(
                f"{path}: expected the graph of {model.name}, found one with another {name!r} in "
                f"its metadata; {advice}"
            )


def _line(error: Exception) -> str:
    """Return the message of an error on one line."""
    return shortened(" ".join(str(error).split()), 300)
