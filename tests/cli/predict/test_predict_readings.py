"""``exprocr predict``: which readings are given, marked and counted; decoders and grammars."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exprocr.cli import group
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import outcome_of
from exprocr.core.text.grammar.grammars import load_grammar
from tests.support.predict_runs import Predict, tsv
from tests.support.scripted import CHARSET, scripted_recognizer

# How sure the network is of every frame.
SURE, DOUBTFUL, GUESS = 0.9999, 0.95, 0.3
SCRIPT = [("(7+5)+4", SURE), ("3*4-5", DOUBTFUL), ("1+2", SURE)]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Return a function that runs the command with a model that gives out readings."""

    def run(*args: object, script: list[tuple[str, float]]) -> Result:
        def load(_cls: object, /, model: str | None, **options: Any) -> Recognizer:
            assert (model, options.pop("device"), options.pop("threads")) == (None, "auto", None)
            assert options.pop("engine") is None
            grammar, num_best = options.pop("grammar") or "none", options.pop("n_best")
            return scripted_recognizer(*script, grammar=grammar, num_best=num_best, **options)

        monkeypatch.setattr(Recognizer, "load", classmethod(load))
        return CliRunner().invoke(group, list(map(str, args)))

    return run


@pytest.mark.parametrize("format_", ["tsv", "csv", "json", "table", "contest"])
@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_what_is_below_the_bar_is_marked_and_exits_3(
    scripted: Predict, images: Path, format_: str, quiet: list[str]
) -> None:
    args = (*quiet, "predict", images, "--format", format_, "--min-confidence", 0.9)
    result = scripted(*args, script=SCRIPT)
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1] == (
        "exprocr: 1 of 3 readings rejected: below --min-confidence 0.9"
    )
    lines = [line for line in result.stdout.splitlines() if "3*4-5" in line]
    assert len(lines) == 1
    if format_ == "json":
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert [row["rejected"] for row in rows] == [False, True, False]
    else:
        body = result.stdout.splitlines()[{"csv": 1, "table": 2}.get(format_, 0) :]
        assert [line for line in body if "rejected" in line] == lines


def test_nothing_below_the_bar(scripted: Predict, images: Path) -> None:
    result = scripted("predict", images, "--min-confidence", 0.1, script=SCRIPT)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [row[5:] for row in tsv(result)] == [[""]] * 3


def test_a_bar_holds_for_a_file_too(scripted: Predict, images: Path, tmp_path: Path) -> None:
    file = tmp_path / "o.csv"
    result = scripted("predict", images, "--min-confidence", 1, "-o", file, script=SCRIPT)
    assert (result.exit_code, result.stdout) == (3, "")
    remark, rejected = result.stderr.splitlines()
    assert remark.endswith(f"Written to {file}.")
    assert rejected == "exprocr: 3 of 3 readings rejected: below --min-confidence 1.0"
    assert [line.split(",")[5] for line in file.read_text().splitlines()] == ["rejected"] * 4


@pytest.mark.parametrize("bad", ["missing", "broken"])
def test_what_cannot_be_read_wins_over_the_bar(scripted: Predict, images: Path, bad: str) -> None:
    if bad == "broken":
        (images / "11.png").write_bytes(b"no picture")
    paths = (images, images / "missing.png") if bad == "missing" else (images,)
    result = scripted("predict", *paths, "--min-confidence", 0.9, script=SCRIPT)
    assert result.exit_code == 1
    problem, rejected = result.stderr.splitlines()
    assert ".png: " in problem
    assert rejected == "exprocr: 1 of 3 readings rejected: below --min-confidence 0.9"


