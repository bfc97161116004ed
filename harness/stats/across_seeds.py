"""*This method*: training seeds are random as well as examples, so it speaks about the next training too.

An arm's scores y of seed s and example i are taken as crossed random effects: example + seed + (example × seed), with
examples in clusters. The variance of the mean over S seeds is estimated by (E - X)₊ + B, where

- E is the cluster-robust variance (CR2) of the examples' means over seeds: example and interaction effects;
- B = Var(seed means) / S, with S - 1 degrees of freedom: seed and interaction effects;
- X is the cluster-robust variance of what is left of y beyond its example's and its seed's mean, / S: the interaction,
  which E and B both contain and which must not count twice (two-way clustering: Cameron, Gelbach & Miller 2011; the
  two-way random-effects table: Searle, Casella & McCulloch 1992).

The interval's half-width is the standard error times (1 - u) · t(ν_E) + u · t(S - 1), with u = w^(4/3), w = B /
variance and ν_E Bell-McCaffrey's. With u = w that is the weighted quantile of Cochran & Cox (1957). Without variance
between examples it is the seed-level t interval with S - 1 degrees of freedom, without variance between seeds the
interval of *these checkpoints*.

By quadrature over all proportions of the three effects (normal, 3 to 10 seeds, clusters of one size) nominal 95 %
cover 94.5 to 96.5 % with 30 to 1,000 clusters and 94.5 to 97.1 % with 10. The power 4/3 was chosen for that: u = w
covers up to 97.6 %, and up to 98 % with unequal clusters. P-values do take u = w: Holm compares them with small levels,
0.0125 for four arms, below which they fall in at most 1.5 % (with 4/3 in 1.9 %). Two obvious rules do worse.
Satterthwaite's degrees of freedom cover 92 % with three seeds at the worst, because a small B makes both the variance
and the loss of degrees of freedom look small. Taking E alone where B < X, and E + B - X otherwise, is shorter without
seed effects, but covers from 93 to 98 %. `bench/coverage.py` simulates.

Two trained arms with the same number of seeds are paired seed by seed: the same seed shares its data order. Pairing
independent seeds is valid too. With different numbers the seed parts of both are added (Welch 1947).
Corpus metrics: the same, with the jackknife over clusters (Efron & Stein 1981) in place of CR2.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.records import Estimate
from harness.stats.bootstrap import Combine
from harness.stats.clusters import (
    LAST_BITS,
    Clusters,
    Floats,
    clip,
    cr2_dof,
    finite_table,
    statistic_sums,
    t_quantile,
    without_spread,
)

MINIMUM_SEEDS = 3
"""Fewer trainings say too little about their own spread."""
SMALLEST_P = 1e-100
"""p-values below this are given as this."""
FRACTION_POWER = 4 / 3
"""How the seeds' share of the variance weighs their t quantile; see above."""


# ----------------------------------------------------------------------------------------------- arm by arm, for many


def method_arm(
    values: ArrayLike, clusters: Sequence[Hashable] | Clusters | None, *, trained: bool
) -> tuple[Arm, Clusters]:
    """Values [seeds, n] as an Arm, to be used in many estimates.

    An arm without training has one row and `trained=False`; it counts as fixed.

    Raises ValueError: a trained arm with fewer than three seeds, an untrained one with several, or values not finite.
    """
    table = finite_table(values)
    _check_seeds(len(table), trained)
    grouped = Clusters.of(clusters, table.shape[1])
    return mean_arm(table, grouped, trained), grouped


def corpus_method_arm(
    statistics: ArrayLike, combine: Combine, clusters: Sequence[Hashable] | Clusters | None, *, trained: bool
) -> tuple[Arm, Clusters]:
    """Statistics [seeds, n, k] as an Arm. Raises ValueError as `method_arm`, or for a value that is not finite."""
    known, sums = statistic_sums(statistics, clusters)
    _check_seeds(sums.shape[1], trained)
    return corpus_arm(sums, combine, known, trained), known


