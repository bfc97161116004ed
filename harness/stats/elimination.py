"""Which arms a race stops at a rung, from validation scores alone: pure.

At a rung every arm that is still in the race has had the same share of its budget, all its seeds. The arms are scored
on validation examples in one shuffled order, group by group; a group makes one value for each arm, the mean over its
examples and the arm's seeds, higher being better. After 16, 24, 36, … groups all pairs are looked at. Differences of a
pair are clipped to ±`clip` and feed a one-sided test by betting (`stats/betting.py`), which holds at every look: an arm
is stopped when its mean clipped difference to another arm in the race is below -margin, at the level

    level / (k (k - 1) · rungs),    k arms at the start

for each ordered pair and rung (Bonferroni), so that in at most `level` of races is an arm stopped whose clipped mean
difference to the arm that it was stopped by is not below -margin at that rung.

What no level covers: that the order at a rung is not the order at the end. A `lead` stands against that: an arm must
be behind by margin + lead · (1 - share of the budget). `bench/racing.py` counts how often the best arm is lost. Nor
does it cover other seeds than those that are trained.

Scoring stops early: for an arm that is stopped, for an arm none of whose pairs can be decided any more, and for all
when no pair is left. A pair cannot be decided any more when even an optimistic reading of what was seen (one standard
error of 1.6 towards a decision) would not reach the level with all the groups that there are. Stopping early needs no
correction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.records import Race, RaceArm
from harness.stats.betting import log_evidence, node_log_wealth, upper_limit
from harness.stats.clusters import Floats

GROWTH = 1.5
"""Each look has half as many groups again as the one before."""
OPTIMISM = 1.6
"""Standard errors by which a pair may be underrated before it counts as undecidable."""

Score = Callable[[Sequence[str], int, int], Mapping[str, Floats]]
"""(arms, first group, end) → the values of each arm on these groups of the rung's order [end - first]; NaN: none."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What was declared before the race."""

    shares: tuple[float, ...]
    """Of the budget, at which arms are looked at; rising, the whole not among them."""
    arms: int
    """At the start."""
    level: float
    margin: float
    clip: float
    lead: float = 0.0
    least: int = 16
    """Groups before the first look."""
    most: int | None = None
    """Groups at a rung at most."""
    kept: tuple[str, ...] = ()
    """Arms that are never stopped."""

    @property
    def log_threshold(self) -> float:
        """Logarithm of the e-value at which an arm is stopped."""
        return math.log(max(1, self.arms * (self.arms - 1)) * len(self.shares) / self.level)

    def behind(self, rung: int) -> float:
        """How far an arm must be behind to be stopped at a rung."""
        return self.margin + self.lead * (1 - self.shares[rung])


@dataclass(frozen=True, slots=True)
class Stop:
    """An arm that is stopped at a rung, and the evidence."""

    arm: str
    against: str
    difference: float
    """Mean clipped difference to `against`, negative."""
    bound: float
    """Its upper limit, at the level of one pair and rung."""
    groups: int
    """Groups of validation examples that the two were compared on."""


@dataclass(frozen=True, slots=True)
class RungResult:
    """What became of the arms at a rung."""

    stopped: tuple[Stop, ...]
    scored: Mapping[str, int]
    """Groups that each arm was scored on."""


def looks(rules: Rules, available: int) -> tuple[int, ...]:
    """Numbers of groups after which pairs are looked at."""
    most = min(available, rules.most or available)
    found, now = [], float(rules.least)
    while now < most:
        found.append(int(now))
        now *= GROWTH
    return (*found, most)


def shuffled(groups: Collection[str], seed: int, rung: int) -> list[str]:
    """The order in which groups are scored at a rung; the same for every arm."""
    names = sorted(set(groups))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, rung])))
    return [names[place] for place in rng.permutation(len(names))]


def run_rung(arms: Sequence[str], rules: Rules, rung: int, scores: Score, groups: int) -> RungResult:
    """Score the arms of a race on up to `groups` groups, asking `scores` for more as long as it may decide something.

    At least one arm is always left.
    """
    table = _Table(arms, rules, rung, min(groups, rules.most or groups))
    first = 0
    for end in looks(rules, groups):
        wanted = table.wanted()
        if not wanted:
            break
        table.add(scores(wanted, first, end), end)
        table.decide()
        first = end
    return RungResult(tuple(table.stopped), dict(table.scored))


def reason(one: RaceArm, metric: str) -> str:
    """Why an arm was left out, in words."""
    if one.outcome == "not_run":
        return one.words
    if one.difference is None or one.bound is None:
        return one.words or one.outcome
    saved = round(one.steps / one.share) - one.steps
    return (
        f"stopped by racing at {100 * one.share:.3g} % of the budget: {metric} {abs(one.difference):.3g} behind "
        f"{one.against} (at least {abs(one.bound):.3g}; {one.groups} groups of validation examples); "
        f"{saved:,} of {one.steps + saved:,} optimiser steps saved"
    )


