"""What is rendered beside labeled images where the user leaves it to the program.

The texts are like the labels. The look is the one whose images are nearest to the labeled ones, as
a network sees them: rendered with the same labels, so that only the look differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exprocr.choices import LOOKS
from exprocr.core.config.schema import Preset, SynthConfig, parse_looks
from exprocr.core.data.dataset import Sample
from exprocr.core.data.image_reader import load_images
from exprocr.core.image.preprocess import preprocess
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import build_network, to_input
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import tightest
from exprocr.errors import FontError
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import SAMPLE_STREAM, Renderer
from exprocr.synth.texts import NAMED, ListedTexts

AUTO_MIX = 0.5
"""Share of rendered images in a batch."""

NUM_COMPARED = 96
"""Most images that are compared, and as many of each look: the differences between looks are far
larger than the chance of the draw."""

EXERCISES = ("captcha", "sums", "worksheet")

Features = NDArray[np.float64]


def mix_in(
    settings: Preset, samples: Sequence[Sample], model: ModelFile, *, looks_are_chosen: bool
) -> tuple[Preset, str]:
    """Choose the texts and the look of rendered images.

    Args:
        settings: The run's; texts that are named in them stay.
        samples: The training files.
        model: What sees the images: the model that the run starts from, or the bundled one.
        looks_are_chosen: Whether the look is chosen from those in the settings; else from all.

    Returns:
        Settings that mix them in, or nothing where that cannot be; and a remark that says which.

    Raises:
        DataError: An image cannot be read.
    """
    synth = settings.synth
    if not (synth.grammar or synth.texts or synth.texts_like):
        like = texts_like([sample.text for sample in samples])
        if not like:
            return _unmixed(settings), (
                "nothing is rendered: no texts that exprocr knows are like the labels; name them "
                "with --grammar, --texts or --texts-like"
            )
        synth = replace(synth, **like)
    known = list({kind.look: None for kind in parse_looks(synth.looks)})
    found = distances(samples, synth, model, known if looks_are_chosen else LOOKS)
    if not found:
        return _unmixed(settings), "nothing is rendered: no font has all characters of the labels"
    (nearest, nearest_by), *others = sorted(found.items(), key=lambda item: item[1])
    remark = f"{AUTO_MIX:.0%} rendered images, in the look {nearest}"
    if others:
        farther = ", ".join(f"{look} {distance:.2f}" for look, distance in others)
        remark += f", the nearest to the labeled ones ({nearest_by:.2f}; {farther})"
    texts = synth.grammar or synth.texts or synth.texts_like
    synth = replace(synth, looks=(nearest,))
    return replace(settings, synth=synth), f"{remark}; their texts: {texts}"


def _unmixed(settings: Preset) -> Preset:
    return replace(settings, training=replace(settings.training, synth_mix=0.0))


def texts_like(labels: Sequence[str]) -> dict[str, Any]:
    """Return settings of `SynthConfig` whose texts are like labels; empty if there are none."""
    charset = Charset("".join(sorted(set().union(*labels))))
    grammar = tightest(labels, charset)
    if grammar == "level1":
        return {"texts_like": grammar}
    if grammar in ("digits", "number"):
        return {"grammar": grammar, "max_length": max(map(len, labels))}
    if grammar == "none":
        return {}
    written = set(charset.characters)
    return {"texts_like": min(EXERCISES, key=lambda n: len(written ^ {*NAMED[n].characters}))}


def distances(
    samples: Sequence[Sample], synth: SynthConfig, model: ModelFile, looks: Sequence[str]
) -> dict[str, float]:
    """Return how far the images of looks are from labeled ones.

    Args:
        samples: The files.
        synth: Fonts, digits and size of the rendered images.
        model: What sees the images.
        looks: The looks; those that cannot be drawn here are left out.

    Returns:
        The distance by look, as `frechet` defines it.

    Raises:
        DataError: An image cannot be read.
    """
    some = samples[:: -(-len(samples) // NUM_COMPARED)]
    network = build_network(model, torch.device("cpu")).eval()
    texts = ListedTexts([sample.text for sample in some])
    folders = [Path(folder) for folder in synth.fonts]
    characters = texts.characters.replace(" ", "")  # it has no ink
    try:
        fonts = find_fonts(folders, characters, system=synth.system_fonts, partial=True).usable
    except FontError:
        return {}
    seen: dict[str, Features] = {}
    for look in looks:
        try:
            renderer = Renderer(fonts, replace(synth, looks=(look,)), texts)
        except FontError:  # of the look: for handwriting, or the favorite of the contest's
            continue
        images = (renderer.sample(0, SAMPLE_STREAM, i)[1] for i in range(len(some)))
        seen[look] = features(network, [preprocess(image, model.preprocess) for image in images])
    own = features(network, load_images(list(some), model.preprocess))
    return {look: frechet(own, other, seen) for look, other in seen.items()}


def features(network: Network, inks: Sequence[NDArray[np.uint8]]) -> Features:
    """Return the mean and the standard deviation of each channel of conv3: float64 (N, 2C)."""
    rows = []
    with torch.inference_mode():
        for ink in inks:
            maps = to_input(ink[None], torch.device("cpu"))
            for layer in (network.conv1, network.conv2, network.conv3):
                maps = layer(maps)
            channels = maps[0].flatten(1)
            rows.append(torch.cat([channels.mean(dim=1), channels.std(dim=1)]).double().numpy())
    return np.stack(rows)


def frechet(one: Features, other: Features, all_looks: Mapping[str, Features]) -> float:
    """Return the Fréchet distance of two sets of features, by the number of features.

    Each set is taken for a Gaussian whose features are independent (Dowson & Landau 1982, equation
    4, with diagonal covariances). Their unit is the feature's standard deviation over all looks.
    """
    unit = np.concatenate([one, *all_looks.values()]).std(axis=0)
    unit[unit == 0] = 1
    apart = (one.mean(axis=0) - other.mean(axis=0)) / unit
    wider = (one.std(axis=0) - other.std(axis=0)) / unit
    return float(np.sqrt((apart**2 + wider**2).mean()))
