"""The figures of ``exprocr eval``: counted by hand, in its file and in its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exprocr.words import format_confidence
from tests.support.eval_runs import NUM_CHARS, SCRIPT, WRONG, Eval, figures, make_data
from tests.support.scripted import scripted_recognizer


def test_figures_are_those_counted_by_hand(evaluate: Eval, data: Path, tmp_path: Path) -> None:
    result = evaluate(data, "--json", tmp_path / "out" / "a.json")
    assert result.exit_code == 0, result.stderr
    found = figures(tmp_path / "out" / "a.json")
    assert found.pop("images_per_s") > 0
    worst = found.pop("worst")
    for name in ("ece", "brier", "reliability", "risk_coverage"):
        del found[name]  # for a test of their own
    assert found == {
        "data": str(data),
        "model": "bundled",
        "grammar": "none",
        "decoder": "auto",
        "temperature": 1.0,
        "by_value": False,
        "num_images": 8,
        "num_unreadable": 0,
        "num_outside_grammar": 0,
        "num_unproven": 0,
        "exact_match": 4 / 8,
        "value_match": 5 / 8,
        "contest_score": 4 / 8,
        "cer": 4 / NUM_CHARS,
        "num_chars": NUM_CHARS,
        "insertions": 1,
        "deletions": 1,
        "substitutions": 2,
        "normalized_edit_distance": pytest.approx((1 / 7 + 1 / 5 + 1 / 5 + 1 / 5) / 8),
        "confusions": [
            {"truth": "", "read": "0", "count": 1},
            {"truth": "+", "read": "*", "count": 1},
            {"truth": "-", "read": "", "count": 1},
            {"truth": "7", "read": "1", "count": 1},
        ],
    }
    by_certainty = [3, 5, 1, 4]
    assert [case["path"] for case in worst] == [str(data / f"{i}.png") for i in by_certainty]
    assert [(case["truth"], case["read"]) for case in worst] == [
        SCRIPT[i][:2] for i in by_certainty
    ]
    confidences = [case["confidence"] for case in worst]
    assert confidences == sorted(confidences, reverse=True)
    assert 0 < confidences[-1] < confidences[0] < 1


def test_tables(evaluate: Eval, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # no cell is folded
    result = evaluate(data, "--model", "runs/a")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for line in (
        "model runs/a",
        "grammar none",
        "images 8",
        "exact match 50.00% (4 right)",
        "value match 62.50%",
        "contest score 50.00%",
        f"CER 10.000% (1 inserted, 1 deleted, 2 substituted of {NUM_CHARS})",
        "normalized edit distance 0.09286",
        "7 1 1",
        "(none) 0 1",
        "- (none) 1",
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith("decoder")]  # it is the default
    assert "9-9*1" in result.stdout
    assert "labels in labels.txt" in result.stderr
    assert "Traceback" not in result.stderr


def truths(*, by_value: bool = False) -> tuple[list[float], list[bool]]:
    """Return the confidences of `SCRIPT`'s readings, and which of them are right."""
    recognizer = scripted_recognizer(
        *((text, certainty) for _, text, certainty in SCRIPT), decoder="auto", by_value=by_value
    )
    readings = recognizer.read([np.ones((60, 180), dtype=np.uint8)] * len(SCRIPT))
    assert [reading.text for reading in readings] == [text for _, text, _ in SCRIPT]
    right = [number not in WRONG or (by_value and number == 4) for number in range(len(SCRIPT))]
    return [reading.confidence for reading in readings], right


@pytest.mark.parametrize("by_value", [False, True])
def test_reliability(evaluate: Eval, data: Path, tmp_path: Path, by_value: bool) -> None:
    options = ["--by-value"] if by_value else []
    result = evaluate(data, *options, "--json", tmp_path / "a.json")
    assert result.exit_code == 0
    found = figures(tmp_path / "a.json")
    confidences, right = truths(by_value=by_value)
    pairs = sorted(zip(confidences, right, strict=True))
    assert found["by_value"] is by_value
    # With fewer readings than bins, each has a bin of its own.
    assert found["reliability"] == [
        {"count": 1, "low": c, "high": c, "confidence": c, "accuracy": float(r)} for c, r in pairs
    ]
    assert found["ece"] == pytest.approx(sum(abs(c - r) for c, r in pairs) / 8)
    assert found["brier"] == pytest.approx(sum((c - r) ** 2 for c, r in pairs) / 8)
    num_wrong = 3 if by_value else 4
    least, second = pairs[0], pairs[1]  # the least confident reading has the right value only
    assert least[1] is by_value
    kept_wrong = num_wrong - (not by_value)
    assert found["risk_coverage"] == [
        {
            "coverage": coverage,
            "count": count,
            "threshold": threshold,
            "num_wrong": wrong,
            "error_rate": pytest.approx(wrong / count),
        }
        for coverage, count, threshold, wrong in [
            (1.0, 8, least[0], num_wrong),
            (0.99, 7, second[0], kept_wrong),
            (0.95, 7, second[0], kept_wrong),
            (0.9, 7, second[0], kept_wrong),
        ]
    ]


