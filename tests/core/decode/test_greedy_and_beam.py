"""Greedy decoding and beam search, against brute force and against a plain prefix search."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exprocr.choices import DECODERS
from exprocr.core.decode.decoder import Decoder
from exprocr.core.decode.exact import Found
from exprocr.core.decode.forward import align, check_log_probs, text_log_probs
from exprocr.core.decode.hypothesis import Hypothesis
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.search import find_texts
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import Automaton
from exprocr.core.text.grammar.grammars import load_grammar
from tests.support.ctc_oracle import (
    GRAMMARS,
    SMALL_SHAPES,
    FloatArray,
    Text,
    automaton_of,
    brute_force,
    collapse,
    from_probs,
    random_log_probs,
    ranked_texts,
)

ANY_TEXT = [automaton_of("none", "123"[:length]) for length in range(1, 4)]


def find(
    log_probs: FloatArray,
    method: str,
    automaton: Automaton | None = None,
    *,
    beam_width: int = 10,
    num_best: int = 1,
) -> list[list[Hypothesis]]:
    """The texts of log-probabilities (T, N, C); any text, without an automaton."""
    found = find_all(log_probs, method, automaton, beam_width=beam_width, num_best=num_best)
    return [sample.hypotheses for sample in found]


def find_all(
    log_probs: FloatArray,
    method: str,
    automaton: Automaton | None = None,
    *,
    beam_width: int = 10,
    num_best: int = 1,
) -> list[Found]:
    lattice = Lattice(automaton or ANY_TEXT[log_probs.shape[2] - 2])
    emissions = check_log_probs(log_probs)
    return find_texts(emissions, lattice, method, beam_width=beam_width, num_best=num_best)


@pytest.mark.parametrize("method", ["beam", "exact", "auto"])
@pytest.mark.parametrize("num_best", [1, 3, 40])
@pytest.mark.parametrize(("name", "characters", "num_frames"), GRAMMARS)
def test_the_most_probable_accepted_texts_are_found(
    name: str, characters: str, num_frames: int, num_best: int, method: str
) -> None:
    automaton = automaton_of(name, characters)
    log_probs = random_log_probs(num_best, num_frames, 3, automaton.num_classes, 0.8)
    decoded = find(log_probs, method, automaton, beam_width=700, num_best=num_best)
    for sample, found in enumerate(decoded):
        expected = ranked_texts(log_probs[:, sample], automaton)[:num_best]
        assert [hypothesis.ids for hypothesis in found] == [text for text, _ in expected]
        scores = [score for _, score in expected]
        assert [hypothesis.log_prob for hypothesis in found] == pytest.approx(scores, abs=1e-9)


@pytest.mark.parametrize(("num_frames", "num_classes"), SMALL_SHAPES)
@pytest.mark.parametrize("seed", range(5))
def test_wide_beam_finds_the_most_probable_text(
    num_frames: int, num_classes: int, seed: int
) -> None:
    log_probs = random_log_probs(seed, num_frames, 3, num_classes, spread=0.7)
    for sample, (found,) in enumerate(find(log_probs, "beam", beam_width=400)):
        expected = brute_force(log_probs[:, sample])
        text = max(expected, key=lambda text: expected[text].log_prob)
        assert found.ids == text
        assert found.log_prob == pytest.approx(expected[text].log_prob, abs=1e-9)


@pytest.mark.parametrize("beam_width", [1, 2, 3, 10])
def test_decoders_score_exactly_whatever_the_beam_kept(beam_width: int) -> None:
    automaton = automaton_of("regex:[12]{2}3?", "123")
    log_probs = random_log_probs(beam_width, 5, 4, 4)
    for grammar in (None, automaton):
        for method in DECODERS:
            decoded = find(log_probs, method, grammar, beam_width=beam_width)
            for sample, (found,) in enumerate(decoded):
                expected = brute_force(log_probs[:, sample])[found.ids].log_prob
                assert found.log_prob == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_greedy_collapses_the_best_path(seed: int) -> None:
    log_probs = random_log_probs(seed, 30, 8, 4)
    best = log_probs.argmax(axis=2).T.tolist()
    texts = [collapse(tuple(path))[0] for path in best]
    assert [found.ids for (found,) in find(log_probs, "greedy")] == texts


@pytest.mark.parametrize(("name", "characters", "num_frames"), GRAMMARS)
def test_greedy_finds_the_text_of_the_best_accepted_path(
    name: str, characters: str, num_frames: int
) -> None:
    automaton = automaton_of(name, characters)
    log_probs = random_log_probs(9, num_frames, 6, automaton.num_classes, 1.0)
    for sample, (found,) in enumerate(find(log_probs, "greedy", automaton)):
        texts = brute_force(log_probs[:, sample])
        accepted = [text for text in texts if automaton.accepts(text)]
        best = max(accepted, key=lambda text: max(texts[text].paths))
        assert found.ids == best
        assert found.log_prob == pytest.approx(texts[best].log_prob, abs=1e-9)


@pytest.mark.parametrize("method", DECODERS)
@pytest.mark.parametrize("name", ["none", "regex:(1|2|3)1+[^1]*", "regex:[123]{3}"])
def test_a_batch_gives_the_same_as_its_samples_alone(name: str, method: str) -> None:
    automaton = automaton_of(name, "123")
    log_probs = random_log_probs(3, 16, 12, 4)
    log_probs[:, ::3, 0] += 3.0  # shorter texts among longer ones
    log_probs[:, 1::3] *= 3.0  # sure ones
    log_probs -= np.log(np.exp(log_probs).sum(axis=2, keepdims=True))
    num_best = 1 if method == "greedy" else 3
    batch = find_all(log_probs, method, automaton, num_best=num_best)
    assert len({found.hypotheses[0].ids for found in batch}) > 4
    for sample, found in enumerate(batch):
        single = log_probs[:, [sample]]
        (alone,) = find_all(single, method, automaton, num_best=num_best)
        assert found.is_proven == alone.is_proven
        assert [h.ids for h in found.hypotheses] == [h.ids for h in alone.hypotheses]
        scores = [h.log_prob for h in alone.hypotheses]
        assert [h.log_prob for h in found.hypotheses] == pytest.approx(scores, abs=1e-9)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("num_sparse", [0, 6, 14])
@pytest.mark.parametrize("name", ["none", "regex:([12]3?){1,5}", "regex:(1|22)*", "regex:[123]{8}"])
def test_beam_search_equals_a_plain_prefix_search(name: str, width: int, num_sparse: int) -> None:
    lattice = Lattice(automaton_of(name, "123"))
    log_probs = random_log_probs(5, 14, 40, 4, spread=0.6)
    # With few possible characters there are fewer prefixes than the beam holds.
    log_probs[:num_sparse, :, 3:] = -np.inf
    best_path = find(log_probs, "greedy", lattice.automaton)
    decoded = find(log_probs, "beam", lattice.automaton, beam_width=width)
    for sample, (found,) in enumerate(decoded):
        prefixes = plain_prefix_search(log_probs[:, sample], lattice, width)
        texts = [best_path[sample][0].ids, *prefixes]
        scores = text_log_probs(np.repeat(log_probs[:, [sample]], len(texts), axis=1), texts)
        assert found.ids == texts[int(scores.argmax())]
        assert found.log_prob == pytest.approx(scores.max(), abs=1e-9)


def plain_prefix_search(log_probs: FloatArray, lattice: Lattice, width: int) -> list[Text]:
    """Hannun's algorithm with dictionaries and plain probabilities, of one sample (T, C).

    Only prefixes that can be completed in the frames that are left are kept.
    """
    states: dict[Text, int] = {(): 0}
    beam: dict[Text, tuple[float, float]] = {(): (1.0, 0.0)}
    for left, frame in zip(range(len(log_probs) - 1, -1, -1), np.exp(log_probs), strict=True):
        extended: defaultdict[Text, list[float]] = defaultdict(lambda: [0.0, 0.0])
        stays = {prefix for prefix in beam if lattice.frames_needed[states[prefix], 0] <= left}
        for prefix, (blank, char) in beam.items():
            if prefix in stays:
                extended[prefix][0] += (blank + char) * frame[0]
                if prefix:
                    extended[prefix][1] += char * frame[prefix[-1]]
            for label in range(1, len(frame)):
                longer = (*prefix, label)
                # One that was in the beam already may go on only as it could by itself.
                if longer in beam and longer not in stays:
                    continue
                if lattice.frames_needed[states[prefix], label] <= left or longer in stays:
                    repeats = prefix[-1:] == (label,)
                    extended[longer][1] += (blank if repeats else blank + char) * frame[label]
                    states[longer] = int(lattice.automaton.transitions[states[prefix], label])
        best = sorted(extended, key=lambda prefix: sum(extended[prefix]), reverse=True)[:width]
        beam = {prefix: (extended[prefix][0], extended[prefix][1]) for prefix in best}
    return [prefix for prefix, parts in beam.items() if sum(parts)]


def test_beam_beats_greedy_where_a_text_has_many_alignments() -> None:
    # Blank is the best of each frame, 0.6 * 0.6 = 0.36; "1" has the other three alignments.
    log_probs = from_probs([[0.6, 0.4], [0.6, 0.4]])
    ((best_path,),) = find(log_probs, "greedy")
    assert best_path.ids == ()
    assert best_path.log_prob == pytest.approx(math.log(0.36), abs=1e-12)
    for method in ("beam", "exact", "auto"):
        ((found,),) = find(log_probs, method)
        assert found.ids == (1,)
        assert found.log_prob == pytest.approx(math.log(0.64), abs=1e-12)


@pytest.mark.parametrize("method", DECODERS)
def test_repeated_characters_need_a_blank_between(method: str) -> None:
    one, blank = [0.1, 0.9], [0.9, 0.1]
    doubled = automaton_of("regex:11", "1")
    assert find(from_probs([one, one, one]), method)[0][0].ids == (1,)
    assert find(from_probs([one, one, blank, one]), method)[0][0].ids == (1, 1)
    ((found,),) = find(from_probs([one, one, one]), method, doubled)
    assert found.ids == (1, 1)
    assert found.log_prob == pytest.approx(math.log(0.9 * 0.1 * 0.9), abs=1e-12)
    assert find(from_probs([one, one]), method, doubled) == [[]]


@pytest.mark.parametrize("method", DECODERS)
def test_one_frame(method: str) -> None:
    ((found,),) = find(from_probs([[0.2, 0.3, 0.5]]), method)
    assert found.ids == (2,)
    assert found.log_prob == pytest.approx(math.log(0.5), abs=1e-12)
    ((found,),) = find(from_probs([[0.2, 0.3, 0.5]]), method, automaton_of("regex:1", "12"))
    assert found.ids == (1,)
    assert found.log_prob == pytest.approx(math.log(0.3), abs=1e-12)


@pytest.mark.parametrize("method", DECODERS)
def test_all_blank(method: str) -> None:
    assert find(from_probs([[1.0, 0.0, 0.0]] * 6), method) == [[Hypothesis((), 0.0)]]


@pytest.mark.parametrize("method", DECODERS)
@pytest.mark.parametrize("name", ["none", "regex:1?2*"])
def test_frames_that_exclude_classes(method: str, name: str) -> None:
    log_probs = from_probs([[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 1]])
    found = find(log_probs, method, automaton_of(name, "12"))
    assert found == [[Hypothesis((1, 2, 2), 0.0)]]


@pytest.mark.parametrize("method", DECODERS)
@pytest.mark.parametrize(("name", "num_frames"), [("regex:(12){2}", 3), ("regex:11", 2)])
def test_no_text_fits_into_the_frames(method: str, name: str, num_frames: int) -> None:
    log_probs = random_log_probs(1, num_frames, 3, 3)
    found = find_all(log_probs, method, automaton_of(name, "12"))
    assert [f.hypotheses for f in found] == [[], [], []]


@pytest.mark.parametrize("method", DECODERS)
def test_a_text_that_fits_is_found_however_impossible(method: str) -> None:
    log_probs = from_probs([[0.5, 0.5, 0.0]] * 3)
    automaton = automaton_of("regex:22|222", "12")
    assert find(log_probs, method, automaton) == [[Hypothesis((2, 2), -math.inf)]]
    # Beside one of the same batch that is possible.
    both = np.concatenate([log_probs, from_probs([[0.2, 0.1, 0.7]] * 3)], axis=1)
    decoded = find(both, method, automaton)
    assert decoded[0] == [Hypothesis((2, 2), -math.inf)]
    assert decoded[1][0].log_prob == pytest.approx(math.log(0.7 * 0.2 * 0.7))


@pytest.mark.parametrize("method", DECODERS)
def test_no_samples(method: str) -> None:
    assert find(np.zeros((5, 0, 3)), method) == []
    assert Decoder(load_grammar("none", Charset("12")), method=method)(np.zeros((5, 0, 3))) == []


@pytest.mark.parametrize("method", DECODERS)
def test_frames_that_sum_to_slightly_more_than_one(method: str) -> None:
    log_probs = np.full((40, 1, 2), np.float32(1e-7), dtype=np.float64)
    log_probs[:, :, 1] = -30.0
    assert find(log_probs, method) == [[Hypothesis((), 0.0)]]


@pytest.mark.parametrize(
    ("log_probs", "message"),
    [
        (np.zeros((4, 3)), r"expected 3 dimensions \(T, N, C\), found 2"),
        (np.zeros((0, 2, 3)), "at least one frame"),
        (np.zeros((4, 2, 0)), "at least one frame and one class"),
        (np.full((2, 1, 2), np.nan), "found NaN or infinity"),
        (np.full((2, 1, 2), np.inf), "found NaN or infinity"),
    ],
)
def test_invalid_log_probs(log_probs: FloatArray, message: str) -> None:
    grammar = load_grammar("none", Charset("1"))
    calls: list[Callable[[], Any]] = [
        *(lambda m=m: Decoder(grammar, method=m)(log_probs) for m in DECODERS),
        lambda: text_log_probs(log_probs, [()]),
        lambda: align(log_probs, [()]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()
