"""Grammars: those with a name, regular expressions and lists of texts.

- ``level1``: the 27,000 expressions of the 2017 contest's first level: three one-digit operands,
  two operators of ``+ - *``, and at most one pair of parentheses around two operands.
- ``expression``: all expressions of `exprocr.core.text.expression`, with parentheses nested at most
  `MAX_DEPTH` deep.
- ``digits``: one or more digits.
- ``none``: any text.
- ``regex:PATTERN``: the texts that a regular expression matches as a whole.
- ``lexicon:FILE``: the lines of a text file.

Shipped grammars leave out characters that the model does not know.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import Arcs, Automaton
from exprocr.core.text.grammar.lexicon import lexicon_arcs
from exprocr.core.text.grammar.regex import regex_arcs
from exprocr.errors import ConfigError, unknown_name
from exprocr.words import quoted, shortened

DIGITS = "0123456789"
MAX_DEPTH = 4
"""Deepest nesting of parentheses in ``expression``."""

SHIPPED = ("level1", "digits", "expression", "none")
"""Names of the grammars. Of two that accept a text, the first is the tighter one."""

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


def _expression() -> Arcs:
    """Return the arcs of ``expression``; a state is (kind of the last token, open parentheses)."""
    arcs: dict[Hashable, dict[str, Hashable]] = {}
    for depth in range(MAX_DEPTH + 1):
        operator: dict[str, Hashable] = {DIGITS: ("integer", depth), "-": ("operator", depth)}
        if depth < MAX_DEPTH:
            operator["("] = ("operator", depth + 1)
        operand: dict[str, Hashable] = {"+-*/": ("operator", depth)}
        if depth:
            operand[")"] = ("closed", depth - 1)
        arcs["operator", depth] = operator  # also the start: an operand must follow
        arcs["integer", depth] = {DIGITS: ("integer", depth), **operand}
        arcs["closed", depth] = operand
    return arcs


@dataclass(frozen=True)
class Grammar:
    """A grammar over a charset.

    Args:
        name: The name, as the user gives it.
        charset: The characters.
        automaton: The automaton that accepts its texts.
    """

    name: str
    charset: Charset
    automaton: Automaton

    def __str__(self) -> str:
        return self.name

    def accepts(self, text: str) -> bool:
        """Return whether a text belongs to the grammar."""
        return not self.charset.missing(text) and self.automaton.accepts(self.charset.encode(text))


def load_grammar(name: str, charset: Charset) -> Grammar:
    """Return a grammar over a charset.

    Args:
        name: One of `SHIPPED`, ``regex:PATTERN`` or ``lexicon:FILE``.
        charset: The model's characters.

    Raises:
        ConfigError: There is no such grammar, the pattern or the file cannot be used or needs a
            character outside the charset, or the grammar has no text of these characters.
    """
    if name.startswith(REGEX):
        arcs, start, accepting = regex_arcs(name, name.removeprefix(REGEX), charset)
    elif name.startswith(LEXICON):
        arcs, start, accepting = lexicon_arcs(Path(name.removeprefix(LEXICON)), charset)
    elif name in SHIPPED:
        arcs, start, accepting = _shipped(name, charset)
    else:
        known = (*SHIPPED, f"{REGEX}PATTERN", f"{LEXICON}FILE")
        raise ConfigError(unknown_name(f"grammar {shortened(name)}", name, known, what="grammar"))
    automaton = Automaton.build(arcs, start, accepting, charset)
    if automaton is None:
        raise ConfigError(
            f"grammar {shortened(name)}: expected texts of the model's characters "
            f"{quoted(charset.characters)}, found none"
        )
    return Grammar(name, charset, automaton)


def _shipped(name: str, charset: Charset) -> tuple[Arcs, Hashable, frozenset[Any]]:
    """Return the arcs, the start and the accepting states of a shipped grammar."""
    if name == "level1":
        return _LEVEL1, "", frozenset({"end"})
    if name == "expression":
        return _expression(), ("operator", 0), frozenset({("integer", 0), ("closed", 0)})
    if name == "digits":
        return {"": {DIGITS: "digits"}, "digits": {DIGITS: "digits"}}, "", frozenset({"digits"})
    return {"": {charset.characters: ""}}, "", frozenset({""})


@cache
def _shipped_grammar(name: str, charset: Charset) -> Grammar | None:
    try:
        return load_grammar(name, charset)
    except ConfigError:  # no text of these characters
        return None


def tightest(texts: Iterable[str], charset: Charset) -> str:
    """Return the name of the tightest shipped grammar that accepts all texts."""
    candidates = [g for name in SHIPPED if (g := _shipped_grammar(name, charset))]
    for text in set(texts):
        candidates = [grammar for grammar in candidates if grammar.accepts(text)]
    return candidates[0].name
