"""Text probabilities and alignments against brute force, and both against PyTorch's loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from exprocr.core.decode.forward import align, text_log_probs
from tests.support.ctc_oracle import (
    SMALL_SHAPES,
    Text,
    brute_force,
    collapse,
    from_probs,
    random_log_probs,
)


@pytest.mark.parametrize(("num_frames", "num_classes"), SMALL_SHAPES)
@pytest.mark.parametrize("spread", [1.5, 300.0])
def test_text_log_probs_equal_brute_force_for_every_text(
    num_frames: int, num_classes: int, spread: float
) -> None:
    log_probs = random_log_probs(num_frames, num_frames, 1, num_classes, spread)
    expected = brute_force(log_probs[:, 0])
    texts = list(expected)
    found = text_log_probs(np.repeat(log_probs, len(texts), axis=1), texts)
    np.testing.assert_allclose(
        found, [expected[text].log_prob for text in texts], rtol=1e-12, atol=1e-9
    )
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("num_frames", "num_classes"), SMALL_SHAPES)
def test_align_finds_the_best_alignment_of_every_text(num_frames: int, num_classes: int) -> None:
    log_probs = random_log_probs(7 * num_frames, num_frames, 1, num_classes)
    expected = brute_force(log_probs[:, 0])
    texts = list(expected)
    found = align(np.repeat(log_probs, len(texts), axis=1), texts)
    assert found.shape == (num_frames, len(texts))
    for text, path in zip(texts, found.T.tolist(), strict=True):
        best, *others = sorted(expected[text].paths, reverse=True)
        assert not others or others[0][0] < best[0] - 1e-9, "the best must be unique"
        assert tuple(path) == best[1]


def test_align_gives_a_valid_alignment_where_all_are_impossible() -> None:
    log_probs = from_probs([[0.5, 0.5, 0.0]] * 5)
    texts: list[Text] = [(2,), (1, 2, 2), (2, 2, 2), (1, 1)]
    found = align(np.repeat(log_probs, len(texts), axis=1), texts)
    assert [collapse(tuple(path))[0] for path in found.T.tolist()] == texts


@pytest.mark.parametrize("seed", range(4))
def test_text_log_probs_equal_torch_ctc_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_probs = random_log_probs(seed, 45, 20, 4)  # few classes: many repeated characters
    texts = [tuple(rng.integers(1, 4, size=rng.integers(0, 16)).tolist()) for _ in range(20)]
    loss = torch.nn.functional.ctc_loss(
        torch.from_numpy(log_probs),
        torch.tensor([label for text in texts for label in text], dtype=torch.long),
        input_lengths=torch.full((20,), 45),
        target_lengths=torch.tensor([len(text) for text in texts]),
        reduction="none",
        zero_infinity=False,
    )
    np.testing.assert_allclose(text_log_probs(log_probs, texts), -loss.numpy(), atol=1e-9)


@pytest.mark.parametrize("text", [(), (1,), (2, 1), (1, 1), (1, 2, 1), (3, 3, 2)])
def test_torch_ctc_loss_equals_the_sum_over_all_alignments(text: Text) -> None:
    log_probs = random_log_probs(11, 5, 1, 4)
    loss = torch.nn.functional.ctc_loss(
        torch.from_numpy(log_probs),
        torch.tensor([text], dtype=torch.long),
        input_lengths=torch.tensor([5]),
        target_lengths=torch.tensor([len(text)]),
        reduction="none",
    )
    assert float(loss) == pytest.approx(-brute_force(log_probs[:, 0])[text].log_prob, abs=1e-9)


def test_probabilities_far_below_the_smallest_float_are_kept() -> None:
    log_probs = np.full((3, 1, 2), -2000.0)
    log_probs[:, :, 0] = 0.0
    # One frame of three holds the character, two in a row, or all three.
    assert text_log_probs(log_probs, [(1,)])[0] == pytest.approx(math.log(3) - 2000.0, abs=1e-9)


@pytest.mark.parametrize("shift", [40.0, 64.0, 70.0, 74.0, 74.5, 80.0])
def test_scores_are_as_exact_where_floats_have_few_digits(shift: float) -> None:
    log_probs = random_log_probs(6, 10, 8, 4)
    texts: list[Text] = [(), (1,), (1, 1), (1, 2), (3, 2, 1), (2, 2, 2), (1, 2, 1, 2), (3, 3, 1)]
    expected = text_log_probs(log_probs, texts) - 10 * shift
    np.testing.assert_allclose(text_log_probs(log_probs - shift, texts), expected, atol=1e-10)


def test_texts_that_do_not_fit() -> None:
    log_probs = random_log_probs(1, 3, 4, 3)
    found = text_log_probs(log_probs, [(1, 2, 1), (1, 2, 1, 2), (1, 1), (1, 1, 2)])
    assert np.isfinite(found).tolist() == [True, False, True, False]
    assert (found[[1, 3]] == -math.inf).all()
    with pytest.raises(ValueError, match=r"texts\[1\]: needs at least 4 frames, found 3"):
        align(log_probs, [(1, 2, 1), (1, 1, 2), (1,), ()])


def test_repeated_characters_need_a_blank_between_them() -> None:
    sure = from_probs([[0.0, 1.0]] * 4)
    assert text_log_probs(sure, [(1, 1)])[0] == -math.inf
    assert text_log_probs(sure, [(1,)])[0] == 0.0


def test_an_empty_batch() -> None:
    empty = np.zeros((5, 0, 3))
    assert text_log_probs(empty, []).shape == (0,)
    assert align(empty, []).shape == (5, 0)


def test_float32_frames_give_float64_scores_of_at_most_zero() -> None:
    log_probs = np.full((40, 1, 2), np.float32(1e-7), dtype=np.float32)
    log_probs[:, :, 1] = -30.0
    found = text_log_probs(log_probs, [()])
    assert found.dtype == np.float64
    assert found.tolist() == [0.0]


def test_invalid_texts() -> None:
    log_probs = random_log_probs(0, 4, 2, 3)
    for function in (text_log_probs, align):
        with pytest.raises(ValueError, match="texts: expected 2, one per sample, found 1"):
            function(log_probs, [(1,)])
        for label in (0, 3, -1):
            with pytest.raises(ValueError, match=rf"texts\[1\]: .* found {label}"):
                function(log_probs, [(1,), (1, label)])