# ---------------------------------------------------------------------------------------------- parts of a variance


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm, or a difference of two whose seeds pair: its values, and what each cluster moves them by."""

    values: Floats
    """[seeds]."""
    influence: Floats
    """[seeds, G]: a cluster's pull on the value of a seed, scaled so that the sum of squares is the variance."""
    dof: float
    """Of the variance over clusters."""
    trained: bool
    scale: float
    """Size of the values, against which spread is told from last bits."""
    other: Arm | None = None
    """What is subtracted, where seeds cannot pair because their numbers differ."""
    parts: Parts | None = None
    """Its variances, where they are known already."""
    point: float | None = None
    """The mean of `values`, where it is."""

    @property
    def value(self) -> float:
        """The mean over seeds, or the difference of two."""
        own = float(self.values.mean()) if self.point is None else self.point
        return own if self.other is None else own - float(self.other.values.mean())


@dataclass(frozen=True, slots=True)
class Parts:
    """Variances of a mean over seeds and clusters; see the module's docstring."""

    example: float
    """E."""
    interaction: float
    """X."""
    seed: float
    """B."""
    example_dof: float
    seed_dof: float

    @property
    def dofs(self) -> tuple[float, float]:
        """Degrees of freedom of E and of B."""
        return self.example_dof, self.seed_dof

    @property
    def error(self) -> float:
        """Standard error."""
        return math.sqrt(self.variance)

    @property
    def variance(self) -> float:
        """As `combined_variance`, of one estimate."""
        examples = self.example - self.interaction
        return examples + self.seed if examples > 0 else self.seed

    @property
    def fraction(self) -> float:
        """Of the variance that is estimated from seeds: w."""
        variance = self.variance
        return self.seed / variance if variance > 0 else self.seed

    def quantile(self, level: float) -> float:
        """Half-width of a two-sided interval, in standard errors."""
        ours, theirs = (t_quantile(level, dof) for dof in self.dofs)
        weight = float(self.fraction**FRACTION_POWER)
        return (1 - weight) * ours + weight * theirs


def combined_variance(example: ArrayLike, interaction: ArrayLike, seed: ArrayLike) -> tuple[Floats, Floats]:
    """Variance (E - X)₊ + B, and the share w of B in it, of estimates [...] each."""
    ours, both, theirs = (np.asarray(part, dtype=np.float64) for part in (example, interaction, seed))
    variance = np.asarray(np.maximum(0.0, ours - both) + theirs)
    return variance, np.asarray(theirs / np.where(variance > 0, variance, 1.0))


def mean_arm(table: Floats, clusters: Clusters, trained: bool) -> Arm:
    """Means of values [seeds, n]."""
    values = table.mean(axis=1)
    scale = float(np.abs(table).max())
    if clusters.count < 2:
        return Arm(values, np.zeros((len(table), clusters.count)), 1.0, trained, scale)
    residuals = clusters.sums(table - values[:, None])
    influence = residuals / (clusters.n * np.sqrt(1 - clusters.sizes / clusters.n))
    return Arm(values, influence, cr2_dof(clusters), trained, scale)


def corpus_arm(sums: Floats, combine: Combine, clusters: Clusters, trained: bool) -> Arm:
    """Corpus values of summed statistics [G, seeds, k], with jackknife influence; ValueError if one is not finite."""
    count, seeds = sums.shape[:2]
    total = sums.sum(axis=0)
    values = np.asarray(combine(total), dtype=np.float64)
    without_one = np.asarray(combine(total - sums), dtype=np.float64) if count > 1 else values
    if not (np.isfinite(values).all() and np.isfinite(without_one).all()):
        raise ValueError("corpus value is not finite")
    scale = float(np.abs(values).max())
    if count < 2:
        return Arm(values, np.zeros((seeds, count)), 1.0, trained, scale)
    influence = (without_one.mean(axis=0) - without_one).T * ((count - 1) / count) ** 0.5
    return Arm(values, influence, cr2_dof(clusters), trained, scale)


def subtract(a: Arm, b: Arm) -> Arm:
    """a - b: paired seed by seed, or kept side by side where the numbers of seeds differ."""
    scale = max(a.scale, b.scale)
    if len(a.values) == len(b.values) or not (a.trained and b.trained):
        # An arm without training has one row, which meets every seed of the other.
        return Arm(a.values - b.values, a.influence - b.influence, a.dof, a.trained or b.trained, scale)
    return Arm(a.values, a.influence, a.dof, True, scale, other=b)


