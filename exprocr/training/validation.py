"""The labeled pictures that a run validated on: its files, or pictures rendered again."""

from __future__ import annotations

from pathlib import Path

from exprocr.core.config.settings import load_settings
from exprocr.core.data.dataset import TablePaths
from exprocr.core.data.pictures import PictureSet, file_pictures, rendered_pictures
from exprocr.core.runs.layout import CONFIG_NAME, SPLIT_NAME, VAL_NAME, check_run_dir
from exprocr.core.runs.val_table import load_labeled
from exprocr.errors import DataError, FontError
from exprocr.synth.renderer import VAL_STREAM, load_renderer
from exprocr.words import quantity


def validation_pictures(run_dir: Path, paths: TablePaths | None = None) -> PictureSet:
    """Return the pictures that a run validated on.

    Where the run has a ``val.csv``, they are the files that it lists. Otherwise they are rendered
    again from the run's settings, and are the same as long as the fonts are.

    Args:
        run_dir: The run directory.
        paths: Where paths may lead in a ``val.csv`` that was changed since the run wrote it.

    Raises:
        DataError: It is no run directory, such a path leads elsewhere, or more than half of its
            files are gone.
        ConfigError: Its ``config.toml`` cannot be used.
        FontError: The fonts that it rendered with are gone.
    """
    if (run_dir / VAL_NAME).is_file():
        return _files(run_dir / VAL_NAME, paths)
    check_run_dir(run_dir, CONFIG_NAME)
    if (run_dir / SPLIT_NAME).exists():
        raise DataError(
            f"{run_dir / VAL_NAME}: expected the files the run validated on, found no such file"
        )
    return _rendered(run_dir / CONFIG_NAME)


def _files(table: Path, paths: TablePaths | None) -> PictureSet:
    found = load_labeled(table, paths)
    samples = found.parts["all"]
    return file_pictures(samples, _name(len(samples)), found.warnings)


def _rendered(config: Path) -> PictureSet:
    settings = load_settings("default", config)
    synth, training = settings.synth, settings.training
    try:
        renderer, _ = load_renderer(synth)
    except FontError as error:
        raise FontError(f"{config}: the images it validated on cannot be drawn: {error}") from None
    name, number = _name(training.val_images), training.val_images
    return rendered_pictures(renderer, training.seed, VAL_STREAM, number, name)


def _name(number: int) -> str:
    return f"the run's {quantity(number, 'validation image')}"
