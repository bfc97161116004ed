"""Is a mean on the right side of a limit? One-sided statements for release gates.

Non-inferiority of a candidate is the question whether the mean paired difference lies above minus the margin
(Schuirmann 1987). Each side of the limit has its own test, both at the same confidence, so that neither a pass nor a
fail is the mere absence of the other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from harness.records import Estimate
from harness.stats import proportions
from harness.stats.clusters import (
    LAST_BITS,
    Clusters,
    Floats,
    clusters_without_spread,
    cr2_dof,
    cr2_variance,
    finite_values,
)
from harness.stats.intervals import differing, estimate
from harness.stats.medians import median

MOST_EXAMPLES = 1_000_000
"""More than this settles nothing that anyone will collect."""


@dataclass(frozen=True, slots=True)
class SideTest:
    """A mean against a limit."""

    estimate: Estimate
    """Two-sided at 2 · confidence - 1, so that each end is a one-sided limit at the confidence."""
    p_above: float | None
    """One-sided p-value of a mean that is not above the limit; None without an interval."""
    p_below: float | None
    """One-sided p-value of a mean that is not below the limit."""
    more_examples: int | None
    """About how many more examples settle it with 80 % power if the mean is what it is now; 0 when it is settled."""


def side_test(
    values: ArrayLike,
    limit: float,
    clusters: Sequence[Hashable] | Clusters | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    confidence: float = 0.95,
) -> SideTest:
    """Test the mean of values [n] (paired differences, or scores) against `limit`, clustered as `stats.estimate`.

    Raises ValueError: no values, values that are not finite, or a confidence that is not between 0.5 and 1.
    """
    if not 0.5 < confidence < 1:
        raise ValueError("a confidence lies between 0.5 and 1")
    from scipy.special import stdtr, stdtrit

    array = finite_values(values)
    grouped = Clusters.of(clusters, len(array))
    mean = estimate(array, grouped, bounds=bounds, level=2 * confidence - 1)
    if mean.low is None or mean.high is None:
        return SideTest(mean, None, None, None)
    error = float(cr2_variance(grouped.sums(array - mean.value), grouped)) ** 0.5
    if error <= LAST_BITS * abs(array).max():
        return _without_spread(mean, limit, confidence)
    dof = cr2_dof(grouped)
    if bounds is not None and proportions.kind_of(array, bounds) is not None:
        return _right_or_wrong(array, error, limit, grouped, bounds, confidence, mean)
    settled = mean.low > limit or mean.high < limit
    above = float(stdtr(dof, -(mean.value - limit) / error))
    gap = abs(mean.value - limit)
    reach = float(stdtrit(dof, confidence) + stdtrit(dof, 0.8)) * error
    total = math.inf if gap == 0 else grouped.n * (reach / gap) ** 2
    more = 0 if settled else None if total > MOST_EXAMPLES else max(1, math.ceil(total) - grouped.n)
    return SideTest(mean, above, 1 - above, more)


def _right_or_wrong(
    values: Floats,
    error: float,
    limit: float,
    clusters: Clusters,
    bounds: tuple[float, float],
    confidence: float,
    mean: Estimate,
) -> SideTest:
    """A right-or-wrong metric: exact for a value, Tango's score test for a difference (see `proportions`)."""
    from scipy.special import stdtr

    low, width = bounds[0], bounds[1] - bounds[0]
    if proportions.kind_of(values, bounds) == "proportion":
        seen = proportions.proportion_counts((values - low) / width, (error / width) ** 2, clusters, 1)
        counts = proportions.adjusted(seen, clusters, confidence)
        ends = [low + width * end for end in proportions.exact_limits(counts, confidence)]
        above, below = proportions.exact_tails(counts, (limit - low) / width)
        words = mean.method.split("; ")
        words[1] = f"exact limits (Clopper-Pearson) of {counts.n:.4g} independent examples"
        mean = replace(mean, low=ends[0], high=ends[1], method="; ".join(words))
    else:
        pairs = differing(values / bounds[1], error / bounds[1], clusters, 1)
        above = float(stdtr(cr2_dof(clusters), -proportions.tango_statistic(pairs, limit / bounds[1])))
        below = 1 - above
    return SideTest(mean, above, below, more_to_settle(mean, limit, confidence))


def _without_spread(current: Estimate, limit: float, confidence: float) -> SideTest:
    """All values are equal: the interval is the exact binomial one, whose ends answer at the confidence and no more."""
    assert current.low is not None and current.high is not None
    above, below = current.low > limit, current.high < limit
    alpha = 1 - confidence
    if above or below:
        return SideTest(current, alpha if above else 1.0, alpha if below else 1.0, 0)
    far = max(current.value - current.low, current.high - current.value)
    reach = far / (1 - alpha ** (1 / current.clusters)) if far else 0.0
    clusters = clusters_without_spread(abs(current.value - limit), reach, 2 * confidence - 1)
    examples = math.inf if clusters is None else clusters * current.n / current.clusters
    more = None if examples > MOST_EXAMPLES else max(1, math.ceil(examples) - current.n)
    return SideTest(current, 1.0, 1.0, more)


