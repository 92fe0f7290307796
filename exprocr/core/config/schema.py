"""What can be set: frozen dataclasses, and the two presets.

A value out of range is an error when the dataclass is made. `exprocr.core.config.settings` fills
them from files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from exprocr.errors import ConfigError


def _check_range(section: str, config: Any, **limits: tuple[float, float]) -> None:
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise ConfigError(f"{section}.{name}: expected {low:g} to {high:g}, found {value}")


MAX_CONVOLUTIONS = 16
"""Most convolutions of a module."""

_CONV_LIMITS = {"kernel_sizes": 99, "channels": 4096, "strides": 100, "pool": 100}


@dataclass(frozen=True, kw_only=True)
class ConvModuleConfig:
    """One convolution module: convolutions, each with ReLU, then a max-pool."""

    kernel_sizes: tuple[int, ...] = (3, 3)
    """Side of each convolution's square kernel, odd, at most 99; at most 16 convolutions."""

    channels: tuple[int, ...] = (32, 32)
    """Output channels of each convolution, at most 4096."""

    strides: tuple[int, ...] = (1, 1)
    """Stride of each convolution, at most 100."""

    pool: tuple[int, int] = (2, 2)
    """Max-pool window and stride, rows x columns; partial windows at the edges are kept."""

    def __post_init__(self) -> None:
        lengths = {len(self.kernel_sizes), len(self.channels), len(self.strides)}
        if lengths == {0} or len(lengths) > 1:
            raise ConfigError(
                "kernel_sizes, channels and strides: expected lists of one length, found "
                f"{self.kernel_sizes}, {self.channels}, {self.strides}"
            )
        if len(self.kernel_sizes) > MAX_CONVOLUTIONS:
            raise ConfigError(
                f"kernel_sizes, channels and strides: expected at most {MAX_CONVOLUTIONS} "
                f"convolutions, found {len(self.kernel_sizes)}"
            )
        if any(k % 2 == 0 for k in self.kernel_sizes):
            raise ConfigError(f"kernel_sizes: expected odd sizes, found {self.kernel_sizes}")
        for name, high in _CONV_LIMITS.items():
            values = getattr(self, name)
            if not all(1 <= value <= high for value in values):
                raise ConfigError(f"{name}: expected 1 to {high}, found {values}")


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
    """Normalize before every ReLU of the convolutions and after fc1."""

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


MAX_WIDTH_PX = 6000
"""Widest picture, in pixels at the network's height: at 60 rows a hundred times as wide as high."""


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """How a picture is brought to the network's size; stored in the model file."""

    height: int = 60
    """Rows of the network's input, px."""

    width: int | None = None
    """Squeeze every picture to this width, px; None keeps the aspect ratio."""

    width_multiple: int = 20
    """Widen with background to a multiple of this, px, so that few widths occur in a folder."""

    def __post_init__(self) -> None:
        for name in ("height", "width", "width_multiple"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MAX_WIDTH_PX:
                raise ConfigError(
                    f"preprocess.{name}: expected 1 to {MAX_WIDTH_PX} px, found {value}"
                )


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
    """A checkpoint is written this often, and after every evaluation."""

    evaluate_every_steps: int = 0
    """Validate this often as well as at the end of every epoch; 0 is at the end alone."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the steps compute in; ``auto`` is bfloat16 where the device is fast at it. Weights,
    validation and reading are float32."""

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
            evaluate_every_steps=(0, 1e9),
            seed=(0, 2**63 - 1),
        )


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """What rendered images look like: the contest's ranges, and a share of rarer looks."""

    width: int = 180
    """Width of an image, px."""

    height: int = 60
    """Height of an image, px; lengths below are for 60 and scale with it."""

    fonts: tuple[str, ...] = ()
    """Folders with fonts, in addition to the system's."""

    system_fonts: bool = True
    """Use the fonts of the system and of the packages exprocr depends on."""

    min_font_size_px: float = 35.0
    """Smallest glyph, px per em."""

    max_font_size_px: float = 56.0
    """Largest glyph, px per em."""

    rotation_deg: float = 30.0
    """A glyph is turned by up to this, either way."""

    max_overlap: float = 0.25
    """Largest overlap of neighbors, as a share of the average glyph width."""

    max_dots: int = 60
    """Largest number of dots."""

    mixed_fonts_share: float = 0.1
    """Share of images in which every glyph has a font of its own."""

    favorite_font: str = ""
    """Family that is drawn more often than the others, such as that of the images to be read."""

    favorite_share: float = 0.0
    """Share of images in ``favorite_font`` alone, beside those that have it by chance."""

    package_share: float = 0.0
    """Share of images drawn just as version 0.7 of the ``captcha`` package draws them, without
    spaces and without the curve, in ``favorite_font`` if there is one; of what else is here, only
    the size and the fonts bear on them, and the other shares are of the other images."""

    unstretched_share: float = 0.15
    """Share of images whose glyphs keep their own proportions."""

    stepwise_share: float = 0.8
    """Share of images whose glyphs are rotated, stretched and warped one after the other, with
    jagged strokes like the ``captcha`` package's; the others are distorted at once, smoothly."""

    block_minus_share: float = 0.3
    """Share of images whose minus is stretched like the other glyphs, to a block, as the
    ``captcha`` package draws it; in the contest's images it stays thin."""

    faint_share: float = 0.05
    """Share of images whose text is 2 to 40 gray levels off the background."""

    degraded_share: float = 0.05
    """Share of images that are noisy, blurred, or shrunk and enlarged, binarized or not."""

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
            favorite_share=(0, 1),
            package_share=(0, 1),
            unstretched_share=(0, 1),
            stepwise_share=(0, 1),
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
