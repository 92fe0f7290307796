"""Labels that a model cannot learn: too long for its frames, or with other characters."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exprocr.core.config.label_map import LabelMap
from exprocr.core.data.dataset import Sample, check_charset, check_widths
from exprocr.core.text.charset import Charset
from exprocr.errors import DataError
from tests.support.data_sets import numbered


def collapses_to(text: str, num_frames: int) -> bool:
    """Return whether any of all alignments collapses to ``text``."""
    blank = "_"
    return any(
        "".join(c for c, _ in itertools.groupby(path) if c != blank) == text
        for path in itertools.product("ab_", repeat=num_frames)
    )


@pytest.mark.parametrize("num_frames", range(1, 7))
def test_widths_against_all_alignments(num_frames: int) -> None:
    ink = np.zeros((60, 10 * num_frames), np.uint8)
    for length in range(1, 5):
        for letters in itertools.product("ab", repeat=length):
            text = "".join(letters)
            try:
                check_widths(numbered(1, text), [ink], lambda width: width // 10)
                feasible = True
            except DataError:
                feasible = False
            assert feasible == collapses_to(text, num_frames), text


def test_too_narrow_images_are_named_and_counted() -> None:
    samples = [*numbered(1, "1+2"), Sample(Path("d/7.png"), "(11+22", "x")] * 2
    inks = [np.zeros((60, 70), np.uint8)] * 4
    with pytest.raises(DataError) as caught:
        check_widths(samples, inks, lambda width: width // 10)
    message = str(caught.value)
    assert message.startswith(f"{Path('d/7.png')}: expected")
    assert "8 frames" in message
    assert "(11+22" in message
    assert "found 7;" in message
    assert "2 of 4 labels" in message
    assert "\n" not in message


def test_characters_outside_the_model() -> None:
    samples = [*numbered(2, "1+1"), Sample(Path("7.png"), "x1/1y", "l.txt, line 7")] * 2
    check_charset(samples, Charset("+/1xy"))
    with pytest.raises(DataError) as caught:
        check_charset(samples, Charset("+-1"))
    message = str(caught.value)
    assert message.startswith("l.txt, line 7: expected the model's characters '+-1', found 'x/y'")
    assert "x1/1y" in message
    assert "2 of 6 labels" in message
    assert "replace them with --map FROM=TO, correct them" in message
    assert "train --init" in message
    assert "\n" not in message


def test_blanks_can_be_taken_out() -> None:
    samples = [Sample(Path("7.png"), "7 * 2", "l.txt, line 7")]
    with pytest.raises(DataError, match=r"take out blanks with --map ' =', correct them"):
        check_charset(samples, Charset("*27"))
    check_charset([replace(samples[0], text=LabelMap([" ="])("7 * 2"))], Charset("*27"))


def test_a_map_is_the_way_out_where_characters_look_alike() -> None:
    charset = Charset("()*+-./0123456789=x")
    samples = [
        Sample(Path("7.png"), text, "l.txt, line 7") for text in ("5\u22123", "5\uff0b3\u04454")
    ]
    with pytest.raises(DataError) as caught:
        check_charset(samples, charset)
    options = "--map '\u2212=-' --map '\uff0b=+' --map '\u0445=x'"
    assert f"replace characters that look alike with {options}, correct" in str(caught.value)
    change = LabelMap(["\u2212=-", "\uff0b=+", "\u0445=x"])
    check_charset([replace(sample, text=change(sample.text)) for sample in samples], charset)
