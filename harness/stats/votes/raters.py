"""How far raters can be relied on: gold pairs, identical pairs, swapped repeats, and whether they were blind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import DataError
from harness.records import Estimate
from harness.stats.clusters import Clusters
from harness.stats.intervals import estimate
from harness.stats.votes.agreement import comparisons, preferences
from harness.stats.votes.record import SKIP, Measured, Vote, VoteTable, Winner
from harness.stats.votes.two_way import Crossing, mean_interval


@dataclass(frozen=True, slots=True)
class Guess:
    """An answer to the closing question *which method wrote this?*"""

    rater: str
    truth: str
    guess: str | None
    """None: the rater does not know."""


def gold_accuracy(votes: Sequence[Vote], expected: Sequence[Winner], *, level: float = 0.95) -> dict[str, Measured]:
    """Each rater's share of gold pairs answered as `expected` (one for each vote); a skip is no answer.

    Wilson's interval (1927), which holds at few pairs and at a share of 0 or 1.

    Raises DataError: not one expected winner for each vote.
    """
    if len(votes) != len(expected):
        raise DataError(f"{len(votes)} votes on gold pairs but {len(expected)} expected answers")
    right = [vote.winner == winner for vote, winner in zip(votes, expected, strict=True)]
    return _fractions(votes, right, "gold pairs answered right", level)


def identical_tie_rate(votes: Sequence[Vote], *, level: float = 0.95) -> dict[str, Measured]:
    """Each rater's share of identical pairs called a tie or both bad, which is right; a skip is no answer."""
    right = [vote.winner in ("tie", "both_bad") for vote in votes]
    return _fractions(votes, right, "identical pairs called alike", level)


def self_consistency(table: VoteTable, *, level: float = 0.95) -> Measured:
    """The share of comparisons that a rater judged twice, sides swapped, and answered alike both times.

    Of several votes of one rater on one comparison the first on each side counts; skips count for nothing. Clustered
    by example and by rater.
    """
    answer, left_first = preferences(table), table.left < table.right
    keys = comparisons(table) * len(table.raters) + table.rater
    earliest: list[dict[int, int]] = [{}, {}]
    for row in np.flatnonzero(answer != SKIP).tolist():
        earliest[int(left_first[row])].setdefault(int(keys[row]), row)
    both = [(row, earliest[1][key]) for key, row in earliest[0].items() if key in earliest[1]]
    if not both:
        return Measured(None, "no rater judged a comparison again with its sides swapped")
    first, second = (np.array(rows) for rows in zip(*both, strict=True))
    again = table.take(first)
    crossing = Crossing.of(again.item_clusters, again.rater_clusters)
    agreement = mean_interval((answer[first] == answer[second]).astype(float), crossing, level=level)
    return Measured(
        replace(agreement, method=agreement.method.replace("mean over votes", "swapped repeats answered alike", 1))
    )


def blinding_index(guesses: Sequence[Guess], arms: Sequence[str], *, level: float = 0.95) -> dict[str | None, Measured]:
    """Bang's blinding index of each arm, and of all together under None: 0 random guesses, 1 all right.

    A right guess scores 1, a wrong one -1 / (k - 1) among k arms, not knowing 0: for two arms this is Bang, Ni & Davis
    (2004), and random guesses average 0 for any number. Below 0 guesses tend to the wrong arms. The interval is
    clustered by rater.

    Raises DataError: fewer than two arms, or a guess or a truth that is none of them.
    """
    if len(set(arms)) < 2:
        raise DataError("with one arm there is nothing to guess")
    for guess in guesses:
        for name in (guess.truth, guess.guess):
            if name is not None and name not in arms:
                raise DataError(f"guess of {name}", hint=f"The arms are {', '.join(arms)}")
    wrong = -1.0 / (len(set(arms)) - 1)
    indices: dict[str | None, Measured] = {}
    for arm in (None, *arms):
        about_arm = [guess for guess in guesses if arm is None or guess.truth == arm]
        if not about_arm:
            indices[arm] = Measured(None, "no guesses")
            continue
        points = [0.0 if guess.guess is None else 1.0 if guess.guess == guess.truth else wrong for guess in about_arm]
        raters = Clusters.of([guess.rater for guess in about_arm], len(about_arm))
        value = estimate(points, raters, bounds=(wrong, 1.0), level=level)
        how = value.method.removeprefix("mean over examples; ").removesuffix("; these checkpoints, 1 seed")
        indices[arm] = Measured(replace(value, method=f"Bang's blinding index, clustered by rater; {how}"))
    return indices


def _fractions(votes: Sequence[Vote], right: Sequence[bool], what: str, level: float) -> dict[str, Measured]:
    """Each rater's share of right answers with Wilson's interval."""
    from statsmodels.stats.proportion import proportion_confint

    answers: dict[str, list[bool]] = {rater: [] for rater in sorted({vote.rater for vote in votes})}
    for vote, is_right in zip(votes, right, strict=True):
        if vote.winner != "skip":
            answers[vote.rater].append(is_right)
    shares = {}
    for rater, own in answers.items():
        n, hits = len(own), sum(own)
        shares[rater] = Measured(None, "every one was skipped")
        if n:
            low, high = map(float, proportion_confint(hits, n, alpha=1 - level, method="wilson"))
            shares[rater] = Measured(Estimate(hits / n, low, high, n, n, 1, f"{what}; Wilson interval", level))
    return shares
