"""The network: three convolution modules, two bidirectional GRUs, CTC.

    from exprocr.core.config.schema import PRESETS
    print(Network(PRESETS["default"].model, height=60, num_classes=16))

Shapes: N batch, C channels, H rows, W columns, T frames (columns after conv3), K classes with the
blank. The time axis are the columns of the picture. The layers are those of the reference network:
conv1 conv2 conv3 fc1 gru1 gru2 dropout fc2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from exprocr.core.config.schema import ConvModuleConfig, ModelConfig
from exprocr.core.model.geometry import conv_length, output_length
from exprocr.core.model.padding import AddUp, Extents, normalize, rectify
from exprocr.core.model.recurrence import bidirectional_gru


class ConvModule(nn.Sequential):
    """Convolutions, each with ReLU and optional batch norm, then max pooling.

    Batch norm comes before ReLU and replaces the convolution's bias (Ioffe & Szegedy 2015, section
    3.2). Pooling keeps partial windows, as TensorFlow's "SAME" does.
    """

    def __init__(self, in_channels: int, config: ConvModuleConfig, model: ModelConfig) -> None:
        stages: list[nn.Module] = []
        for kernel, channels, stride in zip(
            config.kernel_sizes, config.channels, config.strides, strict=True
        ):
            padding = kernel // 2 if model.padding else 0
            bias = not model.batch_norm
            stages.append(nn.Conv2d(in_channels, channels, kernel, stride, padding, bias=bias))
            if model.batch_norm:
                stages.append(nn.BatchNorm2d(channels))
            stages.append(nn.ReLU(inplace=True))
            in_channels = channels
        if config.pool != (1, 1):
            stages.append(nn.MaxPool2d(config.pool, ceil_mode=True))
        super().__init__(*stages)

    def forward(self, maps: Tensor, extents: Extents | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, C', H', W'); the padding of ``extents`` stays zero."""
        if extents is None:
            result: Tensor = super().forward(maps)  # type: ignore[no-untyped-call]
            return result
        for stage in self:
            match stage:
                case nn.Conv2d():
                    maps = stage(maps)
                    (kernel, _), (stride, _) = stage.kernel_size, stage.stride
                    padding = kernel // 2 if stage.padding[0] else 0
                    extents = extents.after(
                        partial(conv_length, kernel=kernel, stride=stride, padding=padding)
                    )
                case nn.BatchNorm2d():
                    maps = normalize(maps, stage, extents)
                case nn.ReLU():
                    maps = rectify(maps, extents)
                case _:  # pooling: no value is below the zeros of the padding
                    maps = stage(maps)
        return maps


class ColumnLinear(nn.Linear):
    """A linear layer on each column of a feature map. (N, C, H, T) -> (T * N, units)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, C, H, T) to (T * N, units)."""
        n, c, h, t = maps.shape
        # A convolution as high as the maps: gathering the columns would copy them, and their
        # gradients, element by element.
        columns = conv2d(maps, self.weight.view(-1, c, h, 1), self.bias)  # (N, units, 1, T)
        return columns.squeeze(2).permute(2, 0, 1).reshape(t * n, -1)


class FrameLinear(nn.Module):
    """fc1: a vector from each column of a feature map. (N, C, H, T) -> (T, N, units)."""

    def __init__(self, in_features: int, units: int, batch_norm: bool) -> None:
        super().__init__()
        self.linear = ColumnLinear(in_features, units, bias=not batch_norm)
        self.norm = nn.BatchNorm1d(units) if batch_norm else None

    def forward(self, maps: Tensor, extents: Extents | None = None) -> Tensor:
        """Map (N, C, H, T) to (T, N, units); frames in the padding of ``extents`` are undefined."""
        frames: Tensor = self.linear(maps)  # (T*N, units)
        if self.norm is not None and extents is not None:
            frames = rectify(normalize(frames, self.norm, extents), extents)
        elif self.norm is not None:
            frames = torch.relu(self.norm(frames))
        return frames.reshape(maps.shape[3], maps.shape[0], -1)  # (T, N, units)


