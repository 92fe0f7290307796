"""Reading by value, against sums over all texts of a grammar."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from exprocr.core.decode import values
from exprocr.core.decode.decoder import Decoder
from exprocr.core.decode.forward import check_log_probs, text_log_probs
from exprocr.core.decode.hypothesis import Answer
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.semiring import MIN_LINEAR
from exprocr.core.decode.values import find_values
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import Grammar, load_grammar
from tests.support.ctc_oracle import FloatArray, Text, log_sum_exp, random_log_probs, ranked_texts

CONTEST = Charset("()*+-0123456789")


@cache
def value_of(text: str) -> Fraction | str:
    """The value by Python's own arithmetic, or the text itself where it has none."""
    try:
        return Fraction(eval(re.sub(r"\d+", r"Fraction('\g<0>')", text)))
    except (SyntaxError, TypeError, ZeroDivisionError, NameError):
        return text


def by_value(
    scores: Sequence[tuple[Text, float]], charset: Charset
) -> list[tuple[float, Fraction | str, Text]]:
    """Log-probability, value and likeliest text of each value, the most probable first."""
    groups: defaultdict[Fraction | str, list[tuple[float, Text]]] = defaultdict(list)
    for text, score in scores:
        if score > -math.inf:
            groups[value_of(charset.decode(text))].append((score, text))
    summed = [
        (log_sum_exp(score for score, _ in texts), value, max(texts)[1])
        for value, texts in groups.items()
    ]
    return sorted(summed, key=lambda group: -group[0])


def all_scores(log_probs: FloatArray, grammar: Grammar) -> list[tuple[Text, float]]:
    """All texts of a finite grammar and their log-probabilities in one sample (T, C)."""
    texts = list(grammar.automaton.texts())
    repeated = np.repeat(log_probs[:, None], len(texts), axis=1)
    return list(zip(texts, text_log_probs(repeated, texts).tolist(), strict=True))


def find(
    log_probs: FloatArray,
    grammar: Grammar,
    method: str = "exact",
    *,
    num_best: int = 1,
    beam_width: int = 10,
) -> list[Answer]:
    emissions = check_log_probs(log_probs)
    lattice = Lattice(grammar.automaton)
    return find_values(
        emissions,
        lattice.log_mass(np.ascontiguousarray(emissions.transpose(0, 2, 1))),
        grammar,
        lattice,
        method,
        beam_width=beam_width,
        num_best=num_best,
    )


def assert_found(
    found: Answer, expected: list[tuple[float, Fraction | str, Text]], charset: Charset
) -> None:
    best = expected[0][0]
    # Values too improbable to be added up as floats beside the best one are not asked for.
    least = -690.0 if best > math.log(MIN_LINEAR) else best - 690.0
    expected = [group for group in expected if group[0] > least]
    scores, texts = found.log_probs[: len(expected)], found.texts[: len(expected)]
    assert scores == pytest.approx([s for s, _, _ in expected], rel=1e-9, abs=1e-9)
    assert [value_of(charset.decode(text)) for text in texts] == [v for _, v, _ in expected]
    assert list(texts) == [text for _, _, text in expected]
    assert all(score <= least + 1 for score in found.log_probs[len(expected) :])


@pytest.mark.parametrize("spread", [0.5, 2.0, 6.0, 300.0])
def test_level1_is_summed_over_all_its_texts(spread: float) -> None:
    charset = Charset("()*+-0127")
    grammar = load_grammar("level1", charset)
    log_probs = random_log_probs(1, 9, 3, charset.num_classes, spread)
    log_probs[:, 2] -= 100.0  # below all that LINEAR sums
    decoded = find(log_probs, grammar, num_best=4)
    for sample, found in enumerate(decoded):
        expected = by_value(all_scores(log_probs[:, sample], grammar), charset)
        assert_found(found, expected[:4], charset)
        assert (found.is_proven, found.uncovered) == (True, 0.0)


def test_a_value_may_beat_the_most_probable_text() -> None:
    grammar = load_grammar("level1", CONTEST)
    log_probs = np.full((5, 1, CONTEST.num_classes), -30.0)
    for frame, probs in enumerate(
        [{"1": 1.0}, {"*": 0.4, "+": 0.6}, {"0": 1.0}, {"+": 0.5, "*": 0.4, "-": 0.1}, {"0": 1.0}]
    ):
        for character, prob in probs.items():
            log_probs[frame, 0, CONTEST.encode(character)] = math.log(prob)
    ((text, score), *_) = sorted(all_scores(log_probs[:, 0], grammar), key=lambda item: -item[1])
    assert CONTEST.decode(text) == "1+0+0"
    assert math.exp(score) == pytest.approx(0.3)
    (found,) = find(log_probs, grammar, num_best=2)
    # 1+0+0, 1+0*0 and 1+0-0 are 1; 1*0+0, 1*0*0 and 1*0-0 are 0.
    assert found.texts[0] == text
    assert np.exp(found.log_probs) == pytest.approx([0.6, 0.4])
    (reading,) = Decoder(grammar, by_value=True)(log_probs)
    assert reading.alternatives[0].value == 1
    assert reading.alternatives[0].probability == pytest.approx(0.6)
    assert reading.posterior * reading.grammar_mass == pytest.approx(0.6)
    assert (reading.is_proven, reading.uncovered) == (True, 0.0)


