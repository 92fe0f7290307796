"""Random texts of grammars, against the enumeration of all texts."""

from __future__ import annotations

import itertools
import math
import pickle
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from exprocr.core.text.charset import Charset, num_frames_needed
from exprocr.core.text.grammar.automaton import Automaton
from exprocr.core.text.grammar.grammars import load_grammar, load_grammar_alone
from exprocr.core.text.grammar.sampling import MAX_UNIFORM, LengthSampler, Sampler, make_sampler
from exprocr.errors import ConfigError
from tests.support.ctc_oracle import automata, automaton_of

MAX_LENGTH = 5


def texts_up_to(automaton: Automaton, length: int) -> list[tuple[int, ...]]:
    """Return all texts of 1 to ``length`` characters, by trying every sequence of class ids."""
    ids = range(1, automaton.num_classes)
    sequences = (itertools.product(ids, repeat=n) for n in range(1, length + 1))
    return [text for text in itertools.chain(*sequences) if automaton.accepts(text)]


def frames(text: Sequence[int]) -> int:
    return num_frames_needed("".join(map(chr, text)))


def check_frequencies(
    draws: Iterable[Sequence[int]], expected: dict[tuple[int, ...], Fraction]
) -> None:
    """Check with the chi-square statistic, at 6 sigma; every text is drawn, and no other."""
    counts = Counter(map(tuple, draws))
    assert counts.keys() == expected.keys()
    total = counts.total()
    statistic = sum((counts[t] - total * p) ** 2 / (total * p) for t, p in expected.items())
    freedom = len(expected) - 1
    assert statistic <= freedom + 6 * math.sqrt(2 * freedom)


def uniform(texts: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], Fraction]:
    texts = list(texts)
    return {text: Fraction(1, len(texts)) for text in texts}


def by_length(texts: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], Fraction]:
    """Return the probability of each text: lengths are equally frequent, and texts of each."""
    numbers = Counter(map(len, texts := list(texts)))
    return {text: Fraction(1, len(numbers) * numbers[len(text)]) for text in texts}


def draws(sampler: Sampler, num: int, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [sampler.draw(rng) for _ in range(num)]


@hypothesis.given(automaton=automata(characters="abc"), seed=st.integers(0, 99))
@hypothesis.settings(max_examples=150)
def test_random_grammars(automaton: Automaton, seed: int) -> None:
    texts = texts_up_to(automaton, MAX_LENGTH)  # of three or fewer states, if they are finite
    finite = automaton.num_texts is not None
    if not texts:
        with pytest.raises(ConfigError, match="expected"):
            make_sampler(automaton, MAX_LENGTH)
        return
    sampler = make_sampler(automaton, MAX_LENGTH)
    assert isinstance(sampler, LengthSampler) != finite
    expected = uniform(texts) if finite else by_length(texts)
    drawn = draws(sampler, 300, seed)
    assert {tuple(text) for text in drawn} <= expected.keys()
    lengths = Counter(map(len, drawn))
    for length in {len(text) for text in texts}:
        share = float(sum(p for text, p in expected.items() if len(text) == length))
        assert abs(lengths[length] - 300 * share) <= 6 * math.sqrt(300 * share)
    assert sampler.max_frames == max(map(frames, texts))


@pytest.mark.parametrize(
    ("name", "characters"),
    [
        ("regex:a?b{0,3}(ab|c){1,2}", "abc"),
        ("regex:(|a|ab|abc|abcd)", "abcd"),
        ("regex:[abc]{4}", "abc"),
        ("level1", "12+(-)"),
    ],
)
def test_texts_of_a_finite_grammar_are_equally_frequent(name: str, characters: str) -> None:
    automaton = automaton_of(name, characters)
    texts = [text for text in automaton.texts() if text]
    check_frequencies(draws(make_sampler(automaton, 1), 40 * len(texts)), uniform(texts))


@pytest.mark.parametrize(
    ("name", "characters"),
    [
        ("none", "ab"),
        ("digits", "12"),
        ("expression", "1-()"),
        ("regex:(ab)*|b{3}", "ab"),
        ("regex:a(a|bb)*", "ab"),
    ],
)
def test_lengths_are_equally_frequent_and_texts_of_each(name: str, characters: str) -> None:
    automaton = automaton_of(name, characters)
    expected = by_length(texts_up_to(automaton, 6))
    least = min(expected.values())
    check_frequencies(draws(make_sampler(automaton, 6), math.ceil(30 / least)), expected)


def test_the_largest_grammar_whose_texts_are_equally_frequent() -> None:
    digits = Charset("0123456789")
    every = load_grammar("regex:[0-9]{6}", digits).automaton
    assert every.num_texts == MAX_UNIFORM
    assert not isinstance(make_sampler(every, 3), LengthSampler)
    one_more = load_grammar("regex:[0-9]{6}|1", digits).automaton
    lengths = Counter(len(text) for text in draws(make_sampler(one_more, 6), 1000))
    assert lengths.keys() == {1, 6}
    assert 400 < lengths[1] < 600
    assert {len(text) for text in draws(make_sampler(one_more, 5), 50)} == {1}


def test_more_texts_than_a_float_can_count() -> None:
    # 94^200 texts against a single one of the same length from another state.
    grammar = load_grammar_alone("regex:a{200}|b.{100}x{99}|c.{199}")
    drawn = draws(make_sampler(grammar.automaton, 200), 200)
    assert {len(text) for text in drawn} == {200}
    assert {grammar.charset.decode(text)[0] for text in drawn} == {"c"}
    one = load_grammar_alone("regex:a{200}|a.{300}").automaton  # of 200 characters, a single text
    assert {tuple(t) for t in draws(make_sampler(one, 200), 20)} == {tuple(one.arcs[1][:1]) * 200}


def test_the_same_seed_draws_the_same_texts_also_after_pickling() -> None:
    for name in ("level1", "expression"):
        sampler = make_sampler(load_grammar_alone(name).automaton, 12)
        again = pickle.loads(pickle.dumps(sampler))
        assert draws(sampler, 30, 5) == draws(again, 30, 5) != draws(sampler, 30, 6)


@pytest.mark.parametrize(
    ("name", "max_length", "message"),
    [
        ("regex:a{30}b*", 24, "expected texts of 1 to 24 characters, found none"),
        ("regex:(1|2)*1(1|2){14}", 1000, "expected at most 20,000,000 arcs times lengths"),
    ],
)
def test_what_cannot_be_drawn(name: str, max_length: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_sampler(load_grammar_alone(name).automaton, max_length)


def test_the_most_demanding_text_of_long_lists() -> None:
    automaton = automaton_of("regex:a{50}|(ab){40}|a{3}b{57}", "ab")
    assert make_sampler(automaton, 24).max_frames == 60 + 58  # all neighbors but one pair are equal
