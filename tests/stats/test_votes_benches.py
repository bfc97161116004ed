"""The benches of votes: the truth they compare with, their bounds, and the published figures where the data are."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from harness.stats import votes

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("HARNESS_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(name="review")
def review_bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield importlib.import_module("coverage_review")
    sys.modules.pop("coverage_review", None)


def test_without_effects_the_truth_is_what_went_in(review):
    kind = review.Round("plain", (0.5, 0.0, -0.5), 10, 2, 4, 0.0, 0.0, 0.0, side=0.3)
    scores, side, rates, left = review.truth(kind)
    assert scores == pytest.approx([0.5, 0.0, -0.5], abs=1e-9)
    assert side == pytest.approx(0.3, abs=1e-9)
    odds = [0.5 + 0.3, 1.0 + 0.3, 0.5 - 0.3, 1.0 - 0.3]
    assert rates[0] == pytest.approx(expit(odds).mean(), abs=1e-9)
    assert 0.5 < left < 0.6


def test_the_truth_is_where_large_rounds_go(review):
    kind = review.Round("large", (0.4, 0.0, -0.4), 4000, 3, 4000, 1.0, 0.5, 0.3, side=0.3, tie=0.5)
    table = review.draw(kind, np.random.default_rng(0))
    fit = votes.bradley_terry(table)
    scores, side, rates, left = review.truth(kind)
    assert scores[0] < 0.35  # effects flatten it
    for found, value in zip(votes.score_estimates(fit, level=0.999), scores, strict=True):
        assert found.low < value < found.high
    assert fit.scores == pytest.approx(scores, abs=0.03)
    assert fit.effects["side"] == pytest.approx(side, abs=0.03)
    assert table.left_score.mean() == pytest.approx(left, abs=0.01)
    assert [rate.rate.estimate.value for rate in votes.win_rates(table)] == pytest.approx(rates, abs=0.01)


def test_rounds_are_balanced(review):
    kind = review.ROUNDS[3]
    table = review.draw(kind, np.random.default_rng(1))
    for first in range(4):
        for second in range(first + 1, 4):
            rows = (table.first == first) & (table.second == second)
            assert (table.left[rows] == first).sum() == kind.examples * kind.each / 2
    seen = set(zip(table.item.tolist(), table.first.tolist(), table.second.tolist(), table.rater.tolist(), strict=True))
    assert len(seen) == len(table.item)
    assert np.ptp(np.bincount(table.rater)) <= 1


def test_bounds_catch_the_naive_interval(review):
    assert review.judge("score", 0.95, 2000) == ""
    assert review.judge("score", 0.80, 2000) == "outside 93 to 97 %"
    assert review.judge("score", 0.98, 2000) == "outside 93 to 97 %"
    assert review.judge("all ranks", 0.92, 2000) == "below 93.9%"
    assert review.judge("naive: score", 0.80, 2000) == ""


def test_a_watch_that_misses_is_reported(review, monkeypatch, capsys):
    looks = review.Looks("plain", 0.0, 0.0, 0.0, 0.0, True, examples=40)
    assert review.watch(looks, 200, np.random.default_rng(0)) == []
    monkeypatch.setattr(review, "log_wealth_path", lambda part: np.cumsum(np.abs(part - 0.5), axis=-1))
    assert len(review.watch(looks, 200, np.random.default_rng(0))) == 1
    assert "above" in capsys.readouterr().out


def test_published_kappas_and_golden_scores(monkeypatch, capsys):
    if not (DATA / "pandalm").is_dir() or not (DATA / "llmfao").is_dir():
        pytest.skip(f"no pandalm/ and llmfao/ in {DATA} (HARNESS_TEST_DATA names another folder)")
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    golden = importlib.import_module("votes_golden")
    assert golden.main(["--data", str(DATA)]) == 0
    assert "8931 votes, 59 arms, the same order" in capsys.readouterr().out


def test_golden_figures_without_the_data_are_no_success(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    golden = importlib.import_module("votes_golden")
    assert golden.main(["--data", str(tmp_path)]) == 2
    assert "holds no pandalm" in capsys.readouterr().err
