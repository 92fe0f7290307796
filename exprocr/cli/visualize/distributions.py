"""How the percentiles of each tensor moved over a run."""

from __future__ import annotations

from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.tensors import show_record
from exprocr.viz.plots.distributions import draw_distributions


def show(request: Request) -> None:
    """Draw bands of percentiles."""
    show_record(request, draw_distributions)
