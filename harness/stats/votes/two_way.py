"""Variances of votes, which share their examples and, crossing those, their raters.

Multiway clustering (Cameron, Gelbach & Miller 2011): the variance clustered by example, plus the one clustered by
rater, minus the one clustered by both at once, each with its G / (G - 1). Chance can make that too small, and even
negative, where neither examples nor raters matter much: it is at least half of the variance clustered by both at once.

Quantiles are Student's. The usual G - 1 of the way with fewer clusters is too few degrees of freedom where its clusters
hardly matter. The variance is a sum of two parts, that of the way with fewer clusters, and what the other way has
beyond the variance of both at once; each has its own G - 1, and Satterthwaite's formula (1946) joins them.

`bench/coverage.py --review` shows what this covers. Half, and which way takes the variance of both, were chosen by
simulations of 17 designs with two arms: 93.8 to 96.1 % there, and 94.6 to 97.7 % with the usual degrees of freedom. Few
raters are too few for any of it: with three such intervals cover 93 %, with two 91 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from harness.records import Estimate
from harness.stats.clusters import LAST_BITS, Clusters, Floats, t_quantile, without_spread

LEAST = 0.5
"""The variance is at least so much of the one clustered by both ways at once."""


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
    """Covariances of p statistics, by how votes are clustered."""

    ways: tuple[Floats, ...]
    """By example and by rater, the one with fewer clusters first [p, p]; a single cluster is left out."""
    dofs: tuple[float, ...]
    """Clusters of each way, minus one."""
    both: Floats
    """By both at once [p, p]."""

    def matrix(self) -> Floats:
        """The two-way covariance; not always positive definite."""
        if not self.ways:
            return self.both
        total: Floats = np.stack(self.ways).sum(axis=0) - (len(self.ways) - 1) * self.both
        return total

    def floored(self, size: int) -> Floats:
        """The two-way covariance of the first `size` statistics, raised where it is less than `LEAST` of that of both.

        So raised in every direction, it gives each linear combination a variance, as `t_error` does for one.
        """
        values, vectors = np.linalg.eigh(self.both[:size, :size])
        kept = values > LAST_BITS * values.max()
        basis, roots = vectors[:, kept], np.sqrt(values[kept])
        inverse = basis / roots
        ratios, turned = np.linalg.eigh(inverse.T @ self.matrix()[:size, :size] @ inverse)
        half: Floats = (basis * roots) @ (turned * np.sqrt(np.maximum(ratios, LEAST)))
        return half @ half.T

    def t_error(self, contrast: Floats) -> tuple[float, float]:
        """Standard error of a linear combination [p] of the statistics, and its degrees of freedom; ValueError if none.

        Without ways of clustering nothing can be said.
        """
        if not self.ways:
            raise ValueError("neither two examples nor two raters")
        parts = [float(contrast @ way @ contrast) for way in self.ways]
        both = float(contrast @ self.both @ contrast)
        # The first way keeps the variance of both, the second what it has beyond.
        parts = [parts[0], *(max(0.0, part - both) for part in parts[1:])]
        variance = max(float(contrast @ self.matrix() @ contrast), LEAST * both)
        spread = sum(part**2 / dof for part, dof in zip(parts, self.dofs, strict=True))
        joined = variance**2 / spread if spread > 0.0 else self.dofs[-1]
        return variance**0.5, min(max(joined, self.dofs[0]), self.dofs[-1])


def covariance(influence: Floats, crossing: Crossing) -> Covariance:
    """Covariance of p statistics from each vote's influence on them [n, p] (its residual, scaled to sum to them)."""

    def clustered(way: Clusters) -> Floats:
        sums = way.sums(np.ascontiguousarray(influence.T))
        return np.asarray(sums @ sums.T * (way.count / max(1, way.count - 1)))

    ways = sorted(crossing.ways, key=lambda way: way.count)
    dofs = tuple(way.count - 1.0 for way in ways)
    return Covariance(tuple(clustered(way) for way in ways), dofs, clustered(crossing.both))


def mean_interval(values: ArrayLike, crossing: Crossing, *, level: float = 0.95) -> Estimate:
    """Mean of one value a vote [n], 0 to 1, with its interval clustered by example and by rater.

    The t interval is made in log-odds, so that it stays within 0 and 1. Values that are all equal show no spread: the
    limit is then the exact binomial one, over the smaller number of clusters. In the estimate, n counts votes and
    clusters the examples.
    """
    array = np.asarray(values, dtype=np.float64)
    value, n = float(array.mean()), len(array)
    estimate = Estimate(value, None, None, n, crossing.items.count, 1, f"mean over votes; {crossing.words}", level)
    if not crossing.ways:
        return estimate
    residuals = array - value
    if np.abs(residuals).max() <= LAST_BITS:
        fewest = min(way.count for way in crossing.ways)
        low, high, how = without_spread(value, fewest, (0.0, 1.0), level)
        return replace(estimate, low=low, high=high, method=f"mean over votes; {how}")
    error, dof = covariance(residuals[:, None] / n, crossing).t_error(np.ones(1))
    if error**2 <= LAST_BITS * float(residuals @ residuals) / n**2:
        return replace(estimate, method="mean over votes; no interval: the votes show no spread between clusters")
    centre, half = math.log(value / (1 - value)), t_quantile(level, dof) * error / (value * (1 - value))
    how = f"{estimate.method}; t interval of the log-odds, {dof:.1f} degrees of freedom"
    return replace(estimate, low=chance_of(centre - half), high=chance_of(centre + half), method=how)


def chance_of(odds: float) -> float:
    """The probability of log-odds."""
    return 1.0 / (1.0 + math.exp(-odds)) if odds > 0 else math.exp(odds) / (1.0 + math.exp(odds))
