"""``exprocr synth``: the same files whatever the processes, nothing lost, nothing else removed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from exprocr.cli import group
from exprocr.core.config.schema import SynthConfig
from exprocr.core.text.expression import evaluate, format_value
from exprocr.errors import ConfigError, OutputError
from exprocr.synth import writer
from exprocr.synth.renderer import Renderer, load_renderer
from tests.support.handwriting import drawn_digits, write_digits
from tests.support.pictures import matplotlib_fonts

Synth = Callable[..., Result]


@pytest.fixture(scope="session")
def font_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two fonts and a file that is none."""
    folder = tmp_path_factory.mktemp("fonts")
    source = matplotlib_fonts()
    for name in ("DejaVuSans.ttf", "DejaVuSerif-Bold.ttf"):
        shutil.copy(source / name, folder)
    (folder / "broken.ttf").write_bytes(b"no font")
    return folder


@pytest.fixture
def synth(font_folder: Path) -> Synth:
    """Return a function that runs the command with the two fonts only."""

    def run(*args: object, verbose: bool = False) -> Result:
        line = [*(["-v"] if verbose else []), "synth", "--no-system-fonts", "--fonts", font_folder]
        return CliRunner().invoke(group, [str(arg) for arg in [*line, *args]])

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def check_set(folder: Path, num: int, size: tuple[int, int] = (180, 60)) -> None:
    """Check that a folder is a complete set in the contest's layout."""
    lines = (folder / "labels.txt").read_text().splitlines()
    assert sorted(os.listdir(folder)) == sorted([*(f"{i}.png" for i in range(num)), "labels.txt"])
    assert len(lines) == num
    for line in lines:
        text, value = line.split(" ")
        assert value == format_value(evaluate(text))
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            assert (image.size, image.mode, image.format) == (size, "RGB", "PNG")


