"""Settings: frozen dataclasses, the two presets, and strict loading.

A configuration is nested dictionaries of TOML or JSON values. An unknown key, a value of the
wrong type or out of range is an error that names the key; nothing is silently ignored.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from exprocr.core.preprocess import PreprocessConfig
from exprocr.errors import ConfigError

T = TypeVar("T")


def _check_range(section: str, config: Any, **limits: tuple[float, float]) -> None:
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise ConfigError(f"{section}.{name}: expected {low:g} to {high:g}, found {value}")


@dataclass(frozen=True, kw_only=True)
class ConvModuleConfig:
    """One convolution module: convolutions, each with ReLU, then a max-pool."""

    kernel_sizes: tuple[int, ...] = (3, 3)
    """Side of each convolution's square kernel, odd."""

    channels: tuple[int, ...] = (32, 32)
    """Output channels of each convolution."""

    strides: tuple[int, ...] = (1, 1)
    """Stride of each convolution."""

    pool: tuple[int, int] = (2, 2)
    """Max-pool window and stride, rows x columns; partial windows at the edges are kept."""

    def __post_init__(self) -> None:
        lengths = {len(self.kernel_sizes), len(self.channels), len(self.strides)}
        if lengths == {0} or len(lengths) > 1:
            raise ConfigError(
                "kernel_sizes, channels and strides: expected lists of one length, found "
                f"{self.kernel_sizes}, {self.channels}, {self.strides}"
            )
        if any(k < 1 or k % 2 == 0 for k in self.kernel_sizes):
            raise ConfigError(f"kernel_sizes: expected odd sizes, found {self.kernel_sizes}")
        if min(*self.channels, *self.strides, *self.pool) < 1:
            raise ConfigError("channels, strides and pool: expected positive numbers")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network's shape. Rows of the input come from the preprocessing."""

    conv1: ConvModuleConfig = ConvModuleConfig(
        kernel_sizes=(5,), channels=(16,), strides=(2,), pool=(1, 1)
    )
    """First convolution module; its stride-2 stem quarters the dearest maps."""

    conv2: ConvModuleConfig = ConvModuleConfig(channels=(32, 32))
    """Second convolution module."""

    conv3: ConvModuleConfig = ConvModuleConfig(channels=(64, 64), pool=(2, 1))
    """Third convolution module; it keeps its columns, which are the time axis."""

    padding: bool = True
    """Zero-pad convolutions so that they keep their input's size."""

    batch_norm: bool = True
    """Normalise before every ReLU of the convolutions and after fc1."""

    fc1_units: int = 128
    """Outputs of fc1."""

    gru_units: int = 96
    """Units of each direction of each GRU."""

    gru1_merge: Literal["sum", "concat"] = "concat"
    """How gru1 joins its two directions; gru2 concatenates."""

    dropout: float = 0.2
    """Share of gru2's outputs dropped, in training only."""

    init: Literal["he", "truncated_normal"] = "he"
    """Initial weights: He et al. 2015, or a truncated normal of sigma 0.1."""

    def __post_init__(self) -> None:
        _check_range("model", self, fc1_units=(1, 4096), gru_units=(1, 4096), dropout=(0, 0.95))


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a network is trained. The schedule follows steps, never the clock."""

    epochs: int = 20
    """Passes over the training data; also the length of the learning-rate schedule."""

    batch_size: int = 64
    """Images a step."""

    learning_rate: float = 4e-3
    """Peak learning rate."""

    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    """Linear warm-up, then a cosine to a hundredth of the peak; or the peak throughout."""

    warmup_fraction: float = 0.1
    """Share of the steps in which the learning rate rises."""

    weight_decay: float = 1e-2
    """Decoupled weight decay (AdamW); 0 is Adam."""

    max_grad_norm: float = 5.0
    """Gradients are scaled down to this norm; 0 leaves them."""

    images_per_epoch: int = 10_000
    """Rendered images that make an epoch where there are no files."""

    val_fraction: float = 0.1
    """Share of the images held out where the data set has no validation part."""

    val_images: int = 2_000
    """Rendered validation images where there are no files."""

    synth_mix: float = 0.0
    """Share of freshly rendered images in every batch; 1 needs no files."""

    checkpoint_every_steps: int = 500
    """A checkpoint is written this often, and at the end of every epoch."""

    seed: int = 0
    """Seed of initial weights, order, dropout, split and rendering."""

    def __post_init__(self) -> None:
        _check_range(
            "training",
            self,
            epochs=(1, 1_000_000),
            batch_size=(1, 65_536),
            learning_rate=(1e-8, 10),
            warmup_fraction=(0, 0.9),
            weight_decay=(0, 10),
            max_grad_norm=(0, 1e6),
            images_per_epoch=(1, 1e9),
            val_fraction=(0, 0.9),
            val_images=(1, 1e7),
            synth_mix=(0, 1),
            checkpoint_every_steps=(1, 1e9),
            seed=(0, 2**63 - 1),
        )


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """What rendered images look like. Shares and ranges are wider than the contest's own."""

    width: int = 180
    """Width of an image, px."""

    height: int = 60
    """Height of an image, px; lengths below are for 60 and scale with it."""

    fonts: tuple[str, ...] = ()
    """Folders with fonts, in addition to the system's."""

    system_fonts: bool = True
    """Use the fonts of the system and of the packages exprocr depends on."""

    min_font_size_px: float = 28.0
    """Smallest glyph, px per em."""

    max_font_size_px: float = 56.0
    """Largest glyph, px per em."""

    rotation_deg: float = 30.0
    """A glyph is turned by up to this, either way."""

    max_overlap: float = 0.3
    """Largest overlap of neighbours, as a share of the average glyph width."""

    max_dots: int = 60
    """Largest number of dots."""

    mixed_fonts_share: float = 0.3
    """Share of images in which every glyph has a font of its own."""

    unstretched_share: float = 0.2
    """Share of images whose glyphs keep their own proportions."""

    block_minus_share: float = 0.3
    """Share of images whose minus is stretched like the other glyphs, to a block, as the
    ``captcha`` package draws it; in the contest's images it stays thin."""

    faint_share: float = 0.15
    """Share of images whose text is 2 to 40 grey levels off the background."""

    degraded_share: float = 0.15
    """Share of images that are noisy, blurred, or shrunk and enlarged, binarised or not."""

    def __post_init__(self) -> None:
        _check_range(
            "synth",
            self,
            width=(20, 6000),
            height=(20, 1000),
            min_font_size_px=(8, self.max_font_size_px),
            max_font_size_px=(8, 96),
            rotation_deg=(0, 90),
            max_overlap=(0, 0.9),
            max_dots=(0, 100_000),
            mixed_fonts_share=(0, 1),
            unstretched_share=(0, 1),
            block_minus_share=(0, 1),
            faint_share=(0, 1),
            degraded_share=(0, 1),
        )


