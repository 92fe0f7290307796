"""Model files: their content, and files that are not model files."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from exprocr.core.config.settings import from_dict, to_dict
from exprocr.core.model.artifact import (
    FORMAT_VERSION,
    METADATA_KEY,
    ModelFile,
    load_tensors,
    save_tensors,
    stored_grammar,
)
from exprocr.core.model.onnx_export import write_graph
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import SHIPPED, load_grammar
from exprocr.errors import ConfigError, ModelFileError


def entry_of(path: Path) -> dict[str, Any]:
    """Read the metadata entry as the format is defined: a length, then a JSON header."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert list(metadata) == [METADATA_KEY]
    entry = json.loads(metadata[METADATA_KEY])
    assert isinstance(entry, dict)
    return entry


def rewrite(source: Path, path: Path, changes: dict[str, Any]) -> Path:
    """Write the model with changed metadata; a change to None removes the field."""
    entry = entry_of(source) | changes
    entry = {key: value for key, value in entry.items() if value is not None}
    save_file(load_file(source), path, {METADATA_KEY: json.dumps(entry)})
    return path


def test_half_precision_becomes_single(tiny_model: Path, tmp_path: Path) -> None:
    model = ModelFile.load(tiny_model)
    halves = {
        name: values.astype(np.float16) if values.ndim > 1 else values
        for name, values in model.weights.items()
    }
    replace(model, weights=halves).save(tmp_path / "half.safetensors")
    read = ModelFile.load(tmp_path / "half.safetensors")
    for name, values in model.weights.items():
        assert read.weights[name].dtype == values.dtype
        np.testing.assert_array_equal(read.weights[name], halves[name])
    write_graph(read, tmp_path / "half.onnx")
    for file in ("half.safetensors", "half.onnx"):
        assert Recognizer.load(tmp_path / file).charset == model.charset


def test_round_trip(tiny_model: Path, tmp_path: Path) -> None:
    model = dataclasses.replace(
        ModelFile.load(tiny_model),
        charset=Charset("÷()*+-0123456789"[:15]),
        grammar="expression",
        temperature=1.0 / 3.0,
        training={"step": 3, "note": "é"},
        license="CC0-1.0",
    )
    path = tmp_path / "new" / "model.safetensors"
    model.save(path)
    loaded = ModelFile.load(path)
    for field in (
        "model",
        "preprocess",
        "charset",
        "grammar",
        "temperature",
        "training",
        "license",
    ):
        assert getattr(loaded, field) == getattr(model, field), field
    assert loaded.weights.keys() == model.weights.keys()
    for name, tensor in model.weights.items():
        assert loaded.weights[name].dtype == tensor.dtype
        np.testing.assert_array_equal(loaded.weights[name], tensor)
    # A batch norm counts its batches in a tensor without dimensions.
    assert loaded.weights["conv1.1.num_batches_tracked"].shape == ()
    assert os.listdir(path.parent) == [path.name]
    assert ModelFile.load(path.parent).charset == model.charset  # a run directory


def test_metadata_is_one_json_entry(tiny_model: Path) -> None:
    model = ModelFile.load(tiny_model)
    entry = entry_of(tiny_model)
    assert entry == {
        "format_version": 1,
        "model": to_dict(model.model),
        "preprocess": {"height": 60, "width_multiple": 20, "flat_field": True},
        "charset": "()*+-0123456789",
        "grammar": "none",
        "temperature": 1.0,
        "training": {},
        "license": "MIT",
    }
    assert from_dict(type(model.model), entry["model"]) == model.model


def test_non_contiguous_and_scalar_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {
        "turned": np.arange(6.0).reshape(2, 3).T,
        "scalar": np.array(7),
        "empty": np.zeros((0, 2), dtype=np.float32),
    }
    save_tensors(path, tensors, {"key": {"a": [1, None]}})
    loaded, entry = load_tensors(path, "key")
    assert entry == {"a": [1, None]}
    for name, tensor in tensors.items():
        assert loaded[name].shape == tensor.shape
        np.testing.assert_array_equal(loaded[name], tensor)


