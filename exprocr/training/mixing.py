"""What is rendered beside labeled images where the user leaves it to the program.

The texts are like the labels. The look is the one whose images are nearest to the labeled ones, as
a network sees them: rendered with the same labels, so that only the look differs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from exprocr.core.text.grammar.grammars import REGEX, tightest
from exprocr.errors import ConfigError, FontError
from exprocr.synth.renderer import (
    SAMPLE_STREAM,
    Renderer,
    fonts_for,
    load_renderer,
    sample_rng,
)
from exprocr.synth.texts import NAMED, UNKNOWN, ListedTexts, load_texts
from exprocr.training.run import RunData
from exprocr.training.setup import check_rendered_width
from exprocr.words import quoted

AUTO_MIX = 0.5
"""Share of rendered images in a batch."""

NUM_COMPARED = 96
"""Most images that are compared, and as many of each look: the differences between looks are far
larger than the chance of the draw."""

EXERCISES = ("captcha", "sums", "worksheet")
"""Distributions of texts for labels that no simpler grammar accepts."""

ANSWER = re.compile("[=<>][0-9.(-]")
"""What only lines of worksheets have: something after the sign of a relation."""

Features = NDArray[np.float64]


def mix_in(
    settings: Preset, data: RunData, model: ModelFile, *, knows_all: bool
) -> tuple[Preset, str]:
    """Choose the texts and the look of rendered images.

    Args:
        settings: The run's. Texts that they name stay; of looks, if they name others than the
            default's, the nearest is taken.
        data: The run's files.
        model: What sees the images: the model that the run starts from, or the bundled one.
        knows_all: Whether the run may train on characters that the model does not know.

    Returns:
        Settings that mix them in, or nothing where that cannot be; and a remark that says which.

    Raises:
        ConfigError: The named texts cannot be used, or the labels have too many characters.
        FontError: The named fonts or looks cannot be used.
        DataError: An image or the handwritten digits cannot be read.
    """
    synth, any_look = settings.synth, SynthConfig().looks
    if not (synth.grammar or synth.texts or synth.texts_like):
        synth = replace(synth, looks=any_look, **texts_like(data.texts, synth.max_length))
        if not (synth.grammar or synth.texts_like):
            return _unmixed(settings), (
                "nothing is rendered: no texts that exprocr knows are like the labels; name them "
                "with --grammar, --texts or --texts-like"
            )
    new = "".join(sorted({*load_texts(synth).characters}.difference(model.charset.characters)))
    texts = synth.grammar or synth.texts or synth.texts_like
    if new and not knows_all:
        return _unmixed(settings), (
            f"nothing is rendered: the texts {texts} have {quoted(new)}, which the model does not "
            "know"
        )
    samples = [sample for sample in data.train if sample.text.strip(UNKNOWN)]
    if settings.synth.looks == any_look:
        found = distances(samples, synth, model, LOOKS, skip=True)
    else:
        named = list({kind.look: None for kind in parse_looks(settings.synth.looks)})
        found = distances(samples, synth, model, named)
    if not found:
        return _unmixed(settings), "nothing is rendered: no font has all characters of the labels"
    (nearest, nearest_by), *others = sorted(found.items(), key=lambda item: item[1])
    remark = f"{AUTO_MIX:.0%} rendered images, in the look {nearest}"
    if others:
        farther = ", ".join(f"{look} {distance:.2f}" for look, distance in others)
        remark += f", the nearest to the labeled ones ({nearest_by:.2f}; {farther})"
    settings = replace(settings, synth=replace(synth, looks=(nearest,)))
    try:
        check_rendered_width(settings, load_renderer(settings.synth)[0])
    except ConfigError as error:  # a network for images of one width
        return _unmixed(settings), f"nothing is rendered: {error}"
    return settings, f"{remark}; their texts: {texts}"


def _unmixed(settings: Preset) -> Preset:
    return replace(settings, training=replace(settings.training, synth_mix=0.0))


def texts_like(labels: Sequence[str], max_length: int) -> dict[str, Any]:
    """Return settings of `SynthConfig` whose texts are like labels; empty if there are none.

    Args:
        labels: The labels; those of unknown characters alone do not count.
        max_length: Most characters of a number.

    Raises:
        ConfigError: They have too many characters.
    """
    known = [label for label in labels if label.strip(UNKNOWN)]
    try:
        charset = Charset.from_texts(known)
    except ValueError as error:
        raise ConfigError(f"labels: {error}") from None
    grammar = tightest(known, charset)
    if grammar == "level1":
        return {"texts_like": grammar}
    if grammar.startswith(REGEX):  # of the labels' lengths alone
        return {"grammar": grammar, "max_length": max(map(len, known))}
    if grammar in ("digits", "number"):
        return {"grammar": grammar, "max_length": min(max(map(len, known)), max_length)}
    if grammar == "none":
        return {}
    if any(map(ANSWER.search, known)):
        return {"texts_like": "worksheet"}
    written = set(charset.characters)

    def unlike(name: str) -> tuple[int, int]:
        drawn = {*NAMED[name].characters}
        return len(written - drawn), len(drawn - written)

    return {"texts_like": min(EXERCISES, key=unlike)}


def distances(
    samples: Sequence[Sample],
    synth: SynthConfig,
    model: ModelFile,
    looks: Sequence[str],
    *,
    skip: bool = False,
) -> dict[str, float]:
    """Return how far the images of looks are from labeled ones with the same texts.

    Args:
        samples: The files.
        synth: Fonts, digits and size of the rendered images.
        model: What sees the images.
        looks: The looks.
        skip: Whether looks that find no font are left out; named fonts must be usable even then.

    Returns:
        The distance by look, as `frechet` defines it.

    Raises:
        FontError: No font is usable.
        DataError: An image or the handwritten digits cannot be read.
    """
    some = samples[:: max(1, -(-len(samples) // NUM_COMPARED))]
    texts = ListedTexts([sample.text for sample in some])
    network = build_network(model, torch.device("cpu")).eval()
    synths = {look: replace(synth, looks=(look,)) for look in looks}
    try:
        fonts = fonts_for(synths[looks[0]], texts).usable
    except FontError:
        if synth.fonts or not skip:
            raise
        return {}
    seen: dict[str, Features] = {}
    for look in looks:
        try:
            renderer = Renderer(fonts, synths[look], texts)
        except FontError:  # for handwriting, or the favorite of the contest's look
            if not skip:
                raise
            continue
        images = (
            renderer.render(sample.text, sample_rng(0, SAMPLE_STREAM, number))
            for number, sample in enumerate(some)
        )
        seen[look] = features(network, [preprocess(image, model.preprocess) for image in images])
    own = features(network, load_images(some, model.preprocess))
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
    """Return the Fréchet distance of two sets of features, as a root mean square over features.

    Each set is taken for a Gaussian whose features are independent (Dowson & Landau 1982, equation
    4, with diagonal covariances). A feature's unit is its standard deviation over the first set and
    all looks.
    """
    unit = np.concatenate([one, *all_looks.values()]).std(axis=0)
    unit[unit == 0] = 1
    apart = (one.mean(axis=0) - other.mean(axis=0)) / unit
    wider = (one.std(axis=0) - other.std(axis=0)) / unit
    return float(np.sqrt((apart**2 + wider**2).mean()))
