"""Edit counts against rapidfuzz, sums against their parts, and an example worked by hand."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from exprocr.core.evaluation.metrics import (
    NO_SCORE,
    EditOp,
    Evaluation,
    align,
    edit_operations,
    is_as_good,
    score,
)
from exprocr.core.text.expression import value_of

texts = st.text(alphabet="12+*(", max_size=9)
pairs = st.lists(st.tuples(texts, texts), max_size=12)


def evaluation_of(readings: list[tuple[str, str]]) -> Evaluation:
    evaluation = Evaluation()
    for truth, read in readings:
        evaluation.add(truth, value_of(truth), read, value_of(read))
    return evaluation


@given(texts, texts)
def test_alignment_is_minimal_and_complete(truth: str, read: str) -> None:
    alignment = align(truth, read)
    assert "".join(t for t, _ in alignment) == truth
    assert "".join(r for _, r in alignment) == read
    operations = edit_operations(truth, read)
    assert [(op.truth_char, op.read_char) for op in operations] == [
        (t, r) for t, r in alignment if t != r
    ]
    assert len(operations) == Levenshtein.distance(truth, read)


@given(texts, texts)
def test_kinds(truth: str, read: str) -> None:
    kinds = Counter(op.kind for op in edit_operations(truth, read))
    assert kinds["insert"] - kinds["delete"] == len(read) - len(truth)
    for kind, truth_char, read_char in edit_operations(truth, read):
        assert (len(truth_char), len(read_char)) == {
            "substitute": (1, 1),
            "delete": (1, 0),
            "insert": (0, 1),
        }[kind]


@pytest.mark.parametrize(
    ("truth", "read", "operations"),
    [
        ("", "", []),
        ("1+2", "1+2", []),
        ("1+2", "1+7", [EditOp("substitute", "2", "7")]),
        ("1+2", "12", [EditOp("delete", "+", "")]),
        ("12", "1+2", [EditOp("insert", "", "+")]),
        ("", "1", [EditOp("insert", "", "1")]),
        ("1", "", [EditOp("delete", "1", "")]),
        ("(1+2)", "1*2)3", [("delete", "(", ""), ("substitute", "+", "*"), ("insert", "", "3")]),
        # Several alignments are minimal here; the choice must not change.
        ("11", "1", [EditOp("delete", "1", "")]),
        ("12", "31", [("substitute", "1", "3"), ("substitute", "2", "1")]),
    ],
)
def test_operations(truth: str, read: str, operations: list[EditOp]) -> None:
    assert edit_operations(truth, read) == operations


@given(pairs)
def test_counts_against_rapidfuzz(readings: list[tuple[str, str]]) -> None:
    evaluation = evaluation_of(readings)
    distances = [Levenshtein.distance(truth, read) for truth, read in readings]
    assert evaluation.num_edits == sum(distances) == evaluation.confusions.total()
    assert evaluation.num_chars == sum(len(truth) for truth, _ in readings)
    normalized = sum(d / max(len(t), 1) for d, (t, _) in zip(distances, readings, strict=True))
    assert evaluation.sum_normalized_edit_distance == pytest.approx(normalized)
    assert evaluation.num_exact == distances.count(0)
    assert evaluation.num_exact == evaluation.num_both <= evaluation.num_value
    by_kind = {"insertions": 0, "deletions": 0, "substitutions": 0}
    for (truth_char, read_char), count in evaluation.confusions.items():
        kind = "insertions" if not truth_char else "substitutions" if read_char else "deletions"
        by_kind[kind] += count
    assert by_kind == {kind: getattr(evaluation, kind) for kind in by_kind}


@given(pairs, st.integers(0, 12))
def test_merged_parts_equal_the_whole(readings: list[tuple[str, str]], cut: int) -> None:
    first, second = evaluation_of(readings[:cut]), evaluation_of(readings[cut:])
    merged, whole = first + second, evaluation_of(readings)
    assert merged.sum_normalized_edit_distance == pytest.approx(whole.sum_normalized_edit_distance)
    # Floats add up in another order; everything else is equal to the last digit.
    merged.sum_normalized_edit_distance = whole.sum_normalized_edit_distance
    assert merged == whole


def test_merging_leaves_the_operands_alone() -> None:
    first, second = evaluation_of([("12", "13")]), evaluation_of([("12", "13"), ("1", "")])
    merged = first + second
    merged.add("2", Fraction(2), "7", Fraction(7))
    assert first == evaluation_of([("12", "13")])
    assert second == evaluation_of([("12", "13"), ("1", "")])
    assert merged.confusions == {("2", "3"): 2, ("1", ""): 1, ("2", "7"): 1}


def test_worked_example() -> None:
    evaluation = evaluation_of(
        [
            ("(1+2)*3", "(1+2)*3"),  # right
            ("2*3", "3*2"),  # two substitutions, the same value
            ("1+2", "1+"),  # one deletion, no value
            ("7-1", "71-1"),  # one insertion, another value
            ("1/0", "1/0"),  # no value, but the text is right
            ("1/0", "2/0"),  # no value, and the text is wrong
        ]
    )
    assert evaluation.num_images == 6
    assert evaluation.num_exact == 2
    assert evaluation.num_value == 3
    assert evaluation.num_both == 2
    assert evaluation.num_chars == 22
    assert (evaluation.insertions, evaluation.deletions, evaluation.substitutions) == (1, 1, 3)
    assert evaluation.exact_match == pytest.approx(2 / 6)
    assert evaluation.value_match == pytest.approx(3 / 6)
    assert evaluation.contest_score == pytest.approx(2 / 6)
    assert evaluation.cer == pytest.approx(5 / 22)
    assert evaluation.normalized_edit_distance == pytest.approx((2 / 3 + 3 * 1 / 3) / 6)
    assert evaluation.top_confusions(3) == [(("", "1"), 1), (("1", "2"), 1), (("2", ""), 1)]


def test_value_of_a_label_that_contradicts_its_text() -> None:
    evaluation = Evaluation()
    evaluation.add("1+2", Fraction(4), "1+2", Fraction(3))
    assert (evaluation.num_exact, evaluation.num_value, evaluation.num_both) == (1, 0, 0)
    evaluation.add("1+2", Fraction(4), "2+2", Fraction(4))
    assert (evaluation.num_exact, evaluation.num_value, evaluation.num_both) == (1, 1, 0)


def test_two_undefined_values_are_not_the_same_value() -> None:
    evaluation = Evaluation()
    evaluation.add("1/0", None, "2/0", None)
    evaluation.add("1+1", Fraction(2), "1+", None)
    assert evaluation.num_value == 0


def test_no_images() -> None:
    evaluation = Evaluation()
    rates = ("exact_match", "value_match", "contest_score", "cer", "normalized_edit_distance")
    assert [getattr(evaluation, rate) for rate in rates] == [0.0] * 5
    assert evaluation.top_confusions(5) == []
    assert sum([Evaluation(), Evaluation()], Evaluation()) == Evaluation()


def test_empty_truth_stays_finite() -> None:
    evaluation = Evaluation()
    evaluation.add("", None, "12", Fraction(12))
    assert evaluation.insertions == 2
    assert evaluation.normalized_edit_distance == 2.0
    assert evaluation.cer == 0.0


def test_top_confusions_order() -> None:
    evaluation = evaluation_of([("1", "7"), ("1", "7"), ("4", "9"), ("3", "8"), ("", "5")])
    expected = [(("1", "7"), 2), (("", "5"), 1), (("3", "8"), 1), (("4", "9"), 1)]
    assert evaluation.top_confusions(10) == expected
    assert evaluation.top_confusions(2) == expected[:2]
    assert evaluation.top_confusions(0) == []


@pytest.mark.parametrize(
    ("num_right", "most_right", "num_images", "expected"),
    [
        (5, 5, 10, True),
        (9, 10, 10, False),  # one standard error: 0.087 of 10
        (26, 27, 30, True),  # 0.060 of 30
        (25, 27, 30, False),
        (8971, 9000, 10_000, True),  # 0.0030 of 10,000
        (8969, 9000, 10_000, False),
        (0, 0, 7, True),
        (6, 5, 7, True),
    ],
)
def test_a_share_is_as_good_as_the_best_within_a_standard_error(
    num_right: int, most_right: int, num_images: int, expected: bool
) -> None:
    best = most_right / num_images
    assert is_as_good(num_right / num_images, best, num_images) is expected
    sample = [1] * (most_right + 1) + [0] * (num_images - most_right + 1)
    error = statistics.pstdev(sample) / math.sqrt(num_images)
    assert (num_right / num_images > best - error) is expected


def test_anything_is_as_good_as_nothing() -> None:
    assert is_as_good(0.0, -1.0, 3)


def test_the_best_score_has_more_exact_matches_then_the_lower_loss() -> None:
    better_first = [
        (0.9, 0.3),
        (0.9, 0.4),
        (0.9, math.inf),
        (0.5, 0.1),
        (0.5, math.nan),
        (0.0, 9.0),
    ]
    scores = [score(*evaluation) for evaluation in better_first]
    assert sorted(set(scores), reverse=True) == scores
    assert score(0.5, None) == score(0.5, math.nan)
    assert min(scores) > NO_SCORE == score(-1.0, 0.0)
