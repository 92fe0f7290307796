"""The measuring of weights: every row on a handful of pictures, and what its figures are."""

from __future__ import annotations

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import matplotlib
import numpy as np
import pytest
from PIL import Image

from exprocr.core.data.dataset import load_dataset
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import Recognizer
from exprocr.synth.exercises import SUMS
from exprocr.synth.fonts import FontFile
from tests.benchmarks import image_sets
from tests.benchmarks.captcha_images import draw_images
from tests.benchmarks.image_sets import CHARACTERS, Drawn, MissingError
from tests.benchmarks.measure_weights import Result, Row, draw_set, main
from tests.support.handwriting import drawn_digits, write_digits

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"


@pytest.fixture
def heldout(tmp_path: Path) -> Path:
    """Return a folder of three fonts."""
    folder = tmp_path / "heldout"
    folder.mkdir()
    for name in ("DejaVuSans.ttf", "DejaVuSerif.ttf", "STIXGeneral.ttf"):
        shutil.copy(FONTS / name, folder)
    return folder


def figures(tmp_path: Path, *arguments: object) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the figures of a run in this process, by row and grammar."""
    file = tmp_path / "figures.json"
    main([*map(str, arguments), "--workers", "1", "--json", str(file)])
    return {(line["images"], line["grammar"]): line for line in json.loads(file.read_text())}


def test_every_row_is_measured(
    tmp_path: Path,
    tiny_model: Path,
    files: Path,
    heldout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    digits = write_digits(tmp_path / "digits", *drawn_digits(20))
    monkeypatch.setattr("tests.benchmarks.measure_weights.TEST_DIGITS", (10, 19))
    dseg = tmp_path / "dseg"
    dseg.mkdir()
    shutil.copy(FONTS / "DejaVuSans.ttf", dseg / "DSEG7Classic-Bold.ttf")
    options = ["--model", tiny_model, "--real", files, "--heldout", heldout, "--digits", digits]
    options += ["--dseg", dseg]
    groups = [part for group in ("real", "captcha", "looks", "none") for part in ("--only", group)]
    errors = tmp_path / "errors"
    found = figures(tmp_path, *options, *groups, "-n", 0.0006, "--errors", errors)
    numbers = {name: line["number"] for (name, _), line in found.items()}
    assert numbers == {
        "real/data": 24,
        "captcha/contest": 12,
        "captcha/sums": 3,
        "captcha/as-called": 3,
        "captcha/fonts": 6,
        "looks/print": 3,
        "looks/screen": 3,
        "looks/hand": 3,
        "looks/display": 3,
        "none/letters": 1,
        "none/blank": 1,
        "none/noise": 1,
        "none/photographs": 1,
    }
    for name in ("real/data", "captcha/contest"):
        assert (name, "level1") in found
    samples = load_dataset(files).parts["all"]
    readings = Recognizer.load(tiny_model, grammar="level1").predict(s.path for s in samples)
    pairs = [(sample.text, reading) for sample, reading in zip(samples, readings, strict=True)]
    line = found["real/data", "level1"]
    assert line["exact_match"] == np.mean([text == reading.text for text, reading in pairs])
    assert line["sure_errors"] == sum(t != r.text and r.confidence >= 0.9 for t, r in pairs)
    for name, grammar in found:
        with Image.open(errors / f"{name.replace('/', '-')}-{grammar}.png") as sheet:
            assert sheet.width > 500
    assert "wrong at 0.9 or more" in capsys.readouterr().out


def test_a_row_says_what_is_missing(
    tmp_path: Path, tiny_model: Path, heldout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    rows = ("programs/pango", "looks/print", "looks/hand", "none/blank")
    only = [part for row in rows for part in ("--only", row)]
    found = figures(tmp_path, "--model", tiny_model, *only, "-n", 0.005)
    assert found["programs/pango", ""]["problem"] == "not installed: ImageMagick with Pango"
    assert found["looks/print", ""]["problem"] == "needs --heldout"
    assert found["looks/hand", ""]["problem"] == "needs --digits"
    assert len(found) == len(rows)  # the last one is measured
    with pytest.raises(SystemExit):
        main(["--only", "nosuch"])


class Scripted:
    """Reads texts of a script with its confidences."""

    def __init__(self, script: list[tuple[str, float]]) -> None:
        self.script = iter(script)

    def stream(self, pictures: Any) -> Any:
        """Yield the next reading for each picture."""
        for _, (text, confidence) in zip(pictures, self.script, strict=False):
            yield Prediction(text=text, value=None, confidence=confidence)


def test_figures() -> None:
    picture = Image.new("RGB", (20, 20))
    script = [("1+2", 0.9), ("1+3", 0.5), ("17+2", 0.95), ("1+2", 0.8)]
    result = Result()
    recognizer = cast(Recognizer, Scripted(script))
    for size in (1, 3):
        result.add(recognizer, [("1+2", picture)] * size)
    found = result.figures()
    assert found["number"] == 4
    assert found["exact_match"] == 0.5
    assert found["cer"] == pytest.approx(2 / 12)
    assert found["ece"] == pytest.approx((0.1 + 0.5 + 0.95 + 0.2) / 4)
    assert found["sure_errors"] == 1
    assert [tile.reading for tile in result.worst] == ["17+2", "1+3"]


def test_pictures_do_not_depend_on_who_draws_them() -> None:
    row = Row("none/noise", 450, lambda: image_sets.noise)
    alone = [picture.tobytes() for chunk in draw_set(row, None, 1) for _, picture in chunk]
    with ThreadPoolExecutor(3) as pool:
        shared = [picture.tobytes() for chunk in draw_set(row, pool, 2) for _, picture in chunk]
    assert alone == shared
    assert len(set(alone)) == 450


def check_shown(drawn: list[Drawn]) -> None:
    """Check pictures of texts by programs: what they say, their sizes, and that they show it."""
    texts = [text for text, _ in drawn]
    assert len(set(texts)) > len(texts) / 2
    assert set("".join(texts)) <= set(CHARACTERS)
    for text, picture in drawn:
        assert 0.2 * 14 < picture.width / len(text) < 1.5 * 48 + 50
        gray = np.asarray(picture.convert("L"), dtype=float)
        rows, columns = gray.shape
        ink = abs(gray - np.median(gray)) > 20
        assert ink.any(axis=0).sum() > columns / 4  # the text is across the picture
        assert ink.mean() < 0.5
        assert rows > 10


def test_pictures_by_chromium(browser: Browser) -> None:
    drawn, again = (
        list(image_sets.web_page(browser, ["DejaVu Sans"], range(12), np.random.default_rng(1)))
        for _ in range(2)
    )
    check_shown(drawn)
    assert [p.tobytes() for _, p in drawn] == [p.tobytes() for _, p in again]


def test_pictures_by_pango() -> None:
    try:
        program = image_sets.find_imagemagick()
    except MissingError as error:
        pytest.skip(str(error))
    drawn, again = (
        list(image_sets.pango(program, ["DejaVu Sans"], range(12), np.random.default_rng(1)))
        for _ in range(2)
    )
    check_shown(drawn)
    assert [p.tobytes() for _, p in drawn] == [p.tobytes() for _, p in again]


def test_programs_find_the_fonts_of_a_folder(heldout: Path) -> None:
    before = os.environ.get("FONTCONFIG_FILE")
    with image_sets.installed_too(heldout):
        try:
            families = image_sets.font_families()
        except MissingError as error:
            pytest.skip(str(error))
    assert {"DejaVu Serif", "STIXGeneral"} <= set(families)
    assert os.environ.get("FONTCONFIG_FILE") == before


def test_the_worst_families_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    styles = (("Tymes", "Book"), ("Other", "Regular"), ("Inter", "Thin"), ("Inter", "Regular"))
    fonts = [FontFile(family, style, f"{family} {style}") for family, style in styles]
    monkeypatch.setattr(image_sets, "held_out", lambda folder, characters: fonts)
    assert image_sets.worst_fonts(Path()) == ["Inter Regular", "Tymes Book"]


def test_short_answers() -> None:
    rng = np.random.default_rng(0)
    texts = [image_sets.ShortAnswers().draw(rng) for _ in range(200)]
    assert all(re.fullmatch(r"[^<>=…]+=\d{1,3}", text) for text in texts)
    assert {len(text.partition("=")[2]) for text in texts} == {1, 2, 3}


def test_captchas_of_any_width() -> None:
    drawn = list(draw_images(40, 0, texts=SUMS, px_per_character=(22.0, 45.0), as_called=True))
    widths = [picture.width / len(text) for text, picture in drawn]
    assert 21.5 < min(widths) < 26 < 41 < max(widths) < 45.5
    assert {picture.height for _, picture in drawn} == {60}
