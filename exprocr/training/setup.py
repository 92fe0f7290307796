"""What is made of a run's settings and files before the first step.

All data is read and checked first. So a bad label, or a picture that is too narrow for its text,
is an error before the training, not an infinite loss after hours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from exprocr.core.config.schema import Preset, parse_looks
from exprocr.core.data.dataset import Sample, charset_problem, check_charset, check_widths
from exprocr.core.data.image_reader import load_images
from exprocr.core.evaluation.measure import LabeledImages
from exprocr.core.image.preprocess import padded_width, scaled_width
from exprocr.core.model.artifact import ModelFile, stored_grammar
from exprocr.core.model.geometry import num_frames
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import build_network, new_network, pick_device, set_threads
from exprocr.core.runs.layout import CHECKPOINT_NAME
from exprocr.core.system.memory import keep_freed_memory
from exprocr.core.text.charset import BLANK, Charset
from exprocr.core.text.expression import value_of
from exprocr.core.text.grammar.grammars import (
    LEXICON,
    REGEX,
    Grammar,
    load_grammar,
    load_grammar_alone,
    tightest,
)
from exprocr.errors import ConfigError, DataError
from exprocr.synth.augment import Augmenter
from exprocr.synth.renderer import TRAIN_STREAM, VAL_STREAM, Renderer, load_renderer
from exprocr.synth.texts import UNKNOWN, GrammarTexts, Texts, characters_of, load_texts, sources
from exprocr.training.batches import Batches, RenderedBatches, owned_by
from exprocr.training.budget import planned, steps_within
from exprocr.training.checkpoint import Checkpoint
from exprocr.training.folder import RunFolder, check_new
from exprocr.training.learner import Learner
from exprocr.training.loop import Trainer
from exprocr.training.precision import pick_precision
from exprocr.training.processes import Processes
from exprocr.training.provenance import provenance
from exprocr.training.run import RunData, RunSpec, check_fonts, write_run_files
from exprocr.words import quantity, quoted, shortened


def make_trainer(
    spec: RunSpec,
    data: RunData,
    run_dir: Path,
    *,
    init: ModelFile | None = None,
    resume: Checkpoint | None = None,
    by_need: bool = False,
    fit_s: float | None = None,
    progress: Callable[[], object] | None = None,
    processes: Processes | None = None,
) -> Trainer:
    """Load and check all data, build the network, and prepare the run directory.

    Args:
        spec: The run's settings, from `exprocr.training.run.read_data`.
        data: The run's files, from the same function; gets further remarks and warnings.
        run_dir: The run directory.
        init: The model that the settings name, if it is loaded already; None loads it.
        resume: Checkpoint to go on from; None begins a new run.
        by_need: Whether nobody named the length of a new run, so that one with few images gets as
            many steps as it needs.
        fit_s: Time that a new run has, s: it gets no more steps than fit into it. None leaves the
            schedule as it is.
        progress: Called after each image that is read.
        processes: Those that train together; None is this one alone.

    Raises:
        DataError: An image cannot be read, a label does not fit its image, a training label does
            not fit the charset of the checkpoint, or no validation label fits the charset.
        ConfigError: Settings contradict each other.
        FontError: Images are to be rendered, and no font is usable.
        OutputError: Another process trains in the run directory, or it cannot be written.
    """
    set_threads(spec.threads)
    keep_freed_memory()
    device = pick_device(spec.device)
    processes = processes or Processes(device=device)
    settings = spec.settings
    if not resume:
        precision = pick_precision(settings.training.precision, device)
        spec = replace(spec, precision=precision)
    if spec.init and not resume:
        init = init or ModelFile.load(spec.init)
        spec = replace(spec, init_digest=init.weights_digest())
    texts: dict[str, Texts] = {}
    if settings.training.synth_mix:
        texts = sources(parse_looks(settings.synth.looks), load_texts(settings.synth))
    charset = _charset(spec, data, init, resume, texts)
    _check_validation(data, charset, characters_of(texts))
    grammar = _grammar(settings.synth.grammar, data, charset, texts)
    stored_grammar(grammar)  # else it would be an error at the end of the training
    learner = Learner(
        network=_network(settings, charset, init, device),
        device=device,
        input_size=settings.preprocess,
        charset=charset,
        grammar=grammar,
    )
    train_inks = _load_share(data.train, spec, processes, progress, data.remarks)
    val_inks = _load(data.val, spec, progress, data.remarks)
    renderer = None
    if settings.training.synth_mix:
        renderer, fonts = load_renderer(settings.synth)
        spec = check_fonts(spec, fonts, data)
    rendered, rendered_val = _rendered(spec, renderer)
    labels = [sample.text for sample in data.train]
    paths = [str(sample.path) for sample in data.train]
    batches = Batches(
        train_inks,
        labels,
        paths,
        rendered,
        settings.training,
        spec.workers,
        processes,
        _augmenter(settings),
    )
    folder = _run_folder(run_dir, processes, is_new=resume is None)
    validation = _validation(data, val_inks, rendered_val)
    if by_need:
        training = planned(settings.training, batches.steps_per_epoch)
        spec = replace(spec, settings=replace(settings, training=training))
    if fit_s is not None:
        spec = _shortened(fit_s, spec, learner, batches, validation)
    facts = provenance(spec, len(data.train))
    trainer = Trainer(learner, spec, batches, validation, folder, resume, facts, processes)
    processes.lead(lambda: write_run_files(run_dir, spec, data))
    return trainer


def _run_folder(run_dir: Path, processes: Processes, *, is_new: bool) -> RunFolder:
    """Return the run directory, which the leader locks."""
    folders: list[RunFolder] = []

    def hold() -> None:
        folders.append(RunFolder(run_dir))
        if is_new and (run_dir / CHECKPOINT_NAME).exists():
            check_new(run_dir)  # another run began here meanwhile

    processes.lead(hold)
    return folders[0] if folders else RunFolder(run_dir, is_written=False)


def _load_share(
    samples: list[Sample],
    spec: RunSpec,
    processes: Processes,
    progress: Callable[[], object] | None,
    remarks: list[str],
) -> list[NDArray[np.uint8]]:
    """Load the training images of this process; those of others are empty."""
    own = np.flatnonzero(owned_by(processes, np.arange(len(samples))))
    inks = [np.zeros((spec.settings.preprocess.height, 0), dtype=np.uint8)] * len(samples)
    loaded = _load([samples[i] for i in own], spec, progress, remarks)
    for number, ink in zip(own, loaded, strict=True):
        inks[number] = ink
    return inks


def _shortened(
    seconds: float, spec: RunSpec, learner: Learner, batches: Batches, validation: LabeledImages
) -> RunSpec:
    """Return settings with no more steps than fit into a time."""
    training = spec.settings.training
    steps = steps_within(seconds, learner, training, spec.precision, batches, validation)
    steps = -batches.processes.greatest(-steps)  # the slowest process decides
    steps = min(steps, training.steps or training.epochs * batches.steps_per_epoch)
    return replace(spec, settings=replace(spec.settings, training=replace(training, steps=steps)))


def _network(
    settings: Preset, charset: Charset, init: ModelFile | None, device: torch.device
) -> Network:
    torch.manual_seed(settings.training.seed)  # dropout draws from it too
    if init:
        model = init if charset == init.charset else _with_charset(init, charset)
        return build_network(model, device)
    network = new_network(settings.model, settings.preprocess, charset)
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _with_charset(model: ModelFile, charset: Charset) -> ModelFile:
    """Return a model for other characters: those it knows keep their weights, others get random."""
    weights = dict(model.weights)
    random = new_network(model.model, model.preprocess, charset).state_dict()
    known = [c for c in charset.characters if c in model.charset.characters]
    new_ids = [BLANK, *charset.encode("".join(known))]
    old_ids = [BLANK, *model.charset.encode("".join(known))]
    for name in ("fc2.weight", "fc2.bias"):
        rows = random[name].numpy()
        rows[new_ids] = weights[name][old_ids]
        weights[name] = rows
    return replace(model, charset=charset, weights=weights)


def _load(
    samples: list[Sample],
    spec: RunSpec,
    progress: Callable[[], object] | None,
    remarks: list[str],
) -> list[NDArray[np.uint8]]:
    settings = spec.settings
    inks = load_images(
        samples,
        settings.preprocess,
        workers=spec.threads,
        progress=progress,
        remarks=remarks,
    )
    check_widths(samples, inks, lambda width: num_frames(settings.model, width))
    return inks


def _augmenter(settings: Preset) -> Augmenter | None:
    """Return what distorts the pictures of the files; None where nothing does."""
    augment = settings.augment
    if not augment.strength:
        return None
    return Augmenter(
        augment.strength,
        unchanged_share=augment.unchanged_share,
        flat_field=settings.preprocess.flat_field,
    )


def _charset(
    spec: RunSpec,
    data: RunData,
    init: ModelFile | None,
    resume: Checkpoint | None,
    texts: Mapping[str, Texts],
) -> Charset:
    """Return the model's charset: the characters of all texts that are trained on.

    Those of a grammar's pattern are in it too. Those of the model that the run starts from come
    first.
    """
    drawn = characters_of(texts)
    if not resume:
        written = set(drawn).union(*(sample.text for sample in data.train))
        if (named := spec.settings.synth.grammar).startswith((REGEX, LEXICON)):
            written.update(load_grammar_alone(named).charset.characters)
        choice = spec.settings.training.charset
        known = init.charset.characters if init else ""
        if choice == "data":
            known = "".join(c for c in known if c in written)
        new = "".join(sorted(written.difference(known)))
        if choice == "keep" and new:
            raise DataError(
                f"training.charset: expected the model's characters {quoted(known)} alone, found "
                f"{quoted(new)} too; --charset union adds them, and --map FROM=TO replaces them"
            )
        try:
            return Charset(known + new)
        except ValueError as error:
            raise ConfigError(f"labels and rendered texts: {error}") from None
    charset = Charset(resume.settings["charset"])
    check_charset(data.train, charset)
    if missing := charset.missing(drawn):
        raise ConfigError(
            f"training.synth_mix: expected a model that knows {drawn!r}, found one "
            f"that lacks {missing!r}"
        )
    return charset


def _check_validation(data: RunData, charset: Charset, drawn: str) -> None:
    """Warn of characters that are validated on and never trained on.

    Args:
        data: The run's files; gets the warnings.
        charset: The model's characters.
        drawn: Those of the texts that are rendered.

    Raises:
        DataError: The model cannot read any of the labels.
    """
    if problem := charset_problem(data.val, charset, "train on images that have them too"):
        if all(charset.missing(sample.text) for sample in data.val):
            raise DataError(problem)
        data.warnings.append(f"{problem}; they count as read wrong")
    trained = set(drawn).union(*(sample.text for sample in data.train))
    only = set(charset.characters).difference(trained)
    if having := [sample for sample in data.val if only & {*sample.text}]:
        only &= {c for sample in having for c in sample.text}
        data.warnings.append(
            f"{quoted(''.join(sorted(only)))} occurs in {len(having):,} of "
            f"{quantity(len(data.val), 'validation label')} and in nothing that is trained on; the "
            f"first is {shortened(having[0].text)} in {having[0].where}"
        )


def _grammar(name: str, data: RunData, charset: Charset, texts: Mapping[str, Texts]) -> Grammar:
    """Return the model's grammar.

    It is the one that the user names, if it accepts the texts of all looks; else the tightest that
    accepts them and all labels. Unknown texts do not count.
    """
    drawn = [one for one in texts.values() if one.characters != UNKNOWN]

    def fits(grammar: Grammar) -> bool:
        return all(one.is_within(grammar) for one in drawn)

    labels = {t for t in data.texts if t.strip(UNKNOWN) and not charset.missing(t)}
    if name:
        described = texts.get("")
        known = described.grammar.texts if isinstance(described, GrammarTexts) else ()
        named = load_grammar(name, charset, known)
        if fits(named):
            return named
    return load_grammar(tightest(labels, charset, fits), charset)


def _rendered(
    spec: RunSpec, renderer: Renderer | None
) -> tuple[RenderedBatches | None, RenderedBatches | None]:
    """Return the sources of rendered training and validation images; None where there are none."""
    if not renderer:
        return None, None
    settings = spec.settings
    training = settings.training
    size = round(training.batch_size * training.synth_mix)
    if training.synth_mix < 1:
        size = min(max(size, 1), training.batch_size - 1)
    if size < 1:
        raise ConfigError(
            "training.batch_size: expected 2 or more to mix files and rendered images, found "
            f"{training.batch_size}"
        )
    check_rendered_width(settings, renderer)

    def source(stream: int, num: int) -> RenderedBatches:
        return RenderedBatches(
            renderer,
            settings.preprocess,
            seed=training.seed,
            stream=stream,
            size=num,
            one_width=settings.preprocess.width is not None or renderer.one_width,
        )

    val = source(VAL_STREAM, training.val_images) if spec.data is None and not spec.val else None
    return source(TRAIN_STREAM, size), val


def check_rendered_width(settings: Preset, renderer: Renderer) -> None:
    """Check that every rendered text fits into the frames of its picture.

    Raises:
        ConfigError: One does not.
    """
    synth, size = settings.synth, settings.preprocess
    for kind in renderer.widths:
        num_needed = renderer.texts[kind.texts_like].max_frames
        width_px = renderer.least_width_px(kind)
        width = scaled_width((width_px, synth.height), size)
        there = num_frames(settings.model, padded_width(width, size))
        if there < num_needed:
            raise ConfigError(
                f"synth.width: expected images wide enough for {num_needed} frames, which the "
                f"longest text needs, found {width_px} x {synth.height} px, which give {there}"
            )


def _validation(
    data: RunData, inks: list[NDArray[np.uint8]], rendered: RenderedBatches | None
) -> LabeledImages:
    if rendered:
        drawn = rendered[range(rendered.size)]
        values = [value_of(text) for text in drawn.texts]
        return LabeledImages(drawn.inks, drawn.texts, values)
    texts = [sample.text for sample in data.val]
    values = [sample.truth for sample in data.val]
    return LabeledImages(inks, texts, values)
