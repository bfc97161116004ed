"""Gold pairs, identical pairs, swapped repeats and blinding."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from votes_made import simulated, turned

from harness.errors import DataError
from harness.stats import votes

V = votes.Vote


def gold(rater: str, winner: str) -> V:
    return V("g", "good", "broken", rater, winner)


def test_gold_accuracy_of_each_rater():
    made = [gold("x", "left")] * 8 + [gold("x", "right")] * 2 + [gold("y", "left")] * 3 + [gold("z", "skip")]
    found = votes.gold_accuracy(made, ["left"] * len(made))
    assert list(found) == ["x", "y", "z"]
    x, y = found["x"].estimate, found["y"].estimate
    assert x.value == 0.8
    # Wilson (1927) for 8 of 10, as in Newcombe (1998), method 3.
    assert (x.low, x.high) == pytest.approx((0.4902, 0.9433), abs=5e-5)
    assert y.value == 1.0 and 0.4 < y.low < 0.5 and y.high == pytest.approx(1.0)
    assert (found["z"].estimate, found["z"].why) == (None, "every one was skipped")


def test_gold_pairs_without_their_answers_are_refused():
    with pytest.raises(DataError, match="1 votes on gold pairs but 0 expected"):
        votes.gold_accuracy([gold("x", "left")], [])


def test_identical_pairs_are_ties_or_both_bad():
    made = [V("1", "a", "a", "x", winner) for winner in ("tie", "both_bad", "left", "skip", "tie")]
    found = votes.identical_tie_rate(made)["x"].estimate
    assert (found.value, found.n) == (0.75, 4)
    assert 0 < found.low < 0.75 < found.high < 1


def test_repeats_agree_when_the_same_answer_wins_on_either_side():
    one = V("1", "a", "b", "x", "left")
    made = [
        one, V("1", "b", "a", "x", "right"),  # consistent
        V("2", "a", "b", "x", "left"), V("2", "b", "a", "x", "left"),  # the left side, not the answer
        V("2", "b", "a", "x", "right"),  # a third time does not count
        V("1", "b", "a", "y", "tie"), V("1", "a", "b", "y", "tie"),
        V("2", "a", "b", "y", "left"), V("2", "a", "b", "y", "right"),  # the same side twice is no swapped repeat
        V("3", "a", "b", "y", "skip"), V("3", "b", "a", "y", "left"),
    ]  # fmt: skip
    found = votes.self_consistency(votes.VoteTable.of(made)).estimate
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert found.low < found.value < found.high
    none = votes.self_consistency(votes.VoteTable.of([one]))
    assert none.estimate is None and "again with its sides swapped" in none.why


def test_a_rater_who_answers_as_before_is_consistent():
    made = [V(v.item, v.left, v.right, f"{v.rater} {number}", v.winner) for number, v in enumerate(simulated(1))]
    found = votes.self_consistency(votes.VoteTable.of(made + [turned(vote) for vote in made])).estimate
    assert (found.value, found.high, found.n) == (1.0, 1.0, len(made))
    # All agree, so the limit is the exact one over the 24 examples.
    assert found.low == pytest.approx(0.025 ** (1 / 24))


def answers(truth: str, counts: dict[str | None, int]) -> list[votes.Guess]:
    given = [guess for guess, count in counts.items() for _ in range(count)]
    return [votes.Guess(f"{truth} {number}", truth, guess) for number, guess in enumerate(given)]


def test_published_blinding_indices():
    # The example of the R package BI and of BlindingIndex.jl: 0.115 (0.080 to 0.150) and 0.022 (-0.016 to 0.060).
    made = answers("T", {"T": 48, "P": 4, None: 330}) + answers("P", {"T": 22, "P": 30, None: 319})
    found = votes.blinding_index(made, ["T", "P"])
    treatment, placebo = found["T"].estimate, found["P"].estimate
    assert [round(one, 3) for one in (treatment.value, placebo.value)] == [0.115, 0.022]
    # Theirs is the normal interval; ours is the score interval, as for every difference of right and wrong.
    assert (treatment.low, treatment.high) == pytest.approx((0.080, 0.150), abs=4e-3)
    assert (placebo.low, placebo.high) == pytest.approx((-0.016, 0.060), abs=2e-3)
    assert found[None].estimate.n == 753


@given(st.integers(2, 6), st.integers(1, 5))
def test_random_guesses_among_any_number_of_arms_average_nothing(count, times):
    arms = [f"arm {arm}" for arm in range(count)]
    made = [votes.Guess(f"r{k}", truth, guess) for truth in arms for guess in arms for k in range(times)]
    found = votes.blinding_index(made, arms)
    assert [found[arm].estimate.value for arm in arms] == pytest.approx([0.0] * count, abs=1e-12)
    sure = votes.blinding_index([votes.Guess(f"r{k}", arms[0], arms[0]) for k in range(times)], arms)
    assert sure[arms[0]].estimate.value == 1.0
    assert (sure[arms[1]].estimate, sure[arms[1]].why) == (None, "no guesses")


def test_guesses_of_one_rater_are_one_cluster():
    made = answers("T", {"T": 6, "P": 4})
    several = votes.blinding_index(made, ["T", "P"])["T"].estimate
    one = votes.blinding_index([votes.Guess("r", g.truth, g.guess) for g in made], ["T", "P"])["T"].estimate
    assert several.clusters == 10 and several.low is not None
    assert (one.clusters, one.low, one.high) == (1, None, None)


def test_guesses_that_mean_nothing_are_refused():
    with pytest.raises(DataError, match=r"guess of Q\. The arms are T, P"):
        votes.blinding_index([votes.Guess("r", "T", "Q")], ["T", "P"])
    with pytest.raises(DataError, match="nothing to guess"):
        votes.blinding_index([], ["T"])
