"""Estimates with honest intervals, and tests. Pure functions over arrays; randomness is a numpy Generator.

Examples of one group (a patient, a module) are not independent, so every interval and every test works on clusters.
Two estimands exist and are never mixed; everything here is about *these checkpoints*: examples are random, the trained
checkpoints are fixed. Several seeds of one arm are averaged (an example's value over seeds, a corpus value over seeds)
before anything else, and `Estimate.method` says so. Nothing here speaks about other seeds.

Example-level metrics: the mean with the bias-reduced cluster-robust variance CR2 and Bell-McCaffrey degrees of freedom
(Bell & McCaffrey 2002; Imbens & Kolesár 2016). For clusters of one size the degrees of freedom are their number minus
one, and for clusters of one example the interval is the ordinary (paired) t interval.
Corpus metrics: the cluster bootstrap of summed sufficient statistics, with BCa limits (Efron 1987)
expanded for few clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.records import Estimate

Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]
"""Summed sufficient statistics [..., k] → values [...]."""

RESAMPLES = 4000
FLIPS = 9999
EXACT_CLUSTERS = 12
"""Up to so many clusters a permutation test visits all 2^G sign patterns."""
PART_CELLS = 1_000_000
"""Resampling works through so many numbers at a time (8 MB)."""


def average_seeds(values: ArrayLike) -> Floats:
    """An example's value over the seeds of one arm: [seeds, n] (or [n]) → [n]."""
    array = np.asarray(values, dtype=np.float64)
    return array if array.ndim == 1 else array.mean(axis=0)


