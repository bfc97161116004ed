"""Ranks of arms, from joint resamples of the examples.

The same resample scores every arm, so that what the arms share cancels. Draws are about *these checkpoints* until
`with_seeds` lets the training seeds vary too, which makes them about *these methods*.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.across_seeds import MINIMUM_SEEDS
from harness.stats.bootstrap import RESAMPLES, Combine, weights
from harness.stats.clusters import Clusters, Floats, finite_table, statistic_sums


def joint_draws(
    values: ArrayLike,
    clusters: Sequence[Hashable] | Clusters | None,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Floats:
    """Means of all arms over the same resampled clusters: values [arms, n] → [resamples, arms].

    A resample draws G clusters with replacement; its mean weighs their examples equally.

    Raises ValueError: no values, or values that are not finite.
    """
    table = finite_table(values)
    grouped = Clusters.of(clusters, table.shape[1])
    # The number of examples drawn varies with the clusters: it is summed beside the values.
    sums = np.concatenate([grouped.sums(table), grouped.sizes[None]]).T
    draws = np.concatenate([part @ sums for part in weights(sums, rng, resamples)])
    return np.asarray(draws[:, :-1] / draws[:, -1:])


def corpus_joint_draws(
    statistics: Sequence[ArrayLike],
    combine: Combine,
    clusters: Sequence[Hashable] | Clusters | None,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Floats:
    """Corpus values of all arms over the same resampled clusters → [resamples, arms].

    `statistics` has [seeds, n, k] (or [n, k]) for each arm; the values of an arm's seeds are averaged.

    Raises ValueError: no arms, numbers of examples differ, or statistics that are not finite.
    """
    if not len(statistics):
        raise ValueError("no arms")
    grouped, first = statistic_sums(statistics[0], clusters)
    sums = [first, *(statistic_sums(arm, grouped)[1] for arm in statistics[1:])]
    together = np.concatenate(sums, axis=1)
    ends = np.cumsum([arm.shape[1] for arm in sums])[:-1]
    draws = []
    for part in weights(together, rng, resamples):
        values = np.asarray(combine(np.tensordot(part, together, axes=1)))
        draws.append(np.stack([seeds.mean(axis=1) for seeds in np.split(values, ends, axis=1)], axis=1))
    return np.concatenate(draws)


def with_seeds(draws: ArrayLike, seed_values: Sequence[ArrayLike | None], rng: np.random.Generator) -> Floats:
    """Let every trained arm's seeds vary: draws [resamples, arms] of seed means → the same shape, of methods.

    `seed_values` has each arm's value of every seed [S], or None for an arm without training. To each draw is added
    s / sqrt(S) times a t variate with S - 1 degrees of freedom, s being the standard deviation of the S values: the
    posterior of a normal mean under a flat prior (Box & Tiao 1973). Arms are drawn independently, although seeds pair,
    and what examples and seeds do together is in both parts: ranks err on the wide side.

    Raises ValueError: fewer than three seeds of a trained arm, or another number of arms.
    """
    table = finite_table(draws)
    if table.shape[1] != len(seed_values):
        raise ValueError(f"draws of {table.shape[1]} arms, seeds of {len(seed_values)}")
    moved = table.T.copy()  # an arm after the other lies together
    for arm, values in enumerate(seed_values):
        if values is None:
            continue
        own = np.asarray(values, dtype=np.float64)
        if len(own) < MINIMUM_SEEDS:
            raise ValueError(f"{len(own)} seeds say too little about their own spread: it takes {MINIMUM_SEEDS}")
        error = float(own.std(ddof=1)) / len(own) ** 0.5
        moved[arm] += error * rng.standard_t(len(own) - 1, size=moved.shape[1])
    return np.ascontiguousarray(moved.T)


def rank_intervals(draws: ArrayLike, higher: bool, level: float = 0.95) -> list[tuple[int, int]]:
    """For each arm of draws [resamples, arms] the ranks (first, last) that it takes; 1 is best.

    Percentile intervals: in every resample an arm has a best rank (one more than the arms above it) and a worst (the
    arms above it or equal to it); the interval reaches from the (1 - level) / 2 quantile of its best ranks to the
    (1 + level) / 2 quantile of its worst ones, each the nearest rank outwards. So ties widen it. They are marginal:
    each arm's own statement, not one about the whole order, which would need wider ones. Arms whose true values are
    nearly equal are the hard case: there bootstrap ranks vary less than they should (Xie, Singh & Zhang 2009), so a
    claim rests on the paired intervals, and these show how stable the order is.
    """
    order, above, at_least = _places(finite_table(draws) * (1.0 if higher else -1.0))
    rows, arms = order.shape
    tail = (1 - level) / 2
    ends = (rows - 1) * np.array([tail, 1 - tail])
    # Of the resamples of an arm the one in this place, as quantiles of `method="lower"` and `"higher"` have it.
    lower, upper = int(np.floor(ends[0])), int(np.ceil(ends[1]))
    own = order * arms
    first_ranks = np.bincount((own + above).ravel(), minlength=arms * arms).reshape(arms, arms).cumsum(axis=1)
    last_ranks = np.bincount((own + at_least - 1).ravel(), minlength=arms * arms).reshape(arms, arms).cumsum(axis=1)
    low, high = (first_ranks > lower).argmax(axis=1) + 1, (last_ranks > upper).argmax(axis=1) + 1
    return list(zip(low.tolist(), high.tolist(), strict=True))


def best_probabilities(draws: ArrayLike, higher: bool) -> list[float]:
    """For each arm of draws [resamples, arms] the share of resamples in which it is best; ties share. They sum to 1.

    The bootstrap's stand-in for the probability that the arm is best (Efron & Tibshirani 1998), for a flat prior.
    """
    table = finite_table(draws) * (1.0 if higher else -1.0)
    best = table == table.max(axis=1, keepdims=True)
    return [float(fraction) for fraction in (best / best.sum(axis=1, keepdims=True)).mean(axis=0)]


def _places(table: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Arms of each row of [resamples, arms], the best first; and of each place in that order how many values of the row
    are above the one there, and how many are not below. The last two may be [arms], where all rows have the same.

    Rows are sorted once, so that a thousand arms take a sort and not a million comparisons for each resample.
    """
    rows, arms = table.shape
    order = np.argsort(-table, axis=1)
    ranked = np.take_along_axis(table, order, axis=1)
    position = np.arange(arms)
    same = ranked[:, 1:] == ranked[:, :-1]
    if not same.any():
        return order, position, position + 1
    # Equal values share the place of the first of them, and the place after the last.
    fresh = np.ones(table.shape, dtype=bool)
    fresh[:, 1:] = ~same
    ends = np.concatenate([fresh[:, 1:], np.ones((rows, 1), dtype=bool)], axis=1)
    first = np.maximum.accumulate(np.where(fresh, position, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, position + 1, arms)[:, ::-1], axis=1)[:, ::-1]
    return order, first, last
