"""Try to break exprocr many times, and print what was tried and what broke.

    python -m tests.endurance kills --number 200 --seed 1 [--log kills.jsonl]

A case that is not as promised is printed with its kind and its seed. It is tried again with
``--kind KIND --seed SEED --number 1``. The exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.endurance import breaking, memory, mutations
from tests.endurance.case import Case, count
from tests.endurance.place import KINDS

PARTS: dict[str, tuple[Callable[..., Iterator[Case]], tuple[str, ...]]] = {
    **{k: (partial(breaking.cases, b), KINDS) for k, b in breaking.BREAKERS.items()},
    "mutations": (mutations.cases, mutations.KINDS),
    "memory": (memory.cases, tuple(memory.KINDS)),
}
"""What can be tried, and on which kinds."""


def main() -> None:
    """Try, and print a table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--number", type=int, default=100, help="of cases [default: 100]")
    parser.add_argument("--seed", type=int, default=0, help="of the first case [default: 0]")
    parser.add_argument("--kind", action="append", help="try this kind alone; repeatable")
    parser.add_argument("--log", type=Path, help="file for a line of JSON per case")
    args = parser.parse_args()
    try_out, known = PARTS[args.part]
    kinds = tuple(args.kind or known)
    if unknown := set(kinds) - set(known):
        parser.error(f"--kind: expected {', '.join(known)}, found {', '.join(unknown)}")
    with ExitStack() as stack:
        log = stack.enter_context(args.log.open("w")) if args.log else None
        folder = Path(tempfile.mkdtemp(prefix="exprocr-endurance-"))
        table, num_problems = count(try_out(args.number, args.seed, folder, kinds), log)
    print(table)
    sys.exit(num_problems > 0)


if __name__ == "__main__":
    main()
