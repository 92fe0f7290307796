"""The texts of rendered pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Texts(Protocol):
    """A random source of texts, of which a renderer draws pictures."""

    @property
    def characters(self) -> str:
        """The characters that its texts can have, sorted."""
        ...

    def draw(self, rng: np.random.Generator, /) -> str:
        """Return a random text."""
        ...


@dataclass(frozen=True)
class Level1:
    """The contest's 27,000 expressions; each of three templates is equally often."""

    characters: str = "()*+-0123456789"

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random expression."""
        template = ("{}{}{}{}{}", "({}{}{}){}{}", "{}{}({}{}{})")[rng.integers(3)]
        a, b, c = rng.integers(10, size=3).tolist()
        first, second = rng.integers(3, size=2).tolist()
        return template.format(a, "+-*"[first], b, "+-*"[second], c)


LEVEL1 = Level1()
