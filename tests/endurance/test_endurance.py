"""A few random cases of each part of ``python -m tests.endurance``, which tries thousands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endurance import memory, mutations
from tests.endurance.breaking import BREAKERS, try_once
from tests.endurance.place import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="looks into /proc, and uses strace where it is"
    ),
]

CASES = [
    *(("kills", "train rendered"), ("kills", "train mixed, 1 worker"), ("kills", "export")),
    ("kills", "predict --resume"),
    *(("disks", "predict"), ("disks", "train rendered"), ("disks", "eval")),
    *(("signals", "predict"), ("signals", "synth, 2 workers")),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("endurance"))
    yield place
    place.close()


@pytest.mark.parametrize(("part", "kind"), CASES)
def test_nothing_is_lost(place: Place, part: str, kind: str) -> None:
    assert not try_once(place, kind, 0, BREAKERS[part]).problem


def check_mutations(number: int, seed: int, folder: Path) -> None:
    cases = list(mutations.cases(number, seed, folder))
    assert [case for case in cases if case.problem] == []
    assert len({case.kind for case in cases}) >= min(number, len(mutations.KINDS))


def test_mutated_files(tmp_path: Path) -> None:
    num_kinds = len(mutations.KINDS)
    check_mutations(5 * num_kinds, num_kinds, tmp_path)  # the first round is for commands


def test_mutated_files_on_the_command_line(tmp_path: Path) -> None:
    check_mutations(len(mutations.KINDS) // 2, 7, tmp_path)  # all but pictures


@pytest.mark.parametrize("kind", ["predict", "train"])
def test_memory_does_not_grow(kind: str, tmp_path: Path) -> None:
    (case,) = memory.cases(5_000, 0, tmp_path, (kind,))
    assert not case.problem
