"""A training run: its settings, its labeled files, and the record of both in its directory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import tomli_w
import torch

import exprocr
from exprocr.choices import DEVICES, MAX_PROCESSES
from exprocr.core.config.label_map import LabelMap
from exprocr.core.config.layout_choice import LayoutChoice
from exprocr.core.config.schema import Preset, parse_looks
from exprocr.core.config.settings import from_dict, to_dict
from exprocr.core.data.dataset import DataSet, Sample, TablePaths, split
from exprocr.core.runs.layout import CHECKPOINT_NAME, CONFIG_NAME, SPLIT_NAME, VAL_NAME
from exprocr.core.runs.val_table import load_labeled
from exprocr.core.system.csv_rows import csv_writer, path_cell
from exprocr.core.system.files import atomic_write
from exprocr.core.system.limits import MAX_LEXICON_BYTES
from exprocr.core.system.processes import usable_processors
from exprocr.core.system.ranks import local_processes
from exprocr.core.system.regular import read_regular
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import LEXICON
from exprocr.errors import ConfigError, DataError, ModelFileError, unknown_name
from exprocr.synth.fonts import FontReport
from exprocr.synth.paint.digits import load_digits
from exprocr.training.checkpoint import Checkpoint, load_checkpoint
from exprocr.training.limits import Limits
from exprocr.training.precision import Precision
from exprocr.words import quoted

NO_AUGMENTATION = {"strength": 0.0}
"""What checkpoints without the section [augment] were trained with."""


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """All settings of a run, which its checkpoints keep."""

    settings: Preset = field(default_factory=Preset)
    """The network, its input, the training, and the rendered images."""

    data: str | None = None
    """The data set, as an absolute path; None where all images are rendered."""

    data_digest: str | None = None
    """Digest of the data set when the run began."""

    val: str | None = None
    """A separate data set for validation, as an absolute path."""

    val_digest: str | None = None
    """Digest of that data set when the run began."""

    texts_digest: str | None = None
    """Digest of the file of the texts that are rendered, when the run began; None where there is
    none."""

    digits_digest: str | None = None
    """Digest of the handwritten digits that are drawn, when the run began; None where there are
    none, and in old checkpoints."""

    fonts_digest: str | None = None
    """Digest of the fonts that are drawn with, when the run began; None where nothing is rendered,
    and in old checkpoints."""

    images: str | None = None
    """The folder that the paths of tables start from, as an absolute path; None is each table's
    own."""

    allow_outside: bool = False
    """Whether the paths of tables may lead out of that folder."""

    layout: str | None = None
    """The layout of the data sets, one of `exprocr.choices.LAYOUTS`; None recognizes it."""

    label_pattern: str | None = None
    """Pattern of labels in the names of files; None where they are elsewhere."""

    init: str | None = None
    """Model file that the weights came from."""

    init_digest: str | None = None
    """Digest of that model's weights; None where there is none, and in old checkpoints."""

    limits: Limits = field(default_factory=Limits)
    """When to stop."""

    device: str = "auto"
    """The device that was asked for."""

    threads: int = 1
    """Threads to compute with."""

    workers: int = 0
    """Processes that render ahead."""

    precision: Precision = "float32"
    """Number format of the training steps, the same for the whole run. It is float32 in
    checkpoints without this entry."""

    def __post_init__(self) -> None:
        for name, low in (("threads", 1), ("workers", 0)):
            if not low <= (number := getattr(self, name)) <= MAX_PROCESSES:
                raise ConfigError(f"{name}: expected {low} to {MAX_PROCESSES}, found {number}")
        if self.device not in DEVICES:
            raise ConfigError(unknown_name("device", self.device, DEVICES, what="device"))
        self.layout_choice()
        if self.data is None and self.settings.training.synth_mix < 1:
            raise ConfigError(
                "training.synth_mix: expected 1 where no data set is given, found "
                f"{self.settings.training.synth_mix:g}"
            )

    def layout_choice(self) -> LayoutChoice:
        """Return which layouts the data sets may have.

        Raises:
            ConfigError: The layout and the pattern contradict each other.
        """
        return LayoutChoice(name=self.layout, label_pattern=self.label_pattern)


