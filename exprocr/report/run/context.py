"""The run that a page is about, and how it reports what is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from exprocr.core.data.dataset import TablePaths
from exprocr.core.reading.recognizer import Recognizer
from exprocr.errors import ExprocrError
from exprocr.report.html import printable
from exprocr.report.page import Missing

T = TypeVar("T")


class Console(Protocol):
    """What a report writes its messages to; `exprocr.cli.options.Session` is one."""

    def note(self, message: str) -> None:
        """Write a remark that the user may have switched off."""

    def report(self, message: str) -> None:
        """Write a line in any case."""

    def problem(self, message: str) -> None:
        """Write what is wrong with one input among many."""


class Progress(Protocol):
    """A progress bar."""

    def update(self) -> object:
        """Advance by one image."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run that is reported on."""

    console: Console
    progress: Callable[[int], AbstractContextManager[Progress]]
    """Returns a progress bar for a number of images."""

    path: Path
    """The run directory."""

    recognizer: Recognizer
    """Its model; its engine is PyTorch's."""

    limit: int
    """Images shown of those read wrong, at most."""

    paths: TablePaths | None = None
    """Where paths may lead in a ``val.csv`` that was changed since the run wrote it."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return printable(self.path.resolve().name) or str(self.path.resolve())

    def missing(self, what: str, reason: object) -> Missing:
        """Report that something is left out; return the line that the page shows for it."""
        line = f"{what}: {reason}"
        self.console.report(f"left out: {line}")
        return Missing(line)

    def attempt(self, what: str, make: Callable[[], Sequence[T]]) -> list[T | Missing]:
        """Return what ``make`` returns, or, where it raises, what is missing and why."""
        try:
            return list(make())
        except ExprocrError as error:
            return [self.missing(what, error)]
