"""Model files: safetensors with one JSON metadata entry, without pickle.

The entry ``exprocr`` contains what is needed beside the weights: the format version, the network's
shape, the preprocessing, the charset, the grammar, the temperature, a summary of the training and
the license.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load, save

from exprocr.core.config.schema import ModelConfig, PreprocessConfig
from exprocr.core.config.settings import from_dict, to_dict
from exprocr.core.system.files import atomic_write
from exprocr.core.system.limits import (
    MAX_HEADER_BYTES,
    MAX_LABEL_LENGTH,
    MAX_MODEL_BYTES,
    MAX_STORED_LEXICON_BYTES,
)
from exprocr.core.system.regular import read_regular
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import LEXICON, REGEX, SHIPPED, Grammar, load_grammar
from exprocr.errors import ConfigError, ModelFileError, unknown_name
from exprocr.words import quoted, shortened

FORMAT_VERSION = 1
METADATA_KEY = "exprocr"
MODEL_FILE_NAME = "model.safetensors"
BUNDLED = "bundled"
"""Name of the model inside the package that reads if none is named."""

NAMED = {BUNDLED: MODEL_FILE_NAME, "contest": "contest.safetensors"}
"""Files of the models inside the package, by name."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model without its weights."""

    model: ModelConfig
    """The network's shape."""

    preprocess: PreprocessConfig
    """The input's size."""

    charset: Charset
    """The characters, in the order of their class ids."""

    grammar: str = "none"
    """Its default grammar: a name in `exprocr.core.text.grammar.grammars`, ``regex:PATTERN`` or
    ``lexicon:NAME``."""

    lexicon: tuple[str, ...] = ()
    """The texts of its default grammar where that is a lexicon."""

    temperature: float = 1.0
    """Divisor of the logits before probabilities are computed; 1 if the model is not calibrated."""

    training: Mapping[str, Any] = field(default_factory=dict)
    """A summary of the training and its results, for people."""

    license: str = "MIT"
    """License of the weights."""

    name: str = field(default="model", compare=False)
    """Path of its file, for messages; not in the file."""

    def own_grammar(self) -> Grammar:
        """Return its default grammar.

        Raises:
            ModelFileError: The pattern or the texts in its file cannot be used.
        """
        try:
            return load_grammar(self.grammar, self.charset, self.lexicon)
        except ConfigError as error:
            raise ModelFileError(f"{self.name}: {error}") from None

    def metadata(self) -> dict[str, Any]:
        """Return the JSON entry of model files and graphs."""
        lexicon = {"lexicon": list(self.lexicon)} if self.lexicon else {}
        return {
            "format_version": FORMAT_VERSION,
            "model": to_dict(self.model),
            "preprocess": to_dict(self.preprocess),
            "charset": self.charset.characters,
            "grammar": self.grammar,
            **lexicon,
            "temperature": self.temperature,
            "training": dict(self.training),
            "license": self.license,
        }


