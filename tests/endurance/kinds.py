"""Kinds of files that come from outside: samples, mutations, and what the commands do with them.

As a program, this reads lines of JSON (a kind, a seed), and answers each with what the functions
of the commands said to the mutated file, the processor time and the memory.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.config.settings import load_settings, to_dict
from exprocr.core.data.dataset import load_dataset, split
from exprocr.core.decode.decoder import Decoder
from exprocr.core.image.preprocess import load
from exprocr.core.model.onnx_export import write_graph
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.runs.journal import Journal
from exprocr.core.runs.layout import (
    CHECKPOINT_NAME,
    CONFIG_NAME,
    METRICS_NAME,
    SPLIT_NAME,
    TENSORS_NAME,
    VAL_NAME,
)
from exprocr.core.runs.summary import of_kind, over_time, read_run, series, summarize, throughput
from exprocr.core.runs.tensor_record import TensorRecorder, read_tensor_record
from exprocr.core.runs.val_table import load_labeled
from exprocr.core.system.memory import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, return_freed_memory
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import LEXICON, REGEX, load_grammar
from exprocr.errors import ExprocrError
from exprocr.training.run import RunSpec, read_checkpoint
from tests.endurance import mutators
from tests.endurance.case import MB
from tests.endurance.mutators import Mutator
from tests.support.data_sets import LABELS, TEXTS
from tests.support.networks import SMALL, random_model
from tests.support.pictures import encoded, matplotlib_fonts, text_picture, with_alpha
from tests.support.tiny_runs import SETTINGS, prepare, start, tiny_settings, write_files

MAX_MESSAGE = 1_000
"""Longest message, in characters."""

MAX_ADDRESS_SPACE = 16 * 2**30
"""A guard: what takes more has lost all bounds."""

PATTERNS = ("[0-9]+", "(1|2|3)+[+-](4|5){1,3}", "[0-9]([+*-][0-9]){2}", r"\d{1,3}(\+\d{1,3})*")
CHARSET = Charset("()*+-0123456789")


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    """Where the file is in the folder of a case."""

    samples: Callable[[], Sequence[bytes]]
    """Returns sound files."""

    read: Callable[[Path], object]
    """What the commands call."""

    command: Callable[[Path, Path], list[object]]
    """Returns the arguments of a command that reads the file, given also a sound folder."""

    structured: Mutator | None = None
    """Changes what the format protects."""

    beside: str = ""
    """The sound folder that it is a part of, if it is of one."""


def mutated(kind: str, seed: int, folder: Path) -> Path:
    """Write a mutated file into a new folder, and what belongs beside it; return its path."""
    rng = random.Random(f"{kind} {seed}")
    chosen = KINDS[kind]
    if chosen.beside:
        without = shutil.ignore_patterns("labels.*", "curves.png")
        shutil.copytree(sound() / chosen.beside, folder, ignore=without)
    else:
        folder.mkdir()
    content = rng.choice(chosen.samples())
    if chosen.structured and rng.random() < 0.5:
        content = chosen.structured(content, rng)
        if rng.random() < 0.1:
            content = mutators.of_bytes(content, rng)
    else:
        content = mutators.of_bytes(content, rng)
    path = folder / chosen.name
    path.write_bytes(content)
    return path


def attempt(kind: str, seed: int, folder: Path) -> dict[str, Any]:
    """Let the functions of the commands read a mutated file; return what came of it."""
    path = mutated(kind, seed, folder)
    outcome, problem = "read", ""
    _free_memory()
    before, started = _memory_mb("VmRSS"), time.process_time()
    try:
        with _standard_error() as written:
            KINDS[kind].read(path)
        problem = f"standard error: {written[0]}" if written else ""
    except ExprocrError as error:
        outcome = str(error)
        problem = f"standard error: {written[0]}" if written else ""
        if len(outcome) > MAX_MESSAGE or "\n" in outcome:
            problem = f"a message of {len(outcome):,} characters: {outcome[:MAX_MESSAGE]!r}"
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"[:MAX_MESSAGE] + traceback.format_exc()[-1500:]
    cpu_s, taken = time.process_time() - started, _memory_mb("VmHWM") - before
    return {"outcome": outcome, "problem": problem, "cpu_s": cpu_s, "taken_mb": taken}


@contextmanager
def _standard_error() -> Iterator[list[str]]:
    """Collect what is written to standard error in the block, by libraries too."""
    written: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield written
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            if text := file.read(MAX_MESSAGE):
                written.append(text.decode(errors="replace"))


def _free_memory() -> None:
    """Return freed memory to the system, which a training keeps, and begin a new peak."""
    libc = ctypes.CDLL(None)
    for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
        libc.mallopt(parameter, 2**17)
    return_freed_memory()
    Path("/proc/self/clear_refs").write_text("5")


def _memory_mb(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024 / MB


@cache
def sound() -> Path:
    """Return a folder with a labeled set, a finished run and a picture; it stays to the end."""
    folder = Path(tempfile.mkdtemp(prefix="exprocr-sound-"))
    atexit.register(shutil.rmtree, folder)
    write_files(folder / "data", 12)
    spec = RunSpec(settings=tiny_settings(epochs=2), data=str(folder / "data"))
    start(spec, folder / "run")
    model = random_model(SMALL, 60)
    model.save(folder / "small.safetensors")
    write_graph(model, folder / "small.onnx")
    return folder


def _run_file(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(sound() / "run" / name).read_bytes()]


@cache
def pictures(format_: str) -> list[bytes]:
    """Return pictures in a format, of all its modes."""
    gray, exif = text_picture(), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "text"
    color = gray.convert("RGB")
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    save = partial(encoded, format_=format_)
    found = [save(gray), save(color), save(gray.convert("1"))] if format_ != "WEBP" else []
    if format_ != "PPM":  # nearly as many pixels as there may be
        found.append(save(Image.new("RGB", (4470, 4470), "white")))
    if format_ == "PNG":
        found += [save(with_alpha("LA")), save(deep), save(color.convert("P"), transparency=0)]
        found += [save(color, exif=exif), save(color, save_all=True, append_images=[color])]
    elif format_ == "JPEG":
        found += [save(color, progressive=True, exif=exif), save(color.convert("CMYK"))]
        found += [encoded(color, "MPO", save_all=True, append_images=[color])]
    elif format_ == "GIF":
        found += [save(gray, save_all=True, append_images=[color, gray]), save(color, interlace=1)]
    elif format_ == "BMP":
        found += [save(with_alpha("RGBA")), save(color.convert("P")), encoded(color, "DIB")]
    elif format_ == "TIFF":
        names = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        found += [save(color, compression=name) for name in names]
        found += [
            save(gray.convert("1"), compression="group4"),
            save(deep),
            save(gray.convert("F")),
        ]
        found += [save(with_alpha("RGBA"), exif=exif, big_tiff=True)]
    elif format_ == "WEBP":
        found += [save(color), save(color, lossless=True), save(with_alpha("RGBA"), exif=exif)]
        found += [save(color, save_all=True, append_images=[gray.convert("RGB")])]
    elif format_ == "PPM":
        found += [save(deep), encoded(gray.convert("F"), "PPM")]
        rows = " ".join(map(str, np.asarray(gray).ravel()))
        found += [f"P2\n# text\n180 60\n255\n{rows}\n".encode(), b"P3 1 1 9 1 2 3", b"P1 2 1 0 1"]
    return found


def _read_labels(path: Path) -> None:
    found = load_dataset(path.parent)
    found.digest()
    for part in found.parts.values():
        split(part, 0.3, seed=0)
    _ = found.charset


def _recognize(path: Path, **options: Any) -> None:
    Recognizer.load(path, threads=1, **options).predict([text_picture()])


@cache
def _log_probs() -> np.ndarray[Any, Any]:
    values = np.random.default_rng(0).normal(0, 3, (45, 1, CHARSET.num_classes))
    return np.asarray(values - np.log(np.exp(values).sum(axis=2, keepdims=True)), np.float32)


def _decode(grammar: str) -> None:
    Decoder(load_grammar(grammar, CHARSET))(_log_probs())


def _read_pattern(path: Path) -> None:
    _decode(REGEX + as_argument(path))


def as_argument(path: Path) -> str:
    """Return a file's content as a command line can hold it."""
    return path.read_bytes().decode("utf-8", "replace").replace("\0", "")


