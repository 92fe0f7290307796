"""Inspecting a data set: its counts, and all that is wrong or odd, before any training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from exprocr.core.data.dataset import DataSet
from exprocr.core.data.image_reader import read_all
from exprocr.core.data.inspection.findings import KINDS, Finding
from exprocr.core.data.inspection.likeness import near_duplicates
from exprocr.core.data.inspection.sight import Sight, look
from exprocr.core.data.labels import Sample
from exprocr.core.text.charset import Charset, num_frames_needed
from exprocr.core.text.grammar.grammars import SHIPPED, Grammar, load_grammar_alone, tightest
from exprocr.core.text.notation import respelled
from exprocr.words import MORE_FRAMES, quantity, quoted, shortened

NEARLY_ALL = 0.95
"""Share of the labels that fit a grammar, or of the pictures of one polarity, from which on the
others are odd."""

FAR = 6.0
"""Distance from the median, in standard deviations, from which on a value is far from the others.
The deviation is estimated by the quartiles, which a few odd values do not move."""

LEAST_DEVIATIONS = {"size": 0.1, "ink": 0.15, "length": 1.0}
"""Least standard deviations: of the logarithms of sizes and shares of ink, and of the number of
characters. Where nearly all are equal, a small difference is not odd."""

NORMAL_QUARTILES = 1.349
"""Distance of the quartiles of a normal distribution, in standard deviations."""

VAL = "val"


@dataclass(frozen=True)
class Looked:
    """A sample, and what was seen of its picture."""

    part: str
    """The part of the data set: ``train``, ``val`` or ``all``."""

    sample: Sample
    sight: Sight | str
    """What was seen, or the reason why the picture cannot be read."""


@dataclass(frozen=True)
class Fit:
    """A grammar, and how many labels it accepts."""

    grammar: str
    """Its name."""

    share: float
    """Share of the labels that it accepts, 0..1."""


@dataclass
class Inspection:
    """What is in a data set, and what is wrong with it."""

    looked: list[Looked]
    """All samples, part by part, in order."""

    findings: list[Finding] = field(default_factory=list)
    """What is wrong or odd, in the order of `KINDS`."""

    @property
    def num_defects(self) -> int:
        """Findings that are to be mended."""
        return sum(finding.is_defect for finding in self.findings)

    @property
    def parts(self) -> dict[str, int]:
        """Number of labels of each part."""
        return dict(Counter(one.part for one in self.looked))

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many pictures have each width and height, px."""
        return Counter(sight.size for _, sight in self.seen)

    @property
    def characters(self) -> Counter[str]:
        """How often each character stands in the labels."""
        return Counter(c for one in self.looked for c in one.sample.text)

    @property
    def lengths(self) -> Counter[int]:
        """How many labels have each number of characters."""
        return Counter(len(one.sample.text) for one in self.looked)

    @cached_property
    def seen(self) -> list[tuple[Looked, Sight]]:
        """The samples whose pictures can be read."""
        return [(one, one.sight) for one in self.looked if isinstance(one.sight, Sight)]

    @cached_property
    def all_fit(self) -> Fit:
        """The tightest grammar that accepts every label."""
        texts = {one.sample.text for one in self.looked}
        return Fit(tightest(texts, Charset.from_texts(texts)), 1.0)

    @cached_property
    def nearly_all_fit(self) -> Fit:
        """The tightest grammar that accepts nearly all labels."""
        counts = Counter(one.sample.text for one in self.looked)
        for grammar in _grammars():
            share = sum(n for text, n in counts.items() if grammar.accepts(text)) / counts.total()
            if share >= NEARLY_ALL:
                return Fit(grammar.name, share)
        return self.all_fit