@dataclass(frozen=True, kw_only=True)
class ModelFile(ModelInfo):
    """A model with its weights."""

    weights: Mapping[str, NDArray[Any]]
    """Tensors by name of the network's parameter or buffer."""

    def weights_digest(self) -> str:
        """Return the SHA-256 of the tensors, their names, types and shapes, in hexadecimal."""
        digest = hashlib.sha256()
        for name in sorted(self.weights):
            tensor = self.weights[name]
            digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
            digest.update(np.ascontiguousarray(tensor).data)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the file.

        Raises:
            OutputError: The file cannot be written.
        """
        save_tensors(path, self.weights, {METADATA_KEY: self.metadata()})

    @classmethod
    def load(cls, source: Path | str | None = None) -> ModelFile:
        """Read a model file; float16 becomes float32.

        Args:
            source: A model file or a run directory, or a name of `NAMED`; None is ``"bundled"``.

        Raises:
            ModelFileError: The file is missing, is no model, is from a newer program, or has
                damaged metadata.
        """
        path = model_path(source)
        if isinstance(source, str | Path) and Path(source).is_dir() and not path.exists():
            raise ModelFileError(
                f"{path}: expected a model file, found none; a run writes it at its "
                "first evaluation"
            )
        stored, metadata = load_tensors(path, METADATA_KEY)
        weights = {
            name: tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
            for name, tensor in stored.items()
        }
        return cls(**parse_metadata(path, metadata), weights=weights)


def model_path(source: Path | str | None) -> Path:
    """Return the path of a model file; see `ModelFile.load`."""
    if source is None or source in NAMED:
        return Path(__file__).parents[2] / "weights" / NAMED[str(source or BUNDLED)]
    path = Path(source)
    return path / MODEL_FILE_NAME if path.is_dir() else path


def parse_metadata(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for a `ModelInfo`, from the JSON entry of the file ``path``.

    Raises:
        ModelFileError: It is from a newer program, or damaged.
    """
    check_version(path, metadata, FORMAT_VERSION)
    try:
        characters = metadata.get("charset")
        if not isinstance(characters, str):
            raise ConfigError(f"charset: expected a string, found {quoted(characters)}")
        grammar, lexicon = _grammar(metadata)
        return {
            "model": from_dict(ModelConfig, _section(metadata, "model"), "model"),
            "preprocess": from_dict(
                # Files of old versions know no correction.
                PreprocessConfig,
                {"flat_field": False, **_section(metadata, "preprocess")},
                "preprocess",
            ),
            "charset": Charset(characters),
            "grammar": grammar,
            "lexicon": lexicon,
            "temperature": _temperature(metadata),
            "training": _section(metadata, "training"),
            "license": str(metadata.get("license", "")),
            "name": str(path),
        }
    except (ConfigError, ValueError) as error:
        raise ModelFileError(f"{path}: {error}") from None


