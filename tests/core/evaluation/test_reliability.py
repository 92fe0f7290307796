"""Calibration error, Brier score and risks: by hand, and against plain Python."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exprocr.core.evaluation.reliability import COVERAGES, NUM_BINS, Bin, Reliability, Risk

Readings = list[tuple[float, bool]]

HAND: Readings = [(0.9, True), (0.2, False), (0.6, True), (0.4, True), (0.8, False), (1.0, True)]

readings = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60)
distinct = st.lists(
    st.tuples(st.floats(0, 1), st.booleans()), max_size=60, unique_by=lambda reading: reading[0]
)


def about(value: float) -> Any:
    return pytest.approx(value)


def of(pairs: Readings) -> Reliability:
    reliability = Reliability()
    for confidence, correct in pairs:
        reliability.add(confidence, correct)
    return reliability


def test_by_hand() -> None:
    table = of(HAND).bins(3)
    assert table == [
        Bin(2, 0.2, 0.4, about(0.3), 0.5),  # (0.2, wrong), (0.4, right)
        Bin(2, 0.6, 0.8, about(0.7), 0.5),
        Bin(2, 0.9, 1.0, about(0.95), 1.0),
    ]
    assert of(HAND).ece(3) == pytest.approx((0.2 + 0.2 + 0.05) / 3)
    assert of(HAND).ece(1) == pytest.approx(abs(3.9 / 6 - 4 / 6))
    assert of(HAND).brier == pytest.approx((0.01 + 0.04 + 0.16 + 0.36 + 0.64 + 0) / 6)
    assert of(HAND).risks((1.0, 0.5, 0.2)) == [
        Risk(1.0, 6, 0.2, 2, about(1 / 3)),
        Risk(0.5, 3, 0.8, 1, about(1 / 3)),  # 1.0, 0.9 and the wrong 0.8
        Risk(0.2, 1, 1.0, 0, 0.0),
    ]


def test_no_readings() -> None:
    nothing = Reliability()
    assert nothing.bins() == []
    assert (nothing.ece(), nothing.brier) == (0.0, 0.0)
    assert nothing.risks() == [Risk(coverage, 0, 1.0, 0, 0.0) for coverage in COVERAGES]


@pytest.mark.parametrize("correct", [True, False])
def test_one_reading(correct: bool) -> None:
    one = of([(0.7, correct)])
    assert one.bins() == [Bin(1, 0.7, 0.7, 0.7, float(correct))]
    assert one.ece() == pytest.approx(0.3 if correct else 0.7)
    assert one.brier == pytest.approx(0.09 if correct else 0.49)
    # Less than all of one reading is none.
    rest = [Risk(coverage, 0, 1.0, 0, 0.0) for coverage in COVERAGES[1:]]
    assert one.risks() == [Risk(1.0, 1, 0.7, int(not correct), float(not correct)), *rest]


def test_equally_confident_readings_are_wrong_first() -> None:
    for order in ([True] * 3 + [False], [False] + [True] * 3):
        tied = of([(0.8, correct) for correct in order])
        assert [(risk.count, risk.num_wrong) for risk in tied.risks((1.0, 0.75, 0.25))] == [
            (4, 1), (3, 1), (1, 1),
        ]  # fmt: skip
        assert tied.risks((0.25,))[0].error_rate == 1.0
    mixed = of([(0.8, True), (0.9, False), (0.8, False), (0.95, True)])
    assert [risk.num_wrong for risk in mixed.risks((0.25, 0.5, 0.75, 1.0))] == [0, 1, 2, 2]


@pytest.mark.parametrize("num", [*range(1, 500, 37), 100, 180, 340])
@pytest.mark.parametrize("coverage", [*COVERAGES, 0.7, 0.57, 0.35, 0.29])  # in binary, 0.57 is less
def test_coverage_counts_are_exact(num: int, coverage: float) -> None:
    (risk,) = of([(i / num, True) for i in range(num)]).risks((coverage,))
    assert risk.count == math.floor(Fraction(str(coverage)) * num)
    assert risk.threshold == ((num - risk.count) / num if risk.count else 1.0)


def parts(pairs: Readings, num_bins: int) -> list[Readings]:
    """Divide what is sorted already into bins whose sizes differ by at most one."""
    size, larger = divmod(len(pairs), num_bins)
    sizes = [size + 1] * larger + [size] * (num_bins - larger)
    result, start = [], 0
    for length in sizes:
        result.append(pairs[start : start + length])
        start += length
    assert start == len(pairs)
    return [part for part in result if part]


@given(readings, st.integers(1, 20))
def test_bins_error_and_brier_in_plain_python(pairs: Readings, num_bins: int) -> None:
    ordered = sorted(pairs, key=lambda reading: reading[0])
    bins = of(pairs).bins(num_bins)
    expected_ece = 0.0
    for found, part in zip(bins, parts(ordered, num_bins), strict=True):
        confidence = math.fsum(c for c, _ in part) / len(part)
        accuracy = sum(correct for _, correct in part) / len(part)
        assert (found.count, found.low, found.high) == (len(part), part[0][0], part[-1][0])
        assert found.confidence == pytest.approx(confidence)
        assert found.accuracy == pytest.approx(accuracy)
        expected_ece += abs(confidence - accuracy) * len(part) / len(pairs)
    assert of(pairs).ece(num_bins) == pytest.approx(expected_ece, abs=1e-12)
    squares = [(confidence - correct) ** 2 for confidence, correct in pairs]
    brier = math.fsum(squares) / len(pairs) if pairs else 0.0
    assert of(pairs).brier == pytest.approx(brier, abs=1e-12)


@given(readings, st.lists(st.sampled_from((1.0, 0.99, 0.95, 0.9, 0.5, 0.25, 0.0)), max_size=4))
def test_risks_in_plain_python(pairs: Readings, coverages: list[float]) -> None:
    ordered = sorted(pairs, key=lambda reading: (-reading[0], reading[1]))
    found = of(pairs).risks(tuple(coverages))
    for risk, coverage in zip(found, coverages, strict=True):
        kept = ordered[: math.floor(Fraction(str(coverage)) * len(pairs))]
        wrong = sum(not correct for _, correct in kept)
        threshold = kept[-1][0] if kept else 1.0
        rate = about(wrong / len(kept) if kept else 0.0)
        assert risk == Risk(coverage, len(kept), threshold, wrong, rate)


@given(distinct, st.integers(0, 60))
def test_merging_and_order_change_nothing(pairs: Readings, cut: int) -> None:
    whole = of(pairs)
    assert of(pairs[:cut]) + of(pairs[cut:]) == whole
    backwards = of(pairs[cut:]) + of(pairs[:cut])
    assert backwards.risks() == whole.risks()
    assert [b.count for b in backwards.bins()] == [b.count for b in whole.bins()]
    assert backwards.ece() == pytest.approx(whole.ece(), abs=1e-12)
    assert backwards.brier == pytest.approx(whole.brier, abs=1e-12)


def test_merging_leaves_both_as_they_were() -> None:
    one, other = of(HAND[:2]), of(HAND[2:])
    assert sum([one, other], Reliability()) == of(HAND)
    assert (one, other) == (of(HAND[:2]), of(HAND[2:]))
    with pytest.raises(TypeError):
        _ = one + 1  # type: ignore[operator]


def test_what_is_calibrated_has_a_small_error_and_what_boasts_a_large_one() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)
    honest = Reliability(confidence.tolist(), (rng.random(20_000) < confidence).tolist())
    assert honest.ece() < 0.015
    assert len(honest.bins()) == NUM_BINS == 15
    boasting = Reliability((confidence**0.25).tolist(), honest.correct)
    # The mean of u ** (1/4) is 4/5, that of u 1/2, and every bin boasts.
    assert boasting.ece() == pytest.approx(0.3, abs=0.02)
