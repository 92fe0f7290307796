"""What a run validated on, against what its trainer holds."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exprocr.core.data.pictures import PictureSet
from exprocr.core.evaluation.measure import LabeledImages
from exprocr.core.image.preprocess import load
from exprocr.core.runs.layout import CONFIG_NAME, SPLIT_NAME, VAL_NAME
from exprocr.core.text.expression import evaluate
from exprocr.errors import ConfigError, DataError, ExprocrError, FontError
from exprocr.synth import renderer
from exprocr.synth.fonts import FontReport, find_fonts
from exprocr.training.run import RunSpec, read_data
from exprocr.training.setup import make_trainer
from exprocr.training.validation import validation_pictures
from tests.support.tiny_runs import BUILT_IN, tiny_settings, write_files

pytestmark = pytest.mark.usefixtures("one_font")


def new_run(run_dir: Path, spec: RunSpec) -> LabeledImages:
    """Prepare a run, and return what its trainer validates on."""
    found, data = read_data(dataclasses.replace(spec, device="cpu"))
    return make_trainer(found, data, run_dir).validation


def check_same(found: PictureSet, expected: LabeledImages) -> None:
    pictures = list(found)
    size = tiny_settings().preprocess
    assert found.number == len(found) == len(pictures) == len(expected.inks) > 0
    assert [picture.text for picture in pictures] == expected.texts
    assert [picture.value for picture in pictures] == expected.values
    for picture, ink in zip(pictures, expected.inks, strict=True):
        np.testing.assert_array_equal(load(picture.source, size).ink, ink)


def test_rendered_pictures_are_the_trainers(tmp_path: Path) -> None:
    expected = new_run(tmp_path, RunSpec(settings=tiny_settings(synth_mix=1.0, seed=3)))
    found = validation_pictures(tmp_path)
    check_same(found, expected)
    assert found.name == "the run's 6 validation images"
    first = next(iter(found))
    assert isinstance(first.source, Image.Image)
    assert first.source.mode == "RGB"  # as it was drawn, not the network's input
    assert first.name == "rendered image 0"
    assert next(iter(found)).source == first.source  # iterating starts over


def test_pictures_are_drawn_when_they_are_asked_for(tmp_path: Path) -> None:
    settings = tiny_settings(synth_mix=1.0, val_images=4)
    new_run(tmp_path, RunSpec(settings=settings))
    config = tmp_path / CONFIG_NAME
    config.write_text(config.read_text().replace("val_images = 4", "val_images = 9000000"))
    found = validation_pictures(tmp_path)
    assert found.number == 9_000_000
    assert next(iter(found)).text


def test_files_held_out_are_the_trainers(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", 8)
    spec = RunSpec(settings=tiny_settings(seed=5), data=str(data))
    expected = new_run(tmp_path / "run", spec)
    found = validation_pictures(tmp_path / "run")
    check_same(found, expected)
    assert found.name == "the run's 2 validation images"
    assert {Path(picture.name).parent for picture in found} == {data}


def test_a_validation_set_of_its_own(tmp_path: Path) -> None:
    val = write_files(tmp_path / "val", 3, seed=7)
    spec = RunSpec(settings=tiny_settings(synth_mix=1.0), val=str(val))
    expected = new_run(tmp_path / "run", spec)
    check_same(validation_pictures(tmp_path / "run"), expected)
    assert [picture.name for picture in validation_pictures(tmp_path / "run")] == [
        str(val / f"{i}.png") for i in range(3)
    ]


def test_the_value_is_the_expressions(tmp_path: Path) -> None:
    new_run(tmp_path, RunSpec(settings=tiny_settings(synth_mix=1.0)))
    for picture in validation_pictures(tmp_path):
        assert picture.value == evaluate(picture.text)


def one_line_of(error: type[ExprocrError], run_dir: Path) -> str:
    with pytest.raises(error) as raised:
        validation_pictures(run_dir)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_what_is_no_run_directory(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    for place, found in ((tmp_path / "none", "no such folder"), (tmp_path, "a folder without it"),
                         (file, "a file")):  # fmt: skip
        assert one_line_of(DataError, place) == (
            f"{place}: expected a run directory with {CONFIG_NAME}, found {found}"
        )


def test_files_that_are_gone(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", 8)
    new_run(tmp_path / "run", RunSpec(settings=tiny_settings(val_fraction=0.5), data=str(data)))
    held_out = [Path(picture.name) for picture in validation_pictures(tmp_path / "run")]
    held_out[1].unlink()
    found = validation_pictures(tmp_path / "run")
    assert [Path(p.name) for p in found] == [p for p in held_out if p != held_out[1]]
    assert found.number == 3
    assert len(found.warnings) == 1
    assert "1 of 4 labels have no image" in found.warnings[0]
    shutil.rmtree(data)
    assert "4 of 4 labels have no image" in one_line_of(DataError, tmp_path / "run")


def test_a_table_that_is_gone_is_not_taken_for_rendered_pictures(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", 8)
    new_run(tmp_path / "run", RunSpec(settings=tiny_settings(), data=str(data)))
    (tmp_path / "run" / VAL_NAME).unlink()
    assert (tmp_path / "run" / SPLIT_NAME).exists()
    assert one_line_of(DataError, tmp_path / "run") == (
        f"{tmp_path / 'run' / VAL_NAME}: expected the files the run validated on, found no such "
        "file"
    )


def test_fonts_that_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_run(tmp_path, RunSpec(settings=tiny_settings(synth_mix=1.0)))
    config = tmp_path / CONFIG_NAME
    gone = tmp_path / "gone"
    config.write_text(config.read_text().replace("fonts = []", f'fonts = ["{gone}"]'))
    monkeypatch.setattr(renderer, "find_fonts", find_fonts)
    message = one_line_of(FontError, tmp_path)
    assert message.startswith(f"{config}: the images it validated on cannot be drawn: {gone}: ")


def test_fonts_are_looked_for_where_the_run_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_run(tmp_path, RunSpec(settings=tiny_settings(synth_mix=1.0)))
    config = tmp_path / CONFIG_NAME
    text = config.read_text().replace("fonts = []", 'fonts = ["a", "b"]')
    config.write_text(text.replace("system_fonts = true", "system_fonts = false"))
    asked = []

    def find(folders: list[Path], characters: str, *, system: bool, partial: bool) -> FontReport:
        asked.append((folders, characters, system))
        return FontReport([BUILT_IN])

    monkeypatch.setattr(renderer, "find_fonts", find)
    validation_pictures(tmp_path)
    assert asked == [([Path("a"), Path("b")], "()*+-0123456789", False)]


def test_a_configuration_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / CONFIG_NAME).write_text("[training]\nval_imags = 3\n")
    assert "did you mean 'val_images'" in one_line_of(ConfigError, tmp_path)
