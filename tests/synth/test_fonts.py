"""Usable fonts, and the reasons why others are rejected, with fonts made by the tests."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from exprocr.errors import FontError
from exprocr.synth import fonts
from exprocr.synth.fonts import FontFile, FontReport, find_fonts
from exprocr.synth.texts import LEVEL1

BUILT_IN = ""
MATPLOTLIB = next(f for f in fonts.system_font_folders() if "mpl-data" in f.parts)
SANS, SERIF = MATPLOTLIB / "DejaVuSans.ttf", MATPLOTLIB / "DejaVuSerif.ttf"


@pytest.fixture(scope="module")
def everything() -> FontReport:
    """Return the fonts of a system without fonts: matplotlib's and the built-in one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fonts, "system_font_folders", lambda: [MATPLOTLIB])
        return find_fonts([], LEVEL1.characters)


def reasons(report: FontReport) -> dict[str, str]:
    return {Path(path).name: reason for path, reason in report.rejected}


def usable(report: FontReport) -> list[str]:
    return [Path(font.path).name for font in report.usable]


def subset(source: Path, target: Path, characters: str) -> None:
    """Write a font with some of another font's characters."""
    from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    with TTFont(source) as font:
        subsetter = Subsetter(Options(notdef_outline=True))  # the box for missing characters
        subsetter.populate(text=characters)
        subsetter.subset(font)
        font.save(target)


def remap(source: Path, target: Path, changes: dict[str, str]) -> None:
    """Write a font that draws some characters like others."""
    from fontTools.ttLib import TTFont

    with TTFont(source) as font:
        for table in font["cmap"].tables:
            for character, drawn in changes.items():
                if ord(drawn) in table.cmap:
                    table.cmap[ord(character)] = table.cmap[ord(drawn)]
        font.save(target)


def test_built_in_and_matplotlib_fonts_are_found(everything: FontReport) -> None:
    paths = [font.path for font in everything.usable]
    assert BUILT_IN in paths
    assert {"DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "STIXGeneral"} <= set(
        everything.families
    )
    assert len(paths) == len(set(paths))
    assert everything.families == sorted(set(everything.families))
    names = {Path(path).name for path in paths} | reasons(everything).keys()
    assert {path.name for path in MATPLOTLIB.glob("*.ttf")} <= names  # usable or rejected


def test_symbol_fonts_are_rejected(everything: FontReport) -> None:
    found = reasons(everything)
    for name in ("cmex10.ttf", "cmsy10.ttf"):
        assert found[name].startswith(("lacks ", "draws something else than "))
    assert any(reason.startswith("draws something else") for reason in found.values())
    assert all(len(reason.splitlines()) == 1 for reason in found.values())


def test_usable_fonts_draw_every_character_differently(everything: FontReport) -> None:
    for font in everything.usable:
        drawings = set()
        for character in LEVEL1.characters:
            ink, (right, bottom) = font.draw(character, 40)
            assert ink.mode == "L"
            assert ink.getbbox() == (0, 0, *ink.size)  # cropped to the ink
            assert 0 < right <= 60
            assert 0 < bottom <= 60
            drawings.add((ink.size, ink.tobytes()))
        assert len(drawings) == len(LEVEL1.characters), font


def test_a_drawing_is_what_pillow_draws() -> None:
    ink, (right, bottom) = FontFile("", "", str(SANS)).draw("7", 48)
    font = ImageFont.truetype(str(SANS), 48, layout_engine=ImageFont.Layout.BASIC)
    canvas = Image.new("L", (100, 100))
    ImageDraw.Draw(canvas).text((0, 0), "7", fill=255, font=font)
    box = canvas.getbbox()
    assert box is not None
    np.testing.assert_array_equal(np.asarray(ink), np.asarray(canvas.crop(box)))
    assert bottom == box[3]
    assert right == math.ceil(font.getlength("7")) > box[2]  # the advance is wider here
    assert FontFile("", "", str(SANS)).draw(" ", 48)[0].size == (0, 0)


def test_a_thin_sign_without_a_pixel_at_a_small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    place = fonts._place

    def hinted(font: ImageFont.FreeTypeFont, character: str) -> fonts.Glyph:
        glyph = place(font, character)
        if character == "-" and font.size in (13, 14, 15):
            return glyph._replace(ink=Image.new("L", (0, 0)))
        return glyph

    monkeypatch.setattr(fonts, "_place", hinted)
    font = FontFile("DejaVu Sans", "Book", str(SANS))
    drawn = font.glyphs("1-\u0998", 13)
    assert drawn.keys() == {"1", "-"}  # the font has no Bengali
    for character, size in (("1", 13), ("-", 16)):
        expected = font.glyphs(character, size)[character]
        np.testing.assert_array_equal(np.asarray(drawn[character].ink), np.asarray(expected.ink))


def test_fonts_without_some_characters(tmp_path: Path) -> None:
    subset(SANS, tmp_path / "digits.ttf", "0123456789")
    subset(SANS, tmp_path / "no-minus.ttf", LEVEL1.characters.replace("-", ""))
    subset(SANS, tmp_path / "whole.ttf", LEVEL1.characters)
    report = find_fonts([tmp_path], LEVEL1.characters, system=False)
    assert reasons(report) == {"digits.ttf": "lacks ()*+-", "no-minus.ttf": "lacks -"}
    assert usable(report) == ["whole.ttf"]
    digits = find_fonts([tmp_path], "0123456789", system=False)
    assert "digits.ttf" in usable(digits)


