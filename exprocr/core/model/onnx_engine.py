"""A model's graph in ONNX Runtime: starts in a fraction of PyTorch's time, reads faster.

    info, engine = load_graph(Path("model.onnx"))

A graph file is an ONNX model with the model file's metadata in its entry ``exprocr``, where it also
names the digest of the weights that it was made of; `exprocr.core.model.onnx_export` writes it.
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
from exprocr.errors import ModelFileError

DIGEST_KEY = "weights_digest"

PICTURES, LOG_PROBS = "pictures", "log_probs"
"""The graph's input, uint8 (N, H, W), 0 background .. 255 ink; its output, float32 (T, N, K)."""

_UNUSABLE = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoModel,
    runtime.NotImplemented,
    runtime.RuntimeException,
    RuntimeError,
    ValueError,  # names in a damaged file that are no UTF-8
)
"""What ONNX Runtime raises for a file that is no graph, or one it cannot run; they have no common
base of their own."""

_OTHER_FILE = b"\n\x08location"
"""How ONNX's format names a file beside the graph that holds a tensor: a length, then this key."""


class OnnxEngine:
    """Runs a graph in ONNX Runtime on the processor.

    A call computes in the thread that makes it, and several threads may call at a time: batches
    side by side keep all processors busy, where a batch split among threads waits at every frame
    of the GRUs.

    Args:
        graph: The file's content.
        name: What it is called, for messages.

    Raises:
        ModelFileError: It is no graph of exprocr.
    """

    def __init__(self, graph: bytes, name: str = "graph") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Pictures have many widths, and an arena keeps the most that any of them needed.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        self.path = name
        if _OTHER_FILE in graph:
            raise ModelFileError(f"{name}: expected a graph in one file, found parts in others")
        try:
            self.session = onnxruntime.InferenceSession(
                graph,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # which would print to stdout and try the same again
            )
            self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
            found = [(i.name, i.type) for i in self.session.get_inputs()]
            outputs = [o.name for o in self.session.get_outputs()]
        except _UNUSABLE as error:
            raise ModelFileError(f"{name}: expected an ONNX graph, found: {_line(error)}") from None
        if found != [(PICTURES, "tensor(uint8)")] or outputs != [LOG_PROBS]:
            raise ModelFileError(
                f"{name}: expected a graph from {PICTURES!r}, tensor(uint8), to {LOG_PROBS!r}, "
                f"found one from {found} to {outputs}; no graph of exprocr"
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


def load_graph(path: Path) -> tuple[ModelInfo, str, OnnxEngine]:
    """Read a graph file.

    Returns:
        What reading needs to know of the model, the digest of the weights that the graph was made
        of, and the engine that runs it.

    Raises:
        ModelFileError: The file is missing, is no graph of exprocr, or its metadata is damaged.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: expected an ONNX graph, found none")
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"{path}: expected an ONNX graph, found: {error.strerror or error}"
        ) from None
    engine = OnnxEngine(graph, str(path))
    entries = engine.metadata
    if METADATA_KEY not in entries:
        raise ModelFileError(
            f"{path}: expected the metadata entry {METADATA_KEY!r}, found "
            f"{', '.join(sorted(entries)) or 'no metadata'}; no graph of exprocr"
        )
    metadata = json_object(path, METADATA_KEY, entries[METADATA_KEY])
    info = ModelInfo(**parse_metadata(path, metadata))
    digest = metadata.get(DIGEST_KEY)
    if not isinstance(digest, str):
        raise ModelFileError(f"{path}: {DIGEST_KEY}: expected a string, found {digest!r}")
    height, num_classes = info.preprocess.height, info.charset.num_classes
    shapes = engine.session.get_inputs()[0].shape, engine.session.get_outputs()[0].shape
    if [shapes[0][1:2], shapes[1][2:]] != [[height], [num_classes]]:
        raise ModelFileError(
            f"{path}: expected a graph from (N, {height}, W) to (T, N, {num_classes}), as its "
            f"metadata says, found one from {shapes[0]} to {shapes[1]}"
        )
    return info, digest, engine


def check_match(path: Path, info: ModelInfo, digest: str, model: ModelFile) -> None:
    """Check that a graph was made of a model file.

    Args:
        path: The graph, for messages.
        info: What `load_graph` returned of it; the temperature may be another.
        digest: What it returned of the weights.
        model: The model file.

    Raises:
        ModelFileError: It was made of another.
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
    """Return an error of ONNX Runtime on one line."""
    return " ".join(str(error).split())