@pytest.mark.parametrize("options", [[], ["--by-value"], ["--n-best", "2"]])
def test_readings_that_are_not_proven_are_counted(
    scripted: Predict, images: Path, options: list[str]
) -> None:
    script = [("1+2", GUESS), ("3*4-5", SURE), ("1+2", GUESS)]
    result = scripted("predict", images, *options, script=script)
    assert result.exit_code == 0
    why = (
        "to be sure which value is the most probable"
        if "--by-value" in options
        else "for exact search; the best that were found are given"
    )
    assert result.stderr == f"2 images: too many likely readings {why}\n"
    quiet = scripted("-q", "predict", images, *options, script=script)
    assert (quiet.stdout, quiet.stderr) == (result.stdout, "")


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_decoders_that_prove_nothing_say_nothing(
    scripted: Predict, images: Path, decoder: str
) -> None:
    script = [("1+2", GUESS)] * 3
    result = scripted("predict", images, "--decoder", decoder, script=script)
    assert (result.exit_code, result.stderr) == (0, "")


def test_beam_search_is_never_less_probable(predict: Predict, images: Path) -> None:
    greedy, beam = predict(images), predict(images, "--decoder", "beam", "--beam-width", 20)
    for a, b in zip(tsv(greedy), tsv(beam), strict=True):
        assert float(b[3]) >= float(a[3])


