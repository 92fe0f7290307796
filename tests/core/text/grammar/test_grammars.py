"""The automaton's builder, and the shipped grammars against generators and the parser."""

from __future__ import annotations

import itertools
import re

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from exprocr.core.text.charset import BLANK, Charset
from exprocr.core.text.expression import DivisionByZero, evaluate
from exprocr.core.text.grammar.automaton import DEAD, Arcs, Automaton
from exprocr.core.text.grammar.grammars import (
    MAX_DEPTH,
    SHIPPED,
    Grammar,
    load_grammar,
    tightest,
)
from exprocr.errors import ConfigError, ExpressionError
from tests.support.ctc_oracle import automata

CHARSET = Charset("()*+-/0123456789")
CONTEST = Charset("()*+-0123456789")
WORKSHEET = Charset("()*+-./0123456789<=>?×÷…")
DIGITS = "0123456789"


def texts_of(grammar: Grammar) -> list[str]:
    return [grammar.charset.decode(ids) for ids in grammar.automaton.texts()]


def strings(characters: str, longest: int) -> list[str]:
    return [
        "".join(text)
        for length in range(longest + 1)
        for text in itertools.product(characters, repeat=length)
    ]


def is_expression(text: str) -> bool:
    """Whether the parser reads it, and its nesting is within what the grammar states."""
    try:
        evaluate(text)
    except DivisionByZero:
        pass  # well-formed
    except ExpressionError:
        return False
    depths = itertools.accumulate((c == "(") - (c == ")") for c in text)
    return max(depths, default=0) <= MAX_DEPTH


@pytest.mark.parametrize("charset", [CONTEST, CHARSET, Charset("9876543210-+*)(x")])
def test_level1_accepts_exactly_the_contests_expressions(charset: Charset) -> None:
    expected = {
        shape.format(a, o, b, p, c)
        for shape in ("{}{}{}{}{}", "({}{}{}){}{}", "{}{}({}{}{})")
        for a, b, c in itertools.product(DIGITS, repeat=3)
        for o, p in itertools.product("+-*", repeat=2)
    }
    grammar = load_grammar("level1", charset)
    texts = texts_of(grammar)
    assert len(expected) == len(texts) == grammar.automaton.num_texts == 27_000
    assert set(texts) == expected
    assert grammar.accepts("(1+2)*3")
    assert not grammar.accepts("1/2+3")


def test_expression_agrees_with_the_parser_on_all_short_strings() -> None:
    grammar = load_grammar("expression", CHARSET)
    texts = strings("0-/()", 6)
    accepted = [text for text in texts if grammar.accepts(text)]
    assert len(accepted) > 150
    assert accepted == [text for text in texts if is_expression(text)]


integers = st.text(DIGITS, min_size=1, max_size=3)
expressions = st.recursive(
    integers,
    lambda inner: (
        inner.map(lambda e: f"({e})")
        | inner.map(lambda e: f"-{e}")
        | st.tuples(inner, st.sampled_from("+-*/"), inner).map("".join)
    ),
    max_leaves=8,
)


@hypothesis.given(text=expressions, depth=st.integers(0, MAX_DEPTH + 2))
def test_expression_accepts_what_is_well_formed_up_to_its_depth(text: str, depth: int) -> None:
    text = "(" * depth + text + ")" * depth
    grammar = load_grammar("expression", CHARSET)
    assert grammar.accepts(text) == is_expression(text)


@hypothesis.given(text=expressions, at=st.integers(0, 40), put=st.text("()*+-/01", max_size=1))
def test_expression_agrees_with_the_parser_one_typing_error_away(
    text: str, at: int, put: str
) -> None:
    text = text[:at] + put + text[at + 1 :]
    assert load_grammar("expression", CHARSET).accepts(text) == is_expression(text)


@pytest.mark.parametrize("text", ["{}", "{}=1", "1<{}", "1/{}=1", "{}/1=1…1", "1/1={}…1"])
@pytest.mark.parametrize("name", ["expression", "equation"])
def test_parentheses_nest_exactly_to_the_depth(name: str, text: str) -> None:
    grammar = load_grammar(name, WORKSHEET)
    if grammar.accepts(text.format("1")):
        for depth in range(MAX_DEPTH + 2):
            nested = text.format("(" * depth + "1" + ")" * depth)
            # An integer beside a remainder may be in one pair of parentheses.
            assert grammar.accepts(nested) == (depth <= (1 if "…" in text else MAX_DEPTH))
    assert grammar.automaton.num_texts is None


@pytest.mark.parametrize(
    ("characters", "longest"),
    [("1/=…", 7), ("1/=)(", 6), ("1÷.=…", 6), ("1/-=?", 6), ("12<>=", 6), ("0×*.-", 6)],
)
def test_equation_agrees_with_the_parser_on_all_short_strings(
    characters: str, longest: int
) -> None:
    grammar = load_grammar("equation", Charset("".join(sorted(characters))))
    accepted = [text for text in strings(characters, longest) if grammar.accepts(text)]
    assert len(accepted) > 50
    assert accepted == [text for text in strings(characters, longest) if is_expression(text)]


