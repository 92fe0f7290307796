"""The processes that train together: one network, each with its share of every batch.

``torchrun`` starts them and tells each its rank in the environment (``RANK``, ``WORLD_SIZE`` and
the address of a meeting point). The process of rank 0 leads: it alone writes and prints. PyTorch's
``DistributedDataParallel`` adds up the gradients (Li et al. 2020, "PyTorch Distributed: Experiences
on Accelerating Data Parallel Training").
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from exprocr.core.system.ranks import local_rank, num_processes, rank
from exprocr.errors import DataError, ExprocrError, OutputError

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""Longest time that a process waits for another one, such as for its validation images. Once they
have met, one that has ended is noticed at once."""


@dataclass(frozen=True)
class Processes:
    """The processes of a training, as one of them sees them."""

    rank: int = 0
    """The number of this one, counted from 0."""

    size: int = 1
    """How many there are."""

    device: torch.device | None = None
    """Where numbers are exchanged."""

    @property
    def leads(self) -> bool:
        """Whether this one writes and prints."""
        return self.rank == 0

    def add_up(self, values: Tensor) -> Tensor:
        """Add up the values of all processes, in place, and return them."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def greatest(self, number: int) -> int:
        """Return the greatest of the processes' numbers."""
        if self.size == 1:
            return number
        values = torch.tensor(number, device=self.device)
        distributed.all_reduce(values, distributed.ReduceOp.MAX)
        return int(values)

    def gather(self, item: T) -> list[T]:
        """Return what all processes have, by rank."""
        if self.size == 1:
            return [item]
        items: list[T | None] = [None] * self.size
        distributed.all_gather_object(items, item)
        return items  # type: ignore[return-value]

    def lead(self, action: Callable[[], object]) -> None:
        """Let the leader do what may fail, while all others wait.

        Raises:
            ExprocrError: It failed; where this is not the leader, with a message that says so.
        """
        failure: ExprocrError | None = None
        if self.leads:
            try:
                action()
            except ExprocrError as error:
                failure = error
        failed = self.greatest(bool(failure))
        if failure:
            raise failure
        if failed:
            raise OutputError("stopped, because the process of rank 0 failed")


@contextmanager
def losses_noticed() -> Iterator[None]:
    """Turn the error of a process whose partner has ended into one line.

    Raises:
        DataError: Another process of the training has ended.
    """
    try:
        yield
    except RuntimeError as error:
        # Gloo's errors have no class of their own, but name its source file.
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise DataError("stopped, because another process of the training has ended") from None
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def join(device: torch.device) -> Processes:
    """Meet the other processes of the training, if there are any.

    Args:
        device: Where this one computes.

    Raises:
        DataError: They do not meet.
    """
    if (size := num_processes()) == 1:
        return Processes(device=device)
    if not distributed.is_initialized():
        try:
            if device.type == "cuda":
                torch.cuda.set_device(local_rank())  # each has a GPU of its own
            backend = "nccl" if device.type == "cuda" else "gloo"
            shared = next(iter(rendezvous("env://", timeout=PATIENCE)))[0]
            while isinstance(shared, PrefixStore):  # by a machine's own count of restarts
                shared = shared.underlying_store
            store = meeting_place(shared, rank(), size)
            distributed.init_process_group(
                backend, store=store, rank=rank(), world_size=size, timeout=PATIENCE
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"the {size} processes of the training do not meet: {reason}") from None
    processes = Processes(rank(), size, device)
    processes.greatest(0)  # none goes on, and maybe ends, while another one is still meeting it
    return processes


def meeting_place(shared: Store, number: int, size: int) -> Store:
    """Return a part of a store that these processes share, and no others before them.

    torchrun keeps one store for all its restarts, with the addresses of processes that have ended;
    its own count of restarts differs between machines. So each process makes up a name, and the
    leader invites names until processes that are alive have answered: torchrun ends the old ones
    before it starts new ones.

    Args:
        shared: The store.
        number: The rank of this process.
        size: How many there are.

    Raises:
        RuntimeError: Some do not answer.
    """
    name = uuid.uuid4().hex
    shared.set(f"name of {number}", name)
    if number:
        meeting = shared.get(f"invitation of {name}").decode()
        shared.set(f"{meeting} {number}", "here")
        return PrefixStore(meeting, shared)
    deadline = time.monotonic() + PATIENCE.total_seconds()
    others = range(1, size)
    while not shared.check([f"{name} {other}" for other in others]):
        for other in others:
            invited = shared.get(f"name of {other}").decode()  # perhaps of one that has ended
            shared.set(f"invitation of {invited}", name)
        if time.monotonic() > deadline:
            raise RuntimeError("some do not answer")
        time.sleep(0.05)
    return PrefixStore(name, shared)
