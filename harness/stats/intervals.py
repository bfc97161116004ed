"""Example-level metrics of *these checkpoints*: examples are random, the trained checkpoints are fixed.

The mean with the bias-reduced cluster-robust variance CR2 and Bell-McCaffrey degrees of freedom (Bell & McCaffrey
2002; Imbens & Kolesár 2016). For clusters of one size the degrees of freedom are their number minus one, and for
clusters of one example the interval is the ordinary (paired) t interval. Metrics that are right or wrong have the score
intervals of `proportions` in its place.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from harness.records import Estimate
from harness.stats import proportions
from harness.stats.clusters import (
    LAST_BITS,
    Clusters,
    Floats,
    clip,
    cr2_dof,
    cr2_variance,
    finite_values,
    t_quantile,
    without_spread,
)


def average_seeds(values: ArrayLike) -> Floats:
    """An example's value over the seeds of one arm: [seeds, n] (or [n]) → [n]."""
    array = np.asarray(values, dtype=np.float64)
    return array if array.ndim == 1 else array.mean(axis=0)


def estimate(
    values: ArrayLike,
    clusters: Sequence[Hashable] | Clusters | None = None,
    *,
    seeds: int = 1,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean of values [n] with a cluster-robust t interval; of right-or-wrong values a score interval (`proportions`).

    Without two clusters there is no interval (low and high are None). Values that are all equal show no spread: then
    the exact binomial limit over clusters on the share of unseen different values gives the interval, where `bounds`
    (smallest and largest possible value) are known, else there is none. Limits are cut at `bounds`.

    Raises ValueError: no values, or values that are not finite.
    """
    array = finite_values(values)
    grouped = Clusters.of(clusters, len(array))
    value = float(array.mean())
    low: float | None = None
    high: float | None = None
    if grouped.count < 2:
        how = "no interval from a single cluster"
    elif (error := float(cr2_variance(grouped.sums(array - value), grouped)) ** 0.5) <= LAST_BITS * np.abs(array).max():
        low, high, how = without_spread(value, grouped.count, bounds, level)
    elif (score := score_interval(array, error, grouped, bounds, seeds, level)) is not None:
        low, high, how = score
    else:
        dof = cr2_dof(grouped)
        half = t_quantile(level, dof) * error
        low, high = clip(value - half, bounds), clip(value + half, bounds)
        how = f"cluster-robust (CR2) t interval, {dof:.1f} degrees of freedom"
    words = f"mean over examples; {how}; {checkpoints(seeds)}"
    return Estimate(value, low, high, grouped.n, grouped.count, seeds, words, level)


def score_interval(
    values: Floats, error: float, clusters: Clusters, bounds: tuple[float, float] | None, seeds: int, level: float
) -> tuple[float, float, str] | None:
    """Ends of the score interval of right-or-wrong values [n] with this standard error, and how it was made.

    None where the values are none.
    """
    kind = proportions.kind_of(values, bounds, seeds)
    if kind is None or bounds is None:
        return None
    width = bounds[1] - bounds[0]
    if kind == "proportion":
        counts = proportions.proportion_counts((values - bounds[0]) / width, (error / width) ** 2, clusters, seeds)
        low, high = (bounds[0] + width * end for end in proportions.wilson(counts, level))
        return low, high, f"Wilson's score interval of {counts.n:.4g} independent examples"
    pairs = differing(values / bounds[1], error / bounds[1], clusters, seeds)
    ends = proportions.tango(pairs, t_quantile(level, cr2_dof(clusters)))
    low, high = (float(end) * bounds[1] for end in ends)
    return low, high, f"Tango's score interval of {float(pairs.n):.4g} independent pairs"


def differing(differences: Floats, error: float, clusters: Clusters, seeds: int) -> proportions.Discordance:
    """Shares of right-or-wrong pairs [n] that differ, either way, from differences between -1 and 1."""
    ahead, behind = np.maximum(differences, 0).mean(), np.maximum(-differences, 0).mean()
    return proportions.discordance(ahead, behind, error**2, clusters.n * seeds)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable] | Clusters | None = None,
    *,
    seeds: int = 1,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean of a - b over the same examples, [n] each, as `estimate` of the differences; `bounds` are the metric's.

    Raises ValueError: lengths differ, no values, or values that are not finite.
    """
    ours, theirs = finite_values(a), finite_values(b)
    if ours.shape != theirs.shape:
        raise ValueError(f"paired values differ in number: {len(ours)} and {len(theirs)}")
    result = estimate(ours - theirs, clusters, seeds=seeds, bounds=span(bounds), level=level)
    return replace(result, method="mean of paired differences" + result.method.removeprefix("mean over examples"))


def span(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """The possible differences of two values within `bounds`."""
    return None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])


def checkpoints(seeds: int) -> str:
    """The estimand *these checkpoints* in words."""
    return "these checkpoints, 1 seed" if seeds == 1 else f"these checkpoints, averaged over {seeds} seeds"
