"""Processes that meet at the beginning of a training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from torch.distributed import HashStore  # type: ignore[attr-defined]

from exprocr.training.processes import meeting_place

NUM = 3


def test_processes_meet_apart_from_those_before_them() -> None:
    shared = HashStore()

    def meet(number: int) -> bytes:
        place = meeting_place(shared, number, NUM)
        place.set(f"address of {number}", f"{start}.{number}")
        return b" ".join(place.get(f"address of {other}") for other in range(NUM))

    # torchrun keeps its store for all restarts. Read too early, an address would be an old one.
    for start in range(5):
        with ThreadPoolExecutor(NUM) as pool:
            found = set(pool.map(meet, range(NUM)))
        assert found == {f"{start}.0 {start}.1 {start}.2".encode()}
