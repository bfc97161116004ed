"""Bradley-Terry: golden scores, references, properties, separation, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, logit, stdtr
from votes_made import ARMS, FOOD_GOLDEN, food, simulated, some_votes, turned

from harness.errors import DataError
from harness.stats import votes
from harness.stats.clusters import t_quantile
from harness.stats.votes.bradley_terry import design_of
from harness.stats.votes.separation import separated_rows

V = votes.Vote


def table(made) -> votes.VoteTable:
    return votes.VoteTable.of(made)


def shares(fit: votes.BradleyTerry) -> dict[str, float]:
    weights = np.exp(fit.scores)
    return dict(zip(fit.arms, (weights / weights.sum()).tolist(), strict=True))


def wins_of(known: votes.VoteTable) -> np.ndarray:
    """Wins of the row's arm over the column's, ties half."""
    wins = np.zeros((len(known.arms), len(known.arms)))
    np.add.at(wins, (known.left, known.right), known.left_score)
    np.add.at(wins, (known.right, known.left), 1 - known.left_score)
    return wins


def strongly_connected(known: votes.VoteTable) -> bool:
    return connected_components(wins_of(known), directed=True, connection="strong")[0] == 1


def by_loops(known: votes.VoteTable) -> dict[str, float]:
    """Zermelo's iteration (1929), one arm after another, to scores that sum to one."""
    wins, count = wins_of(known), len(known.arms)
    strength = [1.0 / count] * count
    for _ in range(100_000):
        before = list(strength)
        for i in range(count):
            met = sum((wins[i, j] + wins[j, i]) / (strength[i] + strength[j]) for j in range(count) if j != i)
            strength[i] = sum(wins[i]) / met
        strength = [one / sum(strength) for one in strength]
        if max(abs(now - then) for now, then in zip(strength, before, strict=True)) < 1e-14:
            break
    return dict(zip(known.arms, strength, strict=True))


def generalised_linear(known: votes.VoteTable, extra: np.ndarray, **how):
    """statsmodels' logit with the first arm as reference."""
    import statsmodels.api as models

    design = design_of(len(known.arms), known.left, known.right, extra)[:, 1:]
    return models.GLM(known.left_score, design, family=models.families.Binomial()).fit(tol=1e-14, maxiter=100, **how)


def test_published_scores_of_foods():
    fit = votes.bradley_terry(table(food()), side=False)
    assert shares(fit) == pytest.approx(FOOD_GOLDEN, abs=1e-12)
    assert fit.scores.sum() == pytest.approx(0.0, abs=1e-12)


@given(some_votes(least=4))
@settings(max_examples=60)
def test_scores_are_those_of_the_loops(made):
    known = table(made)
    assume(strongly_connected(known))
    ours = votes.bradley_terry(known, side=False)
    assert not ours.separated
    assert shares(ours) == pytest.approx(by_loops(known), abs=1e-7)


@given(some_votes(least=4))
@settings(max_examples=30)
def test_scores_are_those_of_evalica(made):
    evalica = pytest.importorskip("evalica", reason="evalica, of the extra [dev], is not installed")
    known = table(made)
    assume(strongly_connected(known))
    outcome = {"left": evalica.Winner.X, "right": evalica.Winner.Y, "tie": evalica.Winner.Draw}
    theirs = evalica.bradley_terry(
        [vote.left for vote in made],
        [vote.right for vote in made],
        [outcome[vote.winner] for vote in made],
        tolerance=1e-14,
        limit=100_000,
    ).scores
    ours = dict(zip(known.arms, votes.bradley_terry(known, side=False).scores, strict=True))
    logs = np.log(theirs)
    assert ours == pytest.approx((logs - logs.mean()).to_dict(), abs=1e-5)


def test_coefficients_and_naive_errors_are_those_of_a_logit():
    known = table(simulated(1))
    fit = votes.bradley_terry(known)
    theirs = generalised_linear(known, np.ones((len(known.item), 1)))
    assert fit.scores[1:] - fit.scores[0] == pytest.approx(theirs.params[:2], abs=1e-9)
    assert fit.effects["side"] == pytest.approx(theirs.params[2], abs=1e-9)
    against_first = np.array([[-1.0, 1, 0, 0], [-1.0, 0, 1, 0], [0, 0, 0, 1]])
    assert against_first @ fit.naive @ against_first.T == pytest.approx(theirs.cov_params(), abs=1e-9)


