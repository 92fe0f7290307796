"""The page for labeling in Chromium, by the keyboard alone: what is typed, kept, and saved."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import tomli_w
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.label_pages import data_of, draw_many, label
from tests.support.pictures import matplotlib_fonts
from tests.support.predict_runs import draw
from tests.support.tiny_runs import SETTINGS, invoke

NUM_IMAGES = 12
HOSTILE = '<img src=x onerror=alert(1)>"&amp;.png'

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images, with one that cannot be read and one of a hostile name."""
    folder = draw_many(tmp_path_factory.mktemp("browser") / "images", NUM_IMAGES)
    draw(folder / HOSTILE, "1")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def page_file(images: Path, tiny_model: Path) -> Path:
    file = images.parent / "page.html"
    assert label(tiny_model, images, "-o", file).exit_code == 1  # for the broken one
    return file


@pytest.fixture(scope="module")
def check_file(images: Path, tiny_model: Path, page_file: Path) -> Path:
    """Return the page that checks labels, of which the second and the fifth are not as read."""
    readings = {p["name"]: p["text"] for p in data_of(page_file)["pictures"] if "text" in p}
    labels = {name: readings[name] for name in (f"{i}.png" for i in range(NUM_IMAGES))}
    labels["1.png"] += "+3"
    labels["4.png"] = "(" + labels["4.png"]
    table = images.parent / "table.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("image", "text"), *labels.items()])
    file = images.parent / "check.html"
    done = label(tiny_model, "--labels", table, "--images", images, "-o", file)
    assert done.exit_code == 0, done.stderr
    return file


@pytest.fixture
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """Return a browser's memory, which is empty at first and lasts for one test."""
    context = browser.new_context(viewport={"width": 1300, "height": 900}, accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def open_page(profile: BrowserContext) -> Iterator[Open]:
    """Return a function that opens a file in a new tab; a complaint or a request fails the test."""
    found: list[str] = []

    def start(file: Path) -> Page:
        page = profile.new_page()
        page.on(
            "console",
            lambda said: found.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("request", lambda request: found.append(request.url))
        page.goto(file.as_uri())
        found.remove(file.as_uri())
        return page

    yield start
    assert [one for one in found if not one.startswith(("data:", "blob:"))] == []


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def value(page: Page) -> str:
    return page.locator("#field").input_value()


def name(page: Page) -> str:
    return page.locator("#name").inner_text()


def state(page: Page, name: str) -> str | None:
    return page.locator(f"#list button[title='{name}']").get_attribute("data-state")


def shown(page: Page) -> list[str]:
    titles: list[str] = page.locator("#list li:not([hidden]) button").evaluate_all(
        "rows => rows.map(row => row.title)"
    )
    return titles


def saved(page: Page, folder: Path) -> dict[str, str]:
    """Save the labels with Ctrl+S; return them as Python's csv reads them."""
    with page.expect_download() as download:
        press(page, "Control+s")
    assert download.value.suggested_filename == "labels.csv"
    download.value.save_as(folder / "labels.csv")
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream, strict=True))
    assert rows[0] == ["image", "text"]
    return dict(rows[1:])


def type_text(page: Page, text: str) -> None:
    press(page, "Control+a")
    page.keyboard.type(text)


def test_label_ten_save_and_train(
    open_page: Open, page_file: Path, images: Path, tiny_model: Path, tmp_path: Path
) -> None:
    page = open_page(page_file)
    expected = {}
    for number in range(10):
        expected[name(page)] = text = f"{number}+1"
        type_text(page, text)
        press(page, "Enter")
    expect(page.locator("#done")).to_have_text("10 of 13 done")
    assert saved(page, tmp_path) == expected
    assert "Saved 10 labels." in page.locator("#hint").inner_text()
    settings = {k: v for k, v in SETTINGS.items() if k not in ("model", "preprocess")}
    fonts = {"system_fonts": False, "fonts": [str(matplotlib_fonts())]}
    (tmp_path / "tiny.toml").write_text(
        tomli_w.dumps(settings | {"synth": settings["synth"] | fonts})
    )
    run, table = tmp_path / "run", tmp_path / "labels.csv"
    machine = ("--images", images, "--device", "cpu", "--threads", 1)
    options = ("--init", tiny_model, "--epochs", 1, "--config", tmp_path / "tiny.toml")
    done = invoke("-q", "train", table, *machine, *options, "--output", run)
    assert done.exit_code == 0, done.stderr
    done = invoke("eval", table, *machine, "--model", run)
    assert done.exit_code == 0, done.stderr
    assert re.search(r"^images +10\b", done.stdout, re.MULTILINE)


