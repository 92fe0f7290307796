"""The settings: frozen dataclasses with their defaults and ranges, and the two presets.

A value out of range is an error when the dataclass is made. `exprocr.core.config.settings` reads
the values from files. This module imports nothing heavy, so that ``--help`` can show the ranges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, TypeVar

from exprocr.choices import LOOKS, TEXTS_LIKE
from exprocr.core.config.label_map import LabelMap
from exprocr.errors import ConfigError, unknown_name

T = TypeVar("T")


def ranged(default: T, low: float, high: float) -> T:
    """Return a dataclass field whose value, or each of whose values, is ``low`` to ``high``."""
    return field(default=default, metadata={"range": (low, high)})


def ranges(config: Any) -> dict[str, tuple[float, float]]:
    """Return the least and the greatest value of each field that has a range.

    Args:
        config: A dataclass of this module, or an instance of one.
    """
    return {one.name: one.metadata["range"] for one in fields(config) if one.metadata}


def _check_ranges(config: Any, section: str = "", unit: str = "") -> None:
    """Check the values of all fields that have a range; None and words are in every range.

    Raises:
        ConfigError: A value is out of range.
    """
    for name, (low, high) in ranges(config).items():
        value = getattr(config, name)
        items = value if isinstance(value, tuple) else (value,)
        numbers = [item for item in items if not isinstance(item, str | None)]
        if not all(low <= number <= high for number in numbers):
            raise ConfigError(f"{section}{name}: expected {low:g} to {high:g}{unit}, found {value}")


MAX_CONVOLUTIONS = 16
"""Most convolutions of a module."""


@dataclass(frozen=True, kw_only=True)
class ConvModuleConfig:
    """One convolution module: convolutions, each with ReLU, then a max-pool."""

    kernel_sizes: tuple[int, ...] = ranged((3, 3), 1, 99)
    """Side of each convolution's square kernel, odd; at most 16 convolutions."""

    channels: tuple[int, ...] = ranged((32, 32), 1, 4096)
    """Output channels of each convolution."""

    strides: tuple[int, ...] = ranged((1, 1), 1, 100)
    """Stride of each convolution."""

    pool: tuple[int, int] = ranged((2, 2), 1, 100)
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
        _check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network's shape. The height of its input is in [preprocess]."""

    conv1: ConvModuleConfig = ConvModuleConfig(
        kernel_sizes=(5,), channels=(16,), strides=(2,), pool=(1, 1)
    )
    """First convolution module; stride 2 leaves a quarter of the positions, which saves time."""

    conv2: ConvModuleConfig = ConvModuleConfig(kernel_sizes=(3,), channels=(32,), strides=(1,))
    """Second convolution module."""

    conv3: ConvModuleConfig = ConvModuleConfig(channels=(48, 64), pool=(3, 1))
    """Third convolution module; it keeps the columns, which are the time axis."""

    padding: bool = True
    """Zero-pad convolutions so that they keep their input's size."""

    batch_norm: bool = True
    """Batch normalization before every ReLU of the convolutions and after fc1."""

    fc1_units: int = ranged(160, 1, 4096)
    """Outputs of fc1."""

    gru_units: int = ranged(96, 1, 4096)
    """Units of each direction of each GRU."""

    gru1_merge: Literal["sum", "concat"] = "concat"
    """How gru1 joins its two directions; gru2 concatenates."""

    dropout: float = ranged(0.1, 0, 0.95)
    """Share of gru2's outputs dropped, in training only."""

    init: Literal["he", "truncated_normal"] = "he"
    """Initial weights: He et al. 2015, or a truncated normal of sigma 0.1."""

    def __post_init__(self) -> None:
        _check_ranges(self, "model.")