class Bomb:
    """Ends the process when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os._exit, (99,))


def write_foreign(kind: str, path: Path) -> None:
    weights = {"weight": torch.zeros(2, dtype=torch.bfloat16)}
    if kind == "text":
        path.write_text("hello, world, this is no model\n" * 9)
    elif kind == "empty":
        path.touch()
    elif kind == "torch.save":
        torch.save(weights, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif kind == "foreign":
        from safetensors.torch import save_file as save_torch_file

        save_torch_file(weights, path, {"format": "pt"})
    elif kind == "bare":
        save_file({"weight": np.zeros(2)}, path)
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "expected a model file, found none"),
        ("folder", "expected a model file, found none"),
        ("text", "expected a safetensors file, found: "),
        ("empty", "expected a safetensors file, found: "),
        ("torch.save", "expected a safetensors file, found: "),
        ("pickle", "expected a safetensors file, found: "),
        (
            "foreign",
            "expected the metadata entry 'exprocr', found 'format'; not a model of exprocr",
        ),
        ("bare", "metadata entry 'exprocr', found no metadata; not a model of exprocr"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "model.bin"
    write_foreign(kind, path)
    with pytest.raises(ModelFileError) as caught:
        Recognizer.load(path, device="cpu", threads=1)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_truncated(tiny_model: Path, tmp_path: Path) -> None:
    content = tiny_model.read_bytes()
    for length in (4, 100, len(content) - 1):
        path = tmp_path / "cut.safetensors"
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match="expected a safetensors file, found: "):
            ModelFile.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "expected 1 or older, found 2; a newer exprocr"),
        ({"format_version": None}, "format_version: expected 1 to 1, found None"),
        ({"format_version": "1"}, "format_version: expected 1 to 1, found '1'"),
        ({"format_version": 0}, "format_version: expected 1 to 1, found 0"),
        ({"model": None}, "model: expected a section, found None"),
        ({"model": {"fc1_unit": 3}}, "model.fc1_unit: unknown key; did you mean 'fc1_units'?"),
        ({"model": {"fc1_units": "3"}}, "model.fc1_units: expected int, found '3'"),
        ({"preprocess": [60]}, "preprocess: expected a section, found [60]"),
        ({"preprocess": {"height": -1}}, "preprocess.height: expected 1 to 6000 px, found -1"),
        ({"charset": "1231"}, "a charset needs unique characters, found '1231'"),
        ({"charset": ""}, "a charset needs unique characters, found ''"),
        ({"charset": 123}, "charset: expected a string, found 123"),
        ({"training": None}, "training: expected a section, found None"),
        ({"grammar": "levle1"}, "grammar: unknown grammar; did you mean 'level1'?"),
        ({"grammar": "regex:[0-9"}, "grammar regex:[0-9: expected a regular expression"),
        ({"grammar": "regex:[0-9a]"}, "grammar regex:[0-9a]: expected characters of"),
        ({"grammar": "regex:" + "1" * 10_001}, "expected at most 10,000 characters"),
        ({"grammar": "lexicon:/etc/passwd"}, "lexicon: expected texts for grammar 'lexicon:/etc"),
        ({"grammar": "lexicon:a", "lexicon": []}, "lexicon: expected texts"),
        ({"grammar": "lexicon:a", "lexicon": "12"}, "lexicon: expected a list of texts"),
        ({"grammar": "lexicon:a", "lexicon": ["1", 2]}, "lexicon: expected a list of texts"),
        ({"grammar": "lexicon:a", "lexicon": ["1", ""]}, "lexicon: expected a list of texts"),
        ({"grammar": "lexicon:a", "lexicon": ["1", "a"]}, "found 'a' in 'a'"),
        ({"grammar": "lexicon:a", "lexicon": ["1" * 1001]}, "at most 1,000 characters"),
        ({"grammar": "digits", "lexicon": ["1"]}, "lexicon: expected none for grammar 'digits'"),
        ({"grammar": 3}, "grammar: unknown grammar; did you mean"),
        ({"grammar": ["none"]}, "grammar: unknown grammar; did you mean"),
        ({"temperature": 0}, "temperature: expected 0.01 to 100, found 0"),
        ({"temperature": -1.5}, "temperature: expected 0.01 to 100, found -1.5"),
        ({"temperature": "1"}, "temperature: expected 0.01 to 100, found '1'"),
        ({"temperature": True}, "temperature: expected 0.01 to 100, found True"),
        ({"temperature": [1.0]}, "temperature: expected 0.01 to 100, found [1.0]"),
        ({"temperature": float("nan")}, "temperature: expected 0.01 to 100, found nan"),
        ({"temperature": float("inf")}, "temperature: expected 0.01 to 100, found inf"),
        ({"temperature": 10**400}, "temperature: expected 0.01 to 100, found 10"),
        # Weights that do not fit.
        ({"charset": "123"}, "weights: fc2.bias: expected shape (4,), found (16,)"),
        ({"preprocess": {"height": 30}}, "weights: fc1.linear.weight: expected shape (16, 16)"),
    ],
)
def test_bad_metadata(
    tiny_model: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = rewrite(tiny_model, tmp_path / "bad.safetensors", changes)
    with pytest.raises(ModelFileError) as caught:
        Recognizer.load(path, device="cpu", threads=1)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_old_files_without_grammar_and_temperature(tiny_model: Path, tmp_path: Path) -> None:
    path = rewrite(tiny_model, tmp_path / "old.safetensors", {"grammar": None, "temperature": None})
    assert not {"grammar", "temperature"} & entry_of(path).keys()
    model = ModelFile.load(path)
    assert (model.grammar, model.temperature) == ("none", 1.0)
    recognizer = Recognizer.load(path, device="cpu", threads=1)
    assert (recognizer.decoder.grammar.name, recognizer.decoder.temperature) == ("none", 1.0)


def test_a_pattern_in_a_model_file(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    replace(ModelFile.load(tiny_model), grammar="regex:[0-9]{2}").save(path)
    assert ModelFile.load(path).grammar == "regex:[0-9]{2}"
    grammar = Recognizer.load(path, device="cpu", threads=1).decoder.grammar
    assert (grammar.name, grammar.automaton.num_texts) == ("regex:[0-9]{2}", 100)


def test_the_texts_of_a_lexicon_in_a_model_file_and_its_graph(
    tiny_model: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("12\n3+4\n12\n")
    model = ModelFile.load(tiny_model)
    name, texts = stored_grammar(load_grammar(f"lexicon:{words}", model.charset))
    assert (name, texts) == ("lexicon:words.txt", ("12", "3+4"))
    words.unlink()
    path = tmp_path / "m.safetensors"
    model = replace(model, grammar=name, lexicon=texts)
    model.save(path)
    write_graph(model, path.with_suffix(".onnx"))
    for source in (path, path.with_suffix(".onnx")):
        grammar = Recognizer.load(source, device="cpu", threads=1).decoder.grammar
        assert (grammar.name, grammar.texts) == (name, texts)
        assert sorted(map(model.charset.decode, grammar.automaton.texts())) == ["12", "3+4"]


def test_the_texts_of_a_lexicon_are_limited(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    # In a model file each takes the quotes, their two backslashes, a comma and a blank more.
    for number, fits in ((71_428, True), (71_429, False)):
        words.write_text("".join(f"{i:08}\n" for i in range(number)))
        grammar = load_grammar(f"lexicon:{words}", Charset("0123456789"))
        if fits:
            assert len(stored_grammar(grammar)[1]) == number
        else:
            with pytest.raises(ConfigError, match=r"expected texts of at most 1,000,000 bytes"):
                stored_grammar(grammar)


@pytest.mark.parametrize("grammar", SHIPPED)
def test_grammars_of_model_files(tiny_model: Path, tmp_path: Path, grammar: str) -> None:
    path = rewrite(tiny_model, tmp_path / "m.safetensors", {"grammar": grammar, "temperature": 2})
    model = ModelFile.load(path)
    assert (model.grammar, model.temperature) == (grammar, 2.0)
    assert type(model.temperature) is float
    recognizer = Recognizer.load(path, device="cpu", threads=1)
    assert recognizer.decoder.grammar.name == grammar


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000])
def test_metadata_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.safetensors"
    save_file({"weight": np.zeros(2)}, path, {METADATA_KEY: text})
    with pytest.raises(ModelFileError, match=r"bad.safetensors: exprocr: expected "):
        ModelFile.load(path)


def test_an_error_of_the_configuration_names_the_file(tiny_model: Path, tmp_path: Path) -> None:
    model = entry_of(tiny_model)["model"] | {"padding": False}
    path = rewrite(
        tiny_model, tmp_path / "low.safetensors", {"model": model, "preprocess": {"height": 5}}
    )
    with pytest.raises(ModelFileError, match=r"low.safetensors: model: pictures 5 px high"):
        Recognizer.load(path, device="cpu", threads=1)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("fc2.bias", None, "weights: expected a tensor 'fc2.bias', found none"),
        ("fc3.bias", np.zeros(2), "weights: expected the network's tensors, found another one, 'f"),
        ("fc2.bias", np.zeros(2), "weights: fc2.bias: expected shape (16,), found (2,)"),
        ("fc2.bias", np.zeros((16, 1)), "weights: fc2.bias: expected shape (16,), found (16, 1)"),
    ],
)
def test_weights_that_do_not_fit(
    tiny_model: Path, tmp_path: Path, name: str, tensor: Any, message: str
) -> None:
    model = ModelFile.load(tiny_model)
    weights = {k: v for k, v in model.weights.items() if k != name}
    if tensor is not None:
        weights[name] = tensor
    path = tmp_path / "model.safetensors"
    dataclasses.replace(model, weights=weights).save(path)
    with pytest.raises(ModelFileError) as caught:
        Recognizer.load(path, device="cpu", threads=1)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_huge_configuration_is_refused_before_it_takes_memory(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = entry_of(tiny_model)["model"]
    for name in ("conv2", "conv3"):
        model[name] |= {"kernel_sizes": [99], "channels": [4096]}  # half a terabyte
    path = rewrite(tiny_model, tmp_path / "m.safetensors", {"model": model})
    with pytest.raises(ModelFileError, match=r"weights: conv2.0.weight: expected shape \(4096, "):
        Recognizer.load(path)


def test_number_formats_that_numpy_does_not_have(tmp_path: Path) -> None:
    from safetensors.torch import save_file as save_torch_file

    path = tmp_path / "model.safetensors"
    save_torch_file({"w": torch.zeros(2, dtype=torch.bfloat16)}, path, {METADATA_KEY: "{}"})
    with pytest.raises(ModelFileError, match="expected tensors NumPy can hold, found: "):
        ModelFile.load(path)


def test_a_large_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes((3 * 10**6).to_bytes(8, "little") + b"{" + b" " * (3 * 10**6))
    with pytest.raises(ModelFileError, match=r"a header of at most 2,000,000 bytes, found 3,000,0"):
        ModelFile.load(path)


def test_model_files_are_limited(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.touch()
    os.truncate(path, 70 * 10**6 + 1)  # without taking space
    with pytest.raises(ModelFileError, match="found: a file of more than 70 MB, the limit"):
        ModelFile.load(path)
    with pytest.raises(ModelFileError, match="found: a device, not a regular file"):
        ModelFile.load("/dev/zero")
