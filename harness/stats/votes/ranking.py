"""What a Bradley-Terry fit says: intervals of scores, comparisons of pairs, ranks, the probability of being best."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.records import Estimate
from harness.stats.clusters import LAST_BITS, Floats, t_quantile
from harness.stats.ranks import best_probabilities
from harness.stats.votes.bradley_terry import BradleyTerry
from harness.stats.votes.two_way import chance_of

Limits = tuple[float | None, float | None, str]
"""Low, high, and how they were made."""
SEPARATED = "no interval: the votes are separated; value as if each compared pair had one more tie"
DRAWS = 10_000
"""Draws of all scores together that the probability of being best is read off."""


@dataclass(frozen=True, slots=True)
class PairComparison:
    """Two arms as the fit sees them, indirect comparisons included."""

    first: str
    second: str
    difference: Estimate
    """Score of the first minus the second, in log-odds. No limits where the difference is without bound."""
    win_probability: Estimate
    """That the first wins, a tie being half a win, with no side and at equal lengths."""
    p_value: float | None
    """Two-sided, of no difference, not adjusted for the number of pairs; None where nothing can be said."""
    unbounded: bool
    """The votes separate the two: any finite difference is too small."""


def score_estimates(fit: BradleyTerry, *, level: float = 0.95) -> tuple[Estimate, ...]:
    """Every arm's score in log-odds against the mean arm, with its t interval; in the order of `fit.arms`.

    A separated fit has no intervals. n counts votes on the arm, clusters the examples.
    """
    estimates, contrasts = [], np.eye(len(fit.arms), len(fit.naive))
    for arm, score in enumerate(fit.scores.tolist()):
        low, high, how = (None, None, SEPARATED) if fit.separated else _limits(fit, score, contrasts[arm], level)
        count = int(((fit.table.left == arm) | (fit.table.right == arm)).sum())
        words = f"Bradley-Terry score, ties as half wins; {how}"
        estimates.append(Estimate(score, low, high, count, fit.crossing.items.count, 1, words, level))
    return tuple(estimates)


def effect_estimate(fit: BradleyTerry, effect: str, *, level: float = 0.95) -> Estimate:
    """The coefficient of "side" or "length", in log-odds, with its t interval; KeyError if it was not fitted."""
    value = fit.effects[effect]
    limits: Limits = (None, None, SEPARATED)
    if not fit.separated:
        row = np.zeros(len(fit.naive))
        row[len(fit.arms) + list(fit.effects).index(effect)] = 1.0
        limits = _limits(fit, value, row, level)
    low, high, how = limits
    n, clusters = len(fit.table.item), fit.crossing.items.count
    return Estimate(value, low, high, n, clusters, 1, f"effect of the {effect} in log-odds; {how}", level)


def pair_comparisons(fit: BradleyTerry, *, level: float = 0.95) -> tuple[PairComparison, ...]:
    """Every pair of arms, in the order of `fit.arms`. Each interval is its own statement; `vote_ranks` is about all.

    Where the votes separate two arms the p-value is a sign test over the smaller number of clusters (examples or
    raters) among their direct votes, if all of them favour one arm: each cluster then speaks with one voice.
    """
    return tuple(_pair(fit, a, b, level) for a, b in combinations(range(len(fit.arms)), 2))


def vote_ranks(fit: BradleyTerry, *, level: float = 0.95) -> tuple[tuple[int, int], ...]:
    """For each arm the ranks (first, last) it takes, 1 being best: all of them hold together with probability `level`.

    An arm's rank is at least one more than the arms that are significantly better, and at most the number of arms less
    those that are significantly worse (Mogstad, Romano, Shaikh & Wilhelm 2024), with all pairs tested at
    (1 - level) / number of pairs (Bonferroni).
    """
    count = len(fit.arms)
    pairs = pair_comparisons(fit)
    better, worse = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
    for (a, b), pair in zip(combinations(range(count), 2), pairs, strict=True):
        if pair.p_value is not None and pair.p_value <= (1 - level) / len(pairs):
            above, below = (a, b) if pair.difference.value > 0 else (b, a)
            better[below] += 1
            worse[above] += 1
    return tuple((int(1 + up), int(count - down)) for up, down in zip(better, worse, strict=True))


def vote_best_probabilities(fit: BradleyTerry, rng: np.random.Generator) -> tuple[float, ...] | None:
    """For each arm the probability that its score is the highest, for a flat prior; None where votes show no spread.

    Read off draws of a multivariate t around the scores, with the two-way covariance (raised where chance has made it
    too small, as in the intervals) and the degrees of freedom of the way with fewer clusters.
    """
    if fit.separated or not fit.covariance.ways:
        return None
    arms = len(fit.arms)
    spread = fit.covariance.floored(arms)
    if not spread.any():
        return None
    values, vectors = np.linalg.eigh(spread)
    normal = rng.normal(size=(DRAWS, arms)) * np.sqrt(np.maximum(values, 0.0))
    fewest = fit.covariance.dofs[0]
    scale = np.sqrt(fewest / rng.chisquare(fewest, size=(DRAWS, 1)))
    return tuple(best_probabilities(fit.scores + scale * (normal @ vectors.T), higher=True))


def _limits(fit: BradleyTerry, value: float, contrast: Floats, level: float) -> Limits:
    """Limits of a linear combination of the coefficients, and how they were made."""
    if not fit.covariance.ways:
        return None, None, fit.crossing.words
    error_and_dof = _t_error(fit, contrast)
    if error_and_dof is None:
        return None, None, "no interval: its votes show no spread between clusters"
    error, dof = error_and_dof
    half = t_quantile(level, dof) * error
    return value - half, value + half, f"t interval {fit.crossing.words}, {dof:.1f} degrees of freedom"


def _t_error(fit: BradleyTerry, contrast: Floats) -> tuple[float, float] | None:
    """Standard error and degrees of freedom; None where it is 0 but for last bits.

    An arm that met others in one cluster only is fitted there exactly, and so are votes that cancel in every cluster.
    """
    error, dof = fit.covariance.t_error(contrast)
    return None if error**2 <= LAST_BITS * float(contrast @ fit.naive @ contrast) else (error, dof)


def _pair(fit: BradleyTerry, a: int, b: int, level: float) -> PairComparison:
    from scipy.special import stdtr

    direct = fit.table.take((fit.table.first == a) & (fit.table.second == b))
    n, clusters = len(direct.item), fit.crossing.items.count
    low = high = p_value = None
    unbounded = not any(a in group and b in group for group in fit.groups)
    if unbounded:
        value, wins = float(fit.scores[a] - fit.scores[b]), direct.first_score
        how = "no interval: the votes separate the two; value as if each compared pair had one more tie"
        if n and np.isin(wins, (0.0, 1.0)).all() and np.ptp(wins) == 0.0:
            voices = min(len(np.unique(direct.item)), len(np.unique(direct.rater)))
            p_value = min(1.0, 2 * 0.5**voices)
    else:
        contrast = np.zeros(len(fit.naive))
        contrast[[a, b]] = 1.0, -1.0
        value = float(fit.within[a] - fit.within[b])
        low, high, how = _limits(fit, value, contrast, level)
        if fit.covariance.ways and (error_and_dof := _t_error(fit, contrast)) is not None:
            p_value = float(2 * stdtr(error_and_dof[1], -abs(value) / error_and_dof[0]))
    difference = Estimate(value, low, high, n, clusters, 1, f"difference of Bradley-Terry scores; {how}")
    chances = (chance_of(value), None if low is None else chance_of(low), None if high is None else chance_of(high))
    chance = Estimate(*chances, n, clusters, 1, f"implied by Bradley-Terry scores; {how}")
    return PairComparison(fit.arms[a], fit.arms[b], difference, chance, p_value, unbounded)
