"""Every pair of many arms at once: what `across_seeds` and `intervals` say of one pair, as tables over arms.

The sums over clusters that a pair's variance is made of are squared distances between arms, so that all of them come
from one product of matrices. Where two arms are nearly alike that would cancel; such pairs are summed directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats import proportions
from harness.stats.across_seeds import FRACTION_POWER, Arm, Parts, combined_variance, subtract
from harness.stats.bootstrap import Combine
from harness.stats.clusters import LAST_BITS, Clusters, Floats, cr2_dof, part_sizes, t_quantile, unseen_fraction
from harness.stats.intervals import span

CANCELLED = 0.01
"""A squared distance that is a smaller share of the two squares than this has lost more than two digits."""


@dataclass(frozen=True, slots=True, eq=False)
class PairTable:
    """Differences of all pairs of arms, row minus column, [arms, arms] each; the diagonal is 0."""

    value: Floats
    low: Floats
    high: Floats
    known: NDArray[np.bool_]
    """Whether a pair has an interval; where it has none, `low` and `high` are its value."""


def pair_table(
    arms: Sequence[Arm],
    clusters: Clusters,
    bounds: tuple[float, float] | None,
    level: float = 0.95,
    right_or_wrong: Floats | None = None,
    seeds: int = 1,
) -> PairTable:
    """Difference of every pair of arms over the same examples, with the interval that one pair alone would have.

    Arms are those of `mean_arm`; of *these checkpoints* those of means over seeds, not trained. `bounds` are the
    metric's. To rounding the same as `arm_estimate` of `subtract`, and as `paired_difference`. No interval where no two
    clusters of a pair differ and bounds are not known.

    `right_or_wrong`: of *these checkpoints* the values [arms, n] between 0 and 1 that `proportions` has score intervals
    for, each a mean over up to `seeds` seeds.

    Raises ValueError: fewer than two arms or two clusters.
    """
    if len(arms) < 2 or clusters.count < 2:
        raise ValueError("pairs take at least two arms and two clusters")
    points = np.array([arm.values.mean() for arm in arms])
    value = points[:, None] - points
    example = squared_distances(np.stack([arm.influence.mean(axis=0) for arm in arms]))
    interaction, seed, reach = _seed_tables(arms, level)
    variance, fraction = combined_variance(example, interaction, seed)
    error = np.sqrt(variance)
    weight = fraction**FRACTION_POWER
    half = ((1 - weight) * t_quantile(level, cr2_dof(clusters)) + weight * reach) * error
    low, high = value - half, value + half
    possible = span(bounds)
    if right_or_wrong is not None and possible is not None:
        _score_intervals((low, high), error, possible[1], right_or_wrong, clusters, seeds, level)
    scale = np.array([arm.scale for arm in arms])
    alike = error <= LAST_BITS * np.maximum(scale[:, None], scale)
    if possible is None:
        low[alike], high[alike] = value[alike], value[alike]
        return PairTable(value, low, high, ~alike)
    unseen = unseen_fraction(clusters.count, level)
    np.clip(low, *possible, out=low)
    np.clip(high, *possible, out=high)
    low[alike] = value[alike] - unseen * (value[alike] - possible[0])
    high[alike] = value[alike] + unseen * (possible[1] - value[alike])
    return PairTable(value, low, high, np.ones_like(alike))


def arms_of(tables: Floats, clusters: Clusters, *, trained: bool) -> list[Arm]:
    """Values [arms, seeds, n] as Arms with their variances, to the last bit those of `method_arm` one by one.

    Raises ValueError: values that are not finite.
    """
    if not np.isfinite(tables).all():
        raise ValueError("values must be finite; leave out what is missing")
    values = tables.mean(axis=2)
    scales = np.abs(tables).max(axis=(1, 2)).tolist()
    residuals = clusters.sums(tables - values[:, :, None])
    influence = residuals / (clusters.n * np.sqrt(1 - clusters.sizes / clusters.n))
    dof, rows = cr2_dof(clusters), zip(values, influence, scales, strict=True)
    return with_parts([Arm(own, pull, dof, trained, scale) for own, pull, scale in rows])


def corpus_arms_of(tables: Sequence[Floats], combine: Combine, clusters: Clusters, *, trained: bool) -> list[Arm]:
    """Statistics [seeds, n, k] of each arm as Arms, those of `corpus_method_arm` one by one.

    Raises ValueError: statistics or a value that are not finite.
    """
    arms: list[Arm] = []
    dof, count = cr2_dof(clusters), clusters.count
    for size in part_sizes(len(tables), tables[0].size):
        several = np.stack(tables[len(arms) : len(arms) + size])
        if not np.isfinite(several).all():
            raise ValueError("statistics must be finite; leave out what is missing")
        sums = np.ascontiguousarray(np.moveaxis(clusters.sums(np.moveaxis(several, 2, 3)), 3, 1))
        total = sums.sum(axis=1)
        values = np.asarray(combine(total), dtype=np.float64)
        without_one = np.asarray(combine(total[:, None] - sums), dtype=np.float64)
        if not (np.isfinite(values).all() and np.isfinite(without_one).all()):
            raise ValueError("corpus value is not finite")
        influence = (
            np.moveaxis(without_one.mean(axis=1, keepdims=True) - without_one, 1, 2) * ((count - 1) / count) ** 0.5
        )
        scales = np.abs(values).max(axis=1).tolist()
        arms += [
            Arm(own, pull, dof, trained, scale) for own, pull, scale in zip(values, influence, scales, strict=True)
        ]
    return arms


def less_reference(arms: Sequence[Arm], reference: Arm) -> list[Arm]:
    """`subtract(arm, reference)` of every arm, with its variances."""
    return with_parts([subtract(arm, reference) for arm in arms])


def with_parts(arms: Sequence[Arm]) -> list[Arm]:
    """The arms with their variances, of as many at once as have the same number of seeds."""
    kinds: dict[tuple[int, bool], list[int]] = {}
    for index, arm in enumerate(arms):
        if arm.other is None:
            kinds.setdefault((len(arm.values), arm.trained), []).append(index)
    done = list(arms)
    for (seeds, trained), indices in kinds.items():
        influence = np.stack([arms[index].influence for index in indices])
        mean = influence.mean(axis=1)
        example = (mean**2).sum(axis=1).tolist()
        interaction = seed = [0.0] * len(indices)
        if trained and seeds > 1:
            left = (influence - mean[:, None]).reshape(len(indices), -1)
            interaction = ((left**2).sum(axis=1) / (seeds * (seeds - 1))).tolist()
            values = np.stack([arms[index].values for index in indices])
            seed = (values.var(axis=1, ddof=1) / seeds).tolist()
        dof = float(seeds - 1) if trained and seeds > 1 else 1.0
        points = np.stack([arms[index].values for index in indices]).mean(axis=1).tolist()
        for number, index in enumerate(indices):
            arm = arms[index]
            parts = Parts(example[number], interaction[number], seed[number], arm.dof, dof)
            # dataclasses.replace takes ten times as long, of a thousand arms as long as all the sums.
            done[index] = Arm(arm.values, arm.influence, arm.dof, arm.trained, arm.scale, None, parts, points[number])
    return done


def squared_distances(rows: Floats) -> Floats:
    """Squared Euclidean distances [n, n] between rows [n, k]."""
    squares = np.einsum("ij,ij->i", rows, rows)
    both = squares[:, None] + squares
    table = np.asarray(both - 2 * (rows @ rows.T))
    delicate = np.triu(table <= CANCELLED * both, 1)
    for first in np.flatnonzero(delicate.any(axis=1)):
        others = np.flatnonzero(delicate[first])
        table[first, others] = table[others, first] = ((rows[others] - rows[first]) ** 2).sum(axis=1)
    np.fill_diagonal(table, 0.0)
    return table


# ------------------------------------------------------------------------------------------------------- internals


def _score_intervals(
    limits: tuple[Floats, Floats],
    error: Floats,
    width: float,
    values: Floats,
    clusters: Clusters,
    seeds: int,
    level: float,
) -> None:
    """Write Tango's intervals of every pair of `values` [arms, n] that differs into `limits`, low and high.

    `width`: of the metric's bounds, in whose unit limits and error are.
    """
    low, high = limits
    rows, columns = np.nonzero(np.triu(error > 0, 1))
    ahead, behind = np.empty(len(rows)), np.empty(len(rows))
    at = 0
    for size in part_sizes(len(rows), values.shape[1]):
        part = slice(at, at + size)
        apart = values[rows[part]] - values[columns[part]]
        ahead[part], behind[part] = np.maximum(apart, 0).mean(axis=1), np.maximum(-apart, 0).mean(axis=1)
        at += size
    pairs = proportions.discordance(ahead, behind, (error[rows, columns] / width) ** 2, clusters.n * seeds)
    ends = proportions.tango(pairs, t_quantile(level, cr2_dof(clusters)))
    low[rows, columns], high[rows, columns] = ends[0] * width, ends[1] * width
    low[columns, rows], high[columns, rows] = -high[rows, columns], -low[rows, columns]


def _seed_tables(arms: Sequence[Arm], level: float) -> tuple[Floats, Floats, Floats]:
    """Tables of X, B and the t quantile of B of every pair; arms of one number of seeds pair seed by seed."""
    seeds = np.array([len(arm.values) if arm.trained else 0 for arm in arms])
    own_x, own_b = np.zeros(len(arms)), np.zeros(len(arms))
    same: dict[int, tuple[NDArray[np.intp], Floats, Floats]] = {}
    for number in map(int, np.unique(seeds[seeds > 1])):
        members = np.flatnonzero(seeds == number)
        values = np.stack([arms[index].values for index in members.tolist()])
        left = np.stack([arms[index].influence for index in members.tolist()])
        left = left - left.mean(axis=1, keepdims=True)
        own_x[members] = (left**2).sum(axis=(1, 2)) / (number * (number - 1))
        own_b[members] = values.var(axis=1, ddof=1) / number
        centred = values - values.mean(axis=1, keepdims=True)
        paired_x = squared_distances(left.reshape(len(members), -1)) / (number * (number - 1))
        same[number] = (members, paired_x, squared_distances(centred) / (number * (number - 1)))
    # Two arms whose seeds do not pair: the parts of both are added (one that was not trained has none).
    interaction, seed = own_x[:, None] + own_x, own_b[:, None] + own_b
    reach = _reach_of_both(seeds, own_b, seed, level)
    for number, (members, paired_x, paired_b) in same.items():
        block = np.ix_(members, members)
        interaction[block], seed[block], reach[block] = paired_x, paired_b, t_quantile(level, number - 1.0)
    return interaction, seed, reach


def _reach_of_both(seeds: NDArray[np.intp], own: Floats, both: Floats, level: float) -> Floats:
    """t quantiles of pairs whose numbers of seeds differ: of the one that was trained, or Welch's of both."""
    reach = np.ones_like(both)
    for ours in map(int, np.unique(seeds)):
        for theirs in map(int, np.unique(seeds)):
            block = np.ix_(seeds == ours, seeds == theirs)
            if min(ours, theirs) < 2:
                reach[block] = t_quantile(level, max(ours, theirs, 2) - 1.0)
            elif ours != theirs:
                parts = own[seeds == ours][:, None] ** 2 / (ours - 1) + own[seeds == theirs] ** 2 / (theirs - 1)
                dof = np.where(parts > 0, both[block] ** 2 / np.where(parts > 0, parts, 1.0), ours - 1.0)
                reach[block] = np.vectorize(lambda degrees: t_quantile(level, degrees))(dof)
    return reach
