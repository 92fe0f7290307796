"""The page of ``exprocr report`` in Chromium: on a phone and on a wide screen, light and dark.

What is looked for is in `faults`; pages broken on purpose show that it finds each of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from tests.support.report_runs import SECTIONS, make_pictures, make_run, page_of, report

NewPage = Callable[..., Page]

PHONE, SCREEN = 400, 1400
COMPLAINTS = ("error", "warning")
MIN_TEXT_PX = 16
MIN_SCALE = 0.7
"""Pictures' text is 12 px or more at their own size; smaller than this it is hard to read."""

MEASURE = """
(() => {
  const found = [];
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth) found.push(`overflow: ${page.scrollWidth} px`);
  for (const image of document.images) {
    const name = image.alt.slice(0, 30);
    if (!image.complete || !image.naturalWidth) found.push(`not loaded: ${name}`);
    if (!image.alt) found.push("no alt");
    const box = image.getBoundingClientRect();
    const [x, y] = [box.width / image.naturalWidth, box.height / image.naturalHeight];
    const inCard = image.closest(".cards");
    if (!inCard && x < LEAST) found.push(`shrunk: ${name} to ${x}`);
    if (!inCard && x > 1.01) found.push(`enlarged: ${name} to ${x}`);
    if (Math.abs(x - y) > 0.02) found.push(`distorted: ${name}`);
    for (let paper = image; ; paper = paper.parentElement) {
      const color = getComputedStyle(paper).backgroundColor;
      if (color === "rgb(255, 255, 255)") break;
      if (paper === page) { found.push(`no paper: ${name}`); break; }
    }
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    const style = getComputedStyle(element);
    if (!text || style.display === "none") continue;
    if (parseFloat(style.fontSize) < SMALLEST) found.push(`small: ${text.slice(0, 30)}`);
    const box = element.getBoundingClientRect();
    const inBox = element.closest(".box");
    if (!inBox && !element.matches(".skip") && (box.right > innerWidth + 1 || box.left < -1))
      found.push(`outside: ${text.slice(0, 30)}`);
  }
  for (const box of document.querySelectorAll(".box"))
    if (box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "auto")
      found.push("a box that cannot be scrolled");
  return found;
})()
""".replace("LEAST", str(MIN_SCALE)).replace("SMALLEST", str(MIN_TEXT_PX))


@pytest.fixture(scope="module")
def report_file(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a run with long names, in which nothing is read right."""
    folder = tmp_path_factory.mktemp("run")
    pictures = make_pictures(folder / ("long" * 50), 6)
    labels = ["1+1", "7" * 300, "(2)", "<b>", "9*" * 80 + "9", "5"]
    run = make_run(folder / ("a_run_" * 30), tiny_model, zip(pictures, labels, strict=True))
    file = folder / "page.html"
    page_of(report(run, "-o", file), file)
    return file


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Return a function that makes a page of a width in px, for one test."""
    with ExitStack() as pages:

        def make(width: int, *, dark: bool = False) -> Page:
            scheme: Literal["dark", "light"] = "dark" if dark else "light"
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            pages.callback(page.close)
            return page

        yield make


def faults(page: Page, file: Path) -> list[str]:
    """Open a file in a page and return what is wrong with it."""
    found: list[str] = []
    page.on(
        "console",
        lambda said: found.append(f"console: {said.text}") if said.type in COMPLAINTS else None,
    )
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("request", lambda request: found.append(f"request: {request.url}"))
    page.goto(file.as_uri())
    found.remove(f"request: {file.as_uri()}")
    measured: list[str] = page.evaluate(MEASURE)
    return found + measured


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, SCREEN])
def test_the_page_can_be_read(new_page: NewPage, report_file: Path, width: int, dark: bool) -> None:
    page = new_page(width, dark=dark)
    assert faults(page, report_file) == []
    assert page.evaluate("innerWidth") == width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(level) for level in re.findall(r"\d+", background)]
    assert max(levels) < 60 if dark else min(levels) > 200


