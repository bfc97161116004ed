"""Do the intervals of votes cover what they claim?  python bench/coverage.py --review

Rounds of review are simulated whose truth is known. A vote is a logit of the two arms' scores, of how well each arm
does on the example, of the rater's taste for each arm, and of the rater's leaning to the left; near zero it is a tie.
The truth of a Bradley-Terry score is the fit to the expected votes (effects of examples and raters flatten it, so it is
not the score that went in). Four kinds of rounds; printed beside what is commonly done (votes taken as independent):

- how often 95 % intervals of score differences, scores, the side's effect, win rates and wins of the left side hold
  the truth: at least 93 %, at most 97 %;
- how often every rank interval holds its arm's rank: at least 95 %, less Monte Carlo error;
- how often two equal arms are called different by someone who looks after every vote: at most 5 %, plus Monte Carlo
  error, with the anytime-valid interval; where raters' tastes differ, for the raters at hand (not for others: printed).
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from harness.records import Estimate
from harness.stats import votes
from harness.stats.votes.bradley_terry import design_of
from harness.stats.votes.record import LEFT, RIGHT, TIE
from harness.stats.votes.sequential import log_wealth_path

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
COVERAGE, LEVEL, ERRORS = (0.93, 0.97), 0.05, 2.33
"""Limits on shares of what must hold exactly allow for 2.33 standard errors: one false alarm in a hundred."""


@dataclass(frozen=True, slots=True)
class Round:
    """How the votes of a round come about; effects are standard deviations in log-odds."""

    name: str
    scores: tuple[float, ...]
    examples: int
    each: int
    """Votes of each example on each pair of arms."""
    raters: int
    example: float
    """Of an arm on one example."""
    taste: float
    """Of a rater for an arm."""
    leaning: float
    """Of a rater to the left."""
    side: float = 0.0
    """Of all raters to the left."""
    tie: float = 0.0
    """Votes nearer to zero are ties."""

    def expected(self) -> tuple[Codes, Codes, Floats]:
        """Left arm, right arm and the left one's expected wins, for each ordered pair."""
        left, right = np.array(list(permutations(range(len(self.scores)), 2)), dtype=np.intp).T
        nodes, weights = np.polynomial.hermite_e.hermegauss(120)
        spread = (2 * self.example**2 + 2 * self.taste**2 + self.leaning**2) ** 0.5
        scores = np.array(self.scores)
        odds = (scores[left] - scores[right] + self.side)[:, None] + spread * nodes
        wins = (expit(odds - self.tie) + expit(odds + self.tie)) / 2
        return left, right, wins @ weights / weights.sum()


ROUNDS = (
    Round("2 arms, 40 examples x 3 votes, 10 raters", (0.3, -0.3), 40, 3, 10, 1.1, 0.6, 0.4),
    Round("2 arms, no effects of examples or raters", (0.2, -0.2), 40, 3, 10, 0.0, 0.0, 0.0),
    Round("3 arms, ties, side bias", (0.4, 0.0, -0.4), 40, 3, 10, 0.7, 0.3, 0.3, side=0.3, tie=0.5),
    Round("4 arms, ties, two of them equal", (0.5, 0.1, 0.1, -0.7), 30, 2, 16, 0.6, 0.3, 0.2, side=0.1, tie=0.3),
)


def truth(kind: Round) -> tuple[Floats, float, Floats, float]:
    """Scores and side of the fit to expected votes, win rates of the arms, and wins of the left side."""
    left, right, wins = kind.expected()
    arms = len(kind.scores)
    design = design_of(arms, left, right, np.ones((len(left), 1)))
    beta = np.zeros(arms + 1)
    for _ in range(100):
        chance = expit(design @ beta)
        hessian = design.T @ (design * (chance * (1 - chance))[:, None])
        # The pseudo-inverse keeps scores at sum zero.
        beta += np.linalg.pinv(hessian, rcond=1e-10) @ (design.T @ (wins - chance))
    rates = np.array(
        [np.concatenate([wins[left == arm], 1 - wins[right == arm]]).mean() for arm in range(arms)], dtype=np.float64
    )
    return beta[:arms], float(beta[arms]), rates, float(wins.mean())


