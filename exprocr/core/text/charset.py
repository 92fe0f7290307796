"""Text <-> class ids; also defines the class id of the CTC blank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from exprocr.core.system.limits import MAX_CHARACTERS
from exprocr.errors import DataError
from exprocr.words import quoted

BLANK = 0
"""Class id of the CTC blank; the characters have the ids from 1 on."""


@dataclass(frozen=True)
class Charset:
    """The characters a model can read, in the order of their class ids.

    Args:
        characters: Unique characters; ``characters[i]`` has class id ``i + 1``.

    Raises:
        ValueError: ``characters`` is empty, repeats a character, or has more than
            `MAX_CHARACTERS`.
    """

    characters: str

    def __post_init__(self) -> None:
        if not self.characters or len(set(self.characters)) != len(self.characters):
            found = quoted(self.characters)
            raise ValueError(f"a charset needs unique characters, found {found}")
        if len(self.characters) > MAX_CHARACTERS:
            raise ValueError(
                f"a charset has at most {MAX_CHARACTERS:,} characters, found "
                f"{len(self.characters):,}"
            )

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Charset:
        """Return the charset of all characters of ``texts``, sorted by code point."""
        return cls("".join(sorted(set().union(*texts))))

    @property
    def num_classes(self) -> int:
        """Number of classes, the blank included."""
        return len(self.characters) + 1

    def missing(self, text: str) -> str:
        """Return the characters of ``text`` that are outside the charset, each once, in order."""
        return "".join(dict.fromkeys(c for c in text if c not in self.characters))

    def encode(self, text: str) -> list[int]:
        """Return the class ids of ``text``.

        Raises:
            DataError: A character is outside the charset.
        """
        if missing := self.missing(text):
            raise DataError(
                f"label {quoted(text)}: expected characters of {quoted(self.characters)}, "
                f"found {quoted(missing)}"
            )
        return [self.characters.index(c) + 1 for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of class ids, which must not contain the blank."""
        return "".join(self.characters[i - 1] for i in ids)


def num_frames_needed(text: str) -> int:
    """Return the fewest frames that CTC can align a text to.

    These are one for each character, and one for the blank between two equal neighbors (Graves et
    al. 2006).
    """
    return len(text) + sum(a == b for a, b in pairwise(text))
