"""A folder to break programs in: pictures, settings, the commands, and what they give unbroken."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import tomli_w

from exprocr.core.runs.layout import CHECKPOINT_NAME, CURVES_NAME, METRICS_NAME
from exprocr.training.folder import LOCK_NAME
from tests.endurance.program import Program, Programs, can_trace, changes
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
RESUMED = "predict --resume"
FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    PREDICT: ("out.tsv", ("predict", "MANY", "--threads", "1", "--output")),
    RESUMED: ("out.jsonl", ("predict", "MANY", "--threads", "1", "--resume", "--output")),
    "eval": ("out.csv", ("eval", "DATA", "--threads", "2", "--errors")),
    "export": ("out.onnx", ("export", "RUN", "--output")),
    "visualize": ("out.png", ("visualize", "--kind", "curves", "--run", "RUN", "--output")),
    "report": ("out.html", ("report", "RUN", "--threads", "1", "--output")),
}
"""Commands that write one file: its name, and the arguments before it."""

KINDS = (*TRAININGS, *SYNTHS, *FILES)

TEMPORARY = ".exprocr-tmp"

TIMED = {METRICS_NAME, CHECKPOINT_NAME, LOCK_NAME, CURVES_NAME}
"""Files of a run in which times or a process id are."""


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
        for number in range(10 * NUM_FILES):
            os.link(self.data / f"{number % NUM_FILES}.png", self.many / f"{number}.png")
        self.programs = Programs(self.folder)
        self.unbroken: dict[str, Path] = {}
        self.calls: dict[str, list[tuple[str, int]]] = {}
        """The system calls of each command that change files."""

    def close(self) -> None:
        """End what runs, and remove the folder."""
        self.programs.close()
        shutil.rmtree(self.folder.parent)

    def command(self, kind: str, out: Path) -> list[object]:
        """Return the arguments of a command that writes to ``out``."""
        if kind in FILES:
            return ["-q", *map(self._place, FILES[kind][1]), out]
        settings = ("--config", self.config)
        if kind in SYNTHS:
            number = ("-n", NUM_RENDERED, "--workers", SYNTHS[kind])
            return ["-q", "synth", out, "--overwrite", *number, *settings]
        return [
            "-q",
            "train",
            *map(self._place, TRAININGS[kind]),
            *settings,
            "--threads",
            "1",
            "--output",
            out,
        ]

    def _place(self, word: str) -> object:
        if word == "RUN":
            return self.result("train files")
        return {"DATA": self.data, "MANY": self.many}.get(word, word)

    def out(self, kind: str, beside: str = "") -> Path:
        """Return where a command writes to, in a subfolder of its own."""
        return self.folder / f"of {kind}{beside}" / (FILES[kind][0] if kind in FILES else "out")

    def again(self, kind: str, out: Path) -> list[object]:
        """Return the arguments that go on after a failure."""
        if kind in TRAININGS and (out / CHECKPOINT_NAME).exists():
            return ["-q", "train", "--resume", out]
        return self.command(kind, out)

    def result(self, kind: str) -> Path:
        """Return what a command gives that nothing breaks."""
        if kind not in self.unbroken:
            out = self.out(kind, ", unbroken")
            out.parent.mkdir()
            trace = "" if can_trace() else None
            program = self.programs.run(self.command(kind, out), trace=trace)
            assert program.code == 0, program.stderr
            self.calls[kind] = [] if trace is None else changes(program.calls, out.parent)
            self.unbroken[kind] = out
        return self.unbroken[kind]

    def finish(self, kind: str, out: Path) -> str:
        """Go on after a failure, to the end; return what is wrong with the result, or nothing."""
        program = self.programs.run(self.again(kind, out))
        if program.code:
            return f"going on: exit code {program.code}: {program.stderr}"
        return (
            difference(kind, out, self.result(kind))
            or left(program, out)
            or (not_taken_up(out) if kind == RESUMED else "")
        )


def discard(out: Path) -> None:
    """Remove what a command wrote."""
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir()


def left(program: Program, out: Path) -> str:
    """Return which processes and temporary files are left, or nothing."""
    if processes := program.left():
        return f"processes are left: {processes}"
    found = [*out.parent.glob(".*"), *(out.rglob(".*") if out.is_dir() else ())]
    if files := [path.name for path in found if path.name.endswith(TEMPORARY)]:
        return f"temporary files are left: {files}"
    return ""


def not_taken_up(out: Path) -> str:
    """Return which files of unfinished lines are left, or nothing."""
    files = [path.name for path in out.parent.glob(f"{out.name}.*")]
    return f"unfinished lines are left: {files}" if files else ""


def difference(kind: str, out: Path, expected: Path) -> str:
    """Return how two results differ, or nothing."""
    if kind in FILES:
        return "" if is_whole(kind, out, expected) else "another file"
    ours, theirs = (
        {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        for folder in (out, expected)
    )
    if ours != theirs:
        return f"other names: {sorted(ours ^ theirs)[:3]}"
    same = sorted(theirs - TIMED)
    if other := [n for n in same if (out / n).read_bytes() != (expected / n).read_bytes()]:
        return f"other files: {other[:3]}"
    if kind in TRAININGS:
        try:
            check_same(out, expected)
        except AssertionError as error:
            return f"another record or checkpoint: {error}"
    return ""


def is_whole(kind: str, out: Path, expected: Path) -> bool:
    """Return whether a file is what a command gives that nothing breaks."""
    if kind == "report":  # it tells how long reading took
        return out.read_text().endswith("</html>\n") and out.stat().st_size > 10_000
    return out.read_bytes() == expected.read_bytes()
