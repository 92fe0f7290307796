"""Settings: strict loading, and nothing lost on the way to a file and back."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from exprocr.core.config.schema import (
    AUTO_IMAGES,
    AUTO_STRENGTH,
    PRESETS,
    AugmentConfig,
    ConvModuleConfig,
    ModelConfig,
    PreprocessConfig,
    Preset,
    SynthConfig,
    TrainingConfig,
    parse_looks,
    ranges,
)
from exprocr.core.config.settings import from_dict, load_settings, to_dict
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import new_network
from exprocr.core.text.charset import Charset
from exprocr.errors import ConfigError
from exprocr.training.limits import Limits
from exprocr.training.run import RunSpec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        # Unknown keys, with the nearest valid one.
        ({"trainign": {}}, "trainign: unknown key; did you mean 'training'?"),
        ({"training": {"epoch": 3}}, "training.epoch: unknown key; did you mean 'epochs'?"),
        ({"training": {"lerning_rate": 1}}, "lerning_rate: unknown key; did you mean 'learning_r"),
        ({"model": {"conv1": {"chanels": [1]}}}, "model.conv1.chanels: unknown key; did you mean"),
        ({"synth": {"": 1}}, "synth.: unknown key"),
        # Wrong types.
        ({"training": 3}, "training: expected a section, found 3"),
        ({"training": {"epochs": "3"}}, "training.epochs: expected int, found '3'"),
        ({"training": {"epochs": 3.0}}, "training.epochs: expected int, found 3.0"),
        ({"training": {"epochs": True}}, "training.epochs: expected int, found True"),
        ({"training": {"learning_rate": "x"}}, "training.learning_rate: expected float, found 'x'"),
        ({"training": {"learning_rate": True}}, "training.learning_rate: expected float"),
        ({"model": {"padding": 1}}, "model.padding: expected bool, found 1"),
        ({"model": {"init": "zero"}}, "model.init: expected one of 'he', 'truncated_normal', foun"),
        ({"model": {"conv1": {"pool": [2]}}}, "model.conv1.pool: expected a list of 2, found [2]"),
        ({"model": {"conv1": {"pool": 2}}}, "model.conv1.pool: expected a list of 2, found 2"),
        ({"model": {"conv1": {"channels": ["8"]}}}, "model.conv1.channels: expected int, found '8"),
        ({"synth": {"fonts": "x"}}, "synth.fonts: expected a list, found 'x'"),
        ({"preprocess": {"width": "x"}}, "preprocess.width: expected int, found 'x'"),
        ({"synth": {"width": "wide"}}, "synth.width: expected int or 'auto', found 'wide'"),
        ({"synth": {"width": True}}, "synth.width: expected int or 'auto', found True"),
        ({"synth": {"width": 19}}, "synth.width: expected 20 to 6000, found 19"),
        # Out of range.
        ({"training": {"epochs": 0}}, "training.epochs: expected 1 to 1e+06, found 0"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: expected 1e-08 t"),
        ({"training": {"synth_mix": 1.5}}, "training.synth_mix: expected 0 to 1, found 1.5"),
        ({"model": {"dropout": 1}}, "model.dropout: expected 0 to 0.95, found 1.0"),
        ({"preprocess": {"height": 0}}, "preprocess.height: expected 1 to 6000 px, found 0"),
        ({"augment": {"strength": 1.5}}, "augment.strength: expected 0 to 1, found 1.5"),
        ({"augment": {"strength": "auto"}}, "augment.strength: expected float, found 'auto'"),
        ({"augment": {"unchanged_share": 2}}, "augment.unchanged_share: expected 0 to 1, found 2"),
        ({"synth": {"min_font_size_px": 60}}, "synth.min_font_size_px: expected at most 56, which"),
        ({"synth": {"min_font_size_px": 7}}, "synth.min_font_size_px: expected 8 to 96, found 7.0"),
        # Convolution modules.
        (
            {"model": {"conv2": {"channels": [8, 8]}}},
            "model.conv2: kernel_sizes, channels and stride",
        ),
        ({"model": {"conv1": {"kernel_sizes": [4]}}}, "model.conv1: kernel_sizes: expected odd"),
        ({"model": {"conv1": {"pool": [0, 1]}}}, "model.conv1: pool: expected 1 to 100, found"),
    ],
)
def test_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Preset, values, base=PRESETS["default"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "config", [ModelConfig, ConvModuleConfig, PreprocessConfig, TrainingConfig, SynthConfig]
)
def test_the_ends_of_a_range_are_in_it_and_no_more(config: Any) -> None:
    assert ranges(config)
    for name, (low, high) in ranges(config).items():
        default = getattr(config, name)
        for value, fits in ((low, True), (low - 1, False), (high, True), (high + 1, False)):
            many = (value,) * len(default) if isinstance(default, tuple) else value
            sizes = {"min_font_size_px": 8, "max_font_size_px": 96} if "font_size" in name else {}
            changes = {**sizes, name: many}
            if fits:
                config(**changes)
            else:
                with pytest.raises(ConfigError, match=rf"\b{name}: expected "):
                    config(**changes)


def test_an_empty_module_is_refused() -> None:
    with pytest.raises(ConfigError, match="lists of one length"):
        ConvModuleConfig(kernel_sizes=(), channels=(), strides=())


def test_nested_sections_change_only_what_they_name() -> None:
    values = {"model": {"conv3": {"pool": [1, 2]}}, "training": {"learning_rate": 1}}
    for preset in PRESETS.values():
        changed = from_dict(Preset, values, base=preset)
        conv3 = dataclasses.replace(preset.model.conv3, pool=(1, 2))
        assert changed == dataclasses.replace(
            preset,
            model=dataclasses.replace(preset.model, conv3=conv3),
            training=dataclasses.replace(preset.training, learning_rate=1.0),
        )
        assert type(changed.training.learning_rate) is float
        assert changed != preset


ODD = Preset(
    model=ModelConfig(conv2=ConvModuleConfig(channels=(1, 2), pool=(3, 1)), gru1_merge="sum"),
    preprocess=PreprocessConfig(height=31, width=77, width_multiple=3),
    training=TrainingConfig(seed=2**63 - 1, learning_rate=1e-8, val_fraction=0.1 + 0.2),
    augment=AugmentConfig(strength=0.1 + 0.2, unchanged_share=1.0),
    synth=SynthConfig(fonts=("a b", 'quote"\\', "é"), system_fonts=False),
)


@pytest.mark.parametrize("settings", [*PRESETS.values(), ODD], ids=[*PRESETS, "odd"])
def test_round_trip(settings: Preset) -> None:
    values = to_dict(settings)
    assert from_dict(Preset, values) == settings
    assert from_dict(Preset, tomllib.loads(tomli_w.dumps(values))) == settings
    assert from_dict(Preset, json.loads(json.dumps(values))) == settings


@pytest.mark.parametrize(
    "spec",
    [
        RunSpec(settings=ODD, data="/d", data_digest="0", limits=Limits(epochs=3), threads=2),
        RunSpec(
            settings=dataclasses.replace(
                ODD, training=dataclasses.replace(ODD.training, synth_mix=1.0)
            ),
            val="/v",
            val_digest="1",
            init="bundled",
            limits=Limits(max_time_s=0.5, target_accuracy=1.0, patience=2),
            device="cpu",
            workers=3,
        ),
    ],
)
def test_a_run_round_trips(spec: RunSpec) -> None:
    assert from_dict(RunSpec, json.loads(json.dumps(to_dict(spec)))) == spec


def test_a_run_without_files_must_render() -> None:
    with pytest.raises(ConfigError, match=r"training.synth_mix: expected 1 .* found 0"):
        RunSpec()


def test_frozen() -> None:
    settings = PRESETS["default"]
    for config in (settings, settings.model, settings.model.conv1, settings.training, ODD.synth):
        name = dataclasses.fields(config)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, name, getattr(config, name))


def test_file_then_single_changes(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[training]\nepochs = 7\nseed = 5\n[model.conv1]\npool = [2, 2]\n")
    settings = load_settings("reference", file, {"training": {"epochs": 9}})
    assert (settings.training.epochs, settings.training.seed) == (9, 5)
    assert settings.training.batch_size == 128  # the preset's
    assert settings.model.conv1.kernel_sizes == (3, 3)
    assert load_settings("default") == Preset()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"[training\n", "expected TOML, found: "),
        (b"\xff\xfe", "expected TOML, found: "),
        (b"[training]\nepochs = 1\nepochs = 2\n", "expected TOML, found: "),
        (b"[training]\nepochz = 1\n", "training.epochz: unknown key; did you mean 'epochs'?"),
        (b"[training]\nepochs = 0\n", "training.epochs: expected 1"),
        (
            b"[training]\nlearning_rate = 1" + b"0" * 400,
            "training.learning_rate: expected float, found a number beyond it",
        ),
        (b"[training]\nlearning_rate = 1" + b"0" * 5000, "expected TOML, found: "),
    ],
)
def test_bad_file(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "my.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_settings("default", file)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings("default", tmp_path)


def test_unknown_preset() -> None:
    with pytest.raises(ConfigError, match="preset: unknown preset; did you mean 'reference'"):
        load_settings("refrence")


def test_the_strength_of_the_augmentation_where_it_is_left_out() -> None:
    said = " ".join(inspect.getsource(AugmentConfig).split())
    assert f"it is {AUTO_STRENGTH:g} with fewer than {AUTO_IMAGES:,} labeled images" in said
    few, many = AUTO_IMAGES - 1, AUTO_IMAGES
    assert [AugmentConfig().strength_for(num) for num in (few, many)] == [AUTO_STRENGTH, 0]
    assert [AugmentConfig(strength=0.7).strength_for(num) for num in (few, many)] == [0.7, 0.7]
    assert [PRESETS["reference"].augment.strength_for(num) for num in (few, many)] == [0, 0]


def test_the_reference_preset_is_the_published_one() -> None:
    training, model = PRESETS["reference"].training, PRESETS["reference"].model
    assert (training.epochs, training.batch_size, training.learning_rate) == (300, 128, 1e-3)
    assert (training.schedule, training.weight_decay, training.max_grad_norm) == ("constant", 0, 0)
    assert (model.dropout, model.init, model.batch_norm) == (0.75, "truncated_normal", False)
    assert PRESETS["reference"].preprocess == PreprocessConfig(
        height=60, width=160, flat_field=False
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_sizes": (3,) * 17, "channels": (1,) * 17, "strides": (1,) * 17}, "at most 16 "),
        ({"kernel_sizes": (3, 101)}, "kernel_sizes: expected 1 to 99, found (3, 101)"),
        ({"kernel_sizes": (-1, 3)}, "kernel_sizes: expected 1 to 99"),
        ({"kernel_sizes": (4, 3)}, "kernel_sizes: expected odd sizes"),
        ({"channels": (4097, 1)}, "channels: expected 1 to 4096"),
        ({"channels": (0, 1)}, "channels: expected 1 to 4096"),
        ({"strides": (1, 101)}, "strides: expected 1 to 100"),
        ({"pool": (101, 1)}, "pool: expected 1 to 100"),
    ],
)
def test_convolutions_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ConvModuleConfig(**changes)


WIDE = ConvModuleConfig(kernel_sizes=(99,), channels=(4096,), strides=(1,))


@pytest.mark.parametrize(
    ("model", "height", "message"),
    [
        (
            ModelConfig(conv2=WIDE, conv3=WIDE),
            6000,
            "model: expected a network of at most 15,000,",
        ),
        (ModelConfig(padding=False), 10, "preprocess.height: pictures 10 px high are too low"),
    ],
)
def test_new_networks_that_cannot_be(model: ModelConfig, height: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new_network(model, PreprocessConfig(height=height), Charset("01"))


def test_a_new_network_is_the_one_of_its_seed() -> None:
    settings = PRESETS["default"]
    torch.manual_seed(3)
    network = new_network(settings.model, settings.preprocess, Charset("01"))
    torch.manual_seed(3)
    other = Network(settings.model, settings.preprocess.height, 3)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a = " + "[" * 10_000 + "]" * 10_000, "expected TOML, found: values nested too deeply"),
        ("a." * 10_000 + "b = 1", "expected TOML, found: values nested too deeply"),
        ("# no settings\n" * 10_000, "cannot be read: a file of more than 0.1 MB, the limit"),
        (f"[{'a' * 50_000}]", "unknown key; did you mean"),
        (f"[training]\nepochs = '{'a' * 50_000}'", "training.epochs: expected int, found 'aaa"),
        ("[a]\n[a]" + ".a" * 150 + "\n[a]" + ".a" * 150, "expected TOML, found: "),
    ],
)
def test_files_that_are_too_large(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        load_settings("default", path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 400


def test_settings_are_in_a_regular_file() -> None:
    with pytest.raises(ConfigError, match="cannot be read: a device, not a regular file"):
        load_settings("default", Path("/dev/zero"))


@pytest.mark.parametrize(
    ("looks", "shares"),
    [
        (["contest"], {("contest", ""): 1.0}),
        (["print", "hand"], {("print", ""): 0.5, ("hand", ""): 0.5}),
        (["print:3", "hand:1e0"], {("print", ""): 0.75, ("hand", ""): 0.25}),
        (["screen:0.2", "display"], {("screen", ""): 1 / 6, ("display", ""): 5 / 6}),
        (
            ["print", "print/sums:2", "contest/level1"],
            {("print", ""): 0.25, ("print", "sums"): 0.5, ("contest", "level1"): 0.25},
        ),
    ],
)
def test_shares_of_looks_add_up_to_one(
    looks: list[str], shares: dict[tuple[str, str], float]
) -> None:
    assert parse_looks(looks) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"looks": ["prnt"]}, "synth.looks: unknown look; did you mean 'print'? (looks: contest,"),
        ({"looks": []}, "synth.looks: expected at least one look, found none"),
        ({"looks": ["hand", "hand:2"]}, "synth.looks: expected each look once, found hand twice"),
        (
            {"looks": ["hand/sums", "hand/sums"]},
            "synth.looks: expected each look once, found hand/",
        ),
        ({"looks": ["hand/"]}, "synth.looks: unknown distribution; did you mean"),
        ({"looks": ["hand/sum"]}, "synth.looks: unknown distribution; did you mean 'sums'?"),
        (
            {"looks": ["hand/sums"], "grammar": "digits"},
            "synth.grammar: expected a look that draws these texts, found only looks with texts of "
            "their own: hand/sums",
        ),
        ({"looks": ["hand:-1"]}, "synth.looks: expected a share above 0 after the colon"),
        ({"looks": ["hand:x"]}, "synth.looks: expected a share above 0 after the colon"),
        ({"looks": ["hand:inf"]}, "synth.looks: expected a share above 0 after the colon"),
        ({"digit_range": [8, 7]}, "synth.digit_range: expected the first and the last digit"),
        ({"digit_range": [8]}, "synth.digit_range: expected a list of 2"),
    ],
)
def test_looks_and_digits_that_do_not_fit(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Preset, {"synth": values})
    assert str(caught.value).startswith(message)
