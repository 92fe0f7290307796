"""The images that a command is given, as ``exprocr predict`` reads them."""

from __future__ import annotations

import pytest

from exprocr.cli import inputs
from tests.support.predict_runs import Predict


def test_standard_input_is_bounded(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_PICTURE_BYTES", 10**6)
    result = predict("-", stdin=bytes(10**6 + 1))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "at most 1 MB, found more" in result.stderr
