"""Example-level metrics of *these checkpoints*: examples are random, the trained checkpoints are fixed.

The mean with the bias-reduced cluster-robust variance CR2 and Bell-McCaffrey degrees of freedom (Bell & McCaffrey
2002; Imbens & Kolesár 2016). For clusters of one size the degrees of freedom are their number minus one, and for
clusters of one example the interval is the ordinary (paired) t interval.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from harness.records import Estimate
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
    """Mean of values [n] with a cluster-robust t interval.

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
    else:
        dof = cr2_dof(grouped)
        half = t_quantile(level, dof) * error
        low, high = clip(value - half, bounds), clip(value + half, bounds)
        how = f"cluster-robust (CR2) t interval, {dof:.1f} degrees of freedom"
    words = f"mean over examples; {how}; {checkpoints(seeds)}"
    return Estimate(value, low, high, grouped.n, grouped.count, seeds, words, level)


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
