"""What a run finds in its files: characters only validated on, and the layout the user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprocr.core.config.settings import from_dict, to_dict
from exprocr.errors import ConfigError
from exprocr.training.run import RunSpec, read_data
from tests.support.data_sets import contest, write_image
from tests.support.tiny_runs import tiny_settings


def spec_of(folder: Path, mix: float = 0.0) -> RunSpec:
    contest(folder / "train", "1+1\n2+2\n", 2)
    contest(folder / "val", "1+1\n2x=2\n3x1\n", 3)
    return RunSpec(settings=tiny_settings(synth_mix=mix), data=str(folder))


def test_characters_that_only_the_validation_part_has(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    warning = "occurs in 2 of 3 validation labels and in nothing that is trained on; the first is"
    where = f"2x=2 in {tmp_path / 'val' / 'labels.txt'}, line 2"
    assert read_data(spec)[1].warnings == [f"'3=x' {warning} {where}"]
    (tmp_path / "train" / "labels.txt").write_text("3x1\n2=2\n")
    assert read_data(spec)[1].warnings == [
        "'+' " + warning.replace("2 of", "1 of") + " 1+1 in "
        f"{tmp_path / 'val' / 'labels.txt'}, line 1"
    ]
    (tmp_path / "train" / "labels.txt").write_text("3x1\n2=2+0\n")
    assert read_data(spec)[1].warnings == []


@pytest.mark.parametrize("mix", [0.5, 1])
def test_what_is_rendered_is_trained_on(tmp_path: Path, mix: float) -> None:
    (warning,) = read_data(spec_of(tmp_path, mix))[1].warnings
    assert warning.startswith("'=x' occurs in 2 of 3")  # 3 is in the rendered texts


def test_the_layout_that_is_named_is_remembered(tmp_path: Path) -> None:
    for name in ("1+1_a.png", "1+1_b.png", "2+2_a.png"):
        write_image(tmp_path / name)
    spec = RunSpec(
        settings=tiny_settings(),
        data=str(tmp_path),
        layout="names",
        label_pattern="(?P<text>[^_]+)_.",
    )
    again = from_dict(RunSpec, to_dict(spec), "settings")
    _, data = read_data(again)
    assert sorted(data.texts) == ["1+1", "1+1", "2+2"]
    with pytest.raises(ConfigError, match="layout names: expected --label-pattern"):
        RunSpec(settings=tiny_settings(), data=str(tmp_path), layout="names")
