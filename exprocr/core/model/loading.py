"""Loading a model together with the engine that runs it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

from exprocr.choices import DEVICES, ENGINES
from exprocr.core.model.artifact import NAMED, ModelFile, ModelInfo, model_path
from exprocr.core.model.engine import Engine, pick_threads
from exprocr.errors import ConfigError, ModelFileError, unknown_name

GRAPH_SUFFIX = ".onnx"


class LoadedModel(NamedTuple):
    """A model with its engine."""

    info: ModelInfo
    """The model."""

    engine: Engine
    """The engine that runs it."""

    num_workers: int
    """Number of batches to compute at the same time, each in its own thread."""

    remark: str = ""
    """The reason, if PyTorch runs it though no engine was chosen."""


def load_model(
    source: Path | str | None = None,
    *,
    engine: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> LoadedModel:
    """Load a model and its engine.

    Args:
        source: A model file, its graph (``.onnx``), a run directory, or the name of a model inside
            the package, ``bundled`` or ``contest``; None is ``bundled``.
        engine: ``onnx`` runs the graph beside the model file, ``torch`` the model file. None takes
            the graph if it exists, unless the device needs PyTorch.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: Number of threads; None is a default from the processors.

    Raises:
        ModelFileError: A file is missing or unusable, or the graph was made from other weights.
        ConfigError: An argument is out of range, or the device is not available.
    """
    for name, value, known in (("engine", engine, ENGINES), ("device", device, DEVICES)):
        if value is not None and value not in known:
            raise ConfigError(unknown_name(name, value, known, what=name))
    only_torch = device not in ("auto", "cpu")
    if engine == "onnx" and only_torch:
        raise ConfigError(f"device: expected auto or cpu for engine onnx, found {device!r}")
    path = model_path(source)
    if path.suffix == GRAPH_SUFFIX:
        if engine == "torch" or only_torch:
            raise ModelFileError(
                f"{path}: expected a model file for PyTorch, found a graph for ONNX Runtime"
            )
        return _load_graph(path, None, threads)
    model = ModelFile.load(source)
    graph = path.with_suffix(GRAPH_SUFFIX)
    if engine == "onnx" and not graph.exists():
        raise ModelFileError(
            f"{graph}: expected a graph for engine onnx, found none; "
            f"exprocr export {shlex.quote(model.name)} writes it"
        )
    if engine != "torch" and not only_torch and graph.exists():
        return _load_graph(graph, model, threads)
    remark = ""
    if engine is None and not only_torch and source not in NAMED:
        remark = (
            f"{graph}: no such graph, so PyTorch reads, which is slower to start; "
            f"exprocr export {shlex.quote(model.name)} writes one"
        )
    return _load_network(model, device, threads, remark)


def _load_graph(path: Path, model: ModelFile | None, threads: int | None) -> LoadedModel:
    # Imported here, so that only the chosen engine's library is loaded.
    from exprocr.core.model.onnx_engine import check_match, load_graph, read_graph

    graph = read_graph(path)
    if path != model_path(None).with_suffix(GRAPH_SUFFIX):
        # Only here, because the model inside the package starts faster without its library.
        from exprocr.core.model.onnx_check import check_graph

        graph = check_graph(path, graph)
    info, digest, engine = load_graph(path, graph)
    if model:
        check_match(path, info, digest, model)
        info = model  # its temperature can be newer
    return LoadedModel(info, engine, pick_threads(threads))


def _load_network(model: ModelFile, device: str, threads: int | None, remark: str) -> LoadedModel:
    # Imported here, so that only the chosen engine's library is loaded.
    from exprocr.core.model.torch_engine import TorchEngine, build_network, pick_device, set_threads

    set_threads(threads)
    torch_device = pick_device(device)
    engine = TorchEngine(build_network(model, torch_device), torch_device)
    # PyTorch itself computes a batch with several threads.
    return LoadedModel(model, engine, 1, remark)