def inspect(
    data: DataSet,
    num_frames: Callable[[tuple[int, int]], int],
    *,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> Inspection:
    """Look at all pictures and labels of a data set.

    Args:
        data: The data set.
        num_frames: Returns the network's number of frames for a picture (width, height), px.
        workers: Number of processes that read pictures.
        progress: Called with a number of pictures, once as they are read and once as they are
            compared.
    """
    samples = [(part, sample) for part, samples in data.parts.items() for sample in samples]
    looked = []
    with closing(read_all([s.source for _, s in samples], look, workers)) as sights:
        for (part, sample), sight in zip(samples, sights, strict=True):
            looked.append(Looked(part, sample, sight))
            if progress is not None:
                progress(1)
    inspection = Inspection(looked)
    found = [Finding("loading", warning) for warning in data.warnings]
    for finder in (_unreadable, _outside_grammar, _odd_characters, _odd_pictures):
        found += finder(inspection)
    found += _too_long(inspection, num_frames)
    found += _repeated(inspection, progress)
    order = list(KINDS)
    inspection.findings = sorted(found, key=lambda finding: order.index(finding.kind))
    return inspection


def _of(kind: str, one: Looked, message: str) -> Finding:
    return Finding(kind, f"{one.sample.path}: {message}", (str(one.sample.path),))


def _label(one: Looked) -> str:
    return quoted(one.sample.text)


def _unreadable(inspection: Inspection) -> Iterator[Finding]:
    for one in inspection.looked:
        if isinstance(one.sight, str):
            yield Finding("unreadable", one.sight, (str(one.sample.path),))


def _too_long(
    inspection: Inspection, num_frames: Callable[[tuple[int, int]], int]
) -> Iterator[Finding]:
    for one, sight in inspection.seen:
        needed, there = num_frames_needed(one.sample.text), num_frames(sight.size)
        if needed > there:
            width, height = sight.size
            yield _of(
                "too_long",
                one,
                f"the label {_label(one)} needs {quantity(needed, 'frame')}, a picture of "
                f"{width} x {height} px gives {there}",
            )


def _repeated(
    inspection: Inspection, progress: Callable[[int], object] | None
) -> Iterator[Finding]:
    """Find the same picture twice, and then near-duplicates among different pictures."""
    groups: dict[bytes, list[Looked]] = {}
    for one, sight in inspection.seen:
        if not sight.is_blank:
            groups.setdefault(sight.digest, []).append(one)
    for group in groups.values():
        if len(group) > 1:
            yield _repeat(group, "")
    different = list(groups.values())
    maps = [one.sight.ink for one, *_ in different if isinstance(one.sight, Sight)]
    for indices in near_duplicates(maps, progress):
        yield _repeat([different[index][0] for index in indices], "near_")


def _repeat(group: Sequence[Looked], near: str) -> Finding:
    """Return the finding of pictures that are the same, or nearly."""
    parts = list(dict.fromkeys(one.part for one in group))
    texts = list(dict.fromkeys(one.sample.text for one in group))
    if len(texts) > 1:
        kind, remark = "other_label", "labels " + ", ".join(map(quoted, texts[:3]))
    elif len(parts) > 1:
        kind, remark = "across_split", "in " + " and ".join(parts)
    else:
        kind, remark = "twice", f"label {quoted(texts[0])}"
    if len(texts) > 1 and len(parts) > 1:
        remark += ", in " + " and ".join(parts)
    kind = near + kind
    first, other = (
        group[0].sample.path,
        next(
            (
                one
                for one in group
                if one.sample.text != group[0].sample.text or one.part != parts[0]
            ),
            group[1],
        ).sample.path,
    )
    more = f" and {len(group) - 2:,} more" if len(group) > 2 else ""
    same = "nearly the same as" if near else "the same as"
    paths = tuple(str(one.sample.path) for one in group)
    return Finding(kind, f"{first}: {same} {other}{more}; {remark}", paths)


def _grammars() -> list[Grammar]:
    """Return the shipped grammars over their own characters, the tightest first."""
    return [load_grammar_alone(name) for name in SHIPPED if name != "none"]


def _outside_grammar(inspection: Inspection) -> Iterator[Finding]:
    """Find labels outside the grammar of nearly all others, and guess what they should be."""
    name = inspection.nearly_all_fit.grammar
    if name == "none":
        return
    grammar = load_grammar_alone(name)
    for one in inspection.looked:
        if grammar.accepts(one.sample.text):
            continue
        guess = respelled(one.sample.text, grammar.charset.characters)
        hint = f"; meant is probably {quoted(guess)}" if grammar.accepts(guess) else ""
        yield Finding(
            "outside_grammar",
            f"{one.sample.where}: the label {_label(one)} is outside the grammar {name}, which "
            f"{inspection.nearly_all_fit.share:.1%} of the labels fit{hint}",
            (str(one.sample.path),),
        )


def _odd_characters(inspection: Inspection) -> Iterator[Finding]:
    """Find characters that stand in one label alone, and those that no training label has."""
    counts = inspection.characters
    trained = {c for one in inspection.looked if one.part != VAL for c in one.sample.text}
    places: dict[str, Looked] = {}
    for one in inspection.looked:
        for character in one.sample.text:
            places.setdefault(character, one)
    for character in sorted(counts):
        one = places[character]
        where = f"{one.sample.where}: {quoted(character)}, in the label {_label(one)}"
        paths = (str(one.sample.path),)
        if character not in trained:
            text = f"{where}, is in no label of train"
            yield Finding("only_in_val", text, paths)
        elif counts[character] == 1:
            yield Finding("seen_once", f"{where}, is nowhere else", paths)


def _odd_pictures(inspection: Inspection) -> Iterator[Finding]:
    """Find blank pictures, several in a file, and those that are unlike nearly all others."""
    inked = [(one, sight) for one, sight in inspection.seen if not sight.is_blank]
    for one, sight in inspection.seen:
        if sight.is_blank:
            yield _of("blank", one, f"nothing is to be seen, the label is {_label(one)}")
        if sight.more_frames:
            yield _of("frames", one, MORE_FRAMES)
    num_light = sum(sight.is_light_on_dark for _, sight in inked)
    for is_light, number in ((True, num_light), (False, len(inked) - num_light)):
        if 0 < number <= (1 - NEARLY_ALL) * len(inked):
            this, others = ("light on dark", "dark on light")[:: 1 if is_light else -1]
            for one, sight in inked:
                if sight.is_light_on_dark == is_light:
                    yield _of("polarity", one, f"{this}, where nearly all others are {others}")
    for axis, name in ((0, "wide"), (1, "high")):
        logs = [math.log(sight.size[axis]) for _, sight in inspection.seen]
        for index, usual in _far(logs, "size"):
            one, sight = inspection.seen[index]
            text = f"{sight.size[axis]:,} px {name}, the others about {math.exp(usual):,.0f}"
            yield _of("size", one, text)
    shares = [math.log(max(sight.ink_share, 1e-4)) for _, sight in inked]
    for index, usual in _far(shares, "ink"):
        one, sight = inked[index]
        text = f"{sight.ink_share:.1%} of it is ink, of the others about {math.exp(usual):.1%}"
        yield _of("ink", one, text)
    for index, usual in _far([len(one.sample.text) for one in inspection.looked], "length"):
        one = inspection.looked[index]
        yield Finding(
            "length",
            f"{one.sample.where}: the label {shortened(one.sample.text)} has "
            f"{quantity(len(one.sample.text), 'character')}, the others about {usual:.0f}",
            (str(one.sample.path),),
        )


def _far(values: Sequence[float], kind: str) -> Iterator[tuple[int, float]]:
    """Yield the index of each value that is far from the others, and the median."""
    if not values:
        return
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    deviation = max((high - low) / NORMAL_QUARTILES, LEAST_DEVIATIONS[kind])
    for index in np.flatnonzero(np.abs(np.asarray(values) - median) > FAR * deviation):
        yield int(index), float(median)
