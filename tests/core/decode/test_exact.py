"""The exact search: what it finds against brute force, and what it need not look at."""

from __future__ import annotations

import math
import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from exprocr.core.decode import exact
from exprocr.core.decode import lattice as lattice_module
from exprocr.core.decode.exact import Found, exact_search
from exprocr.core.decode.forward import check_log_probs, text_log_probs
from exprocr.core.decode.hypothesis import Hypothesis
from exprocr.core.decode.lattice import Lattice
from exprocr.core.text.grammar.automaton import Automaton
from tests.support.ctc_oracle import (
    GRAMMARS,
    FloatArray,
    Text,
    automata,
    automaton_of,
    frames_of,
    log_sum_exp,
    random_log_probs,
    ranked_texts,
)


def search(
    log_probs: FloatArray,
    automaton: Automaton,
    known: list[list[Hypothesis]] | None = None,
    *,
    num_best: int = 1,
    max_prefixes: int | None = None,
) -> list[Found]:
    return exact_search(
        check_log_probs(log_probs),
        Lattice(automaton),
        known if known is not None else [[] for _ in range(log_probs.shape[1])],
        num_best=num_best,
        max_prefixes=max_prefixes,
    )


@pytest.fixture
def expanded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Text]]:
    """The samples and prefixes that a search expands, one after the other."""
    record: list[tuple[int, Text]] = []
    expand = exact._expand

    def recorded(batch: list[tuple[exact._Search, exact._Prefix]], *args: object) -> None:
        record.extend((search.sample, prefix.ids) for search, prefix in batch)
        expand(batch, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(exact, "_expand", recorded)
    return record


@pytest.mark.parametrize("num_best", [1, 2, 7, 500])
@pytest.mark.parametrize(("name", "characters", "num_frames"), GRAMMARS)
def test_without_known_texts_the_best_are_found(
    name: str, characters: str, num_frames: int, num_best: int
) -> None:
    automaton = automaton_of(name, characters)
    log_probs = random_log_probs(17, num_frames, 3, automaton.num_classes, 1.0)
    for sample, found in enumerate(search(log_probs, automaton, num_best=num_best)):
        expected = ranked_texts(log_probs[:, sample], automaton)[:num_best]
        assert found.is_proven
        assert [h.ids for h in found.hypotheses] == [text for text, _ in expected]
        scores = [score for _, score in expected]
        assert [h.log_prob for h in found.hypotheses] == pytest.approx(scores, abs=1e-9)


@hypothesis.given(
    data=st.data(),
    automaton=automata(),
    num_best=st.integers(1, 5) | st.just(500),
    at_once=st.sampled_from([1, 2, 64]),
)
def test_known_texts_change_nothing(
    data: st.DataObject, automaton: Automaton, num_best: int, at_once: int
) -> None:
    log_probs = data.draw(frames_of(automaton.num_classes))
    every = [ranked_texts(log_probs[:, n], automaton) for n in range(log_probs.shape[1])]
    known = [[Hypothesis(*item) for item in texts if data.draw(st.booleans())] for texts in every]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "PREFIXES_AT_ONCE", at_once)
        decoded = search(log_probs, automaton, known, num_best=num_best)
    for texts, found in zip(every, decoded, strict=True):
        assert found.is_proven
        scores = [score for _, score in texts[:num_best]]
        np.testing.assert_allclose(
            [h.log_prob for h in found.hypotheses], scores, rtol=1e-12, atol=1e-9
        )
        everything = dict(texts)
        for h in found.hypotheses:
            assert h.log_prob == pytest.approx(everything[h.ids], rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("num_best", [1, 3])
@pytest.mark.parametrize(("name", "characters", "num_frames"), GRAMMARS)
def test_only_prefixes_that_could_beat_the_best_are_expanded(
    name: str,
    characters: str,
    num_frames: int,
    num_best: int,
    expanded: list[tuple[int, Text]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Best first, one at a time: all texts with the prefix together have what the best one has.
    monkeypatch.setattr(exact, "PREFIXES_AT_ONCE", 1)
    automaton = automaton_of(name, characters)
    log_probs = random_log_probs(5, num_frames, 4, automaton.num_classes, 0.5)
    search(log_probs, automaton, num_best=num_best)
    assert len(set(expanded)) == len(expanded)
    for sample in range(4):
        texts = ranked_texts(log_probs[:, sample], automaton)
        worst_wanted = texts[:num_best][-1][1] if len(texts) >= num_best else -math.inf
        prefixes = [prefix for n, prefix in expanded if n == sample]
        assert prefixes[0] == ()
        for prefix in prefixes:
            mass = log_sum_exp(score for text, score in texts if text[: len(prefix)] == prefix)
            assert mass >= worst_wanted - 1e-9


@pytest.mark.parametrize(("name", "characters", "num_frames"), GRAMMARS)
def test_what_known_texts_have_is_taken_off(
    name: str, characters: str, num_frames: int, expanded: list[tuple[int, Text]]
) -> None:
    automaton = automaton_of(name, characters)
    log_probs = random_log_probs(6, num_frames, 8, automaton.num_classes, 0.8)
    every = [ranked_texts(log_probs[:, n], automaton) for n in range(8)]
    # As many texts known as leave less for all others than the best of them has.
    known: list[list[Hypothesis]] = []
    for texts in every:
        count = 1
        while log_sum_exp(s for _, s in texts[count:]) > texts[0][1] - 1e-6:
            count += 1
        known.append([Hypothesis(*item) for item in texts[:count]])
    for texts, found in zip(every, search(log_probs, automaton, known), strict=True):
        assert found.is_proven
        assert [h.ids for h in found.hypotheses] == [texts[0][0]]
    assert expanded == []
    # With one text less, the others could have more: it must look.
    fewer = [hypotheses[:-1] for hypotheses in known]
    search(log_probs, automaton, fewer)
    looked_at = {sample for sample, _ in expanded}
    assert looked_at == set(range(8))


def test_what_known_texts_have_is_taken_off_their_prefixes(
    expanded: list[tuple[int, Text]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "PREFIXES_AT_ONCE", 1)
    automaton = automaton_of("regex:[123]{4}", "123")
    log_probs = random_log_probs(11, 7, 4, 4, 0.3)
    every = [ranked_texts(log_probs[:, n], automaton) for n in range(4)]
    known = [[Hypothesis(*item) for item in texts[:3]] for texts in every]
    search(log_probs, automaton, known)
    assert {sample for sample, _ in expanded} == set(range(4))
    assert max(len(prefix) for _, prefix in expanded) > 1
    for sample, prefix in expanded:
        begun = [(t, s) for t, s in every[sample][3:] if t[: len(prefix)] == prefix]
        assert log_sum_exp(score for _, score in begun) > every[sample][0][1]


@pytest.mark.parametrize("max_prefixes", [1, 3, 10, 40])
def test_a_search_is_given_up_after_so_many_prefixes(
    max_prefixes: int, expanded: list[tuple[int, Text]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "PREFIXES_AT_ONCE", 1)
    automaton = automaton_of("none", "123")
    log_probs = random_log_probs(8, 6, 12, 4, 1.0)
    log_probs[:, 3] = random_log_probs(8, 6, 1, 4, 9.0)[:, 0]  # an easy one
    every = [ranked_texts(log_probs[:, n], automaton) for n in range(12)]
    known = [[Hypothesis(*texts[5])] for texts in every]
    decoded = search(log_probs, automaton, known, max_prefixes=max_prefixes)
    for sample, found in enumerate(decoded):
        best = every[sample][0]
        (h,) = found.hypotheses
        assert h.log_prob >= every[sample][5][1]
        if found.is_proven:
            assert h.ids == best[0]
        counted = sum(n == sample for n, _ in expanded)
        assert counted == max_prefixes or (found.is_proven and counted < max_prefixes)
    proven = sum(found.is_proven for found in decoded)
    assert proven < 12 if max_prefixes == 3 else proven >= (max_prefixes > 3)
    unbounded = search(log_probs, automaton, known)
    assert all(found.is_proven for found in unbounded)


def test_samples_in_parts_are_found_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    automaton = automaton_of("level1", "12+*()")
    log_probs = random_log_probs(12, 9, 5, 7)
    whole = search(log_probs, automaton, num_best=3)
    known = [found.hypotheses[:2] for found in whole]
    monkeypatch.setattr(lattice_module, "MAX_CELLS", 1)
    for parts in (
        search(log_probs, automaton, num_best=3),
        search(log_probs, automaton, known, num_best=3),
    ):
        for one, other in zip(whole, parts, strict=True):
            assert [h.ids for h in one.hypotheses] == [h.ids for h in other.hypotheses]
            scores = [h.log_prob for h in other.hypotheses]
            assert [h.log_prob for h in one.hypotheses] == pytest.approx(scores, abs=1e-12)


def test_many_frames_and_tiny_probabilities() -> None:
    # The texts are few enough to be scored one by one, the alignments are not.
    automaton = automaton_of("level1", "12+*()")
    log_probs = random_log_probs(13, 60, 4, 7, 60.0)
    (*all_texts,) = automaton.texts()
    for sample, found in enumerate(search(log_probs, automaton, num_best=4)):
        scores = text_log_probs(
            np.repeat(log_probs[:, [sample]], len(all_texts), axis=1), all_texts
        )
        best = np.argsort(-scores)[:4]
        assert scores[best[0]] < -500
        assert [h.ids for h in found.hypotheses] == [all_texts[k] for k in best]
        assert [h.log_prob for h in found.hypotheses] == pytest.approx(scores[best], rel=1e-12)


def test_nothing_fits_or_all_is_impossible() -> None:
    automaton = automaton_of("regex:1{3}", "12")
    assert search(random_log_probs(0, 4, 2, 3), automaton) == [Found([], True)] * 2
    impossible = np.full((5, 1, 3), -np.inf)
    impossible[:, :, [0, 2]] = math.log(0.5)
    assert search(impossible, automaton) == [Found([], True)]
    assert search(np.zeros((5, 0, 3)), automaton) == []


def test_open_prefixes_share_what_they_start_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "PREFIXES_AT_ONCE", 1)
    automaton = automaton_of("regex:[a-t]{2}", "abcdefghijklmnopqrst")
    num_frames = 200
    log_probs = random_log_probs(0, num_frames, 1, automaton.num_classes, spread=0.05)
    tracemalloc.start()
    try:
        # The empty prefix and its 20 children are expanded, and 400 prefixes are left open.
        (found,) = search(log_probs, automaton, num_best=400, max_prefixes=21)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not found.is_proven
    one = num_frames * 8  # bytes of one prefix's frames
    assert peak < 300 * one  # of an array for each open prefix, 400 alone would be more
