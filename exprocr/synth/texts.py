"""The texts of rendered pictures: of a grammar, of a file, or of a named distribution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from exprocr.core.config.schema import Kind, SynthConfig
from exprocr.core.text.charset import BLANK, num_frames_needed
from exprocr.core.text.grammar.grammars import Grammar, load_grammar_alone
from exprocr.core.text.grammar.lexicon import read_texts
from exprocr.core.text.grammar.sampling import check_visible, make_sampler
from exprocr.errors import ConfigError
from exprocr.synth.exercises import CAPTCHA, SUMS, WORKSHEET, accepts_drawn
from exprocr.words import quoted, shortened


class Texts(Protocol):
    """A random source of texts, of which a renderer draws pictures."""

    @property
    def characters(self) -> str:
        """The characters that its texts can have, sorted."""
        ...

    @property
    def max_frames(self) -> int:
        """Frames that CTC needs for the most demanding text; see `num_frames_needed`."""
        ...

    def draw(self, rng: np.random.Generator, /) -> str:
        """Return a random text."""
        ...

    def is_within(self, grammar: Grammar, /) -> bool:
        """Return whether a grammar accepts all of its texts."""
        ...


@dataclass(frozen=True)
class Level1:
    """The contest's 27,000 expressions; each of three templates is equally often."""

    characters: str = "()*+-0123456789"
    max_frames: int = 7

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random expression."""
        template = ("{}{}{}{}{}", "({}{}{}){}{}", "{}{}({}{}{})")[rng.integers(3)]
        a, b, c = rng.integers(10, size=3).tolist()
        first, second = rng.integers(3, size=2).tolist()
        return template.format(a, "+-*"[first], b, "+-*"[second], c)

    def is_within(self, grammar: Grammar) -> bool:
        """Return whether a grammar accepts an expression of each template."""
        return all(map(grammar.accepts, ("1+2*3", "(1+2)*3", "1+(2*3)")))


LEVEL1 = Level1()

UNKNOWN = "\ufffd"
"""The text of what is no arithmetic: Unicode's replacement character. It is drawn as a random
letter (`exprocr.synth.renderer.Renderer.render`)."""


@dataclass(frozen=True)
class Unknown:
    """Words of unknown characters, which no grammar of arithmetic accepts.

    A network that learns them does not read letters as the digits that they resemble.
    """

    characters: str = UNKNOWN
    max_length: int = 10

    @property
    def max_frames(self) -> int:
        """Frames of the longest word: all characters are alike, with a blank between them."""
        return 2 * self.max_length - 1

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random word."""
        return UNKNOWN * int(rng.integers(2, self.max_length + 1))

    def is_within(self, grammar: Grammar) -> bool:
        """Return whether a grammar accepts the words."""
        return grammar.accepts(UNKNOWN)


@dataclass(frozen=True)
class Readings:
    """Numbers as meters and scales show them: some begin with zeros, some have a point."""

    characters: str = ".0123456789"
    max_digits: int = 8

    @property
    def max_frames(self) -> int:
        """Frames of the longest number: all digits are alike, with a blank between them."""
        return 2 * self.max_digits - 1

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random number."""
        num = int(rng.integers(1, self.max_digits + 1))
        digits = rng.integers(10, size=num)
        if rng.random() < 0.3:
            digits[: rng.integers(num)] = 0
        text = "".join(map(str, digits.tolist()))
        if num == 1 or rng.random() < 0.6:
            return text
        place = num - int(rng.integers(1, min(num, 4)))
        return f"{text[:place]}.{text[place:]}"

    def is_within(self, grammar: Grammar) -> bool:
        """Return whether a grammar accepts all of many random numbers."""
        return accepts_drawn(grammar, self.draw)


NAMED: dict[str, Texts] = {
    "level1": LEVEL1,
    "captcha": CAPTCHA,
    "sums": SUMS,
    "worksheet": WORKSHEET,
    "readings": Readings(),
    "unknown": Unknown(),
}
"""The distributions of `exprocr.choices.TEXTS_LIKE`."""


class GrammarTexts:
    """The texts of a grammar; `exprocr.core.text.grammar.sampling` describes their distribution.

    Args:
        grammar: The grammar.
        max_length: Most characters of a text where it has too many texts to draw from all.

    Raises:
        ConfigError: It has no text that a picture can show.
    """

    def __init__(self, grammar: Grammar, max_length: int) -> None:
        self.grammar = grammar
        characters = grammar.charset.characters
        try:
            check_visible(grammar.automaton, characters)
            self._sampler = make_sampler(grammar.automaton, max_length)
        except ConfigError as error:
            raise ConfigError(f"grammar {shortened(grammar.name)}: {error}") from None
        used = np.unique(grammar.automaton.arcs[1]) - BLANK - 1
        self.characters = "".join(sorted(characters[i] for i in used.tolist()))
        self.max_frames = self._sampler.max_frames

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random text."""
        return self.grammar.charset.decode(self._sampler.draw(rng))

    def is_within(self, grammar: Grammar) -> bool:
        """Return whether another grammar accepts all of its texts."""
        return grammar.includes(self.grammar)


class ListedTexts:
    """The texts of a list, each as often as it is there.

    Args:
        texts: At least one.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.characters = "".join(sorted(set().union(*self.texts)))
        self.max_frames = max(map(num_frames_needed, self.texts))

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random text of the list."""
        return self.texts[int(rng.integers(len(self.texts)))]

    def is_within(self, grammar: Grammar) -> bool:
        """Return whether a grammar accepts all of the texts."""
        return all(map(grammar.accepts, set(self.texts)))


def sources(kinds: Iterable[Kind], texts: Texts) -> dict[str, Texts]:
    """Return what is drawn, by the names in `Kind.texts_like`.

    Args:
        kinds: The kinds of pictures.
        texts: The texts of those without a name.
    """
    return {kind.texts_like: NAMED.get(kind.texts_like, texts) for kind in kinds}


def characters_of(texts: Mapping[str, Texts]) -> str:
    """Return the characters of all texts, sorted."""
    return "".join(sorted(set().union(*(one.characters for one in texts.values()))))


def load_texts(config: SynthConfig) -> Texts:
    """Return what the settings describe: a grammar, a file or a distribution; else ``level1``.

    Raises:
        ConfigError: The grammar or the file cannot be used.
    """
    if config.grammar:
        return GrammarTexts(load_grammar_alone(config.grammar), config.max_length)
    if config.texts:
        return _read_listed(Path(config.texts))
    return NAMED[config.texts_like or "level1"]


def _read_listed(path: Path) -> ListedTexts:
    """Read a text file with one text per line; empty lines are skipped.

    Raises:
        ConfigError: It cannot be used, or a line has something that a picture cannot show.
    """
    texts = read_texts(path, "texts")
    for text in texts:
        if not text.isprintable():
            raise ConfigError(
                f"texts: {path}: expected visible characters and blanks, found {quoted(text)}"
            )
    return ListedTexts(texts)
