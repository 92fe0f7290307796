"""The contest's look is what it was before there were others: the same seed, the same images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import PIL
import pytest
from PIL import Image

from exprocr.core.config.schema import SynthConfig
from exprocr.synth.fonts import FontFile
from exprocr.synth.renderer import Renderer

NUM_IMAGES = 60


@dataclass(frozen=True, order=True)
class Blocks(FontFile):
    """A font whose glyphs are blocks by the bits of a character: the same wherever it is drawn."""

    def draw(self, character: str, size_px: int) -> tuple[Image.Image, tuple[int, int]]:
        bits = [[1, *(ord(character) >> (3 * row + i) & 1 for i in range(2)), 1] for row in (1, 0)]
        ink = Image.fromarray((np.array(bits) * 255).astype(np.uint8))
        size = (max(2, size_px * (1 + len(self.style)) // 9), max(2, size_px // 2))
        return ink.resize(size, Image.Resampling.NEAREST), (size[0] + 2, size[1] + 6)


FONTS: list[FontFile] = [
    Blocks("A", "one", "a"),
    Blocks("A", "three", "b"),
    Blocks("B", "two", "c"),
]


@pytest.mark.skipif(
    not PIL.__version__.startswith("13."), reason="other versions of Pillow draw other pixels"
)
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SynthConfig(), "c59cd62177c33c71c7cf8d7beddcf8e9d617192ec6a7ffab21d854f69c560a7d"),
        (
            SynthConfig(width=200, height=90, package_share=0.5, degraded_share=0.3),
            "63a29ca183f0d470046933c4a55ff276152f2a9b4f914862677b713bb46231df",
        ),
    ],
)
def test_images_are_those_of_the_first_renderer(config: SynthConfig, expected: str) -> None:
    renderer = Renderer(FONTS, config)
    digest = hashlib.sha256()
    for index in range(NUM_IMAGES):
        text, image = renderer.sample(7, 1, index)
        digest.update(text.encode() + image.tobytes())
    assert digest.hexdigest() == expected
