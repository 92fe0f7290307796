"""How the percentiles of each tensor moved over a run."""

from __future__ import annotations

from exprocr.cli.kinds import Request
from exprocr.cli.kinds.tensors import show_record
from exprocr.viz.distributions import draw_distributions


def show(request: Request) -> None:
    """Draw bands of percentiles."""
    show_record(request, draw_distributions)