@pytest.mark.parametrize("options", [["--n-best", "2"], ["--by-value"]])
def test_greedy_finds_one_text_and_no_model_is_loaded_to_say_so(
    options: list[str], tmp_path: Path
) -> None:
    args = ["predict", "--model", str(tmp_path / "no-model"), str(tmp_path), "--decoder", "greedy"]
    result = CliRunner().invoke(group, [*args, *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == (
        f"Error: {options[0]} expects --decoder auto, beam or exact, found greedy, which finds "
        "one text."
    )


def test_greedy_with_one_best_text(predict: Predict, images: Path) -> None:
    result = predict(images, "--decoder", "greedy", "--n-best", 1)
    assert (result.exit_code, len(tsv(result))) == (0, 3)


def test_further_texts_are_those_of_the_api(
    predict: Predict, images: Path, tiny_model: Path
) -> None:
    result = predict(images, "--n-best", 4, "--format", "json")
    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    expected = Recognizer.load(tiny_model, n_best=4).predict([row["path"] for row in rows])
    for row, one in zip(rows, expected, strict=True):
        assert [a["text"] for a in row["alternatives"]] == [a.text for a in one.alternatives]
        assert row["alternatives"][0]["text"] == row["text"]
        assert row["alternatives"][0]["probability"] == row["confidence"]
        assert [c["box"] for c in row["characters"]] == [list(c.box) for c in one.characters]
        assert [c["character"] for c in row["characters"]] == list(row["text"])
    assert max(len(row["alternatives"]) for row in rows) == 4
    columns = [5 + 3 * 3] * 3
    assert list(map(len, tsv(predict(images, "--n-best", 4)))) == columns


def test_columns_do_not_depend_on_how_many_texts_there_are(
    predict: Predict, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts").write_text("1+2\n3*4-5\n")
    result = predict(images, "--grammar", f"lexicon:{tmp_path / 'texts'}", "--n-best", 4)
    assert result.exit_code == 0
    rows = tsv(result)
    assert [len(row) for row in rows] == [14] * 3
    for row in rows:
        assert {row[1], row[5]} == {"1+2", "3*4-5"}
        assert row[8:] == [""] * 6


def test_by_value_the_probabilities_of_equal_values_are_added(
    scripted: Predict, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts").write_text("1+2\n2+1\n9-8\n")
    options = ("--grammar", f"lexicon:{tmp_path / 'texts'}", "--format", "json", "--n-best", 3)
    script = [("1+2", DOUBTFUL)] * 3
    by_text = scripted("predict", images, *options, script=script)
    by_value = scripted("predict", images, *options, "--by-value", script=script)
    row, value_row = (json.loads(r.stdout.splitlines()[0]) for r in (by_text, by_value))
    assert "uncovered" not in row
    assert value_row["uncovered"] == pytest.approx(0, abs=1e-9)
    probability = {a["text"]: a["probability"] for a in row["alternatives"]}
    assert value_row["text"] == "1+2"
    assert value_row["confidence"] == pytest.approx(probability["1+2"] + probability["2+1"])
    assert [a["value"] for a in value_row["alternatives"]] == [3, 1]


@pytest.mark.parametrize("grammar", ["level1", "digits", "expression", "regex:[0-9]+[+*-][0-9]+"])
def test_only_what_the_grammar_accepts_is_read(
    predict: Predict, images: Path, grammar: str
) -> None:
    result = predict(images, "--grammar", grammar, "--n-best", 3)
    assert result.exit_code == 0
    accepted = load_grammar(grammar, CHARSET).accepts
    texts = [text for row in tsv(result) for text in (row[1], row[5], row[8])]
    assert len(texts) == 9
    assert all(map(accepted, texts))


@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        ("level2", "unknown grammar; did you mean 'level1'?"),
        ("regex:[0-9", "grammar regex:[0-9: expected a regular expression"),
        ("regex:a+b", "expected characters of '()*+-0123456789', found 'a'"),
        ("lexicon:{}/none", "{}/none: expected a file with one text per line, found none"),
        ("lexicon:{}/texts", "{}/texts, line 2: expected characters of"),
        ("lexicon:{}", "{}: expected a file with one text per line, found a folder"),
    ],
)
@pytest.mark.parametrize("file", [[], ["--output", "{}/o.tsv"]])
def test_grammars_that_cannot_be_used(
    predict: Predict, images: Path, tmp_path: Path, grammar: str, said: str, file: list[str]
) -> None:
    (tmp_path / "texts").write_text("1+2\n3/4\n")
    args = [argument.format(tmp_path) for argument in ("--grammar", grammar, *file)]
    result = predict(images, *args, quiet=False)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("exprocr: ")
    assert said.format(tmp_path) in line
    assert not (tmp_path / "o.tsv").exists()


SHEET = [("34×7=238", 0.99), ("79×4=216", 0.99), ("112÷8=", 0.99)]


def read_sheet(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, images: Path, *args: object,
    sheet: list[tuple[str, float]] = SHEET,
) -> Result:  # fmt: skip
    def stream(_self: Recognizer, _sources: object) -> Iterator[Prediction]:
        for text, confidence in sheet:
            value, holds = outcome_of(text)
            yield Prediction(
                text=text, value=value, confidence=confidence, holds=holds, is_proven=True
            )

    monkeypatch.setattr(Recognizer, "stream", stream)
    return predict(images, *args)


@pytest.mark.parametrize("format_", ["tsv", "csv", "json", "table"])
def test_marking_a_worksheet(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, images: Path, format_: str
) -> None:
    args = ("--only-wrong", "--format", format_)
    result = read_sheet(predict, monkeypatch, images, *args)
    assert result.exit_code == 3
    assert result.stderr == "exprocr: 1 of 3 readings wrong, 1 unsure\n"
    assert "34×7" not in result.stdout
    for line in result.stdout.splitlines():
        if "79" in line:
            assert "wrong" in line
        if "112" in line:
            assert "unsure" in line
    assert result.stdout.count("wrong") == result.stdout.count("unsure") == 1


def test_only_wrong_lines_and_a_bar(
    predict: Predict, monkeypatch: pytest.MonkeyPatch, images: Path
) -> None:
    sheet = [("1+1=2", 0.5), ("1+1=3", 0.5), ("1+1=2", 0.99)]
    args = ("--only-wrong", "--min-confidence", 0.9)
    result = read_sheet(predict, monkeypatch, images, *args, sheet=sheet)
    assert result.exit_code == 3
    assert [row[1:2] + row[4:] for row in tsv(result)] == [
        ["1+1=2", "true", "unsure"],
        ["1+1=3", "false", "unsure"],
    ]
    right = read_sheet(predict, monkeypatch, images, *args, sheet=[("1+1=2", 0.99)] * 3)
    assert (right.exit_code, right.stdout, right.stderr) == (0, "", "")
    (images / "11.png").write_bytes(b"no picture")
    monkeypatch.undo()
    assert predict(images, *args).exit_code == 1


def test_the_contests_lines_are_for_every_image(predict: Predict, images: Path) -> None:
    result = predict(images, "--only-wrong", "--format", "contest")
    assert result.exit_code == 2
    assert "--only-wrong expects --format table, tsv, csv or json" in result.stderr