REMAINDER = st.builds(
    "{}{}{}={}…{}".format,
    integers | integers.map("({})".format),
    st.sampled_from("/÷"),
    *[integers | integers.map("({})".format)] * 3,
)
sides = st.recursive(
    integers | st.from_regex(r"[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True),
    lambda inner: (
        inner.map("({})".format)
        | inner.map("-{}".format)
        | st.tuples(inner, st.sampled_from("+-*/×÷"), inner).map("".join)
    ),
    max_leaves=4,
)
equations = REMAINDER | st.tuples(
    sides,
    st.just("")
    | st.sampled_from("=<>").flatmap(lambda r: sides.map(r.__add__))
    | st.sampled_from(["=", "=?"]),
).map("".join)


@hypothesis.given(text=equations)
def test_equation_accepts_what_is_well_formed_up_to_its_depth(text: str) -> None:
    assert load_grammar("equation", WORKSHEET).accepts(text) == is_expression(text)


@hypothesis.given(text=equations, at=st.integers(0, 20), put=st.text("()*-/01.=…?<÷", max_size=1))
def test_equation_agrees_with_the_parser_one_typing_error_away(
    text: str, at: int, put: str
) -> None:
    text = text[:at] + put + text[at + 1 :]
    accepted = load_grammar("equation", WORKSHEET).accepts(text)
    # The parser understands longer rows of dots too.
    assert accepted == (is_expression(text) and "……" not in text)


def test_a_model_without_the_signs_of_equations() -> None:
    equation, expression = (load_grammar(name, CONTEST) for name in ("equation", "expression"))
    for text in strings("1-*()", 6):
        assert equation.accepts(text) == expression.accepts(text)
    assert not equation.accepts("1=1")


def test_digits_number_and_none() -> None:
    charset = Charset("019+x.")
    for name, pattern in (("digits", "[019]+"), ("number", "[019]+([.][019]+)?"), ("none", ".*")):
        grammar = load_grammar(name, charset)
        for text in strings(charset.characters, 4):
            assert grammar.accepts(text) == bool(re.fullmatch(pattern, text)), (name, text)
        assert not grammar.accepts("2")
        assert grammar.automaton.num_texts is None
    assert str(load_grammar("digits", charset)) == "digits"


@pytest.mark.parametrize(
    ("name", "characters", "num_texts"),
    [
        ("level1", "0123456789+-*", 9_000),  # no parentheses
        ("level1", "12*()", 24),
        ("level1", "7+", 1),
        ("level1", "7+(", 1),  # a parenthesis that cannot be closed
    ],
)
def test_a_grammar_is_restricted_to_the_models_characters(
    name: str, characters: str, num_texts: int
) -> None:
    grammar = load_grammar(name, Charset(characters))
    assert grammar.automaton.num_texts == num_texts
    assert all(set(text) <= set(characters) for text in texts_of(grammar))
    full = load_grammar(name, CHARSET)
    assert all(full.accepts(text) for text in texts_of(grammar))


def test_expression_without_a_slash_or_parentheses() -> None:
    grammar = load_grammar("expression", Charset("01-"))
    for text in strings("01-", 5):
        assert grammar.accepts(text) == is_expression(text), text
    assert not grammar.accepts("1/0")
    assert not grammar.accepts("(1)")


@pytest.mark.parametrize("name", SHIPPED[:-1])
def test_no_text_is_left_without_digits(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^grammar {name}: expected texts of .*'\(\)\*\+x'"):
        load_grammar(name, Charset("()*+x"))


def includes(wide: Automaton, tight: Automaton) -> bool:
    """Whether an automaton accepts all texts of another, by walking both at once."""
    pairs, seen = [(0, 0)], {(0, 0)}
    for one, other in pairs:  # grows while it is read
        if tight.accepting[one] and not (other != DEAD and wide.accepting[other]):
            return False
        for label in np.flatnonzero(tight.transitions[one] != DEAD).tolist():
            target = DEAD if other == DEAD else int(wide.transitions[other, label])
            pair = (int(tight.transitions[one, label]), target)
            if pair not in seen:
                seen.add(pair)
                pairs.append(pair)
    return True


def test_grammars_are_ordered_from_tight_to_loose() -> None:
    automata = [load_grammar(name, WORKSHEET).automaton for name in SHIPPED]
    for (one, tight), (other, wide) in itertools.combinations(enumerate(automata), 2):
        assert not includes(tight, wide), (SHIPPED[one], SHIPPED[other])
    included = {
        (SHIPPED[one], SHIPPED[other])
        for (one, tight), (other, wide) in itertools.combinations(enumerate(automata), 2)
        if includes(wide, tight)
    }
    assert included == {
        ("level1", "expression"),
        ("level1", "equation"),
        ("digits", "number"),
        ("digits", "expression"),
        ("digits", "equation"),
        ("number", "equation"),
        ("expression", "equation"),
        *((name, "none") for name in SHIPPED[:-1]),
    }


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("levle1", "level1"),
        ("expresion", "expression"),
        ("digit", "digits"),
        ("None", "none"),
        ("regexp:1+", "regex:PATTERN"),
        ("lexikon:words.txt", "lexicon:FILE"),
    ],
)
def test_an_unknown_grammar_suggests_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown grammar; did you mean '{nearest}'\?") as info:
        load_grammar(name, CHARSET)
    for known in ("level1", "expression", "digits", "none", "regex:PATTERN", "lexicon:FILE"):
        assert known in str(info.value)


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["1+2*3"], "level1"),
        (["1+2*3", "(9-8)*7", "0*(0+0)"], "level1"),
        (["12", "0", "007"], "digits"),
        (["1+2*3", "12"], "expression"),
        (["1+2*3", "1+2*34"], "expression"),
        (["1+2/3"], "expression"),
        (["-(1)"], "expression"),
        (["((((1))))"], "expression"),
        (["(((((1)))))"], "none"),
        (["1+2*3", "1+2*"], "none"),
        (["12", ""], "none"),
        (["1.5", "12"], "number"),
        (["1.5", "1+2*3"], "equation"),
        (["1+2=3", "1+2"], "equation"),
        (["14÷3=4…2"], "equation"),
        (["12+34=?"], "equation"),
        (["1+2=3=3"], "none"),
        ([".5"], "none"),
        (["5."], "none"),
    ],
)
def test_the_tightest_grammar_that_accepts_all_texts(texts: list[str], name: str) -> None:
    assert tightest(texts, WORKSHEET) == name
    assert tightest(iter(texts), WORKSHEET) == name


