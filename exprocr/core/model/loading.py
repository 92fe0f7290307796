"""From the name of a model to an engine that runs it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

from exprocr.choices import DEVICES, ENGINES
from exprocr.core.model.artifact import ModelFile, ModelInfo, model_path
from exprocr.core.model.engine import Engine, pick_threads
from exprocr.errors import ConfigError, ModelFileError, unknown_name

GRAPH_SUFFIX = ".onnx"


class LoadedModel(NamedTuple):
    """A model, ready to run."""

    info: ModelInfo
    """Its metadata."""

    engine: Engine
    """What runs it."""

    num_workers: int
    """Batches to compute at a time, each in a thread of its own."""

    remark: str = ""
    """Why PyTorch runs it, where nobody asked for that."""


def load_model(
    source: Path | str | None = None,
    *,
    engine: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> LoadedModel:
    """Load a model and what runs it.

    Args:
        source: A model file, its graph (``.onnx``), a run directory, or None for the model inside
            the package.
        engine: ``onnx`` runs the graph beside the model file, ``torch`` the model file; None takes
            the graph where there is one, unless a device is asked for that only PyTorch has.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: Threads to compute with; None picks a sensible number.

    Raises:
        ModelFileError: A file is missing or unusable, or the graph was made of other weights.
        ConfigError: An argument is out of range, or the device is not there.
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
    if engine is None and not only_torch:
        remark = (
            f"{graph}: no such graph, so PyTorch reads, which is slower to start; "
            f"exprocr export {shlex.quote(model.name)} writes one"
        )
    return _load_network(model, device, threads, remark)


def _load_graph(path: Path, model: ModelFile | None, threads: int | None) -> LoadedModel:
    from exprocr.core.model.onnx_engine import check_match, load_graph

    info, digest, engine = load_graph(path)
    if model:
        check_match(path, info, digest, model)
        info = model  # whose temperature may be newer
    return LoadedModel(info, engine, pick_threads(threads))


def _load_network(model: ModelFile, device: str, threads: int | None, remark: str) -> LoadedModel:
    from exprocr.core.model.torch_engine import TorchEngine, build_network, pick_device, set_threads

    set_threads(threads)
    torch_device = pick_device(device)
    engine = TorchEngine(build_network(model, torch_device), torch_device)
    # PyTorch computes a batch with several threads itself.
    return LoadedModel(model, engine, 1, remark)
