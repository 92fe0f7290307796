"""Agreement with fast-ctc-decode, a decoder in Rust that knows no grammar."""

from __future__ import annotations

import fast_ctc_decode
import numpy as np
import pytest

from exprocr.core.decode.decoder import Decoder
from exprocr.core.decode.forward import text_log_probs
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import load_grammar
from tests.support.ctc_oracle import FloatArray, random_log_probs

CHARSET = Charset("0123+")
ALPHABET = "-" + CHARSET.characters  # the blank first, as ours
NUM_SAMPLES = 20


def our_texts(log_probs: FloatArray, method: str, beam_width: int = 10) -> list[str]:
    decoder = Decoder(load_grammar("none", CHARSET), method=method, beam_width=beam_width)
    return [reading.alternatives[0].text for reading in decoder(log_probs)]


def their_texts(log_probs: FloatArray, beam_width: int) -> list[str]:
    probs = np.exp(log_probs).astype(np.float32)
    return [
        fast_ctc_decode.beam_search(
            probs[:, n], ALPHABET, beam_size=beam_width, beam_cut_threshold=0.0
        )[0]
        for n in range(probs.shape[1])
    ]


@pytest.mark.parametrize(
    ("num_frames", "spread"),
    [
        *((1, 0.7), (5, 0.7), (5, 1.5), (8, 0.7), (12, 1.5)),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((12, 0.7), (24, 4.0))),
    ],
)
def test_wide_beams_find_the_same_texts(num_frames: int, spread: float) -> None:
    log_probs = random_log_probs(num_frames, num_frames, NUM_SAMPLES, len(ALPHABET), spread)
    texts = our_texts(log_probs, "beam", 1000)
    assert len(set(texts)) > min(num_frames, NUM_SAMPLES // 2)
    assert texts == their_texts(log_probs, 4000)


def test_narrow_beams_differ_only_where_ours_finds_a_more_probable_text() -> None:
    log_probs = random_log_probs(24, 24, NUM_SAMPLES, len(ALPHABET), 0.7)
    ours, theirs = (
        text_log_probs(log_probs, [CHARSET.encode(text) for text in texts])
        for texts in (our_texts(log_probs, "beam", 500), their_texts(log_probs, 500))
    )
    assert (ours >= theirs).all()
    assert (ours == theirs).sum() >= 5


@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_greedy_finds_the_same_texts(spread: float) -> None:
    log_probs = random_log_probs(1, 30, NUM_SAMPLES, len(ALPHABET), spread)
    probs = np.exp(log_probs).astype(np.float32)
    theirs = [fast_ctc_decode.viterbi_search(probs[:, n], ALPHABET)[0] for n in range(NUM_SAMPLES)]
    assert our_texts(log_probs, "greedy") == theirs
    assert len(set(theirs)) > 15
