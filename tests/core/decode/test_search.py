"""What holds of the decoding methods whatever the grammar and the frames."""

from __future__ import annotations

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from exprocr.choices import DECODERS
from exprocr.core.decode import search
from exprocr.core.decode.exact import Found
from exprocr.core.decode.forward import check_log_probs, text_log_probs
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.search import find_texts
from exprocr.core.text.grammar.automaton import Automaton
from tests.support.ctc_oracle import (
    FloatArray,
    automata,
    automaton_of,
    frames_of,
    random_log_probs,
    ranked_texts,
)


def find(
    log_probs: FloatArray, automaton: Automaton, method: str, beam_width: int, num_best: int = 1
) -> list[Found]:
    return find_texts(
        check_log_probs(log_probs),
        Lattice(automaton),
        method,
        beam_width=beam_width,
        num_best=num_best,
    )


@hypothesis.given(
    data=st.data(),
    automaton=automata("abc"),
    method=st.sampled_from(DECODERS),
    beam_width=st.integers(1, 12),
    num_best=st.integers(1, 6),
)
def test_texts_are_accepted_different_sorted_and_scored_exactly(
    data: st.DataObject, automaton: Automaton, method: str, beam_width: int, num_best: int
) -> None:
    log_probs = data.draw(frames_of(automaton.num_classes, max_frames=10))
    num_best = 1 if method == "greedy" else num_best
    lattice = Lattice(automaton)
    fits = lattice.frames_needed[0, 0] <= len(log_probs)
    found = find(log_probs, automaton, method, beam_width, num_best)
    assert len(found) == log_probs.shape[1]
    log_mass = lattice.log_mass(np.ascontiguousarray(check_log_probs(log_probs).transpose(0, 2, 1)))
    for sample, hypotheses in enumerate(f.hypotheses for f in found):
        assert fits <= len(hypotheses) <= num_best * fits
        texts = [hypothesis.ids for hypothesis in hypotheses]
        assert all(automaton.accepts(text) for text in texts)
        assert len(set(texts)) == len(texts)
        scores = [hypothesis.log_prob for hypothesis in hypotheses]
        assert scores == sorted(scores, reverse=True)
        repeated = np.repeat(log_probs[:, [sample]], len(texts), axis=1)
        np.testing.assert_allclose(scores, text_log_probs(repeated, texts), rtol=1e-12, atol=1e-9)
        total = math.fsum(map(math.exp, scores))
        assert total <= min(1.0, math.exp(log_mass[sample])) * (1 + 1e-9)


@hypothesis.given(
    data=st.data(),
    automaton=automata("abc"),
    beam_width=st.integers(1, 12),
    num_best=st.integers(1, 6),
)
def test_exact_is_never_below_beam_nor_beam_below_greedy(
    data: st.DataObject, automaton: Automaton, beam_width: int, num_best: int
) -> None:
    log_probs = data.draw(frames_of(automaton.num_classes, max_frames=8))

    def scores(method: str, num_best: int) -> list[FloatArray]:
        found = find(log_probs, automaton, method, beam_width, num_best)
        return [np.array([h.log_prob for h in f.hypotheses]) for f in found]

    greedy, auto = scores("greedy", 1), scores("auto", num_best)
    beam, exact = scores("beam", num_best), scores("exact", num_best)
    for sample in range(log_probs.shape[1]):
        in_beam, count = beam[sample], len(beam[sample])
        # Equal scores may differ in the last digit where sums are done in another order.
        margin = 1e-12 * np.abs(in_beam)
        assert (exact[sample][:count] >= in_beam - margin).all()
        assert (auto[sample][:count] >= in_beam - margin).all()
        assert (in_beam[:1] >= greedy[sample]).all()


@hypothesis.given(
    data=st.data(),
    automaton=automata(),
    method=st.sampled_from(["exact", "auto"]),
    num_best=st.integers(1, 6),
)
def test_what_is_proven_is_brute_forces(
    data: st.DataObject, automaton: Automaton, method: str, num_best: int
) -> None:
    log_probs = data.draw(frames_of(automaton.num_classes, max_frames=6))
    found = find(log_probs, automaton, method, beam_width=2, num_best=num_best)
    assert all(f.is_proven for f in found), "so few prefixes are within auto's bound"
    for sample, hypotheses in enumerate(f.hypotheses for f in found):
        expected = ranked_texts(log_probs[:, sample], automaton)
        if not expected:  # nothing fits, or all that fits is impossible
            assert all(hypothesis.log_prob == -math.inf for hypothesis in hypotheses)
            continue
        assert len(hypotheses) == min(num_best, len(expected))
        scores = dict(expected)
        for one, (_, best) in zip(hypotheses, expected, strict=False):
            assert one.log_prob == pytest.approx(best, rel=1e-12, abs=1e-9)
            # Which of two equally probable texts comes first does not matter.
            assert scores[one.ids] == pytest.approx(best, rel=1e-12, abs=1e-9)


