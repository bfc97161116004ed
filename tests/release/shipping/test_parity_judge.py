"""The judgement of a parity check: pure, over made-up sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import given

from harness.records import Closeness, Estimate, Likelihood, ParityCheck, Prediction
from harness.release.shipping import judge


def side(name: str, texts: list[str], logprobs: list[float] | None = None) -> judge.ModelAnswers:
    predictions = [Prediction("e", f"x{n}", f"p{n}", text, "stop", 3, 3, 0.1) for n, text in enumerate(texts)]
    likelihoods = [Likelihood("e", "test", f"x{n}", 0, "target", value, 5, 9) for n, value in enumerate(logprobs or [])]
    return judge.ModelAnswers.of(name, predictions, likelihoods)


def near(value: float, low: float | None, high: float | None, *, base: bool = True) -> Closeness:
    return Closeness("other", base, "answers", Estimate(value, low, high, 9, 9, 1, "t", 0.9))


def measured(
    low: float | None, high: float | None, closeness: Sequence[Closeness] = (), margin: float = 0.05
) -> ParityCheck:
    value = 0.0 if low is None or high is None else (low + high) / 2
    difference = Estimate(value, low, high, 9, 9, 1, "t", 0.9)
    check = ParityCheck("e", "lora", 0, "run", "after", "merged", "folder", "hash", "exact_match", True, margin, 0.95)
    return replace(check, difference=difference, p_value=0.01, more_examples=7, closeness=tuple(closeness))


THERE = near(0.9, 0.8, 1.0)
WORDS = [f"word{n} of {n % 3}" for n in range(30)]


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.01, 1), st.sampled_from([-1.0, -0.2, 0.2, 1.0]))
def test_what_is_not_the_run_s_model_is_never_equivalent(middle: float, half: float, margin: float, at: float) -> None:
    found = judge.judge(measured(middle - half, middle + half, [near(at, at - 0.1, at + 0.1)], margin))
    within = -margin < middle - half and middle + half < margin
    assert (found.outcome == "EQUIVALENT") == (within and at > 0)
    if at < 0:
        assert (found.outcome, found.impostor) == ("DIFFERENT", "other")


@pytest.mark.parametrize(
    ("low", "high", "closeness", "outcome"),
    [
        (-0.01, 0.01, [THERE], "EQUIVALENT"),
        (0.06, 0.09, [THERE], "DIFFERENT"),
        (-0.09, -0.06, [THERE], "DIFFERENT"),
        (0.01, 0.09, [THERE], "INCONCLUSIVE"),
        (-0.2, 0.2, [THERE], "INCONCLUSIVE"),
        (None, None, [THERE], "INCONCLUSIVE"),
        (-0.01, 0.01, [near(0.1, -0.1, 0.3)], "INCONCLUSIVE"),
        (-0.01, 0.01, [near(0.1, None, None)], "INCONCLUSIVE"),
        (-0.01, 0.01, [], "INVALID"),
        (-0.01, 0.01, [THERE, near(-0.3, -0.5, -0.1, base=False)], "EQUIVALENT"),
        (-0.01, 0.01, [THERE, near(-0.9, -1.0, -0.7, base=False)], "DIFFERENT"),
    ],
)
def test_outcomes(low: float | None, high: float | None, closeness: list[Closeness], outcome: str) -> None:
    found = judge.judge(measured(low, high, closeness))
    assert found.outcome == outcome and "\n" not in found.words
    assert found.more_examples == (7 if outcome == "INCONCLUSIVE" else None)


def test_a_problem_comes_before_everything() -> None:
    found = measured(-0.01, 0.01, [THERE])
    assert judge.judge(replace(found, difference=None, words="no value")).outcome == "INVALID"
    assert judge.judge(found, "sibling@0").outcome == "DIFFERENT"


def test_prompts_and_examples_must_be_the_run_s() -> None:
    run = side("run", WORDS)
    assert judge.mismatch(run, side("shipped", WORDS)) == ""
    assert "1 examples of the run have no answer" in judge.mismatch(run, side("shipped", WORDS[:-1]))
    other = side("shipped", WORDS)
    changed = {**other.answers, "x3": replace(other.answers["x3"], prompt_hash="another")}
    assert "1 of 30 prompts are not the run's" in judge.mismatch(run, replace(other, answers=changed))


def test_whose_answers_they_are() -> None:
    run, base = side("run", WORDS, [-1.0] * 30), side("base", [text[::-1] for text in WORDS], [-9.0] * 30)
    [answers, likelihoods] = judge.closeness(run, side("s", WORDS, [-1.5] * 30), base, {}, base=True, confidence=0.95)
    assert answers.estimate.value == 1.0 and answers.estimate.low is not None and answers.estimate.low > 0.5
    assert likelihoods.estimate.value == pytest.approx((7.5 - 0.5) / 8)
    [swapped] = judge.closeness(run, side("s", [text[::-1] for text in WORDS]), base, {}, base=True, confidence=0.95)
    assert swapped.estimate.value == -1.0
    assert judge.closeness(run, side("s", WORDS), side("o", WORDS), {}, base=False, confidence=0.95) == ()


def test_a_twin_is_found_where_answers_do_not_tell() -> None:
    run, other = side("run", WORDS, [-1.0] * 30), side("sibling", WORDS, [-1.0] * 29 + [-1.2])
    assert judge.twin(run, side("s", WORDS, [-1.0] * 29 + [-1.2]), [other]) == "sibling"
    assert judge.twin(run, side("s", WORDS, [-1.00001] * 30), [other]) == ""
    assert judge.twin(run, side("s", WORDS), [side("sibling", WORDS)]) == "", "without likelihoods nothing is a twin"


@given(st.text(max_size=30), st.text(max_size=30))
def test_distance(a: str, b: str) -> None:
    assert 0 <= judge.distance(a, b) <= 1
    assert (judge.distance(a, b) == 0) == (a == b)
