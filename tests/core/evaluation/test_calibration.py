"""Fitting the temperature: what a known process was scaled by is found again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exprocr.core.decode.decoder import Decoder, temper
from exprocr.core.decode.forward import text_log_probs
from exprocr.core.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    Calibration,
    calibrate,
)
from exprocr.core.evaluation.reliability import Reliability
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import load_grammar
from tests.support.ctc_oracle import brute_force, collapse, random_log_probs

CHARSET = Charset("1-2")

FloatArray = NDArray[np.float64]


def decoder_of(grammar: str, charset: Charset = CHARSET, **options: Any) -> Decoder:
    return Decoder(load_grammar(grammar, charset), **options)


def scaled(log_probs: FloatArray, factor: float) -> FloatArray:
    """Multiply logits, and make probabilities of them again."""
    logits = log_probs * factor
    result: FloatArray = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return result


def draw(log_probs: FloatArray, rng: np.random.Generator) -> list[str]:
    """Draw one text a sample from what the frames (T, N, C) say."""
    cumulated = np.exp(log_probs).cumsum(axis=2)
    paths = (rng.random(log_probs.shape[:2])[:, :, None] > cumulated).sum(axis=2)
    paths = np.minimum(paths, log_probs.shape[2] - 1)
    return [CHARSET.decode(collapse(tuple(path))[0]) for path in paths.T.tolist()]


def process(seed: int, num_samples: int = 4000) -> tuple[FloatArray, list[str]]:
    """Return frames that are right about themselves, some sure and some not, and texts."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.5, 8.0, size=num_samples)[None, :, None]
    logits = rng.normal(size=(5, num_samples, CHARSET.num_classes)) * spread
    log_probs = scaled(logits, 1.0)
    return log_probs, draw(log_probs, rng)


def reliability_of(log_probs: FloatArray, texts: list[str], decoder: Decoder) -> Reliability:
    """Read, and compare."""
    result = Reliability()
    for reading, text in zip(decoder(log_probs), texts, strict=True):
        best = reading.alternatives[0]
        result.add(best.probability, best.text == text)
    return result


def test_the_process_is_what_it_claims() -> None:
    log_probs = np.repeat(random_log_probs(3, 4, 1, CHARSET.num_classes), 20_000, axis=1)
    texts = draw(log_probs, np.random.default_rng(0))
    for text, alignments in brute_force(log_probs[:, 0]).items():
        share = texts.count(CHARSET.decode(text)) / len(texts)
        assert share == pytest.approx(alignments.prob, abs=0.015)


