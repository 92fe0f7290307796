"""Fonts for a text: those that have its characters, and never a box for a missing one."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exprocr.errors import FontError
from exprocr.synth.fonts import FontFile, find_fonts
from exprocr.synth.paint.line import glyphs_of
from exprocr.synth.typefaces import Typefaces
from tests.support.pictures import matplotlib_fonts

CHARACTERS = "0123456789+-÷AB"
WHOLE = FontFile("Whole", "Book", "a")
DIGITS = FontFile("Digits", "Book", "b", lacks="+-÷AB")
SIGNS = FontFile("Signs", "Book", "c", lacks="÷AB")
FONTS = [WHOLE, DIGITS, SIGNS]


def drawn(fonts: list[FontFile], text: str, num: int = 600) -> Counter[str]:
    typefaces, rng = Typefaces(fonts, text), np.random.default_rng(0)
    fonts_of = [typefaces.draw(text, rng) for _ in range(num)]
    assert all(len(set(fonts)) == 1 for fonts in fonts_of)
    return Counter(fonts[0].family for fonts in fonts_of)


def test_a_font_is_drawn_for_the_texts_whose_characters_it_has() -> None:
    assert drawn(FONTS, "12÷3") == {"Whole": 600}
    assert drawn(FONTS, "AB") == {"Whole": 600}
    for text, families in (("1+2", ("Whole", "Signs")), ("123", ("Whole", "Signs", "Digits"))):
        counts = drawn(FONTS, text)
        assert set(counts) == set(families)
        assert min(counts.values()) > 600 / len(families) * 0.7


def test_families_are_drawn_evenly_whatever_their_number_of_fonts() -> None:
    styles = [replace(SIGNS, style=str(number)) for number in range(9)]
    assert 240 < drawn([WHOLE, *styles], "1+2")["Whole"] < 360


def test_others_help_out_where_no_font_has_all_characters() -> None:
    letters = FontFile("Letters", "Book", "d", lacks="0123456789+-÷")
    signs = replace(SIGNS, lacks="÷AB0123456789")
    fonts = [letters, DIGITS, signs]
    with pytest.raises(FontError, match="none of which has '÷'"):
        Typefaces(fonts, CHARACTERS)
    typefaces = Typefaces(fonts, "0123456789+-AB")
    for index in range(50):
        text = "A1+"
        chosen = typefaces.draw(text, np.random.default_rng(index))
        assert all(c not in font.lacks for c, font in zip(text, chosen, strict=True))


def test_a_choice_of_fonts_is_completed() -> None:
    typefaces, rng = Typefaces(FONTS, CHARACTERS), np.random.default_rng(0)
    whole = [WHOLE] * 3
    assert typefaces.complete(whole, "1÷2", rng) is whole
    assert typefaces.complete([DIGITS, SIGNS, DIGITS], "1+2", rng) == [DIGITS, SIGNS, DIGITS]
    assert typefaces.complete([DIGITS] * 3, "1÷2", rng) == whole


def test_fonts_that_lack_some_signs_are_kept_and_know_it(tmp_path: Path) -> None:
    for name in ("DejaVuSans.ttf", "cmr10.ttf", "cmmi10.ttf", "cmsy10.ttf"):
        shutil.copy(matplotlib_fonts() / name, tmp_path)
    report = find_fonts([tmp_path], "0123456789<>÷", system=False, partial=True)
    # TeX's roman font has other signs in the places of < and >; the other two are no text fonts.
    assert {Path(font.path).name: font.lacks for font in report.usable} == {
        "DejaVuSans.ttf": "",
        "cmr10.ttf": "÷<>",
    }
    whole = find_fonts([tmp_path], "0123456789<>÷", system=False)
    assert {Path(font.path).name for font in whole.usable} == {"DejaVuSans.ttf"}


def test_a_missing_character_is_known_from_its_box() -> None:
    built_in = FontFile("Aileron", "Regular", "")
    sans = FontFile("DejaVu Sans", "Book", str(matplotlib_fonts() / "DejaVuSans.ttf"))
    for font, has_it in ((built_in, False), (sans, True)):
        digit, sign, space = glyphs_of([font] * 3, "1÷ ", 40)
        assert digit is not None
        assert digit.ink.width
        assert (sign is not None) == has_it
        assert space is not None
        assert not space.ink.width
