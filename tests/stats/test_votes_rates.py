"""Win rates and position bias: counts, loops, references, properties, edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.special import expit, logit
from votes_made import ARMS, simulated, some_votes, turned

from harness.stats import votes
from harness.stats.clusters import t_quantile
from harness.stats.votes.record import WINNERS
from harness.stats.votes.two_way import Crossing, covariance

V = votes.Vote
EVERY = ("left", "right", "tie", "both_bad", "skip")


def by_loops(made: list[V], arm: str, against: str | None = None) -> tuple[float | None, list[int]]:
    """Rate, and wins, losses, ties, both bad and skips, vote by vote."""
    counts = [0] * 5
    for vote in made:
        if arm not in (vote.left, vote.right) or (against is not None and against not in (vote.left, vote.right)):
            continue
        if vote.winner in ("left", "right"):
            winner = vote.left if vote.winner == "left" else vote.right
            counts[0 if winner == arm else 1] += 1
        else:
            counts[("tie", "both_bad", "skip").index(vote.winner) + 2] += 1
    wins, losses, ties = counts[:3]
    total = wins + losses + ties
    return (wins + ties / 2) / total if total else None, counts


def counted(rate: votes.WinRate) -> tuple[float | None, list[int]]:
    value = None if rate.rate.estimate is None else rate.rate.estimate.value
    return value, [rate.wins, rate.losses, rate.ties, rate.both_bad, rate.skipped]


@given(some_votes(EVERY))
@settings(max_examples=60)
def test_rates_are_those_of_the_loops(made):
    table = votes.VoteTable.of(made)
    for rate in votes.win_rates(table) + votes.pair_win_rates(table):
        value, counts = by_loops(made, rate.arm, rate.against)
        assert counted(rate)[1] == counts
        assert counted(rate)[0] == (None if value is None else pytest.approx(value))
        if rate.rate.estimate is None:
            assert rate.rate.why == "every vote was skipped or called both bad"
        elif rate.rate.estimate.low is not None:
            assert 0 <= rate.rate.estimate.low <= rate.rate.estimate.value <= rate.rate.estimate.high <= 1


@given(some_votes(EVERY))
@settings(max_examples=40)
def test_sides_matter_to_the_left_alone(made):
    ours, other = votes.VoteTable.of(made), votes.VoteTable.of([turned(vote) for vote in made])
    assert [counted(rate) for rate in votes.win_rates(ours)] == [
        (value if value is None else pytest.approx(value), counts)
        for value, counts in map(counted, votes.win_rates(other))
    ]
    left, right = votes.left_rate(ours).estimate, votes.left_rate(other).estimate
    assert (left is None) == (right is None)
    assert left is None or left.value == pytest.approx(1 - right.value)


def test_an_interval_clustered_both_ways_by_hand():
    table = votes.VoteTable.of(simulated(4, arms=2))
    rate = votes.win_rates(table)[0].rate.estimate
    residuals, n = table.first_score - rate.value, len(table.item)

    def clustered(codes) -> float:
        sums = [residuals[codes == code].sum() for code in sorted(set(codes.tolist()))]
        return sum(one**2 for one in sums) / n**2 * len(sums) / (len(sums) - 1)

    item, rater = clustered(table.item), clustered(table.rater)
    both = clustered(table.item * 100 + table.rater)
    variance = max(item + rater - both, both / 2)
    freedom = variance**2 / (rater**2 / 5 + max(0, item - both) ** 2 / 23)
    half = t_quantile(0.95, min(max(5, freedom), 23)) * variance**0.5 / (rate.value * (1 - rate.value))
    assert (rate.low, rate.high) == pytest.approx((expit(logit(rate.value) - half), expit(logit(rate.value) + half)))


def test_two_way_matrix_is_that_of_statsmodels():
    from statsmodels.api import OLS

    table = votes.VoteTable.of(simulated(5))
    crossing = Crossing.of(table.item_clusters, table.rater_clusters)
    n, score = len(table.item), table.left_score
    ours = covariance((score - score.mean())[:, None] / n, crossing).matrix()
    groups = np.stack([table.item, table.rater], axis=1)
    theirs = OLS(score, np.ones(n)).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True})
    assert ours == pytest.approx(theirs.cov_params(), rel=1e-9)


def test_both_bad_is_counted_and_not_in_the_rate():
    made = [V("1", "a", "b", "r", "left"), V("1", "a", "b", "s", "both_bad"), V("2", "b", "a", "r", "left")]
    table = votes.VoteTable.of([*made, V("2", "a", "b", "s", "left")])
    rate = votes.win_rates(table)[0]
    assert rate.rate.estimate.value == pytest.approx(2 / 3) and rate.both_bad == 1


def test_an_arm_that_always_wins_has_an_exact_limit():
    made = [
        V(f"i{i % 8}", *(("a", "b") if i % 2 else ("b", "a")), f"r{i % 5}", "left" if i % 2 else "right")
        for i in range(40)
    ]
    first, second = (rate.rate.estimate for rate in votes.win_rates(votes.VoteTable.of(made)))
    # Clopper-Pearson over the five raters: nobody of a sixth kind was seen.
    assert (first.value, first.high) == (1.0, 1.0)
    assert first.low == pytest.approx(0.025**0.2)
    assert (second.low, second.value) == (0.0, 0.0)
    assert second.high == pytest.approx(1 - 0.025**0.2)


def test_votes_that_cancel_in_every_cluster_have_no_interval():
    made = [V(item, "a", "b", rater, winner) for item in "12" for rater in "xy" for winner in ("left", "right")]
    rate = votes.win_rates(votes.VoteTable.of(made))[0].rate.estimate
    assert (rate.value, rate.low, rate.high) == (0.5, None, None)
    assert "no spread between clusters" in rate.method


def test_one_vote_has_no_interval():
    rate = votes.win_rates(votes.VoteTable.of([V("1", "a", "b", "r", "tie")]))[0].rate.estimate
    assert (rate.value, rate.low, rate.high, rate.n) == (0.5, None, None, 1)
    assert "no interval from one rater on one example" in rate.method


def test_nobody_prefers_a_side():
    skipped = votes.left_rate(votes.VoteTable.of([V("1", "a", "b", "r", "skip")]))
    assert (skipped.estimate, skipped.why) == (None, "no vote prefers a side")


def test_columns_keep_the_order_of_votes():
    made = simulated(1, outcomes=EVERY)
    table = votes.VoteTable.of(made)
    assert table.arms == ARMS[:3]
    assert [table.items[code] for code in table.item] == [vote.item for vote in made]
    assert [WINNERS[code] for code in table.winner] == [vote.winner for vote in made]
    assert [table.arms[code] for code in table.right] == [vote.right for vote in made]
    for vote, score in zip(made, table.first_score, strict=True):
        wins = {"left": vote.left, "right": vote.right}.get(vote.winner)
        expected = 0.0 if vote.winner == "skip" else 0.5 if wins is None else float(wins == min(vote.left, vote.right))
        assert score == expected
