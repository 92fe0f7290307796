"""Grammars: those with a name, regular expressions and lists of texts.

- ``level1``: the 27,000 expressions of the 2017 contest's first level: three one-digit operands,
  two operators of ``+ - *``, and at most one pair of parentheses around two operands.
- ``digits``: one or more digits.
- ``number``: digits, with at most one decimal point, which has digits on both sides.
- ``expression``: expressions of integers, ``+ - * /`` and parentheses nested at most `MAX_DEPTH`
  deep; a minus may be a sign.
- ``equation``: expressions, also with decimals, ``×`` and ``÷``; alone, before ``=`` or ``=?``, or
  with ``=``, ``<`` or ``>`` before a second expression; and divisions with a remainder, such as
  ``14÷3=4…2``, whose four integers may each be in parentheses.
- ``none``: any text.
- ``regex:PATTERN``: the texts that a regular expression matches as a whole.
- ``lexicon:FILE``: the lines of a text file.

Those with a name leave out characters that the model does not know. They accept texts by their
form: ``1/0`` is an expression, and ``1=2`` an equation. All texts of those before ``none`` are
lines of `exprocr.core.text.expression`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import DEAD, Arcs, Automaton
from exprocr.core.text.grammar.lexicon import lexicon_arcs, read_texts
from exprocr.core.text.grammar.regex import regex_arcs, regex_characters
from exprocr.core.text.grammar.shapes import pattern_of
from exprocr.errors import ConfigError, unknown_name
from exprocr.words import quoted, shortened

DIGITS = "0123456789"
MAX_DEPTH = 4
"""Deepest nesting of parentheses in ``expression`` and ``equation``."""

SHIPPED = ("level1", "digits", "number", "expression", "equation", "none")
"""Names of the grammars. If one has all texts of another, it comes after that one."""

REGEX, LEXICON = "regex:", "lexicon:"

_LEVEL1: Arcs = {
    "": {DIGITS: "a", "(": "("},
    "a": {"+-*": "a+"},
    "a+": {DIGITS: "a+b", "(": "a+("},
    "a+b": {"+-*": "a+b+"},
    "a+b+": {DIGITS: "end"},
    "(": {DIGITS: "(a"},
    "(a": {"+-*": "(a+"},
    "(a+": {DIGITS: "(a+b"},
    "(a+b": {")": "(a+b)"},
    "(a+b)": {"+-*": "a+b+"},
    "a+(": {DIGITS: "a+(b"},
    "a+(b": {"+-*": "a+(b+"},
    "a+(b+": {DIGITS: "a+(b+c"},
    "a+(b+c": {")": "end"},
}


_NUMBER: Arcs = {
    "": {DIGITS: "integer"},
    "integer": {DIGITS: "integer", ".": "point"},
    "point": {DIGITS: "decimal"},
    "decimal": {DIGITS: "decimal"},
}

_TIMES, _DIVIDED = "*×", "/÷"
"""The operators of ``equation`` in both spellings."""

_Table = dict[Hashable, dict[str, Hashable]]


def _expression(
    side: str, operators: str, after: dict[str, Hashable], *, decimals: bool = False
) -> _Table:
    """Return the arcs of expressions.

    A state is (side, kind of the last token, open parentheses). An expression begins after an
    operator, and ends after an operand without open parentheses.

    Args:
        side: A name for its states.
        operators: The operators between operands.
        after: The arcs that lead out of a whole expression.
        decimals: Whether numbers may have a decimal point.
    """
    arcs: _Table = {}
    for depth in range(MAX_DEPTH + 1):
        operator: dict[str, Hashable] = {
            DIGITS: (side, "integer", depth),
            "-": (side, "operator", depth),
        }
        if depth < MAX_DEPTH:
            operator["("] = (side, "operator", depth + 1)
        operand: dict[str, Hashable] = {operators: (side, "operator", depth)}
        operand |= {")": (side, "closed", depth - 1)} if depth else after
        arcs[side, "operator", depth] = operator
        arcs[side, "integer", depth] = {DIGITS: (side, "integer", depth), **operand}
        arcs[side, "closed", depth] = operand
        if decimals:
            arcs[side, "integer", depth]["."] = (side, "point", depth)
            arcs[side, "point", depth] = {DIGITS: (side, "decimal", depth)}
            arcs[side, "decimal", depth] = {DIGITS: (side, "decimal", depth), **operand}
    return arcs


def _ends(side: str, *kinds: str) -> set[Hashable]:
    """Return the states in which an expression may end."""
    return {(side, kind, 0) for kind in kinds}


def _equation() -> tuple[Arcs, Hashable, frozenset[Hashable]]:
    """Return the arcs, the start and the accepting states of ``equation``.

    A remainder is allowed after ``integer / integer = integer`` alone. So these integers have
    states of their own, which join those of other expressions when something else follows.
    """
    operators = "+-" + _TIMES + _DIVIDED
    relation: dict[str, Hashable] = {"=": "=", "<>": "<"}
    arcs = _expression("left", operators, relation, decimals=True)
    arcs |= _expression("right", operators, {}, decimals=True)
    right = arcs["right", "operator", 0]
    arcs["="] = {"?": "?", **right}
    arcs["<"] = right
    undivided: dict[str, Hashable] = {"+-" + _TIMES: ("left", "operator", 0), **relation}
    divided: dict[str, Hashable] = {operators: ("left", "operator", 0), "<>": "<", "=": "/="}
    arcs |= _integer("dividend", "left", {**undivided, _DIVIDED: "/"})
    arcs["/"] = _begin("divisor", arcs["left", "operator", 0])
    arcs |= _integer("divisor", "left", divided)
    arcs["/="] = {"?": "?", **_begin("quotient", right)}
    arcs |= _integer("quotient", "right", {operators: ("right", "operator", 0), "…": "…"})
    arcs["…"] = {DIGITS: "remainder", "(": "(remainder"}
    arcs["remainder"] = {DIGITS: "remainder"}
    arcs["(remainder"] = {DIGITS: "(remainder."}
    arcs["(remainder."] = {DIGITS: "(remainder.", ")": "?"}
    arcs["start"] = _begin("dividend", arcs["left", "operator", 0])
    ends: set[Hashable] = {"=", "/=", "?", "remainder"}
    for name in ("dividend", "divisor", "quotient"):
        ends |= {name, f"({name})"}
    for side in ("left", "right"):
        ends |= _ends(side, "integer", "decimal", "closed")
    return arcs, "start", frozenset(ends)


def _begin(name: str, others: dict[str, Hashable]) -> dict[str, Hashable]:
    """Return the arcs before an expression that may be one integer, which has its own states."""
    return {**others, DIGITS: name, "(": f"({name}"}


def _integer(name: str, side: str, after: dict[str, Hashable]) -> _Table:
    """Return the arcs of an integer, which may be in parentheses.

    Args:
        name: A name for its states.
        side: The side whose states follow if it is no integer or there are other operators.
        after: The arcs that lead out of it.
    """
    return {
        name: {DIGITS: name, ".": (side, "point", 0), **after},
        f"({name}": {
            DIGITS: f"({name}.",
            "-": (side, "operator", 1),
            "(": (side, "operator", 2),
        },
        f"({name}.": {
            DIGITS: f"({name}.",
            ".": (side, "point", 1),
            "+-" + _TIMES + _DIVIDED: (side, "operator", 1),
            ")": f"({name})",
        },
        f"({name})": after,
    }


@dataclass(frozen=True)
class Grammar:
    """A grammar over a charset.

    Args:
        name: The name, as the user gives it.
        charset: The characters.
        automaton: The automaton that accepts its texts.
        texts: Where it is a lexicon, its texts, sorted.
    """

    name: str
    charset: Charset
    automaton: Automaton
    texts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    def accepts(self, text: str) -> bool:
        """Return whether a text belongs to the grammar."""
        return not self.charset.missing(text) and self.automaton.accepts(self.charset.encode(text))

    def includes(self, other: Grammar) -> bool:
        """Return whether every text of another grammar belongs to this one, but the empty text.

        Both automata walk side by side through all pairs of states that a text can lead to.
        """
        places = [self.charset.characters.find(c) + 1 for c in other.charset.characters]
        ours, theirs = self.automaton, other.automaton
        states, ids, targets = theirs.arcs
        starts = np.searchsorted(states, np.arange(theirs.num_states + 1))
        pairs = [(0, 0)]
        seen = set(pairs)
        for our_state, their_state in pairs:  # grows while it is read
            for arc in range(starts[their_state], starts[their_state + 1]):
                # The blank's place, of an unknown character, is dead.
                target = int(ours.transitions[our_state, places[ids[arc] - 1]])
                pair = target, int(targets[arc])
                if target == DEAD or (theirs.accepting[pair[1]] and not ours.accepting[target]):
                    return False
                if pair not in seen:
                    seen.add(pair)
                    pairs.append(pair)
        return True


def load_grammar(name: str, charset: Charset, texts: Sequence[str] = ()) -> Grammar:
    """Return a grammar over a charset.

    Args:
        name: One of `SHIPPED`, ``regex:PATTERN`` or ``lexicon:FILE``.
        charset: The model's characters.
        texts: Texts of a lexicon that are known already, so that its file is not read.

    Raises:
        ConfigError: There is no such grammar, the pattern or the file cannot be used or needs a
            character outside the charset, or the grammar has no text of these characters.
    """
    if name.startswith(REGEX):
        arcs, start, accepting = regex_arcs(name, name.removeprefix(REGEX), charset)
    elif name.startswith(LEXICON):
        texts = sorted(set(texts or _lexicon(name, charset)))
        arcs, start, accepting = lexicon_arcs(name, texts, charset)
    elif name in SHIPPED:
        arcs, start, accepting = _shipped(name, charset)
    else:
        raise _unknown(name)
    automaton = Automaton.build(arcs, start, accepting, charset)
    if automaton is None:
        raise ConfigError(
            f"grammar {shortened(name)}: expected texts of the model's characters "
            f"{quoted(charset.characters)}, found none"
        )
    return Grammar(name, charset, automaton, tuple(texts))


def load_grammar_alone(name: str) -> Grammar:
    """Return a grammar over its own characters, for texts that no model has been trained for yet.

    These are the characters of a shipped grammar, of the lines of a lexicon, or those that a
    pattern names (see `exprocr.core.text.grammar.regex.regex_characters`).

    Args:
        name: As for `load_grammar`, but not ``none``, which has no characters of its own.

    Raises:
        ConfigError: There is no such grammar, or it cannot be used.
    """
    texts: list[str] = []
    if name.startswith(REGEX):
        characters = regex_characters(name, name.removeprefix(REGEX))
    elif name.startswith(LEXICON):
        texts = _lexicon(name)
        characters = "".join(sorted(set().union(*texts)))
    elif name == "none":
        raise ConfigError(
            "grammar none: expected a grammar that names its characters, found one of any text; "
            "for random characters write a pattern, such as 'regex:[0-9A-Z]{1,8}'"
        )
    elif name in SHIPPED:
        arcs, _, _ = _shipped(name, Charset(DIGITS))
        characters = "".join(sorted({c for row in arcs.values() for part in row for c in part}))
    else:
        raise _unknown(name)
    if not characters:
        raise ConfigError(
            f"grammar {shortened(name)}: expected texts, found none but the empty one"
        )
    try:
        charset = Charset(characters)
    except ValueError as error:
        raise ConfigError(f"grammar {shortened(name)}: {error}") from None
    return load_grammar(name, charset, texts)


def _lexicon(name: str, charset: Charset | None = None) -> list[str]:
    return read_texts(Path(name.removeprefix(LEXICON)), "grammar", charset)


def _unknown(name: str) -> ConfigError:
    known = (*SHIPPED, f"{REGEX}PATTERN", f"{LEXICON}FILE")
    return ConfigError(unknown_name(f"grammar {shortened(name)}", name, known, what="grammar"))


def _shipped(name: str, charset: Charset) -> tuple[Arcs, Hashable, frozenset[Any]]:
    """Return the arcs, the start and the accepting states of a shipped grammar."""
    if name == "level1":
        return _LEVEL1, "", frozenset({"end"})
    if name == "digits":
        return {"": {DIGITS: "digits"}, "digits": {DIGITS: "digits"}}, "", frozenset({"digits"})
    if name == "number":
        return _NUMBER, "", frozenset({"integer", "decimal"})
    if name == "expression":
        arcs = _expression("", "+-*/", {})
        return arcs, ("", "operator", 0), frozenset(_ends("", "integer", "closed"))
    if name == "equation":
        return _equation()
    return {"": {charset.characters: ""}}, "", frozenset({""})


@cache
def _shipped_grammar(name: str, charset: Charset) -> Grammar | None:
    try:
        return load_grammar(name, charset)
    except ConfigError:  # no text of these characters
        return None


def tightest(
    texts: Iterable[str], charset: Charset, fits: Callable[[Grammar], bool] = lambda _: True
) -> str:
    """Return the name of the tightest grammar that accepts all texts.

    It is one of those shipped; where of these only ``none`` does, it is the pattern of the texts'
    shapes, if they have one (`exprocr.core.text.grammar.shapes`).

    Args:
        texts: The texts.
        charset: The model's characters.
        fits: What else a grammar must fulfill; ``none`` must fulfill it.
    """
    texts = set(texts)
    candidates = [g for name in SHIPPED if (g := _shipped_grammar(name, charset))]
    for text in texts:
        candidates = [grammar for grammar in candidates if grammar.accepts(text)]
    name = next(grammar.name for grammar in candidates if fits(grammar))
    if name == "none" and (pattern := pattern_of(texts, charset)) is not None:
        try:
            grammar = load_grammar(f"{REGEX}{pattern}", charset)
        except ConfigError:  # it needs too many states
            return name
        return grammar.name if fits(grammar) else name
    return name