def _grammar(metadata: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the grammar and the texts of a lexicon; files of old versions have neither.

    A pattern is compiled when it is used. No file is read: a lexicon is in the metadata.
    """
    grammar, texts = metadata.get("grammar", "none"), metadata.get("lexicon", [])
    is_lexicon = isinstance(grammar, str) and grammar.startswith(LEXICON)
    is_pattern = isinstance(grammar, str) and grammar.startswith(REGEX)
    if not is_lexicon and not is_pattern and grammar not in SHIPPED:
        known = (*SHIPPED, f"{REGEX}PATTERN", f"{LEXICON}NAME")
        raise ConfigError(unknown_name("grammar", str(grammar), known, what="grammar"))
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ConfigError(f"lexicon: expected a list of texts, found {quoted(texts)}")
    if is_lexicon != bool(texts):
        expected = "texts" if is_lexicon else "none"
        found = quoted(texts) if texts else "none"
        raise ConfigError(
            f"lexicon: expected {expected} for grammar {quoted(grammar)}, found {found}"
        )
    longest = max(map(len, texts), default=0)
    if longest > MAX_LABEL_LENGTH:
        raise ConfigError(
            f"lexicon: expected texts of at most {MAX_LABEL_LENGTH:,} characters, found {longest:,}"
        )
    return grammar, tuple(texts)


def stored_grammar(grammar: Grammar) -> tuple[str, tuple[str, ...]]:
    """Return the name and the texts by which a model file keeps a grammar.

    Raises:
        ConfigError: It is a lexicon whose texts are larger than `MAX_STORED_LEXICON_BYTES`.
    """
    if not grammar.texts:
        return grammar.name, ()
    size = len(json.dumps(json.dumps(grammar.texts)))
    if size > MAX_STORED_LEXICON_BYTES:
        raise ConfigError(
            f"grammar {shortened(grammar.name)}: expected texts of at most "
            f"{MAX_STORED_LEXICON_BYTES:,} bytes, which a model file keeps, found {size:,}; draw "
            "the lines with --texts, and read with --grammar"
        )
    return LEXICON + Path(grammar.name.removeprefix(LEXICON)).name, grammar.texts


def _temperature(metadata: Mapping[str, Any]) -> float:
    """Return the temperature; files of old versions have none."""
    temperature = metadata.get("temperature", 1.0)
    if type(temperature) not in (int, float) or not 0.01 <= temperature <= 100:
        raise ConfigError(f"temperature: expected 0.01 to 100, found {quoted(temperature)}")
    return float(temperature)


def _section(metadata: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = metadata.get(name)
    if not isinstance(section, dict):
        raise ConfigError(f"{name}: expected a section, found {quoted(section)}")
    return section


def save_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], entries: Mapping[str, Any]
) -> None:
    """Write tensors and JSON metadata entries to a safetensors file.

    Raises:
        OutputError: The file cannot be written.
    """
    # ASCII, because it can contain the name of a data set, which can be invalid Unicode.
    metadata = {key: json.dumps(value) for key, value in entries.items()}
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        # Not safetensors' save_file, which would replace a device by a file.
        temporary.write_bytes(save(contiguous, metadata))


def load_tensors(
    path: Path, key: str, what: str = "model", max_bytes: int = MAX_MODEL_BYTES
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read the tensors and one JSON metadata entry of a safetensors file.

    Args:
        path: The file.
        key: Name of the metadata entry, a JSON object.
        what: Kind of the file, for messages.
        max_bytes: Largest size of the file.

    Returns:
        The tensors by name, and the entry.

    Raises:
        ModelFileError: The file does not exist, is no safetensors file with that entry, or is
            larger than allowed.
    """
    try:
        content = read_regular(path, max_bytes)
    except (FileNotFoundError, IsADirectoryError):
        raise ModelFileError(f"{path}: expected a {what} file, found none") from None
    except OSError as error:
        raise ModelFileError(f"{path}: expected a {what} file, found: {error.strerror}") from None
    header = int.from_bytes(content[:8], "little")
    if MAX_HEADER_BYTES < header <= len(content):
        raise ModelFileError(
            f"{path}: expected a safetensors file with a header of at most "
            f"{MAX_HEADER_BYTES:,} bytes, found {header:,}"
        )
    try:
        deserialize(content)  # type: ignore[no-untyped-call]  # checks the header
        metadata = json.loads(content[8 : 8 + header]).get("__metadata__") or {}
        if key not in metadata:
            raise ModelFileError(
                f"{path}: expected the metadata entry {key!r}, found "
                f"{quoted(', '.join(sorted(metadata))) if metadata else 'no metadata'}; "
                f"not a {what} of exprocr"
            )
        tensors = load(content)
    except SafetensorError as error:
        found = shortened(str(error), 200)
        raise ModelFileError(f"{path}: expected a safetensors file, found: {found}") from None
    except (TypeError, AttributeError, KeyError) as error:  # number formats NumPy does not have
        raise ModelFileError(f"{path}: expected tensors NumPy can hold, found: {error}") from None
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in "biuf":  # a type that another package added to NumPy
            raise ModelFileError(
                f"{path}: expected tensors NumPy can hold, found: {quoted(name)}, {tensor.dtype}"
            )
    return tensors, json_object(path, key, metadata[key])


def json_object(path: Path, key: str, text: str) -> dict[str, Any]:
    """Parse the metadata entry ``key`` of the file ``path``.

    Raises:
        ModelFileError: It is no JSON object.
    """
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: {key}: expected JSON, found: {error}") from None
    if not isinstance(entry, dict):
        raise ModelFileError(f"{path}: {key}: expected a JSON object, found {quoted(text)}")
    return entry


def check_version(path: Path, entry: Mapping[str, Any], known: int) -> None:
    """Check the format version of a metadata entry.

    Raises:
        ModelFileError: It is missing, or newer than ``known``.
    """
    version = entry.get("format_version")
    if type(version) is not int or version < 1:
        raise ModelFileError(
            f"{path}: format_version: expected 1 to {known}, found {quoted(version)}"
        )
    if version > known:
        raise ModelFileError(
            f"{path}: format_version: expected {known} or older, found {version}; "
            "a newer exprocr wrote this file"
        )
