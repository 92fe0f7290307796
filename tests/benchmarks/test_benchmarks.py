"""The benchmarks and the scripts in ``docs`` load, and what they count is what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.benchmarks.learning import TooShortError, measured
from tests.benchmarks.peers import normalize

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("tests/benchmarks", "docs", "docs/weights")
    for path in (ROOT / folder).glob("*.py")
    if not path.name.startswith("test_")
)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("3 \u00d7 4 = ?", "3*4"),
        ("\uff17\uff0d\uff15\uff1d", "7-5"),
        ("14\u00f73=4\u2026\u20262", "14/3=4..2"),
        ("14:3=4...2", "14/3=4..2"),
        ("14\u00f73=4\u22ef2", "14/3=4..2"),
        ("1.5+2.5=4", "1.5+2.5=4"),
    ],
)
def test_other_tools_spellings_count_as_the_labels(text: str, spelled: str) -> None:
    assert normalize(text) == spelled


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_load(script: Path) -> None:
    """A script is run as a file, not as a module of a package."""
    assert runpy.run_path(str(script), run_name="loaded")["__doc__"]


@pytest.mark.parametrize(
    "elapsed_s",
    [
        [],
        [1.0],
        [1.0, 1.0004],  # both recorded at the end, as on a machine with much other work
        [0.1 * n for n in range(5)],
        [3.0 + 1e-4 * n for n in range(100)],
    ],
)
def test_what_is_no_measurement_is_not_called_one(elapsed_s: list[float]) -> None:
    with pytest.raises(TooShortError, match=r"steps in .* give more --seconds"):
        measured(elapsed_s, 4.0)


def test_a_speed_is_measured_after_a_warm_up() -> None:
    assert measured([0.1 * n for n in range(41)], 4.0) == (10, 40)