def _read_metrics(path: Path) -> None:
    records = read_run(path.parent)
    summarize(records)
    over_time(series(of_kind(records, "step"), "loss"), records)
    throughput(records)
    Journal(path).rewind(5, evaluated=True)


def _read_tensors(path: Path) -> None:
    read_tensor_record(path)
    TensorRecorder(path).rewind(5, evaluated=True)


def _read_checkpoint(path: Path) -> None:
    run = path.parents[1]
    spec, checkpoint = read_checkpoint(run)
    prepare(spec, run, checkpoint).folder.release()


def _settings_samples() -> list[bytes]:
    tiny = {
        **SETTINGS,
        "synth": {**SETTINGS["synth"], "system_fonts": False, "fonts": [str(matplotlib_fonts())]},
    }
    whole = to_dict(tiny_settings())
    run = (sound() / "run" / CONFIG_NAME).read_bytes()
    return [tomli_w.dumps(tiny).encode(), tomli_w.dumps(whole).encode(), run]


def _predict(path: Path, place: Path) -> list[object]:
    return ["predict", path]


def _table(suffix: str) -> Callable[[], list[bytes]]:
    names = [f"{i}.png" for i in range(len(TEXTS))]
    if suffix == "jsonl":
        rows = [{"image": n, "text": t, "value": 1} for n, t in zip(names, TEXTS, strict=True)]
        return lambda: ["".join(json.dumps(row) + "\n" for row in rows).encode()]
    mark = "," if suffix == "csv" else "\t"
    lines = [mark.join(pair) for pair in zip(["image", *names], ["text", *TEXTS], strict=True)]
    return lambda: ["\n".join(lines).encode() + b"\n"]