def test_layout_and_table(synth: Synth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # no cell is folded
    out = tmp_path / "a set"
    result = synth(out, "-n", 7, "--size", "120x40")
    assert result.exit_code == 0, result.stderr
    check_set(out, 7, (120, 40))
    table = dict(re.split("  +", line.strip(), maxsplit=1) for line in result.stdout.splitlines())
    assert table["images"] == "7"
    assert table["size"] == "120 x 40 px"
    assert table["fonts"] == "2 fonts of 2 families: DejaVu Sans, DejaVu Serif"
    assert table["fonts left out"] == "1"
    assert float(table["images/s per core"].replace(",", "")) > 0
    assert result.stderr == f"Next: exprocr train '{out}'\n"


def test_same_bytes_whatever_the_processes(synth: Synth, tmp_path: Path) -> None:
    args = ("-n", 230, "--seed", 5, "--size", "60x20")
    for workers in (1, 2):
        assert synth(tmp_path / str(workers), *args, "--workers", workers).exit_code == 0
    files = contents(tmp_path / "1")
    assert files == contents(tmp_path / "2")
    assert len(set(files.values())) == 231  # no two images alike
    check_set(tmp_path / "1", 230, (60, 20))


def test_seeds_differ_and_a_smaller_set_is_a_prefix(synth: Synth, tmp_path: Path) -> None:
    for name, num, seed in (("a", 12, 1), ("b", 12, 2), ("c", 5, 1)):
        assert synth(tmp_path / name, "-n", num, "--seed", seed).exit_code == 0
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert not set(a.values()) & set(b.values())
    assert all(a[name] == content for name, content in c.items() if name != "labels.txt")
    assert a["labels.txt"].startswith(c["labels.txt"])


def test_val_fraction(synth: Synth, tmp_path: Path) -> None:
    result = synth(tmp_path, "-n", 10, "--val-fraction", 0.2)
    assert result.exit_code == 0
    assert "10 (train: 8, val: 2)" in result.stdout
    assert sorted(os.listdir(tmp_path)) == ["train", "val"]
    check_set(tmp_path / "train", 8)
    check_set(tmp_path / "val", 2)
    train, val = contents(tmp_path / "train"), contents(tmp_path / "val")
    assert not set(train.values()) & set(val.values())
    assert synth(tmp_path / "x", "-n", 1, "--val-fraction", 0.5).exit_code == 2


def test_refuses_a_folder_in_use(synth: Synth, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    result = synth(tmp_path, "-n", 3)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"exprocr: {tmp_path}: expected an empty folder")
    assert contents(tmp_path) == {"thesis.txt": b"mine"}
    result = synth(tmp_path / "thesis.txt", "-n", 3)
    assert result.exit_code == 1
    assert "expected a folder, found a file" in result.stderr


def test_overwrite_removes_rendered_sets_only(synth: Synth, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    kept = ["thesis.txt", "01.png", "a.png", "3.jpg", "train/notes.md", "deep/0.png", "deep/3.png"]
    gone = ["0.png", "77.png", "labels.txt", "train/9.png", "train/labels.txt"]
    for name in (*kept, *gone):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("old")
    elsewhere.mkdir()
    (elsewhere / "0.png").write_text("old")
    (out / "val").symlink_to(elsewhere)
    assert synth(out, "-n", 2, "--overwrite").exit_code == 0
    left = contents(out)
    assert {name for name, content in left.items() if content == b"old"} - {"val/0.png"} == {*kept}
    assert set(left) - {"val/0.png"} == {*kept, "0.png", "1.png", "labels.txt"}
    assert contents(elsewhere) == {"0.png": b"old"}


def test_overwrite_changes_between_the_layouts(synth: Synth, tmp_path: Path) -> None:
    assert synth(tmp_path, "-n", 4, "--val-fraction", 0.5).exit_code == 0
    assert synth(tmp_path, "-n", 2, "--overwrite").exit_code == 0
    check_set(tmp_path, 2)


def test_bad_fonts_lose_nothing(tmp_path: Path, font_folder: Path) -> None:
    (tmp_path / "0.png").write_text("old")
    for fonts in (tmp_path / "nowhere", tmp_path):
        line = ["synth", str(tmp_path), "--overwrite", "--no-system-fonts", "--fonts", str(fonts)]
        result = CliRunner().invoke(group, line)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"exprocr: {fonts}: expected a f")
    assert contents(tmp_path) == {"0.png": b"old"}


def test_verbose_names_the_fonts(synth: Synth, tmp_path: Path) -> None:
    result = synth(tmp_path / "o", "-n", 1, verbose=True)
    assert "broken.ttf" in result.stdout.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    ("option", "exit_code"),
    [
        ("--size=180", 2),
        ("--size=180x", 2),
        ("--size=-1x60", 2),
        ("--size=1x1", 2),
        ("--size=6001x60", 2),
        ("--val-fraction=nan", 2),
        ("--seed=-1", 2),
        ("--num-images=0", 2),
        ("--val-fraction=1", 2),
        ("--workers=0", 2),
    ],
)
def test_bad_options(synth: Synth, tmp_path: Path, option: str, exit_code: int) -> None:
    result = synth(tmp_path / "o", "-n", 2, option)
    assert result.exit_code == exit_code
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "o").exists()


