"""A training run: its settings, and everything made from them before the first step.

Making a `Trainer` reads and checks all the data first, so that a bad label or a picture too
narrow for its text is found before any training, not as an infinite loss after hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch

import exprocr
from exprocr.core.artifact import ModelFile
from exprocr.core.charset import Charset
from exprocr.core.config import Preset, from_dict, to_dict
from exprocr.core.dataset import (
    Sample,
    check_charset,
    check_widths,
    load_dataset,
    load_images,
    split,
)
from exprocr.core.engine import build_network, pick_device, set_threads
from exprocr.core.evaluate import LabelledImages
from exprocr.core.expression import value_of
from exprocr.core.files import atomic_write, make_folder
from exprocr.core.model import Network, num_frames
from exprocr.errors import ConfigError, DataError
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import CHARACTERS
from exprocr.training.batches import TRAIN_STREAM, VAL_STREAM, Batches, RenderedBatches
from exprocr.training.checkpoint import CHECKPOINT_NAME, Checkpoint, load_checkpoint
from exprocr.training.loop import Limits, Trainer

CONFIG_NAME = "config.toml"
SPLIT_NAME = "split.json"


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """All that a run is made from; kept in its checkpoints."""

    settings: Preset = field(default_factory=Preset)
    """Network, input, schedule and rendering."""

    data: str | None = None
    """The data set, absolute; None where everything is rendered."""

    data_digest: str | None = None
    """Digest of the data set when the run began."""

    val: str | None = None
    """A data set of its own for validation, absolute."""

    val_digest: str | None = None
    """Its digest when the run began."""

    init: str | None = None
    """Model file the weights came from."""

    limits: Limits = field(default_factory=Limits)
    """When to stop."""

    device: str = "auto"
    """Device asked for."""

    threads: int = 1
    """Threads computed with."""

    workers: int = 0
    """Processes that render ahead."""

    def __post_init__(self) -> None:
        if self.data is None and self.settings.training.synth_mix < 1:
            raise ConfigError(
                "training.synth_mix: expected 1 where no data set is given, found "
                f"{self.settings.training.synth_mix:g}"
            )


@dataclass
class RunData:
    """The labelled files of a run, already split, and remarks on them."""

    train: list[Sample] = field(default_factory=list)
    val: list[Sample] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """All expressions."""
        return [sample.text for sample in (*self.train, *self.val)]


def default_workers(synth_mix: float) -> int:
    """Return the rendering processes worth having: none for files, which are kept in memory."""
    return min(4, max(1, (os.cpu_count() or 1) - 1)) if synth_mix > 0 else 0


def read_data(spec: RunSpec) -> tuple[RunSpec, RunData]:
    """Find the files of a run and split them; check or fill in the digests.

    Raises:
        DataError: A data set cannot be used, or is no longer what it was when the run began.
    """
    data = RunData()
    training = spec.settings.training
    if spec.data is not None:
        found = load_dataset(Path(spec.data))
        data.remarks += [f"{spec.data}: {found.layout}", *found.warnings]
        spec = replace(spec, data_digest=_same(spec.data, spec.data_digest, found.digest()))
        if "train" in found.parts:
            data.train, data.val = found.parts["train"], found.parts["val"]
        elif spec.val is not None:
            data.train = found.parts["all"]
        else:
            data.train, data.val = split(found.parts["all"], training.val_fraction, training.seed)
    if spec.val is not None:
        found = load_dataset(Path(spec.val))
        data.remarks += [f"{spec.val}: {found.layout}", *found.warnings]
        spec = replace(spec, val_digest=_same(spec.val, spec.val_digest, found.digest()))
        data.val = found.parts["val"] if "val" in found.parts else found.parts["all"]
    if spec.data is not None and not data.val:
        raise DataError(
            f"{spec.data}: expected images to validate on, found none; "
            "give --val or a --val-fraction above 0"
        )
    return spec, data


def _same(place: str, known: str | None, found: str) -> str:
    if known is not None and known != found:
        raise DataError(
            f"{place}: expected the data set the run began with (digest {known}), found a "
            f"changed one (digest {found})"
        )
    return found


def make_trainer(
    spec: RunSpec,
    data: RunData,
    run_dir: Path,
    *,
    resume: Checkpoint | None = None,
    progress: Callable[[], object] | None = None,
) -> Trainer:
    """Load and check all data, build the network, and prepare the run directory.

    Args:
        spec: The run's settings, from `read_data`.
        data: Its files, from `read_data`.
        run_dir: Where the run writes.
        resume: Checkpoint to go on from.
        progress: Called after each image that is read.

    Raises:
        DataError: An image cannot be read, or a label does not fit its image or the charset.
        ConfigError: Settings contradict each other.
        FontError: Rendering is asked for and no font is usable.
    """
    set_threads(spec.threads)
    device = pick_device(spec.device)
    settings = spec.settings
    init = ModelFile.load(spec.init) if spec.init and not resume else None
    charset = _charset(spec, data, init, resume)
    torch.manual_seed(settings.training.seed)
    if init:
        network = build_network(init, device)
    else:
        network = Network(settings.model, settings.preprocess.height, charset.num_classes)
        network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    train_inks = load_images(data.train, settings.preprocess, progress=progress)
    val_inks = load_images(data.val, settings.preprocess, progress=progress)
    for samples, inks in ((data.train, train_inks), (data.val, val_inks)):
        check_widths(samples, inks, lambda width: num_frames(settings.model, width))
    rendered, rendered_val = _rendered(spec)
    batches = Batches(
        train_inks,
        [sample.text for sample in data.train],
        rendered,
        settings.training,
        spec.workers,
    )
    make_folder(run_dir)
    trainer = Trainer(
        network=network,
        device=device,
        charset=charset,
        input_size=settings.preprocess,
        config=settings.training,
        batches=batches,
        validation=_validation(data, val_inks, rendered_val),
        settings={**to_dict(spec), "charset": charset.characters},
        run_dir=run_dir,
        resume=resume,
    )
    write_config(run_dir / CONFIG_NAME, spec)
    return trainer


def _charset(
    spec: RunSpec, data: RunData, init: ModelFile | None, resume: Checkpoint | None
) -> Charset:
    """Return the model's charset, which holds every label's characters."""
    if resume:
        charset = Charset(resume.settings["charset"])
    elif init:
        charset = init.charset
    else:
        drawn = CHARACTERS if spec.settings.training.synth_mix else ""
        return Charset.from_texts([*data.texts, drawn])
    check_charset([*data.train, *data.val], charset)
    if spec.settings.training.synth_mix and (missing := charset.missing(CHARACTERS)):
        raise ConfigError(
            f"training.synth_mix: expected a model that knows {CHARACTERS!r}, found one that "
            f"lacks {missing!r}"
        )
    return charset


def _rendered(spec: RunSpec) -> tuple[RenderedBatches | None, RenderedBatches | None]:
    """Return the sources of rendered training and validation images, each or both None."""
    settings = spec.settings
    training = settings.training
    if not training.synth_mix:
        return None, None
    fonts = find_fonts(
        [Path(folder) for folder in settings.synth.fonts],
        CHARACTERS,
        system=settings.synth.system_fonts,
    ).usable
    size = round(training.batch_size * training.synth_mix)
    if training.synth_mix < 1:
        size = min(max(size, 1), training.batch_size - 1)
    if size < 1:
        raise ConfigError("training.synth_mix: a batch needs a file and a rendered image at least")

    def source(stream: int, num: int) -> RenderedBatches:
        return RenderedBatches(
            fonts,
            settings.synth,
            settings.preprocess,
            seed=training.seed,
            stream=stream,
            size=num,
        )

    val = source(VAL_STREAM, training.val_images) if spec.data is None and not spec.val else None
    return source(TRAIN_STREAM, size), val


def _validation(
    data: RunData, inks: list[np.ndarray[Any, Any]], rendered: RenderedBatches | None
) -> LabelledImages:
    if rendered:
        batch = rendered[0]
        values = [value_of(text) for text in batch.texts]
        return LabelledImages(list(batch.pictures), batch.texts, values)
    texts = [sample.text for sample in data.val]
    values = [value_of(s.text) if s.value is None else s.value for s in data.val]
    return LabelledImages(inks, texts, values)


def write_config(path: Path, spec: RunSpec) -> None:
    """Write all values in force as TOML that ``--config`` reads back.

    What is no setting (the data, the device) stands in comments at the top.

    Raises:
        OutputError: The place cannot be written.
    """
    facts = {k: v for k, v in to_dict(spec).items() if k != "settings"}
    header = [f"# exprocr {exprocr.__version__}, torch {torch.__version__}"]
    header += [f"# {name} = {value}" for name, value in facts.items()]
    with atomic_write(path) as temporary:
        text = "\n".join(header) + "\n\n" + tomli_w.dumps(to_dict(spec.settings))
        temporary.write_text(text, encoding="utf-8")


def read_checkpoint(run_dir: Path) -> tuple[RunSpec, Checkpoint]:
    """Read what a run needs to go on.

    Raises:
        ModelFileError: There is no usable checkpoint.
        ConfigError: Its settings are damaged.
    """
    checkpoint = load_checkpoint(run_dir / CHECKPOINT_NAME)
    settings: Mapping[str, Any] = checkpoint.settings
    values = {k: v for k, v in settings.items() if k != "charset"}
    return from_dict(RunSpec, values, "checkpoint"), checkpoint
