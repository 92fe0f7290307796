"""The shapes of texts, such as those of plates: a letter, three digits, two letters, two digits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from itertools import groupby

from exprocr.core.system.limits import MAX_PATTERN_LENGTH

MIN_TEXTS = 100
"""Fewer different texts tell too little of those that they leave out."""

MAX_SHAPES = 20


def pattern_of(texts: Collection[str]) -> str | None:
    """Return a regular expression of the shapes that texts have, or None if they have too many.

    A shape says of each character whether it is a digit, a letter, or which other one. The share of
    texts whose shape no other has is an estimate of the chance that a further text has a new shape
    (Good 1953, equation 9); so there must be none.

    Args:
        texts: Different texts.
    """
    counts = Counter(tuple(map(_kind, text)) for text in texts)
    if len(texts) < MIN_TEXTS or len(counts) > MAX_SHAPES or 1 in counts.values():
        return None
    letters = "".join(sorted({c for text in texts for c in text if _kind(c) == "letter"}))
    classes = {"digit": "[0-9]", "letter": f"[{letters}]"}
    pattern = "|".join(
        "".join(
            classes.get(kind, re.escape(kind)) + (f"{{{num}}}" if num > 1 else "")
            for kind, num in ((kind, len(list(run))) for kind, run in groupby(shape))
        )
        for shape in sorted(counts)
    )
    return pattern if len(pattern) <= MAX_PATTERN_LENGTH else None


def _kind(character: str) -> str:
    if character in "0123456789":
        return "digit"
    return "letter" if character.isalpha() else character
