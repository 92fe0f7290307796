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


def tightest(
    texts: Iterable[str], charset: Charset, fits: Callable[[Grammar], bool] = lambda _: True
) -> str:
    """Return the name of the tightest shipped grammar that accepts all texts.

    Args:
        texts: The texts.
        charset: The model's characters.
        fits: What else a grammar must fulfill; ``none`` must fulfill it.
    """
    candidates = [g for name in SHIPPED if (g := _shipped_grammar(name, charset))]
    for text in set(texts):
        candidates = [grammar for grammar in candidates if grammar.accepts(text)]
    return next(grammar.name for grammar in candidates if fits(grammar))