@pytest.mark.parametrize("grammar", ["none", pytest.param("digits", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "factor", [2.0, *(pytest.param(one, marks=pytest.mark.slow) for one in (1.0, 0.5))]
)
def test_the_factor_is_found_again(factor: float, grammar: str) -> None:
    true, texts = process(seed=1)
    boasting = scaled(true, factor)
    before = reliability_of(boasting, texts, decoder_of(grammar))
    calibration = calibrate([boasting], texts, decoder_of(grammar))
    assert calibration.temperature == pytest.approx(factor, rel=0.06)
    assert calibration.reliability.ece() < 0.025
    assert factor == 1.0 or before.ece() > 3 * calibration.reliability.ece()
    # It holds for other images of the process too, read as a recognizer reads.
    others, other_texts = process(seed=2)
    decoder = decoder_of(grammar, temperature=calibration.temperature)
    after = reliability_of(scaled(others, factor), other_texts, decoder)
    assert after.ece() < 0.03
    assert 0.1 < np.mean(after.correct) < 0.8


def log_loss(
    log_probs: FloatArray, readings: list[str], texts: list[str], temperature: float
) -> float:
    """Compute the mean log loss from the definition, with Platt's targets."""
    correct = [reading == text for reading, text in zip(readings, texts, strict=True)]
    right = (sum(correct) + 1) / (sum(correct) + 2)
    wrong = 1 / (len(correct) - sum(correct) + 2)
    ids = [CHARSET.encode(reading) for reading in readings]
    scores = text_log_probs(scaled(log_probs, 1 / temperature), ids)
    losses = [
        -(target * score + (1 - target) * np.log1p(-min(np.exp(score), 1 - 1e-12)))
        for score, target in zip(
            scores.tolist(), (right if c else wrong for c in correct), strict=True
        )
    ]
    return float(np.mean(losses))


@pytest.mark.parametrize(("seed", "factor"), [(10, 0.4), (11, 0.8), (12, 1.0), (13, 1.6), (14, 3)])
def test_no_temperature_is_better(seed: int, factor: float) -> None:
    true, texts = process(seed, num_samples=150)
    log_probs = scaled(true, factor)
    decoder = decoder_of("none")
    readings = [reading.alternatives[0].text for reading in decoder(log_probs)]
    fitted = calibrate([log_probs], texts, decoder).temperature
    assert MIN_TEMPERATURE <= fitted <= MAX_TEMPERATURE
    grid = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 150).tolist()
    losses = [log_loss(log_probs, readings, texts, temperature) for temperature in grid]
    assert log_loss(log_probs, readings, texts, fitted) <= min(losses) + 1e-6
    assert fitted == pytest.approx(grid[int(np.argmin(losses))], rel=0.03)


def test_confidences_are_those_of_a_recognizer_at_the_temperature() -> None:
    true, texts = process(seed=5, num_samples=60)
    log_probs = scaled(true, 1.7)
    calibration = calibrate([log_probs], texts, decoder_of("digits"))
    decoder = decoder_of("digits", temperature=calibration.temperature)
    expected = reliability_of(log_probs, texts, decoder)
    assert calibration.reliability.correct == expected.correct
    assert calibration.reliability.confidences == pytest.approx(expected.confidences, rel=1e-9)


def test_neither_batches_nor_the_decoders_temperature_matter() -> None:
    log_probs, texts = process(seed=6, num_samples=50)
    whole = calibrate([log_probs], texts, decoder_of("none"))
    cut = calibrate(
        [log_probs[:, :7], log_probs[:, 7:7], log_probs[:, 7:]],
        texts,
        decoder_of("none", temperature=3.0),
    )
    assert cut.temperature == pytest.approx(whole.temperature, rel=1e-6)
    assert cut.reliability.correct == whole.reliability.correct
    assert cut.reliability.confidences == pytest.approx(whole.reliability.confidences, rel=1e-6)


def test_all_right_is_no_certainty() -> None:
    log_probs, _ = process(seed=7, num_samples=30)
    decoder = decoder_of("none")
    texts = [reading.alternatives[0].text for reading in decoder(log_probs)]
    calibration = calibrate([log_probs], texts, decoder)
    assert calibration.reliability.correct == [True] * 30
    # The temperature falls, but not as far as it would go, which thirty right readings do not
    # justify.
    assert 1.1 * MIN_TEMPERATURE < calibration.temperature < 1.0
    # As many as there are: the rule of succession, (n + 1) / (n + 2).
    frame = np.log([[[0.1, 0.55, 0.2, 0.15]]])
    for num in (1, 5, 20):
        calibration = calibrate([np.repeat(frame, num, axis=1)], ["1"] * num, decoder)
        expected = pytest.approx((num + 1) / (num + 2), rel=1e-3)
        assert calibration.reliability.confidences == [expected] * num


def test_all_wrong_is_as_unsure_as_can_be() -> None:
    log_probs, _ = process(seed=8, num_samples=30)
    calibration = calibrate([log_probs], ["?"] * 30, decoder_of("none"))
    assert calibration.reliability.correct == [False] * 30
    assert calibration.temperature > 0.99 * MAX_TEMPERATURE
    assert max(calibration.reliability.confidences) < 0.6


@pytest.mark.parametrize("batches", [[], [np.zeros((5, 0, 4))]])
def test_no_images(batches: list[FloatArray]) -> None:
    assert calibrate(batches, [], decoder_of("none")) == Calibration(1.0, Reliability())


def test_images_in_which_nothing_fits_are_left_out() -> None:
    charset = Charset("0123456789+-*()")
    decoder = decoder_of("level1", charset)
    wide = random_log_probs(0, 14, 20, charset.num_classes, spread=4.0)
    narrow = random_log_probs(1, 4, 3, charset.num_classes)  # five characters at least
    texts = [reading.alternatives[0].text for reading in decoder(wide)]
    texts[::3] = ["1+1+1"] * len(texts[::3])
    assert all(reading.alternatives[0].text == "" for reading in decoder(narrow))
    alone = calibrate([wide], texts, decoder)
    assert 0 < sum(alone.reliability.correct) < 20
    lost = ["", "1+2*3", "4"]
    batches = [narrow, wide[:, :4], narrow, wide[:, 4:]]
    between = calibrate(batches, [*lost, *texts[:4], *lost, *texts[4:]], decoder)
    assert between.temperature == pytest.approx(alone.temperature, rel=1e-6)
    assert between.reliability.correct == alone.reliability.correct
    assert calibrate([narrow], lost, decoder) == Calibration(1.0, Reliability())


def test_what_is_impossible_has_no_confidence_whatever_the_temperature() -> None:
    log_probs, texts = process(seed=9, num_samples=20)
    certain = np.full((5, 1, 4), -np.inf)
    certain[:, :, CHARSET.encode("-")[0]] = 0.0
    batch = np.concatenate([certain, log_probs], axis=1)
    # Right by chance, and wrong: neither makes the loss infinite.
    for truth in ("1", "-"):
        calibration = calibrate([batch], [truth, *texts], decoder_of("digits"))
        assert calibration.reliability.confidences[0] == 0.0
        assert MIN_TEMPERATURE < calibration.temperature < MAX_TEMPERATURE


def test_frames_that_are_certain() -> None:
    with np.errstate(divide="ignore"):
        frames = np.log(np.eye(4)[[1, 0, 2, 3, 1]])[:, None, :]
    log_probs = np.repeat(frames, 4, axis=1)
    calibration = calibrate([log_probs], ["1-21", "1-21", "1-21", "2"], decoder_of("none"))
    assert calibration.reliability == Reliability([1.0] * 4, [True, True, True, False])
    assert MIN_TEMPERATURE <= calibration.temperature <= MAX_TEMPERATURE


@given(st.integers(0, 2**32), st.floats(0.1, 10.0))
def test_tempering_divides_logits(seed: int, temperature: float) -> None:
    log_probs = random_log_probs(seed, 4, 3, 5, spread=5.0)
    found = temper(log_probs, temperature)
    np.testing.assert_allclose(found, scaled(log_probs, 1 / temperature), atol=1e-9)
    np.testing.assert_allclose(np.exp(found).sum(axis=2), 1.0)
    # Dividing twice is dividing by the product.
    np.testing.assert_allclose(temper(found, 1 / temperature), log_probs, atol=1e-9)
    assert (found.argmax(axis=2) == log_probs.argmax(axis=2)).all()