def test_what_is_typed_survives_closing_the_page(
    open_page: Open, page_file: Path, tmp_path: Path
) -> None:
    page = open_page(page_file)
    names, readings = [], []
    for _ in range(3):
        names.append(name(page))
        readings.append(value(page))
        press(page, "ArrowDown")
    press(page, "ArrowUp", "ArrowUp", "ArrowUp")
    assert name(page) == names[0]
    press(page, "Enter")  # accepts the first
    type_text(page, "1-1")
    press(page, "Enter", "Alt+s")  # changes the second, skips the third
    excluded = name(page)
    press(page, "Alt+x")
    draft = name(page)
    type_text(page, "9*9")
    page.close()
    page = open_page(page_file)
    assert (name(page), value(page)) == (draft, "9*9")
    states = [state(page, one) for one in (*names, excluded, draft)]
    assert states == ["accepted", "changed", "skipped", "excluded", "typed"]
    counts = page.locator("#counts").inner_text()
    assert counts == "· 1 accepted · 1 changed · 1 skipped · 1 excluded · 1 unreadable"
    assert saved(page, tmp_path) == {names[0]: readings[0], names[1]: "1-1"}
    assert "1 typed but not accepted" in page.locator("#hint").inner_text()


def test_another_set_begins_empty(
    open_page: Open, page_file: Path, check_file: Path, tmp_path: Path
) -> None:
    page = open_page(page_file)
    press(page, "Enter", "Enter")
    expect(page.locator("#done")).to_have_text("2 of 13 done")
    expect(open_page(check_file).locator("#done")).to_have_text("0 of 12 done")


def test_every_decision_can_be_undone(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file)
    names = []
    for key in ("Enter", "Alt+s", "Alt+x", "Enter"):
        names.append(name(page))
        if len(names) == 4:
            type_text(page, "4*4")
        press(page, key)
    for one in reversed(names):
        press(page, "Alt+u")
        assert name(page) == one
        assert state(page, one) == ("typed" if one == names[3] else "undone")
    assert value(page) == data_of(page_file)["pictures"][0]["text"]
    expect(page.locator("#undo")).to_be_disabled()
    expect(page.locator("#done")).to_have_text("0 of 13 done")


def test_labels_that_differ_come_first(open_page: Open, check_file: Path, tmp_path: Path) -> None:
    """And those that nobody looked at stay as they were."""
    page = open_page(check_file)
    pictures = {p["name"]: p for p in data_of(check_file)["pictures"]}
    first, second = shown(page)[:2]
    assert {first, second} == {"1.png", "4.png"}
    assert pictures[first]["confidence"] >= pictures[second]["confidence"]
    page.locator("#show").select_option("differ")
    assert shown(page) == [first, second]
    page.locator("#field").focus()
    assert value(page) == pictures[first]["label"]
    assert page.locator("#label mark").all_inner_texts()
    press(page, "Alt+r")
    assert value(page) == pictures[first]["text"]
    press(page, "Enter")
    assert name(page) == second
    press(page, "Enter")  # the label is right
    assert page.locator("#hint").inner_text() == "All pictures that are shown are done."
    found = saved(page, tmp_path)
    assert found == {n: p["label"] for n, p in pictures.items()} | {first: pictures[first]["text"]}
    press(page, "Alt+x")
    assert second not in saved(page, tmp_path)


def test_a_key_that_is_held_down_accepts_one_text(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file)
    page.keyboard.down("Enter")
    page.keyboard.down("Enter")  # without letting go: a repetition
    page.keyboard.up("Enter")
    expect(page.locator("#done")).to_have_text("1 of 13 done")


def test_filters(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file)
    pictures: list[dict[str, Any]] = data_of(page_file)["pictures"]
    order = [p["name"] for p in pictures]
    assert shown(page) == order
    press(page, "Enter", "Alt+s")
    page.locator("#show").select_option("undone")
    assert shown(page) == order[2:-1]
    page.locator("#show").select_option("left")
    assert shown(page) == [order[1], "broken.png"]
    page.locator("#show").select_option("unsure")
    limit = round((pictures[3]["confidence"] + pictures[4]["confidence"]) / 2, 6)
    page.locator("#below").evaluate("below => { below.step = 'any'; }")
    page.locator("#below").fill(str(limit))
    assert shown(page) == [p["name"] for p in pictures if p.get("confidence", 1) < limit] != order
    expect(page.locator("#shown")).to_have_text(f"{len(shown(page))} shown")


def test_the_next_picture_is_one_that_is_shown(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file)
    order = [p["name"] for p in data_of(page_file)["pictures"]]
    press(page, "Alt+s", "Enter", "Alt+s")
    page.locator("#show").select_option("undone")
    press(page, "Tab")
    page.locator("#field").focus()
    assert name(page) == order[3]
    press(page, "Enter")
    assert name(page) == order[4]
    press(page, "ArrowUp")
    assert page.locator("#hint").inner_text() == "This is the first picture."


