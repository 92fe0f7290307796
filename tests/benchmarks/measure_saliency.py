"""Whether saliency shows what the model in the package reads by: two tables.

    python -m tests.benchmarks.measure_saliency [-n 200]

The first is of hidden pixels: how far the log-probability of what was read falls when the pixels
that a map names first are set to background, as many as hold a twentieth of the picture's ink. Maps
are ranked over all pixels. Also: random pixels of ink (a quarter of the strongest, or more) with as
much ink; and the ink itself, taken for a map. A map passes if its mean is more than 1.5 times
that of random ink, and its lead more than three standard errors.

The second is of random weights, after Adebayo et al. 2018: the rank correlation of a map with that
of a network whose layers are random from its top down to the one named.
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from exprocr.core.model.geometry import CONV_LAYERS, LAYERS
from exprocr.viz.saliency.attribution import TOLERANCE
from tests.support.saliency_checks import (
    CHANCE,
    INK_MAP,
    INTEGRATED,
    Maps,
    Pictures,
    by_map,
    cams_of,
    chance_drops,
    correlation,
    drops_of,
    integrated_of,
    lead,
    passes,
    randomized,
    read_pictures,
)

UNLIKELY = np.log(2)
"""A text that loses this much, nats, and was certain, is no longer more probable than not."""


def all_maps(pictures: Pictures, tolerance: float, down_to: str | None = None) -> dict[str, Maps]:
    """Return the maps by name, of the network or of one whose layers are random."""
    network = randomized(pictures, down_to) if down_to else None
    found: dict[str, Maps] = {}
    for layer in CONV_LAYERS:
        found |= cams_of(pictures, layer, network)
    return found | integrated_of(pictures, tolerance, network)


def hiding_table(pictures: Pictures, maps: dict[str, Maps]) -> Table:
    """Hide pixels."""
    rng = np.random.default_rng(0)
    chance = chance_drops(pictures, rng)
    table = Table(
        "hidden first", "mean fall, nats", "median", "of random ink", "lead, standard errors",
        "lost texts", "passes",
        title=f"{len(pictures.inks)} images",
    )  # fmt: skip
    ink = pictures.inks.astype(np.float32)
    for name, one in {CHANCE: None, INK_MAP: ink, **maps}.items():
        drops = chance if one is None else drops_of(pictures, by_map(one, rng))
        figures = [f"{drops.mean():.2f}", f"{np.median(drops):.2f}"]
        if one is None:
            figures += ["1", ""]
        else:
            figures += [f"{drops.mean() / chance.mean():.2f}", f"{lead(drops, chance):+.1f}"]
        lost = f"{(drops > UNLIKELY).mean():.0%}"
        verdict = "" if one is None else "yes" if passes(drops, chance) else "no"
        table.add_row(name, *figures, lost, verdict)
    return table


def weights_table(pictures: Pictures, tolerance: float) -> Table:
    """Randomize weights."""
    own = all_maps(pictures, tolerance)
    table = Table("random down to", *own, title=f"rank correlation, {len(pictures.inks)} images")
    for down_to in (None, *reversed(LAYERS)):
        maps = all_maps(pictures, tolerance, down_to)
        alike = (
            correlation(pictures, maps[name], own[name], on_ink=name == INTEGRATED) for name in own
        )
        table.add_row(down_to or "none", *(f"{value:.2f}" for value in alike))
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=200, help="images of the first table")
    parser.add_argument("--few", type=int, default=40, help="images of the second table")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    args = parser.parse_args()
    pictures = read_pictures(args.n)
    console = Console()
    console.print(hiding_table(pictures, all_maps(pictures, args.tolerance)))
    console.print(weights_table(pictures.first(args.few), args.tolerance))


if __name__ == "__main__":
    main()
