"""What ``exprocr predict`` is given to read."""

from __future__ import annotations

import pytest

from exprocr.cli.predict import inputs
from tests.support.predict_runs import Predict


def test_standard_input_is_bounded(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_STDIN_BYTES", 2**20)
    result = predict("-", stdin=bytes(2**20 + 1))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "at most 1 MB, found more" in result.stderr
