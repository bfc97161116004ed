"""Bradley-Terry scores from votes, with variances that know about examples and raters.

    P(left wins) = 1 / (1 + exp(-(score[left] - score[right] + side + length · x)))

fitted as a logit by quasi-likelihood, a tie being half a win for each (Bradley & Terry 1952; Papke & Wooldridge 1996
for halves). Scores are log-odds with sum zero. Votes on one example, and votes of one rater, are not independent:
`two_way` gives the variances, `ranking` the intervals, comparisons and ranks.

With total separation (an arm that never lost to another, say) no finite score is the most likely one. The fit then
reports scores as if each compared pair had one more tie, half of it with either side left, and which groups of arms
lie infinitely far apart. Differences within a group are finite; they and their variances come from the votes that are
not separated, the only ones that say anything about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError
from harness.stats.clusters import Floats
from harness.stats.votes.record import Codes, VoteTable
from harness.stats.votes.separation import check_identified, components, separated_rows
from harness.stats.votes.two_way import Covariance, Crossing, covariance

Groups = Sequence[Sequence[int]]
STEPS, SMALL_STEP = 200, 1e-10
"""Newton's steps at most, and the largest change of a coefficient that ends them."""
CERTAIN = 15.0
"""A stationary point with no log-odds beyond this is the maximum: growth without bound passes it."""


@dataclass(frozen=True, slots=True, eq=False)
class BradleyTerry:
    """A fit. Columns are the arms in the order of `arms`, then the effects."""

    arms: tuple[str, ...]
    scores: Floats
    """[arms], log-odds with sum zero."""
    effects: dict[str, float]
    """Coefficients in log-odds: "side" (of standing left) and "length", where fitted."""
    covariance: Covariance
    """Clustered by example and by rater, [p, p]; with separation of the arms alone, and only within groups."""
    naive: Floats
    """Of the same columns, were votes independent: too small, for comparison."""
    separated: bool
    """No finite scores are the most likely ones."""
    groups: tuple[tuple[int, ...], ...]
    """Arms whose differences are finite; one group unless separated."""
    within: Floats
    """[arms]: scores whose differences hold within groups; the same as `scores` unless separated."""
    table: VoteTable
    """The votes that were counted."""
    crossing: Crossing


def bradley_terry(table: VoteTable, *, side: bool = True, lengths: ArrayLike | None = None) -> BradleyTerry:
    """Fit scores to the votes that were neither skipped nor called both bad.

    `lengths` [n] is the left answer's length minus the right one's, for every vote of the table. It enters as
    tanh(length / its root mean square), after Dubois et al. (2024), who control AlpacaEval so with the standard
    deviation; scores are then those at equal lengths.

    Raises DataError: nothing to count, arms never compared, sides or lengths that cannot be told from the arms, or
    lengths beside separated votes.
    """
    kept = table.counted()
    used = table.take(kept)
    met = np.union1d(used.left, used.right)
    if len(met) < len(table.arms):
        absent = ", ".join(arm for code, arm in enumerate(table.arms) if code not in met)
        raise DataError(f"every vote on {absent} was skipped or called both bad", hint="Leave it out, or collect votes")
    names = ("side",) * side + ("length",) * (lengths is not None)
    extra = np.ones((len(used.left), int(side)))
    if lengths is not None:
        longer = np.asarray(lengths, dtype=np.float64)
        if longer.shape != kept.shape or not np.isfinite(longer).all():
            hint = "One finite difference a vote"
            raise DataError(f"{len(kept)} votes but lengths of shape {longer.shape}", hint=hint)
        spread = float(np.sqrt(np.mean(longer[kept] ** 2)))
        if spread == 0.0:
            raise DataError("no two answers differ in length", hint="Fit without the lengths")
        extra = np.column_stack([extra, np.tanh(longer[kept] / spread)])
    arms, outcome, everyone = len(table.arms), used.left_score, (tuple(range(len(table.arms))),)
    design = design_of(arms, used.left, used.right, extra)
    check_identified(table.arms, used.left, used.right, design)
    crossing = Crossing.of(used.item_clusters, used.rater_clusters)
    coefficients = _newton(design, outcome, everyone, limit=CERTAIN)
    if coefficients is None:
        rows = separated_rows(design, outcome)
        if rows.any():
            return _separated(used, crossing, rows, names)
        coefficients = _newton(design, outcome, everyone)
    if coefficients is None:
        raise DataError("the fit of the votes does not converge", hint="Are there arms with hardly a vote?")
    robust, naive = _covariances(design, outcome, coefficients, crossing, everyone)
    effects = dict(zip(names, coefficients[arms:].tolist(), strict=True))
    scores = coefficients[:arms]
    return BradleyTerry(table.arms, scores, effects, robust, naive, False, everyone, scores, used, crossing)


