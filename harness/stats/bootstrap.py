"""Corpus metrics of *these checkpoints*: the cluster bootstrap of summed sufficient statistics.

Limits are BCa (Efron 1987), expanded for few clusters (Hesterberg 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.records import Estimate
from harness.stats.clusters import LAST_BITS, Clusters, Floats, cr2_dof, part_sizes, statistic_sums, t_quantile
from harness.stats.intervals import checkpoints

Combine = Callable[[Floats], Floats]
"""Summed sufficient statistics [..., k] → values [...]."""
Resampling = np.random.Generator | NDArray[np.intp]
"""Where resamples come from: a generator, or the drawn clusters themselves [resamples, G]."""

RESAMPLES = 4000
_Quantity = tuple[str, Callable[[Floats], Floats], int]
"""A name, what makes totals [..., seeds, k] values [...], and the number of seeds."""


def corpus_estimate(
    statistics: ArrayLike,
    combine: Combine,
    clusters: Sequence[Hashable] | Clusters | None,
    resampling: Resampling,
    level: float = 0.95,
) -> Estimate:
    """Corpus value of statistics [n, k] or [seeds, n, k] with a cluster bootstrap interval.

    The value is the mean over seeds of `combine` of the statistics summed over examples. No interval with one cluster
    or when no resample differs.

    Raises ValueError: no statistics, or statistics or a value that are not finite.
    """
    grouped, sums = statistic_sums(statistics, clusters)
    what: _Quantity = ("corpus value", lambda totals: np.asarray(combine(totals).mean(axis=-1)), sums.shape[1])
    return _bootstrap(sums, what, grouped, resampling, level)


def corpus_paired_difference(
    statistics_a: ArrayLike,
    statistics_b: ArrayLike,
    combine: Combine,
    clusters: Sequence[Hashable] | Clusters | None,
    resampling: Resampling,
    level: float = 0.95,
) -> Estimate:
    """Difference a - b of two corpus values over the same examples, resampled together (paired cluster bootstrap).

    Each side is [n, k] or [seeds, n, k]; the sides may differ in seeds.

    Raises ValueError: no statistics, numbers of examples differ, or something is not finite.
    """
    grouped, both, seeds_a = paired_sums(statistics_a, statistics_b, clusters)

    def value(totals: Floats) -> Floats:
        values = combine(totals)
        return np.asarray(values[..., :seeds_a].mean(axis=-1) - values[..., seeds_a:].mean(axis=-1))

    what = ("paired difference of corpus values", value, max(seeds_a, both.shape[1] - seeds_a))
    return _bootstrap(both, what, grouped, resampling, level)


def paired_sums(
    statistics_a: ArrayLike, statistics_b: ArrayLike, clusters: Sequence[Hashable] | Clusters | None
) -> tuple[Clusters, Floats, int]:
    """Clusters, sums [G, seeds_a + seeds_b, k] of two arms over the same examples, and seeds_a; else ValueError."""
    n_a, n_b = (np.shape(side)[-2] for side in (statistics_a, statistics_b))
    if n_a != n_b:
        raise ValueError(f"paired statistics differ in number: {n_a} and {n_b}")
    grouped, ours = statistic_sums(statistics_a, clusters)
    _, theirs = statistic_sums(statistics_b, grouped)
    return grouped, np.concatenate([ours, theirs], axis=1), ours.shape[1]


def weights(sums: Floats, resampling: Resampling, resamples: int) -> Iterator[Floats]:
    """How often each of the G clusters of `sums` is drawn, [m, G], in parts that bound the memory."""
    count = len(sums)
    given = None if isinstance(resampling, np.random.Generator) else np.asarray(resampling)
    if given is not None and (given.ndim != 2 or given.min() < 0 or given.max() >= count):
        raise ValueError(f"expected drawn clusters [resamples, G] below {count}, got shape {given.shape}")
    start = 0
    for size in part_sizes(resamples if given is None else len(given), count):
        # Drawing clusters and counting them is several times faster than rng.multinomial for many clusters.
        if isinstance(resampling, np.random.Generator):
            drawn = resampling.integers(count, size=(size, count))
        else:
            drawn = resampling[start : start + size]
        start += size
        places = drawn + np.arange(size)[:, None] * count
        yield np.bincount(places.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


# ------------------------------------------------------------------------------------------------------- internals


def _bootstrap(sums: Floats, what: _Quantity, clusters: Clusters, resampling: Resampling, level: float) -> Estimate:
    """BCa interval of a quantity over clusters [G, seeds, k]."""
    name, value, seeds = what
    total = sums.sum(axis=0)
    point = float(value(total))
    if not np.isfinite(point):
        raise ValueError(f"{name} is not finite")
    low: float | None = None
    high: float | None = None
    how = "no interval from a single cluster"
    if clusters.count >= 2:
        parts = weights(sums, resampling, RESAMPLES)
        draws = np.concatenate([value(np.tensordot(part, sums, axes=1)) for part in parts])
        without_one = value(total - sums)
        how = "all resamples are equal, which says nothing about spread"
        if not (np.isfinite(draws).all() and np.isfinite(without_one).all()):
            how = "no interval: some resamples have no finite value"
        elif np.ptp(draws) > LAST_BITS * np.abs(draws).max():  # something differs but last bits
            low, high = _bca(draws, point, without_one, clusters, level)
            how = f"cluster bootstrap (expanded BCa, {len(draws)} resamples)"
    words = f"{name}; {how}; {checkpoints(seeds)}"
    return Estimate(point, low, high, clusters.n, clusters.count, seeds, words, level)


def _bca(draws: Floats, point: float, without_one: Floats, clusters: Clusters, level: float) -> tuple[float, float]:
    """Bias-corrected and accelerated limits; `without_one` are the values with one cluster left out each [G].

    A bootstrap of few clusters is too narrow, as it divides by G and knows no t distribution. So the normal quantile is
    expanded to sqrt(G / (G - 1)) · t (Hesterberg 2015), and for unequal clusters to what that is of: the inflation of
    CR2, (Σ w² / (1 - w)) / Σ w², and its degrees of freedom.
    """
    from scipy.special import ndtr, ndtri

    # Ties count half, and the share stays off 0 and 1, so that a lopsided bootstrap cannot give infinite limits.
    below = float((draws < point).mean() + (draws == point).mean() / 2)
    bias = float(ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws))))
    pull = without_one.mean() - without_one
    scale = float((pull**2).sum()) ** 1.5
    acceleration = float((pull**3).sum()) / (6 * scale) if np.isfinite(scale) and scale > 0 else 0.0
    fraction = clusters.sizes / clusters.n
    inflation = float((fraction**2 / (1 - fraction)).sum() / (fraction**2).sum())
    reach = t_quantile(level, cr2_dof(clusters)) * inflation**0.5
    ends = bias + np.array([-reach, reach])
    positions = ndtr(bias + ends / np.maximum(1 - acceleration * ends, 1e-3))
    low, high = np.quantile(draws, np.clip(positions, 0, 1))
    return float(min(low, point)), float(max(high, point))
