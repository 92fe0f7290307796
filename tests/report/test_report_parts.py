"""What the page of ``exprocr report`` is made of: texts, examples, and reading many images."""

from __future__ import annotations

import random
import unicodedata
import weakref
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exprocr.cli.options import Session
from exprocr.core.reading.recognizer import CHUNK_SIZE
from exprocr.errors import DataError
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
    printable,
    render_report,
)
from exprocr.report.run import evaluation
from exprocr.report.run.context import Run
from exprocr.report.run.evaluation import Example, Extremes, read_validation
from exprocr.report.run.examples import thumbnail
from exprocr.training import validation
from exprocr.training.validation import LabeledPicture, ValidationSet
from tests.support.report_runs import decoded, parse
from tests.support.scripted import scripted_recognizer

markup = st.sampled_from(
    ["<b>", "</p>", "<!--", "&lt;", "&", '"', "' onclick='", "{{ 7 }}", "{%", "#}"]
)
any_text = st.lists(st.text(st.characters(), max_size=9) | markup, max_size=4).map("".join)
"""With surrogates and controls, and what means something in HTML or in a template."""


def example(name: str) -> Example:
    picture = LabeledPicture(name, b"", "1", None)
    return Example(picture, SimpleNamespace())  # type: ignore[arg-type]


@pytest.mark.parametrize(("number", "limit"), [(0, 3), (2, 3), (200, 7), (200, 1)])
def test_extremes_are_the_first_of_all_sorted(number: int, limit: int) -> None:
    rng = random.Random(number)
    values = [rng.choice([0.1, 0.2, 0.5, 0.9]) for _ in range(number)]
    kept = Extremes(limit)
    for i, value in enumerate(values):
        kept.add(value, example(str(i)))
    ordered = sorted(range(number), key=lambda i: -values[i])  # stable: of equals, the first
    assert [e.picture.name for e in kept] == [str(i) for i in ordered[:limit]]
    assert [e.picture.name for e in kept] == [str(i) for i in ordered[:limit]]  # twice


def run_of(monkeypatch: pytest.MonkeyPatch, pictures: ValidationSet, script: list[Any]) -> Run:
    """Return a run that validated on pictures, and whose model reads a script."""
    monkeypatch.setattr(validation, "validation_pictures", lambda _: pictures)
    recognizer = scripted_recognizer(*script)
    return Run(session=Session(quiet=True), path=Path("run"), recognizer=recognizer, limit=5)


def test_thousands_of_images_are_not_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    number = 1500
    alive: set[int] = set()
    most = 0

    def pictures() -> Iterator[LabeledPicture]:
        nonlocal most
        for i in range(number):
            picture = Image.new("L", (40, 60), 255)
            alive.add(i)
            weakref.finalize(picture, alive.discard, i)
            most = max(most, len(alive))
            yield LabeledPicture(f"image {i}", picture, "1+2", None)
            del picture

    # Every third is read wrong.
    script = [("1+2" if i % 3 else "1-2", 0.9) for i in range(number)]
    run = run_of(monkeypatch, ValidationSet("many", number, pictures), script)
    found = read_validation(run)
    assert found.measurement.counts.num_images == number
    assert found.measurement.counts.num_exact == 1000
    assert [e.picture.name for e in found.wrong] == [f"image {3 * i}" for i in range(5)]
    assert [e.prediction.text for e in found.wrong] == ["1-2"] * 5
    assert found.typical[0].picture.name == "image 1"
    assert CHUNK_SIZE <= most < 2 * CHUNK_SIZE + 4 * run.limit


def test_images_and_readings_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that cannot be read takes no other's reading."""
    blank = Image.new("L", (40, 60), 255)
    sources: list[Any] = [blank, b"no picture", blank, b"", blank]
    items = [LabeledPicture(str(i), s, f"{i}+{i}", None) for i, s in enumerate(sources)]
    pictures = ValidationSet("five", 5, lambda: iter(items), ["odd"])
    script = [("0+0", 0.9), ("2+3", 0.9), ("4+4", 0.8)]
    found = read_validation(run_of(monkeypatch, pictures, script))
    assert found.measurement.num_unreadable == 2
    assert [(e.picture.text, e.prediction.text) for e in found.wrong] == [("2+2", "2+3")]
    assert [e.picture.text for e in found.doubted] == ["4+4", "0+0"]


def test_images_that_cannot_be_read_at_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [LabeledPicture(str(i), b"", "1", None) for i in range(9)]
    run = run_of(monkeypatch, ValidationSet("nine images", 9, lambda: iter(items)), [])
    with pytest.raises(DataError, match="nine images: expected readable images, found none"):
        read_validation(run)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == evaluation.NUM_REPORTED + 1
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
    from exprocr.viz.plots.plotting import new_figure

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
    for name in ("page.html.jinja", "blocks.html.jinja", "style.css"):
        assert (files("exprocr") / "report" / "templates" / name).is_file()
