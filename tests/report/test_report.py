"""``exprocr report``: the page's figures, its texts, what it lacks, and that it needs nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from exprocr.core.model.artifact import ModelFile
from exprocr.core.runs.layout import VAL_NAME
from tests.support.report_runs import (
    SAMPLES,
    SECTIONS,
    Element,
    decoded,
    facts,
    gaps,
    make_pictures,
    make_run,
    page_of,
    report,
    section,
    table,
)
from tests.support.tiny_runs import invoke

ODD = "a <b>&amp;\"'\u202e\x07\udcff<!--"


@pytest.fixture(scope="module")
def tiny_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with an odd name and odd labels, all of which are read wrong."""
    folder = tmp_path_factory.mktemp("report")
    pictures = make_pictures(folder / "<i>&'\"", 5)
    labels = ["<script>alert(1)</script>", "&lt;", '"><img/src=x>', "1+1", "{{7*7}}"]
    return make_run(folder / ODD, tiny_model, zip(pictures, labels, strict=True))


@pytest.fixture(scope="module")
def tiny_page(tiny_run: Path) -> Element:
    return page_of(report(tiny_run), tiny_run / "report.html")


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of the package's model, three of whose seven labels are not what it reads.

    It reads under ``level1``, which does not have the last of the three.
    """
    folder = tmp_path_factory.mktemp("real")
    replace(ModelFile.load(), grammar="level1").save(folder / "model.safetensors")
    labels = [line.split()[0] for line in (SAMPLES / "labels.txt").read_text().splitlines()]
    labels[0] = labels[0].replace("8", "9")
    labels[3] = labels[3].replace("+6", "*6+1")
    pictures = [(SAMPLES / f"{i}.png", label) for i, label in enumerate(labels)]
    pictures.append((SAMPLES / "4.png", "1+2-6"))  # the value is the same
    return make_run(folder / "run", folder / "model.safetensors", pictures)


@pytest.fixture(scope="module")
def real_page(real_run: Path) -> Element:
    return page_of(report(real_run, "--limit", 2), real_run / "report.html")


def test_figures_are_those_of_eval(real_run: Path, real_page: Element, tmp_path: Path) -> None:
    file = tmp_path / "eval.json"
    options = ["--device", "cpu", "--threads", 1]
    done = invoke("eval", real_run / VAL_NAME, "--model", real_run, "--json", file, *options)
    assert done.exit_code == 0
    found = json.loads(file.read_text())
    assert (found["num_images"], found["exact_match"]) == (7, 4 / 7)
    part = section(real_page, "evaluation")
    shown = facts(part)
    assert shown.pop("images/s")
    assert shown.pop("outside the grammar") == "1 label"  # the last one has no brackets
    assert found["num_outside_grammar"] == 1
    assert shown == {
        "grammar": found["grammar"],
        "images": "7",
        "exact match": "57.14% (4 right)",
        "value match": "71.43%",  # one that is wrong has the right value
        "contest score": "57.14%",
        "CER": f"{found['cer']:.3%} ({found['insertions']} inserted, {found['deletions']} deleted, "
        f"{found['substitutions']} substituted of {found['num_chars']})",
        "normalized edit distance": f"{found['normalized_edit_distance']:.5f}",
        "ECE": f"{found['ece']:.5f}",
        "Brier score": f"{found['brier']:.5f}",
    }
    rows = table(part, "Reliability by confidence")
    assert [(int(row[0]), row[4]) for row in rows] == [
        (part["count"], f"{part['accuracy']:.2%}") for part in found["reliability"]
    ]
    for row, expected in zip(rows, found["reliability"], strict=True):
        for cell, name in zip(row[1:4], ("low", "high", "confidence"), strict=True):
            assert 0 <= expected[name] - float(cell) < 1e-4  # rounded down
    assert [(row[0], row[2], row[3]) for row in table(part, "Errors among the most confident")] == [
        (f"{risk['coverage']:.0%}", str(risk["num_wrong"]), f"{risk['error_rate']:.3%}")
        for risk in found["risk_coverage"]
    ]
    assert table(part, "Confusions") == [
        [pair["truth"] or "(none)", pair["read"] or "(none)", str(pair["count"])]
        for pair in found["confusions"]
    ]
    headline = facts(real_page.one("header"))
    assert headline["Exact match"] == "57.14% of 7 validation images"
    assert headline["Steps"].startswith("6 3 epochs")


def test_the_worst_come_first_with_what_differs(real_run: Path, real_page: Element) -> None:
    part = section(real_page, "worst")
    assert "3 of 7 validation images are read wrong" in part.text
    cards = part.all("li")
    assert len(cards) == 2  # as --limit says
    confidences = [float(facts(card)["confidence"]) for card in cards]
    assert confidences == sorted(confidences, reverse=True)
    # Which of the three the network is surest of is the weights' affair.
    wrong = {
        str(SAMPLES / "0.png"): ("6-(9+3)", "6-(8+3)", ["9", "8"]),
        # * and 6 are left out, 1 is read as 6.
        str(SAMPLES / "3.png"): ("(4+2)*6+1", "(4+2)+6", ["*", "6", "1", "", "", "6"]),
        str(SAMPLES / "4.png"): ("1+2-6", "1+(2-6)", ["", "", "(", ")"]),
    }
    shown = [wrong[card.one("p").text] for card in cards]
    assert len(set(map(str, shown))) == 2
    texts = [tuple(row.one("dd").text for row in card.all("div")[1:3]) for card in cards]
    assert texts == [(truth, read) for truth, read, _ in shown]
    assert [[mark.text for mark in card.all("mark")] for card in cards] == [
        marks for _, _, marks in shown
    ]
    looked_into = [heading.text for heading in section(real_page, "explanation").all("h3")]
    assert looked_into[:2] == ["7*(2+0) read right", f"{shown[0][0]} read as {shown[0][1]}"]
    picture = decoded(cards[0].one("img").attributes["src"])
    assert picture.size == (180, 60)


def test_whatever_is_in_names_and_labels_is_text(tiny_page: Element) -> None:
    escaped = "a <b>&amp;\"'\\u202e\\x07\\udcff<!--"
    assert tiny_page.one("title").text == tiny_page.one("h1").text == f"Training run {escaped}"
    part = section(tiny_page, "worst")
    truths = {card.all("dd")[0].text for card in part.all("li")}
    assert truths == {"<script>alert(1)</script>", "&lt;", '"><img/src=x>', "1+1", "{{7*7}}"}
    assert "<i>&'\"/" in part.all("li")[0].one("p").text
    assert escaped in facts(section(tiny_page, "configuration"))["run"]
    tags = {element.tag for element in tiny_page.all()}
    assert not tags & {"script", "i", "b", "iframe", "object", "embed", "form", "audio", "video"}
    assert len(part.all("img")) == 5


def test_all_sections_are_there_and_linked(tiny_page: Element) -> None:
    assert [part.attributes["id"] for part in tiny_page.all("section")] == SECTIONS
    links = tiny_page.one("nav").all("a")
    assert [link.attributes["href"] for link in links] == [f"#{name}" for name in SECTIONS]
    titles = [part.one("h2").text for part in tiny_page.all("section")]
    assert [link.text for link in links] == titles
    ids = [e.attributes["id"] for e in tiny_page.all() if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    assert {a.attributes["href"][1:] for a in tiny_page.all("a")} <= set(ids)
    for name in set(SECTIONS) - {"evaluation", "configuration"}:
        assert section(tiny_page, name).all("img"), name
    assert len(section(tiny_page, "features").all("img")) == 7


def test_the_page_needs_nothing_from_elsewhere(tiny_page: Element, tiny_run: Path) -> None:
    for element in tiny_page.all():
        assert not [name for name in element.attributes if name.startswith("on")]
        for name in ("src", "href", "srcset", "data", "action", "poster", "background"):
            assert element.attributes.get(name, "#").startswith(("#", "data:")), element
        assert "url(" not in element.attributes.get("style", "")
    style = tiny_page.one("style").text
    assert not re.search(r"url\(|@import|image-set|//", style)
    (policy,) = (m for m in tiny_page.all("meta") if "http-equiv" in m.attributes)
    assert policy.attributes["content"].startswith("default-src 'none';")


def test_every_picture_can_be_decoded_and_is_described(tiny_page: Element) -> None:
    pictures = tiny_page.all("img")
    assert len(pictures) == 1 + 5 + 2 + 1 + 7 + 2
    for picture in pictures:
        size = decoded(picture.attributes["src"]).size
        assert size == (int(picture.attributes["width"]), int(picture.attributes["height"]))
        assert picture.attributes["alt"]
    for box in tiny_page.all("figure"):
        assert box.one("figcaption").text


def test_settings_are_shown(tiny_page: Element) -> None:
    shown = facts(section(tiny_page, "configuration"))
    assert shown["conv2.channels"] == "6"
    assert shown["conv2.pool"] == "2, 2"
    assert shown["dropout"] == "0.2"
    assert shown["padding"] == "yes"
    assert shown["characters"] == "()*+-0123456789"
    assert shown["made with"].startswith("exprocr ")


def test_a_finished_run_lacks_nothing_but_its_temperature(tiny_page: Element) -> None:
    (gap,) = gaps(tiny_page)  # the tiny model was never calibrated
    assert "calibrated confidences" in gap


def test_a_calibrated_run_lacks_nothing(real_page: Element) -> None:
    assert gaps(real_page) == []
