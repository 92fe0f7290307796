"""TensorBoard's event files of a run: figures, outputs of layers, histograms of the weights."""

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
from exprocr.core.runs.journal import EVALUATION, STEP, read_records
from exprocr.core.runs.layout import EVENTS_NAME
from exprocr.core.system.files import output_error
from exprocr.errors import ConfigError, OutputError
from exprocr.training.checkpoint import TrainingState

if TYPE_CHECKING:
    from exprocr.training.loop import Trainer

INSTALL = "pip install 'exprocr[tensorboard]'"

LAYERS = (*CONV_LAYERS, "fc1")
"""Layers whose outputs are drawn."""

MAX_CHANNELS = 64
"""Most channels of a layer that are drawn: the first ones."""

GAP_PX, GRAY = 2, 128
"""Width and gray level of the gap between channels."""

NUM_BINS = 64
"""Bins of a histogram, all of one width. TensorBoard shows fewer; its own default has hundreds."""

UNIT_PX = 3
"""Height of a unit's row, px; the row is as many times as wide as the picture."""


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
    """Yield an observer that writes the events of a training; the end of the block writes the last.

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
    figures of each evaluation, with ``train_loss`` named ``loss/train``. Each evaluation adds
    pictures of the layers' outputs for the first validation picture, and a histogram of each
    weight and bias. A resumed run drops the events after its checkpoint. If it has no events yet,
    it begins with all scalars so far.

    Args:
        trainer: The training, before it starts or goes on.

    Raises:
        OutputError: The folder cannot be written. The methods raise it too.
    """

    def __init__(self, trainer: Trainer) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = trainer.folder.path / EVENTS_NAME
        self.network = trainer.network
        self.device = trainer.device
        self.picture = trainer.validation.inks[0]
        state = trainer.state
        # An evaluation within an epoch, at a time limit, is of a network that is gone.
        first = state.step + (state.epoch_images == 0) if self.folder.exists() else 0
        with self._writing():
            self._events: Any = SummaryWriter(self.folder, purge_step=first or None)
            for record in read_records(trainer.journal.path):
                if record.get("kind") in (STEP, EVALUATION) and record["step"] >= first:
                    self._add_scalars(record)

    def close(self) -> None:
        """Write what is not written yet."""
        with self._writing():
            self._events.close()

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Write the loss and the learning rate of a step."""
        with self._writing():
            self._add_scalars(record)

    def on_evaluation(self, record: dict[str, Any]) -> None:
        """Write the figures of an evaluation, the outputs of layers, and the histograms."""
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
    """Return the scalars of a record by their tags; tags that belong together share a prefix.

    Args:
        record: A line of ``metrics.jsonl``.
    """
    if record["kind"] == STEP:
        figures = {"loss/step": record.get("loss"), "learning_rate": record.get("learning_rate")}
        return {tag: value for tag, value in figures.items() if value is not None}
    tags = {}
    for name, value in record.items():
        part, _, figure = name.partition("_")
        if name not in ("kind", "step") and value is not None:
            tags[f"{figure}/{part}" if part in ("train", "val") else name] = value
    return tags


def draw_output(values: NDArray[np.float32], width: int) -> NDArray[np.uint8]:
    """Draw the output of a layer for one picture: maps side by side, each as wide as the picture.

    Args:
        values: (C, H, W) of a convolution module: each channel is drawn from black, its least
            value, to white, its greatest. Or (units, T): all units are drawn on one scale, three
            times as wide as the picture.
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
    """Scale values so that the least is 0 and the greatest 255; what is not finite is 0."""
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
    """Keep the writer's thread from printing an error, which the next call to it raises anyway."""

    def on_error(args: threading.ExceptHookArgs) -> None:
        if not type(args.thread).__module__.startswith("tensorboard."):
            previous(args)

    previous, threading.excepthook = threading.excepthook, on_error
    try:
        yield
    finally:
        threading.excepthook = previous
