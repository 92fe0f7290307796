"""Run directories to report on, and pages taken apart."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
from click.testing import Result
from PIL import Image

from exprocr.core.config.schema import Preset
from exprocr.core.model.artifact import MODEL_FILE_NAME, ModelFile
from exprocr.core.runs.layout import (
    CONFIG_NAME,
    METRICS_NAME,
    SPLIT_NAME,
    TENSORS_NAME,
    VAL_NAME,
)
from exprocr.core.runs.tensor_record import TensorRecorder
from exprocr.training.run import RunSpec, write_config
from tests.support.pictures import text_picture
from tests.support.tiny_runs import invoke, tiny_settings

SECTIONS = [
    "curves", "evaluation", "worst", "explanation", "architecture", "features", "tensors",
    "configuration",
]  # fmt: skip
"""Names of the page's sections, in order."""

SAMPLES = Path(__file__).parents[2] / "docs/samples"
BUNDLED = Path(str(files("exprocr") / "weights" / MODEL_FILE_NAME))

VOID = {"meta", "link", "img", "br", "hr", "input"}
"""Elements without an end."""


def report(run: Path, *args: object) -> Result:
    """Run the command."""
    return invoke("report", run, "--device", "cpu", "--threads", 1, *args)


def page_of(result: Result, file: Path) -> Element:
    """Return the page that a command that went well has written."""
    assert result.exit_code == 0, result.stderr
    return parse(file.read_text(encoding="utf-8"))


def make_run(
    run_dir: Path, model: Path, pictures: Iterable[tuple[Path, str]], settings: Preset | None = None
) -> Path:
    """Make a run directory as `exprocr train` leaves it.

    Args:
        run_dir: Where.
        model: The model file it came to.
        pictures: Files it validated on, and their texts.
        settings: Its settings.
    """
    run_dir.mkdir(parents=True)
    shutil.copy(model, run_dir / MODEL_FILE_NAME)
    write_config(run_dir / CONFIG_NAME, RunSpec(settings=settings or tiny_settings(synth_mix=1.0)))
    pictures = list(pictures)
    (run_dir / SPLIT_NAME).write_text(json.dumps({"val": [str(path) for path, _ in pictures]}))
    with (run_dir / VAL_NAME).open("w", newline="") as file:
        csv.writer(file).writerows([("image", "text"), *pictures])
    (run_dir / METRICS_NAME).write_text("".join(f"{json.dumps(r)}\n" for r in records()))
    recorder = TensorRecorder(run_dir / TENSORS_NAME)
    weights = ModelFile.load(model).weights
    tensors = {name: weights[name] for name in weights if name.startswith(("conv1", "fc2"))}
    for step in (2, 4, 6):
        recorder.add(step, {n: v * np.float32(step) for n, v in tensors.items() if v.ndim})
    recorder.flush()
    return run_dir


def records() -> list[dict[str, object]]:
    """Return the metrics of three epochs of two steps."""
    found: list[dict[str, object]] = []
    for step in range(1, 7):
        epoch = (step + 1) // 2
        common = {"step": step, "epoch": epoch, "elapsed_s": 0.5 * step}
        found.append({"kind": "step", **common, "loss": 8 / step, "learning_rate": 0.01})
        if step % 2 == 0:
            figures = {"loss": 9 / step, "exact_match": step / 8}
            figures["normalized_edit_distance"] = 1 / step
            for part in ("train", "val"):
                common |= {f"{part}_{name}": figure for name, figure in figures.items()}
            found.append({"kind": "evaluation", **common, "val_cer": 0.1, "images_per_s": 40.0})
    return found


def make_pictures(folder: Path, number: int) -> list[Path]:
    """Write pictures that differ; return their files."""
    folder.mkdir(parents=True)
    files = [folder / f"{i}.png" for i in range(number)]
    for i, file in enumerate(files):
        text_picture(ink=7 * i, background=255 - i).save(file)
    return files


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text inside it, with single spaces."""
        parts = (c if isinstance(c, str) else c.text for c in self.children)
        return " ".join("".join(parts).split())

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """Return the elements inside it, with a tag or attributes."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if tag in ("", child.tag) and attributes.items() <= child.attributes.items():
                    found.append(child)
                found += child.all(tag, **attributes)
        return found

    def one(self, tag: str = "", **attributes: str) -> Element:
        """Return the one element with a tag or attributes."""
        (found,) = self.all(tag, **attributes)
        return found


class _Reader(HTMLParser):
    """Builds the tree of a page, in which everything that begins must end."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"{self.getpos()}: {tag} ends {self.open[-1].tag}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Element:
    """Return a page as a tree."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    (root,) = reader.open  # all others have ended
    return root


def section(page: Element, name: str) -> Element:
    """Return a section of a page."""
    return page.one("section", id=name)


def facts(part: Element) -> dict[str, str]:
    """Return the names and values of the lists in a part of a page."""
    return {row.one("dt").text: row.one("dd").text for row in part.all("div") if is_fact(row)}


def is_fact(row: Element) -> bool:
    """Say whether an element is a name with its value."""
    return [child.tag for child in row.children if isinstance(child, Element)] == ["dt", "dd"]


def table(part: Element, title: str) -> list[list[str]]:
    """Return the rows of the table under a heading, without its header."""
    (found,) = (f for f in part.all("figure") if [h.text for h in f.all("h3")] == [title])
    return [[cell.text for cell in row.all("td")] for row in found.one("tbody").all("tr")]


def decoded(uri: str) -> Image.Image:
    """Return the picture of a data URI."""
    head, _, content = uri.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    picture = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
    picture.load()
    assert f"data:{Image.MIME[picture.format or '']};base64" == head
    return picture


def gaps(part: Element) -> Sequence[str]:
    """Return what a part of a page says is left out."""
    return [p.text for p in part.all("p") if p.attributes.get("class") == "missing"]
