"""Perplexity, bits per byte and preference accuracy from sums of log-probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from harness.metrics import METRICS, score_likelihoods
from harness.records import Likelihood


def row(item: str, logprob: float, tokens: int = 2, size: int = 5, suite: str = "test", role: str = "target"):
    return Likelihood("e", suite, item, 0, role, logprob, tokens, size)


def corpus_value(name: str, rows: list[Likelihood]) -> float:
    scores = score_likelihoods([name], rows)
    return float(METRICS[name].combine(np.sum([score.statistics for score in scores], axis=0)))


def test_perplexity_is_a_ratio_of_sums_not_a_mean_of_perplexities():
    rows = [row("a", -1.0, tokens=1), row("b", -9.0, tokens=3)]
    assert corpus_value("perplexity", rows) == pytest.approx(math.exp(10 / 4))
    values = [score.value for score in score_likelihoods(["perplexity"], rows)]
    assert values == pytest.approx([math.exp(1.0), math.exp(3.0)])


def test_bits_per_byte():
    assert corpus_value("bits_per_byte", [row("a", -7 * math.log(2), size=7)]) == pytest.approx(1.0)


@given(st.integers(2, 50_000), st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_a_uniform_model_has_the_vocabulary_as_perplexity(vocabulary, lengths):
    rows = [row(str(i), -n * math.log(vocabulary), tokens=n) for i, n in enumerate(lengths)]
    assert corpus_value("perplexity", rows) == pytest.approx(vocabulary, rel=1e-9)


def test_suites_do_not_mix():
    rows = [row("a", -1.0), row("a", -4.0, suite="retention", role="text")]
    scores = score_likelihoods(["perplexity", "retention_perplexity", "rouge_l"], rows)
    assert [(score.metric, score.suite) for score in scores] == [
        ("perplexity", "test"),
        ("retention_perplexity", "retention"),
    ]
    assert [score.statistics for score in scores] == [(-1.0, 2.0), (-4.0, 2.0)]


def test_what_cannot_be_scored_is_missing_not_a_number():
    rows = [row("a", float("-inf")), row("b", float("nan")), row("c", 0.0, tokens=0)]
    scores = score_likelihoods(["perplexity"], rows)
    assert {(score.status, score.value, score.statistics) for score in scores} == {("missing", None, None)}


def test_a_perplexity_beyond_a_float_has_no_value_but_keeps_its_statistics():
    (score,) = score_likelihoods(["perplexity"], [row("a", -5000.0, tokens=1)])
    assert (score.status, score.value, score.statistics) == ("ok", None, (-5000.0, 1.0))


@pytest.mark.parametrize(("chosen", "rejected", "expected"), [(-1.0, -2.0, 1.0), (-2.0, -1.0, 0.0), (-1.0, -1.0, 0.0)])
def test_preference_accuracy(chosen, rejected, expected):
    rows = [
        row("a", chosen, tokens=1, suite="preferences", role="chosen"),
        row("a", rejected, tokens=90, suite="preferences", role="rejected"),
    ]
    assert [score.value for score in score_likelihoods(["preference_accuracy"], rows)] == [expected]


def test_a_pair_with_one_side_is_missing():
    (score,) = score_likelihoods(["preference_accuracy"], [row("a", -1.0, suite="preferences", role="chosen")])
    assert (score.status, score.value) == ("missing", None)
