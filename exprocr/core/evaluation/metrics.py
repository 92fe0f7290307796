"""Recognition metrics as counts that add up, and the rule for which evaluation is the best.

Every rate is computed from sums over all images, never as a mean of means: the evaluations of two
halves, added, equal the evaluation of the whole.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple

EditKind = Literal["substitute", "delete", "insert"]


class EditOp(NamedTuple):
    """One edit on the way from the truth to the reading."""

    kind: EditKind
    """``delete``: the reading lacks the character; ``insert``: the reading has an extra one."""
    truth_char: str
    """The character of the truth, ``''`` for an insertion."""
    read_char: str
    """The character of the reading, ``''`` for a deletion."""


def align(truth: str, read: str) -> list[tuple[str, str]]:
    """Align two texts with the fewest edits (Levenshtein 1966; Wagner and Fischer 1974).

    Of several minimal alignments it is always the same one: traced from the end, a pair of
    characters is preferred to a deletion, and a deletion to an insertion.

    Args:
        truth: The right text, R characters.
        read: The text that was read, S characters. Time and memory are O(R * S).

    Returns:
        Pairs (character of ``truth``, character of ``read``) in order, ``''`` where a side has
        none; the first parts joined are ``truth``, the second parts joined are ``read``.
    """
    # costs[i][j]: edits that turn truth[:i] into read[:j]
    costs = [list(range(len(read) + 1))]
    for i, truth_char in enumerate(truth, start=1):
        above = costs[-1]
        row = [i]
        for j, read_char in enumerate(read, start=1):
            paired = above[j - 1] + (truth_char != read_char)
            row.append(min(paired, above[j] + 1, row[j - 1] + 1))
        costs.append(row)

    pairs: list[tuple[str, str]] = []
    i, j = len(truth), len(read)
    while i or j:
        cost = costs[i][j]
        if i and j and cost == costs[i - 1][j - 1] + (truth[i - 1] != read[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((truth[i], read[j]))
        elif i and cost == costs[i - 1][j] + 1:
            i -= 1
            pairs.append((truth[i], ""))
        else:
            j -= 1
            pairs.append(("", read[j]))
    pairs.reverse()
    return pairs


def edit_operations(truth: str, read: str) -> list[EditOp]:
    """Return the edits of `align`, in the order of the text; their number is the distance."""
    if truth == read:
        return []
    return [EditOp(_kind(t, r), t, r) for t, r in align(truth, read) if t != r]


def _kind(truth_char: str, read_char: str) -> EditKind:
    if not truth_char:
        return "insert"
    return "substitute" if read_char else "delete"


@dataclass
class Evaluation:
    """Counts over the images read so far; add two evaluations to merge them.

    Rates are 0.0 where there is nothing to divide by.
    """

    num_images: int = 0
    """Images read."""
    num_exact: int = 0
    """Images whose text is right."""
    num_value: int = 0
    """Images whose value is right; where the truth has no value, whose text is right."""
    num_both: int = 0
    """Images whose text and value are both right."""
    num_chars: int = 0
    """Characters of all truths together."""
    insertions: int = 0
    """Characters that the readings have too many."""
    deletions: int = 0
    """Characters of the truths that the readings lack."""
    substitutions: int = 0
    """Characters that were read as another one."""
    sum_normalized_edit_distance: float = 0.0
    """Sum over the images of edit distance / max(length of the truth, 1)."""
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Edits by (character of the truth, character read), ``''`` where there is none."""

    def add(
        self,
        truth: str,
        truth_value: Fraction | None,
        read: str,
        read_value: Fraction | None,
    ) -> None:
        """Count one image.

        Args:
            truth: The right text.
            truth_value: Its value as the label gives it, None if undefined (division by zero).
            read: The text that was read.
            read_value: The value of ``read``, None if undefined.
        """
        exact = read == truth
        value = exact if truth_value is None else read_value == truth_value
        self.num_images += 1
        self.num_exact += exact
        self.num_value += value
        self.num_both += exact and value
        self.num_chars += len(truth)
        operations = edit_operations(truth, read)
        for kind, truth_char, read_char in operations:
            self.insertions += kind == "insert"
            self.deletions += kind == "delete"
            self.substitutions += kind == "substitute"
            self.confusions[truth_char, read_char] += 1
        self.sum_normalized_edit_distance += len(operations) / max(len(truth), 1)

    def __add__(self, other: Evaluation) -> Evaluation:
        """Return the evaluation of both sets of images together."""
        if not isinstance(other, Evaluation):
            return NotImplemented
        return Evaluation(
            num_images=self.num_images + other.num_images,
            num_exact=self.num_exact + other.num_exact,
            num_value=self.num_value + other.num_value,
            num_both=self.num_both + other.num_both,
            num_chars=self.num_chars + other.num_chars,
            insertions=self.insertions + other.insertions,
            deletions=self.deletions + other.deletions,
            substitutions=self.substitutions + other.substitutions,
            sum_normalized_edit_distance=(
                self.sum_normalized_edit_distance + other.sum_normalized_edit_distance
            ),
            confusions=self.confusions + other.confusions,
        )

    @property
    def num_edits(self) -> int:
        """Insertions, deletions and substitutions together."""
        return self.insertions + self.deletions + self.substitutions

    @property
    def exact_match(self) -> float:
        """Share of images whose text is right, 0..1."""
        return _ratio(self.num_exact, self.num_images)

    @property
    def value_match(self) -> float:
        """Share of images whose value is right, 0..1."""
        return _ratio(self.num_value, self.num_images)

    @property
    def contest_score(self) -> float:
        """Share of images whose text and value are both right, 0..1."""
        return _ratio(self.num_both, self.num_images)

    @property
    def cer(self) -> float:
        """Character error rate: edits / characters of the truths; insertions can lift it over 1."""
        return _ratio(self.num_edits, self.num_chars)

    @property
    def normalized_edit_distance(self) -> float:
        """Mean over the images of edit distance / length of the truth.

        The convention of TensorFlow's ``edit_distance(normalize=True)``, except that an empty
        truth counts with length 1 and so stays finite.
        """
        return _ratio(self.sum_normalized_edit_distance, self.num_images)

    def top_confusions(self, k: int) -> list[tuple[tuple[str, str], int]]:
        """Return the ``k`` most frequent confusions and their counts, ties in the pairs' order."""
        ranked = sorted(self.confusions.items(), key=lambda item: (-item[1], item[0]))
        return ranked[: max(k, 0)]