def test_wide_pictures_scroll_on_a_phone(new_page: NewPage, report_file: Path) -> None:
    page = new_page(PHONE)
    page.goto(report_file.as_uri())
    boxes = page.locator(".picture .box")
    widths = boxes.evaluate_all("boxes => boxes.map(b => [b.clientWidth, b.scrollWidth])")
    assert len(widths) == 1 + 2 + 1 + 7 + 2
    assert all(seen <= PHONE < whole for seen, whole in widths)
    scrolled = boxes.first.evaluate(
        "box => { box.scrollLeft = 300; "
        "return [box.scrollLeft, document.documentElement.scrollLeft]; }"
    )
    assert scrolled == [300, 0]


def test_the_curves_fit_on_a_wide_screen(new_page: NewPage, report_file: Path) -> None:
    page = new_page(SCREEN)
    page.goto(report_file.as_uri())
    box = page.locator("#curves .box")
    seen, whole = box.evaluate("box => [box.clientWidth, box.scrollWidth]")
    assert seen == whole > SCREEN * 0.75


@pytest.mark.parametrize("width", [PHONE, SCREEN])
def test_contents_lead_to_the_sections(new_page: NewPage, report_file: Path, width: int) -> None:
    page = new_page(width)
    page.goto(report_file.as_uri())
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    tops = []
    for link in page.locator("nav a").all():
        link.evaluate("link => link.click()")  # where it stands, without scrolling to it first
        part = page.locator(link.get_attribute("href") or "")
        tops.append(part.evaluate("part => [part.id, part.getBoundingClientRect().top]"))
    assert [name for name, _ in tops] == SECTIONS
    # At the top, unless the page ends first.
    assert all(0 <= top < 100 for _, top in tops[:-2])


def test_the_policy_of_the_page_stops_scripts(
    new_page: NewPage, report_file: Path, tmp_path: Path
) -> None:
    text = report_file.read_text()
    text = text.replace("</body>", "<script>document.title = 'run'</script></body>")
    file = tmp_path / "page.html"
    file.write_text(text)
    page = new_page(SCREEN)
    assert "console: " in "".join(faults(page, file))
    assert page.title() != "run"


BROKEN = {
    "overflow": ("</main>", "<p style='width: 1500px; height: 9px'></p></main>"),
    "not loaded": ("base64,iVBORw0KGgo", "base64,iVBORw0KGgp"),
    "console: oh no": ("</body>", "<script>console.error('oh no')</script></body>"),
    "error: ": ("</body>", "<script>nothing.there()</script></body>"),
    "console: Failed to load": ("</body>", "<img alt='a' src='https://example.org/a.png'></body>"),
    "request: https://example.org/": ("</style>", "@import 'https://example.org/a.css';</style>"),
    "request: file:": ("</body>", "<img alt='a' src='other.png'></body>"),
    "small: ": ("figcaption, .caption {", "figcaption { font-size: 15px } .caption {"),
    "shrunk: ": ("max(100%, var(--natural) * var(--least))", "100%"),
    "distorted: ": (
        ".picture img { display: block; width: 100%; height: auto; }",
        ".picture img { height: 99px; }",
    ),
    "no paper: ": ("--paper: #ffffff", "--paper: transparent"),
    "no alt": (' alt="an image', ' title="an image'),
    "a box that cannot": (".box { overflow-x: auto", ".box { overflow-x: hidden"),
    "outside: ": ("overflow-wrap: anywhere;", "overflow-x: clip;"),
}
"""What is found -> what is put in the place of what."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", BROKEN)
def test_broken_pages_are_found_out(
    new_page: NewPage, report_file: Path, tmp_path: Path, fault: str
) -> None:
    old, new = BROKEN[fault]
    whole = report_file.read_text()
    assert old in whole
    text = whole.replace(old, new)
    if "</style>" in old:  # an import counts at the beginning alone
        text = whole.replace("<style>", "<style>" + new.removesuffix(old))
    if "<" in new:  # what it forbids is not to be seen
        text = re.sub(r"<meta http-equiv[^>]*>", "", text)
    file = tmp_path / "page.html"
    file.write_text(text)
    found = faults(new_page(PHONE, dark=True), file)
    assert any(one.startswith(fault) for one in found), found
