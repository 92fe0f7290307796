"""Grammars without a model: the characters that they name; and which grammar includes which."""

from __future__ import annotations

import string
from itertools import product
from pathlib import Path

import hypothesis
import pytest

from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import Automaton
from exprocr.core.text.grammar.grammars import Grammar, load_grammar, load_grammar_alone, tightest
from exprocr.errors import ConfigError
from tests.support.ctc_oracle import automata

VISIBLE = "".join(sorted(string.digits + string.ascii_letters + string.punctuation))


@pytest.mark.parametrize(
    ("name", "characters"),
    [
        ("level1", "()*+-0123456789"),
        ("expression", "()*+-/0123456789"),
        ("digits", "0123456789"),
        ("regex:[A-C]{2}-[0-9]x?", "-0123456789ABCx"),
        ("regex:(ab|c)*\\d", "0123456789abc"),
        ("regex:\u00fc[\u4e00-\u4e02]", "\u00fc\u4e00\u4e01\u4e02"),
        ("regex:.", VISIBLE),
        ("regex:[^0-9]\u00d7", VISIBLE + "\u00d7"),
        ("regex:\\D", VISIBLE),
        ("regex:a b", " ab"),
        ("regex:a(b{0})c", "ac"),
    ],
)
def test_the_characters_of_a_grammar(name: str, characters: str) -> None:
    grammar = load_grammar_alone(name)
    assert grammar.charset.characters == characters
    assert grammar.name == name


def test_a_lexicon_has_the_characters_of_its_lines(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("b a\n\n\u00d7\nb a\n", encoding="utf-8")
    grammar = load_grammar_alone(f"lexicon:{tmp_path / 'words.txt'}")
    assert grammar.charset.characters == " ab\u00d7"
    assert grammar.texts == ("b a", "\u00d7")


def test_texts_that_are_known_need_no_file() -> None:
    grammar = load_grammar("lexicon:no such file", Charset("ab"), ["b", "ab", "b"])
    assert grammar.texts == ("ab", "b")
    assert [grammar.charset.decode(ids) for ids in grammar.automaton.texts()] == ["b", "ab"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "grammar none: expected a grammar that names its characters, found one of any"),
        ("digit", "grammar digit: unknown grammar; did you mean 'digits'?"),
        ("regex:", "grammar regex:: expected texts, found none but the empty one"),
        ("regex:[\u0100-\uffff]", "expected a smaller pattern, found more than 10,000 characters"),
        ("regex:[\u0100-\u2600][\u2600-\u4900]", "a charset has at most 10,000 characters"),
        ("regex:[a", "expected a regular expression, found"),
        ("lexicon:missing.txt", "missing.txt: expected a file with one text per line, found none"),
    ],
)
def test_grammars_that_cannot_stand_alone(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_grammar_alone(name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def grammar_of(automaton: Automaton, characters: str) -> Grammar:
    return Grammar("random", Charset(characters), automaton)


@hypothesis.given(one=automata("ab", 3), other=automata("ba", 3))
@hypothesis.settings(max_examples=200)
def test_inclusion_against_all_short_texts(one: Automaton, other: Automaton) -> None:
    wide, narrow = grammar_of(one, "ab"), grammar_of(other, "ba")
    # Two automata of three states differ in a text of at most 3 * 4 characters, the dead state
    # counted too.
    texts = ["".join(t) for length in range(1, 12) for t in product("ab", repeat=length)]
    assert wide.includes(narrow) == all(wide.accepts(t) for t in texts if narrow.accepts(t))


def test_inclusion_of_the_shipped_grammars() -> None:
    tight, expression = load_grammar_alone("level1"), load_grammar_alone("expression")
    digits = load_grammar_alone("digits")
    assert expression.includes(tight)
    assert expression.includes(digits)
    assert not tight.includes(expression)
    assert not digits.includes(tight)
    assert not expression.includes(load_grammar_alone("regex:[0-9]x"))  # an unknown character


@pytest.mark.parametrize(
    ("labels", "drawn", "name"),
    [
        (["12"], "digits", "digits"),
        (["1+2*3"], "digits", "expression"),
        (["1+2*3"], "regex:[0-9][+][0-9][+][0-9]", "level1"),
        ([], "regex:[0-9]{1,3}([*][0-9])?", "expression"),
        ([], "regex:[0-9]{1,3}[*]?", "none"),
    ],
)
def test_the_tightest_grammar_for_labels_and_drawn_texts(
    labels: list[str], drawn: str, name: str
) -> None:
    charset = Charset("()*+-/0123456789")
    grammar = load_grammar_alone(drawn)
    assert tightest(labels, charset, lambda other: other.includes(grammar)) == name
