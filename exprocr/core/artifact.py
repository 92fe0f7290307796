"""Model files: safetensors with one JSON metadata entry, and nothing pickled.

The entry ``exprocr`` holds the format version, the network's shape, the preprocessing, the
charset, a summary of the training and the licence: all that reading needs beside the weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from exprocr.core.charset import Charset
from exprocr.core.config import ModelConfig, from_dict, to_dict
from exprocr.core.files import atomic_write
from exprocr.core.preprocess import PreprocessConfig
from exprocr.errors import ConfigError, ModelFileError, OutputError

FORMAT_VERSION = 1
METADATA_KEY = "exprocr"
MODEL_FILE_NAME = "model.safetensors"
BUNDLED = "bundled"
"""Name that stands for the model inside the package."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """All that is in a model file."""

    model: ModelConfig
    """The network's shape."""

    preprocess: PreprocessConfig
    """The input's size."""

    charset: Charset
    """The characters, in the order of their class ids."""

    weights: Mapping[str, NDArray[Any]]
    """Tensors by the network's parameter and buffer names."""

    training: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained, and its figures; for people."""

    license: str = "MIT"
    """Licence of the weights."""

    def save(self, path: Path) -> None:
        """Write the file.

        Raises:
            OutputError: The place cannot be written.
        """
        metadata = {
            "format_version": FORMAT_VERSION,
            "model": to_dict(self.model),
            "preprocess": to_dict(self.preprocess),
            "charset": self.charset.characters,
            "training": dict(self.training),
            "license": self.license,
        }
        save_tensors(path, self.weights, {METADATA_KEY: metadata})

    @classmethod
    def load(cls, source: Path | str | None = None) -> ModelFile:
        """Read a model file.

        Args:
            source: A model file, a run directory, or None or ``"bundled"`` for the model inside
                the package.

        Raises:
            ModelFileError: The file is missing, is no model, is from a newer program, or its
                metadata is damaged.
        """
        if source is None or source == BUNDLED:
            with as_file(files("exprocr") / "weights" / MODEL_FILE_NAME) as path:
                return cls._load_file(path)
        path = Path(source)
        if path.is_dir():
            path = path / MODEL_FILE_NAME
        return cls._load_file(path)

    @classmethod
    def _load_file(cls, path: Path) -> ModelFile:
        weights, entries = load_tensors(path)
        metadata = entries.get(METADATA_KEY)
        if not isinstance(metadata, dict):
            raise ModelFileError(
                f"{path}: expected the metadata entry {METADATA_KEY!r}, found "
                f"{', '.join(sorted(entries)) or 'no metadata'}; no model of exprocr"
            )
        version = metadata.get("format_version")
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ModelFileError(
                f"{path}: expected format version {FORMAT_VERSION} or older, found {version}; "
                "a newer exprocr wrote this model"
            )
        try:
            return cls(
                model=from_dict(ModelConfig, _section(metadata, "model"), "model"),
                preprocess=from_dict(
                    PreprocessConfig, _section(metadata, "preprocess"), "preprocess"
                ),
                charset=Charset(str(metadata.get("charset", ""))),
                weights=weights,
                training=_section(metadata, "training"),
                license=str(metadata.get("license", "")),
            )
        except (ConfigError, ValueError) as error:
            raise ModelFileError(f"{path}: {error}") from None


def _section(metadata: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = metadata.get(name)
    if not isinstance(section, dict):
        raise ConfigError(f"{name}: expected a section, found {section!r}")
    return section


def save_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], entries: Mapping[str, Any]
) -> None:
    """Write tensors and JSON metadata entries to a safetensors file.

    Raises:
        OutputError: The place cannot be written.
    """
    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in entries.items()}
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata)
        except SafetensorError as error:  # wraps the operating system's error
            raise OutputError(f"{path}: cannot be written: {error}") from error


def load_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the tensors and JSON metadata entries of a safetensors file.

    Raises:
        ModelFileError: There is no such file, or it is no safetensors file.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: expected a model file, found none")
    try:
        with safe_open(path, framework="numpy") as file:
            entries = {k: json.loads(v) for k, v in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys()}, entries  # noqa: SIM118
    except json.JSONDecodeError as error:
        raise ModelFileError(f"{path}: expected JSON metadata, found: {error}") from None
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: expected a safetensors file, found: {error}") from None
