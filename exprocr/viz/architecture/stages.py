"""The figures of a network's stages that its picture and its table show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exprocr.words import format_shape, format_share

STAGE_COLUMNS = ("stage", "made of", "output", "sees, px", "parameters", "multiply-adds", "time")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a network, as it ran on one picture."""

    name: str
    """Its name: conv1 .. fc2."""

    made_of: str
    """Its layers, on one line."""

    shape: tuple[int, ...]
    """Its output: (C, H, W) of a convolution module, (T, units) of the others."""

    sees: tuple[int, int]
    """Rows and columns of the input that one of its outputs depends on, px; at the input's edges
    they are fewer."""

    num_parameters: int
    """Number of trained values."""

    multiply_adds: int
    """Multiplications, each with its addition, of its weight matrices for one picture."""

    seconds: float
    """Its time for one picture, of the fastest run."""

    values: NDArray[np.float32]
    """Its output, to draw: the strongest of the (C, H, W), strongest first, or all the (units, T);
    large ones at a stride."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A network's stages, as they ran on one picture."""

    stages: tuple[Stage, ...]
    """In the order they run."""

    input_shape: tuple[int, int, int]
    """Channels, rows and columns of the network's input."""

    num_runs: int
    """Number of timed runs."""

    place: str
    """Where it ran: ``CPU, 2 threads``."""

    @property
    def num_parameters(self) -> int:
        """Number of trained values of all stages."""
        return sum(stage.num_parameters for stage in self.stages)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all stages for one picture."""
        return sum(stage.multiply_adds for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Time of all stages for one picture."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def timing(self) -> str:
        """A phrase on how it was timed."""
        runs = f"fastest of {self.num_runs} runs" if self.num_runs > 1 else "one run"
        return f"{runs}, one picture at a time, {self.place}"

    def rows(self) -> list[tuple[str, ...]]:
        """Return the stages as a table's rows, under `STAGE_COLUMNS`."""
        times = self.shares(lambda stage: stage.seconds)
        return [
            (
                stage.name,
                stage.made_of,
                format_shape(stage.shape),
                format_shape(stage.sees),
                f"{stage.num_parameters:,}",
                f"{stage.multiply_adds:,}",
                format_share(share),
            )
            for stage, share in zip(self.stages, times, strict=True)
        ]

    def shares(self, figure: Callable[[Stage], float]) -> list[float]:
        """Return each stage's share, 0..1, of a figure such as its time; 0 where the sum is 0."""
        figures = [figure(stage) for stage in self.stages]
        total = sum(figures)
        return [value / total if total else 0.0 for value in figures]
