"""What saliency maps are checked by: hiding pixels, and randomizing weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exprocr.core.image.preprocess import preprocess
from exprocr.core.model.geometry import LAYERS
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import TorchEngine, to_input
from exprocr.core.reading.recognizer import Recognizer
from exprocr.synth import fonts
from exprocr.synth.renderer import Renderer
from exprocr.synth.texts import LEVEL1
from exprocr.viz.canvas.geometry import Geometry, geometry_of
from exprocr.viz.saliency.attribution import Target, Text, grad_cam, integrated_gradients, score
from exprocr.viz.saliency.maps import INK, spread

CPU = torch.device("cpu")
Maps = NDArray[np.floating[Any]]
Order = Sequence[NDArray[np.intp]]

HIDDEN_SHARE = 0.05
"""Of a picture's ink, the sum of its pixels. A map is coarse and names background too: an equal
number of pixels would be less ink than random ink pixels are."""

INK_MAP, CHANCE = "the ink itself", "random ink pixels"
INTEGRATED = "integrated gradients"
BATCH = 64
SEED = 123


@dataclass(frozen=True, eq=False)
class Pictures:
    """Rendered pictures of one size, and what the model in the package reads in them."""

    recognizer: Recognizer
    inks: NDArray[np.uint8]
    """(N, H, W)."""

    targets: Sequence[Target]

    @property
    def network(self) -> Network:
        engine = self.recognizer.engine
        assert isinstance(engine, TorchEngine)
        return engine.network

    def geometry(self, layer: str) -> Geometry:
        size = self.inks.shape[2], self.inks.shape[1]
        return geometry_of(layer, size, self.network.config, self.recognizer.preprocess)

    def first(self, num: int) -> Pictures:
        return Pictures(self.recognizer, self.inks[:num], self.targets[:num])

    def scores_of(self, inks: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the log-probabilities of the texts in other pictures (N, H, W), (N,) nats."""
        network = self.network.eval()
        parts = []
        for start in range(0, len(inks), BATCH):
            batch = slice(start, start + BATCH)
            with torch.no_grad():
                log_probs = network(to_input(inks[batch], CPU))
            parts.append(score(log_probs, self.targets[batch]).double().numpy())
        return np.concatenate(parts)

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """The log-probabilities of the texts in the pictures as they are, (N,) nats."""
        return self.scores_of(self.inks)


def read_pictures(num: int, seed: int = SEED) -> Pictures:
    """Render pictures in the fonts that come with matplotlib, and read them."""
    recognizer = Recognizer.load(engine="torch", device="cpu")
    folder = next(f for f in fonts.system_font_folders() if "mpl-data" in f.parts)
    renderer = Renderer(fonts.find_fonts([folder], LEVEL1.characters, system=False).usable)
    images = [renderer.sample(seed, 0, index)[1] for index in range(num)]
    inks = [preprocess(image, recognizer.preprocess) for image in images]
    encode = recognizer.charset.encode
    targets = [Text(tuple(encode(reading.text))) for reading in recognizer.read(inks)]
    return Pictures(recognizer, np.stack(inks), targets)


def cams_of(pictures: Pictures, layer: str, network: Network | None = None) -> dict[str, Maps]:
    """Return both kinds of Grad-CAM of a layer, by name, (N, H, W)."""
    network = network or pictures.network
    found = grad_cam(network, pictures.inks, pictures.targets, layer, CPU)
    geometry = pictures.geometry(layer)
    return {
        f"Grad-CAM of {layer}": np.stack([spread(one, geometry) for one in found.maps]),
        f"Grad-CAM of {layer}, by column": np.stack(
            [spread(one, geometry) for one in found.maps_by_column]
        ),
    }


def integrated_of(
    pictures: Pictures, tolerance: float, network: Network | None = None
) -> dict[str, Maps]:
    """Return the integrated gradients, by name, (N, H, W)."""
    network = network or pictures.network
    found = integrated_gradients(network, pictures.inks, pictures.targets, CPU, tolerance=tolerance)
    return {INTEGRATED: found.maps}


def drops_of(pictures: Pictures, order: Order) -> NDArray[np.float64]:
    """Return how far each text's log-probability falls when the first pixels are hidden.

    Hidden is what is set to background: the first pixels of ``order`` that hold `HIDDEN_SHARE` of
    the picture's ink.
    """
    hidden = pictures.inks.copy()
    for picture, pixels in zip(hidden, order, strict=True):
        ink = picture.ravel()[pixels].cumsum(dtype=np.int64)
        picture.ravel()[pixels[ink <= HIDDEN_SHARE * picture.sum(dtype=np.int64)]] = 0
    return pictures.scores - pictures.scores_of(hidden)


def by_map(maps: Maps, rng: np.random.Generator) -> Order:
    """Return all pixels of each picture, the greatest values first, ties at random."""
    return [np.lexsort((rng.random(one.size), -one.ravel())) for one in maps]


def by_chance(inks: NDArray[np.uint8], rng: np.random.Generator) -> Order:
    """Return the pixels of each picture that hold ink, in random order."""
    return [rng.permutation(np.flatnonzero(ink >= INK)) for ink in inks]


def chance_drops(pictures: Pictures, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how far the log-probabilities fall by chance: four draws, (4, N)."""
    return np.stack([drops_of(pictures, by_chance(pictures.inks, rng)) for _ in range(4)])


def lead(drops: NDArray[np.float64], chance: NDArray[np.float64]) -> float:
    """Return the mean lead over chance (4, N), in standard errors of the pictures' differences."""
    each = drops - chance.mean(axis=0)
    return float(each.mean() / max(each.std(ddof=1) / np.sqrt(len(each)), 1e-12))


def passes(drops: NDArray[np.float64], chance: NDArray[np.float64]) -> bool:
    """Return whether hiding by a map costs 1.5 times what chance costs, and not by accident."""
    return bool(drops.mean() > 1.5 * chance.mean() and lead(drops, chance) > 3)


def spearman(one: Maps, other: Maps) -> float:
    """Return the rank correlation of two maps, ties sharing ranks; 0 where one is flat."""
    ranks = []
    for values in (one, other):
        _, inverse, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[inverse])
    if any(rank.std() == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def correlation(pictures: Pictures, one: Maps, other: Maps, *, on_ink: bool) -> float:
    """Return the mean rank correlation of maps, over all pixels or over those with any ink."""
    where = pictures.inks > 0 if on_ink else np.ones_like(pictures.inks, dtype=bool)
    return float(np.mean([spearman(a[w], b[w]) for a, b, w in zip(one, other, where, strict=True)]))


def randomized(pictures: Pictures, down_to: str, seed: int = 0) -> Network:
    """Return a copy of the network, random from its top down to a layer, this one included."""
    network = pictures.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = Network(network.config, pictures.inks.shape[1], network.fc2.out_features)
    changed = copy.deepcopy(network)
    for layer in LAYERS[LAYERS.index(down_to) :]:
        getattr(changed, layer).load_state_dict(getattr(fresh, layer).state_dict())
    return changed
