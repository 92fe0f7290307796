"""The sums and the best paths over all texts of a grammar, against brute force."""

from __future__ import annotations

import itertools
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from exprocr.core.decode import lattice as lattice_module
from exprocr.core.decode.forward import check_log_probs, text_log_probs
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.semiring import BEST, LINEAR, LOG, LOG_IMPOSSIBLE, MIN_LINEAR
from exprocr.core.text.charset import BLANK
from exprocr.core.text.grammar.automaton import DEAD, Automaton
from tests.support.ctc_oracle import (
    GRAMMARS,
    FloatArray,
    automata,
    automaton_of,
    brute_force,
    collapse,
    frames_of,
    log_sum_exp,
    random_log_probs,
    ranked_texts,
)


def classes_first(log_probs: FloatArray) -> FloatArray:
    """(T, N, C) with -inf, as callers have them, to the lattice's (T, C, N)."""
    return np.ascontiguousarray(check_log_probs(log_probs).transpose(0, 2, 1))


def assert_sums_to_brute_force(automaton: Automaton, log_probs: FloatArray) -> None:
    found = Lattice(automaton).log_mass(classes_first(log_probs))
    assert found.shape == (log_probs.shape[1],)
    for sample, log_mass in enumerate(found.tolist()):
        texts = ranked_texts(log_probs[:, sample], automaton)
        expected = log_sum_exp(score for _, score in texts)
        assert log_mass == pytest.approx(expected, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("spread", [0.7, 3.0, 300.0])
@pytest.mark.parametrize(("name", "characters", "num_frames"), GRAMMARS)
def test_the_mass_is_the_sum_over_all_alignments_of_accepted_texts(
    name: str, characters: str, num_frames: int, spread: float
) -> None:
    automaton = automaton_of(name, characters)
    for frames in range(max(1, num_frames - 2), num_frames + 1):
        log_probs = random_log_probs(frames, frames, 3, automaton.num_classes, spread)
        assert_sums_to_brute_force(automaton, log_probs)


@hypothesis.given(data=st.data(), automaton=automata())
def test_the_mass_of_any_automaton_and_any_frames(
    data: st.DataObject, automaton: Automaton
) -> None:
    assert_sums_to_brute_force(automaton, data.draw(frames_of(automaton.num_classes)))


@pytest.mark.parametrize(
    "shift", [0.0, 100.0, 126.0, 140.0, 143.0, 146.0, 148.0, 150.0, 400.0, 1e6]
)
def test_the_mass_is_as_exact_where_floats_have_few_digits(shift: float) -> None:
    # Shifted so far, the five frames' product passes MIN_LINEAR and the smallest of all floats.
    lattice = Lattice(automaton_of("regex:(11|12)*", "12"))
    emissions = classes_first(random_log_probs(2, 5, 6, 3))
    expected = lattice.log_mass(emissions) - 5 * shift
    np.testing.assert_allclose(lattice.log_mass(emissions - shift), expected, rtol=1e-12, atol=1e-9)


def test_samples_far_apart_are_summed_beside_each_other() -> None:
    automaton = automaton_of("regex:1+2", "12")
    log_probs = random_log_probs(5, 5, 4, 3)
    log_probs[:, 1] -= 400.0
    log_probs[:, 2] = -np.inf
    found = Lattice(automaton).log_mass(classes_first(log_probs))
    assert found[1] < math.log(MIN_LINEAR) < found[0]
    assert found[2] == -math.inf
    assert_sums_to_brute_force(automaton, log_probs)


def test_the_mass_is_the_sum_over_an_enumerated_lexicon() -> None:
    # Far more frames than could be enumerated; the texts share beginnings, ends and repeats.
    automaton = automaton_of("regex:1{1,4}|2?(12){0,3}|22?1(11|2)", "12")
    texts = list(automaton.texts())
    assert len(texts) == automaton.num_texts == 15
    for spread in (0.5, 2.0, 200.0):
        log_probs = random_log_probs(7, 40, 5, 3, spread)
        found = Lattice(automaton).log_mass(classes_first(log_probs))
        for sample, log_mass in enumerate(found.tolist()):
            scores = text_log_probs(np.repeat(log_probs[:, [sample]], len(texts), axis=1), texts)
            assert log_mass == pytest.approx(log_sum_exp(scores.tolist()), rel=1e-12, abs=1e-9)


def test_all_texts_together_are_certain() -> None:
    log_probs = random_log_probs(8, 60, 4, 6)
    lattice = Lattice(automaton_of("none", "12345"))
    np.testing.assert_allclose(lattice.log_mass(classes_first(log_probs)), 0.0, atol=1e-9)


@hypothesis.given(data=st.data(), automaton=automata())
def test_backward_sums_what_follows_each_node(data: st.DataObject, automaton: Automaton) -> None:
    lattice = Lattice(automaton)
    log_probs = data.draw(frames_of(automaton.num_classes))
    emissions = classes_first(log_probs)
    log_mass = lattice.log_mass(emissions)
    logs = lattice.backward(emissions, LOG)
    assert logs.shape == (len(emissions) + 1, lattice.num_nodes, emissions.shape[2])
    possible = logs[0, 0] > LOG_IMPOSSIBLE
    assert (possible == (log_mass > -np.inf)).all()
    np.testing.assert_allclose(logs[0, 0][possible], log_mass[possible], rtol=1e-12, atol=1e-9)
    linear = lattice.backward(np.exp(emissions), LINEAR)
    large = log_mass > math.log(MIN_LINEAR)
    np.testing.assert_allclose(np.log(linear[0, 0][large]), log_mass[large], rtol=1e-12, atol=1e-9)
    best = lattice.backward(emissions, BEST)
    np.testing.assert_allclose(best[0, 0], lattice.best_paths(emissions)[1], rtol=1e-12)
    # At every frame, what is before each node times what is after it makes the whole.
    for forward, backward in zip(lattice.forward(emissions, LOG), logs[1:], strict=True):
        whole = np.logaddexp.reduce(forward + backward, axis=0)
        np.testing.assert_allclose(whole[possible], log_mass[possible], rtol=1e-12, atol=1e-9)


def assert_best_paths_are_brute_forces(automaton: Automaton, log_probs: FloatArray) -> None:
    paths, scores = Lattice(automaton).best_paths(classes_first(log_probs))
    assert paths.shape == log_probs.shape[:2]
    for sample, (path, score) in enumerate(zip(paths.T.tolist(), scores.tolist(), strict=True)):
        accepted = [
            alignment
            for text, found in brute_force(log_probs[:, sample]).items()
            if automaton.accepts(text)
            for alignment in found.paths
        ]
        if not accepted:
            assert (score, set(path)) == (-math.inf, {BLANK})
            continue
        assert automaton.accepts(collapse(tuple(path))[0])
        best, best_path = max(accepted)
        if best == -math.inf:
            assert score < LOG_IMPOSSIBLE
            continue
        assert score == pytest.approx(best, rel=1e-12, abs=1e-9)
        followed = sum(log_probs[frame, sample, label] for frame, label in enumerate(path))
        assert followed == pytest.approx(best, rel=1e-12, abs=1e-9)
        if sum(other > best - 1e-6 for other, _ in accepted) == 1:
            assert tuple(path) == best_path


@pytest.mark.parametrize(("name", "characters", "num_frames"), GRAMMARS)
def test_best_paths_are_the_most_probable_accepted_ones(
    name: str, characters: str, num_frames: int
) -> None:
    automaton = automaton_of(name, characters)
    for frames in range(max(1, num_frames - 2), num_frames + 1):
        log_probs = random_log_probs(frames, frames, 4, automaton.num_classes, 1.0)
        assert_best_paths_are_brute_forces(automaton, log_probs)


@hypothesis.given(data=st.data(), automaton=automata())
def test_best_paths_of_any_automaton_and_any_frames(
    data: st.DataObject, automaton: Automaton
) -> None:
    assert_best_paths_are_brute_forces(automaton, data.draw(frames_of(automaton.num_classes)))


@hypothesis.given(automaton=automata())
def test_frames_needed_are_those_of_the_shortest_ending(automaton: Automaton) -> None:
    """A character needs a frame, and a blank before it where it repeats the one before."""
    characters = range(1, automaton.num_classes)
    endings = [e for n in range(9) for e in itertools.product(characters, repeat=n)]

    def fewest(state: int, last: int) -> float:
        needed = math.inf
        for ending in endings:
            at = state
            for label in ending:
                at = int(automaton.transitions[at, label]) if at != DEAD else DEAD
            if at != DEAD and automaton.accepting[at]:
                read = (last, *ending)
                repeats = sum(a == b for a, b in itertools.pairwise(read))
                needed = min(needed, len(ending) + repeats)
        return needed

    found = Lattice(automaton).frames_needed
    assert found.shape == automaton.transitions.shape
    for state in range(automaton.num_states):
        assert found[state, BLANK] == fewest(state, BLANK)
        for label in characters:
            target = int(automaton.transitions[state, label])
            expected = math.inf if target == DEAD else fewest(target, label)
            assert found[state, label] == expected


@pytest.mark.parametrize(
    ("name", "characters", "fewest"),
    [
        ("level1", "0123456789()*+-", 5),
        ("regex:1{4}", "1", 7),
        ("digits", "1", 1),
        ("none", "1", 0),
    ],
)
def test_frames_needed_from_the_start(name: str, characters: str, fewest: int) -> None:
    lattice = Lattice(automaton_of(name, characters))
    assert lattice.frames_needed[0, BLANK] == fewest
    for num_frames in range(max(1, fewest - 1), fewest + 2):
        emissions = classes_first(random_log_probs(0, num_frames, 2, len(characters) + 1))
        fits = num_frames >= fewest
        assert np.isfinite(lattice.log_mass(emissions)).tolist() == [fits, fits]
        assert np.isfinite(lattice.best_paths(emissions)[1]).tolist() == [fits, fits]


@pytest.mark.parametrize("max_cells", [1, 300, 2000])
def test_a_batch_in_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch, max_cells: int) -> None:
    lattice = Lattice(automaton_of("level1", "12+-()"))
    log_probs = random_log_probs(4, 12, 7, 7)
    log_probs[:, 3] -= 100.0  # below what LINEAR can sum
    emissions = classes_first(log_probs)
    log_mass, (paths, scores) = lattice.log_mass(emissions), lattice.best_paths(emissions)
    whole = list(lattice.parts(12, 7, history=True))
    monkeypatch.setattr(lattice_module, "MAX_CELLS", max_cells)
    parts = list(lattice.parts(12, 7, history=True))
    assert (len(whole), len(parts) > 1) == (1, True)
    assert [sample for part in parts for sample in range(7)[part]] == list(range(7))
    np.testing.assert_allclose(lattice.log_mass(emissions), log_mass, rtol=1e-12)
    in_parts = lattice.best_paths(emissions)
    np.testing.assert_array_equal(in_parts[0], paths)
    np.testing.assert_array_equal(in_parts[1], scores)