Score = tuple[float, float]
"""What evaluations are compared by; the greater is the better. See `score`."""

NO_SCORE: Score = (-1.0, 0.0)
"""The score of a network that was never evaluated: below every other."""


def score(exact_match: float, loss: float | None) -> Score:
    """Return what decides which of several evaluations is the best.

    The exact match counts first; between equals, the lower loss.

    Args:
        exact_match: Share of images whose text is right, 0..1; -1 where nothing was evaluated.
        loss: Mean loss; None or NaN where it is unknown, which is worse than every known loss.
    """
    return exact_match, -math.inf if loss is None or math.isnan(loss) else -loss


def is_as_good(exact_match: float, best: float, num_images: int) -> bool:
    """Return whether an exact match is below the best by no more than chance explains.

    It may be lower by one standard error of the best (Breiman et al. 1984, section 3.4.3). Where a
    few images were all read right, the next one can still be wrong. So the share that the standard
    error is computed from has one image more that is right, and one that is wrong (Laplace).

    Args:
        exact_match: Share of the images whose text is right, 0..1.
        best: The highest such share; -1 where nothing was evaluated.
        num_images: Number of the images.
    """
    share = (max(best, 0) * num_images + 1) / (num_images + 2)
    return exact_match >= best - math.sqrt(share * (1 - share) / max(num_images, 1))


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
