"""Krippendorff's alpha and Cohen's kappa: published figures, references, loops, properties, edges."""

from __future__ import annotations

import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from votes_made import simulated, some_votes, turned

from harness.stats import votes
from harness.stats.votes.agreement import cohen_kappa, krippendorff_alpha

V = votes.Vote
EVERY = ("left", "right", "tie", "both_bad", "skip")
# Krippendorff, K. (2011), Computing Krippendorff's alpha-reliability: four observers, twelve units, dots are missing.
# He gets 0.743 for nominal and 0.815 for ordinal data.
PUBLISHED = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
# Answers of the three annotators of PandaLM's test set (WeOpenML/PandaLM, Apache-2.0), counted: [first][second][third],
# each 0 a tie, 1 or 2 the answer they prefer. Published kappas: 0.85, 0.88 and 0.86.
PANDALM = (
    ((85, 2, 2), (0, 0, 0), (4, 0, 4)),
    ((5, 11, 0), (10, 368, 10), (0, 12, 11)),
    ((7, 0, 4), (0, 11, 18), (2, 7, 426)),
)

RATINGS = st.lists(st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=3, max_size=3), min_size=1, max_size=12)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def counts_of(units) -> np.ndarray:
    """Units × categories from lists of ratings, None missing."""
    table = np.zeros((len(units), 6))
    for unit, ratings in enumerate(units):
        for rating in ratings:
            if rating is not None:
                table[unit, rating] += 1
    return table


