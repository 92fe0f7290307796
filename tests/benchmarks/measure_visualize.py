"""What pictures of large inputs cost: seconds and peak memory, each in a process of its own.

    python -m tests.benchmarks.measure_visualize [--channels 512] [--threads 2] [--output DIR]

A model of random weights, ``--channels`` in each convolution and as many units in fc1, gru1 and
gru2, looks at a picture 4,000 x 60 px, which the network sees at that size, and at one of
4,000 x 1,000 px. Every kind of picture of an image is drawn, of features and saliency each layer.

Seconds are of one run of the whole command, loading PyTorch included: by the clock, and of
processor time, which others on the machine change less.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from exprocr.cli.visualize.kinds import KINDS
from exprocr.core.model.geometry import CONV_LAYERS, LAYERS

SIZES = ((4000, 60), (4000, 1000))
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def write_model(path: Path, channels: int) -> None:
    """Write a model of random weights: the default one, widened."""
    from exprocr.core.config.schema import PRESETS, ConvModuleConfig, PreprocessConfig
    from exprocr.core.model.artifact import ModelFile
    from exprocr.core.model.torch_engine import export_weights, new_network
    from exprocr.core.text.charset import Charset
    from exprocr.synth.texts import LEVEL1

    default = PRESETS["default"].model

    def widen(module: ConvModuleConfig) -> ConvModuleConfig:
        return replace(module, channels=(channels,) * len(module.channels))

    config = replace(
        default,
        conv1=widen(default.conv1),
        conv2=widen(default.conv2),
        conv3=widen(default.conv3),
        fc1_units=channels,
        gru_units=channels // 2,
    )
    charset, preprocess = Charset(LEVEL1.characters), PreprocessConfig()
    weights = export_weights(new_network(config, preprocess, charset))
    ModelFile(model=config, preprocess=preprocess, charset=charset, weights=weights).save(path)


def write_picture(path: Path, size: tuple[int, int]) -> None:
    """Write a picture with an expression from its left edge to its right."""
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    text, font_size = "(7+5)-4*3+", round(size[1] * 0.6)
    length = draw.textlength(text, font_size=font_size)
    for repetition in range(int(size[0] / length) + 1):
        place = (repetition * length, size[1] * 0.15)
        draw.text(place, text, fill="navy", font_size=font_size)
    picture.save(path)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield what is drawn: its name, and the options that ask for it."""
    for name, kind in KINDS.items():
        if "image" not in kind.options or name == "samples":
            continue
        if name == "features":
            for layer in LAYERS:
                yield f"{name} {layer}", ["--kind", name, "--layer", layer]
            yield f"{name} all", ["--kind", name, "--layer", "all"]
            shared = ["--kind", name, "--layer", "conv1", "--scale", "shared"]
            yield f"{name} conv1 shared", shared
        elif "layer" in kind.options:
            for layer in CONV_LAYERS:
                yield f"{name} {layer}", ["--kind", name, "--layer", layer]
        else:
            yield name, ["--kind", name]


def run(command: list[str]) -> tuple[str, list[float]]:
    """Run a command; return how it ended, its seconds by the clock and the processor, its MB."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        last_line = process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    end = "" if process.returncode == 0 else f"exit code {process.returncode}: {last_line}"
    seconds = time.perf_counter() - started
    processor = usage.ru_utime + usage.ru_stime
    return end, [seconds, processor, usage.ru_maxrss * RSS_UNIT / 1e6]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="folder that keeps the pictures")
    args = parser.parse_args()
    table = Table("picture", "drawn", "seconds", "processor", "peak MB", "pixels")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        model = Path(temporary) / "wide.safetensors"
        # A process's peak counts that of the one it was started by: this one loads nothing.
        writer = get_context("spawn").Process(target=write_model, args=(model, args.channels))
        writer.start()
        writer.join()
        for width, height in SIZES:
            source = Path(temporary) / f"{width}x{height}.png"
            write_picture(source, (width, height))
            for name, options in commands():
                is_several = name.endswith(" all")
                target = folder / f"{source.stem} {name}{'' if is_several else '.png'}"
                line = [sys.executable, "-m", "exprocr", "visualize", str(source), *options]
                line += ["--model", str(model), "--device", "cpu", "--output", str(target)]
                end, figures = run([*line, "--threads", str(args.threads)])
                pixels = end
                if not end and not is_several:
                    with Image.open(target) as picture:
                        pixels = f"{picture.width} x {picture.height}"
                seconds, processor, megabytes = figures
                cells = f"{seconds:.1f}", f"{processor:.1f}", f"{megabytes:,.0f}", pixels
                table.add_row(f"{width} x {height}", name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
