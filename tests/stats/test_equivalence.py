"""Two one-sided tests: against statsmodels, against their own interval, and how often they are wrong."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from statsmodels.stats.weightstats import ttost_paired

from harness import stats


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("margin", [0.05, 0.2])
def test_it_is_the_paired_tost_of_statsmodels(seed: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.03, 1, 60), rng.normal(0, 0.2, 60)
    found = stats.equivalence(a - b, margin)
    p, _, _ = ttost_paired(a, b, -margin, margin)
    assert found.p_value == pytest.approx(p, rel=1e-9, abs=1e-12)


@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=40).filter(lambda values: np.std(values) > 1e-3),
    st.floats(0.01, 1),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_equivalence_is_an_interval_within_the_margins(values: list[float], margin: float, confidence: float) -> None:
    found = stats.equivalence(values, margin, confidence=confidence)
    assert found.p_value is not None and found.estimate.low is not None and found.estimate.high is not None
    within = -margin < found.estimate.low and found.estimate.high < margin
    assert within == (found.p_value < 1 - confidence) or abs(found.p_value - (1 - confidence)) < 1e-9
    beyond = found.estimate.low > margin or found.estimate.high < -margin
    assert (found.more_examples == 0) == (within or beyond)
    assert found.estimate.level == pytest.approx(2 * confidence - 1)


def test_clusters_widen_it() -> None:
    rng = np.random.default_rng(0)
    effect = np.repeat(rng.normal(0, 0.2, 20), 5)
    groups = [n // 5 for n in range(100)]
    plain, clustered = stats.equivalence(effect, 0.1), stats.equivalence(effect, 0.1, groups)
    assert plain.p_value is not None and clustered.p_value is not None
    assert clustered.p_value > plain.p_value


def test_at_the_margin_it_is_shown_in_at_most_five_of_a_hundred() -> None:
    rng = np.random.default_rng(1)
    shown = sum(_p(0.1 + 0.3 * rng.normal(size=80)) < 0.05 for _ in range(1000))
    assert 30 <= shown <= 70  # 50, within three standard errors
    power = sum(_p(0.3 * rng.normal(size=140)) < 0.05 for _ in range(300))
    assert power > 0.9 * 300


def _p(values: np.ndarray) -> float:
    found = stats.equivalence(values, 0.1).p_value
    assert found is not None
    return found


def test_values_without_spread() -> None:
    same = stats.equivalence([0.0] * 300, 0.02, bounds=(-1.0, 1.0))
    assert same.p_value == pytest.approx(0.05) and same.more_examples == 0
    few = stats.equivalence([0.0] * 30, 0.02, bounds=(-1.0, 1.0))
    assert few.p_value == 1.0 and few.more_examples is not None and few.more_examples > 30
    assert stats.equivalence([0.0] * 30, 0.02).p_value is None


@pytest.mark.parametrize(
    ("margin", "confidence"), [(0.0, 0.95), (-1.0, 0.95), (float("nan"), 0.95), (0.1, 0.5), (0.1, 1)]
)
def test_what_is_no_question_is_refused(margin: float, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"margin|confidence"):
        stats.equivalence([0.1, 0.2], margin, confidence=confidence)
