"""Take the best of a run's networks, calibrate it, and write it as a model file.

    python docs/weights/choose_network.py RUN MODEL [-n 10000] [--last] [--average MODEL]...

Run it from the checkout's root. A run keeps the network that was best on its validation
images; where several are nearly equal on 2,000 images, chance decides. The network of the last
step, which the checkpoint holds, was trained with the lowest learning rates. All candidates read
the same fresh images, and the temperature is fitted on these. They are drawn in the run's fonts,
but as hard as the renderer draws by default: a run's images may be easier, and the confidence must
not be theirs.

``--last`` leaves out the network that was kept. A run that was stopped while its learning rate was
high reads worse than the network it began with, which it kept; but it has learned more.
``--average`` adds a candidate: the mean of the last network's weights and those of other models,
from which training went on (Wortsman et al. 2022, "Model soups").
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from exprocr.core.config.schema import Preset, SynthConfig
from exprocr.core.decode.decoder import Decoder
from exprocr.core.evaluation.calibration import Calibration, calibrate
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.geometry import cell_axis
from exprocr.core.model.torch_engine import TorchEngine, build_network
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.grammar.grammars import load_grammar, tightest
from exprocr.synth.renderer import FILES_STREAM, load_renderer
from exprocr.synth.texts import LEVEL1
from exprocr.training.batches import RenderedBatches
from exprocr.training.run import read_checkpoint

BATCH_SIZE = 64


def fresh_images(settings: Preset) -> RenderedBatches:
    """Return images in a run's fonts that it was not trained on, drawn with the default look."""
    trained_on = settings.synth
    renderer, _ = load_renderer(
        SynthConfig(fonts=trained_on.fonts, system_fonts=trained_on.system_fonts)
    )
    return RenderedBatches(
        renderer,
        settings.preprocess,
        seed=settings.training.seed,
        stream=FILES_STREAM,
        size=BATCH_SIZE,
    )


def fit(model: ModelFile, images: RenderedBatches, num_batches: int) -> Calibration:
    """Read rendered images with a model, and calibrate it on them."""
    device = torch.device("cpu")
    decoder = Decoder(load_grammar(model.grammar, model.charset))
    engine = TorchEngine(build_network(model, device), device)
    recognizer = Recognizer(engine, model.preprocess, decoder, cell_axis(model.model))
    log_probs, texts = [], []
    for index in range(num_batches):
        drawn = images[range(index * BATCH_SIZE, (index + 1) * BATCH_SIZE)]
        for numbers, part in recognizer.log_probs(drawn.inks):
            log_probs.append(part)
            texts += [drawn.texts[i] for i in numbers]
    return calibrate(log_probs, texts, decoder)


def mean(models: Sequence[ModelFile]) -> ModelFile:
    """Return the first model with the mean of the weights of all.

    Raises:
        ValueError: Another has another network, preprocessing or charset.
    """
    first, *others = models
    for model in others:
        for field in ("model", "preprocess", "charset"):
            if getattr(model, field) != getattr(first, field):
                raise ValueError(f"{model.name}: expected the {field} of {first.name}")
    weights = {}
    for name, values in first.weights.items():
        average = np.mean([model.weights[name] for model in models], axis=0, dtype=np.float64)
        weights[name] = np.asarray(average, dtype=values.dtype)  # a count has no axes
    return replace(first, weights=weights)


def main() -> None:
    """Write the best network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("-n", type=int, default=10_000, help="rendered images")
    parser.add_argument("--last", action="store_true", help="not the network the run kept")
    parser.add_argument("--average", action="append", default=[], help="another model's weights")
    args = parser.parse_args()
    kept = ModelFile.load(args.run)
    kept = replace(kept, grammar=tightest((), kept.charset, LEVEL1.is_within))
    spec, checkpoint = read_checkpoint(args.run)
    state = checkpoint.state
    last = replace(kept, weights=checkpoint.part("network"), training={"step": state.step})
    images = fresh_images(spec.settings)
    candidates = {"last": last} if args.last else {"kept": kept, "last": last}
    if args.average:
        candidates["mean"] = mean([last, *map(ModelFile.load, args.average)])
    best: tuple[int, ModelFile] | None = None
    for name, model in candidates.items():
        calibration = fit(model, images, -(-args.n // BATCH_SIZE))
        reliability = calibration.reliability
        right = sum(reliability.correct)
        print(
            f"{name}, step {model.training['step']:,}: {right:,} of {len(reliability.correct):,} "
            f"right, temperature {calibration.temperature:.4f}, ECE {reliability.ece():.4f}"
        )
        if best is None or right > best[0]:
            summary = {
                "step": model.training["step"],
                "batch_size": spec.settings.training.batch_size,
                "seed": spec.settings.training.seed,
                "val_images": len(reliability.correct),
                "val_exact_match": right / len(reliability.correct),
                "val_ece": reliability.ece(),
            }
            if name == "mean":
                summary["averaged_with"] = args.average
            best = right, replace(model, temperature=calibration.temperature, training=summary)
    assert best is not None
    best[1].save(args.model)


if __name__ == "__main__":
    main()
