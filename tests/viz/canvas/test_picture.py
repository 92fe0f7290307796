"""Pictures written as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exprocr.errors import OutputError
from exprocr.viz.canvas.picture import save_picture


def test_save_picture(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 8, 3), dtype=np.uint8))
    save_picture(image, tmp_path / "new" / "picture.any")
    with Image.open(tmp_path / "new" / "picture.any") as read:
        assert read.format == "PNG"
        assert read.tobytes() == image.tobytes()
    with pytest.raises(OutputError, match="found a folder"):
        save_picture(image, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
