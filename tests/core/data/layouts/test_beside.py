"""Labels beside the folder of the images."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprocr.core.data.dataset import load_dataset
from tests.support.data_sets import (
    LABELS,
    assert_complete,
    write_images,
)


def test_labels_beside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_images(tmp_path / "set")
    (tmp_path / "set_labels.txt").write_text(LABELS)
    data = load_dataset(folder)
    assert_complete(data.parts["all"])
    assert "set_labels.txt beside it" in data.layout
    monkeypatch.chdir(folder)
    assert_complete(load_dataset(Path(".")).parts["all"])
