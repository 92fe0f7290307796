"""What ``exprocr eval`` found: the figures, as tables and in files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exprocr.cli.output import cell, describe_decoder, new_table, print_table, summary_table
from exprocr.core.evaluation.metrics import Evaluation
from exprocr.core.evaluation.reliability import Reliability
from exprocr.core.system.files import atomic_write
from exprocr.core.text.expression import format_value
from exprocr.words import format_confidence, format_rate

if TYPE_CHECKING:
    from exprocr.cli.options import Session
    from exprocr.core.data.labels import Sample
    from exprocr.core.decode.decoder import Decoder
    from exprocr.core.reading.prediction import Prediction

NUM_CONFUSIONS = 10
NUM_WORST = 10

RELIABILITY_COLUMNS = ("images", "from", "to", "mean", "right")
RISK_COLUMNS = ("coverage", "at least", "wrong", "error rate")
CONFUSION_COLUMNS = ("truth", "read", "times")


@dataclass
class Measurement:
    """What came out of reading a data set."""

    decoder: Decoder
    num_outside_grammar: int = 0
    counts: Evaluation = field(default_factory=Evaluation)
    reliability: Reliability = field(default_factory=Reliability)
    num_unreadable: int = 0
    num_unproven: int = 0
    seconds: float = 0.0
    wrong: list[tuple[Sample, Prediction]] = field(default_factory=list)

    def add(self, sample: Sample, truth: Fraction | None, reading: Prediction) -> None:
        """Count one reading; ``truth`` is the value of the sample's text."""
        exact = reading.text == sample.text
        # By value, that is what the confidence is the confidence in.
        by_value = self.decoder.by_value and truth is not None
        self.counts.add(sample.text, truth, reading.text, reading.value)
        self.reliability.add(reading.confidence, reading.value == truth if by_value else exact)
        self.num_unproven += not reading.is_proven
        if not exact:
            self.wrong.append((sample, reading))

    @property
    def worst(self) -> list[tuple[Sample, Prediction]]:
        """The wrong readings, the most confident first."""
        return sorted(self.wrong, key=lambda pair: -pair[1].confidence)


def print_report(
    session: Session, measurement: Measurement, model: str | None, *, listed: bool
) -> None:
    """Print the figures, the confidences, the confusions and the worst cases."""
    _print_summary(measurement, model)
    if measurement.counts.num_images:
        _print_reliability(measurement.reliability)
    if measurement.wrong:
        _print_wrong(measurement)
    if len(measurement.wrong) > NUM_WORST and not listed:
        session.note(f"{len(measurement.wrong)} images are wrong; --errors FILE lists them all")


def summary_rows(measurement: Measurement) -> list[tuple[str, str]]:
    """Return the figures by name, as people read them."""
    counts, decoder = measurement.counts, measurement.decoder
    rows = [("grammar", str(decoder.grammar))]
    if (method := describe_decoder(decoder)) != "auto":
        rows.append(("decoder", method))
    rows.append(("images", f"{counts.num_images:,}"))
    if measurement.num_unreadable:
        rows.append(("unreadable", f"{measurement.num_unreadable:,}, not counted"))
    return [
        *rows,
        ("exact match", f"{counts.exact_match:.2%}  ({counts.num_exact:,} right)"),
        ("value match", f"{counts.value_match:.2%}"),
        ("contest score", f"{counts.contest_score:.2%}"),
        (
            "CER",
            f"{counts.cer:.3%}  ({counts.insertions} inserted, {counts.deletions} deleted, "
            f"{counts.substitutions} substituted of {counts.num_chars:,})",
        ),
        ("normalized edit distance", f"{counts.normalized_edit_distance:.5f}"),
        ("ECE", f"{measurement.reliability.ece():.5f}"),
        ("Brier score", f"{measurement.reliability.brier:.5f}"),
        ("images/s", format_rate(counts.num_images, measurement.seconds)),
    ]


def reliability_rows(reliability: Reliability) -> list[tuple[str, ...]]:
    """Return how right the readings of each confidence are, under `RELIABILITY_COLUMNS`."""
    return [
        (
            f"{part.count:,}",
            *map(format_confidence, (part.low, part.high, part.confidence)),
            f"{part.accuracy:.2%}",
        )
        for part in reliability.bins()
    ]


def risk_rows(reliability: Reliability) -> list[tuple[str, ...]]:
    """Return the errors among the most confident readings, under `RISK_COLUMNS`."""
    return [
        (
            f"{risk.coverage:.0%}",
            format_confidence(risk.threshold),
            f"{risk.num_wrong:,}",
            f"{risk.error_rate:.3%}",
        )
        for risk in reliability.risks()
    ]


def confusion_rows(counts: Evaluation) -> list[tuple[str, ...]]:
    """Return the most frequent confusions, under `CONFUSION_COLUMNS`."""
    return [
        (truth or "(none)", read or "(none)", str(times))
        for (truth, read), times in counts.top_confusions(NUM_CONFUSIONS)
    ]


def _print_summary(measurement: Measurement, model: str | None) -> None:
    rows = [("model", model or "the model that comes with exprocr"), *summary_rows(measurement)]
    print_table(summary_table(rows, title="Evaluation"))


def _print_rows(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]
) -> None:
    table = new_table(*columns, right=right, title=f"\n{title}")
    for row in rows:
        table.add_row(*map(cell, row))
    print_table(table)


def _print_reliability(reliability: Reliability) -> None:
    """Print how right the readings of each confidence are, and the errors by coverage."""
    _print_rows(
        "Reliability by confidence",
        RELIABILITY_COLUMNS,
        reliability_rows(reliability),
        RELIABILITY_COLUMNS,
    )
    _print_rows(
        "Errors among the most confident", RISK_COLUMNS, risk_rows(reliability), RISK_COLUMNS
    )


def _print_wrong(measurement: Measurement) -> None:
    """Print the confusions and the worst cases."""
    _print_rows("Confusions", CONFUSION_COLUMNS, confusion_rows(measurement.counts), ["times"])
    _print_rows(
        "Worst: wrong with the most confidence",
        ("image", "truth", "read", "confidence"),
        (
            (str(sample.path), sample.text, reading.text, format_confidence(reading.confidence))
            for sample, reading in measurement.worst[:NUM_WORST]
        ),
        ["confidence"],
    )


def write_json(path: Path, measurement: Measurement, facts: Mapping[str, Any]) -> None:
    """Write all figures as one JSON object, after what is known beforehand."""
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


def write_errors(path: Path, measurement: Measurement) -> None:
    """Write every wrong image as CSV, in the order of the data set."""
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("path", "truth", "read", "value", "confidence"))
        for sample, reading in measurement.wrong:
            value = format_value(reading.value)
            rows.writerow((sample.path, sample.text, reading.text, value, reading.confidence))