def test_the_tightest_grammar_of_a_charset_that_leaves_others_no_text() -> None:
    assert tightest(["ab", "b"], Charset("ab")) == "none"
    assert tightest(["1"], Charset("1")) == "digits"


def test_building_trims_what_no_text_passes() -> None:
    arcs: Arcs = {
        "start": {"a": "mid", "b": "dead end", "c": "circle"},
        "mid": {"a": "end", "b": "dead end"},
        "circle": {"c": "circle"},
        "unreachable": {"a": "end"},
    }
    automaton = Automaton.build(arcs, "start", frozenset({"end", "nowhere"}), Charset("abc"))
    assert automaton is not None
    assert (automaton.num_states, automaton.num_classes) == (3, 4)
    assert (automaton.transitions[:, BLANK] == DEAD).all()
    assert (automaton.transitions != DEAD).sum() == 2
    assert list(automaton.texts()) == [(1, 1)]
    assert automaton.num_texts == 1
    states, ids, targets = automaton.arcs
    assert (states[0], ids.tolist(), targets[0]) == (0, [1, 1], states[1])


def test_building_leaves_out_characters_beyond_the_charset() -> None:
    arcs: Arcs = {0: {"a": 1, "x": 2}, 1: {"b": 3}, 2: {"b": 3}}
    automaton = Automaton.build(arcs, 0, frozenset({3}), Charset("ba"))
    assert automaton is not None
    assert list(automaton.texts()) == [(2, 1)]
    assert Automaton.build(arcs, 0, frozenset({3}), Charset("xy")) is None
    assert Automaton.build({}, 0, frozenset(), Charset("a")) is None


@pytest.mark.parametrize("arcs", [{0: {"ab": 0, "bc": 1}}, {0: {"aa": 1}}, {0: {"xx": 1}}])
def test_building_refuses_two_ways_with_one_character(arcs: Arcs) -> None:
    with pytest.raises(ValueError, match=r"state 0: two arcs for '[abx]'"):
        Automaton.build(arcs, 0, frozenset({1}), Charset("abc"))


@pytest.mark.parametrize(
    ("name", "num_texts"),
    [
        ("regex:(a|b){3}", 8),
        ("regex:a?b?c?", 8),
        ("regex:(a|b){40}", 2**40),  # counted, not listed
        ("regex:a*", None),
        ("regex:ab*c", None),
        ("regex:(ab)*c", None),
        ("regex:", 1),
    ],
)
def test_num_texts(name: str, num_texts: int | None) -> None:
    assert load_grammar(name, Charset("abc")).automaton.num_texts == num_texts


@hypothesis.given(automaton=automata("ab"))
def test_texts_are_what_is_accepted_shorter_ones_first(automaton: Automaton) -> None:
    longest = 7
    texts = list(
        itertools.takewhile(lambda text: len(text) <= longest, automaton.texts())
        if automaton.num_texts is None
        else automaton.texts()
    )
    every = [t for n in range(longest + 1) for t in itertools.product((1, 2), repeat=n)]
    assert sorted(texts) == sorted(text for text in every if automaton.accepts(text))
    assert [len(text) for text in texts] == sorted(len(text) for text in texts)
    if automaton.num_texts is not None:
        assert automaton.num_texts == len(texts)
    # Trimmed: every state is on the way of some text.
    seen = np.zeros(automaton.num_states, dtype=bool)
    for text in texts:
        state = 0
        seen[state] = True
        for label in text:
            state = int(automaton.transitions[state, label])
            seen[state] = True
    assert seen.all()
