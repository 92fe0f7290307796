"""The benchmarks and the scripts in ``docs`` still load: a smoke test, no more."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("tests/benchmarks", "docs", "docs/weights")
    for path in (ROOT / folder).glob("*.py")
    if not path.name.startswith("test_")
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_load(script: Path) -> None:
    """A script is run as a file, not as a module of a package."""
    assert runpy.run_path(str(script), run_name="loaded")["__doc__"]
