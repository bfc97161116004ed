"""Tests of no difference, and Holm's adjustment. They are about *these checkpoints*."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.bootstrap import Combine, paired_sums
from harness.stats.clusters import Clusters, Floats, finite_values, part_sizes

FLIPS = 9999
EXACT_CLUSTERS = 12
"""Up to so many clusters a permutation test visits all 2^G sign patterns."""


def sign_flip_p_value(
    differences: ArrayLike,
    clusters: Sequence[Hashable] | Clusters | None,
    rng: np.random.Generator,
    flips: int = FLIPS,
) -> float:
    """Two-sided permutation p-value of mean difference zero: the signs of whole clusters are flipped.

    Exact over all patterns up to 12 clusters, else (1 + hits) / (1 + flips), which is never 0 (Phipson & Smyth 2010).
    """
    array = finite_values(differences)
    grouped = Clusters.of(clusters, len(array))
    sums = grouped.sums(array)
    total = float(sums.sum())
    values = [np.abs(2 * (part.astype(np.float64) @ sums) - total) for part in _patterns(grouped.count, rng, flips)]
    # Sums of the same numbers in another order differ in their last bits; those are ties, not smaller values.
    slack = 1e-12 * float(np.abs(sums).sum())
    return _fraction_as_large(np.concatenate(values), abs(total) - slack, exact=grouped.count <= EXACT_CLUSTERS)


def swap_p_value(
    statistics_a: ArrayLike,
    statistics_b: ArrayLike,
    combine: Combine,
    clusters: Sequence[Hashable] | Clusters | None,
    rng: np.random.Generator,
) -> float:
    """Two-sided permutation p-value of equal corpus values: whole clusters swap sides (approximate randomisation).

    Riezler & Maxwell 2005. Sides are [n, k] or [seeds, n, k] with the same number of seeds; a side with one seed is
    repeated.

    Raises ValueError: the sides differ in examples or in seeds.
    """
    grouped, both, seeds_a = paired_sums(statistics_a, statistics_b, clusters)
    ours, theirs = both[:, :seeds_a], both[:, seeds_a:]
    if seeds_a != theirs.shape[1] and 1 not in (seeds_a, theirs.shape[1]):
        raise ValueError("sides of a swap test must have the same examples and seeds")
    change = theirs - ours
    left, right = ours.sum(axis=0), theirs.sum(axis=0)
    values = []
    for part in _patterns(grouped.count, rng, FLIPS):
        moved = np.tensordot(part.astype(np.float64), change, axes=1)
        values.append(np.abs((combine(left + moved) - combine(right - moved)).mean(axis=-1)))
    observed = abs(float((combine(left) - combine(right)).mean()))
    slack = 1e-12 * float(np.abs(combine(left)).mean() + np.abs(combine(right)).mean())
    return _fraction_as_large(np.concatenate(values), observed - slack, exact=grouped.count <= EXACT_CLUSTERS)


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


def _patterns(count: int, rng: np.random.Generator, flips: int) -> Iterator[NDArray[np.bool_]]:
    """Which clusters flip, in parts [m, G]: all 2^G patterns when there are few clusters, else `flips` random ones."""
    if count <= EXACT_CLUSTERS:
        yield ((np.arange(2**count)[:, None] >> np.arange(count)) & 1) == 1
        return
    for size in part_sizes(flips, count):
        yield rng.integers(0, 2, size=(size, count), dtype=np.int8) == 1


def _fraction_as_large(values: Floats, least: float, *, exact: bool) -> float:
    hits = int((values >= least).sum())
    return hits / len(values) if exact else (1 + hits) / (1 + len(values))
