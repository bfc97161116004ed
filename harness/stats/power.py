"""How small a difference can be told from none, before or after a run.

A difference of two arms has three spreads (`Spread`): between clusters of examples, between seeds, and between the
two together. A `Design` says how many of each there are; from both follow a standard error, the power of the interval
to exclude zero, and the smallest difference that is detected with that power.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.across_seeds import (
    FRACTION_POWER,
    MINIMUM_SEEDS,
    Arm,
    Parts,
    combined_variance,
    corpus_arm,
    mean_arm,
    parts_of,
    subtract,
)
from harness.stats.bootstrap import Combine, paired_sums
from harness.stats.clusters import Clusters, Floats, finite_table, t_quantile

FINE_NODES, SEED_NODES, EXAMPLE_NODES = 100, 60, 9
"""Quantiles of the estimated variances over which power is averaged."""
MOST = 10**9
"""Nothing asks for more examples or seeds than this."""
NORMAL_DOF = 1e5
"""From here on t is normal to the fifth digit."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Variances of one paired difference a - b."""

    cluster: float
    """Of what one cluster adds whatever the seed, times clusters: E - X of `harness.stats.across_seeds` is this / G."""
    interaction: float = 0.0
    """Of what one cluster adds in one seed alone: X is this / (G · S)."""
    seed: float | None = None
    """Of one seed's effect on all examples: B - X is this / S. None where fewer than three seeds have shown it."""
    examples_per_cluster: float = 1.0
    evenness: float = 1.0
    """Degrees of freedom over G - 1; below 1 where cluster sizes differ."""


@dataclass(frozen=True, slots=True)
class Design:
    """What is measured: G clusters of test examples, S seeds, and which of the two estimands."""

    clusters: int
    seeds: int = 1
    estimand: Literal["checkpoints", "method"] = "checkpoints"


def smallest_difference(standard_error: float, dof: float, *, power: float = 0.8, level: float = 0.95) -> float:
    """The true difference that a two-sided t interval excludes zero for with this power.

    Raises ValueError: a standard error or degrees of freedom that are not positive, or a power not above 1 - level.
    """
    if not (standard_error > 0 and dof > 0):
        raise ValueError("a standard error and degrees of freedom must be positive")
    return standard_error * _solve(_power(dof, level), power, level)


def planned_error(spread: Spread, design: Design, *, level: float = 0.95) -> tuple[float, float]:
    """Standard error of the difference and its degrees of freedom, as expected of this design.

    For *this method* they are the degrees of freedom whose t quantile is the interval's own at this level.

    Raises ValueError: fewer than two clusters; for *this method* under three seeds, or a seed spread that is not known.
    """
    parts = _expected(spread, design)
    return parts.error, _dof_of(parts, level)


def detectable_difference(spread: Spread, design: Design, *, power: float = 0.8, level: float = 0.95) -> float:
    """The smallest true difference that this design detects with this power.

    For *these checkpoints* it is `smallest_difference` of `planned_error`. For *this method* the degrees of freedom
    depend on how far the few seeds happen to lie apart, so power is averaged over that (chi-square, S - 1).

    Raises ValueError: as `planned_error`, or a spread of zero.
    """
    error, dof = planned_error(spread, design, level=level)
    if error <= 0:
        raise ValueError("no spread: every difference is detected")
    if design.estimand == "checkpoints" or not (spread.seed or spread.interaction):
        return smallest_difference(error, dof, power=power, level=level)
    return error * _solve(_method_power(_expected(spread, design), level), power, level)


def examples_needed(
    spread: Spread, design: Design, difference: float, *, power: float = 0.8, level: float = 0.95
) -> int | None:
    """Test examples in all with which this difference is detected, the seeds being those of `design`.

    None where the seeds alone spread too much for any number of examples.
    """

    def enough(clusters: int) -> bool:
        return _detects(spread, Design(clusters, design.seeds, design.estimand), difference, power, level)

    clusters = _least(enough, 2)
    return None if clusters is None else int(np.ceil(clusters * spread.examples_per_cluster))