class BiGRU(nn.Module):
    """A forward and a backward GRU. (T, N, in) -> (T, N, units), or 2 * units concatenated."""

    def __init__(self, in_features: int, units: int, merge: str) -> None:
        super().__init__()
        self.gru = nn.GRU(in_features, units, bidirectional=True)
        self.merge = merge

    def forward(self, frames: Tensor, extents: Extents | None = None) -> Tensor:
        """Map (T, N, in) to (T, N, units), or 2 * units.

        The backward GRU begins at the last frame of each picture that is no padding. In the padding
        of ``extents`` the result is zero.
        """
        both: Tensor  # (T, N, 2 * units)
        lengths = None if extents is None else torch.tensor(extents.columns)
        if self.training and frames.device.type == "cpu":
            both = bidirectional_gru(frames, self.gru, lengths)
        elif lengths is None:
            both = self.gru(frames)[0]
        else:
            packed = pack_padded_sequence(frames, lengths, enforce_sorted=False)
            both = pad_packed_sequence(self.gru(packed)[0], total_length=len(frames))[0]
        if self.merge == "sum":
            forward, backward = both.chunk(2, dim=2)
            return forward + backward  # (T, N, units)
        return both


class Network(nn.Module):
    """From pictures to log-probabilities of classes.

    Args:
        config: The network's shape.
        height: Height of the pictures, px.
        num_classes: K, the blank included.
    """

    def __init__(self, config: ModelConfig, height: int, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.add_up: AddUp | None = None  # see `Extents`
        modules = (config.conv1, config.conv2, config.conv3)
        rows = height
        for module in modules:
            rows = output_length(rows, module, config.padding, axis=0)
        if rows < 1:
            raise ValueError(f"pictures {height} px high are too low for these convolutions")
        self.conv1 = ConvModule(1, config.conv1, config)
        self.conv2 = ConvModule(config.conv1.channels[-1], config.conv2, config)
        self.conv3 = ConvModule(config.conv2.channels[-1], config.conv3, config)
        columns = config.conv3.channels[-1] * rows
        self.fc1 = FrameLinear(columns, config.fc1_units, config.batch_norm)
        self.gru1 = BiGRU(config.fc1_units, config.gru_units, config.gru1_merge)
        gru1_units = config.gru_units * (1 if config.gru1_merge == "sum" else 2)
        self.gru2 = BiGRU(gru1_units, config.gru_units, "concat")
        self.dropout = nn.Dropout(config.dropout)
        self.fc2 = nn.Linear(2 * config.gru_units, num_classes)
        self.apply(self._init_weights)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute the log-probabilities of the classes.

        Args:
            pictures: (N, 1, H, W) float32, 0 background .. 1 strongest ink.

        Returns:
            (T, N, K) float32 natural logarithms; T is ``num_frames(config, W)``
            (`exprocr.core.model.geometry`).
        """
        return self.classify(self.encode(pictures))

    def encode(self, pictures: Tensor, widths: Sequence[int] | None = None) -> Tensor:
        """Map (N, 1, H, W) to (T, N, 2 * gru_units); nearly all of the work.

        This may run under autocast; `classify` may not.

        Args:
            pictures: (N, 1, H, W) float32; zero in the padding.
            widths: Width of each picture, px; the columns to its right are padding, which changes
                nothing (`exprocr.core.model.padding`). None if there is none.

        Returns:
            (T, N, 2 * gru_units), zero in the frames of the padding: a picture has
            ``num_frames(config, width)`` others.
        """
        extents = None
        add_up = self.add_up if self.training else None
        if widths is not None and (add_up or min(widths) < pictures.shape[3]):
            extents = Extents(widths, pictures.shape[3], add_up)
        maps = pictures
        for conv, module in (
            (self.conv1, self.config.conv1),
            (self.conv2, self.config.conv2),
            (self.conv3, self.config.conv3),
        ):
            maps = conv(maps, extents)
            if extents is not None:
                columns = partial(output_length, module=module, padding=self.config.padding, axis=1)
                extents = extents.after(columns)
        # (N, C, H', T)
        frames: Tensor = self.fc1(maps, extents)  # (T, N, fc1_units)
        if extents is not None and min(extents.columns) == extents.widest:
            extents = None  # there is no padding
        frames = self.gru2(self.gru1(frames, extents), extents)  # (T, N, 2 * gru_units)
        return frames

    def classify(self, frames: Tensor) -> Tensor:
        """Map (T, N, 2 * gru_units) of any precision to (T, N, K) in the weights' precision."""
        logits = self.fc2(self.dropout(frames.to(self.fc2.weight.dtype)))  # (T, N, K)
        return torch.log_softmax(logits, dim=2)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            if module.weight.is_meta:  # without memory; random numbers would take a second
                return
            if self.config.init == "he":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            else:
                nn.init.trunc_normal_(module.weight, std=0.1, a=-0.2, b=0.2)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def num_parameters(network: nn.Module) -> int:
    """Return the number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())
