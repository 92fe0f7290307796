"""``exprocr eval``: figures counted by hand, files, exit codes, bad data."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from exprocr.cli import eval_report, group
from exprocr.cli.eval_report import Measurement, print_report
from exprocr.cli.options import Session
from exprocr.core.labels import Sample
from exprocr.core.prediction import Prediction, format_confidence
from exprocr.core.recognizer import Recognizer
from tests.scripted import scripted_recognizer

# What is in an image, what is read, and the certainty of every frame of the reading.
SCRIPT = [
    ("1+2", "1+2", 0.99),
    ("(7+5)-4", "(1+5)-4", 0.95),  # 7 read as 1; the value differs
    ("3*4-5", "3*4-5", 0.90),
    ("9-9+1", "9-9*1", 0.99),  # + read as *: -0
    ("2*2+0", "2*2+00", 0.88),  # 0 inserted; the value is right
    ("8-1*6", "81*6", 0.97),  # - left out
    ("6+6+6", "6+6+6", 0.99),
    ("1*1*1", "1*1*1", 0.99),
]
NUM_CHARS = 3 + 7 + 5 * 6
WRONG = [1, 3, 4, 5]

Eval = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_data(tmp_path / "data")


def make_data(folder: Path, labels: list[str] | None = None) -> Path:
    folder.mkdir()
    labels = [truth for truth, _, _ in SCRIPT] if labels is None else labels
    for number in range(len(labels)):
        Image.new("L", (180, 60), 255).save(folder / f"{number}.png")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    return folder


@pytest.fixture
def loaded() -> dict[str, Any]:
    """Return what `Recognizer.load` was called with."""
    return {}


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, loaded: dict[str, Any]) -> Eval:
    """Return a function that runs the command with a model that reads `SCRIPT`."""

    def run(*args: object, script: list[tuple[str, str, float]] = SCRIPT) -> Result:
        def load(_cls: object, /, **options: Any) -> Recognizer:
            loaded.update(options)
            decoding = {name: options[name] for name in ("decoder", "beam_width", "by_value")}
            return scripted_recognizer(
                *((text, certainty) for _, text, certainty in script),
                grammar=options["grammar"] or "none",
                **decoding,
            )

        monkeypatch.setattr(Recognizer, "load", classmethod(load))
        return CliRunner().invoke(group, ["eval", *map(str, args)])

    return run


def figures(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text())
    assert isinstance(result, dict)
    return result


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


def test_tables(evaluate: Eval, data: Path) -> None:
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
    readings = recognizer.read([np.zeros((60, 180), dtype=np.uint8)] * len(SCRIPT))
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


def test_images_of_neighbouring_confidences_share_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measurement = Measurement(scripted_recognizer().decoder)
    sample = Sample(Path("0.png"), "1", "labels.txt, line 1")
    for number in range(45):  # three for each of 15 lines
        text = "2" if number < 2 else "1"
        confidence = 0.5 + number**2 / 10_000
        measurement.add(sample, None, Prediction(text=text, value=None, confidence=confidence))
    print_report(Session(), measurement, None, listed=True)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    first = lines.index("images from to mean right") + 2
    assert lines[first] == "3 0.5000 0.5004 0.5001 33.33%"
    assert lines[first + 14] == "3 0.6764 0.6936 0.6849 100.00%"
    assert lines[first + 15] == ""


def test_where_the_truth_has_no_value_the_text_must_be_right() -> None:
    measurement = Measurement(scripted_recognizer(decoder="auto", by_value=True).decoder)
    sample = Sample(Path("0.png"), "1/0", "labels.txt, line 1")
    for text in ("1/0", "2/0"):
        measurement.add(sample, None, Prediction(text=text, value=None, confidence=0.5))
    assert measurement.reliability.correct == [True, False]


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


def test_nothing_wrong(evaluate: Eval, tmp_path: Path) -> None:
    script = [SCRIPT[0], SCRIPT[2]]
    data = make_data(tmp_path / "data", ["1+2 3", "3*4-5 7"])
    args = (data, "--errors", tmp_path / "e.csv", "--min-exact", 1, "--json", tmp_path / "a.json")
    result = evaluate(*args, script=script)
    assert result.exit_code == 0
    assert "Confusions" not in result.stdout
    assert (tmp_path / "e.csv").read_text() == "path,truth,read,value,confidence\n"
    found = figures(tmp_path / "a.json")
    assert (found["exact_match"], found["cer"], found["worst"]) == (1, 0, [])


def test_every_wrong_image_as_csv(evaluate: Eval, data: Path, tmp_path: Path) -> None:
    evaluate(data, "--errors", tmp_path / "e.csv")
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(data / f"{i}.png") for i in WRONG]
    assert [(row["truth"], row["read"]) for row in rows] == [SCRIPT[i][:2] for i in WRONG]
    assert [row["value"] for row in rows] == ["2", "0", "4", "486"]
    assert all(0 < float(row["confidence"]) < 1 for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no text")
def test_a_folder_whose_name_is_no_text(evaluate: Eval, tmp_path: Path) -> None:
    data = make_data(tmp_path / os.fsdecode(b"d\xff"))
    result = evaluate(data, "--errors", tmp_path / "e.csv", "--json", tmp_path / "a.json")
    assert result.exit_code == 0, result.stderr
    assert os.fsencode(data / "1.png") in (tmp_path / "e.csv").read_bytes()
    assert figures(tmp_path / "a.json")["worst"][0]["path"] == str(data / "3.png")


@pytest.mark.parametrize(("bar", "exit_code"), [("0.51", 3), ("1", 3), ("0.5", 0), ("0", 0)])
def test_min_exact(evaluate: Eval, data: Path, tmp_path: Path, bar: str, exit_code: int) -> None:
    result = evaluate(data, "--min-exact", bar, "--json", tmp_path / "a.json")
    assert result.exit_code == exit_code
    assert ("is below --min-exact" in result.stderr) == (exit_code == 3)
    assert figures(tmp_path / "a.json")["num_images"] == 8  # written all the same


def test_unreadable_images_are_reported_and_win_over_the_bar(
    evaluate: Eval, data: Path, tmp_path: Path
) -> None:
    (data / "6.png").write_bytes(b"no picture")
    (data / "0.png").write_bytes(b"")
    script = [row for row in SCRIPT if row not in (SCRIPT[0], SCRIPT[6])]
    result = evaluate(data, "--min-exact", 0.9, "--json", tmp_path / "a.json", script=script)
    assert result.exit_code == 1
    problems = [line for line in result.stderr.splitlines() if line.startswith("exprocr: ")]
    assert [line.split(":")[1].strip() for line in problems] == [
        str(data / "0.png"),
        str(data / "6.png"),
    ]
    found = figures(tmp_path / "a.json")
    assert (found["num_images"], found["num_unreadable"]) == (6, 2)
    assert found["exact_match"] == 2 / 6
    assert "2, not counted" in " ".join(result.stdout.split())


def test_only_unreadable_images(evaluate: Eval, tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", ["1+2"])
    (data / "0.png").write_bytes(b"")
    result = evaluate(data, "--json", tmp_path / "a.json", script=[])
    assert result.exit_code == 1
    found = figures(tmp_path / "a.json")
    assert (found["num_images"], found["ece"], found["reliability"]) == (0, 0, [])
    assert "exact match" in result.stdout
    assert "Reliability" not in result.stdout
    assert "bug" not in result.stderr


def test_a_grammar_that_cannot_be_used(evaluate: Eval, data: Path, tmp_path: Path) -> None:
    result = evaluate(data, "--grammar", "level2", "--json", tmp_path / "a.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("exprocr: ")
    assert "unknown grammar; did you mean 'level1'?" in result.stderr
    assert not (tmp_path / "a.json").exists()


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


def test_val_is_measured_where_there_is_one(evaluate: Eval, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    make_data(tmp_path / "data" / "train")
    make_data(tmp_path / "data" / "val", ["1+2", "6+6+6"])
    script = [SCRIPT[0], SCRIPT[6]]
    result = evaluate(tmp_path / "data", "--json", tmp_path / "a.json", script=script)
    assert result.exit_code == 0, result.stderr
    assert "measuring val" in result.stderr
    assert figures(tmp_path / "a.json")["num_images"] == 2


def test_options_reach_the_recogniser(evaluate: Eval, data: Path, loaded: dict[str, Any]) -> None:
    result = evaluate(data, "--decoder", "beam", "--beam-width", 3, "--threads", 1, "--device",
                      "cpu", "--model", "m")  # fmt: skip
    assert result.exit_code == 0
    assert loaded == {
        "model": "m", "grammar": None, "decoder": "beam", "beam_width": 3, "by_value": False,
        "threads": 1, "device": "cpu", "engine": None,
    }  # fmt: skip
    evaluate(data, "--grammar", "digits", "--by-value")
    assert (loaded["grammar"], loaded["by_value"]) == ("digits", True)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (["1+2", "3/4"], "line 2: expected the model's characters '()*+-0123456789', found '/'"),
        (["1+2", "", "3+4"], "line 2: expected an expression, found an empty line"),
        (["1+2", "1+2 x"], "line 2: value: expected an integer"),
    ],
)
def test_bad_labels(evaluate: Eval, tmp_path: Path, labels: list[str], found: str) -> None:
    result = evaluate(make_data(tmp_path / "data", labels))
    assert (result.exit_code, result.stdout) == (1, "")
    assert found in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("exprocr: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch])
def test_no_data(evaluate: Eval, tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "x")
    result = evaluate(tmp_path / "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"exprocr: {tmp_path / 'x'}: expected ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["--json", "--errors"])
def test_output_that_cannot_be_written(
    evaluate: Eval, data: Path, tmp_path: Path, option: str
) -> None:
    result = evaluate(data, option, data / "labels.txt" / "x")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"exprocr: {data / 'labels.txt' / 'x'}: ")
    assert "exact match" in result.stdout  # what was measured is not lost


def test_files_are_written_before_tables_that_nobody_reads(
    evaluate: Eval, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(eval_report, "print_table", fail)
    result = evaluate(data, "--json", tmp_path / "a.json", "--errors", tmp_path / "e.csv")
    assert result.exit_code == 1
    assert figures(tmp_path / "a.json")["num_images"] == 8
    assert len((tmp_path / "e.csv").read_text().splitlines()) == 1 + len(WRONG)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["x", "--min-exact", "1.5"],
        ["x", "--min-exact", "nan"],
        ["x", "--decoder", "best"],
        ["x", "--beam-width", 0],
        ["x", "--decoder", "greedy", "--by-value"],
    ],
)
def test_usage(evaluate: Eval, args: list[object]) -> None:
    assert evaluate(*args).exit_code == 2


def test_as_a_process(tiny_model: Path, tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", ["1+2 3", "3*4-5 7"])
    line = ["eval", "data", "--model", str(tiny_model), "--json", "a.json", "--errors", "e.csv"]
    done = subprocess.run(
        [sys.executable, "-m", "exprocr", *line, "--min-exact", "0.9", "--threads", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 3, done.stderr
    assert "exact match" in done.stdout
    assert "Traceback" not in done.stderr
    assert "exact match 0.0000% is below --min-exact 90.0000%" in done.stderr
    assert figures(tmp_path / "a.json")["num_images"] == len(list(data.glob("*.png")))
    assert len((tmp_path / "e.csv").read_text().splitlines()) == 3
