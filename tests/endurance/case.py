"""What came out of trying to break the program once, and how many such cases are counted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

MB = 10**6


@dataclass(frozen=True)
class Case:
    """One try."""

    kind: str
    """What was tried, such as ``kill train``."""

    seed: int
    """With the kind, it gives the same case again."""

    outcome: str
    """What the program did, in a word or a line."""

    problem: str = ""
    """What is not as promised; empty if all is."""

    cpu_s: float = 0.0
    """Processor time, where it is measured."""

    taken_mb: float = 0.0
    """Memory at its peak, beyond that before the case, where it is measured."""


def count(cases: Iterable[Case], log: TextIO | None) -> tuple[str, int]:
    """Return a table of cases by kind, and the number of problems; print problems as they come.

    Args:
        cases: The cases; they are tried while they are counted.
        log: Receives a line of JSON per case.
    """
    kinds: dict[str, list[Case]] = {}
    for case in cases:
        kinds.setdefault(case.kind, []).append(case)
        if log:
            log.write(json.dumps(dataclasses.asdict(case)) + "\n")
            log.flush()
        if case.problem:
            print(f"{case.kind}, seed {case.seed}: {case.problem}", flush=True)
    lines = ["| kind | cases | problems | most processor time, s | most memory, MB |"]
    lines.append("|---|---|---|---|---|")
    for kind, found in kinds.items():
        problems = sum(bool(case.problem) for case in found)
        cpu_s, taken = max(c.cpu_s for c in found), max(c.taken_mb for c in found)
        figures = f"{cpu_s:.2f} | {taken:.0f}" if cpu_s else " | "
        lines.append(f"| {kind} | {len(found):,} | {problems} | {figures} |")
    all_problems = sum(bool(case.problem) for found in kinds.values() for case in found)
    return "\n".join(lines), all_problems
