"""``exprocr visualize --kind augment``: pictures as they are and as training distorts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from exprocr.cli import group
from exprocr.core.config.schema import AUTO_STRENGTH
from exprocr.training.run import RunSpec, write_config
from tests.support.tiny_runs import tiny_settings, write_files

Augment = Callable[..., Result]


@pytest.fixture
def augment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Augment:
    """Return a function that runs the command in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*args: object) -> Result:
        line = ["visualize", "--kind", "augment", *args]
        return CliRunner().invoke(group, [str(arg) for arg in line])

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_files(tmp_path / "data", 6)


def sheet(name: str = "augment.png") -> np.ndarray:
    with Image.open(name) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def facts(result: Result) -> dict[str, str]:
    pairs = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


def test_a_row_for_each_picture(augment: Augment, data: Path) -> None:
    result = augment(data)
    assert result.exit_code == 0, result.stderr
    assert "one folder, labels in labels.txt" in result.stderr
    expected = {"images": "6", "strength": f"{AUTO_STRENGTH:g}", "picture": "augment.png"}
    assert facts(result) == expected
    whole = sheet()
    assert augment(data, "--limit", 2, "--output", "few.png").exit_code == 0
    few = sheet("few.png")
    assert whole.shape[0] - few.shape[0] == 4 * 92  # a line, a picture and space
    # The heading says how many; the rows are the same.
    assert (whole[110 : few.shape[0] - 24] == few[110:-24]).all()


def test_seed_and_strength(augment: Augment, data: Path) -> None:
    for name, options in {
        "a": (),
        "b": (),
        "c": ("--seed", 1),
        "d": ("--strength", 0.3),
        "e": ("--strength", 0),
    }.items():
        assert augment(data, *options, "--output", f"{name}.png").exit_code == 0
    a, b, c, d, e = (sheet(f"{name}.png")[110:].astype(int) for name in "abcde")
    np.testing.assert_array_equal(a, b)
    columns = [slice(24 + 192 * i, 24 + 192 * i + 180) for i in range(6)]
    for column in columns[:2]:  # as they are, and as the network sees them
        np.testing.assert_array_equal(a[:, column], c[:, column])
        np.testing.assert_array_equal(a[:, column], d[:, column])
    for column in columns[2:]:
        assert np.abs(a[:, column] - c[:, column]).mean() > 3
        assert np.abs(a[:, column] - d[:, column]).mean() > 3
    # Without strength, all are as the network sees them, apart from the names in the first two.
    for column in columns[3:]:
        np.testing.assert_array_equal(e[:, column][20:], e[:, columns[2]][20:])


def test_the_training_part_and_the_settings_of_a_run(augment: Augment, tmp_path: Path) -> None:
    write_files(tmp_path / "set" / "train", 3)
    write_files(tmp_path / "set" / "val", 5, seed=1)
    assert facts(augment(tmp_path / "set"))["images"] == "3"
    (tmp_path / "run").mkdir()
    settings = tiny_settings(synth_mix=1.0)
    write_config(tmp_path / "run" / "config.toml", RunSpec(settings=settings))
    result = augment(tmp_path / "set", "--run", tmp_path / "run")
    assert facts(result)["strength"] == "0"
    result = augment(tmp_path / "set", "--run", tmp_path / "run", "--strength", 0.3)
    assert facts(result)["strength"] == "0.3"


def test_unreadable_images_are_reported_and_the_rest_is_shown(augment: Augment, data: Path) -> None:
    (data / "3.png").write_bytes(b"no picture")
    result = augment(data)
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("exprocr: ")]
    assert line.count(str(data / "3.png")) == 1
    assert facts(result)["images"] == "5"
    for path in data.glob("*.png"):
        path.write_bytes(b"no picture")
    Path("augment.png").unlink()
    assert (augment(data).exit_code, list(Path().iterdir())) == (1, [])


def test_it_needs_a_data_set(augment: Augment, tmp_path: Path) -> None:
    result = augment()
    assert result.exit_code == 2
    assert "--kind augment needs IMAGE, a labeled data set." in result.stderr
    assert augment(tmp_path / "none").exit_code == 1
    assert augment(tmp_path, "--strength", 2).exit_code == 2