def test_an_empty_glyph_counts_as_missing(tmp_path: Path) -> None:
    remap(SANS, tmp_path / "blank.ttf", {"5": " "})
    shutil.copy(SERIF, tmp_path)
    report = find_fonts([tmp_path], LEVEL1.characters, system=False)
    assert reasons(report) == {"blank.ttf": "lacks 5"}


def test_characters_drawn_alike(tmp_path: Path) -> None:
    remap(SANS, tmp_path / "plus.ttf", {"+": "-"})
    remap(SANS, tmp_path / "six.ttf", {"6": "8"})
    shutil.copy(SERIF, tmp_path)
    report = find_fonts([tmp_path], LEVEL1.characters, system=False)
    assert reasons(report) == {
        "plus.ttf": "draws + and - alike",
        "six.ttf": "draws 6 and 8 alike",
    }


def test_fonts_that_draw_other_symbols(tmp_path: Path) -> None:
    remap(SANS, tmp_path / "letters.ttf", dict(zip("0123456789", "ABGKMQRSWX", strict=True)))
    remap(SANS, tmp_path / "signs.ttf", dict(zip("()*+-", "BGMQR", strict=True)))
    shutil.copy(SERIF, tmp_path)
    report = find_fonts([tmp_path], LEVEL1.characters, system=False)
    assert reasons(report) == {
        "letters.ttf": "draws something else than digits",
        "signs.ttf": "draws something else than signs",
    }
    assert usable(report) == ["DejaVuSerif.ttf"]


def test_duplicates(tmp_path: Path) -> None:
    for name in ("b.ttf", "a.ttf", "c.TTF"):
        shutil.copy(SANS, tmp_path / name)
    report = find_fonts([tmp_path], LEVEL1.characters, system=False)
    assert usable(report) == ["a.ttf"]
    twin = f"draws the same as {tmp_path / 'a.ttf'}"
    assert reasons(report) == {"b.ttf": twin, "c.TTF": twin}
    again = find_fonts([tmp_path, tmp_path], LEVEL1.characters, system=False)
    assert usable(again) == ["a.ttf"]  # a folder named twice is searched once
    assert len(again.rejected) == 2


def test_files_that_are_no_font(tmp_path: Path) -> None:
    (tmp_path / "garbage.ttf").write_bytes(b"not a font" * 100)
    (tmp_path / "empty.otf").touch()
    (tmp_path / "cut.ttf").write_bytes(SANS.read_bytes()[:5000])
    (tmp_path / "folder.ttf").mkdir()
    (tmp_path / "notes.txt").write_text("no font at all")
    (tmp_path / "inside").mkdir()
    shutil.copy(SANS, tmp_path / "inside" / "fine.ttf")
    report = find_fonts([tmp_path], LEVEL1.characters, system=False)
    assert usable(report) == ["fine.ttf"]
    found = reasons(report)
    assert found.keys() == {"garbage.ttf", "empty.otf", "cut.ttf"}  # a folder is passed over
    assert found["garbage.ttf"].startswith("cannot be opened: ")


def test_order_does_not_depend_on_the_folders_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in MATPLOTLIB.glob("DejaVu*.ttf"):
        shutil.copy(path, tmp_path)
    shutil.copy(SANS, tmp_path / "Twin.ttf")
    listed = Path.rglob
    orders = []
    for backwards in (False, True):

        def rglob(self: Path, pattern: str, backwards: bool = backwards) -> Iterator[Path]:
            return iter(sorted(listed(self, pattern), reverse=backwards))

        monkeypatch.setattr(Path, "rglob", rglob)
        report = find_fonts([tmp_path], LEVEL1.characters, system=False)
        orders.append((report.usable, report.rejected))
    assert orders[0] == orders[1]
    assert usable(report) == [Path(font.path).name for font in sorted(report.usable)]


def test_system_fonts_can_be_left_out(tmp_path: Path) -> None:
    shutil.copy(SERIF, tmp_path)
    report = find_fonts([tmp_path], LEVEL1.characters, system=False)
    assert report.usable == [FontFile("DejaVu Serif", "Book", str(tmp_path / "DejaVuSerif.ttf"))]
    assert report.rejected == []


def test_the_systems_font_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "fonts").mkdir()
    assert {MATPLOTLIB, Path("/usr/share/fonts"), tmp_path / "fonts"} <= set(
        fonts.system_font_folders()
    )


def test_the_users_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's copy of a font is used, and the system's is its duplicate."""
    monkeypatch.setattr(fonts, "system_font_folders", lambda: [tmp_path / "none", MATPLOTLIB])
    shutil.copy(SERIF, tmp_path)
    report = find_fonts([tmp_path], LEVEL1.characters)
    assert str(tmp_path / "DejaVuSerif.ttf") in [font.path for font in report.usable]
    assert str(SERIF) not in [font.path for font in report.usable]


@pytest.mark.parametrize("content", [None, b"no font"])
def test_no_usable_font(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.ttf").write_bytes(content)
    num = 0 if content is None else 1
    with pytest.raises(FontError, match=rf"expected a font .* found {num} fonts") as error:
        find_fonts([tmp_path], LEVEL1.characters, system=False)
    assert str(error.value).startswith(f"{tmp_path}: ")
    with pytest.raises(FontError, match=r"^the system's folders: "):
        find_fonts([], LEVEL1.characters, system=False)


@pytest.mark.parametrize("make", [Path.touch, lambda path: None])
def test_a_missing_folder(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "fonts")
    with pytest.raises(FontError, match=r"fonts: expected a folder of fonts, found "):
        find_fonts([tmp_path / "fonts"], LEVEL1.characters)
