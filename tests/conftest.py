"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

hypothesis.settings.register_profile("default", max_examples=50, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=200, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Each process of the tests computes with one thread, on one processor. It is set before anything
# loads PyTorch, and programs that a test starts inherit it. Several threads in each of several
# processes wait for each other, which takes three times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if hasattr(signal, "SIGHUP"):
    with suppress(ValueError):  # not in the main thread
        # Under nohup it is ignored, and so it would be in the programs that are tested.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

if hasattr(os, "sched_setaffinity") and (worker := os.environ.get("PYTEST_XDIST_WORKER")):
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[int(worker.removeprefix("gw")) % len(processors)]})

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.eval_runs import Eval
    from tests.support.predict_runs import Predict

TINY_CHARSET = "()*+-0123456789"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file: a small network of the real shape, with random weights."""
    import torch

    from exprocr.core.config.schema import ConvModuleConfig, ModelConfig, PreprocessConfig
    from exprocr.core.model.artifact import ModelFile
    from exprocr.core.model.network import Network
    from exprocr.core.model.onnx_export import write_graph
    from exprocr.core.model.torch_engine import export_weights
    from exprocr.core.text.charset import Charset

    charset = Charset(TINY_CHARSET)
    preprocess = PreprocessConfig()
    module = ConvModuleConfig(kernel_sizes=(3,), channels=(4,), strides=(1,))
    stem = ConvModuleConfig(kernel_sizes=(3,), channels=(4,), strides=(2,), pool=(1, 1))
    model = ModelConfig(conv1=stem, conv2=module, conv3=module, fc1_units=16, gru_units=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(model, preprocess.height, charset.num_classes)
        with torch.no_grad():  # so that readings are neither empty nor all alike
            network.fc2.weight.mul_(8)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model_file = ModelFile(
        model=model, preprocess=preprocess, charset=charset, weights=export_weights(network)
    )
    model_file.save(path)
    write_graph(model_file, path.with_suffix(".onnx"))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a labeled set of 24 pictures."""
    from tests.support.tiny_runs import write_files

    return write_files(tmp_path_factory.mktemp("files") / "data", 24)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a running Chromium."""
    from tests.support import chromium

    if not chromium.PROGRAM:
        stop = pytest.fail if chromium.IS_REQUIRED else pytest.skip
        stop("Chromium is not installed")
    with chromium.start() as started:
        yield started


@pytest.fixture
def one_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train with the built-in font: looking at all of the system's takes long."""
    from exprocr.synth import renderer
    from exprocr.synth.fonts import FontReport
    from tests.support.tiny_runs import BUILT_IN

    monkeypatch.setattr(renderer, "find_fonts", lambda *args, **kwargs: FontReport([BUILT_IN]))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return a picture file of an expression."""
    from PIL import Image, ImageDraw

    path = tmp_path / "img.png"
    picture = Image.new("RGB", (180, 60), "white")
    ImageDraw.Draw(picture).text((20, 12), "(7+5)-4", fill="navy", font_size=30)
    picture.save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of 0, 2, 10.png, and files that are no images."""
    from tests.support.predict_runs import draw

    folder = tmp_path / "images"
    folder.mkdir()
    for number, text in ((10, "1+2"), (2, "3*4-5"), (0, "(7+5)+4")):
        draw(folder / f"{number}.png", text)
    (folder / "labels.txt").write_text("1+2 3\n")
    (folder / "._0.png").write_bytes(b"not a picture")
    return folder


@pytest.fixture
def predict(tiny_model: Path) -> Predict:
    """Return a function that runs ``exprocr predict`` with the tiny model."""
    from tests.support.predict_runs import predict_with

    return partial(predict_with, tiny_model)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a labeled set of the pictures that `evaluate` reads."""
    from tests.support.eval_runs import make_data

    return make_data(tmp_path / "data")


@pytest.fixture
def loaded() -> dict[str, Any]:
    """Return what `evaluate` loads a model with."""
    return {}


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, loaded: dict[str, Any]) -> Eval:
    """Return a function that runs ``exprocr eval`` with a model that reads a script."""
    from tests.support.eval_runs import eval_scripted

    return partial(eval_scripted, monkeypatch, loaded)
