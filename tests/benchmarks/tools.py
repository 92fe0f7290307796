"""Reads images one by one with one tool, as its own documentation says: ``tools JOB RESULT``.

A process of its own for each tool, so that none slows another or takes it down. JOB and RESULT
are JSON files; `tests.benchmarks.peers` writes the one and reads the other.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

CHARACTERS = "0123456789+-*/()=?<>.\u00f7"
SPELLINGS = CHARACTERS + "xX\u00d7"
"""With the letters and the sign that tools take for a multiplication sign."""

WARM_UP = 5
"""Images read before the clock starts."""

Read = Callable[[str], str]


@dataclass(frozen=True)
class Job:
    """What to read, and how."""

    tool: str
    variant: str
    threads: int
    paths: list[str]
    model: str | None = None


@dataclass
class Result:
    """What came of it."""

    missing: str = ""
    """The package or program that is not installed."""

    version: str = ""
    texts: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """For each image, from the file to the text."""


class NotInstalledError(Exception):
    """The tool is not there."""


def exprocr(variant: str, job: Job) -> tuple[Read, str]:
    """Load exprocr; the variant is the engine."""
    from exprocr import Recognizer, __version__

    recognizer = Recognizer.load(job.model, engine=variant, threads=job.threads)
    return lambda path: recognizer.predict([path])[0].text, __version__


def ddddocr(variant: str, job: Job) -> tuple[Read, str]:
    """Load ddddocr: its default or beta network; ``ranges`` are its own restriction to a charset.

    It drops characters outside its ranges after it has decided for them; ``masked`` decides
    among those inside, from the probabilities that it gives.
    """
    tool = _import("ddddocr").DdddOcr(beta="beta" in variant, show_ad=False)
    if "ranges" in variant:
        tool.set_ranges(SPELLINGS)
    if "masked" not in variant:
        return lambda path: str(tool.classification(Path(path).read_bytes())), _version("ddddocr")
    import numpy as np

    charset = tool.get_charset()
    ids = [i for i, character in enumerate(charset) if character and character in SPELLINGS]
    allowed = np.array([0, *ids])  # 0 is the blank

    def read(path: str) -> str:
        answer = tool.classification(Path(path).read_bytes(), probability=True)
        frames = np.asarray(answer["probabilities"])[:, 0]  # (T, K)
        best = allowed[frames[:, allowed].argmax(axis=1)]
        previous = [0, *best[:-1]]
        return "".join(charset[b] for a, b in zip(previous, best, strict=True) if b not in (0, a))

    return read, _version("ddddocr")


def rapidocr(variant: str, job: Job) -> tuple[Read, str]:
    """Load RapidOCR: with its search for lines of text, or taking the image for a line."""
    package = _import("rapidocr")
    logging.disable(logging.WARNING)  # each image in which it finds no text
    tool = package.RapidOCR(params={"EngineConfig.onnxruntime.intra_op_num_threads": job.threads})
    options = {} if variant == "default" else {"use_det": False, "use_cls": False}

    def read(path: str) -> str:
        answer = tool(path, **options)
        texts = list(answer.txts or ())
        if getattr(answer, "boxes", None) is not None:  # from left to right
            lefts = [min(x for x, _ in box) for box in answer.boxes]
            texts = [text for _, text in sorted(zip(lefts, texts, strict=True))]
        return "".join(texts)

    return read, _version("rapidocr")


def tesseract(variant: str, job: Job) -> tuple[Read, str]:
    """Load Tesseract, for a single line of text; ``whitelist`` allows the charset alone."""
    tool = _import("pytesseract")
    from PIL import Image

    try:
        number = str(tool.get_tesseract_version())
    except tool.TesseractNotFoundError:
        raise NotInstalledError("the program tesseract") from None
    config = "--psm 7"
    if variant == "whitelist":
        config += f" -c tessedit_char_whitelist={CHARACTERS}x"

    def read(path: str) -> str:
        with Image.open(path) as image:
            return str(tool.image_to_string(image, config=config))

    return read, number


@dataclass(frozen=True)
class Tool:
    """A row of the table."""

    name: str
    load: Callable[[str, Job], tuple[Read, str]]
    variants: tuple[str, ...]
    """Settings; the best of them is measured."""


DDDDOCR_VARIANTS = ("default", "beta", "ranges", "beta ranges", "masked", "beta masked")
TOOLS = {
    "exprocr-onnx": Tool("exprocr", exprocr, ("onnx",)),
    "exprocr-torch": Tool("exprocr", exprocr, ("torch",)),
    "ddddocr": Tool("ddddocr", ddddocr, DDDDOCR_VARIANTS),
    "rapidocr": Tool("RapidOCR", rapidocr, ("line", "default")),
    "tesseract": Tool("Tesseract", tesseract, ("line", "whitelist")),
}


def _import(package: str) -> Any:
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise NotInstalledError(package) from None
        raise


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def limit_threads(threads: int) -> None:
    """Keep what is loaded later to so many threads, and to so many processors."""
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if hasattr(os, "sched_setaffinity"):  # not every tool can be told
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def work(job: Job) -> Result:
    """Read the images."""
    try:
        read, number = TOOLS[job.tool].load(job.variant, job)
    except NotInstalledError as error:
        return Result(missing=str(error))
    for path in job.paths[:WARM_UP]:
        read(path)
    result = Result(version=number)
    for path in job.paths:
        started = time.perf_counter()
        result.texts.append(read(path))
        result.seconds.append(time.perf_counter() - started)
    return result


def main() -> None:
    """Do one job."""
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    limit_threads(job.threads)
    Path(sys.argv[2]).write_text(json.dumps(asdict(work(job))))


if __name__ == "__main__":
    main()