def estimate(
    values: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    seeds: int = 1,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean of values [n] with a cluster-robust t interval.

    Without two clusters there is no interval (low and high are None). Values that are all equal show no spread: then
    the exact binomial limit over clusters on the share of unseen different values gives the interval, where `bounds`
    (smallest and largest possible value) are known, else there is none. Limits are cut at `bounds`.

    Raises:
        ValueError: no values, or values that are not finite.
    """
    array = _finite(values)
    codes, count = _codes(clusters, len(array))
    value, n = float(array.mean()), len(array)
    low: float | None = None
    high: float | None = None
    if count < 2:
        how = "no interval from a single cluster"
    elif _all_equal(array):
        low, high, how = _without_spread(value, count, bounds, level)
    else:
        error, freedom = _cr2(array - value, codes, count)
        half = _t_quantile(level, freedom) * error
        low, high = _cut(value - half, bounds), _cut(value + half, bounds)
        how = f"cluster-robust (CR2) t interval, {freedom:.1f} degrees of freedom"
    return Estimate(value, low, high, n, count, seeds, f"mean over examples; {how}; {_estimand(seeds)}", level)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    seeds: int = 1,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Mean of a - b over the same examples, [n] each, as `estimate` of the differences; `bounds` are the metric's.

    Raises:
        ValueError: lengths differ, no values, or values that are not finite.
    """
    ours, theirs = _finite(a), _finite(b)
    if ours.shape != theirs.shape:
        raise ValueError(f"paired values differ in number: {len(ours)} and {len(theirs)}")
    span = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
    result = estimate(ours - theirs, clusters, seeds=seeds, bounds=span, level=level)
    return _renamed(result, "mean of paired differences" + result.method.removeprefix("mean over examples"))


def corpus_estimate(
    statistics: ArrayLike,
    combine: Combine,
    clusters: Sequence[Hashable] | None,
    rng: np.random.Generator,
    level: float = 0.95,
) -> Estimate:
    """Corpus value of statistics [n, k] or [seeds, n, k] with a cluster bootstrap interval.

    The value is the mean over seeds of `combine` of the statistics summed over examples. No interval with one cluster
    or when no resample differs.

    Raises:
        ValueError: no statistics, or statistics or a value that are not finite.
    """
    seeds, codes, count, sums = _sums(statistics, clusters)

    def value(totals: Floats) -> Floats:
        return np.asarray(combine(totals).mean(axis=-1))

    n = len(codes)
    return _bootstrap(sums, value, rng, (n, count, seeds, level), "corpus value")


def corpus_paired_difference(
    statistics_a: ArrayLike,
    statistics_b: ArrayLike,
    combine: Combine,
    clusters: Sequence[Hashable] | None,
    rng: np.random.Generator,
    level: float = 0.95,
) -> Estimate:
    """Difference a - b of two corpus values over the same examples, resampled together (paired cluster bootstrap).

    Each side is [n, k] or [seeds, n, k]; the sides may differ in seeds.

    Raises:
        ValueError: no statistics, numbers of examples differ, or something is not finite.
    """
    seeds_a, codes, count, ours = _sums(statistics_a, clusters)
    seeds_b, other, _, theirs = _sums(statistics_b, clusters)
    if len(codes) != len(other):
        raise ValueError(f"paired statistics differ in number: {len(codes)} and {len(other)}")

    def value(totals: Floats) -> Floats:
        values = combine(totals)
        return np.asarray(values[..., :seeds_a].mean(axis=-1) - values[..., seeds_a:].mean(axis=-1))

    both = np.concatenate([ours, theirs], axis=1)
    numbers = (len(codes), count, max(seeds_a, seeds_b), level)
    return _bootstrap(both, value, rng, numbers, "paired difference of corpus values")


def sign_flip_p_value(
    differences: ArrayLike,
    clusters: Sequence[Hashable] | None,
    rng: np.random.Generator,
    flips: int = FLIPS,
) -> float:
    """Two-sided permutation p-value of mean difference zero: the signs of whole clusters are flipped.

    Exact over all patterns up to 12 clusters, else (1 + hits) / (1 + flips), which is never 0 (Phipson & Smyth 2010).
    """
    array = _finite(differences)
    codes, count = _codes(clusters, len(array))
    sums = np.bincount(codes, weights=array, minlength=count)
    values = [np.abs((part * 2.0 - 1.0) @ sums) for part in _patterns(count, rng, flips)]
    # Sums of the same numbers in another order differ in their last bits; those are ties, not smaller values.
    slack = 1e-12 * float(np.abs(sums).sum())
    return _share_as_large(np.concatenate(values), abs(float(sums.sum())) - slack, exact=count <= EXACT_CLUSTERS)


def swap_p_value(
    statistics_a: ArrayLike,
    statistics_b: ArrayLike,
    combine: Combine,
    clusters: Sequence[Hashable] | None,
    rng: np.random.Generator,
    flips: int = FLIPS,
) -> float:
    """Two-sided permutation p-value of equal corpus values: whole clusters swap sides (approximate randomisation).

    Riezler & Maxwell 2005. Sides are [n, k] or [seeds, n, k] with the same number of seeds; a side with one seed is
    repeated.

    Raises:
        ValueError: the sides differ in examples or in seeds.
    """
    seeds_a, codes, count, ours = _sums(statistics_a, clusters)
    seeds_b, other, _, theirs = _sums(statistics_b, clusters)
    if len(codes) != len(other) or (seeds_a != seeds_b and 1 not in (seeds_a, seeds_b)):
        raise ValueError("sides of a swap test must have the same examples and seeds")
    change = theirs - ours
    left, right = ours.sum(axis=0), theirs.sum(axis=0)
    values = []
    for part in _patterns(count, rng, flips):
        moved = np.tensordot(part.astype(np.float64), change, axes=1)
        values.append(np.abs((combine(left + moved) - combine(right - moved)).mean(axis=-1)))
    observed = abs(float((combine(left) - combine(right)).mean()))
    slack = 1e-12 * float(np.abs(combine(left)).mean() + np.abs(combine(right)).mean())
    return _share_as_large(np.concatenate(values), observed - slack, exact=count <= EXACT_CLUSTERS)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the order given (Holm 1979): controls the family-wise error rate."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


# ------------------------------------------------------------------------------------------------------- internals


def _finite(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"expected a non-empty list of values, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("values must be finite; leave out what is missing")
    return array


def _codes(clusters: Sequence[Hashable] | None, n: int) -> tuple[NDArray[np.intp], int]:
    """Clusters as codes 0 … G-1 in order of appearance; without clusters each example is its own."""
    if clusters is None:
        return np.arange(n), n
    if len(clusters) != n:
        raise ValueError(f"{n} values but {len(clusters)} clusters")
    known: dict[Hashable, int] = {}
    codes = np.array([known.setdefault(cluster, len(known)) for cluster in clusters], dtype=np.intp)
    return codes, len(known)


def _cr2(residuals: Floats, codes: NDArray[np.intp], count: int) -> tuple[float, float]:
    """Standard error of a mean, and Bell-McCaffrey degrees of freedom.

    For the mean, (I - H_gg)^(-1/2) scales the residual sum of cluster g, which holds the share w_g of the examples,
    by (1 - w_g)^(-1/2); and df = (tr Γ)² / tr Γ² comes to 1 / (Σ w² + (Σ b)² - Σ b²) with b = w² / (1 - w).
    """
    share = np.bincount(codes, minlength=count) / len(codes)
    sums = np.bincount(codes, weights=residuals, minlength=count)
    variance = float((sums**2 / (1 - share)).sum()) / len(codes) ** 2
    b = share**2 / (1 - share)
    freedom = 1.0 / float((share**2).sum() + b.sum() ** 2 - (b**2).sum())
    return variance**0.5, freedom


def _t_quantile(level: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def _without_spread(
    value: float, count: int, bounds: tuple[float, float] | None, level: float
) -> tuple[float | None, float | None, str]:
    if bounds is None:
        return None, None, "all values are equal, which says nothing about spread"
    unseen = 1.0 - ((1.0 - level) / 2) ** (1.0 / count)
    low = value - unseen * (value - bounds[0])
    high = value + unseen * (bounds[1] - value)
    return low, high, "all values are equal: exact binomial limit over clusters"


def _all_equal(values: Floats) -> bool:
    # Sums in another order differ in their last bits, which is no spread.
    return bool(np.ptp(values) <= 1e-12 * np.abs(values).max())


def _cut(limit: float, bounds: tuple[float, float] | None) -> float:
    return limit if bounds is None else min(max(limit, bounds[0]), bounds[1])


def _estimand(seeds: int) -> str:
    return "these checkpoints, 1 seed" if seeds == 1 else f"these checkpoints, averaged over {seeds} seeds"


def _renamed(result: Estimate, method: str) -> Estimate:
    return Estimate(
        result.value, result.low, result.high, result.n, result.clusters, result.seeds, method, result.level
    )


def _sums(statistics: ArrayLike, clusters: Sequence[Hashable] | None) -> tuple[int, NDArray[np.intp], int, Floats]:
    """(seeds, codes [n], clusters G, sums [G, seeds, k]) of statistics [n, k] or [seeds, n, k]."""
    array = np.asarray(statistics, dtype=np.float64)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or not array.shape[1]:
        raise ValueError(f"expected statistics [n, k] or [seeds, n, k], got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("statistics must be finite; leave out what is missing")
    codes, count = _codes(clusters, array.shape[1])
    sums = np.zeros((count, array.shape[0], array.shape[2]))
    np.add.at(sums, codes, np.moveaxis(array, 1, 0))
    return array.shape[0], codes, count, sums


def _bootstrap(
    sums: Floats,
    value: Callable[[Floats], Floats],
    rng: np.random.Generator,
    numbers: tuple[int, int, int, float],
    what: str,
) -> Estimate:
    """BCa interval of `value` (totals [..., seeds, k] → [...]) over clusters [G, seeds, k]."""
    n, count, seeds, level = numbers
    total = sums.sum(axis=0)
    point = float(value(total))
    if not np.isfinite(point):
        raise ValueError(f"{what} is not finite")
    low: float | None = None
    high: float | None = None
    how = "no interval from a single cluster"
    if count >= 2:
        draws = np.concatenate([value(np.tensordot(part, sums, axes=1)) for part in _weights(count, rng)])
        without_one = value(total - sums)
        how = "all resamples are equal, which says nothing about spread"
        if not (np.isfinite(draws).all() and np.isfinite(without_one).all()):
            how = "no interval: some resamples have no finite value"
        elif not _all_equal(draws):
            low, high = _bca(draws, point, without_one, level)
            how = f"cluster bootstrap (expanded BCa, {RESAMPLES} resamples)"
    return Estimate(point, low, high, n, count, seeds, f"{what}; {how}; {_estimand(seeds)}", level)


def _bca(draws: Floats, point: float, without_one: Floats, level: float) -> tuple[float, float]:
    """Bias-corrected and accelerated limits; `without_one` are the values with one cluster left out each [G].

    The normal quantile is expanded to sqrt(G / (G - 1)) · t (Hesterberg 2015): a bootstrap of few clusters is too
    narrow, as it divides by G and knows no t distribution.
    """
    from scipy.special import ndtr, ndtri

    # Ties count half, and the share stays off 0 and 1, so that a lopsided bootstrap cannot give infinite limits.
    share = float((draws < point).mean() + (draws == point).mean() / 2)
    bias = float(ndtri(np.clip(share, 1 / len(draws), 1 - 1 / len(draws))))
    pull = without_one.mean() - without_one
    scale = float((pull**2).sum()) ** 1.5
    acceleration = float((pull**3).sum()) / (6 * scale) if np.isfinite(scale) and scale > 0 else 0.0
    count = len(without_one)
    reach = _t_quantile(level, count - 1) * (count / (count - 1)) ** 0.5
    ends = bias + np.array([-reach, reach])
    positions = ndtr(bias + ends / np.maximum(1 - acceleration * ends, 1e-3))
    low, high = np.quantile(draws, np.clip(positions, 0, 1))
    return float(min(low, point)), float(max(high, point))


def _weights(count: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each cluster is drawn, RESAMPLES rows of G in all, in parts that bound the memory."""
    for size in _part_sizes(RESAMPLES, count):
        # Drawing clusters and counting them is several times faster than rng.multinomial for many clusters.
        drawn = rng.integers(count, size=(size, count)) + np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def _patterns(count: int, rng: np.random.Generator, flips: int) -> Iterator[NDArray[np.bool_]]:
    """Which clusters flip, in parts [m, G]: all 2^G patterns when there are few clusters, else `flips` random ones."""
    if count <= EXACT_CLUSTERS:
        yield ((np.arange(2**count)[:, None] >> np.arange(count)) & 1) == 1
        return
    for size in _part_sizes(flips, count):
        yield rng.integers(0, 2, size=(size, count), dtype=np.int8) == 1


def _part_sizes(rows: int, columns: int) -> list[int]:
    size = max(1, PART_CELLS // columns)
    return [min(size, rows - start) for start in range(0, rows, size)]


def _share_as_large(values: Floats, least: float, *, exact: bool) -> float:
    hits = int((values >= least).sum())
    return hits / len(values) if exact else (1 + hits) / (1 + len(values))
