"""Right-or-wrong metrics, whose means are proportions: intervals that hold near 0 and 1, where the t interval does not.

A t interval takes its width from the spread that was seen. Of 100 answers, 98 right, it sees next to none, and promises
too much: a floor at the true rate is then passed in up to 12 % of experiments where 5 % are promised (Bowyer et al.
2025). Here the width comes from the limit that is asked about.

    a proportion          Wilson's score interval (1927); against a floor the exact limits of Clopper & Pearson (1934)
    a paired difference   Tango's score interval (1998)

Examples in clusters count as the number of independent ones whose mean would vary as much (Korn & Graubard 1998), never
more than there are. Values that are means over S seeds lie between: they count as up to S examples each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import LAST_BITS, Clusters, Floats, cr2_dof, t_quantile

HALVINGS = 60
"""Steps of bisection: to the last bit of a number between -1 and 1."""
Kind = Literal["proportion", "difference"]


def kind_of(values: Floats, bounds: tuple[float, float] | None, seeds: int = 1) -> Kind | None:
    """What the values [n] are: each at a bound, or, of differences, at a bound or 0; None where they are neither.

    Of means over `seeds` every seed's value has to be.
    """
    if bounds is None or not np.isfinite(bounds).all() or bounds[1] <= bounds[0]:
        return None
    low, high = bounds
    steps = (values - low) / (high - low) * seeds if low != -high else values / high * seeds
    if np.abs(steps - np.rint(steps)).max() > LAST_BITS * max(1, seeds):
        return None
    return "difference" if low == -high else "proportion"


def right_or_wrong(values: Floats, bounds: tuple[float, float] | None, seeds: int = 1) -> Floats | None:
    """Values of any shape moved to between 0 and 1; None where they are not right or wrong."""
    if bounds is None or kind_of(values.ravel(), bounds, seeds) != "proportion":
        return None
    return (values - bounds[0]) / (bounds[1] - bounds[0])


@dataclass(frozen=True, slots=True)
class Counts:
    """A proportion as so many independent examples would have shown it."""

    share: float
    """Between 0 and 1."""
    n: float
    """Effective number of examples."""
    dof: float
    """Degrees of freedom of its variance."""


def proportion_counts(values: Floats, variance: float, clusters: Clusters, seeds: int) -> Counts:
    """Counts of values between 0 and 1 [n], whose mean has this cluster-robust variance, above 0."""
    share = float(values.mean())
    return Counts(share, _effective(share * (1 - share), variance, clusters.n * seeds), cr2_dof(clusters))


def wilson(counts: Counts, level: float) -> tuple[float, float]:
    """Both ends of Wilson's score interval, with the t quantile of the clusters."""
    z2 = t_quantile(level, counts.dof) ** 2
    centre = (counts.share + z2 / (2 * counts.n)) / (1 + z2 / counts.n)
    half = z2**0.5 / (1 + z2 / counts.n)
    half *= (counts.share * (1 - counts.share) / counts.n + z2 / (4 * counts.n**2)) ** 0.5
    return centre - half, centre + half


def exact_limits(counts: Counts, confidence: float) -> tuple[float, float]:
    """One-sided limits (lower, upper) of a proportion (Clopper & Pearson 1934); the number of examples need not be
    whole."""
    from scipy.special import betaincinv

    hits, n = counts.share * counts.n, counts.n
    low = 0.0 if hits <= 0 else float(betaincinv(hits, n - hits + 1, 1 - confidence))
    high = 1.0 if hits >= n else float(betaincinv(hits + 1, n - hits, confidence))
    return low, high


def exact_tails(counts: Counts, limit: float) -> tuple[float, float]:
    """P-values of a proportion that is not above `limit`, and of one that is not below it."""
    from scipy.special import betainc

    hits, n = counts.share * counts.n, counts.n
    at = min(max(limit, 0.0), 1.0)
    above = 1.0 if hits <= 0 else float(betainc(hits, n - hits + 1, at))
    below = 1.0 if hits >= n else 1.0 - float(betainc(hits + 1, n - hits, at))
    return above, below


def adjusted(counts: Counts, clusters: Clusters, confidence: float) -> Counts:
    """Counts for exact limits, which know of no degrees of freedom: fewer examples where clusters are few (Korn &
    Graubard 1998)."""
    if clusters.count == clusters.n:
        return counts
    from scipy.special import ndtri

    few = (float(ndtri(confidence)) / t_quantile(2 * confidence - 1, counts.dof)) ** 2
    return Counts(counts.share, counts.n * few, counts.dof)


@dataclass(frozen=True, slots=True)
class Discordance:
    """Shares of examples on which one side is right and the other wrong; arrays of one shape, or numbers."""

    ahead: Floats
    behind: Floats
    n: Floats
    """Effective number of pairs."""


def discordance(ahead: ArrayLike, behind: ArrayLike, variance: ArrayLike, most: float) -> Discordance:
    """From both shares and the cluster-robust variances, above 0, of their difference; at most `most` pairs."""
    first, second = np.asarray(ahead, dtype=np.float64), np.asarray(behind, dtype=np.float64)
    spread = first + second - (first - second) ** 2
    return Discordance(first, second, np.minimum(spread / np.asarray(variance) + 1, most))


def tango_statistic(pairs: Discordance, difference: ArrayLike) -> Floats:
    """How many standard errors, as they are where this is the true difference, the observed one lies above it."""
    gap, n = np.asarray(difference, dtype=np.float64), pairs.n
    ahead, behind = pairs.ahead * n, pairs.behind * n
    linear = (2 * n - ahead + behind) * gap - ahead - behind
    constant = -behind * gap * (1 - gap)
    # The share `behind` that is likeliest if the difference is `gap`.
    share = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0)) - linear) / (4 * n)
    variance = n * (2 * share + gap * (1 - gap))
    return np.asarray((ahead - behind - n * gap) / np.sqrt(np.maximum(variance, 1e-300)))


def tango(pairs: Discordance, quantile: float) -> tuple[Floats, Floats]:
    """Both ends of Tango's score interval at this many standard errors, by bisection."""
    value = pairs.ahead - pairs.behind
    ends = []
    for sign in (1.0, -1.0):
        inside, outside = value.copy(), np.full_like(value, -sign)
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            within = sign * tango_statistic(pairs, middle) < quantile
            inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
        ends.append(outside)
    return ends[0], ends[1]


def _effective(spread: float, variance: float, most: float) -> float:
    return min(spread / variance + 1, most)
