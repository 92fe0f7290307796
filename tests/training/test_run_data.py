"""What a run finds in its files: the layout that the user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprocr.core.config.settings import from_dict, to_dict
from exprocr.errors import ConfigError
from exprocr.training.run import RunSpec, read_data
from tests.support.data_sets import write_image
from tests.support.tiny_runs import tiny_settings


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