def seeds_needed(
    spread: Spread, design: Design, difference: float, *, power: float = 0.8, level: float = 0.95
) -> int | None:
    """Seeds of each trained arm with which this difference is detected, the examples being those of `design`.

    None where the examples alone spread too much for any number of seeds.
    """

    def enough(seeds: int) -> bool:
        return _detects(spread, Design(design.clusters, seeds, design.estimand), difference, power, level)

    return _least(enough, MINIMUM_SEEDS if design.estimand == "method" else 1)


# ------------------------------------------------------------------------------------------ where spreads come from


def measured_spread(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable] | Clusters | None = None,
    *,
    trained: tuple[bool, bool] = (True, True),
) -> Spread:
    """Spread of a - b from values [seeds_a, n] and [seeds_b, n] that were measured.

    Raises ValueError: numbers of examples differ, fewer than two clusters, or values that are not finite.
    """
    ours, theirs = finite_table(a), finite_table(b)
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"paired values differ in number: {ours.shape[1]} and {theirs.shape[1]}")
    grouped = Clusters.of(clusters, ours.shape[1])
    arms = [mean_arm(side, grouped, was) for side, was in zip((ours, theirs), trained, strict=True)]
    return _spread(subtract(*arms), grouped)


def corpus_measured_spread(
    statistics_a: ArrayLike,
    statistics_b: ArrayLike,
    combine: Combine,
    clusters: Sequence[Hashable] | Clusters | None = None,
    *,
    trained: tuple[bool, bool] = (True, True),
) -> Spread:
    """As `measured_spread`, of two corpus values with statistics [seeds, n, k]."""
    grouped, both, seeds_a = paired_sums(statistics_a, statistics_b, clusters)
    sides = both[:, :seeds_a], both[:, seeds_a:]
    arms = [corpus_arm(side, combine, grouped, was) for side, was in zip(sides, trained, strict=True)]
    return _spread(subtract(*arms), grouped)


def assumed_spread(
    example_sd: float,
    *,
    examples_per_cluster: float = 1.0,
    intraclass: float = 0.0,
) -> Spread:
    """Spread of a difference from a standard deviation that is assumed.

    `example_sd` is that of one example's difference, the same in every seed; `intraclass` the correlation of two
    examples of one cluster (a cluster of m examples then counts as m / (1 + (m - 1) · intraclass) of them: Kish 1965).
    """
    inflation = (1 + (examples_per_cluster - 1) * intraclass) / examples_per_cluster
    return Spread(example_sd**2 * inflation, examples_per_cluster=examples_per_cluster)


# ------------------------------------------------------------------------------------------------------- internals


def _spread(arm: Arm, clusters: Clusters) -> Spread:
    if clusters.count < 2:
        raise ValueError("a spread takes at least two clusters")
    count = clusters.count
    parts = parts_of(arm)
    sides = [arm] if arm.other is None else [replace(arm, other=None), arm.other]
    interaction = seed = 0.0
    for side in sides:
        if side.trained:
            own, seeds = parts_of(side), len(side.values)
            interaction += own.interaction * seeds * count
            seed += max(0.0, own.seed - own.interaction) * seeds
    enough_seeds = all(len(side.values) >= MINIMUM_SEEDS for side in sides if side.trained)
    return Spread(
        cluster=max(0.0, parts.example - parts.interaction) * count,
        interaction=interaction,
        seed=seed if enough_seeds else None,
        examples_per_cluster=clusters.n / count,
        evenness=parts.example_dof / (count - 1),
    )


def _expected(spread: Spread, design: Design) -> Parts:
    if design.clusters < 2:
        raise ValueError("a design needs at least two clusters")
    clusters, seeds = design.clusters, design.seeds
    interaction = spread.interaction / (clusters * seeds)
    example = spread.cluster / clusters + interaction
    dof = max(1.0, spread.evenness * (clusters - 1))
    if design.estimand == "checkpoints":
        return Parts(example, 0.0, 0.0, dof, 1.0)
    if seeds < MINIMUM_SEEDS:
        raise ValueError(f"a design for this method needs at least {MINIMUM_SEEDS} seeds, got {seeds}")
    if spread.seed is None:
        raise ValueError(f"the spread between seeds is not known: it takes {MINIMUM_SEEDS} seeds, or an assumption")
    return Parts(example, interaction, spread.seed / seeds + interaction, dof, seeds - 1.0)


