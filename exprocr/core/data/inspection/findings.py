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
    "loading": Kind("missing image or label, or wrong value", True),
    "unreadable": Kind("unreadable image", True),
    "too_long": Kind("label too long for the width", True),
    "other_label": Kind("the same image with another label", True),
    "across_split": Kind("the same image in train and val", True),
    "twice": Kind("the same image twice", True),
    "near_other_label": Kind("near-duplicate with another label", True),
    "near_across_split": Kind("near-duplicate in train and val", True),
    "near_twice": Kind("near-duplicate", False),
    "outside_grammar": Kind("label outside the grammar of the others", True),
    "only_in_val": Kind("character in validation only", True),
    "seen_once": Kind("character seen once", False),
    "blank": Kind("blank image with a label", True),
    "frames": Kind("more than one frame or page", False),
    "polarity": Kind("light on dark or the reverse", False),
    "size": Kind("unusual size", False),
    "ink": Kind("unusual amount of ink", False),
    "length": Kind("unusual length of the label", False),
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
