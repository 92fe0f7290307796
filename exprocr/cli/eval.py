"""``exprocr eval``: measure a model on labelled images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from exprocr.cli.options import (
    BAD_INPUT,
    BELOW_BAR,
    FiniteRange,
    Session,
    compute_options,
    decoder_options,
    model_option,
    pass_session,
)

if TYPE_CHECKING:
    from pathlib import Path

    from exprocr.core.labels import Sample
    from exprocr.core.metrics import Evaluation
    from exprocr.core.recognizer import Prediction, Recognizer

NUM_CONFUSIONS = 10
NUM_WORST = 10


@dataclass
class _Measurement:
    """What came out of reading a data set."""

    counts: Evaluation
    unreadable: int = 0
    seconds: float = 0.0
    wrong: list[tuple[Sample, Prediction]] = field(default_factory=list)

    @property
    def worst(self) -> list[tuple[Sample, Prediction]]:
        """The wrong readings, the most confident first."""
        return sorted(self.wrong, key=lambda pair: -pair[1].confidence)


@click.command(
    "eval",
    epilog="\b\nExamples:\n  exprocr eval data/\n  exprocr eval data/ --model runs/a --json a.json"
    "\n  exprocr eval data/ --min-exact 0.99",
)
@click.argument("data", type=click.Path())
@model_option
@decoder_options
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write all figures.")
@click.option("--errors", type=click.Path(), metavar="FILE", help="Write every wrong image (CSV).")
@click.option(
    "--min-exact",
    type=FiniteRange(0, 1),
    metavar="P",
    help="Exit with 3 if the exact match is below this.",
)
@compute_options
@pass_session
@click.pass_context
def eval_command(
    ctx: click.Context,
    session: Session,
    data: str,
    model: str | None,
    decoder: str,
    beam_width: int,
    json_file: str | None,
    errors: str | None,
    min_exact: float | None,
    device: str,
    threads: int | None,
) -> None:
    """Measure a model on DATA: labelled images in any layout `exprocr train` reads.

    Of a data set with train/ and val/, val/ is measured. An image is right in the contest's sense
    if both its expression and its value are.
    """
    from contextlib import ExitStack
    from pathlib import Path

    from exprocr.core.dataset import check_charset, load_dataset
    from exprocr.core.recognizer import Recognizer

    found = load_dataset(Path(data))
    part = "val" if "val" in found.parts else "all"
    samples = found.parts[part]
    session.note(f"{data}: {found.layout}" + (", measuring val" if part == "val" else ""))
    for warning in found.warnings:
        session.report(f"warning: {warning}")
    recognizer = Recognizer.load(
        model, device=device, threads=threads, decoder=decoder, beam_width=beam_width
    )
    check_charset(samples, recognizer.charset)
    measurement = _measure(session, recognizer, samples)
    # All are tried, even if one fails, and in the reverse order: the files come before the tables,
    # which nobody may be there to read.
    with ExitStack() as outputs:
        outputs.callback(_print, session, measurement, model, listed=errors is not None)
        if json_file is not None:
            facts = {"data": data, "model": model or "bundled", "decoder": decoder}
            outputs.callback(_write_json, Path(json_file), measurement, facts)
        if errors is not None:
            outputs.callback(_write_errors, Path(errors), measurement)
    if measurement.unreadable:
        ctx.exit(BAD_INPUT)
    exact = measurement.counts.exact_match
    if min_exact is not None and exact < min_exact:
        session.report(f"exprocr: exact match {exact:.4%} is below --min-exact {min_exact:.4%}")
        ctx.exit(BELOW_BAR)


def _measure(session: Session, recognizer: Recognizer, samples: list[Sample]) -> _Measurement:
    """Read all images and count what is right."""
    import time

    from exprocr.cli.output import progress
    from exprocr.core.expression import value_of
    from exprocr.core.metrics import Evaluation
    from exprocr.errors import ImageError

    result = _Measurement(Evaluation())
    started = time.perf_counter()
    with progress(session, len(samples), description="reading") as bar:
        readings = recognizer.stream(sample.path for sample in samples)
        for sample, reading in zip(samples, readings, strict=True):
            bar.update()
            if isinstance(reading, ImageError):
                session.problem(str(reading))
                result.unreadable += 1
                continue
            truth = value_of(sample.text) if sample.value is None else sample.value
            result.counts.add(sample.text, truth, reading.text, reading.value)
            if reading.text != sample.text:
                result.wrong.append((sample, reading))
    result.seconds = time.perf_counter() - started
    return result


def _print(session: Session, measurement: _Measurement, model: str | None, *, listed: bool) -> None:
    """Print the figures, the confusions and the worst cases."""
    from exprocr.cli.output import (
        cell,
        format_confidence,
        format_rate,
        new_table,
        print_table,
        summary_table,
    )

    counts = measurement.counts
    rows: list[tuple[str, object]] = [
        ("model", model or "the model that comes with exprocr"),
        ("images", f"{counts.num_images:,}"),
        ("exact match", f"{counts.exact_match:.2%}  ({counts.num_exact:,} right)"),
        ("value match", f"{counts.value_match:.2%}"),
        ("contest score", f"{counts.contest_score:.2%}"),
        (
            "CER",
            f"{counts.cer:.3%}  ({counts.insertions} inserted, {counts.deletions} deleted, "
            f"{counts.substitutions} substituted of {counts.num_chars:,})",
        ),
        ("normalized edit distance", f"{counts.normalized_edit_distance:.5f}"),
        ("images/s", format_rate(counts.num_images, measurement.seconds)),
    ]
    if measurement.unreadable:
        rows.insert(2, ("unreadable", f"{measurement.unreadable:,}, not counted"))
    print_table(summary_table(rows, title="Evaluation"))
    if not measurement.wrong:
        return
    confusions = new_table("truth", "read", "times", right=["times"], title="\nConfusions")
    for (truth, read), times in counts.top_confusions(NUM_CONFUSIONS):
        confusions.add_row(cell(truth or "(none)"), cell(read or "(none)"), cell(times))
    print_table(confusions)
    worst = new_table(
        "image",
        "truth",
        "read",
        "confidence",
        right=["confidence"],
        title="\nWorst: wrong with the most confidence",
    )
    for sample, reading in measurement.worst[:NUM_WORST]:
        confidence = format_confidence(reading.confidence)
        worst.add_row(cell(sample.path), cell(sample.text), cell(reading.text), cell(confidence))
    print_table(worst)
    if len(measurement.wrong) > NUM_WORST and not listed:
        session.note(f"{len(measurement.wrong)} images are wrong; --errors FILE lists them all")


def _write_json(path: Path, measurement: _Measurement, facts: dict[str, Any]) -> None:
    """Write all figures as one JSON object."""
    import json

    from exprocr.core.files import atomic_write

    counts = measurement.counts
    figures = {
        **facts,
        "num_images": counts.num_images,
        "num_unreadable": measurement.unreadable,
        "exact_match": counts.exact_match,
        "value_match": counts.value_match,
        "contest_score": counts.contest_score,
        "cer": counts.cer,
        "num_chars": counts.num_chars,
        "insertions": counts.insertions,
        "deletions": counts.deletions,
        "substitutions": counts.substitutions,
        "normalized_edit_distance": counts.normalized_edit_distance,
        "images_per_s": counts.num_images / measurement.seconds if measurement.seconds else 0.0,
        "confusions": [
            {"truth": truth, "read": read, "count": count}
            for (truth, read), count in counts.top_confusions(len(counts.confusions))
        ],
        "worst": [
            {
                "path": str(sample.path),
                "truth": sample.text,
                "read": reading.text,
                "confidence": reading.confidence,
            }
            for sample, reading in measurement.worst[:NUM_WORST]
        ],
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _write_errors(path: Path, measurement: _Measurement) -> None:
    """Write every wrong image as CSV, in the order of the data set."""
    import csv

    from exprocr.core.expression import format_value
    from exprocr.core.files import atomic_write

    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("path", "truth", "read", "value", "confidence"))
        for sample, reading in measurement.wrong:
            value = format_value(reading.value)
            rows.writerow((sample.path, sample.text, reading.text, value, reading.confidence))
