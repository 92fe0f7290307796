"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

TINY_CHARSET = "()*+-0123456789"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file: a small network of the real shape, with random weights."""
    import torch

    from exprocr.core.artifact import ModelFile
    from exprocr.core.charset import Charset
    from exprocr.core.config import ConvModuleConfig, ModelConfig
    from exprocr.core.model import Network
    from exprocr.core.onnx_export import write_graph
    from exprocr.core.preprocess import PreprocessConfig
    from exprocr.core.torch_engine import export_weights

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
    """Return a labelled set of 24 pictures."""
    from tests.tiny_runs import write_files

    return write_files(tmp_path_factory.mktemp("files") / "data", 24)


@pytest.fixture
def one_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train with the built-in font: looking at all of the system's takes long."""
    from exprocr.synth.fonts import FontReport
    from exprocr.training import setup
    from tests.tiny_runs import BUILT_IN

    monkeypatch.setattr(setup, "find_fonts", lambda *args, **kwargs: FontReport([BUILT_IN]))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return a picture file of an expression."""
    from PIL import Image, ImageDraw

    path = tmp_path / "img.png"
    picture = Image.new("RGB", (180, 60), "white")
    ImageDraw.Draw(picture).text((20, 12), "(7+5)-4", fill="navy", font_size=30)
    picture.save(path)
    return path
