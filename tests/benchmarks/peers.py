"""exprocr beside other tools on the same files: what is right, and milliseconds per image."""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from exprocr.core.data.dataset import load_dataset
from exprocr.core.evaluation.metrics import Evaluation
from exprocr.core.model.engine import pick_threads
from exprocr.core.text.expression import value_of
from tests.benchmarks.measuring import Options, Row, write_captchas
from tests.benchmarks.processes import CommandError, run
from tests.benchmarks.tools import TOOLS, Job, NotInstalledError, Result

NUM_TO_CHOOSE = 50
"""Images that a tool's settings are chosen on, evenly spread over the sets."""

_TIMES = "xX\u00d7\u2715\u2716\u2a2f\u22c5\u2217"  # signs for times, the dot and asterisk operators
_MINUS = "\u2212\u2010\u2011\u2012\u2013\u2014\u2015\u30fc\u4e00"  # and two letters drawn like it
_SPELLINGS = str.maketrans(
    dict.fromkeys(_TIMES, "*") | dict.fromkeys(_MINUS, "-") | dict.fromkeys("\u00f7:", "/")
)
_DOTS = re.compile(r"[.\u00b7\u22ef]{2,}|\u22ef")


@dataclass(frozen=True)
class ImageSet:
    """Labeled files."""

    name: str
    paths: list[str]
    texts: list[str]


def normalize(text: str) -> str:
    """Spell a label and a reading alike, in favor of the tool that read it.

    Signs for times, division and minus become ``*``, ``/`` and ``-``, several dots two, full-width
    characters plain ones; spaces and a trailing ``=`` or ``=?`` go.
    """
    plain = unicodedata.normalize("NFKC", text).translate(_SPELLINGS)
    return _DOTS.sub("..", "".join(plain.split())).rstrip("=?")


def rows(options: Options) -> Iterator[Row]:
    """Read all files with every tool that is installed, one by one."""
    with tempfile.TemporaryDirectory() as temporary:
        sets = _image_sets(Path(temporary) / "captcha", options)
        for tool in TOOLS:
            try:
                yield from _tool_rows(tool, sets, options)
            except NotInstalledError as error:
                yield Row(TOOLS[tool].name, f"not installed: {error}")
            except CommandError as error:
                yield Row(TOOLS[tool].name, f"failed: {error}")


def _image_sets(folder: Path, options: Options) -> list[ImageSet]:
    """Return the files to read: the ``captcha`` package's, and real ones."""
    texts = write_captchas(folder, options.num_images)
    paths = [str(folder / f"{number}.png") for number in range(len(texts))]
    sets = [ImageSet("captcha package", paths, texts)]
    for place in options.real:
        samples = [sample for part in load_dataset(place).parts.values() for sample in part]
        paths = [str(sample.path) for sample in samples]
        sets.append(ImageSet(place.name, paths, [sample.text for sample in samples]))
    return sets


def _tool_rows(tool: str, sets: list[ImageSet], options: Options) -> Iterator[Row]:
    """Read with the best settings of a tool."""
    variant = _best_variant(tool, sets, options)
    result, peak_mb = _read(tool, variant, sets, options)
    seconds = iter(result.seconds)
    for images, counts in zip(sets, _evaluate(result, sets), strict=True):
        ms = 1000 * statistics.fmean(islice(seconds, len(images.paths)))
        yield Row(
            f"{TOOLS[tool].name} {result.version} ({variant}): "
            f"{images.name} ({len(images.paths):,})",
            f"exact match {counts.exact_match:.2%}, CER {counts.cer:.2%}, {ms:.1f} ms per image, "
            f"peak {peak_mb:,.0f} MB",
        )


def _best_variant(tool: str, sets: list[ImageSet], options: Options) -> str:
    """Return the settings with which a tool makes the fewest errors on some of the images."""
    variants = TOOLS[tool].variants
    if len(variants) == 1:
        return variants[0]
    some = [_spread(images, -(-NUM_TO_CHOOSE // len(sets))) for images in sets]

    def errors(variant: str) -> int:
        result, _ = _read(tool, variant, some, options)
        return sum(_evaluate(result, some), Evaluation()).num_edits

    return min(variants, key=errors)


def _spread(images: ImageSet, num: int) -> ImageSet:
    step = max(1, len(images.paths) // num)
    return ImageSet(images.name, images.paths[::step][:num], images.texts[::step][:num])


def _read(tool: str, variant: str, sets: list[ImageSet], options: Options) -> tuple[Result, float]:
    """Read all sets in one process; return also the most memory it held, MB.

    Raises:
        NotInstalledError: The tool is not there.
        CommandError: It failed.
    """
    paths = [path for images in sets for path in images.paths]
    job = Job(tool, variant, pick_threads(options.threads), paths, options.model)
    with tempfile.TemporaryDirectory() as temporary:
        job_file, result_file = Path(temporary) / "job.json", Path(temporary) / "result.json"
        job_file.write_text(json.dumps(asdict(job)))
        command = [sys.executable, "-m", "tests.benchmarks.tools", job_file, result_file]
        usage = run(command)
        result = Result(**json.loads(result_file.read_text()))
    if result.missing:
        raise NotInstalledError(result.missing)
    return result, usage.peak_mb


def _evaluate(result: Result, sets: list[ImageSet]) -> list[Evaluation]:
    """Count what is right in each set."""
    texts = iter(result.texts)
    evaluations = []
    for images in sets:
        counts = Evaluation()
        for label in images.texts:
            truth, read = normalize(label), normalize(next(texts))
            counts.add(truth, value_of(truth), read, value_of(read))
        evaluations.append(counts)
    return evaluations