def test_two_way_covariance_is_that_of_statsmodels():
    known = table(simulated(2))
    fit, n = votes.bradley_terry(known), len(known.item)
    groups = np.stack([known.item, known.rater], axis=1)
    theirs = generalised_linear(known, np.ones((n, 1)), cov_type="cluster", cov_kwds={"groups": groups})
    against_first = np.array([[-1.0, 1, 0, 0], [-1.0, 0, 1, 0], [0, 0, 0, 1]])
    ours = against_first @ fit.covariance.matrix() @ against_first.T
    # statsmodels scales by (n - 1) / (n - k) besides.
    assert ours * (n - 1) / (n - 3) == pytest.approx(theirs.cov_params(), abs=1e-9)


def test_an_interval_is_made_of_its_parts():
    fit = votes.bradley_terry(table(simulated(3)))
    contrast = np.array([1.0, -1, 0, 0])
    rater, item = (float(contrast @ way @ contrast) for way in fit.covariance.ways)
    both = float(contrast @ fit.covariance.both @ contrast)
    variance = max(item + rater - both, both / 2)
    freedom = variance**2 / (rater**2 / 5 + max(0.0, item - both) ** 2 / 23)
    half = t_quantile(0.95, min(max(freedom, 5), 23)) * math.sqrt(variance)
    pair = votes.pair_comparisons(fit)[0]
    assert (pair.first, pair.second) == ("ada", "bob")
    assert pair.difference.low == pytest.approx(fit.scores[0] - fit.scores[1] - half)
    assert pair.difference.high == pytest.approx(fit.scores[0] - fit.scores[1] + half)
    assert pair.win_probability.low == pytest.approx(expit(pair.difference.low))
    assert pair.win_probability.value == pytest.approx(expit(pair.difference.value))


