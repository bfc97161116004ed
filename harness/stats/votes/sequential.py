"""What may be looked at while a round is going: intervals and e-values that hold at every look (anytime-valid).

A test by betting (Waudby-Smith & Ramdas 2024). Values lie in [0, 1]. If their mean is m, a gambler who splits each
unit of wealth into b on one and 1 - b on zero, at fair odds, multiplies it by x b / m + (1 - x) (1 - b) / (1 - m): a
martingale. Wealth here is the average over b with the arcsine prior (a Beta(1/2, 1/2), on 256 Chebyshev nodes), which
for values that are 0 or 1 is the beta-binomial mixture. By Ville's inequality it passes 1 / alpha with probability at
most alpha, however often one looks and whenever one stops. It does not hang on the order of the values.

The assumption: each value's mean given those before it is m. Votes on one example depend on each other, so an example
makes one value, the mean over its votes, once it has all of them; examples are drawn independently. Raters recur: the
statement is about these raters as they are assigned, not about others. Where raters' tastes differ much and others are
meant, the interval at closing (`rates`, `bradley_terry`) is the one to read: in `bench/coverage.py --review` two arms
that are equal in the eyes of all raters are called different by ten of them in 7 % of rounds, at a level of 5 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.records import Estimate
from harness.stats.clusters import Floats
from harness.stats.elimination import bet_factors, log_mean
from harness.stats.votes.record import Measured, VoteTable

HALVINGS = 60
"""Of the distance from the mean to a bound, in search of a limit: beyond the last bit."""


def example_values(table: VoteTable, first: str, second: str, votes: int) -> Floats:
    """The first arm's mean wins in each example [g] that has `votes` votes on the pair; ties are half wins.

    Skips and both bad count towards the number of votes, and not in the mean; an example with nothing else makes no
    value. Votes after the first `votes` of an example are left out: its value is final.
    Examples stand in the order in which they became complete.

    Raises DataError: an arm without votes, or not at least one vote an example.
    """
    if votes < 1:
        raise DataError(f"{votes} votes make no example complete", hint="Say how many votes each example is to get")
    a, b = table.arm(first), table.arm(second)
    part = table.take((table.first == min(a, b)) & (table.second == max(a, b)))
    score = part.first_score if a < b else 1.0 - part.first_score
    counted = part.counted()
    rows: dict[int, list[int]] = {}
    values = []
    for row, item in enumerate(part.item.tolist()):
        rows_of_item = rows.setdefault(item, [])
        rows_of_item.append(row)
        if len(rows_of_item) == votes and counted[rows_of_item].any():
            values.append(float(score[rows_of_item][counted[rows_of_item]].mean()))
    return np.array(values)


def monitored_win_rate(table: VoteTable, first: str, second: str, votes: int, *, level: float = 0.95) -> Measured:
    """The first arm's win rate against the second with an interval that may be looked at after every vote."""
    values = example_values(table, first, second, votes)
    if not len(values):
        return Measured(None, f"no example has its {votes} votes on {first} and {second} yet")
    low, high = confidence_sequence(values, level=level)
    words = (
        f"wins and half the ties, mean over complete examples; anytime-valid interval by betting, {votes} votes each"
    )
    return Measured(Estimate(float(values.mean()), low, high, len(values) * votes, len(values), 1, words, level))


def confidence_sequence(values: ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """Limits of the mean of values [n] within 0 and 1; over all n at once they miss it with probability 1 - level.

    Raises ValueError: values beyond 0 and 1.
    """
    array = _unit_values(values)
    if not len(array):
        return 0.0, 1.0
    unique, counts = np.unique(array, return_counts=True)
    enough, centre = -np.log1p(-level), float(array.mean())

    def limit(bound: float) -> float:
        # Wealth is log-convex in m, and at most 1 at the mean: between there and the bound it crosses once.
        inside, outside = centre, bound
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            # Infinite where a value is impossible at this mean.
            wealth = 0.0 if (unique == middle).all() else np.inf
            if 0.0 < middle < 1.0:
                wealth = float(log_mean(np.asarray(counts @ np.log(bet_factors(unique, middle)))))
            if wealth < enough:
                inside = middle
            else:
                outside = middle
        return outside

    return limit(0.0), limit(1.0)


def log_wealth_path(values: ArrayLike, mean: float = 0.5) -> Floats:
    """The logarithm of the e-value after each of values [..., n]; the time runs along the last axis.

    Raises ValueError: values beyond 0 and 1, or a mean that is not between them.
    """
    array = _unit_values(values)
    if not 0.0 < mean < 1.0:
        raise ValueError(f"a mean of {mean} is a bound of the values")
    return log_mean(np.cumsum(np.log(bet_factors(array, mean)), axis=-2))


def _unit_values(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.size and not (np.isfinite(array).all() and array.min() >= 0.0 and array.max() <= 1.0):
        raise ValueError("values must lie within 0 and 1")
    return array
