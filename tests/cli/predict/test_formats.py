"""The formats of readings: with and without a bar, further texts, and narrow terminals."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from exprocr.cli.predict import formats
from exprocr.cli.predict.formats import Extras, prediction_writer
from exprocr.core.decode.decoder import Alternative
from exprocr.core.reading.prediction import Character, Prediction
from exprocr.core.text.expression import outcome_of
from exprocr.errors import DataError

FIRST_KEYS = [
    *("path", "text", "value", "confidence", "holds", "posterior", "grammar_mass", "proven"),
    "more_frames",
]


def alternatives(*texts: tuple[str, Fraction | None, float]) -> tuple[Alternative, ...]:
    return tuple(Alternative(text=t, value=v, probability=p) for t, v, p in texts)


def prediction(path: str, text: str, value: Fraction | None, confidence: float) -> Prediction:
    return Prediction(
        path=path,
        text=text,
        value=value,
        confidence=confidence,
        alternatives=alternatives((text, value, confidence)),
    )


READINGS = [
    prediction("0.png", "(7+5)+4", Fraction(16), 1.0),
    prediction('a,"\t\n.png', "1/3", Fraction(1, 3), 0.99999999),
    prediction("2.png", "1/0", None, 0.25),
    prediction("3.png", "", None, 0.00001),
    prediction("4.png", "3-10", Fraction(-7), 1.0000001),
]

# Three texts, two, and only the one that was read.
SEVERAL = [
    replace(
        prediction("0.png", "1+2", Fraction(3), 0.75),
        alternatives=alternatives(
            ("1+2", Fraction(3), 0.75), ("1/2", Fraction(1, 2), 0.19999), ("1/0", None, 0.05)
        ),
    ),
    replace(
        prediction("1.png", "7*7", Fraction(49), 0.5),
        alternatives=alternatives(("7*7", Fraction(49), 0.5), ("", None, 0.4)),
    ),
    prediction("2.png", "5", Fraction(5), 0.99995),
]


def written(format_: str, predictions: list[Prediction], **extras: Any) -> str:
    stream = io.StringIO(newline="")
    writer = prediction_writer(format_, stream, Extras(**extras))
    for one in predictions:
        writer.write(one)
    writer.close()
    return stream.getvalue()


def rows_of_csv(predictions: list[Prediction], **extras: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(written("csv", predictions, **extras), newline="")))


def json_rows(predictions: list[Prediction], **extras: Any) -> list[dict[str, Any]]:
    text = written("json", predictions, **extras)
    return [json.loads(line) for line in text.split("\n")[:-1]]


def test_tsv() -> None:
    assert written("tsv", READINGS) == (
        "0.png\t(7+5)+4\t16\t1.0000\t\n"
        'a,"\\t\\n.png\t1/3\t1/3\t0.9999\t\n'
        "2.png\t1/0\t\t0.2500\t\n"
        "3.png\t\t\t0.0000\t\n"
        "4.png\t3-10\t-7\t1.0000\t\n"
    )


def test_tsv_with_everything() -> None:
    assert written("tsv", SEVERAL, min_confidence=0.75, num_best=3) == (
        "0.png\t1+2\t3\t0.7500\t\t\t1/2\t1/2\t0.2\t1/0\t\t0.05\n"
        "1.png\t7*7\t49\t0.5000\t\trejected\t\t\t0.4\t\t\t\n"
        "2.png\t5\t5\t0.9999\t\t\t\t\t\t\t\t\n"
    )


def test_csv() -> None:
    header, *rows = rows_of_csv(READINGS)
    assert header == ["path", "text", "value", "confidence", "holds"]
    assert [row[0] for row in rows] == [reading.path for reading in READINGS]
    assert [row[1] for row in rows] == [reading.text for reading in READINGS]
    assert [row[2] for row in rows] == ["16", "1/3", "", "", "-7"]
    assert [float(row[3]) for row in rows] == [1, 0.9999, 0.25, 0, 1]


HOSTILE = ["a\rb", "a\nb\r\n", 'a"b,c', "\r", "a\u2028b\x85", "\udcff.png", " a", "-1+2", "=1"]


def test_a_row_is_a_row_whatever_is_in_it() -> None:
    some = [prediction(f"x/{text}", text, None, 1) for text in HOSTILE]
    assert [row[:2] for row in rows_of_csv(some)[1:]] == [[f"x/{text}", text] for text in HOSTILE]
    for format_ in ("tsv", "contest"):
        numbered = [replace(one, path=f"{i}.png") for i, one in enumerate(some)]
        assert len(written(format_, numbered).splitlines()) == len(HOSTILE)
    rows = written("tsv", some).splitlines()
    assert [row.count("\t") for row in rows] == [4] * len(HOSTILE)


def test_a_path_is_no_formula() -> None:
    names = ["=1+1.png", "+1.png", "-1.png", "@2x.png", "\t1.png", "\r1.png", "-", "0=.png"]
    some = [prediction(name, "-1+2", Fraction(1), 1) for name in names]
    guarded = ["./=1+1.png", "./+1.png", "./-1.png", "./@2x.png", "./\t1.png", "./\r1.png"]
    rows = rows_of_csv(some)[1:]
    assert [row[0] for row in rows] == [*guarded, *names[6:]]
    assert {row[1] for row in rows} == {"-1+2"}  # as it was read
    tsv = [line.split("\t")[0] for line in written("tsv", some).splitlines()]
    assert tsv == [*guarded[:4], "./\\t1.png", "./\\r1.png", *names[6:]]
    assert [row["path"] for row in json_rows(some)] == names


def test_csv_with_everything() -> None:
    assert rows_of_csv(SEVERAL, min_confidence=0.75, num_best=3) == [
        [
            *("path", "text", "value", "confidence", "holds", "rejected"),
            *("text_2", "value_2", "probability_2", "text_3", "value_3", "probability_3"),
        ],
        ["0.png", "1+2", "3", "0.7500", "", "", "1/2", "1/2", "0.2", "1/0", "", "0.05"],
        ["1.png", "7*7", "49", "0.5000", "", "rejected", "", "", "0.4", "", "", ""],
        ["2.png", "5", "5", "0.9999", "", "", *[""] * 6],
    ]


@pytest.mark.parametrize(
    ("extras", "number"),
    [
        ({}, 5),
        ({"min_confidence": 0.0}, 6),
        ({"only_wrong": True}, 6),
        ({"min_confidence": 0.0, "only_wrong": True}, 6),
        ({"num_best": 2}, 8),
        ({"num_best": 5}, 17),
        ({"min_confidence": 1.0, "num_best": 5}, 18),
    ],
)
def test_every_line_has_equally_many_columns(extras: dict[str, Any], number: int) -> None:
    tsv = written("tsv", READINGS + SEVERAL, **extras).splitlines()
    assert {len(line.split("\t")) for line in tsv} == {number}
    assert {len(row) for row in rows_of_csv(READINGS + SEVERAL, **extras)} == {number}


def test_the_bar_is_for_what_is_below_it() -> None:
    at_the_bar = [0.8999999, 0.9, 0.9000001]
    some = [prediction("x", "1", Fraction(1), confidence) for confidence in at_the_bar]
    marks = [row[5] for row in rows_of_csv(some, min_confidence=0.9)[1:]]
    assert marks == ["rejected", "", ""]
    assert not any(map(Extras(min_confidence=0.0).rejects, READINGS))
    assert [Extras(min_confidence=1.0).rejects(one) for one in READINGS] == [
        *(False, True, True, True, False)
    ]


def test_json_lines() -> None:
    rows = json_rows(READINGS)
    assert [list(row) for row in rows] == [[*FIRST_KEYS, "characters"]] * len(READINGS)
    assert [row["path"] for row in rows] == [reading.path for reading in READINGS]
    assert [row["value"] for row in rows] == [16, "1/3", None, None, -7]
    assert [row["confidence"] for row in rows] == [1.0, 0.99999999, 0.25, 0.00001, 1.0]


def test_json_has_the_parts_of_the_confidence() -> None:
    one = replace(READINGS[2], posterior=0.5, grammar_mass=0.5, is_proven=True)
    (row,) = json_rows([one])
    assert (row["posterior"], row["grammar_mass"], row["proven"]) == (0.5, 0.5, True)
    (row,) = json_rows([replace(one, is_proven=False, uncovered=0.125)])
    assert list(row) == [*FIRST_KEYS, "uncovered", "characters"]
    assert (row["proven"], row["uncovered"]) == (False, 0.125)


def test_json_with_everything() -> None:
    rows = json_rows(SEVERAL, min_confidence=0.75, num_best=3)
    assert [list(row) for row in rows] == [
        [*FIRST_KEYS, "rejected", "alternatives", "characters"]
    ] * len(SEVERAL)
    assert [row["rejected"] for row in rows] == [False, True, False]
    assert rows[0]["alternatives"] == [
        {"text": "1+2", "value": 3, "probability": 0.75, "holds": None},
        {"text": "1/2", "value": "1/2", "probability": 0.19999, "holds": None},
        {"text": "1/0", "value": None, "probability": 0.05, "holds": None},
    ]
    assert [len(row["alternatives"]) for row in rows] == [3, 2, 1]


def test_json_places_the_characters() -> None:
    place: dict[str, Any] = {
        "probability": 0.75,
        "alternative_probability": 0.125,
        "frames": (1, 2),
    }
    characters = (
        Character(text="7", x=12, box=(3, 0, 20, 60), alternative="1", **place),
        Character(text="+", x=30, box=(20, 0, 41, 60), alternative="", **place),
    )
    (row,) = json_rows([replace(READINGS[0], characters=characters)])
    assert row["characters"] == [
        {
            "character": "7",
            "x": 12,
            "box": [3, 0, 20, 60],
            "probability": 0.75,
            "alternative": "1",
            "alternative_probability": 0.125,
        },
        {
            "character": "+",
            "x": 30,
            "box": [20, 0, 41, 60],
            "probability": 0.75,
            "alternative": None,
            "alternative_probability": 0.125,
        },
    ]


def test_contest_lines_are_numbered_by_the_images() -> None:
    stream = io.StringIO()
    writer = prediction_writer("contest", stream, Extras())
    writer.write(prediction("d/04.png", "1/0", None, 0.5))
    writer.write(prediction("d/1.png", "3-10", Fraction(-7), 0.5))
    writer.skip("d/6.png")
    writer.close()
    assert stream.getvalue() == "\n3-10 -7\n\n\n1/0\n\n\n"


@pytest.mark.parametrize(
    ("extras", "lines"),
    [
        ({}, ["1+2 3", "7*7 49", "5 5"]),
        ({"min_confidence": 0.75}, ["1+2 3", "7*7 49\trejected", "5 5"]),
        ({"num_best": 2}, ["1+2 3\t1/2 1/2 0.2", "7*7 49\t  0.4", "5 5"]),
        (
            {"min_confidence": 0.75, "num_best": 3},
            [
                "1+2 3\t\t1/2 1/2 0.2\t1/0  0.05",
                "7*7 49\trejected\t  0.4",
                "5 5",
            ],
        ),
    ],
)
def test_contest_lines_with_more(extras: dict[str, Any], lines: list[str]) -> None:
    assert written("contest", SEVERAL, **extras).splitlines() == lines


@pytest.mark.parametrize(
    "path", ["a.png", "1a.png", "-1.png", "٣.png", "99999999.png", "-", ".png"]
)
def test_contest_numbers_only(path: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(path)}: "):
        formats.contest_number(path)


LONG_PATH = "a/long/path/to/some/folder/[bold]of/:smile:/images/12345.png"


def table(
    predictions: list[Prediction], columns: int, monkeypatch: pytest.MonkeyPatch, **extras: Any
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = written("table", predictions, **extras).splitlines()
    assert max(map(len, lines)) <= columns
    return lines


@pytest.mark.parametrize("columns", [40, 80])
def test_table_cuts_nothing(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one = prediction(LONG_PATH, "(7+5)+4", Fraction(16), 0.98765)
    header, _, *rows = table([one], columns, monkeypatch)
    assert header.split() == ["image", "text", "value", "confidence"]
    assert rows[0].split()[1:] == ["(7+5)+4", "16", "0.9876"]
    assert "".join(row.split()[0] for row in rows) == LONG_PATH


@pytest.mark.parametrize("columns", [40, 50, 80])
def test_table_with_a_bar_folds_only_the_path(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = prediction(LONG_PATH, "(7+5)+4", Fraction(16), 0.98765)
    two = prediction("12.png", "(7+5)-4", Fraction(8), 0.99)
    lines = table([one, two], columns, monkeypatch, min_confidence=0.99)
    header, _, *rows = lines
    assert header.split() == ["image", "text", "value", "confidence", "rejected"]
    assert rows[0].split()[1:] == ["(7+5)+4", "16", "0.9876", "rejected"]
    (accepted,) = (row for row in rows if "(7+5)-4" in row)
    assert accepted.split()[1:] == ["(7+5)-4", "8", "0.9900"]
    assert "".join(row.split()[0] for row in rows) == LONG_PATH + "12.png"


def test_table_with_a_bar_that_must_fold_more_cuts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text, value = "1" * 20 + "+" + "2" * 20, Fraction(3 * 11111111111111111111)
    one = prediction(LONG_PATH, text, value, 0.5)
    lines = table([one], 40, monkeypatch, min_confidence=0.99)
    (rule,) = (number for number, line in enumerate(lines) if line.startswith("───"))
    rows = lines[rule + 1 :]
    shown = "".join("".join(rows).split())
    assert sorted(shown) == sorted(f"{LONG_PATH}{text}{value}0.5000rejected")


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("extras", [{}, {"min_confidence": 0.75}])
def test_table_has_rows_for_further_texts(
    columns: int, extras: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, *rows = table(SEVERAL, columns, monkeypatch, num_best=3, **extras)
    mark = ["rejected"] if extras else []
    assert [row.split() for row in rows] == [
        ["0.png", "1+2", "3", "0.7500"],
        ["1/2", "1/2", "0.2"],
        ["1/0", "0.05"],
        ["1.png", "7*7", "49", "0.5000", *mark],
        ["0.4"],
        ["2.png", "5", "5", "0.9999"],
    ]
    # The probabilities stand below the confidences.
    assert len(rows[1].rstrip()) == rows[0].index("0.7500") + len("0.7500")


@pytest.mark.parametrize("format_", ["tsv", "csv", "table", "contest"])
def test_only_as_many_texts_as_were_asked_for(format_: str) -> None:
    alone = [replace(one, alternatives=one.alternatives[:1]) for one in SEVERAL]
    assert written(format_, SEVERAL) == written(format_, alone)
    assert written(format_, SEVERAL, num_best=2) != written(format_, alone, num_best=2)


def equation(path: str, text: str, confidence: float = 0.99) -> Prediction:
    value, holds = outcome_of(text)
    first = Alternative(text=text, value=value, probability=confidence, holds=holds)
    return Prediction(
        path=path, text=text, value=value, confidence=confidence, holds=holds, alternatives=(first,)
    )


WORKSHEET = [
    equation("0.png", "3.4×0.5=1.7"),
    equation("1.png", "79×4=216"),
    equation("2.png", "112÷8="),
    equation("3.png", "14÷3=4…2", 0.5),
    equation("4.png", "12+34=45", 0.5),
]


def test_whether_equations_hold() -> None:
    rows = rows_of_csv(WORKSHEET)
    assert [row[2:5] for row in rows] == [
        ["value", "confidence", "holds"],
        ["1.7", "0.9900", "true"],
        ["316", "0.9900", "false"],
        ["14", "0.9900", ""],
        ["14/3", "0.5000", "true"],
        ["46", "0.5000", "false"],
    ]
    tsv = [line.split("\t")[4] for line in written("tsv", WORKSHEET).splitlines()]
    assert tsv == [row[4] for row in rows[1:]]
    found = json_rows(WORKSHEET, num_best=2)
    assert [row["holds"] for row in found] == [True, False, None, True, False]
    assert [row["value"] for row in found] == ["1.7", 316, 14, "14/3", 46]
    assert [row["alternatives"][0]["holds"] for row in found] == [True, False, None, True, False]


@pytest.mark.parametrize(
    ("bar", "marks"),
    [
        (None, ["", "wrong", "unsure", "", "wrong"]),
        (0.9, ["", "wrong", "unsure", "unsure", "unsure"]),
    ],
)
def test_wrong_and_unsure_equations(bar: float | None, marks: list[str]) -> None:
    extras: dict[str, Any] = {"only_wrong": True, "min_confidence": bar}
    rows = rows_of_csv(WORKSHEET, **extras)
    assert [row[5] for row in rows] == ["mark", *marks]
    assert [row["mark"] for row in json_rows(WORKSHEET, **extras)] == marks
    assert all("rejected" not in row for row in json_rows(WORKSHEET, **extras))
    left_out = map(Extras(**extras).leaves_out, WORKSHEET)
    assert list(left_out) == [not mark for mark in marks]


def test_a_table_has_the_column_where_a_reading_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    header, _, *rows = table(WORKSHEET[:3], 80, monkeypatch)
    assert header.split() == ["image", "text", "value", "confidence", "holds"]
    assert [row.split()[4:] for row in rows] == [["true"], ["false"], []]
    header, *_ = table(WORKSHEET[2:3], 80, monkeypatch)
    assert header.split() == ["image", "text", "value", "confidence"]
    header, _, *rows = table(WORKSHEET[1:3], 80, monkeypatch, only_wrong=True)
    assert header.split() == ["image", "text", "value", "confidence", "holds", "mark"]
    assert [row.split()[4:] for row in rows] == [["false", "wrong"], ["unsure"]]
    two = replace(
        WORKSHEET[2], alternatives=(*WORKSHEET[2].alternatives, *WORKSHEET[1].alternatives)
    )
    header, _, *rows = table([two], 80, monkeypatch, num_best=2)
    assert header.split()[4:] == ["holds"]
    assert rows[1].split() == ["79×4=216", "316", "0.99", "false"]
