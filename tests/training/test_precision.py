"""bfloat16: where it is chosen, what it reaches and what it does not, and how a run keeps it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from exprocr.core.config.schema import PRESETS
from exprocr.core.model.artifact import ModelFile, load_tensors
from exprocr.core.model.network import Network
from exprocr.core.runs.layout import CHECKPOINT_NAME
from exprocr.errors import ConfigError
from exprocr.training import precision, setup
from exprocr.training.checkpoint import ENTRY
from exprocr.training.limits import Limits
from exprocr.training.precision import pick_precision
from exprocr.training.run import RunSpec, read_checkpoint
from exprocr.training.setup import make_trainer
from tests.support.tiny_runs import (
    NEVER,
    Recorder,
    check_same,
    go_on,
    invoke,
    prepare,
    start,
    tiny_settings,
)

pytestmark = pytest.mark.usefixtures("one_font")

CPU = torch.device("cpu")
STAGES = ("conv1", "conv2", "conv3", "fc1", "gru1", "gru2")


def spec_of(files: Path, asked: Literal["auto", "float32", "bfloat16"]) -> RunSpec:
    return RunSpec(settings=tiny_settings(precision=asked), data=str(files))


@pytest.mark.parametrize(
    ("device", "has", "expected"),
    [
        ("cpu", {"avx512_bf16"}, "bfloat16"),
        ("cpu", {"amx_bf16"}, "bfloat16"),
        ("cpu", {"avx512_f"}, "float32"),
        ("cpu", {"avx512_bf16", "no kernels"}, "float32"),
        ("cuda", {"cuda"}, "bfloat16"),
        ("cuda", {"avx512_bf16"}, "float32"),
        ("cuda", {"emulated"}, "float32"),
        ("mps", {"avx512_bf16", "cuda"}, "float32"),
    ],
)
def test_auto_is_bfloat16_where_it_is_fast(
    monkeypatch: pytest.MonkeyPatch, device: str, has: set[str], expected: str
) -> None:
    flags = {name: name in has for name in ("avx512_bf16", "amx_bf16", "avx512_f")}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)

    def is_supported(including_emulation: bool = True) -> bool:
        return "cuda" in has or (including_emulation and "emulated" in has)

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    kernels = type("Ops", (), {"_is_mkldnn_bf16_supported": lambda: "no kernels" not in has})
    monkeypatch.setattr(torch.ops, "mkldnn", kernels)
    assert pick_precision("auto", torch.device(device)) == expected
    assert pick_precision("float32", torch.device(device)) == "float32"
    if device != "mps":
        assert pick_precision("bfloat16", torch.device(device)) == "bfloat16"


def test_a_device_without_bfloat16_refuses_it() -> None:
    message = "training.precision: expected auto or float32 on mps, found 'bfloat16'"
    with pytest.raises(ConfigError, match=message):
        pick_precision("bfloat16", torch.device("mps"))


@pytest.mark.parametrize("missing", ["capabilities", "kernels"])
def test_auto_is_float32_where_pytorch_cannot_say(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    flags = {"avx512_bf16": True}
    kernels: Any = type("Ops", (), {"_is_mkldnn_bf16_supported": lambda: True})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    monkeypatch.setattr(torch.ops, "mkldnn", kernels)
    assert pick_precision("auto", CPU) == "bfloat16"
    if missing == "capabilities":
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    else:
        monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert pick_precision("auto", CPU) == "float32"


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"training.precision: expected one of 'auto', 'float32'"):
        tiny_settings(precision="float16")


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_only_the_layers_of_training_steps_are_bfloat16(
    files: Path, tmp_path: Path, asked: Literal["float32", "bfloat16"]
) -> None:
    trainer = prepare(spec_of(files, asked), tmp_path / "run")
    seen: dict[tuple[str, bool], set[torch.dtype]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            seen.setdefault((name, module.training), set()).add(output.dtype)

        return hook

    for name in (*STAGES, "fc2"):
        getattr(trainer.network, name).register_forward_hook(note(name))
    trainer.train(Limits(epochs=1), Recorder(), NEVER)
    in_steps = {"float32": torch.float32, "bfloat16": torch.bfloat16}[asked]
    for name in STAGES:
        assert seen[name, True] == {in_steps}, name
        assert seen[name, False] == {torch.float32}, name  # validation and calibration
    assert seen["fc2", True] == seen["fc2", False] == {torch.float32}
    moments = [v for state in trainer.stepper.optimizer.state.values() for v in state.values()]
    for tensor in (*trainer.network.state_dict().values(), *moments):
        assert tensor.dtype in (torch.float32, torch.int64)  # batch norm counts its batches
    for parameter in trainer.network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
    saved = load_tensors(tmp_path / "run" / CHECKPOINT_NAME, ENTRY)[0]
    saved |= ModelFile.load(tmp_path / "run").weights
    kinds = {str(values.dtype) for name, values in saved.items() if not name.startswith("rng")}
    assert kinds <= {"float32", "int64"}


def test_gradients_are_those_of_float32_but_rounded() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(4, 1, 60, 100, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = dataclasses.replace(PRESETS["default"].model, dropout=0.0)
        network = Network(model, 60, 16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()

    def gradients(asked: Literal["float32", "bfloat16"]) -> list[Tensor]:
        network.zero_grad()
        with precision.mixed_precision(CPU, asked):
            frames = network.encode(pictures)
        log_probs = network.classify(frames)
        assert log_probs.dtype == torch.float32
        log_probs[:, :, 3].mean().backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    exact = torch.cat([g.flatten() for g in gradients("float32")])
    rounded = torch.cat([g.flatten() for g in gradients("bfloat16")])
    error = float((rounded - exact).norm() / exact.norm())
    assert 1e-4 < error < 0.1
    assert torch.equal(exact, torch.cat([g.flatten() for g in gradients("float32")]))


def test_a_resumed_run_keeps_its_precision(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(files, "auto")
    monkeypatch.setattr(setup, "pick_precision", lambda asked, device: "bfloat16")
    assert start(spec, tmp_path / "straight") == "finished"
    assert start(spec, tmp_path / "run", Recorder(stop_after=6)) == "interrupted"
    # On another machine, say.
    monkeypatch.setattr(setup, "pick_precision", lambda asked, device: "float32")
    assert read_checkpoint(tmp_path / "run")[0].precision == "bfloat16"
    assert go_on(tmp_path / "run") == "finished"
    check_same(tmp_path / "run", tmp_path / "straight")
    assert "# precision = 'bfloat16'" in (tmp_path / "run" / "config.toml").read_text()
    # It is another run than the one in float32.
    assert start(spec, tmp_path / "other") == "finished"
    one, other = (ModelFile.load(tmp_path / name).weights for name in ("run", "other"))
    assert not np.array_equal(one["fc2.weight"], other["fc2.weight"])


def test_a_checkpoint_that_does_not_say_was_float32(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert start(spec_of(files, "float32"), run, Recorder(stop_after=6)) == "interrupted"
    path = run / CHECKPOINT_NAME
    tensors, entry = load_tensors(path, ENTRY)
    assert entry["settings"].pop("precision") == "float32"
    for name in ("precision", "evaluate_every_steps"):
        entry["settings"]["settings"]["training"].pop(name)
    save_file(tensors, path, {ENTRY: json.dumps(entry)})
    monkeypatch.setattr(setup, "pick_precision", lambda asked, device: "bfloat16")
    spec, checkpoint = read_checkpoint(run)
    assert spec.settings.training.precision == "auto"
    _, data = setup_data(spec)
    trainer = make_trainer(spec, data, run, resume=checkpoint)
    assert trainer.stepper.precision == "float32"


def setup_data(spec: RunSpec) -> tuple[RunSpec, Any]:
    from exprocr.training.run import read_data

    return read_data(dataclasses.replace(spec, device="cpu"))


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_train_says_what_it_computes_in(files: Path, tmp_path: Path, asked: str) -> None:
    config = tmp_path / "config.toml"
    start(spec_of(files, "float32"), tmp_path / "a", Recorder(stop_after=1))
    text = (tmp_path / "a" / "config.toml").read_text()
    config.write_text(text.replace('precision = "float32"', f'precision = "{asked}"'))
    arguments = ("train", files, "--config", config, "--epochs", 1, "--device", "cpu")
    result = invoke(*arguments, "--output", tmp_path / "b")
    assert result.exit_code == 0, result.stderr
    assert f"grammar level1; 5 steps in {asked}; writing {tmp_path / 'b'}" in result.stderr
