"""Choosing fonts for a text among fonts of which some lack characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exprocr.errors import FontError
from exprocr.synth.fonts import FontFile

MAX_SETS_KNOWN = 10_000
"""Sets of characters whose families are remembered, at most."""


class Typefaces:
    """Draws random fonts that have all characters of a text.

    First a family is drawn, then one of its fonts, so that all families are equally frequent.

    Args:
        fonts: Usable fonts; for a text whose characters no font has all, others help out.
        characters: The characters of the texts.

    Raises:
        FontError: A character is in none of them.
    """

    def __init__(self, fonts: Sequence[FontFile], characters: str) -> None:
        self.fonts = list(fonts)
        lacks = [set(font.lacks) for font in fonts]
        if nobody := set.intersection(*lacks) & set(characters):
            raise FontError(
                f"expected fonts that draw {characters!r}, found {len(lacks):,} fonts, none of "
                f"which has {''.join(sorted(nobody))!r}"
            )
        self._rare = frozenset(set().union(*lacks))
        self._lacking = {c: np.array([c in lack for lack in lacks]) for c in self._rare}
        self._families: dict[frozenset[str], list[list[FontFile]]] = {}

    def draw(self, text: str, rng: np.random.Generator) -> list[FontFile]:
        """Return a font for each character: the same one, if a font has them all."""
        families = self._having(self._rare.intersection(text))
        family = families[int(rng.random() * len(families))]
        font = family[int(rng.random() * len(family))]
        return [font] * len(text) if not font.lacks else self._with_help(font, text, rng)

    def complete(
        self, fonts: Sequence[FontFile], text: str, rng: np.random.Generator
    ) -> Sequence[FontFile]:
        """Return a font for each character, others instead of those that lack one of theirs."""
        if not any(font.lacks for font in fonts):
            return fonts
        result = list(fonts)
        for font in dict.fromkeys(fonts):
            places = [i for i, one in enumerate(fonts) if one == font]
            part = "".join(text[i] for i in places)
            if set(font.lacks).intersection(part):
                for i, other in zip(places, self.draw(part, rng), strict=True):
                    result[i] = other
        return result

    def _having(self, characters: frozenset[str]) -> list[list[FontFile]]:
        """Return the families with the fonts that have these characters, or most of them."""
        if characters not in self._families:
            if len(self._families) > MAX_SETS_KNOWN:
                self._families.clear()
            num_lacking = np.zeros(len(self.fonts), dtype=np.intp)
            for character in characters:
                num_lacking += self._lacking[character]
            families: dict[str, list[FontFile]] = {}
            for i in np.flatnonzero(num_lacking == num_lacking.min()).tolist():
                families.setdefault(self.fonts[i].family, []).append(self.fonts[i])
            self._families[characters] = list(families.values())
        return self._families[characters]

    def _with_help(self, font: FontFile, text: str, rng: np.random.Generator) -> list[FontFile]:
        fonts = dict.fromkeys(text, font)
        for character in set(text).intersection(font.lacks):
            fonts[character] = self.draw(character, rng)[0]
        return [fonts[c] for c in text]
