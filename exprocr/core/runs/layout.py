"""What lies in a run directory, by name: what ``exprocr train`` and ``exprocr report`` write."""

from __future__ import annotations

from pathlib import Path

from exprocr.errors import DataError

CONFIG_NAME = "config.toml"
"""All settings in force, as TOML that ``--config`` reads."""

SPLIT_NAME = "split.json"
"""Which files were trained on, and which were validated on."""

VAL_NAME = "val.csv"
"""The validation files and their texts, as ``exprocr eval`` reads them."""

METRICS_NAME = "metrics.jsonl"
"""A JSON object per line: the steps and the evaluations."""

TENSORS_NAME = "tensors.bin"
"""Percentiles and histograms of the parameter tensors at each evaluation."""

CHECKPOINT_NAME = "checkpoint/state.safetensors"
"""All that the run needs to go on."""

EVENTS_NAME = "tensorboard"
"""Folder of TensorBoard's event files."""

CURVES_NAME = "curves.png"
"""The learning curves."""

REPORT_NAME = "report.html"
"""The page about the run."""

# The model file and its graph are named where they are read and written: `MODEL_FILE_NAME` in
# `exprocr.core.model.artifact`, `GRAPH_SUFFIX` in `exprocr.core.model.loading`.


def check_run_dir(run_dir: Path, name: str | None = None) -> None:
    """Check that a path is a run directory.

    Args:
        run_dir: The path.
        name: A file that must be in it; None asks for a folder alone.

    Raises:
        DataError: There is no such folder, or the file is not in it.
    """
    if run_dir.is_dir():
        if name is None or (run_dir / name).is_file():
            return
        found = "a folder without it"
    else:
        found = "a file" if run_dir.exists() else "no such folder"
    expected = "a run directory" if name is None else f"a run directory with {name}"
    raise DataError(f"{run_dir}: expected {expected}, found {found}")
