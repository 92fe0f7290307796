"""``exprocr eval``: read the images, print what came out, and write it to files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from click.exceptions import Exit

from exprocr.cli.options import BAD_INPUT, BELOW_BAR, Session
from exprocr.cli.output import (
    cell,
    new_table,
    note_frames,
    note_remark,
    note_unproven,
    print_table,
    progress,
    summary_table,
    warn_of_excluded,
    write_json,
)
from exprocr.core.config.label_map import LabelMap
from exprocr.core.config.layout_choice import LayoutChoice
from exprocr.core.data.dataset import TablePaths, charset_problem
from exprocr.core.data.labels import Sample
from exprocr.core.data.pictures import file_pictures
from exprocr.core.evaluation.measure import (
    CONFUSION_COLUMNS,
    RELIABILITY_COLUMNS,
    RISK_COLUMNS,
    Example,
    Extremes,
    Measurement,
    confusion_rows,
    read_pictures,
    reliability_rows,
    risk_rows,
    summary_rows,
)
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.runs.val_table import load_labeled
from exprocr.core.system.csv_rows import csv_writer, path_cell
from exprocr.core.system.files import atomic_write
from exprocr.core.text.expression import format_value
from exprocr.errors import ImageError
from exprocr.words import format_confidence

NUM_WORST = 10
"""Wrong images that are printed, those with the most confidence."""


@dataclass
class Found:
    """What was read."""

    measurement: Measurement
    worst: Extremes
    """Read wrong with the most confidence."""

    wrong: list[Example] = field(default_factory=list)
    """All that are read wrong, in the order of the data set, where a file of them is wanted."""


def run(
    session: Session,
    data: str,
    *,
    images: str | None,
    allow_outside: bool,
    map: tuple[str, ...],
    layout: str | None,
    label_pattern: str | None,
    json_file: str | None,
    errors: str | None,
    min_exact: float | None,
    **options: Any,
) -> None:
    """Measure a model on labeled images.

    Args:
        session: How much is printed.
        data: The data set.
        images: The folder that a table's paths start from.
        allow_outside: Whether they may lead out of it.
        map: Replacements in the labels.
        layout: Name of the data set's layout; None recognizes it.
        label_pattern: Pattern of labels in the names of files.
        json_file: File for all figures.
        errors: File for all wrong images.
        min_exact: Exact match that is wanted at least.
        options: Those of `Recognizer.load`.

    Raises:
        Exit: An image cannot be read, or the exact match is below ``min_exact``.
    """
    samples = find_samples(
        session,
        data,
        images,
        allow_outside=allow_outside,
        label_map=LabelMap(map),
        choice=LayoutChoice(name=layout, label_pattern=label_pattern),
    )
    recognizer = Recognizer.load(**options)
    note_remark(session, recognizer)
    if problem := charset_problem(samples, recognizer.charset):
        session.report(f"warning: {problem}; they count as read wrong")
    warn_of_excluded(session, recognizer.decoder.grammar, samples)
    found = _read(session, recognizer, samples, all_wrong=errors is not None)
    measurement = found.measurement
    # Each of these is tried even if another fails, the last one first: the files are written
    # before the tables are printed, as nobody may be there to read those.
    with ExitStack() as outputs:
        outputs.callback(note_unproven, session, recognizer.decoder, measurement.num_unproven)
        outputs.callback(_print, session, found, options["model"], listed=errors is not None)
        if json_file is not None:
            facts = {"data": data, "model": options["model"] or "bundled"}
            outputs.callback(_write_json, Path(json_file), found, facts)
        if errors is not None:
            outputs.callback(_write_errors, Path(errors), found.wrong)
    if measurement.num_unreadable:
        raise Exit(BAD_INPUT)
    exact = measurement.counts.exact_match
    if min_exact is not None and exact < min_exact:
        session.report(f"exprocr: exact match {exact:.4%} is below --min-exact {min_exact:.4%}")
        raise Exit(BELOW_BAR)


def find_samples(
    session: Session,
    data: str,
    images: str | None,
    *,
    allow_outside: bool,
    label_map: LabelMap | None = None,
    choice: LayoutChoice | None = None,
    to_train: bool = False,
) -> list[Sample]:
    """Find the images of a labeled data set, and report what is odd about it.

    Args:
        session: How much is printed.
        data: The data set.
        images: The folder that a table's paths start from; None is the table's own.
        allow_outside: Whether they may lead out of it.
        label_map: Changes the texts of the labels; None changes none.
        choice: The layout that the user names; None recognizes it.
        to_train: Whether they are looked at as a training would see them.

    Returns:
        Those of val/ where the set has train/ and val/, or of train/ if ``to_train``; otherwise
        all.

    Raises:
        DataError: It is no labeled data set.
    """
    start = None if images is None else Path(images)
    paths = TablePaths(images=start, allow_outside=allow_outside)
    found = load_labeled(Path(data), paths, label_map, choice)
    part = "train" if to_train and "train" in found.parts else found.held_out
    session.note(f"{data}: {found.layout}" + (", of which val is read" if part == "val" else ""))
    for warning in found.warnings:
        session.report(f"warning: {warning}")
    return found.parts[part]


def _read(
    session: Session, recognizer: Recognizer, samples: Sequence[Sample], *, all_wrong: bool
) -> Found:
    found = Found(Measurement(recognizer.decoder), Extremes(NUM_WORST))
    pictures = file_pictures(samples, "the data set")
    with progress(session, len(pictures), description="reading") as bar:
        for example in read_pictures(recognizer, pictures, found.measurement):
            bar.update()
            if isinstance(example, ImageError):
                session.problem(str(example))
                continue
            note_frames(session, example.prediction)
            if not example.is_right:
                found.worst.add(example.prediction.confidence, example)
                if all_wrong:
                    found.wrong.append(example)
    return found


def _print(session: Session, found: Found, model: str | None, *, listed: bool) -> None:
    """Print the figures, the confidences, the confusions and the worst cases."""
    measurement = found.measurement
    rows = [("model", model or "the bundled model"), *summary_rows(measurement)]
    print_table(summary_table(rows, title="Evaluation"))
    if measurement.counts.num_images:
        _print_rows(
            "Reliability by confidence",
            RELIABILITY_COLUMNS,
            reliability_rows(measurement.reliability),
            RELIABILITY_COLUMNS,
        )
        _print_rows(
            "Errors among the most confident",
            RISK_COLUMNS,
            risk_rows(measurement.reliability),
            RISK_COLUMNS,
        )
    if measurement.num_wrong:
        confusions = confusion_rows(measurement.counts)
        _print_rows("Confusions", CONFUSION_COLUMNS, confusions, ["times"])
        _print_rows(
            "Worst: wrong with the most confidence",
            ("image", "truth", "read", "confidence"),
            (
                (
                    example.picture.name,
                    example.picture.text,
                    example.prediction.text,
                    format_confidence(example.prediction.confidence),
                )
                for example in found.worst
            ),
            ["confidence"],
        )
    if measurement.num_wrong > NUM_WORST and not listed:
        session.note(f"{measurement.num_wrong} images are wrong; --errors FILE lists them all")


def _print_rows(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]
) -> None:
    table = new_table(*columns, right=right, title=f"\n{title}")
    for row in rows:
        table.add_row(*map(cell, row))
    print_table(table)


def _write_json(path: Path, found: Found, facts: dict[str, Any]) -> None:
    """Write ``facts`` and all figures as one JSON object."""
    measurement = found.measurement
    counts, reliability, decoder = measurement.counts, measurement.reliability, measurement.decoder
    figures = {
        **facts,
        "grammar": str(decoder.grammar),
        "decoder": decoder.method,
        "temperature": decoder.temperature,
        "by_value": decoder.by_value,
        "num_images": counts.num_images,
        "num_unreadable": measurement.num_unreadable,
        "num_outside_grammar": measurement.num_outside_grammar,
        "num_unproven": measurement.num_unproven,
        "exact_match": counts.exact_match,
        "value_match": counts.value_match,
        "contest_score": counts.contest_score,
        "cer": counts.cer,
        "num_chars": counts.num_chars,
        "insertions": counts.insertions,
        "deletions": counts.deletions,
        "substitutions": counts.substitutions,
        "normalized_edit_distance": counts.normalized_edit_distance,
        "ece": reliability.ece(),
        "brier": reliability.brier,
        "images_per_s": counts.num_images / measurement.seconds if measurement.seconds else 0.0,
        "reliability": [asdict(part) for part in reliability.bins()],
        "risk_coverage": [asdict(risk) for risk in reliability.risks()],
        "confusions": [
            {"truth": truth, "read": read, "count": count}
            for (truth, read), count in counts.top_confusions(len(counts.confusions))
        ],
        "worst": [
            {
                "path": example.picture.name,
                "truth": example.picture.text,
                "read": example.prediction.text,
                "confidence": example.prediction.confidence,
            }
            for example in found.worst
        ],
    }
    write_json(path, figures)


def _write_errors(path: Path, wrong: Iterable[Example]) -> None:
    """Write wrong images as CSV."""
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        rows = csv_writer(file)
        rows.writerow(("path", "truth", "read", "value", "confidence"))
        for example in wrong:
            picture, reading = example.picture, example.prediction
            value = format_value(reading.value, reading.text)
            image = path_cell(picture.name)
            rows.writerow((image, picture.text, reading.text, value, reading.confidence))
