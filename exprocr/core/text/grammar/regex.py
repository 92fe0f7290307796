"""Automata of regular expressions, compiled by interegular."""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable
from typing import Any

from interegular import parse_pattern
from interegular.fsm import FSM, anything_else
from interegular.patterns import InvalidSyntax, Unsupported

from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import Arcs
from exprocr.errors import ConfigError

_REFUSED = re.compile(
    r"\\.|(\[\^?\]|\(\?[=!>#]|[*+?]\+|\{\d*,?\d*\}\+|\{\})|\[(?:\\.|[^]\\])*\]", re.DOTALL
)
"""Group 1 is syntax that interegular reads differently from Python; skips escapes and classes."""


def regex_arcs(name: str, pattern: str, charset: Charset) -> tuple[Arcs, Hashable, frozenset[Any]]:
    """Compile a regular expression; it must match the whole text.

    Args:
        name: Name of the grammar, for messages.
        pattern: The regular expression, in Python's syntax.
        charset: The model's characters; ``.`` and ``[^...]`` stand for these alone.

    Returns:
        Arcs, start and accepting states.

    Raises:
        ConfigError: It is no regular expression, uses back references (not regular), anchors or
            look-around (not supported), or needs a character outside the charset.
    """
    machine = _compile(name, pattern)
    live = {state for state in machine.states if machine.islive(state)}  # type: ignore[no-untyped-call]

    def target(state: Any, symbol: Any) -> Any:
        following = machine.map.get(state, {}).get(machine.alphabet[symbol])
        return following if following in live else None

    named = [symbol for symbol in machine.alphabet if symbol is not anything_else]
    # A ``.`` adds the newline, which it does not match, to the named symbols.
    for symbol in sorted(set(named) - {*charset.characters, "\n"}):
        # A character is needed where it leads to another state than characters without a name.
        if any(target(s, symbol) not in (None, target(s, anything_else)) for s in live):
            raise ConfigError(
                f"grammar {name}: expected characters of {charset.characters!r}, found {symbol!r}"
            )
    arcs: dict[Hashable, dict[str, Hashable]] = {}
    for state in live:
        following = {
            c: target(state, c if c in named else anything_else) for c in charset.characters
        }
        arcs[state] = {c: following for c, following in following.items() if following is not None}
    return arcs, machine.initial, frozenset(machine.finals)


def _compile(name: str, pattern: str) -> FSM:
    """Compile a pattern; the symbols are the characters that it names, and one for all others."""
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            re.compile(pattern)  # its errors name the cause and the position
        if refused := [match[1] for match in _REFUSED.finditer(pattern) if match[1]]:
            raise Unsupported(repr(refused[0]))
        return parse_pattern(pattern).to_fsm()
    except Unsupported as error:
        raise ConfigError(
            f"grammar {name}: expected a regular expression of characters, classes, groups, | and "
            f"repeats, without anchors (the whole text is matched), found: {error}"
        ) from None
    except (re.error, InvalidSyntax, LookupError, ValueError, ArithmeticError, RecursionError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise ConfigError(
            f"grammar {name}: expected a regular expression, found: {reason}"
        ) from None
