"""A folder to break programs in: pictures, settings, the commands, and what they give unbroken."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import tomli_w

from exprocr.core.runs.layout import CHECKPOINT_NAME, CONFIG_NAME, SPLIT_NAME, VAL_NAME
from tests.endurance.program import Program, Programs, changes
from tests.support.pictures import matplotlib_fonts
from tests.support.tiny_runs import SETTINGS, check_same, write_files

NUM_FILES = 24
NUM_RENDERED = 250
"""So many that `synth` renders them in processes, see `exprocr.synth.writer.FEW`."""

TRAININGS = {
    "train files": ("DATA", "--workers", "0"),
    "train rendered": ("--synth-mix", "1", "--workers", "0"),
    "train mixed, 1 worker": ("DATA", "--synth-mix", "0.5", "--workers", "1"),
    "train rendered, 2 workers": ("--synth-mix", "1", "--workers", "2"),
}
SYNTHS = {"synth": "1", "synth, 2 workers": "2"}
PREDICT = "predict"

TEMPORARY = (".exprocr-tmp", ".exprocr-part")


class Place:
    """Commands that write into a folder, and their unbroken results.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        fonts = self.folder / "fonts"
        fonts.mkdir()
        shutil.copy(matplotlib_fonts() / "DejaVuSans.ttf", fonts)
        synth = SETTINGS["synth"] | {"system_fonts": False, "fonts": [str(fonts)]}
        self.config = self.folder / "tiny.toml"
        self.config.write_text(tomli_w.dumps(SETTINGS | {"synth": synth}))
        self.data = write_files(self.folder / "data", NUM_FILES)
        self.many = self.folder / "many"
        self.many.mkdir()
        for number in range(20 * NUM_FILES):
            os.link(self.data / f"{number % NUM_FILES}.png", self.many / f"{number}.png")
        self.programs = Programs(self.folder)
        self.unbroken: dict[str, Path] = {}
        self.calls: dict[str, list[tuple[str, int]]] = {}

    def close(self) -> None:
        """End what runs, and remove the folder."""
        self.programs.close()
        shutil.rmtree(self.folder.parent)

    def command(self, kind: str, out: Path) -> list[object]:
        """Return the arguments of a command that writes to ``out``."""
        if kind == PREDICT:
            return ["-q", "predict", self.many, "--threads", "1", "--output", out]
        settings = ("--config", self.config)
        if kind in SYNTHS:
            number = ("-n", NUM_RENDERED, "--workers", SYNTHS[kind])
            return ["-q", "synth", out, "--overwrite", *number, *settings]
        given = [self.data if word == "DATA" else word for word in TRAININGS[kind]]
        return ["-q", "train", *given, *settings, "--threads", "1", "--output", out]

    def again(self, kind: str, out: Path) -> list[object]:
        """Return the arguments that go on after a failure."""
        if kind in TRAININGS and (out / CHECKPOINT_NAME).exists():
            return ["-q", "train", "--resume", out]
        return self.command(kind, out)

    def result(self, kind: str) -> Path:
        """Return what a command gives that nothing breaks."""
        if kind not in self.unbroken:
            out = self.folder / f"unbroken {kind}"
            traced = self.folder / "traced"
            for place, trace in ((out, None), (traced, "")):
                program = self.programs.run(self.command(kind, place), trace=trace)
                assert program.code == 0, program.stderr
                assert not trace or not difference(kind, place, out)
                self.calls[kind] = changes(program.calls, traced) if trace == "" else []
            discard(traced)
            self.unbroken[kind] = out
        return self.unbroken[kind]

    def finish(self, kind: str, out: Path) -> str:
        """Go on after a failure, to the end; return what is wrong with the result, or nothing."""
        program = self.programs.run(self.again(kind, out))
        if program.code:
            return f"going on: exit code {program.code}: {program.stderr}"
        return difference(kind, out, self.result(kind)) or left(program, out)


def discard(out: Path) -> None:
    """Remove what a command wrote."""
    for path in out.parent.glob(f"{out.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def left(program: Program, out: Path) -> str:
    """Return which processes and temporary files are left, or nothing."""
    if processes := program.left():
        return f"processes are left: {processes}"
    found = [*out.parent.glob(".*"), *(out.rglob(".*") if out.is_dir() else ())]
    if files := [path.name for path in found if path.name.endswith(TEMPORARY)]:
        return f"temporary files are left: {files}"
    return ""


def difference(kind: str, out: Path, expected: Path) -> str:
    """Return how two results differ, or nothing."""
    if kind in TRAININGS:
        with suppress(FileNotFoundError, AssertionError):
            check_same(out, expected)
            names = ("model.onnx", CONFIG_NAME, SPLIT_NAME, VAL_NAME)
            there = [name for name in names if (expected / name).exists()]
            other = [n for n in there if (out / n).read_bytes() != (expected / n).read_bytes()]
            return f"other: {other}" if other else _names(out, expected)
        return "another model, record or checkpoint, or none"
    if out.is_file():
        return "" if out.read_bytes() == expected.read_bytes() else "other lines"
    if names := _names(out, expected):
        return names
    other = [p.name for p in out.iterdir() if p.read_bytes() != (expected / p.name).read_bytes()]
    return f"other: {other[:3]}" if other else ""


def _names(out: Path, expected: Path) -> str:
    ours, theirs = ({str(p.relative_to(d)) for p in d.rglob("*")} for d in (out, expected))
    return f"other names: {sorted(ours ^ theirs)[:3]}" if ours != theirs else ""