@hypothesis.given(
    data=st.data(),
    automaton=automata("abc"),
    max_prefixes=st.integers(0, 30),
    num_best=st.integers(1, 4),
)
def test_auto_is_exact_where_it_is_proven_and_else_not_below_beam(
    data: st.DataObject, automaton: Automaton, max_prefixes: int, num_best: int
) -> None:
    log_probs = data.draw(frames_of(automaton.num_classes, max_frames=8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "AUTO_MAX_PREFIXES", max_prefixes)
        auto = find(log_probs, automaton, "auto", beam_width=2, num_best=num_best)
    exact = find(log_probs, automaton, "exact", beam_width=2, num_best=num_best)
    beam = find(log_probs, automaton, "beam", beam_width=2, num_best=num_best)
    assert all(f.is_proven for f in exact)
    for mine, proven, narrow in zip(auto, exact, beam, strict=True):
        reference = proven if mine.is_proven else narrow
        for found, expected in zip(mine.hypotheses, reference.hypotheses, strict=False):
            least = expected.log_prob - 1e-12 * abs(expected.log_prob)
            assert found.log_prob >= least
        if mine.is_proven:
            assert len(mine.hypotheses) == len(proven.hypotheses)


@pytest.mark.parametrize("num_best", [1, 3])
def test_beyond_its_bound_auto_gives_what_the_beam_found(
    monkeypatch: pytest.MonkeyPatch, num_best: int
) -> None:
    automaton = automaton_of("regex:[123]{4,8}", "123")
    log_probs = random_log_probs(1, 14, 12, 4, spread=0.8)
    log_probs[:, 5] = random_log_probs(2, 14, 1, 4, spread=30.0)[:, 0]  # a sure one
    exact = find(log_probs, automaton, "exact", 2, num_best)
    beam = find(log_probs, automaton, "beam", 2, num_best)
    enough = find(log_probs, automaton, "auto", 2, num_best)
    assert all(found.is_proven for found in exact)
    proven = [n for n, found in enumerate(beam) if found.is_proven]
    assert proven == ([5] if num_best == 1 else [])  # without a search only what has over half
    assert any(b.hypotheses[0].ids != e.hypotheses[0].ids for b, e in zip(beam, exact, strict=True))
    monkeypatch.setattr(search, "AUTO_MAX_PREFIXES", 1)
    bounded = find(log_probs, automaton, "auto", 2, num_best)
    assert [n for n, found in enumerate(bounded) if found.is_proven] == [5]
    for mine, narrow, best, one in zip(bounded, beam, exact, enough, strict=True):
        assert one.hypotheses == best.hypotheses
        if mine.is_proven:
            assert mine.hypotheses == best.hypotheses
        else:
            texts = [hypothesis.ids for hypothesis in mine.hypotheses]
            assert texts == [hypothesis.ids for hypothesis in narrow.hypotheses]


def test_greedy_is_proven_where_it_has_more_than_all_others_together() -> None:
    automaton = automaton_of("none", "12")
    log_probs = random_log_probs(3, 6, 60, 3, spread=2.5)
    found = find(log_probs, automaton, "greedy", 1)
    proven = [f.is_proven for f in found]
    assert 5 < sum(proven) < 55
    assert proven == [f.hypotheses[0].log_prob > math.log(0.5) for f in found]
    for sample, f in enumerate(found):
        if f.is_proven:
            assert f.hypotheses[0].ids == ranked_texts(log_probs[:, sample], automaton)[0][0]


def test_a_sure_text_is_settled_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_search(*args: object, **options: object) -> list[Found]:
        raise AssertionError("searched")

    automaton = automaton_of("level1", "12+")
    log_probs = np.full((9, 4, 4), math.log(0.01))
    for frame, label in enumerate([0, 1, 3, 0, 2, 3, 2, 0, 0]):  # 1+2+2
        log_probs[frame, :, label] = math.log(0.97)
    monkeypatch.setattr(search, "exact_search", no_search)
    for method in ("auto", "exact"):
        for found in find(log_probs, automaton, method, 10):
            assert (found.hypotheses[0].ids, found.is_proven) == ((1, 3, 2, 3, 2), True)
    with pytest.raises(AssertionError, match="searched"):
        find(log_probs, automaton, "auto", 10, num_best=2)