def draw(kind: Round, rng: np.random.Generator) -> votes.VoteTable:
    """Simulate one round: raters take turns in a random order, sides are balanced within each pair."""
    arms, pairs = len(kind.scores), list(combinations(range(len(kind.scores)), 2))
    n = kind.examples * kind.each * len(pairs)
    item = np.repeat(np.arange(kind.examples), kind.each * len(pairs))
    pair = np.array(pairs)[np.tile(np.repeat(np.arange(len(pairs)), kind.each), kind.examples)]
    # Consecutive places hold different raters, so no rater judges one comparison twice.
    rater = rng.permutation(kind.raters)[np.arange(n) % kind.raters]
    swapped = np.empty(n, dtype=bool)
    for first, second in pairs:
        rows = np.flatnonzero((pair == (first, second)).all(axis=1))
        swapped[rows] = rng.permutation(np.arange(len(rows)) % 2 == 0)
    left, right = np.where(swapped, pair[:, 1], pair[:, 0]), np.where(swapped, pair[:, 0], pair[:, 1])
    scores = np.array(kind.scores)
    own = scores + kind.example * rng.normal(size=(kind.examples, arms))
    taste = kind.taste * rng.normal(size=(kind.raters, arms))
    value = own[item] + taste[rater]
    rows = np.arange(n)
    odds = value[rows, left] - value[rows, right] + kind.side + kind.leaning * rng.normal(size=kind.raters)[rater]
    odds = odds + rng.logistic(size=n)
    winner = np.where(odds > kind.tie, LEFT, np.where(odds < -kind.tie, RIGHT, TIE))
    names = tuple(f"arm {arm}" for arm in range(arms))
    items, raters = (tuple(str(one) for one in range(count)) for count in (kind.examples, kind.raters))
    return votes.VoteTable(names, items, raters, item, left, right, rater, winner)


class Tally:
    """How often something held, by name."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, name: str, held: bool) -> None:
        self.counts[name][0] += held
        self.counts[name][1] += 1

    def covers(self, name: str, found: Estimate, value: float) -> None:
        """Count an interval; one without limits covers nothing."""
        self.add(name, found.low is not None and found.high is not None and found.low <= value <= found.high)


def examine(table: votes.VoteTable, known: tuple[Floats, float, Floats, float], tally: Tally) -> None:
    """Compare one round's intervals with the truth."""
    scores, side, rates, left = known
    fit = votes.bradley_terry(table)
    tally.add("separated", fit.separated)
    pairs = list(combinations(range(len(scores)), 2))
    for (a, b), pair in zip(pairs, votes.pair_comparisons(fit), strict=True):
        tally.covers("difference of scores", pair.difference, scores[a] - scores[b])
        error = (fit.naive[a, a] + fit.naive[b, b] - 2 * fit.naive[a, b]) ** 0.5
        off = abs(pair.difference.value - (scores[a] - scores[b]))
        tally.add("naive: difference of scores", bool(off <= norm.ppf(1 - LEVEL / 2) * error))
    for arm, (value, ours) in enumerate(zip(scores, votes.score_estimates(fit), strict=True)):
        tally.covers("score", ours, value)
        reach = norm.ppf(1 - LEVEL / 2) * fit.naive[arm, arm] ** 0.5
        tally.add("naive: score", bool(not fit.separated and abs(ours.value - value) <= reach))
    tally.covers("effect of the side", votes.effect_estimate(fit, "side"), side)
    for value, rate in zip(rates, votes.win_rates(table), strict=True):
        if rate.rate.estimate is not None:
            tally.covers("win rate", rate.rate.estimate, value)
            half = norm.ppf(1 - LEVEL / 2) * (rate.rate.estimate.value * (1 - rate.rate.estimate.value)) ** 0.5
            off = abs(rate.rate.estimate.value - value)
            tally.add("naive: win rate", bool(off <= half / rate.rate.estimate.n**0.5))
    bias = votes.left_rate(table).estimate
    if bias is not None:
        tally.covers("wins of the left side", bias, left)
    # Equal arms share their ranks: both of two are first to second, say.
    above = [int((scores > value + 1e-9).sum()) for value in scores]
    at_least = [int((scores >= value - 1e-9).sum()) for value in scores]
    ranks = votes.vote_ranks(fit)
    holds = all(low <= up + 1 and high >= down for (low, high), up, down in zip(ranks, above, at_least, strict=True))
    tally.add("all ranks", holds)


def judge(name: str, share: float, rounds: int) -> str:
    """An empty text when a share is within its bound, else what is wrong."""
    if name.startswith("naive") or name == "separated":
        return ""
    if name == "all ranks":
        least = 1 - LEVEL - ERRORS * (LEVEL * (1 - LEVEL) / rounds) ** 0.5
        return "" if share >= least else f"below {least:.1%}"
    return "" if COVERAGE[0] <= share <= COVERAGE[1] else "outside 93 to 97 %"


@dataclass(frozen=True, slots=True)
class Looks:
    """Two equal arms, looked at after every vote."""

    name: str
    example: float
    taste: float
    leaning: float
    tie: float
    centred: bool
    """Whether the tastes of the raters at hand cancel: the arms are equal for these raters."""
    bound: bool = True
    examples: int = 100
    each: int = 3
    raters: int = 10
    better: float = 0.0
    """Log-odds of the first arm: not zero to see how soon a difference is found."""

    def draw(self, rounds: int, rng: np.random.Generator) -> Floats:
        """Wins of the first arm [rounds, examples, each]."""
        n = self.examples * self.each
        taste = self.taste * rng.normal(size=(rounds, self.raters))
        if self.centred:
            half = self.raters // 2
            taste[:, half:] = -taste[:, :half]
        turns = rng.permuted(np.broadcast_to(np.arange(self.raters), (rounds, self.raters)), axis=1)
        rater = turns[:, np.arange(n) % self.raters]
        leaning = self.leaning * rng.normal(size=(rounds, self.raters))
        side = rng.permuted(np.broadcast_to(np.where(np.arange(n) % 2, 1.0, -1.0), (rounds, n)), axis=1)
        rows = np.arange(rounds)[:, None]
        odds = self.better + taste[rows, rater] + side * leaning[rows, rater] + rng.logistic(size=(rounds, n))
        odds += np.repeat(self.example * rng.normal(size=(rounds, self.examples)), self.each, axis=1)
        wins = np.where(odds > self.tie, 1.0, np.where(odds < -self.tie, 0.0, 0.5))
        return wins.reshape(rounds, self.examples, self.each)


