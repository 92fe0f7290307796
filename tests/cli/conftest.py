"""What every command's tests need."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the terminal so wide that no cell of a table folds, however long the paths are."""
    monkeypatch.setenv("COLUMNS", "300")
