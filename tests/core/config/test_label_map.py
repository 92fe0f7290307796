"""Replacements in labels: their notation, and what becomes of texts."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from exprocr.core.config.label_map import LabelMap, parse_entry
from exprocr.core.config.schema import TrainingConfig
from exprocr.errors import ConfigError


@pytest.mark.parametrize(
    ("entry", "pair"),
    [
        ("−=-", ("−", "-")),
        ("x=*", ("x", "*")),
        ("==≈", ("=", "≈")),
        ("≈==", ("≈", "=")),
        ("===", ("=", "=")),
        ("...=…", ("...", "…")),
        ("?=", ("?", "")),
    ],
)
def test_what_is_replaced_by_what(entry: str, pair: tuple[str, str]) -> None:
    assert parse_entry(entry) == pair


@pytest.mark.parametrize("entry", ["", "=", "x", "=x", "x=\ty", "x=\n", "x=" + "y" * 99])
def test_what_is_no_replacement(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"^map: expected FROM=TO of at most 100 characters"):
        parse_entry(entry)
    with pytest.raises(ConfigError, match=r"^training\.map: expected FROM=TO"):
        TrainingConfig(map=("−=-", entry))


def test_two_replacements_of_the_same_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^map: expected one replacement of 'x', found '[*]' and"
    ):
        LabelMap(["x=*", "−=-", "x=×"])
    assert LabelMap(["x=*", "x=*"])("2x3") == "2*3"


def test_labels_that_change_are_counted() -> None:
    change = LabelMap(["a=b", "b=a", "...=…", ".=,", "?="])
    texts = ["ab", "4...2", "1.5", "1+2=?", "1+2", "....", "?"]
    assert list(map(change, texts)) == ["ba", "4…2", "1,5", "1+2=", "1+2", "…,", ""]
    assert change.num_changed == 6
    nothing = LabelMap()
    assert (nothing("1+2"), nothing.num_changed) == ("1+2", 0)


@hypothesis.given(st.dictionaries(st.sampled_from("abc.*["), st.text("abc", max_size=2)), st.text())
def test_single_characters_are_replaced_as_translate_does(
    replacements: dict[str, str], text: str
) -> None:
    change = LabelMap([f"{before}={after}" for before, after in replacements.items()])
    assert change(text) == text.translate({ord(one): to for one, to in replacements.items()})
