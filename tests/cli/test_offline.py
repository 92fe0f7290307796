"""No command speaks to the network, and none writes beside its output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from tests.support.observed import ROOT, observe
from tests.support.pictures import matplotlib_fonts
from tests.support.tiny_runs import SETTINGS, write_files

NUM_PICTURES = 20

ALLOWED = (".config/matplotlib", ".cache/matplotlib")
"""Matplotlib's own folders, where it keeps a list of the fonts on this machine."""


@pytest.mark.parametrize("num_copies", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_reading_uses_no_network_and_writes_nothing(tmp_path: Path, num_copies: int) -> None:
    folder = tmp_path / "work"
    drawn = write_files(folder / "images", NUM_PICTURES)
    for number in range(NUM_PICTURES):
        for copy in range(1, num_copies):
            os.link(drawn / f"{number}.png", drawn / f"{number}-{copy}.png")
    observed = observe(["-q", "predict", "images", "--output", "texts.tsv"], folder)
    lines = (folder / "texts.tsv").read_text().splitlines()
    assert len(lines) == NUM_PICTURES * num_copies
    assert observed.sockets == []
    assert observed.written == []
    assert observed.home == []


@pytest.mark.slow
def test_no_command_uses_the_network_or_leaves_files(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    write_files(folder / "data", 12)
    shutil.copytree(matplotlib_fonts(), folder / "fonts")
    settings = SETTINGS | {"synth": {"system_fonts": False, **SETTINGS["synth"]}}
    (folder / "tiny.toml").write_text(tomli_w.dumps(settings))
    temporary = folder / "tmp"
    temporary.mkdir()
    train = ["train", "data", "--synth-mix", "0.5", "--fonts", "fonts", "--workers", "1"]
    commands: list[list[str]] = [
        ["synth", "drawn", "-n", "4", "--workers", "2"],
        [*train, "--config", "tiny.toml", "--tensorboard", "--output", "run"],
        ["eval", "data", "--model", "run", "--engine", "torch"],
        ["label", "data", "--labels", "data", "--output", "page.html"],
        ["export", "run", "--output", "exported.onnx"],
        ["visualize", "data/0.png", "--output", "maps.png"],
        ["visualize", "data/0.png", "--kind", "saliency", "--output", "saliency.png"],
        ["visualize", "--kind", "curves", "--run", "run", "--output", "curves.png"],
        ["report", "run"],
    ]
    for number, command in enumerate(commands):
        observed = observe(command, folder, TMPDIR=str(temporary))
        assert observed.sockets == [], command
        outside = [path for path in observed.written if not any(a in path for a in ALLOWED)]
        assert [path for path in outside if not path.endswith(("/.config", "/.cache"))] == [], (
            command
        )
        left = [path for path in observed.home if not path.startswith(ALLOWED)]
        assert left in ([], [".config"], [".cache", ".config"]), command
        (tmp_path / "work-home").rename(tmp_path / f"home{number}")


@pytest.mark.parametrize("given", [None, "0"])
def test_the_users_own_choice_wins(given: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"PYTHONPATH": str(ROOT)} | (
        {} if given is None else {"ORT_DISABLE_TELEMETRY": given}
    )
    code = "import exprocr, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == (given or "1")
