"""TensorBoard's event files of a run: figures, what layers put out, histograms of the weights."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exprocr.core.evaluation.calibration import Calibration
from exprocr.core.model.capture import capture
from exprocr.core.model.geometry import CONV_LAYERS
from exprocr.core.model.torch_engine import parameter_values
from exprocr.core.runs.journal import read_records
from exprocr.core.runs.layout import EVENTS_NAME as EVENTS_NAME
from exprocr.core.system.files import output_error
from exprocr.errors import ConfigError, OutputError
from exprocr.training.checkpoint import TrainingState

if TYPE_CHECKING:
    from exprocr.training.loop import Trainer

INSTALL = "pip install 'exprocr[tensorboard]'"

LAYERS = (*CONV_LAYERS, "fc1")
"""Layers whose outputs are drawn."""

MAX_CHANNELS = 64
"""Channels drawn of a layer, the first ones."""

GAP_PX, GRAY = 2, 128
"""Between the channels."""

NUM_BINS = 64
"""Equal parts of the range of a tensor: TensorBoard shows fewer, and its own bins are many."""

UNIT_PX = 3
"""Height of a unit's row, and how much wider it is than the picture."""


def require_tensorboard() -> None:
    """Check that event files can be written.

    Raises:
        ConfigError: TensorBoard is not installed, or does not run here.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except (ImportError, TypeError) as error:  # the latter with a protobuf that does not fit
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"--tensorboard needs the package tensorboard ({reason}): {INSTALL}"
        ) from error


@contextmanager
def write_events(trainer: Trainer) -> Iterator[EventWriter]:
    """Yield an observer of a training that writes its events, all of them when the block ends.

    Raises:
        OutputError: They cannot be written.
    """
    with _quiet_threads():
        writer = EventWriter(trainer)
        try:
            yield writer
        finally:
            writer.close()


class EventWriter:
    """Writes what happens in a training for TensorBoard.

    Scalars are those of ``metrics.jsonl``: the loss and the learning rate of each step, and all
    figures of each evaluation, ``train_loss`` as ``loss/train``. At each evaluation come pictures
    of what layers put out for the first validation picture, and a histogram of each weight and
    bias. A run that goes on drops what was written after its checkpoint; where there were no
    events, it begins with the scalars so far.

    Args:
        trainer: The training, ready to start or to go on.

    Raises:
        OutputError: The folder cannot be written; of the methods as well.
    """

    def __init__(self, trainer: Trainer) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = trainer.run_dir / EVENTS_NAME
        self.network = trainer.network
        self.device = trainer.device
        self.picture = trainer.validation.inks[0]
        state = trainer.state
        # An evaluation in the middle of an epoch told of a network that is now gone.
        first = state.step + (state.epoch_images == 0) if self.folder.exists() else 0
        with self._writing():
            self._events: Any = SummaryWriter(self.folder, purge_step=first or None)
            for record in read_records(trainer.journal.path):
                if record["step"] >= first:
                    self._add_scalars(record)

    def close(self) -> None:
        """Write what is left."""
        with self._writing():
            self._events.close()

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Write the loss and the learning rate of a step."""
        with self._writing():
            self._add_scalars(record)

    def on_evaluation(self, record: dict[str, Any]) -> None:
        """Write the figures of an evaluation, what layers put out, and histograms."""
        step = record["step"]
        outputs = capture(self.network, self.picture, LAYERS, self.device)
        with self._writing():
            self._add_scalars(record)
            self._events.add_image("layers/input", 255 - self.picture, step, dataformats="HW")
            for layer, values in outputs.items():
                image = draw_output(values, self.picture.shape[1])
                self._events.add_image(f"layers/{layer}", image, step, dataformats="HW")
            for name, values in parameter_values(self.network).items():
                finite = values[np.isfinite(values)]
                if finite.size:
                    tag = name.replace(".", "/", 1)
                    self._events.add_histogram(tag, finite, step, bins=NUM_BINS)
            self._events.flush()

    def on_calibration(self, calibration: Calibration) -> None:
        """Write nothing: a calibration belongs to no step."""

    def _add_scalars(self, record: Mapping[str, Any]) -> None:
        for tag, value in scalars(record).items():
            self._events.add_scalar(tag, value, record["step"])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(self.folder, error) from error
        except UnicodeEncodeError:
            raise OutputError(f"{self.folder}: TensorBoard needs a path that is text") from None


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the scalars of a record by their tags; those that belong together share a prefix.

    Args:
        record: A line of ``metrics.jsonl``.
    """
    if record["kind"] == "step":
        return {"loss/step": record["loss"], "learning_rate": record["learning_rate"]}
    tags = {}
    for name, value in record.items():
        part, _, figure = name.partition("_")
        if name not in ("kind", "step") and value is not None:
            tags[f"{figure}/{part}" if part in ("train", "val") else name] = value
    return tags


def draw_output(values: NDArray[np.float32], width: int) -> NDArray[np.uint8]:
    """Draw what a layer puts out for one picture: maps side by side, each as wide as the picture.

    Args:
        values: (C, H, W) of a convolution module, each channel from its least value, black, to its
            greatest, white; or (units, T), all on one scale, thrice as wide as the picture.
        width: Width of the network's input, px.

    Returns:
        uint8 (rows, columns).
    """
    maps = values[None] if values.ndim == 2 else values[:MAX_CHANNELS]
    num, across = len(maps), max(1, width // maps.shape[2])
    down = across
    if values.ndim == 2:
        across, down = UNIT_PX * across, UNIT_PX
    tiles = np.stack([_to_gray(one) for one in maps]).repeat(down, axis=1).repeat(across, axis=2)
    tile_h, tile_w = tiles.shape[1:]
    per_row = min(num, math.ceil(math.sqrt(num * tile_h / tile_w)))
    num_rows = -(-num // per_row)
    step_h, step_w = tile_h + GAP_PX, tile_w + GAP_PX
    size = (num_rows * step_h - GAP_PX, per_row * step_w - GAP_PX)
    canvas = np.full(size, GRAY, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // per_row * step_h, index % per_row * step_w
        canvas[top : top + tile_h, left : left + tile_w] = tile
    return canvas


def _to_gray(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale values from the least, 0, to the greatest, 255; those that are not finite are 0."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size or finite.min() == finite.max():
        return np.zeros(values.shape, dtype=np.uint8)
    low, high = finite.min(), finite.max()
    levels: NDArray[np.uint8] = np.rint(
        np.where(np.isfinite(values), (values - low) / (high - low), 0) * 255
    ).astype(np.uint8)
    return levels


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """Keep the writer's thread from printing an error that the next call to it raises anyway."""

    def on_error(args: threading.ExceptHookArgs) -> None:
        if not type(args.thread).__module__.startswith("tensorboard."):
            previous(args)

    previous, threading.excepthook = threading.excepthook, on_error
    try:
        yield
    finally:
        threading.excepthook = previous
