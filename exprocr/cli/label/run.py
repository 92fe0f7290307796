"""``exprocr label``: read the images, and write the page on which a person labels them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exprocr.cli.inputs import find_inputs
from exprocr.cli.options import BAD_INPUT, Session
from exprocr.cli.output import (
    note_frames,
    note_remark,
    prepare_output,
    print_table,
    progress,
    summary_table,
)
from exprocr.core.config.layout_choice import LayoutChoice
from exprocr.core.data.dataset import DataSet, TablePaths
from exprocr.core.data.labels import Sample
from exprocr.core.model.loading import GRAPH_SUFFIX
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.runs.val_table import load_labeled
from exprocr.core.system.files import atomic_write
from exprocr.report.label.candidates import (
    Candidate,
    CandidateSet,
    common_folder,
    make_candidate,
    source_of,
)
from exprocr.report.label.page import render_page
from exprocr.words import quantity

NUM_TEXTS = 4
"""Texts of a picture that can be chosen from."""

MANY = 2_000
"""Above this many images a page gets slow."""


def run(
    session: Session,
    paths: Sequence[str],
    *,
    output: str,
    labels: str | None,
    images: str | None,
    allow_outside: bool,
    layout: str | None,
    label_pattern: str | None,
    model: str | None,
    **options: Any,
) -> int:
    """Write a page for labeling images, and return the exit code.

    Args:
        session: Which messages to write.
        paths: Files, folders and globs; empty means all images that have a label.
        output: File for the page.
        labels: A data set whose labels are checked; None if the images have none.
        images: Folder that the paths of a table start from; None is the table's own.
        allow_outside: Whether they may lead elsewhere.
        layout: Name of the data set's layout; None recognizes it.
        label_pattern: Pattern of labels in the names of files.
        model: What reads the images.
        options: Other arguments of `Recognizer.load`.

    Raises:
        DataError: The data set cannot be used.
        ModelFileError: The model cannot be used.
        OutputError: The page cannot be written.
    """
    target = Path(output)
    prepare_output(target)  # before images are read for minutes
    found, _, num_bad = find_inputs(paths, session)
    files = [item.path for item in found]
    known: dict[str, Sample] = {}
    if labels is not None:
        table = TablePaths(images=Path(images) if images else None, allow_outside=allow_outside)
        choice = LayoutChoice(name=layout, label_pattern=label_pattern)
        known = _read_labels(session, load_labeled(Path(labels), table, choice=choice))
        files = files if paths else list(known)
    files = list({os.path.abspath(file): file for file in files}.values())  # each of them once
    if not files:  # reported above
        return BAD_INPUT
    if len(files) > MANY:
        session.note(f"{quantity(len(files), 'image')}: more than {MANY:,} make a slow page")
    recognizer = Recognizer.load(model, n_best=NUM_TEXTS, **options)
    note_remark(session, recognizer)
    folder = common_folder([source_of(file, known) for file in files])
    candidates = _read(session, recognizer, files, folder, known)
    page = CandidateSet(folder, candidates, recognizer.charset.characters, labels)
    start = None if model and model.endswith(GRAPH_SUFFIX) else model or "bundled"
    content = render_page(page, start).encode()
    with atomic_write(target) as temporary:
        temporary.write_bytes(content)
    num_problems = sum(candidate.prediction is None for candidate in candidates)
    rows: list[tuple[str, object]] = [("images", f"{len(candidates):,}")]
    if num_problems:
        rows.append(("not to be labeled", f"{num_problems:,}"))
    if labels is not None:
        rows += [
            ("labeled", f"{sum(candidate.label is not None for candidate in candidates):,}"),
            ("read otherwise", f"{sum(candidate.disagrees for candidate in candidates):,}"),
        ]
    rows += [("size", f"{len(content) / 1e6:.1f} MB"), ("file", target)]
    print_table(summary_table(rows, title="Labeling"))
    session.note(f"Next: open {target} in a browser")
    return BAD_INPUT if num_bad or num_problems else 0


def _read_labels(session: Session, dataset: DataSet) -> dict[str, Sample]:
    """Return the samples by the absolute paths of their images; the last of each counts."""
    for warning in dataset.warnings:
        session.report(f"warning: {warning}")
    samples = [sample for part in dataset.parts.values() for sample in part]
    labels = {os.path.abspath(sample.path): sample for sample in samples}
    if len(labels) < len(samples):
        number = quantity(len(samples) - len(labels), "image")
        session.report(f"warning: {number} listed again; the last label of each counts")
    return labels


def _read(
    session: Session,
    recognizer: Recognizer,
    files: Sequence[str],
    folder: str,
    known: dict[str, Sample],
) -> list[Candidate]:
    """Read the images, and report those that cannot be labeled."""
    candidates = []
    sources = [source_of(file, known) for file in files]
    height = recognizer.preprocess.height
    with progress(session, len(files), description="reading") as bar:
        for file, result in zip(files, recognizer.stream(sources), strict=True):
            candidate = make_candidate(file, folder, result, known, height)
            if candidate.problem:
                session.problem(candidate.problem)
            if candidate.prediction is not None:
                note_frames(session, candidate.prediction)
            candidates.append(candidate)
            bar.update()
    return candidates