def test_unwritable_place(synth: Synth, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = synth(tmp_path / "file" / "out", "-n", 2)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def renderer(font_folder: Path) -> Renderer:
    config = SynthConfig(width=60, height=20, fonts=(str(font_folder),), system_fonts=False)
    return load_renderer(config)[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupt_keeps_a_smaller_set(renderer: Renderer, tmp_path: Path, workers: int) -> None:
    written = 0

    def interrupt(num: int) -> None:
        nonlocal written
        written += num
        if written >= 150:
            raise KeyboardInterrupt

    report = writer.write_samples(
        tmp_path / "out",
        renderer,
        seed=0,
        stream=0,
        num_images=1000,
        workers=workers,
        on_progress=interrupt,
    )
    assert report.interrupted
    assert 50 <= report.num_images < 1000
    check_set(tmp_path / "out", report.num_images, (60, 20))


def test_full_disk_keeps_what_is_complete(
    renderer: Renderer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = Image.Image.save

    def fill_up(image: Image.Image, path: Path, *args: object, **kwargs: object) -> None:
        if path.name == "70.png":
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(image, path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", fill_up)
    with pytest.raises(OutputError, match=r"70\.png: .*No space.*; 50 of 100 images are complete"):
        writer.write_samples(
            tmp_path / "out",
            renderer,
            seed=0,
            stream=0,
            num_images=100,
        )
    check_set(tmp_path / "out", 50, (60, 20))


@pytest.mark.parametrize("size", ["19x20", "20x19", "6001x20", "20x1001"])
def test_sizes_are_those_of_the_settings(synth: Synth, tmp_path: Path, size: str) -> None:
    result = synth(tmp_path / "out", "--size", size)
    assert result.exit_code == 2
    assert "--size" in result.stderr
    assert "20x20 to 6000x1000" in result.stderr
    width, height = map(int, size.split("x"))
    with pytest.raises(ConfigError):
        SynthConfig(width=width, height=height)


@pytest.mark.parametrize("size", [(20, 20), (6000, 20), (20, 1000)])
def test_the_smallest_and_the_largest_sizes(
    synth: Synth, tmp_path: Path, size: tuple[int, int]
) -> None:
    width, height = size
    result = synth(tmp_path / "out", "-n", 1, "--size", f"{width}x{height}")
    assert result.exit_code == 0, result.stderr
    check_set(tmp_path / "out", 1, size)


@pytest.mark.slow
def test_files_of_other_looks_do_not_depend_on_the_processes(
    synth: Synth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FEW", 100)
    digits = write_digits(tmp_path / "digits", *drawn_digits(30))
    options = ("-n", 110, "--look", "print:2,hand,display", "--digits", digits)
    for name, workers in (("one", 1), ("two", 2)):
        result = synth(tmp_path / name, *options, "--workers", workers)
        assert result.exit_code == 0, result.stderr
        table = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines_of(result))
        assert table["look"] == "print:2, hand, display"
        assert table["size"] == "60 px high, as wide as the text needs"
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    sizes = {size_of(tmp_path / "one" / name) for name in one if name.endswith(".png")}
    assert {height for _, height in sizes} == {60}
    assert len(sizes) > 50


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def lines_of(result: Result) -> list[str]:
    """Return the rows of the table at the end, without continued lines."""
    return [line.strip() for line in result.stdout.splitlines() if re.match(r"\S+.*\s{2,}", line)]


def test_a_width_that_follows_the_text(synth: Synth, tmp_path: Path) -> None:
    config = tmp_path / "looks.toml"
    config.write_text("[synth]\nwidth = 150\nlooks = ['screen']\n")
    for options, widths in (((), {150}), (("--size", "auto"), None)):
        out = tmp_path / f"out{len(options)}"
        result = synth(out, "-n", 20, "--config", config, *options)
        assert result.exit_code == 0, result.stderr
        found = {size_of(path)[0] for path in out.glob("*.png")}
        assert found == widths if widths else len(found) > 5


@pytest.mark.parametrize("level1", [(), ("--grammar", "level1")])
def test_the_contests_width_is_a_default_that_auto_replaces(
    synth: Synth, tmp_path: Path, level1: tuple[str, ...]
) -> None:
    (tmp_path / "auto.toml").write_text("[synth]\nwidth = 'auto'\n")
    for number, (options, is_auto) in enumerate(
        (((), False), (("--size", "auto"), True), (("--config", tmp_path / "auto.toml"), True))
    ):
        out = tmp_path / f"out{number}"
        result = synth(out, "-n", 20, *level1, *options)
        assert result.exit_code == 0, result.stderr
        found = {size_of(path) for path in out.glob("*.png")}
        assert len(found) > 5 if is_auto else found == {(180, 60)}
        size = "60 px high, as wide as the text needs" if is_auto else "180 x 60 px"
        assert re.search(rf"^size +{size}", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["synth out -n 1", "train --synth-mix 1", "visualize"])
def test_digits_are_for_the_look_hand(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kind = ["--kind", "samples"] if command == "visualize" else []
    result = CliRunner().invoke(
        group, [*command.split(), *kind, "--look", "print", "--digits", "m"]
    )
    assert result.exit_code == 2
    assert "--digits is for the look hand: give --look hand too." in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("look", "code", "message"),
    [
        ("prnt", 2, "unknown look; did you mean 'print'?"),
        ("print:0", 2, "expected a share above 0 after the colon, found 'print:0'"),
        ("print,print", 2, "expected each look once, found print twice"),
        ("hand", 1, "expected a folder of handwritten digits for the look hand"),
    ],
)
def test_looks_that_are_none(
    synth: Synth, tmp_path: Path, look: str, code: int, message: str
) -> None:
    result = synth(tmp_path / "out", "-n", 1, "--look", look)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()
