"""Clusters of examples, and the variance of a mean over them."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

PART_CELLS = 1_000_000
"""Resampling works through so many numbers at a time (8 MB)."""
LAST_BITS = 1e-12
"""Sums in another order differ in their last bits: what is smaller than this, relative to the values, is no spread."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """The cluster of every example. Worth making once where many estimates share their examples."""

    codes: NDArray[np.intp]
    """0 … G-1 in order of appearance [n]."""
    sizes: Floats
    """Examples of each cluster [G]."""

    @classmethod
    def of(cls, clusters: Sequence[Hashable] | Clusters | None, n: int) -> Clusters:
        """Clusters of n examples; without clusters each example is its own.

        Raises ValueError: not one cluster for each example.
        """
        if isinstance(clusters, Clusters):
            if len(clusters.codes) != n:
                raise ValueError(f"{n} values but {len(clusters.codes)} clusters")
            return clusters
        if clusters is None:
            return cls(np.arange(n), np.ones(n))
        if len(clusters) != n:
            raise ValueError(f"{n} values but {len(clusters)} clusters")
        code_of: dict[Hashable, int] = {}
        codes = np.array([code_of.setdefault(cluster, len(code_of)) for cluster in clusters], dtype=np.intp)
        return cls(codes, np.bincount(codes, minlength=len(code_of)).astype(np.float64))

    @property
    def count(self) -> int:
        """Number of clusters G."""
        return len(self.sizes)

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.codes)

    def sums(self, values: Floats) -> Floats:
        """Values [..., n] summed within clusters → [..., G]."""
        if self.count == self.n:
            # Codes count up in order of appearance, so here they are 0 … n-1.
            return values
        flat = values.reshape(-1, self.n)
        rows = [np.bincount(self.codes, weights=row, minlength=self.count) for row in flat]
        return np.stack(rows).reshape(*values.shape[:-1], self.count).astype(np.float64, copy=False)


def finite_values(values: ArrayLike) -> Floats:
    """Values as a non-empty vector [n] of finite numbers, else ValueError."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"expected a non-empty list of values, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("values must be finite; leave out what is missing")
    return array


def finite_table(values: ArrayLike) -> Floats:
    """Values [seeds, n] (or [n], which is one row) of finite numbers, else ValueError."""
    array = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if array.ndim != 2 or not array.size:
        raise ValueError(f"expected values [seeds, n], got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("values must be finite; leave out what is missing")
    return array


def statistic_sums(statistics: ArrayLike, clusters: Sequence[Hashable] | Clusters | None) -> tuple[Clusters, Floats]:
    """Clusters, and sums [G, seeds, k] of statistics [n, k] or [seeds, n, k]; ValueError if they are not finite."""
    array = np.asarray(statistics, dtype=np.float64)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or not array.shape[1]:
        raise ValueError(f"expected statistics [n, k] or [seeds, n, k], got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("statistics must be finite; leave out what is missing")
    grouped = Clusters.of(clusters, array.shape[1])
    return grouped, np.ascontiguousarray(np.moveaxis(grouped.sums(np.moveaxis(array, 1, 2)), 2, 0))


def cr2_variance(residuals: Floats, clusters: Clusters) -> Floats:
    """Bias-reduced variance (CR2) of means whose residuals, summed within clusters, are [..., G] → [...].

    (I - H_gg)^(-1/2) scales the residual sum of cluster g, which holds the share w_g of the examples, by
    (1 - w_g)^(-1/2) (Bell & McCaffrey 2002).
    """
    fraction = clusters.sizes / clusters.n
    return np.asarray((residuals**2 / (1 - fraction)).sum(axis=-1) / clusters.n**2)


@functools.lru_cache(maxsize=16)
def cr2_dof(clusters: Clusters) -> float:
    """Bell-McCaffrey degrees of freedom of a mean.

    (tr Γ)² / tr Γ² comes to 1 / (Σ w² + (Σ b)² - Σ b²) with b = w² / (1 - w); G - 1 for clusters of one size.
    """
    fraction = clusters.sizes / clusters.n
    b = fraction**2 / (1 - fraction)
    return 1.0 / float((fraction**2).sum() + b.sum() ** 2 - (b**2).sum())


@functools.lru_cache(maxsize=4096)
def t_quantile(level: float, dof: float) -> float:
    """Half-width of a two-sided t interval, in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(dof, 0.5 + level / 2))


def clip(limit: float, bounds: tuple[float, float] | None) -> float:
    """A limit moved into the possible values."""
    return limit if bounds is None else min(max(limit, bounds[0]), bounds[1])


def without_spread(
    value: float, count: int, bounds: tuple[float, float] | None, level: float
) -> tuple[float | None, float | None, str]:
    """Limits where no two clusters differ, and how they were made.

    The share of unseen different values is at most 1 - (α/2)^(1/G) (Clopper & Pearson 1934), and those lie in `bounds`.
    """
    if bounds is None:
        return None, None, "all values are equal, which says nothing about spread"
    unseen = unseen_fraction(count, level)
    low = value - unseen * (value - bounds[0])
    high = value + unseen * (bounds[1] - value)
    return low, high, "all values are equal: exact binomial limit over clusters"


def unseen_fraction(count: int, level: float) -> float:
    """The largest share of clusters that may differ where none of `count` does (Clopper & Pearson 1934)."""
    return float(1.0 - ((1.0 - level) / 2) ** (1.0 / count))


def clusters_without_spread(gap: float, reach: float, level: float) -> int | None:
    """How many clusters bring a limit of `without_spread` to within `gap` of the value; None where none do.

    `reach`: from the value to the bound on that side.
    """
    fraction = gap / reach if reach > 0 else 1.0
    if fraction <= 0:
        return None
    return 2 if fraction >= 1 else max(2, math.floor(math.log((1 - level) / 2) / math.log1p(-fraction)) + 1)


def part_sizes(rows: int, columns: int) -> Iterator[int]:
    """Rows in parts that bound the memory."""
    size = max(1, PART_CELLS // columns)
    for start in range(0, rows, size):
        yield min(size, rows - start)