@dataclass
class RunData:
    """The labeled files of a run, split into training and validation, with remarks and warnings."""

    train: list[Sample] = field(default_factory=list)
    val: list[Sample] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The texts of all files."""
        return [sample.text for sample in (*self.train, *self.val)]


def default_workers(synth_mix: float) -> int:
    """Return a good number of rendering processes: 0 where nothing is rendered.

    They leave the processors to the training, but while it waits for them, each has one.
    """
    share = usable_processors() // local_processes()
    return min(4, max(1, share)) if synth_mix > 0 else 0


def read_data(spec: RunSpec) -> tuple[RunSpec, RunData]:
    """Find the files of a run and split them; fill in the digests, or check them.

    Where the strength of the augmentation is left out, it is filled in too.

    Raises:
        DataError: A data set, the file of the texts to render or the handwritten digits cannot be
            used, or have changed since the run began.
    """
    data = RunData()
    training = spec.settings.training
    spec = check_sources(spec)
    if spec.data is not None:
        found = _load(spec.data, spec, data)
        spec = replace(spec, data_digest=_same(spec.data, spec.data_digest, found.digest()))
        if "train" in found.parts:
            data.train, data.val = found.parts["train"], found.parts["val"]
        elif spec.val is not None:
            data.train = found.parts["all"]
        else:
            samples = found.parts["all"]
            if training.synth_mix < 1:
                data.train, data.val = split(samples, training.val_fraction, training.seed)
            else:  # none of the files is trained on
                data.val = samples
    if spec.val is not None:
        found = _load(spec.val, spec, data)
        spec = replace(spec, val_digest=_same(spec.val, spec.val_digest, found.digest()))
        data.val = found.parts[found.held_out]
    if spec.data is not None and not data.val:
        raise DataError(
            f"{spec.data}: expected images to validate on, found none; "
            "give --val or a --val-fraction above 0"
        )
    if training.synth_mix == 1:
        if spec.data is not None:
            data.remarks.append(f"{spec.data}: only validated on; all training images are rendered")
        data.train = []
    if data.train:
        spec = replace(spec, settings=_with_strength(spec.settings, len(data.train)))
    return spec, data


def check_sources(spec: RunSpec) -> RunSpec:
    """Fill in the digests of the texts and the handwritten digits that are drawn, or check them.

    Raises:
        DataError: They cannot be used, or have changed since the run began.
    """
    if file := _texts_file(spec.settings):
        spec = replace(spec, texts_digest=_same(file, spec.texts_digest, _digest(Path(file))))
    if folder := _digits_folder(spec.settings):
        digits = load_digits(folder, *spec.settings.synth.digit_range)
        spec = replace(spec, digits_digest=_same(folder, spec.digits_digest, digits.digest()))
    return spec


def _with_strength(settings: Preset, num_images: int) -> Preset:
    """Return settings with the strength of the augmentation for so many labeled images."""
    augment = settings.augment
    return replace(settings, augment=replace(augment, strength=augment.strength_for(num_images)))


def _load(place: str, spec: RunSpec, data: RunData) -> DataSet:
    images = None if spec.images is None else Path(spec.images)
    paths = TablePaths(images=images, allow_outside=spec.allow_outside)
    label_map = LabelMap(spec.settings.training.map)
    found = load_labeled(Path(place), paths, label_map, spec.layout_choice())
    data.remarks.append(f"{place}: {found.layout}")
    data.warnings += found.warnings
    return found


def _same(place: str, known: str | None, found: str) -> str:
    if known is not None and known != found:
        raise DataError(
            f"{place}: expected the data set the run began with (digest {known}), found a "
            f"changed one (digest {found})"
        )
    return found


def _texts_file(settings: Preset) -> str:
    """Return the file whose lines are the texts; empty if there is none."""
    synth = settings.synth
    if synth.grammar.startswith(LEXICON):  # which is the model's too
        return synth.grammar.removeprefix(LEXICON)
    return synth.texts if settings.training.synth_mix else ""


def _digits_folder(settings: Preset) -> str:
    """Return the folder of the handwritten digits that are drawn; empty if none are."""
    looks = {kind.look for kind in parse_looks(settings.synth.looks)}
    return settings.synth.digits if settings.training.synth_mix and "hand" in looks else ""


def check_fonts(spec: RunSpec, fonts: FontReport, data: RunData) -> RunSpec:
    """Fill in the digest of the fonts, or warn if they have changed since the run began.

    That is no error: an update of the system changes fonts that nobody named.
    """
    found = fonts.digest()
    if spec.fonts_digest not in (None, found):
        data.warnings.append(
            "the fonts are not those that the run began with, so the images that are rendered "
            "from here on are not those of a run without a stop"
        )
    return replace(spec, fonts_digest=found)


def _digest(file: Path) -> str:
    try:
        content = read_regular(file, MAX_LEXICON_BYTES)
    except OSError as error:
        raise DataError(f"{file}: expected a file of texts, found: {error.strerror}") from None
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def write_run_files(run_dir: Path, spec: RunSpec, data: RunData) -> None:
    """Write the run's settings and, where there are files, their split.

    Raises:
        OutputError: The place cannot be written.
    """
    write_config(run_dir / CONFIG_NAME, spec)
    if data.texts:
        write_split(run_dir, spec, data)


def write_config(path: Path, spec: RunSpec) -> None:
    """Write all settings in force as TOML that ``--config`` reads.

    What is no setting, such as the data and the device, is in comments at the top.

    Raises:
        OutputError: The place cannot be written.
    """
    facts = {k: v for k, v in to_dict(spec).items() if k != "settings"}
    header = [f"# exprocr {exprocr.__version__}, torch {torch.__version__}"]
    header += [f"# {name} = {value!r}" for name, value in facts.items()]
    with atomic_write(path) as temporary:
        text = "\n".join(header) + "\n\n" + tomli_w.dumps(to_dict(spec.settings))
        # Names of fonts and files may hold bytes that are no text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_split(run_dir: Path, spec: RunSpec, data: RunData) -> None:
    """Write which files are for training and which for validation: paths below their data set.

    The validation files are also written as a table that ``exprocr eval`` reads.

    Raises:
        OutputError: The place cannot be written.
    """
    record = {
        "seed": spec.settings.training.seed,
        "train": [_below(sample.path, spec.images or spec.data) for sample in data.train],
        "val": [_below(sample.path, spec.images or spec.val or spec.data) for sample in data.val],
    }
    with atomic_write(run_dir / SPLIT_NAME) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with (
        atomic_write(run_dir / VAL_NAME) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        rows = csv_writer(file)
        rows.writerow(("image", "text"))
        rows.writerows((path_cell(str(sample.path)), sample.text) for sample in data.val)


def _below(path: Path, data: str | None) -> str:
    """Return a picture's path below its data set: a folder, or the folder of a table."""
    assert data is not None
    root = Path(data) if Path(data).is_dir() else Path(data).parent
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def read_checkpoint(run_dir: Path) -> tuple[RunSpec, Checkpoint]:
    """Read what a run needs to go on.

    Raises:
        ModelFileError: There is no usable checkpoint.
    """
    checkpoint = load_checkpoint(run_dir / CHECKPOINT_NAME)
    values = dict(checkpoint.settings)
    try:
        if not isinstance(charset := values.pop("charset", ""), str):
            raise ConfigError(f"charset: expected a string, found {quoted(charset)}")
        Charset(charset)
        if isinstance(settings := values.get("settings"), dict):
            values["settings"] = {"augment": NO_AUGMENTATION, **settings}
        return from_dict(RunSpec, values, "settings"), checkpoint
    except (ConfigError, ValueError, TypeError) as error:
        raise ModelFileError(f"{checkpoint.name}: {error}") from None