MAX_WIDTH_PX = 6000
"""Widest picture at the network's height, px: with 60 rows, a hundred times as wide as high."""


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """How a picture is brought to the network's size; stored in the model file."""

    height: int = ranged(60, 1, MAX_WIDTH_PX)
    """Rows of the network's input, px."""

    width: int | None = ranged(None, 1, MAX_WIDTH_PX)
    """Squeeze every picture to this width, px; where it is left out, the aspect ratio is kept."""

    width_multiple: int = ranged(20, 1, MAX_WIDTH_PX)
    """Widen with background to a multiple of this, px, so that few widths occur in a folder."""

    flat_field: bool = True
    """Flat-field correction: shadows, reflections and uneven light are no ink."""

    def __post_init__(self) -> None:
        _check_ranges(self, "preprocess.", " px")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a network is trained. The learning rate depends on the step, never on the time."""

    epochs: int = ranged(20, 1, 1_000_000)
    """Passes over the training data; also the length of the learning-rate schedule, if ``steps`` is
    0."""

    steps: int = ranged(0, 0, 1_000_000_000)
    """Steps of the training and of its schedule; 0: as many as ``epochs`` need."""

    batch_size: int = ranged(64, 1, 65_536)
    """Images per step."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """How weights are changed. Muon makes the steps of kernels and matrices orthogonal."""

    learning_rate: float = ranged(4e-3, 1e-8, 10)
    """Peak learning rate."""

    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    """Linear warm-up, then a cosine to a hundredth of the peak; or the peak throughout."""

    warmup_fraction: float = ranged(0.1, 0, 0.9)
    """Share of the steps in which the learning rate rises."""

    weight_decay: float = ranged(1e-2, 0, 10)
    """Decoupled weight decay."""

    ema_decay: float = ranged(0.0, 0, 0.999999)
    """Decay of an exponential moving average of the weights, which is what is validated and saved;
    0.999 averages about the last thousand steps. 0 takes the weights of the last step."""

    max_grad_norm: float = ranged(5.0, 0, 1_000_000)
    """Gradients of a greater norm are scaled down to this one; 0 scales none."""

    images_per_epoch: int = ranged(10_000, 1, 1_000_000_000)
    """Images per epoch where all are rendered."""

    val_fraction: float = ranged(0.1, 0, 0.9)
    """Share of the images held out for validation where the data set has no validation part."""

    val_images: int = ranged(2_000, 1, 10_000_000)
    """Validation images where all are rendered."""

    charset: Literal["union", "data", "keep"] = "union"
    """Characters of a training with ``--init``: those of the model and of the data, those of the
    data alone, or those of the model alone. A new character gets random weights in fc2, a known
    one keeps its own."""

    synth_mix: float = ranged(0.0, 0, 1)
    """Share of freshly rendered images in every batch; 1 needs no files."""

    checkpoint_every_steps: int = ranged(500, 1, 1_000_000_000)
    """Steps between two checkpoints; one is written after every evaluation too."""

    evaluate_every_steps: int = ranged(0, 0, 1_000_000_000)
    """Steps between two evaluations; 0 evaluates at the end of each epoch."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the training steps; ``auto`` is bfloat16 where the device is fast at it.
    Weights, validation and reading are float32."""

    map: tuple[str, ...] = ()
    """Replacements in the labels of all files, ``FROM=TO`` each, such as ``−=-``; without TO, FROM
    is removed."""

    seed: int = ranged(0, 0, 2**63 - 1)
    """Seed of initial weights, order, dropout, split and rendering."""

    def __post_init__(self) -> None:
        _check_ranges(self, "training.")
        try:
            LabelMap(self.map)
        except ConfigError as error:
            raise ConfigError(f"training.{error}") from None


TEXT_SOURCES = ("grammar", "texts", "texts_like")
"""Settings of what rendered images say; at most one of them is given."""


class Kind(NamedTuple):
    """A kind of rendered pictures."""

    look: str
    """One of `exprocr.choices.LOOKS`."""

    texts_like: str
    """Distribution of its texts, one of `exprocr.choices.TEXTS_LIKE`; empty for the texts that the
    other settings describe."""


def parse_looks(looks: Sequence[str]) -> dict[Kind, float]:
    """Return the share of each kind of pictures; they add up to 1.

    Args:
        looks: ``LOOK[/TEXTS][:SHARE]`` each; the share is 1 where it is left out.

    Raises:
        ConfigError: There is none, a name is unknown, a kind is named twice, or a share is no
            positive number.
    """
    weights: dict[Kind, float] = {}
    for look in looks:
        names, colon, share = look.partition(":")
        name, slash, texts_like = names.partition("/")
        kind = Kind(name, texts_like)
        if name not in LOOKS:
            raise ConfigError(unknown_name("synth.looks", name, LOOKS, what="look"))
        if slash and texts_like not in TEXTS_LIKE:
            what, known = "distribution", TEXTS_LIKE
            raise ConfigError(unknown_name("synth.looks", texts_like, known, what=what))
        if kind in weights:
            raise ConfigError(f"synth.looks: expected each look once, found {names} twice")
        try:
            weights[kind] = float(share) if colon else 1.0
        except ValueError:
            weights[kind] = math.nan
        if not 0 < weights[kind] < math.inf:
            raise ConfigError(
                f"synth.looks: expected a share above 0 after the colon, found {look[:100]!r}"
            )
    if not weights:
        raise ConfigError("synth.looks: expected at least one look, found none")
    total = sum(weights.values())
    return {kind: weight / total for kind, weight in weights.items()}


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """What rendered images say and look like.

    At most one of ``grammar``, ``texts`` and ``texts_like`` is given. The settings from
    ``min_font_size_px`` on are for the contest's look; the ranges of the other looks are fixed.
    """

    grammar: str = ""
    """Grammar whose texts are drawn, as for ``predict --grammar``. Up to 1,000,000 texts are all
    equally frequent; of more texts, all lengths are, and all texts of one length."""

    texts: str = ""
    """Text file with one text per line; each line is as frequent as it is in the file."""

    texts_like: str = ""
    """Distribution of the texts: ``level1`` (the contest's, also if nothing is given), ``captcha``
    (such as ``5+7=?``), ``sums`` (such as ``12-305*7``), ``worksheet`` (such as ``0.7÷10=0.07``,
    right and wrong), ``readings`` (such as ``007.5``) or ``unknown`` (U+FFFD for each
    character)."""

    max_length: int = ranged(24, 1, 1_000)
    """Most characters of a text of a grammar with more than 1,000,000 texts."""

    looks: tuple[str, ...] = ("contest",)
    """Looks to draw: contest, captcha, print, screen, hand or display. ``LOOK:SHARE`` gives the
    share of one; without shares, all are equally frequent. ``LOOK/TEXTS`` has texts of its own, one
    of the distributions of ``texts_like``; the other looks have the texts above."""

    width: int | Literal["auto"] | None = ranged(None, 20, MAX_WIDTH_PX)
    """Width of an image, px; ``auto`` is as wide as its text needs. Where it is left out, it is 180
    for level-1 expressions in the contest's look, and ``auto`` for all else."""

    height: int = ranged(60, 20, 1000)
    """Height of an image, px; lengths below are for 60 and scale with it."""

    fonts: tuple[str, ...] = ()
    """Folders with fonts, in addition to the system's."""

    system_fonts: bool = True
    """Use the fonts of the system and of the packages exprocr depends on."""

    digits: str = ""
    """Folder with handwritten digits for the look hand, two files as MNIST publishes them; where it
    is left out, handwriting typefaces are used."""

    digit_range: tuple[int, int] = ranged((0, 7_999), 0, 99_999_999)
    """First and last of these digits to draw, counted from 0; the others are left for measuring."""

    min_font_size_px: float = ranged(35.0, 8, 96)
    """Smallest font size, px per em; at most ``max_font_size_px``."""

    max_font_size_px: float = ranged(56.0, 8, 96)
    """Largest font size, px per em."""

    rotation_deg: float = ranged(30.0, 0, 90)
    """Largest rotation of a glyph to either side, degrees."""

    max_overlap: float = ranged(0.25, 0, 0.9)
    """Largest overlap of neighboring glyphs, as a share of the average glyph width."""

    max_dots: int = ranged(60, 0, 100_000)
    """Largest number of dots."""

    mixed_fonts_share: float = ranged(0.1, 0, 1)
    """Share of images in which every glyph has a font of its own."""

    favorite_font: str = ""
    """Font family that is used more often than the others, like the one of the images to read."""

    favorite_share: float = ranged(0.0, 0, 1)
    """Share of images drawn in ``favorite_font``; others may have it by chance."""

    package_share: float = ranged(0.0, 0, 1)
    """Share of images drawn exactly as version 0.7 of the ``captcha`` package draws them, without
    spaces and without the curve, in ``favorite_font`` if one is named. Of the other settings, only
    the size and the fonts apply to them; the other shares are shares of the other images."""

    unstretched_share: float = ranged(0.15, 0, 1)
    """Share of images whose glyphs keep their own proportions."""

    stepwise_share: float = ranged(0.8, 0, 1)
    """Share of images whose glyphs are rotated, stretched and warped one after the other, with
    jagged strokes like the ``captcha`` package's; the others are distorted in one smooth step."""

    block_minus_share: float = ranged(0.3, 0, 1)
    """Share of images whose minus is stretched to a block, like the other glyphs, as the
    ``captcha`` package draws it; in the others it stays thin, as in the contest's images."""

    faint_share: float = ranged(0.05, 0, 1)
    """Share of images whose text differs from the background by only 2 to 40 gray levels."""

    degraded_share: float = ranged(0.05, 0, 1)
    """Share of images that are noisy, blurred, or shrunk and enlarged; some are binarized too."""

    def __post_init__(self) -> None:
        _check_ranges(self, "synth.")
        given = [name for name in TEXT_SOURCES if getattr(self, name)]
        if len(given) > 1:
            raise ConfigError(
                f"synth.{given[1]}: expected one of {', '.join(TEXT_SOURCES)}, found {len(given)}"
            )
        if self.texts_like not in ("", *TEXTS_LIKE):
            name, known = self.texts_like, TEXTS_LIKE
            raise ConfigError(unknown_name("synth.texts_like", name, known, what="distribution"))
        kinds = parse_looks(self.looks)
        if given and all(kind.texts_like for kind in kinds):
            raise ConfigError(
                f"synth.{given[0]}: expected a look that draws these texts, found only looks with "
                f"texts of their own: {', '.join(self.looks)}"
            )
        if self.digit_range[0] > self.digit_range[1]:
            raise ConfigError(
                f"synth.digit_range: expected the first and the last digit, found "
                f"{list(self.digit_range)}"
            )
        if self.min_font_size_px > self.max_font_size_px:
            raise ConfigError(
                f"synth.min_font_size_px: expected at most {self.max_font_size_px:g}, which is "
                f"max_font_size_px, found {self.min_font_size_px:g}"
            )


AUTO_STRENGTH = 1.0
"""Strength of the augmentation where nothing is said and there are few labeled images."""

AUTO_IMAGES = 5_000
"""With so many labeled images to train on, or more, there is none where nothing is said."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation: random distortions of the labeled images that are trained on.

    Rendered images are not augmented: they differ anyway.
    """

    strength: float | None = ranged(None, 0, 1)
    """How strong the distortions are; 0 makes none. Where it is left out, it is 1 with fewer than
    5,000 labeled images to train on, and 0 with more."""

    unchanged_share: float = ranged(0.2, 0, 1)
    """Share of these images that stay as they are; each epoch draws other ones."""

    def __post_init__(self) -> None:
        _check_ranges(self, "augment.")

    def strength_for(self, num_images: int) -> float:
        """Return the strength for so many labeled images to train on."""
        if self.strength is None:
            return AUTO_STRENGTH if num_images < AUTO_IMAGES else 0.0
        return self.strength


@dataclass(frozen=True, kw_only=True)
class Preset:
    """All settings of a training: network, input, training, augmentation, and rendered images."""

    model: ModelConfig = field(default_factory=ModelConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
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
        preprocess=PreprocessConfig(width=160, flat_field=False),
        training=TrainingConfig(
            epochs=300,
            batch_size=128,
            learning_rate=1e-3,
            schedule="constant",
            weight_decay=0.0,
            max_grad_norm=0.0,
        ),
        augment=AugmentConfig(strength=0.0),
    ),
    # From a trained model: most is known, so that less may change, and soon.
    "finetune": Preset(
        training=TrainingConfig(batch_size=32, learning_rate=2e-3, ema_decay=0.99),
    ),
}