def by_loops(units, scale: str) -> float | None:
    """Alpha as its definition reads, over pairs of ratings (None: undefined)."""
    units = [[one for one in unit if one is not None] for unit in units]
    units = [unit for unit in units if len(unit) > 1]
    every = [one for unit in units for one in unit]
    n = {category: every.count(category) for category in range(6)}

    def distance(a: int, b: int) -> float:
        if scale == "nominal" or a == b:
            return float(a != b)
        low, high = min(a, b), max(a, b)
        return (sum(n[g] for g in range(low, high + 1)) - (n[low] + n[high]) / 2) ** 2

    observed = sum(sum(distance(a, b) for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units)
    expected = sum(distance(a, b) for a, b in permutations(every, 2))
    return None if not expected else 1 - (len(every) - 1) * observed / expected


@pytest.mark.parametrize(("scale", "published"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_published_alpha(scale, published):
    units = [[None if one == "." else int(one) for one in column] for column in zip(*PUBLISHED, strict=True)]
    assert len(units) == 12
    found = krippendorff_alpha(counts_of(units), scale, rng()).estimate
    assert round(found.value, 3) == published
    assert found.low < found.value < found.high
    # One unit has a single rating and counts for nothing.
    assert found.n == found.clusters == 11


def test_published_kappas():
    answers = np.array(
        [(a, b, c) for a in range(3) for b in range(3) for c in range(3) for _ in range(PANDALM[a][b][c])]
    )
    assert len(answers) == 999
    kappas = [round(cohen_kappa(answers[:, a], answers[:, b]), 2) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert kappas == [0.85, 0.88, 0.86]


@given(RATINGS, st.sampled_from(["nominal", "ordinal"]))
@settings(max_examples=80)
def test_alpha_is_that_of_the_loops(units, scale):
    found = krippendorff_alpha(counts_of(units), scale, rng(), resamples=20)
    expected = by_loops(units, scale)
    if found.estimate is None:
        assert expected is None
        assert found.why
    else:
        assert found.estimate.value == pytest.approx(expected, abs=1e-12)


@given(RATINGS, st.sampled_from(["nominal", "ordinal"]))
@settings(max_examples=40)
def test_alpha_is_that_of_evalica(units, scale):
    evalica = pytest.importorskip("evalica", reason="evalica, of the extra [dev], is not installed")
    import pandas

    found = krippendorff_alpha(counts_of(units), scale, rng(), resamples=20).estimate
    assume(found is not None)
    ratings = np.array([[np.nan if one is None else one for one in unit] for unit in units], dtype=float)
    theirs = evalica.alpha(pandas.DataFrame(ratings.T), scale).alpha
    assert found.value == pytest.approx(theirs, abs=1e-9)


def test_the_interval_resamples_whole_examples():
    generator = rng(3)
    units = [list(generator.integers(0, 3, size=3)) for _ in range(12)]
    clusters = [0, 0, 1, 2, 2, 2, 3, 4, 5, 5, 6, 7]
    found = krippendorff_alpha(counts_of(units), "ordinal", rng(9), clusters, resamples=200).estimate
    draws = []
    for drawn in rng(9).integers(8, size=(200, 8)):
        chosen = [units[unit] for cluster in drawn for unit in range(12) if clusters[unit] == cluster]
        value = by_loops(chosen, "ordinal")
        draws.append(1.0 if value is None else value)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=1e-12)
    again = krippendorff_alpha(counts_of(units), "ordinal", rng(9), clusters, resamples=200).estimate
    assert again == found


def test_alpha_that_is_not_there_says_why():
    alone = krippendorff_alpha([[1, 0], [0, 1]], "nominal", rng())
    assert (alone.estimate, alone.why) == (None, "no comparison was judged by two raters")
    same = krippendorff_alpha([[2, 0], [3, 0]], "ordinal", rng())
    assert same.estimate is None and "every rating is the same" in same.why
    one = krippendorff_alpha([[1, 1]], "nominal", rng()).estimate
    assert (one.low, one.high) == (None, None) and "no interval from one example" in one.method


@given(some_votes(EVERY), st.sampled_from(["nominal", "ordinal"]), st.integers(0, 100))
@settings(max_examples=40)
def test_agreement_does_not_hang_on_sides(made, scale, seed):
    swapped = [turned(vote) if number % 3 else vote for number, vote in enumerate(made)]
    ours, theirs = (votes.VoteTable.of(one) for one in (made, swapped))
    assert votes.vote_alpha(ours, scale, rng(seed)) == votes.vote_alpha(theirs, scale, rng(seed))
    assert votes.pairwise_kappas(ours) == votes.pairwise_kappas(theirs)


def test_votes_become_ratings():
    def one(rater, winner, item="1", left="a", right="b"):
        return V(item, left, right, rater, winner)

    made = [
        one("x", "left"), one("y", "right", left="b", right="a"), one("z", "tie"),
        one("x", "right"),  # a second thought does not count
        one("x", "tie", "2"), one("y", "both_bad", "2"), one("z", "skip", "2"),
        one("x", "right", "3"), one("y", "left", "3"), one("z", "right", "3"),
    ]  # fmt: skip
    table = votes.VoteTable.of(made)
    nominal = votes.vote_alpha(table, "nominal", rng()).estimate
    assert nominal.value == pytest.approx(by_loops([[0, 0, 1], [1, 3], [2, 0, 2]], "nominal"))
    ordinal = votes.vote_alpha(table, "ordinal", rng()).estimate
    assert ordinal.value == pytest.approx(by_loops([[0, 0, 1], [2, 0, 2]], "ordinal"))
    kappas = {(kappa.first, kappa.second): kappa for kappa in votes.pairwise_kappas(table)}
    assert [kappas[pair].n for pair in (("x", "y"), ("x", "z"), ("y", "z"))] == [3, 2, 2]
    # x said first, tie, second; y first, both bad, first: they agree once in three.
    assert kappas["x", "y"].value == pytest.approx((1 / 3 - 2 / 9) / (1 - 2 / 9))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_kappa_is_that_of_statsmodels(pairs):
    from statsmodels.stats.inter_rater import cohens_kappa

    first, second = np.array(pairs).T
    ours = cohen_kappa(first, second)
    table = np.zeros((4, 4))
    np.add.at(table, (first, second), 1)
    if ours is None:
        assert len(set(first) | set(second)) == 1
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its standard errors divide by zero at perfect agreement
        assert ours == pytest.approx(cohens_kappa(table).kappa, abs=1e-9)


def test_kappas_that_are_not_there_say_why():
    made = [V("1", "a", "b", "x", "left"), V("1", "a", "b", "y", "left"), V("2", "a", "b", "z", "left")]
    whys = [kappa.why for kappa in votes.pairwise_kappas(votes.VoteTable.of(made))]
    assert whys == ["both gave one and the same answer throughout", "nothing in common", "nothing in common"]
    assert votes.pairwise_kappas(votes.VoteTable.of(made[:1])) == ()
    with pytest.raises(ValueError, match="same units"):
        cohen_kappa([1, 2], [1])


def test_real_rounds_of_a_kind_have_both_scales():
    table = votes.VoteTable.of(simulated(2, outcomes=EVERY))
    for scale in ("nominal", "ordinal"):
        found = votes.vote_alpha(table, scale, rng()).estimate
        assert -1 < found.low < found.value < found.high < 1
        assert found.clusters == 24