def share_spent(race: Race) -> float:
    """Share of the train steps that the arms of a race were given, of all that they would have had without it."""
    raced = [one for one in race.arms if one.outcome in ("survived", "eliminated")]
    return sum(one.share * one.seeds for one in raced) / max(1, sum(one.seeds for one in raced))


@dataclass(slots=True)
class _Table:
    """Evidence of all open pairs at a rung."""

    arms: Sequence[str]
    rules: Rules
    rung: int
    available: int
    values: dict[str, list[Floats]] = field(default_factory=dict)
    scored: dict[str, int] = field(default_factory=dict)
    pairs: dict[tuple[str, str], Floats] = field(default_factory=dict)
    """Open pairs (arm that may be stopped, by which) → log-wealth by node."""
    stopped: list[Stop] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = {arm: [] for arm in self.arms}
        self.scored = dict.fromkeys(self.arms, 0)
        none = node_log_wealth(np.empty(0), self._null())
        self.pairs = {(a, b): none for a in self.arms for b in self.arms if a != b and a not in self.rules.kept}

    def wanted(self) -> list[str]:
        """Arms that are to be scored on: those of open pairs."""
        inside = {arm for pair in self.pairs for arm in pair}
        return [arm for arm in self.arms if arm in inside]

    def add(self, found: Mapping[str, Floats], end: int) -> None:
        """Take in the values of one look."""
        for arm, values in found.items():
            self.values[arm].append(np.asarray(values, dtype=np.float64))
            self.scored[arm] = end
        for (a, b), before in self.pairs.items():
            self.pairs[a, b] = before + node_log_wealth(self._unit(found[a] - found[b]), self._null())

    def decide(self) -> None:
        """Stop what is shown to be behind, the worst first, and close the pairs that nothing more will come of."""
        evidence = {pair: float(log_evidence(nodes)) for pair, nodes in self.pairs.items()}
        means = {arm: _mean(np.concatenate(self.values[arm])) for arm in self.wanted()}
        out = {one.arm for one in self.stopped}
        for arm in sorted(means, key=lambda arm: (means[arm], arm)):
            shown = {
                b: evidence[a, b]
                for a, b in self.pairs
                if a == arm and b not in out and evidence[a, b] >= self.rules.log_threshold
            }
            if shown:
                out.add(arm)
                self.stopped.append(self._stop(arm, max(shown, key=lambda b: (shown[b], b))))
        self.pairs = {
            pair: nodes
            for pair, nodes in self.pairs.items()
            if not out & set(pair) and self._open(pair, evidence[pair])
        }

    def _stop(self, arm: str, against: str) -> Stop:
        differences = self._differences(arm, against)
        limit = upper_limit(self._unit(differences), self.rules.log_threshold)
        clipped = np.clip(differences, -self.rules.clip, self.rules.clip)
        bound = (2 * limit - 1) * self.rules.clip
        return Stop(arm, against, float(np.nanmean(clipped)), bound, int(np.isfinite(clipped).sum()))

    def _open(self, pair: tuple[str, str], evidence: float) -> bool:
        """Whether the pair may still be decided with all the groups that there are."""
        clipped = np.clip(self._differences(*pair), -self.rules.clip, self.rules.clip)
        clipped = clipped[np.isfinite(clipped)]
        n = len(clipped)
        if n < 2:  # without a single value none will come: the arm's scoring failed
            return n > 0
        gap = -self.rules.behind(self.rung) - float(clipped.mean())
        spread = float(clipped.std(ddof=1))
        if spread == 0:
            return gap > 0
        reach = max(0.0, gap / spread * math.sqrt(n) + OPTIMISM)
        projected = max(evidence / n, reach**2 / (2 * n)) * self.available
        return projected >= self.rules.log_threshold

    def _differences(self, a: str, b: str) -> Floats:
        """Values of `a` minus those of `b` on the groups that both were scored on."""
        first, second = np.concatenate(self.values[a]), np.concatenate(self.values[b])
        both = min(len(first), len(second))
        return np.asarray(first[:both] - second[:both])

    def _unit(self, differences: Floats) -> Floats:
        """Clipped differences as values in [0, 1]."""
        return np.asarray(np.clip(differences, -self.rules.clip, self.rules.clip) / (2 * self.rules.clip) + 0.5)

    def _null(self) -> float:
        """The mean that differences of an arm that is not behind have at least, in [0, 1]."""
        return 0.5 - self.rules.behind(self.rung) / (2 * self.rules.clip)


def _mean(values: Floats) -> float:
    """Mean of the values that are there; of none as if they were as good as can be, so that nothing is stopped."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else math.inf
