"""The shapes of texts, such as those of plates: a letter, three digits, two letters, two digits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import groupby

from exprocr.core.system.limits import MAX_PATTERN_LENGTH
from exprocr.core.text.charset import Charset

MIN_TEXTS = 100
"""Fewer different texts tell too little of those that they leave out."""

MAX_SHAPES = 20

MAX_NEW = 0.001
"""Largest chance of a text whose shape is new: the model could not read it."""

_ESCAPED = re.compile(r"[\\.^$*+?{}\[\]|()]")


def pattern_of(texts: Collection[str], charset: Charset) -> str | None:
    """Return a regular expression of the shapes that texts have, or None if they have too many.

    A shape says of each character whether it is a digit, a letter, or which other one. The share of
    texts whose shape no other has is an estimate of the chance that a further text has a new shape
    (Good 1953, equation 9). So of a thousand texts, such as plates, one may be ``N/A``.

    Args:
        texts: Different texts.
        charset: The characters that further texts can have, those of the texts among them.
    """
    counts = Counter(tuple(map(_kind, text)) for text in texts)
    num_alone = sum(count == 1 for count in counts.values())
    if len(texts) < MIN_TEXTS or len(counts) > MAX_SHAPES or num_alone > MAX_NEW * len(texts):
        return None
    classes = {
        kind: _class([c for c in charset.characters if _kind(c) == kind])
        for kind in ("digit", "letter")
    }
    pattern = "|".join(
        "".join(
            classes.get(kind, _ESCAPED.sub(r"\\\g<0>", kind)) + (f"{{{num}}}" if num > 1 else "")
            for kind, num in ((kind, len(list(run))) for kind, run in groupby(shape))
        )
        for shape in sorted(counts)
    )
    return pattern if len(pattern) <= MAX_PATTERN_LENGTH else None


def _class(characters: Iterable[str]) -> str:
    """Return the class of some characters; neighbors are a range."""
    points = sorted(map(ord, characters))
    runs = [
        [point for _, point in run]
        for _, run in groupby(enumerate(points), key=lambda pair: pair[1] - pair[0])
    ]
    parts = (f"{chr(r[0])}-{chr(r[-1])}" if len(r) > 2 else "".join(map(chr, r)) for r in runs)
    return f"[{''.join(parts)}]"


def _kind(character: str) -> str:
    if character.isdecimal():
        return "digit"
    return "letter" if character.isalpha() else character