LEXICON = ["8/0", "1/0", "4/2", "2", "1-1", "0", "02", "1--1", "11", "(1)+1", "a", "aa", "1+"]


@pytest.fixture
def lexicon(tmp_path: Path) -> Grammar:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(LEXICON))
    return load_grammar(f"lexicon:{path}", Charset("01248+-/()a"))


@pytest.mark.parametrize("num_best", [1, 3, 100])
@pytest.mark.parametrize("spread", [0.3, 1.5, 100.0])
def test_texts_without_a_value_count_for_themselves(
    lexicon: Grammar, num_best: int, spread: float
) -> None:
    log_probs = random_log_probs(2, 7, 8, lexicon.charset.num_classes, spread)
    decoded = find(log_probs, lexicon, num_best=num_best)
    firsts = set()
    for sample, found in enumerate(decoded):
        expected = by_value(all_scores(log_probs[:, sample], lexicon), lexicon.charset)
        assert len(expected) == 8  # of 13 texts
        assert_found(found, expected[:num_best], lexicon.charset)
        firsts.add(expected[0][1])
    assert len(firsts) > 1


@hypothesis.given(
    texts=st.sets(st.text("12-", min_size=1, max_size=4), min_size=1, max_size=12),
    seed=st.integers(0, 2**32 - 1),
    num_frames=st.integers(1, 6),
    spread=st.sampled_from([0.0, 1.0, 5.0, 12.0]),
    num_best=st.integers(1, 5),
)
def test_any_finite_grammar(
    texts: set[str], seed: int, num_frames: int, spread: float, num_best: int
) -> None:
    pattern = "|".join(re.escape(text) for text in sorted(texts))
    grammar = load_grammar(f"regex:{pattern}", Charset("12-"))
    log_probs = random_log_probs(seed, num_frames, 2, 4, spread)
    for sample, found in enumerate(find(log_probs, grammar, num_best=num_best)):
        scores = all_scores(log_probs[:, sample], grammar)
        expected = by_value(scores, grammar.charset)
        if not expected:
            assert found == Answer(((),), (-math.inf,), True, 0.0)
            continue
        ranked = [score for score, _, _ in expected[:num_best]]
        assert found.log_probs == pytest.approx(ranked, rel=1e-9, abs=1e-9)
        # Of equal values, and of equal texts of one value, any may come first.
        likely, sums = dict(scores), {value: score for score, value, _ in expected}
        for text, score in zip(found.texts, found.log_probs, strict=True):
            value = value_of(grammar.charset.decode(text))
            assert score == pytest.approx(sums[value], rel=1e-9, abs=1e-9)
            same = [s for t, s in scores if value_of(grammar.charset.decode(t)) == value]
            assert likely[text] == pytest.approx(max(same), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("method", ["beam", "exact", "auto"])
@pytest.mark.parametrize("name", ["expression", "level1"])
def test_texts_too_many_to_list_are_searched(
    name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many texts as are looked at are summed, and the rest is stated."""
    monkeypatch.setattr(values, "MAX_TEXTS", 5)
    charset = Charset("12+-")
    grammar = load_grammar(name, charset)
    log_probs = random_log_probs(3, 6, 4, 5, 0.8)
    every = [ranked_texts(log_probs[:, sample], grammar.automaton) for sample in range(4)]
    unproven = right = 0
    for num_texts, num_best in ((4, 1), (4, 6), (1500, 3)):
        monkeypatch.setattr(values, "NUM_TEXTS", num_texts)
        decoded = find(log_probs, grammar, method, num_best=num_best, beam_width=1500)
        for texts, found in zip(every, decoded, strict=True):
            looked_at = texts[: max(num_texts, num_best)]
            expected = by_value(looked_at, charset)
            assert_found(found, expected[:num_best], charset)
            mass = log_sum_exp(score for _, score in texts)
            covered = math.fsum(math.exp(score - mass) for _, score in looked_at)
            assert found.uncovered == pytest.approx(1 - covered, abs=1e-9)
            first, second = (
                math.exp(expected[k][0] - mass) if k < len(expected) else 0.0 for k in (0, 1)
            )
            assert found.is_proven == (first >= second + 1 - covered)
            if found.is_proven:
                assert expected[0][1] == by_value(texts, charset)[0][1]
                right += 1
            else:
                unproven += 1
    assert unproven > 2
    assert right > 2


def test_the_reading_states_what_was_not_looked_at() -> None:
    charset = Charset("12+-")
    grammar = load_grammar("expression", charset)
    log_probs = random_log_probs(3, 6, 3, 5, 0.4)
    decoder = Decoder(grammar, method="exact", by_value=True, num_best=2)
    for sample, reading in enumerate(decoder(log_probs)):
        texts = ranked_texts(log_probs[:, sample], grammar.automaton)
        mass = log_sum_exp(score for _, score in texts)
        looked_at = texts[: values.NUM_TEXTS]
        left = math.fsum(math.exp(score - mass) for _, score in texts[values.NUM_TEXTS :])
        assert left > 0.1
        assert reading.uncovered == pytest.approx(left, abs=1e-9)
        best, second = by_value(looked_at, charset)[:2]
        assert [a.value for a in reading.alternatives] == [best[1], second[1]]
        assert reading.alternatives[0].probability == pytest.approx(math.exp(best[0]))
        assert reading.posterior == pytest.approx(math.exp(best[0] - mass))
        assert reading.grammar_mass == pytest.approx(math.exp(mass))


@pytest.mark.parametrize("name", ["level1", "expression", "regex:1{4}"])
@pytest.mark.parametrize("method", ["beam", "exact", "auto"])
def test_no_text_fits_or_all_are_impossible(name: str, method: str) -> None:
    charset = Charset("1+")
    grammar = load_grammar(name, charset)
    nothing = Answer(((),), (-math.inf,), True, 0.0)
    impossible = np.full((8, 1, 3), -np.inf)
    impossible[:, :, [0, 2]] = math.log(0.5)
    assert find(impossible, grammar, method) == [nothing]
    if name != "expression":
        assert find(random_log_probs(0, 4, 2, 3), grammar, method) == [nothing] * 2
    assert find(np.zeros((8, 0, 3)), grammar, method) == []


def test_equations_are_summed_by_value_and_by_whether_they_hold() -> None:
    grammar = load_grammar("regex:[123][+][12]=[34]", Charset("+1234="))
    log_probs = random_log_probs(11, 7, 3, grammar.charset.num_classes, 1.0)
    for sample, found in enumerate(find(log_probs, grammar, num_best=20)):
        groups: defaultdict[tuple[int, bool], list[float]] = defaultdict(list)
        for text, score in all_scores(log_probs[:, sample], grammar):
            left, right = grammar.charset.decode(text).split("=")
            groups[eval(left), eval(left) == int(right)].append(score)
        expected = sorted(map(log_sum_exp, groups.values()), reverse=True)
        assert len(expected) == 6  # 2 to 5, of which 3 and 4 may hold
        assert found.log_probs == pytest.approx(expected, abs=1e-9)
    (reading, *_) = Decoder(grammar, by_value=True)(log_probs)
    best = reading.alternatives[0]
    left, right = best.text.split("=")
    assert (best.value, best.holds) == (eval(left), eval(left) == int(right))


def test_what_equations_are_summed_to_is_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "NUM_TEXTS", 6)
    grammar = load_grammar("equation", Charset("12+="))
    log_probs = random_log_probs(3, 6, 3, 5, 0.8)
    for sample, found in enumerate(find(log_probs, grammar, num_best=2)):
        texts = ranked_texts(log_probs[:, sample], grammar.automaton)
        groups: defaultdict[tuple[object, object], list[float]] = defaultdict(list)
        for text, score in texts:
            left, *right = grammar.charset.decode(text).split("=")
            groups[eval(left), eval(left) == eval(right[0]) if right[0:1] > [""] else None].append(
                score
            )
        whole = log_sum_exp(score for _, score in texts)
        left_out = 1 - math.exp(log_sum_exp(score for _, score in texts[:6]) - whole)
        assert found.uncovered == pytest.approx(left_out, abs=1e-9)
        for text, score in zip(found.texts, found.log_probs, strict=True):
            (group,) = [g for g in groups.values() if dict(texts)[text] in g]
            assert score <= log_sum_exp(group) + 1e-9
            missed = math.exp(log_sum_exp(group)) - math.exp(score)
            assert missed <= left_out * math.exp(whole) + 1e-9