@pytest.mark.parametrize("columns", [40, 80])
def test_tables_of_reliability(
    evaluate: Eval, data: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = evaluate(data, "--decoder", "beam", "--beam-width", 12)
    assert max(map(len, result.stdout.splitlines())) <= columns
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    confidences, right = truths()
    pairs = sorted(zip(confidences, right, strict=True))
    ece = sum(abs(c - r) for c, r in pairs) / 8
    brier = sum((c - r) ** 2 for c, r in pairs) / 8
    assert f"ECE {ece:.5f}" in lines
    assert f"Brier score {brier:.5f}" in lines
    assert "decoder beam of width 12" in " ".join(lines)
    order = [
        lines.index("Reliability by confidence"),
        lines.index("images from to mean right"),
        lines.index("Errors among the most confident"),
        lines.index("coverage at least wrong error rate"),
        lines.index("Confusions"),
    ]
    assert order == sorted(order)
    shown = [format_confidence(c) for c, _ in pairs]
    assert lines[order[1] + 2 : order[1] + 10] == [
        f"1 {c} {c} {c} {'100.00%' if r else '0.00%'}"
        for c, (_, r) in zip(shown, pairs, strict=True)
    ]
    assert lines[order[3] + 2 : order[3] + 6] == [
        f"100% {shown[0]} 4 50.000%",
        *(f"{coverage}% {shown[1]} 3 42.857%" for coverage in (99, 95, 90)),
    ]


def test_unproven_readings_are_counted(evaluate: Eval, data: Path, tmp_path: Path) -> None:
    script = [(truth, read, 0.3 if n < 2 else c) for n, (truth, read, c) in enumerate(SCRIPT)]
    result = evaluate(data, "--json", tmp_path / "a.json", script=script)
    assert result.exit_code == 0
    assert figures(tmp_path / "a.json")["num_unproven"] == 2
    assert "2 images: too many likely readings for exact search" in result.stderr
    result = evaluate(data, "--decoder", "beam", script=script)
    assert "likely readings" not in result.stderr


@pytest.mark.parametrize(
    ("grammar", "number", "first"),
    [
        ("level1", 1, "the first is '1+2' in {}/labels.txt, line 1"),
        ("regex:.{{3}}|[1-9+*-]*", 2, "the first is '(7+5)-4' in {}/labels.txt, line 2"),
        ("expression", 0, ""),
    ],
)
def test_labels_that_the_grammar_excludes(
    evaluate: Eval, data: Path, tmp_path: Path, grammar: str, number: int, first: str
) -> None:
    result = evaluate(data, "--grammar", grammar.format(), "--json", tmp_path / "a.json")
    assert result.exit_code == 0, result.stderr
    found = figures(tmp_path / "a.json")
    assert found["num_outside_grammar"] == number
    assert found["grammar"] == grammar.format()
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == bool(number)
    for warning in warnings:
        assert f"excludes {number} of 8 labels, which can only be read wrong; " in warning
        assert first.format(data) in warning


def test_wrong_values_in_the_labels(evaluate: Eval, tmp_path: Path) -> None:
    labels = [f"{truth} {value}" for (truth, _, _), value in
              zip(SCRIPT, (3, 8, 8, 1, 4, 2, 17, 1), strict=True)]  # fmt: skip
    data = make_data(tmp_path / "data", labels)  # those of 2 and 6 are wrong
    result = evaluate(data, "--json", tmp_path / "a.json")
    assert result.exit_code == 0
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert "2 of 8 values" in warning
    assert "3*4-5 is 7, not 8" in warning
    found = figures(tmp_path / "a.json")
    assert found["exact_match"] == 4 / 8
    assert found["contest_score"] == 2 / 8
    assert found["value_match"] == 3 / 8
