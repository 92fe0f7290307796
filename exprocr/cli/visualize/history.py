"""How the histogram of each tensor moved over a run."""

from __future__ import annotations

from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.tensors import show_record
from exprocr.viz.plots.history import draw_history


def show(request: Request) -> None:
    """Draw a ridge for each evaluation."""
    show_record(request, draw_history)