@given(some_votes(least=6), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_nothing_hangs_on_order_names_or_which_side_is_called_left(made, shuffle):
    assume(strongly_connected(table(made)))
    ours = votes.bradley_terry(table(made), side=False)
    other = [turned(vote) if shuffle.random() < 0.5 else vote for vote in made]
    shuffle.shuffle(other)
    names = dict(zip(ARMS, shuffle.sample(["p", "q", "r", "s"], 4), strict=True))
    other = [V(vote.item, names[vote.left], names[vote.right], vote.rater, vote.winner) for vote in other]
    theirs = votes.bradley_terry(table(other), side=False)
    place = {names[arm]: place for place, arm in enumerate(ours.arms)}
    order = [place[arm] for arm in theirs.arms]
    assert theirs.scores == pytest.approx(ours.scores[order], abs=1e-8)
    assert theirs.naive == pytest.approx(ours.naive[np.ix_(order, order)], rel=1e-6, abs=1e-8)
    ours_low = [one.low for one in votes.score_estimates(ours)]
    theirs_low = [one.low for one in votes.score_estimates(theirs)]
    for mine, place in zip(theirs_low, order, strict=True):
        assert (mine is None) == (ours_low[place] is None)
        assert mine is None or mine == pytest.approx(ours_low[place], abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_mirroring_all_sides_turns_the_sides_effect_and_repeating_votes_changes_no_score(seed):
    made = simulated(seed)
    ours, mirrored = (votes.bradley_terry(table(one)) for one in (made, [turned(vote) for vote in made]))
    assert mirrored.scores != pytest.approx(np.zeros(3), abs=0.01)
    # Mirrored votes are the same comparisons: only what is called left has changed.
    assert mirrored.scores == pytest.approx(ours.scores, abs=1e-9)
    assert mirrored.effects["side"] == pytest.approx(-ours.effects["side"], abs=1e-9)
    twice = votes.bradley_terry(table(made + made))
    assert twice.scores == pytest.approx(ours.scores, abs=1e-9)
    assert twice.naive == pytest.approx(ours.naive / 2, abs=1e-9)
    # The same judgments again are no news for clusters.
    assert twice.covariance.matrix() == pytest.approx(ours.covariance.matrix(), abs=1e-9)


def test_two_arms_without_a_side_are_a_win_rate():
    known = table(simulated(5, arms=2))
    fit = votes.bradley_terry(known, side=False)
    rate = votes.win_rates(known)[0].rate.estimate
    pair = votes.pair_comparisons(fit)[0]
    assert pair.difference.value == pytest.approx(logit(rate.value))
    assert (pair.win_probability.low, pair.win_probability.high) == pytest.approx((rate.low, rate.high))


def test_both_bad_and_skips_count_for_nothing():
    made = simulated(6, outcomes=("left", "right", "tie", "both_bad", "skip"))
    kept = [vote for vote in made if vote.winner in ("left", "right", "tie")]
    assert len(kept) < len(made)
    apart, alone = votes.bradley_terry(table(made)), votes.bradley_terry(table(kept))
    assert apart.scores == pytest.approx(alone.scores, abs=1e-10)
    as_ties = [V(v.item, v.left, v.right, v.rater, "tie" if v.winner == "both_bad" else v.winner) for v in made]
    assert votes.bradley_terry(table(as_ties)).scores != pytest.approx(apart.scores, abs=1e-3)


# ------------------------------------------------------------------------------------------------------ ranks and best


def test_ranks_allow_for_all_pairs_and_best_adds_up():
    fit = votes.bradley_terry(table(simulated(22, items=60, arms=4)))
    pairs, ranks = votes.pair_comparisons(fit), votes.vote_ranks(fit)
    # Some pairs differ by themselves, but not among six.
    assert any(0.05 / 6 < pair.p_value <= 0.05 for pair in pairs)
    for place, arm in enumerate(fit.arms):
        mine = [
            (pair, pair.difference.value if pair.first == arm else -pair.difference.value)
            for pair in pairs
            if arm in (pair.first, pair.second)
        ]
        clear = [ahead for pair, ahead in mine if pair.p_value <= 0.05 / 6]
        above, below = sum(ahead < 0 for ahead in clear), sum(ahead > 0 for ahead in clear)
        assert ranks[place] == (1 + above, 4 - below)
    assert ranks[0][1] < ranks[3][0]
    best = votes.vote_best_probabilities(fit, np.random.default_rng(1))
    assert sum(best) == pytest.approx(1.0)
    assert best[0] == max(best) > 0.5 > 0.01 > best[3]
    assert best == votes.vote_best_probabilities(fit, np.random.default_rng(1))
    assert best != votes.vote_best_probabilities(fit, np.random.default_rng(2))


def test_best_is_as_unsure_as_the_interval_where_votes_cancel_in_every_cluster():
    """Two raters who choose the left side, sides swapped between them: the two-way variance comes out negative."""
    made = [V(f"x{n}", *(("a", "b") if n % 2 else ("b", "a")), "R0", "left") for n in range(30)]
    made += [V(f"x{n}", *(("b", "a") if n % 2 else ("a", "b")), "R1", "left") for n in range(30)]
    made[0] = V("x0", "b", "a", "R0", "right")
    fit = votes.bradley_terry(table(made), side=False)
    contrast = np.array([1.0, -1.0])
    assert contrast @ fit.covariance.matrix() @ contrast < 0
    (pair,) = votes.pair_comparisons(fit)
    best = dict(zip(fit.arms, votes.vote_best_probabilities(fit, np.random.default_rng(1)), strict=True))
    error, _ = fit.covariance.t_error(contrast)
    assert pair.difference.low < 0 < pair.difference.high
    value = fit.scores[fit.arms.index("a")] - fit.scores[fit.arms.index("b")]
    assert best["a"] == pytest.approx(float(stdtr(fit.covariance.dofs[0], value / error)), abs=0.01)


@given(st.integers(0, 10_000), st.integers(2, 4))
@settings(max_examples=30)
def test_the_floored_covariance_gives_two_arms_the_variance_of_their_interval(seed: int, raters: int):
    made = simulated(seed, items=12, arms=3, raters=raters)
    fit = votes.bradley_terry(table(made))
    assume(not fit.separated and fit.covariance.ways)
    arms = len(fit.arms)
    floored, twoway = fit.covariance.floored(arms), fit.covariance.matrix()[:arms, :arms]
    both = fit.covariance.both[:arms, :arms]
    scale = np.abs(floored).max()
    assert np.linalg.eigvalsh(floored - 0.5 * both).min() > -1e-9 * scale
    assert np.linalg.eigvalsh(floored - twoway).min() > -1e-9 * scale, "it is never less than the two-way one"


def test_equal_arms_may_take_every_rank():
    made = [
        V(str(i), *pair, str(r), w)
        for i in range(6)
        for r in range(3)
        for pair in (("a", "b"), ("b", "a"))
        for w in ("left", "right")
    ]
    fit = votes.bradley_terry(table(made))
    assert fit.scores == pytest.approx([0.0, 0.0])
    assert votes.vote_ranks(fit) == ((1, 2), (1, 2))
    # Votes that cancel on every example and for every rater show no spread, which is no proof of anything.
    assert votes.pair_comparisons(fit)[0].p_value is None
    assert votes.score_estimates(fit)[0].low is None
    assert "no spread between clusters" in votes.score_estimates(fit)[0].method


# ---------------------------------------------------------------------------------------------------------- separation


@given(some_votes(least=2))
@settings(max_examples=80)
def test_the_linear_program_finds_separation_where_the_graph_of_wins_has_it(made):
    known = table(made)
    design = design_of(len(known.arms), known.left, known.right, np.ones((len(made), 0)))
    rows = separated_rows(design, known.left_score)
    # A win between two strongly connected components is one that no other vote contradicts.
    labels = connected_components(wins_of(known), directed=True, connection="strong")[1]
    assert rows.tolist() == (labels[known.left] != labels[known.right]).tolist()


def untrained_always_loses() -> list[votes.Vote]:
    made = simulated(8, arms=2, items=20, raters=8)
    for item in range(20):
        for number, arm in enumerate(("ada", "bob")):
            sides = (arm, "zed") if (item + number) % 2 else ("zed", arm)
            winner = "left" if sides[0] == arm else "right"
            made.append(V(f"item {item}", *sides, f"rater {(2 * item + number) % 8}", winner))
    return made


def test_an_arm_that_lost_every_time_is_flagged_and_the_others_keep_their_intervals():
    made = untrained_always_loses()
    fit = votes.bradley_terry(table(made))
    assert fit.separated
    assert fit.groups == ((0, 1), (2,))
    assert np.isfinite(fit.scores).all() and np.abs(fit.scores).max() < 10
    assert fit.scores.argmin() == 2
    assert all(one.low is None and one.high is None and "separated" in one.method for one in votes.score_estimates(fit))
    assert votes.effect_estimate(fit, "side").low is None
    assert votes.vote_best_probabilities(fit, np.random.default_rng(0)) is None
    between, lost, _ = votes.pair_comparisons(fit)
    assert not between.unbounded
    alone = votes.pair_comparisons(votes.bradley_terry(table([v for v in made if "zed" not in (v.left, v.right)])))[0]
    assert between.difference.value == pytest.approx(alone.difference.value, abs=1e-8)
    assert between.difference.low == pytest.approx(alone.difference.low, abs=1e-8)
    assert between.p_value == pytest.approx(alone.p_value, abs=1e-8)
    assert lost.unbounded
    assert lost.difference.low is None and lost.difference.high is None
    # Four of the eight raters judged this pair (every other turn), and all of them the same way.
    assert lost.p_value == 2 * 0.5**4
    assert votes.vote_ranks(fit, level=0.5)[2] == (3, 3)


def test_two_arms_totally_separated():
    made = [
        V(f"i{i}", *(("a", "b") if i % 2 else ("b", "a")), f"r{i % 9}", "left" if i % 2 else "right") for i in range(36)
    ]
    fit = votes.bradley_terry(table(made))
    pair = votes.pair_comparisons(fit)[0]
    assert fit.separated and pair.unbounded
    # As if the pair had one more tie: 36 wins and a half against a half.
    assert pair.difference.value == pytest.approx(math.log(36.5 / 0.5))
    assert pair.p_value == 2 * 0.5**9
    assert votes.vote_ranks(fit) == ((1, 1), (2, 2))
    rate = votes.win_rates(table(made))[0].rate.estimate
    assert (rate.value, rate.high) == (1.0, 1.0)
    assert rate.low == pytest.approx(0.025 ** (1 / 9))


def test_a_left_side_that_always_wins_says_nothing_about_arms():
    made = [V(f"i{i}", *(("a", "b") if i % 2 else ("b", "a")), f"r{i % 5}", "left") for i in range(20)]
    fit = votes.bradley_terry(table(made))
    pair = votes.pair_comparisons(fit)[0]
    assert fit.separated
    assert fit.effects["side"] > 2
    assert (pair.difference.low, pair.p_value) == (None, None)
    assert pair.difference.value == pytest.approx(0.0, abs=1e-9)
    assert votes.vote_ranks(fit) == ((1, 2), (1, 2))


# ------------------------------------------------------------------------------------------------------------- lengths


def test_scores_at_equal_lengths_are_those_of_a_logit_with_the_length():
    made = simulated(9)
    lengths = np.random.default_rng(4).normal(scale=50, size=len(made))
    known = table(made)
    fit = votes.bradley_terry(known, lengths=lengths)
    scaled = np.tanh(lengths / np.sqrt(np.mean(lengths**2)))
    theirs = generalised_linear(known, np.column_stack([np.ones(len(made)), scaled]))
    assert fit.scores[1:] - fit.scores[0] == pytest.approx(theirs.params[:2], abs=1e-8)
    assert fit.effects["length"] == pytest.approx(theirs.params[3], abs=1e-8)
    interval = votes.effect_estimate(fit, "length")
    assert interval.low < fit.effects["length"] < interval.high


def test_an_arm_that_wins_by_length_alone_is_no_better_at_equal_lengths():
    rng, made, lengths = np.random.default_rng(0), [], []
    for number in range(600):
        swapped = bool(rng.integers(2))
        # The verbose arm is longer by 30 words on average, and raters like length only.
        difference = (-1 if swapped else 1) * 30 + rng.normal(scale=60)
        likes = difference / 40 + rng.logistic() > 0
        made.append(
            V(
                f"i{number // 3}",
                *(("terse", "wordy") if swapped else ("wordy", "terse")),
                f"r{number % 10}",
                "left" if likes else "right",
            )
        )
        lengths.append(difference)
    plain = votes.pair_comparisons(votes.bradley_terry(table(made)))[0].difference
    held = votes.pair_comparisons(votes.bradley_terry(table(made), lengths=lengths))[0].difference
    assert plain.high < 0
    assert held.low < 0 < held.high
    assert abs(held.value) < abs(plain.value) / 2


# ------------------------------------------------------------------------------------------------------------ refusals


def test_groups_never_compared_are_named():
    made = [
        V("1", "a", "b", "r", "left"),
        V("1", "b", "a", "r", "left"),
        V("2", "c", "d", "r", "tie"),
        V("2", "e", "d", "r", "tie"),
    ]
    with pytest.raises(DataError, match=r"never compared with each other: a, b \| c, d, e\. Collect votes"):
        votes.bradley_terry(table(made))


def test_sides_that_are_arms_are_refused():
    made = [V(str(i), "a", "b", str(i % 3), "left" if i % 3 else "right") for i in range(12)]
    with pytest.raises(DataError, match="always stood alike"):
        votes.bradley_terry(table(made))
    assert votes.bradley_terry(table(made), side=False).scores == pytest.approx([math.log(2) / 2, -math.log(2) / 2])


def test_lengths_that_cannot_be_used_are_refused():
    made = simulated(1)
    with pytest.raises(DataError, match="no two answers differ in length"):
        votes.bradley_terry(table(made), lengths=np.zeros(len(made)))
    with pytest.raises(DataError, match="144 votes but lengths of shape"):
        votes.bradley_terry(table(made), lengths=[1.0])
    with pytest.raises(DataError, match="votes are separated"):
        votes.bradley_terry(table(untrained_always_loses()), lengths=np.arange(80.0))
    sides = [1.0 if vote.left < vote.right else -1.0 for vote in simulated(1, arms=2)]
    with pytest.raises(DataError, match="cannot be told from the arms"):
        votes.bradley_terry(table(simulated(1, arms=2)), lengths=sides)


def test_arms_without_a_vote_that_counts_are_named():
    made = [
        *simulated(1, arms=2),
        V("item 1", "ada", "zed", "rater 1", "skip"),
        V("item 1", "zed", "bob", "rater 1", "both_bad"),
    ]
    with pytest.raises(DataError, match="every vote on zed was skipped or called both bad"):
        votes.bradley_terry(table(made))


@pytest.mark.parametrize(
    ("made", "match"),
    [
        ([], "no votes"),
        ([V("1", "a", "a", "r", "tie")], "vote 1: a stands on both sides"),
        ([V("1", "a", "b", "r", "left"), V("1", "a", "b", "r", "draw")], "vote 2: winner 'draw'. One of left, right"),
    ],
)
def test_what_is_no_vote_is_refused(made, match):
    with pytest.raises(DataError, match=match):
        table(made)


def test_one_rater_and_one_example_say_what_they_leave_out():
    made = simulated(10, arms=2)
    one_rater = votes.bradley_terry(table([V(v.item, v.left, v.right, "only", v.winner) for v in made]))
    one_item = votes.bradley_terry(table([V("only", v.left, v.right, v.rater, v.winner) for v in made]))
    alone = votes.bradley_terry(table([V("only", v.left, v.right, "only", v.winner) for v in made]))
    assert "one rater: clustered by example only" in votes.score_estimates(one_rater)[0].method
    assert "23.0 degrees" in votes.score_estimates(one_rater)[0].method
    assert "one example: clustered by rater only" in votes.score_estimates(one_item)[0].method
    nothing = votes.score_estimates(alone)[0]
    assert (nothing.low, nothing.high) == (None, None)
    assert "no interval from one rater on one example" in nothing.method
    assert votes.pair_comparisons(alone)[0].p_value is None
    assert votes.vote_ranks(alone) == ((1, 2), (1, 2))
    assert votes.vote_best_probabilities(alone, np.random.default_rng(0)) is None
