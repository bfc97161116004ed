"""Which arms a race stops at a rung, from validation scores alone: pure.

At a rung every arm that is still in the race has had the same share of its budget, all its seeds. The arms are scored
on validation examples in one shuffled order, group by group; a group makes one value for each arm, the mean over its
examples and the arm's seeds, higher being better. After 16, 24, 36, … groups all pairs are looked at. Differences of a
pair are clipped to ±`clip` and feed a one-sided test by betting, which holds at every look: an arm is stopped when its
mean clipped difference to another arm in the race is below -margin, at the level

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

The bet is that of `votes/sequential.py` (Waudby-Smith & Ramdas 2024), one-sided: values lie in [0, 1], and only the
nodes that bet on small values take part. Each of them is a supermartingale whatever the mean at or above m, so their
average is, and by Ville's inequality passes 1 / alpha with probability at most alpha if the mean is m or more, however
often one looks and whenever one stops. Half of the nodes of the two-sided mixture are none the worse for it: the
evidence is up to twice as large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.records import Race, RaceArm
from harness.stats.clusters import Floats

GROWTH = 1.5
"""Each look has half as many groups again as the one before."""
OPTIMISM = 1.6
"""Standard errors by which a pair may be underrated before it counts as undecidable."""
NODES = 256
"""Bets that the wealth is averaged over."""
BLOCK = 16
"""Factors that are multiplied before a logarithm is taken."""
HALVINGS = 50
"""In search of a limit: beyond the last bit."""

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
    counts, now = [], float(rules.least)
    while now < most:
        counts.append(int(now))
        now *= GROWTH
    return (*counts, most)


def shuffled(groups: Collection[str], seed: int, rung: int) -> list[str]:
    """The order in which groups are scored at a rung; the same for every arm."""
    names = sorted(set(groups))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, rung])))
    return [names[index] for index in rng.permutation(len(names))]


def run_rung(arms: Sequence[str], rules: Rules, rung: int, scores: Score, groups: int) -> RungResult:
    """Score the arms of a race on up to `groups` groups, asking `scores` for more as long as it may decide something.

    At least one arm is always left.
    """
    table = _Table(arms, rules, rung, min(groups, rules.most or groups))
    first = 0
    for end in looks(rules, groups):
        open_arms = table.wanted()
        if not open_arms:
            break
        table.add(scores(open_arms, first, end), end)
        table.decide()
        first = end
    return RungResult(tuple(table.stopped), dict(table.scored))


def reason(arm: RaceArm, metric: str) -> str:
    """Why an arm was left out, in words."""
    if arm.outcome == "not_run":
        return arm.words
    if arm.difference is None or arm.bound is None:
        return arm.words or arm.outcome
    saved = round(arm.steps / arm.share) - arm.steps
    return (
        f"stopped by racing at {100 * arm.share:.3g} % of the budget: {metric} {abs(arm.difference):.3g} behind "
        f"{arm.against} (at least {abs(arm.bound):.3g}; {arm.groups} groups of validation examples); "
        f"{saved:,} of {arm.steps + saved:,} optimiser steps saved"
    )


def share_spent(race: Race) -> float:
    """Share of the train steps that the arms of a race were given, of all that they would have had without it."""
    raced = [arm for arm in race.arms if arm.outcome in ("survived", "eliminated")]
    return sum(arm.share * arm.seeds for arm in raced) / max(1, sum(arm.seeds for arm in raced))


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

    def add(self, scores: Mapping[str, Floats], end: int) -> None:
        """Take in the values of one look."""
        for arm, values in scores.items():
            self.values[arm].append(np.asarray(values, dtype=np.float64))
            self.scored[arm] = end
        for (a, b), before in self.pairs.items():
            self.pairs[a, b] = before + node_log_wealth(self._unit(scores[a] - scores[b]), self._null())

    def decide(self) -> None:
        """Stop what is shown to be behind, the worst first, and close the pairs that nothing more will come of."""
        evidence = {pair: float(log_mean(nodes)) for pair, nodes in self.pairs.items()}
        means = {arm: _mean(np.concatenate(self.values[arm])) for arm in self.wanted()}
        out = {stop.arm for stop in self.stopped}
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
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.inf


# ---------------------------------------------------------------------------------------------------------- the bet


def bets() -> Floats:
    """The fraction of wealth that each node puts on one [nodes]: Chebyshev nodes of the arcsine prior, falling."""
    return np.asarray(np.cos((2 * np.arange(NODES) + 1) * np.pi / (4 * NODES)) ** 2)


def bet_factors(values: Floats, mean: float) -> Floats:
    """What each value [..., n] multiplies the wealth of each node by [..., n, nodes]."""
    on_one = bets()
    gains = values[..., None] * (on_one / mean)
    return np.asarray(gains + (1.0 - values[..., None]) * ((1.0 - on_one) / (1.0 - mean)))


def log_mean(logs: Floats) -> Floats:
    """Logarithm of the mean over nodes, the last axis: of log-wealth by node, the logarithm of the e-value."""
    top = logs.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(logs - top).mean(axis=-1)) + top[..., 0])


def node_log_wealth(values: Floats, mean: float) -> Floats:
    """Log-wealth [..., nodes] of each bet that the mean is below `mean`, after values [..., n]; NaN values bet nothing.

    Sums over n, so that evidence of more values is added to it.
    """
    factors = bet_factors(np.asarray(values, dtype=np.float64), mean)[..., bets() < mean]
    factors[np.isnan(factors)] = 1.0
    # Logarithms are what this costs: sixteen factors, each above 1e-5, are multiplied first.
    starts = np.arange(0, factors.shape[-2], BLOCK)
    if not len(starts):
        return np.zeros((*factors.shape[:-2], factors.shape[-1]))
    return np.asarray(np.log(np.multiply.reduceat(factors, starts, axis=-2)).sum(axis=-2))


def upper_limit(values: Floats, log_threshold: float) -> float:
    """The smallest mean that values [n] speak against by `log_threshold`: the mean is below it, at every n at once.

    1 where no mean can be excluded. To within the spacing of the bets, which join the mixture one by one as the mean
    passes them.
    """
    low, high = float(np.nanmean(values)), 1.0
    if low >= 1.0:
        return 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if middle > 0 and float(log_mean(node_log_wealth(values, middle))) >= log_threshold:
            high = middle
        else:
            low = middle
    return high