def _separated(used: VoteTable, crossing: Crossing, rows: NDArray[np.bool_], names: tuple[str, ...]) -> BradleyTerry:
    """A fit where no maximum exists: finite numbers to show, and variances where differences are finite."""
    if "length" in names:
        raise DataError(
            "the votes are separated, so an effect of the length cannot be told from the arms' own",
            hint="Collect more votes, or fit without the lengths",
        )
    arms, extra = len(used.arms), len(names)
    # Pairs that were compared, each once: a tie more for each.
    keys = np.unique(used.first * arms + used.second)
    first, second = keys // arms, keys % arms
    left, right = (np.concatenate(sides) for sides in ([used.left, first, second], [used.right, second, first]))
    outcome = np.concatenate([used.left_score, np.full(2 * len(first), 0.5)])
    weights = np.concatenate([np.ones(len(rows)), np.full(2 * len(first), 0.5)])
    shown = _newton(design_of(arms, left, right, np.ones((len(left), extra))), outcome, (range(arms),), weights)
    # What is left when the separated votes are taken away has a maximum, group by group.
    rest = used.take(~rows)
    groups = components(arms, rest.left, rest.right)
    design = design_of(arms, rest.left, rest.right, np.ones((len(rest.left), extra)))
    if extra and np.linalg.matrix_rank(design) < arms - len(groups) + extra:
        # The side's effect cannot be told from what is left of the arms', or is itself without bound.
        design = design[:, :arms]
    within = _newton(design, rest.left_score, groups) if len(design) else np.zeros(arms)
    if shown is None or within is None:
        raise DataError("the fit of the votes does not converge", hint="Are there arms with hardly a vote?")
    if len(design):
        cross = Crossing.of(rest.item_clusters, rest.rater_clusters)
        spread, naive = _covariances(design, rest.left_score, within, cross, groups, arms)
    else:
        naive = np.zeros((arms, arms))
        spread = Covariance((), (), naive)
    effects = dict(zip(names, shown[arms:].tolist(), strict=True))
    return BradleyTerry(used.arms, shown[:arms], effects, spread, naive, True, groups, within[:arms], used, crossing)


def design_of(arms: int, left: Codes, right: Codes, extra: Floats) -> Floats:
    """Rows of the logit [n, arms + extra]: +1 for the left arm, -1 for the right one."""
    design = np.zeros((len(left), arms + extra.shape[1]))
    rows = np.arange(len(left))
    design[rows, left], design[rows, right] = 1.0, -1.0
    design[:, arms:] = extra
    return design


def _newton(
    design: Floats, outcome: Floats, groups: Groups, weights: Floats | None = None, limit: float = np.inf
) -> Floats | None:
    """Coefficients [p] of the weighted logit, scores with sum zero in each group; None beyond `limit` log-odds."""
    weight = np.ones(len(outcome)) if weights is None else weights
    beta = np.zeros(design.shape[1])
    odds = design @ beta
    likelihood = _likelihood(odds, outcome, weight)
    for _ in range(STEPS):
        chance = 1.0 / (1.0 + np.exp(-odds))
        hessian = design.T @ (design * (weight * chance * (1.0 - chance))[:, None]) + _centring(groups, len(beta))
        try:
            step = np.linalg.solve(hessian, design.T @ (weight * (outcome - chance)))
        except np.linalg.LinAlgError:
            return None
        size = 1.0
        # The likelihood is concave, so a step that is short enough climbs; last bits may fall.
        while (now := _likelihood(design @ (beta + size * step), outcome, weight)) < likelihood - 1e-9:
            size /= 2
        beta, likelihood = beta + size * step, now
        odds = design @ beta
        if np.abs(odds).max() > limit:
            return None
        if np.abs(step).max() <= SMALL_STEP:
            return beta
    return None


def _likelihood(odds: Floats, outcome: Floats, weight: Floats) -> float:
    return float((weight * (outcome * odds - np.logaddexp(0.0, odds))).sum())


def _centring(groups: Groups, width: int) -> Floats:
    """What makes the Hessian regular and leaves scores with sum zero in each group [width, width]."""
    matrix = np.zeros((width, width))
    for group in groups:
        matrix[np.ix_(list(group), list(group))] = 1.0
    return matrix


def _covariances(
    design: Floats, outcome: Floats, beta: Floats, crossing: Crossing, groups: Groups, columns: int | None = None
) -> tuple[Covariance, Floats]:
    """The sandwich over crossed clusters and the naive covariance, of the first `columns` coefficients."""
    chance = 1.0 / (1.0 + np.exp(-(design @ beta)))
    hessian = design.T @ (design * (chance * (1.0 - chance))[:, None]) + _centring(groups, len(beta))
    bread = np.asarray(np.linalg.inv(hessian), dtype=np.float64)[:columns]
    naive = bread[:, : len(bread)].copy()
    for group in groups:
        # The inverse of the centring itself, which is no variance.
        naive[np.ix_(list(group), list(group))] -= 1.0 / len(group) ** 2
    return covariance((design * (outcome - chance)[:, None]) @ bread.T, crossing), naive