LOOKS = (
    Looks("votes are independent", 0.0, 0.0, 0.0, 0.0, True),
    Looks("examples differ, raters lean", 1.0, 0.0, 0.3, 0.0, True),
    Looks("and ties", 1.0, 0.0, 0.3, 0.5, True),
    Looks("and raters' tastes differ", 1.0, 0.5, 0.3, 0.0, True),
    Looks("the same, judged for other raters", 1.0, 0.5, 0.3, 0.0, False, bound=False),
)
FIRST_LOOK = 10
"""The naive test waits for so many votes."""


def naive_alarms(wins: Floats, every: int) -> float:
    """How often a fixed-n test of independent votes, done again after every so many, ever says that arms differ."""
    flat = wins.reshape(len(wins), -1)
    n = np.arange(1, flat.shape[1] + 1)
    mean = np.cumsum(flat, axis=1) / n
    variance = np.maximum(np.cumsum(flat**2, axis=1) / n - mean**2, 1e-12) / n
    found = np.abs(mean - 0.5) > norm.ppf(1 - LEVEL / 2) * np.sqrt(variance)
    looks = (n >= FIRST_LOOK) & (n % every == 0)
    return float(found[:, looks].any(axis=1).mean())


def crossings(values: Floats) -> Floats:
    """The example [rounds] after which the e-value first passes 1 / LEVEL; infinite where it never does."""
    ends = []
    for part in np.array_split(values, max(1, len(values) // 100)):
        passed = log_wealth_path(part) >= -np.log(LEVEL)
        ends.append(np.where(passed.any(axis=1), passed.argmax(axis=1) + 1.0, np.inf))
    return np.concatenate(ends)


def watch(looks: Looks, rounds: int, rng: np.random.Generator) -> list[str]:
    """Print the false alarms of one kind of watched round, and return what missed its bound."""
    wins = looks.draw(rounds, rng)
    ours = float(np.isfinite(crossings(wins.mean(axis=2))).mean())
    most = LEVEL + ERRORS * (LEVEL * (1 - LEVEL) / rounds) ** 0.5
    wrong = f"above {most:.1%}" if looks.bound and ours > most else ""
    print(
        f"  {looks.name:40} anytime-valid {ours:6.1%}   naive: after every vote {naive_alarms(wins, 1):6.1%}, "
        f"every 10 {naive_alarms(wins, 10):6.1%}, once {naive_alarms(wins, wins[0].size):6.1%}  {wrong}"
    )
    return [f"watched, {looks.name}: {ours:.1%}, {wrong}"] if wrong else []


def review(rounds: int, seed: int) -> int:
    """Run all kinds of rounds; 1 when a bound is missed."""
    started, missed = time.perf_counter(), []
    for number, kind in enumerate(ROUNDS):
        # A generator of its own, so that one kind's figures do not hang on another's.
        rng, known, tally = np.random.default_rng([seed, 100 + number]), truth(kind), Tally()
        for _ in range(rounds):
            examine(draw(kind, rng), known, tally)
        print(f"\n{kind.name}: {len(known[0])} arms, {kind.examples} examples, {kind.raters} raters")
        for name, (held, of) in sorted(tally.counts.items(), key=lambda one: one[0].removeprefix("naive: ")):
            wrong = judge(name, held / of, rounds)
            missed += [f"{kind.name}: {name} {held / of:.1%}, {wrong}"] if wrong else []
            print(f"  {name:32}{held / of:7.1%}  {wrong}")
        sys.stdout.flush()
    print(f"\nTwo equal arms, {LOOKS[0].examples} examples x {LOOKS[0].each} votes: called different at some look")
    for number, looks in enumerate(LOOKS):
        missed += watch(looks, rounds, np.random.default_rng([seed, 200 + number]))
    for better in (0.5, 1.0):
        found = crossings(
            Looks("", 1.0, 0.3, 0.3, 0.0, True, better=better)
            .draw(rounds, np.random.default_rng([seed, 300]))
            .mean(axis=2)
        )
        middle = np.median(found)
        when = f"half of them by example {middle:.0f}" if np.isfinite(middle) else "fewer than half"
        print(f"  a difference of {better:.1f} log-odds is found in {np.isfinite(found).mean():.1%}, {when}")
    print(f"\n{len(ROUNDS)} kinds of rounds, {rounds} of each, {time.perf_counter() - started:.0f} s")
    print(f"bounds missed: {len(missed)}" + "".join(f"\n  {line}" for line in missed))
    return 1 if missed else 0