@pytest.mark.parametrize(("name", "characters", "num_frames"), GRAMMARS)
def test_a_sample_among_many_is_read_as_if_it_were_alone(
    name: str, characters: str, num_frames: int
) -> None:
    lattice = Lattice(automaton_of(name, characters))
    emissions = classes_first(random_log_probs(9, num_frames + 4, 40, len(characters) + 1))
    log_mass, (paths, scores) = lattice.log_mass(emissions), lattice.best_paths(emissions)
    backward = lattice.backward(emissions, LOG)
    for sample in range(0, 40, 7):
        alone = np.ascontiguousarray(emissions[:, :, [sample]])
        np.testing.assert_allclose(lattice.log_mass(alone), log_mass[[sample]], rtol=1e-12)
        path, score = lattice.best_paths(alone)
        np.testing.assert_array_equal(path[:, 0], paths[:, sample])
        np.testing.assert_allclose(score, scores[[sample]], rtol=1e-12)
        np.testing.assert_allclose(
            lattice.backward(alone, LOG)[..., 0], backward[..., sample], rtol=1e-12, atol=1e-12
        )


def test_no_samples() -> None:
    lattice = Lattice(automaton_of("level1", "12+"))
    emissions = np.zeros((6, 4, 0))
    assert lattice.log_mass(emissions).shape == (0,)
    paths, scores = lattice.best_paths(emissions)
    assert (paths.shape, scores.shape) == ((6, 0), (0,))