def _power(dof: float, level: float) -> Callable[[float], float]:
    """Power of a two-sided t interval to exclude zero, by the true difference in standard errors (noncentral t)."""
    # scipy's own noncentral t is NaN in places that matter here (1 degree of freedom, noncentrality 8).
    factors, weights = _estimated_variance(min(dof, NORMAL_DOF), FINE_NODES)
    return _exceeding(t_quantile(level, min(dof, NORMAL_DOF)) * np.sqrt(factors), weights)


def _method_power(parts: Parts, level: float) -> Callable[[float], float]:
    """Power as a function of the true difference in standard errors, averaged over E and B as they may be estimated."""
    factors, rows = _estimated_variance(min(parts.example_dof, NORMAL_DOF), EXAMPLE_NODES)
    seed_factors, columns = _estimated_variance(parts.seed_dof, SEED_NODES)
    variance, fraction = combined_variance(
        parts.example * factors[:, None], parts.interaction, parts.seed * seed_factors[None, :]
    )
    quantiles = [t_quantile(level, min(dof, NORMAL_DOF)) for dof in parts.dofs]
    weight = fraction**FRACTION_POWER
    edges = ((1 - weight) * quantiles[0] + weight * quantiles[1]) * np.sqrt(variance) / parts.error
    return _exceeding(edges, rows[:, None] * columns)


def _exceeding(edges: Floats, weights: Floats) -> Callable[[float], float]:
    """Probability that a normal variable around a shift lies beyond ± an edge, averaged over edges."""
    from scipy.special import ndtr

    return lambda shift: float(((ndtr(shift - edges) + ndtr(-shift - edges)) * weights).sum())


@functools.lru_cache(maxsize=4096)
def _estimated_variance(dof: float, nodes: int) -> tuple[Floats, Floats]:
    """Values of χ² / dof and their probabilities: Gauss-Legendre nodes of its quantile function."""
    from scipy.special import chdtri

    points, weights = _nodes(nodes)
    return np.asarray(chdtri(dof, (1 - points) / 2) / dof), weights / 2


@functools.cache
def _nodes(count: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights on [-1, 1]; finding them costs more than all that is done with them."""
    points, weights = np.polynomial.legendre.leggauss(count)
    return points, weights


def _dof_of(parts: Parts, level: float) -> float:
    from scipy.optimize import brentq

    low, high = sorted(parts.dofs)
    if parts.fraction == 0 or low == high:
        return parts.example_dof
    aim = parts.quantile(level)
    return float(brentq(lambda dof: t_quantile(level, dof) - aim, low, high))


def _detects(spread: Spread, design: Design, difference: float, power: float, level: float) -> bool:
    """Whether `detectable_difference` is at most this difference: power rises with it, so that one value decides."""
    if not 1 - level < power < 1:
        raise ValueError(f"power lies between {1 - level:g} and 1, got {power:g}")
    parts = _expected(spread, design)
    if parts.error <= 0:
        raise ValueError("no spread: every difference is detected")
    if design.estimand == "checkpoints" or not (spread.seed or spread.interaction):
        return _power(_dof_of(parts, level), level)(abs(difference) / parts.error) >= power
    return _method_power(parts, level)(abs(difference) / parts.error) >= power


def _solve(power_at: Callable[[float], float], power: float, level: float) -> float:
    """The shift at which a rising power function takes this value."""
    from scipy.optimize import brentq

    if not 1 - level < power < 1:
        raise ValueError(f"power lies between {1 - level:g} and 1, got {power:g}")
    high = 1.0
    while power_at(high) < power:
        high *= 2
    return float(brentq(lambda shift: power_at(shift) - power, 0.0, high, xtol=1e-10))


def _least(enough: Callable[[int], bool], start: int) -> int | None:
    """The least number from `start` on that is enough, where more is never worse."""
    if enough(start):
        return start
    few, many = 0, max(0, (-(-MOST // start) - 1).bit_length())  # the least doubling that reaches MOST
    if not enough(start << many):
        return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(start << middle) else (middle, many)
    low, high = start << few, start << many
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
