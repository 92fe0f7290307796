"""The sections of the page that ``exprocr report`` writes: what is drawn, and the words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from exprocr.cli.options import Session
from exprocr.core.reading.recognizer import Recognizer
from exprocr.errors import ExprocrError
from exprocr.report.page import Missing, printable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Run:
    """The run that is reported on."""

    session: Session
    path: Path
    recognizer: Recognizer
    """Its model."""

    limit: int
    """Images shown of those read wrong, at most."""

    @property
    def name(self) -> str:
        """What it is called."""
        return printable(self.path.resolve().name) or str(self.path.resolve())

    def missing(self, what: str, reason: object) -> Missing:
        """Say, here and on the page, that something is left out."""
        line = f"{what}: {reason}"
        self.session.report(f"left out: {line}")
        return Missing(line)

    def attempt(self, what: str, make: Callable[[], Sequence[T]]) -> list[T | Missing]:
        """Return what ``make`` makes, or that it cannot be made and why."""
        try:
            return list(make())
        except ExprocrError as error:
            return [self.missing(what, error)]
