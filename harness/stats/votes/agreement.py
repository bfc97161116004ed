"""How far raters agree: Krippendorff's alpha with a bootstrap interval, and Cohen's kappa of each two raters.

What is rated is one example's comparison of two arms. Answers are turned so that the arm that comes first by name
stands left: raters who saw the sides swapped and prefer the same answer agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.records import Estimate
from harness.stats.bootstrap import RESAMPLES, weights
from harness.stats.clusters import Clusters, Floats
from harness.stats.votes.record import BOTH_BAD, SKIP, TIE, Codes, Measured, VoteTable

Scale = Literal["nominal", "ordinal"]


@dataclass(frozen=True, slots=True)
class Kappa:
    """Cohen's kappa of two raters."""

    first: str
    second: str
    n: int
    """Comparisons that both judged."""
    value: float | None
    why: str = ""
    """Why there is none."""


def krippendorff_alpha(
    counts: ArrayLike,
    scale: Scale,
    rng: np.random.Generator,
    clusters: Sequence[int] | None = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Measured:
    """Alpha of ratings counts [units, categories] (how many raters put a unit in a category), categories in order.

    1 - observed / expected disagreement, over pairs of ratings of one unit (Krippendorff 2011); units with one rating
    count for nothing. The percentile interval resamples whole clusters of units (each its own without `clusters`): it
    covers which examples were drawn, and speaks about these raters. Without two clusters there is no interval.
    """
    table = np.asarray(counts, dtype=np.float64)
    groups = Clusters.of(clusters, len(table))
    paired = table.sum(axis=1) >= 2
    if not paired.any():
        return Measured(None, "no comparison was judged by two raters")
    # Each unit's coincidences of categories [units, categories, categories].
    products = table[:, :, None] * table[:, None, :]
    width = np.arange(table.shape[1])
    products[:, width, width] -= table
    coincidences = products / np.maximum(table.sum(axis=1) - 1.0, 1.0)[:, None, None]
    sums = groups.sums(np.ascontiguousarray(coincidences.reshape(len(table), -1).T)).T
    # Clusters without any two ratings of a unit say nothing, and are not drawn.
    sums = sums[sums.sum(axis=1) > 0]
    value = float(_alphas(sums.sum(axis=0)[None], scale)[0])
    if not np.isfinite(value):
        return Measured(None, "every rating is the same, so that chance agreement is perfect, too")
    low = high = None
    how = "no interval from one example"
    if len(sums) > 1:
        draws = np.concatenate([_alphas(part @ sums, scale) for part in weights(sums, rng, resamples)])
        # A resample whose ratings are all the same agrees perfectly, as far as it can be seen.
        draws = np.where(np.isfinite(draws), draws, 1.0)
        low, high = (float(limit) for limit in np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]))
        how = f"percentile interval of {resamples} resamples of the examples, these raters"
    words = f"Krippendorff's alpha, {scale}; {how}"
    return Measured(Estimate(value, low, high, int(paired.sum()), len(sums), 1, words, level))


def vote_alpha(table: VoteTable, scale: Scale, rng: np.random.Generator, *, level: float = 0.95) -> Measured:
    """Alpha of votes: nominal over first, tie, second and both bad; ordinal over first < tie < second.

    Both bad has no place in the order, so the ordinal one leaves it out; skips are no rating. Of one rater's votes on
    one comparison the first counts. The interval resamples examples.
    """
    units, items, _, ratings = _ratings(table, 4 if scale == "nominal" else 3)
    counts = np.zeros((len(items), ratings.max(initial=0) + 1 if scale == "nominal" else 3))
    np.add.at(counts, (units, ratings), 1.0)
    return krippendorff_alpha(counts, scale, rng, items.tolist(), level=level)


def cohen_kappa(first: ArrayLike, second: ArrayLike) -> float | None:
    """Kappa of two raters' codes on the same units [n] (Cohen 1960); None where chance agreement is perfect.

    Raises ValueError: no units, or not the same number.
    """
    ours, theirs = np.asarray(first), np.asarray(second)
    if ours.shape != theirs.shape or ours.ndim != 1 or not len(ours):
        raise ValueError(f"expected the same units, got shapes {ours.shape} and {theirs.shape}")
    _, codes = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
    count = int(codes.max()) + 1
    fractions = [np.bincount(part, minlength=count) / len(ours) for part in np.split(codes, 2)]
    expected = float(fractions[0] @ fractions[1])
    return None if expected == 1.0 else (float(np.mean(ours == theirs)) - expected) / (1.0 - expected)


def pairwise_kappas(table: VoteTable) -> tuple[Kappa, ...]:
    """Kappa of each two raters over the comparisons both judged, by name; nominal, as `vote_alpha` takes votes."""
    units, items, raters, ratings = _ratings(table, 4)
    judged = np.full((len(table.raters), len(items)), SKIP)
    judged[raters, units] = ratings
    kappas = []
    for a, b in combinations(range(len(table.raters)), 2):
        shared = (judged[a] != SKIP) & (judged[b] != SKIP)
        n = int(shared.sum())
        value = cohen_kappa(judged[a, shared], judged[b, shared]) if n else None
        why = "" if value is not None else "both gave one and the same answer throughout" if n else "nothing in common"
        kappas.append(Kappa(table.raters[a], table.raters[b], n, value, why))
    return tuple(kappas)


def preferences(table: VoteTable) -> Codes:
    """Votes as 0 the first arm by name, 1 tie, 2 the second arm, 3 both bad, `SKIP` a skip [n]."""
    codes = np.where(table.winner == TIE, 1, np.where(table.first_score == 1.0, 0, 2))
    return np.asarray(np.where(table.winner == BOTH_BAD, 3, np.where(table.winner == SKIP, SKIP, codes)), dtype=np.intp)


def comparisons(table: VoteTable) -> Codes:
    """A number for each example and pair of arms [n]."""
    count = len(table.arms)
    return np.asarray((table.item * count + table.first) * count + table.second)


def _ratings(table: VoteTable, categories: int) -> tuple[Codes, Codes, Codes, Codes]:
    """Each rater's first vote on each comparison: its unit, the units' items, the rater, and the category."""
    category, unit = preferences(table), comparisons(table)
    kept = np.flatnonzero(category < categories)
    _, earliest = np.unique(unit[kept] * len(table.raters) + table.rater[kept], return_index=True)
    rows = kept[np.sort(earliest)]
    _, first, units = np.unique(unit[rows], return_index=True, return_inverse=True)
    return units.reshape(-1), table.item[rows][first], table.rater[rows], category[rows]


def _alphas(coincidences: Floats, scale: Scale) -> Floats:
    """Alpha of coincidences [r, categories²] → [r]; NaN where no two categories occur."""
    width = round(coincidences.shape[1] ** 0.5)
    observed = coincidences.reshape(-1, width, width)
    totals = observed.sum(axis=2)
    n = totals.sum(axis=1)
    distance = np.broadcast_to(1.0 - np.eye(width), observed.shape)
    if scale == "ordinal":  # squared differences count the ratings between
        middle = np.cumsum(totals, axis=1) - totals / 2
        distance = np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)
    disagreement = (observed * distance).sum(axis=(1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum(axis=(1, 2))
    possible: NDArray[np.bool_] = expected > 0
    return np.where(possible, 1.0 - (n - 1.0) * disagreement / np.where(possible, expected, 1.0), np.nan)