def more_to_settle(current: Estimate, limit: float, confidence: float = 0.95) -> int | None:
    """About how many more of what `found.n` counts settle an interval whose width shrinks with its root.

    With 80 % power if the value stays what it is; 0 when it is settled, None where no number will do, or there is no
    interval. Each end of the interval is a one-sided limit at the confidence. For intervals that come without a test:
    a bootstrap's, or a win rate's.
    """
    if current.low is None or current.high is None:
        return None
    if current.low > limit or current.high < limit:
        return 0
    from scipy.special import ndtri

    gap = current.value - limit
    reach = current.value - current.low if gap > 0 else current.high - current.value
    reach *= 1 + float(ndtri(0.8) / ndtri(confidence))
    total = math.inf if gap == 0 else current.n * (reach / abs(gap)) ** 2
    return None if total > MOST_EXAMPLES else max(1, math.ceil(total) - current.n)


def rate_ceiling(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """One-sided exact limits (lower, upper) of a rate from `hits` in `n` independent trials (Clopper & Pearson 1934).

    0 of 50 has an upper limit of 5.8 %, 0 of 300 of 1.0 %.

    Raises ValueError: not 0 <= hits <= n, or no trials.
    """
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"{hits} of {n} is no rate")
    from scipy.special import betaincinv

    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, 1 - confidence))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, confidence))
    return low, high


def rate_test(hits: int, n: int, limit: float, confidence: float = 0.95) -> SideTest:
    """A rate of `hits` in `n` independent trials against `limit`, by exact binomial tests (Clopper & Pearson 1934).

    Both ends of the estimate are one-sided limits at the confidence.

    Raises ValueError: not 0 <= hits <= n, no trials, or a limit that is not between 0 and 1.
    """
    from scipy.special import betainc

    if not 0 < limit < 1:
        raise ValueError("a rate is held against a limit between 0 and 1")
    low, high = rate_ceiling(hits, n, confidence)
    words = "exact binomial limits (Clopper-Pearson)"
    rate = Estimate(hits / n, low, high, n, n, 1, words, 2 * confidence - 1)
    # P(X >= hits) and P(X <= hits) at the limit.
    above = 1.0 if hits == 0 else float(betainc(hits, n - hits + 1, limit))
    below = 1.0 if hits == n else 1.0 - float(betainc(hits + 1, n - hits, limit))
    more = 0 if low > limit or high < limit else _more_trials(hits, n, limit, confidence)
    return SideTest(rate, above, below, more)


def _more_trials(hits: int, n: int, limit: float, confidence: float) -> int | None:
    """Trials beyond n that settle the rate if it stays what it is; None where none do."""
    from scipy.special import betaincinv

    rate = hits / n
    if rate == limit:
        return None

    def settled(count: int) -> bool:
        seen = rate * count
        if rate < limit:
            return float(betaincinv(seen + 1, count - seen, confidence)) < limit
        return float(betaincinv(seen, count - seen + 1, 1 - confidence)) > limit

    high = 2 * n
    while not settled(high):
        high *= 2
        if high > MOST_EXAMPLES:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high - n


def median_test(values: Sequence[float], limit: float, confidence: float = 0.95) -> SideTest:
    """The median of independent measurements against `limit`, by the sign test and its order statistics.

    `more_examples` is how many more are needed for any limit at this confidence, which takes five at 95 %; None where
    there are enough of them and they do not settle it.

    Raises ValueError: no values.
    """
    n, level = len(values), 2 * confidence - 1
    middle = median(values, level=level)
    needed = math.ceil(math.log2(1 / (1 - confidence)) - 1e-9)
    if n < needed or middle.low is None or middle.high is None:
        words = f"{n} rounds, and {needed} are the fewest that have a limit at {confidence:.0%}"
        return SideTest(replace(middle, low=None, high=None, method=words, level=level), None, None, needed - n)
    above = _at_least(sum(value > limit for value in values), n)
    below = _at_least(sum(value < limit for value in values), n)
    settled = middle.low > limit or middle.high < limit
    return SideTest(replace(middle, level=level), above, below, 0 if settled else None)


def _at_least(hits: int, n: int) -> float:
    """P(Binomial(n, 1/2) >= hits)."""
    return float(sum(math.comb(n, count) for count in range(hits, n + 1)) / 2**n)
