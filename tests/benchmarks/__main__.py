"""Speed, measured here and now: one table.

    python -m tests.benchmarks [--threads 2]

Rates are medians of several repetitions in one process; on a shared machine compare ratios within
one run, not runs. ``captcha`` is the PyPI package that drew the contest's kind of images.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from exprocr.core.charset import Charset
from exprocr.core.config import PRESETS
from exprocr.core.engine import set_threads
from exprocr.core.evaluate import LabelledImages
from exprocr.core.model import Network
from exprocr.core.preprocess import preprocess
from exprocr.core.recognizer import Recognizer
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import CHARACTERS, Renderer
from exprocr.training.batches import Batches
from exprocr.training.loop import Trainer
from tests.benchmarks.captcha_images import draw_images

NUM_IMAGES = 512
REPETITIONS = 5


def median_rate(count: int, work: Callable[[], object]) -> float:
    """Return ``count`` a second: the median of several calls of ``work``, after one to warm up."""
    work()
    times = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return count / statistics.median(times)


def training_rate(preset: str, images: list[tuple[str, object]]) -> float:
    """Return the images a second that training steps of a preset take, data in memory."""
    settings = PRESETS[preset]
    charset = Charset(CHARACTERS)
    inks = [preprocess(image, settings.preprocess) for _, image in images]  # type: ignore[arg-type]
    texts = [text for text, _ in images]
    network = Network(settings.model, settings.preprocess.height, charset.num_classes)
    import torch

    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            network=network,
            device=torch.device("cpu"),
            charset=charset,
            input_size=settings.preprocess,
            grammar="level1",
            config=settings.training,
            batches=Batches(inks, texts, None, settings.training, workers=0),
            validation=LabelledImages(inks[:1], texts[:1], [None]),
            settings={},
            run_dir=Path(folder),
        )
        steps = trainer.batches.steps_per_epoch
        batches = list(trainer.batches.between(0, steps))
        return median_rate(len(inks), lambda: [trainer._step(batch) for batch in batches])


def cold_start_s(path: Path) -> float:
    """Return the median time of `exprocr predict` on one image, from the shell."""
    command = [sys.executable, "-m", "exprocr", "predict", str(path)]
    rate = median_rate(1, lambda: subprocess.run(command, check=True, capture_output=True))
    return 1 / rate


def rows(threads: int) -> Iterator[tuple[str, str]]:
    """Measure everything; yield what and how much."""
    fonts = find_fonts([], CHARACTERS).usable
    renderer = Renderer(fonts)
    images = [renderer.sample(0, 0, i) for i in range(NUM_IMAGES)]  # prepares the glyphs too
    rate = median_rate(NUM_IMAGES, lambda: [renderer.sample(0, 0, i) for i in range(NUM_IMAGES)])
    yield f"rendering, exprocr, {len(fonts)} fonts (one core)", f"{rate:,.0f} images/s"
    rate = median_rate(NUM_IMAGES, lambda: list(draw_images(NUM_IMAGES, 0)))
    yield "rendering, captcha, 1 font (one core)", f"{rate:,.0f} images/s"
    for preset in PRESETS:
        rate = training_rate(preset, list(images))
        yield f"training, preset {preset}", f"{rate:,.0f} images/s"
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.png" for i in range(NUM_IMAGES)]
        for path, (_, image) in zip(paths, images, strict=True):
            image.save(path)
        recognizer = Recognizer.load(threads=threads)
        rate = median_rate(NUM_IMAGES, lambda: recognizer.predict(paths))
        yield "predict, PNG files", f"{rate:,.0f} images/s"
        inks = [preprocess(image, recognizer.preprocess) for _, image in images]
        log_probs = np.concatenate([part for _, part in recognizer.log_probs(inks)], axis=1)
        rate = median_rate(NUM_IMAGES, lambda: recognizer.decoder(log_probs))
        yield (
            "decoding alone, level1, confidences and positions (one core)",
            f"{rate:,.0f} images/s",
        )
        yield "predict, one image, from the shell", f"{cold_start_s(paths[0]):.2f} s"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int)
    threads = set_threads(parser.parse_args().threads)
    table = Table("what", "how fast", title=f"exprocr on {threads} threads")
    for what, how_fast in rows(threads):
        print(f"{what}: {how_fast}", file=sys.stderr)
        table.add_row(what, how_fast)
    Console().print(table)


if __name__ == "__main__":
    main()