def test_a_text_that_is_no_label_is_not_accepted(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file)
    first = name(page)
    for text, hint in (
        ("", "Type the text"),
        ("   ", "Type the text"),
        ("1\u00a0+1", "visible ones"),
        ("1\u200b", "visible ones"),
        ("1" * 1001, "at most 1000"),
    ):
        page.locator("#field").fill(text)
        press(page, "Enter")
        assert hint in page.locator("#hint").inner_text()
        assert (name(page), state(page, first)) == (first, "typed")
    page.locator("#field").fill("1 ÷ 2")
    assert page.locator("#hint").inner_text() == "The model does not know: ÷"
    press(page, "Escape")
    assert (value(page), state(page, first)) == (
        data_of(page_file)["pictures"][0]["text"],
        "undone",
    )


def test_what_is_saved_is_read_as_it_was_typed(
    open_page: Open, page_file: Path, tmp_path: Path
) -> None:
    page = open_page(page_file)
    expected = {}
    for text in ('"', "1,000", 'a "b" c', "−½…"):
        expected[name(page)] = text
        page.locator("#field").fill(f" {text} ")
        press(page, "Enter")
    page.locator(f"#list button[title^='{HOSTILE[:8]}']").click()
    assert name(page) == HOSTILE
    page.locator("#field").fill("<b>1</b>")
    press(page, "Enter")
    assert saved(page, tmp_path) == expected | {HOSTILE: "<b>1</b>"}
    assert page.locator("img[src=x], b").count() == 0


def test_an_image_that_cannot_be_read_is_listed(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file)
    page.locator("#list button[title='broken.png']").click()
    assert "expected a picture" in page.locator("#reading").inner_text()
    press(page, "Alt+s", "Alt+x", "Alt+r", "Escape")
    expect(page.locator("#field")).to_be_disabled()
    assert state(page, "broken.png") == "unreadable"
    press(page, "ArrowUp")
    expect(page.locator("#field")).to_be_focused()


def test_faint_texts_become_visible(open_page: Open, tiny_model: Path, tmp_path: Path) -> None:
    """The text differs from its background by two levels, on the page as in the file."""
    with Image.open(draw(tmp_path / "a.png")) as picture:
        picture.point(lambda level: 250 if level > 128 else 248).save(tmp_path / "a.png")
    file = tmp_path / "page.html"
    assert label(tiny_model, tmp_path / "a.png", "-o", file).exit_code == 0
    page = open_page(file)
    levels = """async () => {
      const image = document.getElementById("picture");
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
      return [Math.min(...data), Math.max(...data.filter((_, i) => i % 4 < 3))];
    }"""
    assert page.evaluate(levels) == [248, 250]
    before = page.locator("#picture").get_attribute("src") or ""
    press(page, "Alt+c")
    expect(page.locator("#picture")).not_to_have_attribute("src", before)
    assert page.evaluate(levels) == [0, 255]
    press(page, "Alt+c")
    expect(page.locator("#picture")).to_have_attribute("src", before)


FITS = """() => {
  const found = [];
  if (document.documentElement.scrollWidth > innerWidth) found.push("wider than the window");
  for (const part of document.querySelectorAll("button, input, select, h1, p, dd, summary")) {
    const box = part.getBoundingClientRect();
    if (box.width && !part.closest("#list, .hidden-text") && box.right > innerWidth + 1)
      found.push(`outside: ${part.id || part.textContent}`);
    if (parseFloat(getComputedStyle(part).fontSize) < 16) found.push(`small: ${part.textContent}`);
  }
  for (const input of document.querySelectorAll("input, select"))
    if (!input.labels.length && !input.ariaLabel) found.push(`no label: ${input.id}`);
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1300])
def test_the_page_fits(
    browser: Browser, check_file: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(check_file.as_uri())
    assert page.evaluate(FITS) == []
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(level) for level in re.findall(r"\d+", color)]
    assert max(levels) < 60 if scheme == "dark" else min(levels) > 200
    expect(page.locator("#field")).to_be_focused()
    page.close()


def test_a_browser_that_keeps_nothing_says_so(browser: Browser, page_file: Path) -> None:
    page = browser.new_page()
    page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); };")
    page.goto(page_file.as_uri())
    expect(page.locator("#warning")).to_be_hidden()
    press(page, "Enter")
    expect(page.locator("#warning")).to_be_visible()
    expect(page.locator("#done")).to_have_text("1 of 13 done")
    page.close()