def parts_of(arm: Arm) -> Parts:
    """Variance parts of an arm's mean over seeds."""
    if arm.parts is not None:
        return arm.parts
    pull = arm.influence.mean(axis=0)
    interaction, seed, dof = _seed_parts(arm)
    if arm.other is not None:
        pull = pull - arm.other.influence.mean(axis=0)
        theirs_x, theirs, other_dof = _seed_parts(arm.other)
        both = seed + theirs
        if both > 0:
            dof = both**2 / (seed**2 / dof + theirs**2 / other_dof)
        interaction, seed = interaction + theirs_x, both
    return Parts(float((pull**2).sum()), interaction, seed, arm.dof, dof)


# ------------------------------------------------------------------------------------------------------- internals


def _seed_parts(arm: Arm) -> tuple[float, float, float]:
    """(X, B, degrees of freedom of B) of one arm."""
    seeds = len(arm.values)
    if not arm.trained or seeds < 2:
        return 0.0, 0.0, 1.0
    left = arm.influence - arm.influence.mean(axis=0)
    interaction = float((left**2).sum()) / (seeds * (seeds - 1))
    return interaction, float(arm.values.var(ddof=1)) / seeds, float(seeds - 1)


def _check_seeds(seeds: int, trained: bool) -> None:
    if trained and seeds < MINIMUM_SEEDS:
        raise ValueError(
            f"an interval for this method needs at least {MINIMUM_SEEDS} training seeds, got {seeds}: "
            "train more seeds, or ask about these checkpoints"
        )
    if not trained and seeds > 1:
        raise ValueError(f"an arm without training counts once, got {seeds} rows")


def arm_estimate(
    arm: Arm, clusters: Clusters, what: str, bounds: tuple[float, float] | None, level: float = 0.95
) -> Estimate:
    """The value of an arm, or of a difference of two (`subtract`), with its interval; `what` it is, in words."""
    value = arm.value
    seeds = max(len(arm.values), 0 if arm.other is None else len(arm.other.values))
    low: float | None = None
    high: float | None = None
    if clusters.count < 2:
        how = "no interval from a single cluster"
    else:
        parts = parts_of(arm)
        error = parts.error
        if error <= LAST_BITS * arm.scale:
            low, high, how = without_spread(value, clusters.count, bounds, level)
        else:
            half = parts.quantile(level) * error
            low, high = clip(value - half, bounds), clip(value + half, bounds)
            how = f"t interval from clusters ({parts.example_dof:.1f} degrees of freedom)"
            if arm.trained:
                how += f" and seeds ({parts.seed_dof:.1f}, {parts.fraction:.0%} of the variance)"
    trained = f"this method, {seeds} seeds" if arm.trained else "this method, no training"
    return Estimate(value, low, high, clusters.n, clusters.count, seeds, f"{what}; {how}; {trained}", level)


def arm_p_value(arm: Arm, clusters: Clusters) -> float | None:
    """Two-sided p-value of an arm, which is a difference of two (`subtract`), being 0; to be adjusted with `holm`.

    From Cochran and Cox's quantile (u = w), which holds small levels too: where it is below 1 - level, the interval at
    that level excludes 0; the other way round it may lag behind a little. None with a single cluster. Where nothing
    differs between seeds and clusters: 1 without a difference, else the sign test over clusters.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    if clusters.count < 2:
        return None
    value, parts = abs(arm.value), parts_of(arm)
    if parts.error <= LAST_BITS * arm.scale:
        return 1.0 if value <= LAST_BITS * arm.scale else 2.0 ** (1 - clusters.count)
    reached, fraction = value / parts.error, parts.fraction

    def beyond(log_p: float) -> float:
        tail = np.exp(log_p) / 2
        mixed = (1 - fraction) * stdtrit(parts.example_dof, tail) + fraction * stdtrit(parts.seed_dof, tail)
        return float(reached + mixed)

    # The quantile is a mixture, so its p-value lies between those of the two distributions; at an end rounding decides.
    ends = [max(float(2 * stdtr(dof, -reached)), SMALLEST_P) for dof in parts.dofs]
    if fraction == 0:
        return ends[0]
    low, high = min(ends), max(ends)
    if beyond(np.log(low)) >= 0:
        return low
    if beyond(np.log(high)) <= 0:
        return high
    return float(np.exp(brentq(beyond, np.log(low), np.log(high))))
