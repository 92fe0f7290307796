"""``exprocr visualize`` used wrongly: exit code 2 and what was wrong, before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from exprocr.cli import group
from exprocr.cli.options import Session
from exprocr.cli.visualize.kinds import KINDS, Request

GIVEN: dict[str, tuple[str, ...]] = {
    "image": ("img.png",),
    "layer": ("--layer", "conv1"),
    "model": ("--model", "m.safetensors"),
    "seed": ("--seed", "3"),
    "scale": ("--scale", "own"),
    "top": ("--top", "3"),
    "channels": ("--channels", "1,2"),
    "character": ("--character", "1"),
    "over": ("--over", "time"),
    "strength": ("--strength", "0.5"),
    "errors": ("--errors",),
    "limit": ("--limit", "5"),
    "images": ("--images", "d"),
    "allow_outside": ("--allow-outside",),
    "layout": ("--layout", "table"),
    "label_pattern": ("--label-pattern", "(?P<text>.*)"),
    "grammar": ("--grammar", "digits"),
    "texts": ("--texts", "t"),
    "texts_like": ("--texts-like", "captcha"),
    "max_length": ("--max-length", "5"),
    "look": ("--look", "print"),
    "digits": ("--digits", "d"),
}
"""An option of each kind of picture, and one that fits."""

NEEDS_RUN = [name for name, kind in KINDS.items() if kind.source in ("run", "runs")]
READS = [name for name, kind in KINDS.items() if kind.source == "model"]
DRAWINGS = [name for name, kind in KINDS.items() if not kind.is_plot]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in an empty folder, which stays empty: nothing named here is there."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


def usage_error(*args: str) -> str:
    """Run the command; return what it says is wrong with its use."""
    result = CliRunner().invoke(group, ["visualize", *args])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    # Which of the two names click shows depends on its version.
    assert re.search("Try 'exprocr visualize (-h|--help)' for help\\.", result.stderr)
    return result.stderr.partition("Error: ")[2].strip()


def foreign_options() -> Iterator[tuple[str, str]]:
    """Yield every kind with every option that it does not take."""
    for name, kind in KINDS.items():
        for option in GIVEN:
            if option not in kind.options and (option != "model" or kind.source != "model"):
                yield name, option


@pytest.mark.parametrize(("kind", "option"), list(foreign_options()))
def test_a_kind_takes_no_option_of_others(kind: str, option: str) -> None:
    run = ("--run", "r") if kind in NEEDS_RUN else ()
    shown = "IMAGE" if option == "image" else GIVEN[option][0]
    assert usage_error("--kind", kind, *run, *GIVEN[option]) == f"--kind {kind} takes no {shown}."


def test_every_option_of_a_kind_is_tried() -> None:
    assert {option for kind in KINDS.values() for option in kind.options} | {"model"} == set(GIVEN)


@pytest.mark.parametrize("kind", NEEDS_RUN)
def test_pictures_of_a_run_need_one(kind: str) -> None:
    assert usage_error("--kind", kind) == f"--kind {kind} needs a run directory: --run RUN."


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.source != "runs"])
def test_one_run_where_one_is_drawn(kind: str) -> None:
    message = usage_error("--kind", kind, "--run", "a", "--run", "b")
    assert message == f"--kind {kind} takes one --run."


@pytest.mark.parametrize("kind", READS)
def test_one_model(kind: str) -> None:
    message = usage_error("--kind", kind, "--run", "r", "--model", "m")
    assert message == "--run and --model both name a model; give one of them."


@pytest.mark.parametrize("kind", DRAWINGS)
@pytest.mark.parametrize("name", ["a.svg", "A.SVG"])
def test_drawings_are_no_svg(kind: str, name: str) -> None:
    plots = ", ".join(name for name in KINDS if name not in DRAWINGS)
    message = usage_error("--kind", kind, "--output", name)
    assert message == f"--kind {kind} is drawn as PNG; SVG is for {plots}."


@pytest.mark.parametrize(("kind", "formats"), [("filters", "PNG"), ("weights", "PNG or SVG")])
def test_other_formats_are_not_written(kind: str, formats: str) -> None:
    message = usage_error("--kind", kind, "--output", "deep/a.JPG")
    assert message == f"--kind {kind} is drawn as {formats}, found .jpg."


@pytest.mark.parametrize(
    ("output", "place"),
    [
        (None, "weights-fc1.png"),
        ("a.png", "a.png"),
        ("a", "a"),
        ("new/", "new/weights-fc1.png"),
        ("deep/a.b/", "deep/a.b/weights-fc1.png"),
    ],
)
def test_where_a_picture_goes(output: str | None, place: str) -> None:
    request = Request(session=Session(), kind="weights", output=output)
    assert request.path("fc1") == Path(place)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top", "0"], "'--top': 0 is not in the range"),
        (["--top", "few"], "'--top': 'few' is not a valid integer"),
        (["--channels", ""], "expected numbers with commas between them, such as 1,7,13"),
        (["--channels", "1,,2"], "expected numbers with commas"),
        (["--channels", "1,-2"], "expected numbers with commas"),
        (["--channels", "1.5"], "expected numbers with commas"),
        (["--channels", "1 2"], "expected numbers with commas"),
        (["--scale", "common"], "'common' is not one of 'own', 'shared'"),
        (["--kind", "feature"], "'feature' is not one of"),
        (["--top", "3", "--channels", "1"], "--top and --channels both choose channels"),
        (["--kind", "samples", "--texts", "t"], "options of rendered samples go without IMAGE"),
        (["--layer", "all", "--output", "a.png"], "7 pictures: --output is their folder, found"),
        (["--layer", "fc1,gru1", "--output", "a.PNG"], "2 pictures: --output is their folder"),
    ],
)
def test_values_that_do_not_fit(options: list[str], message: str) -> None:
    assert message in " ".join(usage_error("img.png", *options).split())