@dataclass(frozen=True, kw_only=True)
class Preset:
    """All that training is told: the network, its input, its schedule, and rendered images."""

    model: ModelConfig = field(default_factory=ModelConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    synth: SynthConfig = field(default_factory=SynthConfig)


_REFERENCE_MODULE = ConvModuleConfig(channels=(32, 32))

PRESETS: dict[str, Preset] = {
    "default": Preset(),
    # The published network of 2018, with its dropout in training only and true backward GRUs.
    "reference": Preset(
        model=ModelConfig(
            conv1=_REFERENCE_MODULE,
            conv2=_REFERENCE_MODULE,
            conv3=_REFERENCE_MODULE,
            padding=False,
            batch_norm=False,
            fc1_units=128,
            gru_units=128,
            gru1_merge="sum",
            dropout=0.75,
            init="truncated_normal",
        ),
        preprocess=PreprocessConfig(width=160),
        training=TrainingConfig(
            epochs=300,
            batch_size=128,
            learning_rate=1e-3,
            schedule="constant",
            weight_decay=0.0,
            max_grad_norm=0.0,
        ),
    ),
}


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as nested dictionaries of plain values, without the Nones."""
    return {k: v for k, v in _plain(dataclasses.asdict(config)).items() if v is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    return list(value) if isinstance(value, tuple) else value


def from_dict(cls: type[T], values: Mapping[str, Any], where: str = "", base: T | None = None) -> T:
    """Build a configuration dataclass from plain values, strictly.

    Args:
        cls: The dataclass to build.
        values: Plain values; sections are dictionaries.
        where: Name of the section, for messages.
        base: Values to start from; the dataclass's own defaults if None.

    Raises:
        ConfigError: A key is unknown, or a value has the wrong type or is out of range.
    """
    hints = typing.get_type_hints(cls)
    changes: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{where}.{key}" if where else key
        if key not in hints:
            raise ConfigError(unknown_name(name, key, hints, what="key"))
        hint = hints[key]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{name}: expected a section, found {value!r}")
            inner = getattr(base, key) if base is not None else None
            changes[key] = from_dict(hint, value, name, inner)
        else:
            changes[key] = _convert(hint, value, name)
    try:
        if base is not None:
            return dataclasses.replace(base, **changes)  # type: ignore[type-var]
        return cls(**changes)
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if message.startswith(where) else f"{where}: {message}") from None


def load_settings(
    preset: str, file: Path | None = None, changes: Mapping[str, Mapping[str, Any]] | None = None
) -> Preset:
    """Return a preset with the values of a TOML file, then single changes, put over it.

    Args:
        preset: Name of the preset.
        file: TOML with the sections of `Preset`.
        changes: Values by section and key.

    Raises:
        ConfigError: The preset or a key is unknown, a value does not fit, or the file is no TOML.
    """
    if preset not in PRESETS:
        raise ConfigError(unknown_name("preset", preset, PRESETS, what="preset"))
    settings = PRESETS[preset]
    if file is not None:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
            settings = from_dict(Preset, values, base=settings)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: expected TOML, found: {error}") from None
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from None
    return from_dict(Preset, changes or {}, base=settings)


def unknown_name(name: str, key: str, known: typing.Iterable[str], *, what: str) -> str:
    """Say that ``key`` is unknown, and which of ``known`` is nearest."""
    known = list(known)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"{name}: unknown {what}; did you mean {near[0]!r}? ({what}s: {', '.join(known)})"


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Check a plain value against a type hint; lists become tuples, integers floats."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):  # X | None
        return None if value is None else _convert(args[0], value, name)
    if origin is Literal:
        if value in args:
            return value
        raise ConfigError(f"{name}: expected one of {', '.join(map(repr, args))}, found {value!r}")
    if origin is tuple:
        if isinstance(value, list | tuple) and (args[-1] is ... or len(args) == len(value)):
            return tuple(_convert(args[0], item, name) for item in value)
        many = "" if args[-1] is ... else f" of {len(args)}"
        raise ConfigError(f"{name}: expected a list{many}, found {value!r}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{name}: expected {hint.__name__}, found {value!r}")
    return value
