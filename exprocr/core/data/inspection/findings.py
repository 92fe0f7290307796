"""What can be wrong with a data set: the kinds of findings, and which of them are to be mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of finding."""

    title: str
    """What it is, for people."""

    is_defect: bool
    """Whether it is to be mended, or else worth a look."""


KINDS = {
    "loading": Kind("labels or pictures missing or in doubt", True),
    "unreadable": Kind("unreadable pictures", True),
    "too_long": Kind("labels too long for their picture's width", True),
    "other_label": Kind("the same picture with another label", True),
    "across_split": Kind("the same picture in train and val", True),
    "twice": Kind("the same picture twice", True),
    "near_other_label": Kind("near-duplicates with another label", True),
    "near_across_split": Kind("near-duplicates in train and val", True),
    "near_twice": Kind("near-duplicates", False),
    "outside_grammar": Kind("labels outside the grammar of nearly all others", True),
    "only_in_val": Kind("characters in validation only", True),
    "seen_once": Kind("characters seen once", False),
    "blank": Kind("blank pictures with a label", True),
    "polarity": Kind("light on dark, unlike nearly all others, or the reverse", False),
    "size": Kind("size far from that of the others", False),
    "ink": Kind("much more or much less ink than the others", False),
    "length": Kind("label much longer or shorter than the others", False),
}
"""The kinds by name, in the order in which they are shown."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or odd."""

    kind: str
    """A name in `KINDS`."""

    message: str
    """What is wrong, in one line, with the picture or label concerned."""

    paths: tuple[str, ...] = ()
    """The pictures concerned."""

    @property
    def is_defect(self) -> bool:
        """Whether it is to be mended."""
        return KINDS[self.kind].is_defect
