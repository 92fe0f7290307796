"""What it costs to record a network's tensors while it is trained.

    python -m tests.benchmarks.measure_recording [--threads 1] [--seconds 20]

The default preset, on images rendered beforehand. Training steps and recordings take turns, so
that whatever else the machine does slows both.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from exprocr.core.config.schema import PRESETS
from exprocr.core.evaluation.measure import LabeledImages
from exprocr.core.image.preprocess import preprocess
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import parameter_values, set_threads
from exprocr.core.runs.tensor_record import TensorRecorder, read_tensor_record
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import Renderer
from exprocr.synth.texts import LEVEL1
from exprocr.training.batches import Batches
from exprocr.training.folder import RunFolder
from exprocr.training.learner import Learner
from exprocr.training.loop import Trainer
from exprocr.training.precision import pick_precision
from exprocr.training.run import RunSpec

EPOCH = 10_000
"""Images between two evaluations."""

NUM_IMAGES = 512


def make_trainer(run_dir: Path) -> Trainer:
    """Return a trainer of the default preset on rendered images in memory."""
    settings = PRESETS["default"]
    charset = Charset(LEVEL1.characters)
    renderer = Renderer(find_fonts([], LEVEL1.characters).usable)
    samples = [renderer.sample(0, 0, i) for i in range(NUM_IMAGES)]
    inks = [preprocess(image, settings.preprocess) for _, image in samples]
    texts = [text for text, _ in samples]
    network = Network(settings.model, settings.preprocess.height, charset.num_classes)
    device = torch.device("cpu")
    learner = Learner(
        network=network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        device=device,
        input_size=settings.preprocess,
        charset=charset,
        grammar=load_grammar("level1", charset),
    )
    spec = RunSpec(settings=settings, data="in memory", precision=pick_precision("auto", device))
    batches = Batches(inks, texts, [], None, settings.training, workers=0)
    validation = LabeledImages(inks[:1], texts[:1], [None])
    return Trainer(learner, spec, batches, validation, RunFolder(run_dir))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seconds", type=float, default=20, help="how long to train")
    args = parser.parse_args()
    threads = set_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(Path(folder))
        recorder = TensorRecorder(Path(folder) / "measured.bin")
        batches = list(trainer.batches.between(0, trainer.batches.steps_per_epoch))
        rates: list[float] = []
        recordings: list[float] = []
        sizes: list[int] = []
        trainer.stepper.take(0, batches[0]).result()
        until = time.perf_counter() + args.seconds
        while len(recordings) < 2 or time.perf_counter() < until:
            batch = batches[len(recordings) % len(batches)]
            started = time.perf_counter()
            trainer.stepper.take(len(recordings), batch).result()
            stepped = time.perf_counter()
            recorder.add(len(recordings), parameter_values(trainer.network))
            recorder.flush()
            recordings.append(time.perf_counter() - stepped)
            sizes.append(recorder.path.stat().st_size)
            rates.append(len(batch.texts) / (stepped - started))
        record = read_tensor_record(recorder.path)
    cost, rate = statistics.median(recordings), statistics.median(rates)
    size = sizes[-1] - sizes[-2]
    thousand = sizes[0] + 999 * size
    num_values = sum(values.size for values in parameter_values(trainer.network).values())
    print(f"default preset: {len(record.names)} tensors, {num_values:,} values")
    print(f"{threads} threads, medians of {len(recordings)} training steps and recordings in turns")
    print(f"a recording: {1000 * cost:.1f} ms (longest {1000 * max(recordings):.1f} ms)")
    print(f"size: {size:,} bytes per evaluation, {thousand / 1e6:.2f} MB for 1,000")
    print(f"training: {rate:,.0f} images/s")
    print(f"share of an epoch of {EPOCH:,} images: {cost / (EPOCH / rate):.4%}")


if __name__ == "__main__":
    main()
