"""``exprocr synth --config``: images look as a file says, and options win over it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from exprocr.cli import group
from exprocr.core.config.schema import SynthConfig
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import FILES_STREAM, Renderer
from exprocr.synth.texts import LEVEL1
from tests.support.pictures import matplotlib_fonts

LOOKS = SynthConfig(
    width=120,
    height=40,
    max_dots=0,
    block_minus_share=1.0,
    favorite_font="DejaVu Serif",
    favorite_share=1.0,
)
SEED = 4


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    """Return a folder of two fonts."""
    folder = tmp_path / "fonts"
    folder.mkdir()
    for name in ("DejaVuSans.ttf", "DejaVuSerif.ttf"):
        shutil.copy(matplotlib_fonts() / name, folder)
    return folder


@pytest.fixture
def config(tmp_path: Path, fonts: Path) -> Path:
    """Return a file of `LOOKS`, beside settings of a training."""
    path = tmp_path / "looks.toml"
    path.write_text(
        "[training]\nepochs = 3\n[synth]\n"
        f"fonts = ['{fonts}']\nsystem_fonts = false\nwidth = 120\nheight = 40\nmax_dots = 0\n"
        "block_minus_share = 1\nfavorite_font = 'DejaVu Serif'\nfavorite_share = 1\n"
    )
    return path


def synth(*args: object) -> Result:
    return CliRunner().invoke(group, ["synth", "--seed", str(SEED), *map(str, args)])


def assert_drawn(folder: Path, fonts: Path, looks: SynthConfig, num_images: int) -> None:
    """Assert that a set is what the renderer draws."""
    renderer = Renderer(find_fonts([fonts], LEVEL1.characters, system=False).usable, looks)
    for index in range(num_images):
        _, expected = renderer.sample(SEED, FILES_STREAM, index)
        with Image.open(folder / f"{index}.png") as found:
            np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_images_look_as_the_file_says(tmp_path: Path, fonts: Path, config: Path) -> None:
    result = synth(tmp_path / "out", "-n", 3, "--config", config)
    assert result.exit_code == 0, result.stderr
    assert "120 x 40 px" in result.stdout
    assert_drawn(tmp_path / "out", fonts, LOOKS, 3)


def test_options_win_over_the_file(tmp_path: Path, fonts: Path, config: Path) -> None:
    both = shutil.copytree(fonts, tmp_path / "both")
    (fonts / "DejaVuSans.ttf").unlink()
    options = ("--size", "90x30", "--fonts", both)
    result = synth(tmp_path / "out", "-n", 2, "--config", config, *options)
    assert result.exit_code == 0, result.stderr
    assert "2 fonts of 2 families" in " ".join(result.stdout.split())
    assert_drawn(tmp_path / "out", both, replace(LOOKS, width=90, height=30), 2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_dots = 0", "max_dots = -1", "synth.max_dots: expected 0 to 100000, found -1"),
        ("max_dots = 0", "dots = 1", "synth.dots: unknown key"),
        ("[synth]", "[synth", "expected TOML"),
        ("'DejaVu Serif'", "'Comic'", "expected one of 2 font families, found 'Comic'"),
    ],
)
def test_a_wrong_file_is_told_before_a_set_is_replaced(
    tmp_path: Path, config: Path, old: str, new: str, message: str
) -> None:
    out = tmp_path / "out"
    assert synth(out, "-n", 2, "--config", config).exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    result = synth(out, "-n", 1, "--overwrite", "--config", config)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = synth(tmp_path / "out", "--config", tmp_path / "none.toml")
    assert result.exit_code == 1
    assert "none.toml: cannot be read" in result.stderr
    assert not (tmp_path / "out").exists()
