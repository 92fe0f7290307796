"""What the page of ``exprocr report`` is made of: texts, pictures, and what is read."""

from __future__ import annotations

import unicodedata
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exprocr.cli.options import Session
from exprocr.cli.output import progress
from exprocr.core.data.pictures import LabeledPicture, PictureSet
from exprocr.core.image.preprocess import ImageSource
from exprocr.errors import DataError
from exprocr.report.html import printable
from exprocr.report.page import (
    Block,
    Card,
    Cards,
    Facts,
    Figure,
    Missing,
    Report,
    Row,
    Section,
    Table,
    figure,
    render_report,
)
from exprocr.report.run.context import Run
from exprocr.report.run.evaluation import NUM_REPORTED, read_validation, thumbnail
from exprocr.viz.plots.plotting import new_figure
from tests.support.pictures import with_a_mark
from tests.support.report_runs import decoded, parse
from tests.support.scripted import scripted_recognizer

markup = st.sampled_from(
    ["<b>", "</p>", "<!--", "&lt;", "&", '"', "' onclick='", "{{ 7 }}", "{%", "#}"]
)
any_text = st.lists(st.text(st.characters(), max_size=9) | markup, max_size=4).map("".join)
"""With surrogates and controls, and what means something in HTML or in a template."""


def run_of(*script: tuple[str, float]) -> Run:
    """Return a run whose model reads a script."""
    session = Session(quiet=True)
    bar = partial(progress, session, description="reading")
    recognizer = scripted_recognizer(*script)
    return Run(console=session, progress=bar, path=Path("run"), recognizer=recognizer, limit=2)


def test_what_is_kept_of_the_validation_images(capsys: pytest.CaptureFixture[str]) -> None:
    """The wrong ones that are most sure, the right ones that are least, and the first right one."""
    read = [("9", 0.7), ("1", 0.9), ("3", 0.99), ("4", 0.8), ("9", 0.95), ("9", 0.9)]
    image = with_a_mark(180, 60)
    sources: list[ImageSource] = [image, image, b"no picture", *[image] * 4]
    items = [LabeledPicture(str(i), s, str(i), None) for i, s in enumerate(sources)]
    pictures = PictureSet("seven images", 7, lambda: iter(items), ["odd"])
    found = read_validation(run_of(*read), pictures)
    assert found.measurement.num_unreadable == 1
    assert [e.picture.name for e in found.wrong] == ["5", "6"]
    assert [e.picture.name for e in found.doubted] == ["4", "1"]
    assert [e.picture.name for e in found.typical] == ["1"]
    first, second = capsys.readouterr().err.splitlines()
    assert first == "warning: odd"
    assert second.startswith("exprocr: ")


def test_images_that_cannot_be_read_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    items = [LabeledPicture(str(i), b"", "1", None) for i in range(9)]
    with pytest.raises(DataError, match="nine images: expected readable images, found none"):
        read_validation(run_of(), PictureSet("nine images", 9, lambda: iter(items)))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == NUM_REPORTED + 1
    assert "9 images" in lines[-1]


@settings(deadline=None)
@given(any_text)
def test_printable_texts_are_printable(text: str) -> None:
    shown = printable(text)
    assert shown.encode().decode() == shown
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs")]
    assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200f\ufeff\uffff")
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["", "plain", "<&\"'>", "Größe 中文 🙂 e\u0301", "a\u00a0b"])
def test_printable_leaves_texts_alone(text: str) -> None:
    assert printable(text) == text


def test_printable_shows_what_has_no_shape() -> None:
    assert printable("a\nb\x1b\udcff\u202e\u2028") == "a\\nb\\x1b\\udcff\\u202e\\u2028"


@settings(deadline=None, max_examples=30)
@given(st.lists(any_text, min_size=12, max_size=12))
def test_texts_come_out_as_they_went_in(texts: list[str]) -> None:
    """Whatever is written on a page is read from it again, in every place there is."""
    t = iter(texts)
    image = Figure(b"\x89PNG", (9, 9), next(t), next(t), next(t) + "!")
    blocks: list[Block | Row] = [
        image,
        Row([Table((next(t), "n"), [(next(t), "1")], "c", "t"), Facts([(next(t), next(t))])]),
        Missing(next(t)),
        Cards([Card(image, next(t), [(next(t), True)], [("x", False)], "1")], "caption"),
    ]
    report = Report(next(t), "s", [("a", "b", "c")], [Section("s", "T", blocks)])
    page = parse(render_report(report))
    alt, caption, heading, column, cell, fact, value, missing, name, piece, title = texts[:11]

    def same(found: str, text: str) -> bool:
        return found == " ".join(printable(text).split())

    picture = page.one("figure", **{"class": "picture"})
    assert picture.one("img").attributes["alt"] == printable(alt)
    assert same(picture.one("figcaption").text, caption)
    assert same(picture.one("h3").text, heading + "!")
    assert same(page.all("th")[0].text, column)
    assert same(page.all("td")[0].text, cell)
    facts = page.one("div", **{"class": "facts"})
    assert same(facts.one("dt").text, fact)
    assert same(facts.one("dd").text, value)
    assert same(page.one("p", **{"class": "missing"}).text, "Left out: " + missing)
    assert same(page.one("p", **{"class": "name"}).text, name)
    assert same(page.one("mark").text, piece)
    assert same(page.one("h1").text, title)


def test_plots_and_pictures_become_figures() -> None:
    plot = new_figure(640, 300)
    plot.subplots().plot([1, 2])
    drawn = figure(plot, "alt", "caption")
    picture = decoded(drawn.uri)
    assert drawn.size == picture.size == (640, 300)
    faint = Image.new("RGB", (300, 300), (255, 255, 255))
    faint.putdata([(255 - i % 2, 255, i // 300 % 256) for i in range(90_000)])
    kept = figure(faint, "alt", "caption")
    assert decoded(kept.uri).convert("RGB").tobytes() == faint.tobytes()  # nothing is swallowed


def test_pictures_of_cards_are_small() -> None:
    noise = Image.effect_noise((3000, 1000), 90)
    shown = thumbnail(noise, "noise")
    assert shown.size == (560, 187)
    assert shown.uri.startswith("data:image/jpeg;")
    assert decoded(shown.uri).size == shown.size
    small = Image.new("RGBA", (18, 6), (0, 0, 0, 0))
    assert decoded(thumbnail(small, "").uri).convert("L").getextrema() == (255, 255)


def test_the_templates_are_in_the_package() -> None:
    for name in ("page.html.jinja", "blocks.html.jinja", "base.css", "style.css"):
        assert (files("exprocr") / "report" / "templates" / name).is_file()
