"""Medians of repeated measurements, with an interval that takes no distribution for granted."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.records import Estimate


def median(values: Sequence[float], *, level: float = 0.95) -> Estimate:
    """The median of independent measurements, with the binomial interval between two of them.

    Between the k-th smallest and the k-th largest of n lies the true median with probability
    1 - 2 · P(Binomial(n, 1/2) < k) (Conover, Practical Nonparametric Statistics, 1999, 3.2). The largest k that keeps
    `level` is taken; below n = 6 none keeps 95 %, and the range stands in, with the level that it does keep. A single
    value has no interval.

    Raises ValueError: no values.
    """
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    n = len(ranked)
    middle = (ranked[(n - 1) // 2] + ranked[n // 2]) / 2
    if n == 1:
        return Estimate(middle, None, None, 1, 1, 1, "a single measurement", level)
    k = max((k for k in range(1, n // 2 + 1) if coverage(n, k) >= level), default=1)
    reached = coverage(n, k)
    how = f"median of {n} rounds, between the {_place(k, 'smallest')} and the {_place(k, 'largest')}"
    return Estimate(middle, ranked[k - 1], ranked[n - k], n, n, 1, how, min(level, reached))


def coverage(n: int, k: int) -> float:
    """How often the k-th smallest and the k-th largest of `n` values enclose the median."""
    return float(1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n)


def _place(k: int, what: str) -> str:
    return what if k == 1 else f"{k}. {what}"
