"""Variances of votes, which share their examples and, crossing those, their raters.

Multiway clustering (Cameron, Gelbach & Miller 2011): the variance clustered by example, plus the one clustered by
rater, minus the one clustered by both at once, each with its G / (G - 1), and t quantiles with the smaller number of
clusters minus one degrees of freedom. The variance is at least the one clustered by both at once: the difference can
come out smaller, and even negative, by chance. `bench/coverage.py --review` shows what this covers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from harness.records import Estimate
from harness.stats.clusters import LAST_BITS, Clusters, Floats, cut, t_quantile, without_spread


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """The clusters of votes: by example, by rater, and by both at once."""

    items: Clusters
    raters: Clusters
    both: Clusters

    @classmethod
    def of(cls, items: Clusters, raters: Clusters) -> Crossing:
        """Crossed clusters of the same n votes."""
        if items.n != raters.n:
            raise ValueError(f"{items.n} items but {raters.n} raters")
        pairs = items.codes * max(1, raters.count) + raters.codes
        return cls(items, raters, Clusters.of(pairs.tolist(), items.n))

    @property
    def ways(self) -> tuple[Clusters, ...]:
        """The ways in which votes are clustered; a single cluster shows no spread and is left out."""
        return tuple(way for way in (self.items, self.raters) if way.count > 1)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a t quantile; 0 where nothing can be said."""
        return min((way.count - 1.0 for way in self.ways), default=0.0)

    @property
    def words(self) -> str:
        """How votes are clustered, and what that leaves out."""
        if len(self.ways) == 2:
            return "clustered by example and by rater"
        if not self.ways:
            return "no interval from one rater on one example"
        if self.items.count > 1:
            return "one rater: clustered by example only, and speaks about this rater"
        return "one example: clustered by rater only, and speaks about this example"


@dataclass(frozen=True, slots=True, eq=False)
class Covariance:
    """Covariances of p statistics, by how votes are clustered; [p, p] each."""

    ways: tuple[Floats, ...]
    both: Floats
    freedom: float

    def matrix(self) -> Floats:
        """The two-way covariance; not always positive definite."""
        if not self.ways:
            return self.both
        total: Floats = np.stack(self.ways).sum(axis=0) - (len(self.ways) - 1) * self.both
        return total

    def variance(self, contrast: Floats) -> float:
        """Variance of a linear combination [p] of the statistics."""
        two_way, least = (float(contrast @ part @ contrast) for part in (self.matrix(), self.both))
        return max(two_way, least, 0.0)

    def variances(self, contrasts: Floats) -> Floats:
        """Variances [q] of linear combinations [q, p]."""
        two_way, least = (((contrasts @ part) * contrasts).sum(axis=1) for part in (self.matrix(), self.both))
        return np.maximum(np.maximum(two_way, least), 0.0)


def covariance(influence: Floats, crossing: Crossing) -> Covariance:
    """Covariance of p statistics from each vote's influence on them [n, p] (its residual, scaled to sum to them)."""

    def clustered(way: Clusters) -> Floats:
        sums = way.sums(np.ascontiguousarray(influence.T))
        return np.asarray(sums @ sums.T * (way.count / max(1, way.count - 1)))

    return Covariance(tuple(clustered(way) for way in crossing.ways), clustered(crossing.both), crossing.freedom)


def mean_interval(
    values: ArrayLike, crossing: Crossing, bounds: tuple[float, float] = (0.0, 1.0), level: float = 0.95
) -> Estimate:
    """Mean of one value a vote [n] with its interval clustered by example and by rater, cut at `bounds`.

    Values that are all equal show no spread: the limit is then the exact binomial one, over the smaller number of
    clusters. In the estimate, n counts votes and clusters the examples.
    """
    array = np.asarray(values, dtype=np.float64)
    value, n = float(array.mean()), len(array)
    found = Estimate(value, None, None, n, crossing.items.count, 1, f"mean over votes; {crossing.words}", level)
    if not crossing.ways:
        return found
    residuals = array - value
    if np.abs(residuals).max() <= LAST_BITS:
        fewest = min(way.count for way in crossing.ways)
        low, high, how = without_spread(value, fewest, bounds, level)
        return replace(found, low=low, high=high, method=f"mean over votes; {how}")
    error = covariance(residuals[:, None] / n, crossing).variance(np.ones(1)) ** 0.5
    half = t_quantile(level, crossing.freedom) * error
    how = f"{found.method}; t interval, {crossing.freedom:.0f} degrees of freedom"
    return replace(found, low=cut(value - half, bounds), high=cut(value + half, bounds), method=how)
