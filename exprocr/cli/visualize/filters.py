"""The kernels of the first convolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exprocr.cli.output import cell, new_table, print_table, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.subject import load_recognizer
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.filters import KernelStats, draw_filters, kernel_stats
from exprocr.viz.subject import torch_engine

TITLE = "Kernels of the first convolution of conv1"


def show(request: Request) -> None:
    """Draw the kernels, and print the figures of each."""
    network = torch_engine(load_recognizer(request)).network
    weight = network.conv1[0].get_parameter("weight")  # (C, 1, k, k): the input is gray
    kernels: NDArray[np.float32] = weight[:, 0].detach().float().cpu().numpy()
    picture = draw_filters(
        kernels,
        TITLE,
        f"Stride: {network.config.conv1.strides[0]} px. Their input is 0 where the picture is "
        "background, 1 at its strongest ink.",
    )
    path = request.path()
    save_picture(picture, path)
    stats = kernel_stats(kernels)
    _print_kernels(stats)
    size = " x ".join(map(str, kernels.shape[1:]))
    rows = [
        ("kernels", f"{len(kernels)} of {size}"),
        ("dead", len(stats.dead)),
        ("picture", path),
    ]
    print_table(summary_table(rows, title="\nFirst convolution"))


def _print_kernels(stats: KernelStats) -> None:
    figures = ("kernel", "norm", "share", "mean", "min", "max")
    table = new_table(*figures, "", right=figures)
    dead = set(stats.dead)
    for index, norm in enumerate(stats.norm):
        table.add_row(
            cell(index),
            cell(f"{norm:.3g}"),
            cell(f"{stats.share[index]:.1%}"),
            cell(f"{stats.mean[index]:.3g}"),
            cell(f"{stats.minimum[index]:.3g}"),
            cell(f"{stats.maximum[index]:.3g}"),
            cell("dead" if index in dead else ""),
        )
    print_table(table)
