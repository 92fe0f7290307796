"""What is on a page for labeling: the order of its pictures, thumbnails, marks, texts, policy."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exprocr.core.data.labels import Sample
from exprocr.core.decode.decoder import Alternative
from exprocr.core.reading.prediction import Character, Prediction
from exprocr.report.label.candidates import (
    Candidate,
    CandidateSet,
    common_folder,
    make_candidate,
    shrink,
)
from exprocr.report.label.page import render_page
from tests.support.label_pages import data_of, scripts
from tests.support.report_runs import parse

HOSTILE = "</script><img src=x onerror=alert(1)><!--\u202e&amp;\"'"


def candidate(
    path: str, confidence: float, label: str | None = None, text: str = "1+1"
) -> Candidate:
    thumbnail, size = shrink(Image.new("L", (8, 4), hash(path) % 256), 60)
    return Candidate(
        path=path,
        label=label,
        prediction=Prediction(text=text, value=None, confidence=confidence),
        thumbnail=thumbnail,
        size=size,
    )


def page_data(tmp_path: Path, *candidates: Candidate) -> dict[str, Any]:
    file = tmp_path / "page.html"
    file.write_text(render_page(CandidateSet("/a", candidates, "+1", "x.csv"), None), "utf-8")
    return data_of(file)


def test_the_least_certain_is_first() -> None:
    found = [candidate(f"{i}.png", confidence) for i, confidence in enumerate((0.9, 0.2, 1, 0.5))]
    found.insert(0, Candidate(path="b.png", label="1", problem="damaged"))
    order = [one.path for one in CandidateSet("/a", found, "+1").in_order]
    assert order == ["1.png", "3.png", "0.png", "2.png", "b.png"]


def test_labels_that_differ_come_first_the_surest_first() -> None:
    found = [
        candidate("alike_sure", 0.99, "1+1"),
        candidate("differs_unsure", 0.3, "1+7"),
        candidate("none", 0.5),
        candidate("differs_sure", 0.98, "7+1"),
        candidate("alike_unsure", 0.1, "1+1"),
    ]
    order = [one.path for one in CandidateSet("/a", found, "+1", "x.csv").in_order]
    assert order == ["differs_sure", "differs_unsure", "alike_unsure", "none", "alike_sure"]


def test_the_digest_is_that_of_the_set_and_not_of_its_readings() -> None:
    found = [candidate(f"{i}.png", i / 10) for i in range(5)]

    def digest(candidates: list[Candidate]) -> str:
        return CandidateSet("/a", candidates, "+1").digest

    others = [replace(one, prediction=candidate("x", 0.7, text="2").prediction) for one in found]
    random.Random(0).shuffle(others)
    assert digest(others) == digest(found)
    changes = ({"path": "x.png"}, {"label": "7"}, {"thumbnail": b"RIFF"})
    digests = [digest([replace(found[0], **change), *found[1:]]) for change in changes]
    assert len({digest(found), digest(found[1:]), *digests}) == 5


def test_the_common_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = str(tmp_path)
    assert common_folder(["a/b/1.png", f"{root}/a/c/2.png"]) == f"{root}/a"
    assert common_folder(["a/b/1.png"]) == f"{root}/a/b"
    assert common_folder(["a/1.png", "a/b/1.png"]) == f"{root}/a"
    assert common_folder(["a/1.png", "ab/1.png"]) == root


def test_thumbnails_lose_nothing_unless_that_takes_too_much() -> None:
    noise = np.random.default_rng(0)
    faint = noise.integers(250, 253, (60, 90, 3)).astype(np.uint8)
    content, size = shrink(Image.fromarray(faint), 60)
    assert size == (90, 60)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), faint)
    loud = Image.fromarray(noise.integers(0, 255, (240, 800, 3)).astype(np.uint8))
    content, size = shrink(loud, 60)
    decoded = Image.open(io.BytesIO(content))
    assert decoded.size == size == (200, 60)
    lossless = io.BytesIO()
    loud.resize(size, Image.Resampling.LANCZOS).save(lossless, "WEBP", lossless=True)
    assert len(content) < len(lossless.getvalue()) / 2
    assert shrink(Image.new("RGBA", (5, 300)), 60)[1] == (1, 60)


def test_doubtful_characters_are_marked(tmp_path: Path) -> None:
    def character(text: str, probability: float, left: int) -> Character:
        return Character(
            text=text, x=left, box=(left, 0, left + 50, 200), probability=probability,
            alternative="7" if text == "1" else "", alternative_probability=0.25, frames=(0, 0),
        )  # fmt: skip

    characters = (character("1", 0.5, 0), character("+", 0.95, 200), character("2", 0.6, 350))
    reading = Prediction(
        text="1+2",
        value=None,
        confidence=0.123456,
        characters=characters,
        alternatives=tuple(
            Alternative(text=t, value=None, probability=0.1) for t in ("1+2", "7+2", "")
        ),
    )
    # The picture is 400 x 200 px, its thumbnail 120 x 60.
    one = replace(candidate("a.png", 0.5, "1+23"), prediction=reading, size=(120, 60))
    (found,) = page_data(tmp_path, one)["pictures"]
    assert found["characters"] == [[0, "1 50%, 7 25%", 0.0, 0.125], [2, "2 60%", 0.875, 1.0]]
    assert (found["confidence"], found["others"]) == (0.1234, ["1+2", "7+2"])
    assert (found["labelDiffers"], found["textDiffers"]) == ([3], [])


def test_hostile_texts_are_texts(tmp_path: Path) -> None:
    one = candidate(HOSTILE, 0.5, HOSTILE, HOSTILE)
    bad = Candidate(path="\udcff", label=None, problem=f"{HOSTILE}\udcff: damaged")
    html = render_page(CandidateSet(f"/{HOSTILE}\udcff", [one, bad], HOSTILE, "x"), HOSTILE)
    page = parse(html)
    assert html.encode()  # nothing that UTF-8 cannot hold
    assert [attributes.get("id") for attributes, _ in scripts(page)] == ["set", None]
    assert len(page.all("img")) == 1
    assert all(not name.startswith("on") for part in page.all() for name in part.attributes)
    (folder,) = page.all("p", **{"class": "folder"})
    assert folder.text == f"/{HOSTILE}\\udcff".replace("\u202e", "\\u202e")
    file = tmp_path / "page.html"
    file.write_text(html, "utf-8")
    first, last = data_of(file)["pictures"]
    assert (first["text"], first["label"], first["cell"]) == (HOSTILE, HOSTILE, HOSTILE)
    assert last == {"number": 1, "name": "\\udcff", "problem": last["problem"]}


def test_the_policy_allows_this_script_and_this_style_alone() -> None:
    page = parse(render_page(CandidateSet("/a", [candidate("a", 0.5)], "+1"), "bundled"))
    (policy,) = (
        meta.attributes["content"]
        for meta in page.all("meta")
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    )

    def digest(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    (style,) = ("".join(map(str, part.children)) for part in page.all("style"))
    _, (_, script) = scripts(page)
    assert dict(part.split(" ", 1) for part in re.split("; *", policy)) == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": digest(style),
        "script-src": digest(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not any("style" in part.attributes for part in page.all())


def test_names_that_no_table_can_hold_are_listed() -> None:
    name = os.fsdecode(b"/a/\xff.png")
    reading = Prediction(text="1", value=None, confidence=0.5)
    found = make_candidate(name, "/a", reading, {name: Sample(Path(name), "7", "")}, 60)
    assert (found.prediction, found.label) == (None, "7")
    assert "UTF-8" in found.problem