def _picture(format_: str) -> Kind:
    return Kind(
        f"picture.{format_.lower()}",
        lambda: pictures(format_),
        lambda path: load(path, PreprocessConfig()),
        _predict,
        mutators.of_png if format_ == "PNG" else None,
    )


def _labels(name: str, samples: Callable[[], list[bytes]], structured: Mutator) -> Kind:
    return Kind(name, samples, _read_labels, lambda p, _: ["eval", p.parent], structured, "data")


KINDS = {
    **{f.lower(): _picture(f) for f in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")},
    "model": Kind(
        "model.safetensors",
        lambda: [
            (sound() / name).read_bytes() for name in ("run/model.safetensors", "small.safetensors")
        ],
        lambda path: _recognize(path, engine="torch"),
        lambda path, place: ["predict", "--model", path, "--engine", "torch", place / "data/0.png"],
        mutators.of_safetensors,
    ),
    "graph": Kind(
        "model.onnx",
        lambda: [(sound() / name).read_bytes() for name in ("run/model.onnx", "small.onnx")],
        _recognize,
        lambda path, place: ["predict", "--model", path, place / "data/0.png"],
        mutators.of_graph,
    ),
    "labels.txt": _labels("labels.txt", lambda: [LABELS.encode()], mutators.of_cells),
    "labels.csv": _labels("labels.csv", _table("csv"), mutators.of_cells),
    "labels.tsv": _labels("labels.tsv", _table("tsv"), mutators.of_cells),
    "labels.jsonl": _labels("labels.jsonl", _table("jsonl"), mutators.of_json_lines),
    "settings": Kind(
        "settings.toml",
        _settings_samples,
        lambda path: load_settings("default", path),
        lambda path, place: ["synth", path.with_name("out"), "-n", "1", "--config", path],
        mutators.of_toml,
    ),
    "pattern": Kind(
        "pattern.txt",
        lambda: [pattern.encode() for pattern in PATTERNS],
        _read_pattern,
        lambda path, place: [
            "predict",
            "--grammar",
            REGEX + as_argument(path),
            place / "data/0.png",
        ],
        mutators.of_pattern,
    ),
    "lexicon": Kind(
        "lexicon.txt",
        lambda: ["\n".join(TEXTS).encode(), "\n".join(f"{n}+1" for n in range(20_000)).encode()],
        lambda path: _decode(f"{LEXICON}{path}"),
        lambda path, place: ["predict", "--grammar", f"{LEXICON}{path}", place / "data/0.png"],
        mutators.of_cells,
    ),
    "metrics": Kind(
        METRICS_NAME,
        _run_file(METRICS_NAME),
        _read_metrics,
        lambda path, _: ["visualize", "--kind", "curves", "--run", path.parent, "-o", "c.png"],
        mutators.of_json_lines,
        "run",
    ),
    "tensors": Kind(
        TENSORS_NAME,
        _run_file(TENSORS_NAME),
        _read_tensors,
        lambda path, _: ["visualize", "--kind", "history", "--run", path.parent, "-o", "h.png"],
        beside="run",
    ),
    "checkpoint": Kind(
        CHECKPOINT_NAME,
        _run_file(CHECKPOINT_NAME),
        _read_checkpoint,
        lambda path, _: ["train", "--resume", path.parents[1], "--epochs", "1"],
        mutators.of_safetensors,
        "run",
    ),
    "split": Kind(
        SPLIT_NAME,
        _run_file(SPLIT_NAME),
        lambda path: load_labeled(path.with_name(VAL_NAME)),
        lambda path, place: ["eval", path.with_name(VAL_NAME), "--model", place / "run"],
        mutators.of_json,
        "run",
    ),
    "val": Kind(
        VAL_NAME,
        _run_file(VAL_NAME),
        lambda path: load_labeled(path.with_name(VAL_NAME)),
        lambda path, place: ["eval", path, "--model", place / "run"],
        mutators.of_cells,
        "run",
    ),
}


def main() -> None:
    """Answer the lines of standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))
    folder = Path(tempfile.mkdtemp(prefix="exprocr-mutated-"))
    atexit.register(shutil.rmtree, folder)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what else is printed is no answer
    warm = set()
    for line in sys.stdin:
        kind, seed = json.loads(line)
        if kind not in warm:  # so that what is loaded once is not measured
            warm.add(kind)
            with suppress(Exception):
                attempt(kind, -1, folder / "warm")
            KINDS[kind].samples()
            shutil.rmtree(folder / "warm", ignore_errors=True)
        answer = attempt(kind, seed, folder / "case")
        shutil.rmtree(folder / "case")
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
