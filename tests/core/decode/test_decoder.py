"""Readings: what probabilities mean, at any temperature."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exprocr.choices import DECODERS
from exprocr.core.decode.characters import spot_characters
from exprocr.core.decode.decoder import Decoder, Reading, temper
from exprocr.core.decode.forward import align
from exprocr.core.decode.hypothesis import to_labels
from exprocr.core.text.charset import Charset
from exprocr.core.text.expression import value_of
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.errors import ConfigError
from tests.support.ctc_oracle import brute_force, collapse, from_probs, random_log_probs

CHARSET = Charset("1-2")
GRAMMARS = ("none", "digits", "expression", "regex:[12]-[12]|2", "regex:1?")
SEARCHES = [(method, num) for method in ("auto", "exact", "beam") for num in (1, 4)]
TEMPERATURES = (0.4, 1.0, 1.3, 3.0)

FloatArray = NDArray[np.float64]
Texts = dict[str, float]

seeds = st.integers(0, 2**32)
spreads = st.sampled_from((0.5, 1.5, 4.0))


def decoder_of(grammar: str, **options: Any) -> Decoder:
    return Decoder(load_grammar(grammar, CHARSET), **options)


def read(log_probs: FloatArray, grammar: str, **options: Any) -> Reading:
    (reading,) = decoder_of(grammar, **options)(log_probs)
    return reading


def accepted(log_probs: FloatArray, grammar: str) -> Texts:
    """Sum every path of one sample (T, 1, C) by its text; leave out what is not accepted."""
    accepts = load_grammar(grammar, CHARSET).accepts
    found = {CHARSET.decode(ids): a.prob for ids, a in brute_force(log_probs[:, 0]).items()}
    return {text: prob for text, prob in found.items() if accepts(text)}


def tempered(log_probs: FloatArray, temperature: float) -> FloatArray:
    powers = np.exp(log_probs) ** (1 / temperature)
    result: FloatArray = np.log(powers / powers.sum(axis=2, keepdims=True))
    return result


@given(
    seeds, spreads, st.sampled_from(GRAMMARS), st.sampled_from(TEMPERATURES),
    st.sampled_from([("greedy", 1), *SEARCHES]),
)  # fmt: skip
def test_probabilities_against_every_path(
    seed: int, spread: float, grammar: str, temperature: float, search: tuple[str, int]
) -> None:
    log_probs = random_log_probs(seed, 5, 1, CHARSET.num_classes, spread)
    reading = read(
        log_probs, grammar, method=search[0], num_best=search[1], temperature=temperature,
        beam_width=100,
    )  # fmt: skip
    probs = accepted(tempered(log_probs, temperature), grammar)
    mass = sum(probs.values())
    best = reading.alternatives[0]
    assert reading.grammar_mass == pytest.approx(mass, rel=1e-9)
    assert reading.posterior == pytest.approx(probs[best.text] / mass, rel=1e-9)
    for alternative in reading.alternatives:
        assert alternative.probability == pytest.approx(probs[alternative.text], rel=1e-9)
        assert alternative.value == value_of(alternative.text)
    # The confidence is what both say together.
    assert best.probability == pytest.approx(reading.posterior * reading.grammar_mass, rel=1e-9)
    assert reading.uncovered is None


@given(
    seeds, spreads, st.sampled_from(GRAMMARS), st.sampled_from(SEARCHES),
    st.sampled_from(TEMPERATURES),
)  # fmt: skip
def test_texts_are_chosen_at_temperature_1(
    seed: int, spread: float, grammar: str, search: tuple[str, int], temperature: float
) -> None:
    log_probs = random_log_probs(seed, 5, 1, CHARSET.num_classes, spread)
    method, num_best = search
    reading = read(
        log_probs, grammar, method=method, num_best=num_best, temperature=temperature,
        beam_width=100,
    )  # fmt: skip
    probs = accepted(log_probs, grammar)
    ranked = sorted(probs, key=lambda text: -probs[text])[:num_best]
    texts = [alternative.text for alternative in reading.alternatives]
    assert texts[0] == ranked[0]
    assert set(texts) == set(ranked)
    assert len(texts) == len(ranked)
    # Those after the first are in the order of what is said of them.
    rest = [alternative.probability for alternative in reading.alternatives[1:]]
    assert rest == sorted(rest, reverse=True)
    assert sum(rest) + reading.alternatives[0].probability <= 1 + 1e-9
    assert reading.is_proven or method == "beam"


def test_a_temperature_changes_probabilities_and_no_text() -> None:
    # "1" has 0.64 at temperature 1, though the path of blanks is the best one; sharpened by
    # a temperature of 0.2, the blanks have nearly all.
    log_probs = from_probs([[0.6, 0.4, 0.0, 0.0]] * 2)
    sharp = 0.6**5 / (0.6**5 + 0.4**5)
    for temperature, blank in ((1.0, 0.6), (0.2, sharp)):
        first, second = read(log_probs, "none", num_best=2, temperature=temperature).alternatives
        assert (first.text, second.text) == ("1", "")
        assert second.probability == pytest.approx(blank**2)
        assert first.probability == pytest.approx(1 - blank**2)


def test_a_lower_temperature_is_surer() -> None:
    log_probs = random_log_probs(3, 5, 1, CHARSET.num_classes, spread=4.0)
    confidences = [
        read(log_probs, "none", temperature=temperature).alternatives[0].probability
        for temperature in (3.0, 2.0, 1.0, 0.5, 0.3)
    ]
    assert confidences == sorted(confidences)
    assert confidences[-1] > 2 * confidences[0]


@pytest.mark.parametrize("options", [{}, {"num_best": 3}, {"by_value": True}, {"method": "beam"}])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_nothing_fits(options: dict[str, Any], temperature: float) -> None:
    """Three characters and a blank between two equal ones do not fit into three frames."""
    for grammar in ("regex:1-12", "regex:112"):
        log_probs = random_log_probs(0, 3, 2, CHARSET.num_classes)
        decoder = decoder_of(grammar, temperature=temperature, **options)
        for reading in decoder(log_probs):
            (nothing,) = reading.alternatives
            assert (nothing.text, nothing.value, nothing.probability) == ("", None, 0.0)
            assert (reading.posterior, reading.grammar_mass) == (0.0, 0.0)
            assert reading.characters == ()
        long_enough = decoder(random_log_probs(0, 4, 2, CHARSET.num_classes))
        assert all(reading.alternatives[0].probability > 0 for reading in long_enough)


@pytest.mark.parametrize("by_value", [False, True])
@pytest.mark.parametrize("method", ["auto", "exact", "beam"])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 5.0])
def test_what_is_impossible_is_impossible_at_any_temperature(
    temperature: float, method: str, by_value: bool
) -> None:
    log_probs = from_probs([[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    for grammar in ("digits", "expression", "regex:1|2"):
        reading = read(
            log_probs, grammar, method=method, by_value=by_value, temperature=temperature
        )
        assert (reading.posterior, reading.grammar_mass) == (0.0, 0.0)
        assert reading.alternatives[0].probability == 0.0
    reading = read(log_probs, "none", method=method, by_value=by_value, temperature=temperature)
    assert (reading.alternatives[0].text, reading.alternatives[0].probability) == ("--", 1.0)


def test_no_samples() -> None:
    for options in ({}, {"by_value": True}, {"num_best": 3}):
        assert decoder_of("none", **options)(np.zeros((5, 0, CHARSET.num_classes))) == []


@pytest.mark.parametrize("shape", [(5, 4), (0, 2, 4), (5, 2, 0)])
def test_no_frames(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="log_probs: expected"):
        decoder_of("none")(np.zeros(shape))


def test_readings_are_those_of_each_sample_alone() -> None:
    log_probs = random_log_probs(1, 6, 5, CHARSET.num_classes, spread=3.0)
    for options in ({}, {"num_best": 3}, {"by_value": True}, {"method": "greedy"}):
        decoder = decoder_of("expression", temperature=1.4, **options)
        together = decoder(log_probs)
        assert len({reading.alternatives[0].text for reading in together}) > 1
        for n, reading in enumerate(together):
            (alone,) = decoder(log_probs[:, [n]])
            assert alone.alternatives[0].text == reading.alternatives[0].text
            assert alone.posterior == pytest.approx(reading.posterior, rel=1e-9)
            spots = [(c.label, c.first, c.last, c.spike) for c in reading.characters]
            assert [(c.label, c.first, c.last, c.spike) for c in alone.characters] == spots


@given(seeds, spreads, st.sampled_from(GRAMMARS), st.sampled_from((0.5, 1.0, 2.0)))
def test_characters_are_those_of_the_best_alignment(
    seed: int, spread: float, grammar: str, temperature: float
) -> None:
    log_probs = random_log_probs(seed, 5, 1, CHARSET.num_classes, spread)
    reading = read(log_probs, grammar, temperature=temperature)
    frames = tempered(log_probs, temperature)
    ids = CHARSET.encode(reading.alternatives[0].text)
    path = align(frames, [ids])[:, 0].tolist()
    text, runs = collapse(tuple(path))
    assert list(text) == ids == [character.label for character in reading.characters]
    assert [(c.first, c.last) for c in reading.characters] == list(runs)
    for character in reading.characters:
        rows = frames[character.first : character.last + 1, 0, character.label]
        assert frames[character.spike, 0, character.label] == rows.max()
        assert character.alternative != character.label
    # Their probabilities are those at the temperature.
    ((*spots,),) = spot_characters(frames, *to_labels([tuple(ids)]), np.array(path)[:, None])
    for character, spot in zip(reading.characters, spots, strict=True):
        found = (character.probability, character.alternative_probability)
        assert found == pytest.approx((spot.probability, spot.alternative_probability), rel=1e-9)
    for one, other in itertools.pairwise(reading.characters):
        assert one.last < other.first


def by_value(probs: Texts) -> list[tuple[float, Hashable, str]]:
    """Group texts by value: probability, value and likeliest text, the most probable first."""
    groups: defaultdict[Hashable, list[str]] = defaultdict(list)
    for text in probs:
        value = value_of(text)
        groups[text if value is None else value].append(text)
    ranked = [
        (sum(probs[text] for text in texts), key, max(texts, key=probs.__getitem__))
        for key, texts in groups.items()
    ]
    return sorted(ranked, key=lambda item: -item[0])


@given(
    seeds, spreads, st.sampled_from(("regex:[12]-[12]|[12]", "regex:2?1?-?(2|11)")),
    st.sampled_from(TEMPERATURES), st.integers(1, 5),
)  # fmt: skip
def test_by_value_the_confidence_is_the_values(
    seed: int, spread: float, grammar: str, temperature: float, num_best: int
) -> None:
    log_probs = random_log_probs(seed, 5, 1, CHARSET.num_classes, spread)
    reading = read(log_probs, grammar, temperature=temperature, by_value=True, num_best=num_best)
    probs = accepted(tempered(log_probs, temperature), grammar)
    expected = by_value(probs)[:num_best]
    assert [alternative.text for alternative in reading.alternatives] == [
        text for _, _, text in expected
    ]
    for alternative, (prob, value, text) in zip(reading.alternatives, expected, strict=True):
        assert alternative.probability == pytest.approx(prob, rel=1e-6)
        assert alternative.value == (None if value == text else value)
    mass = sum(probs.values())
    best = reading.alternatives[0]
    assert reading.grammar_mass == pytest.approx(mass, rel=1e-9)
    assert reading.posterior == pytest.approx(expected[0][0] / mass, rel=1e-6)
    assert best.probability == pytest.approx(reading.posterior * reading.grammar_mass, rel=1e-6)
    assert reading.uncovered == pytest.approx(0.0, abs=1e-6)
    assert "".join(CHARSET.decode([c.label]) for c in reading.characters) == best.text


def test_a_value_can_beat_the_most_probable_text() -> None:
    rows = [[0.0, 0.5, 0.0, 0.5], [0.0, 0.0, 1.0, 0.0], [0.0, 0.3, 0.0, 0.7]]
    log_probs = from_probs(rows)  # 1-1 0.15, 1-2 0.35, 2-1 0.15, 2-2 0.35
    text = read(log_probs, "regex:[12]-[12]", num_best=4)
    assert text.alternatives[0].probability == pytest.approx(0.35)
    value = read(log_probs, "regex:[12]-[12]", by_value=True, num_best=3)
    found = [(alternative.text, alternative.value) for alternative in value.alternatives]
    assert found == [("2-2", Fraction(0)), ("1-2", Fraction(-1)), ("2-1", Fraction(1))]
    assert [a.probability for a in value.alternatives] == pytest.approx([0.5, 0.35, 0.15])
    assert value.is_proven
    assert value.posterior == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "greedy", "num_best": 2}, "decoder: expected auto, beam or exact for several"),
        ({"method": "greedy", "by_value": True}, "or for values, found 'greedy', which finds one"),
        ({"method": "bean"}, "unknown decoder; did you mean 'beam'"),
        ({"beam_width": 0}, "beam_width: expected 1 to 1000, found 0"),
        ({"beam_width": 1001}, "beam_width: expected 1 to 1000, found 1001"),
        ({"num_best": 0}, "n_best: expected 1 to 1000, found 0"),
        ({"num_best": 1001}, "n_best: expected 1 to 1000, found 1001"),
        ({"temperature": 0.0}, "temperature: expected a number above 0, found 0.0"),
        ({"temperature": -1.0}, "temperature: expected a number above 0, found -1.0"),
        ({"temperature": float("inf")}, "temperature: expected a number above 0, found inf"),
        ({"temperature": float("nan")}, "temperature: expected a number above 0, found nan"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decoder_of("none", **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_method_by_its_name() -> None:
    log_probs = random_log_probs(2, 5, 1, CHARSET.num_classes, spread=5.0)
    texts = {m: read(log_probs, "none", method=m).alternatives[0].text for m in DECODERS}
    assert len(texts) == 4
    assert set(texts.values()) == {texts["exact"]}


def test_temperature_1_is_the_network() -> None:
    """Apart from float32 frames that do not sum to 1."""
    log_probs = random_log_probs(0, 5, 2, CHARSET.num_classes)
    np.testing.assert_allclose(temper(log_probs, 1.0), log_probs, atol=1e-12)
    off = log_probs + 1e-7
    np.testing.assert_allclose(np.exp(temper(off, 1.0)).sum(axis=2), 1.0, rtol=1e-12)
    for reading in decoder_of("none")(off):
        assert reading.grammar_mass == pytest.approx(1.0, rel=1e-9)
        assert reading.grammar_mass <= 1.0
