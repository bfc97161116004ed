"""Does a gate say what is true? Simulated releases of known truth.      python bench/gates.py

A baseline and a candidate answer the same examples; the rule is *not worse by more than the margin*, at 95 %. Sizes are
the planned ones (`planned_examples`): an equal candidate passes, and one worse by twice the margin fails, with
95 % power each. Three kinds of
scores: right or wrong (rate 0.9, answers of both models correlated), continuous and skewed, and right or wrong in
clusters of unequal size. For each, 1,000 releases of a candidate that

- has not changed:                 PASS at least 90 %, FAIL at most 5 %;
- is worse by exactly the margin:  PASS at most 5 % (with Monte Carlo error, 2.33 standard errors);
- is worse by twice the margin:    FAIL at least 90 %.

Printed beside: the rule that many pipelines have, *fail when the candidate is lower than the baseline*, which fires
half of the time when nothing changed. The last table has five critical rules at once. Exits with 1 on a miss.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness import stats
from harness.records import Evidence
from harness.release import gate
from harness.release.gate.measures import with_test

Floats = NDArray[np.float64]
RELEASES, CONFIDENCE, RULES, POWER = 1000, 0.95, 5, 0.95
SLACK = 2.33 * (0.05 * 0.95 / RELEASES) ** 0.5


def planned_examples(
    deviation: float, margin: float, *, worse_deviation: float | None = None, rules: int = 1, confidence: float = 0.95
) -> int:
    """Independent examples with which an equal candidate passes, and one worse by twice the margin fails.

    Each with this power (0.95). `deviation` is the standard deviation of one paired difference when nothing has
    changed, `worse_deviation` that when the candidate is worse by twice the margin (default: the same). Scores that are
    right or wrong spread more as they get worse: 0.9 against 0.8 takes twice the examples of 0.9 against 0.9. With
    several critical `rules` all must pass together (Bonferroni over their powers), and one must fail among them (Holm's
    first step). Noncentral t.

    Raises:
        ValueError: a deviation or margin that is not positive, or no number of examples up to 16 million is enough.
    """
    spread = deviation if worse_deviation is None else worse_deviation
    if not (min(deviation, spread, margin) > 0 and rules >= 1):
        raise ValueError("deviations and margin must be positive, and rules at least 1")
    passes = _least(margin / deviation, confidence, 1 - (1 - POWER) / rules)
    fails = _least(margin / spread, 1 - (1 - confidence) / rules, POWER)
    return max(passes, fails)


def _least(effect: float, confidence: float, power: float) -> int:
    """The smallest n at which a one-sided t test at this confidence finds `effect` (in deviations) with this power."""
    from scipy.special import stdtrit
    from scipy.stats import nct

    def enough(count: int) -> bool:
        freedom = count - 1
        return bool(1 - nct.cdf(stdtrit(freedom, confidence), freedom, effect * count**0.5) >= power)

    high = 4
    while not enough(high):
        high *= 2
        if high > 16_000_000:
            raise ValueError("no number of examples is enough")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@dataclass(frozen=True, slots=True)
class Kind:
    """How scores come about. `draw(n, drop, rng)` gives paired differences [n] whose mean is -drop."""

    name: str
    margin: float
    deviation: float
    """Of one paired difference when nothing changed, and (next) when the candidate is worse by twice the margin."""
    worse_deviation: float
    draw: Callable[[int, float, np.random.Generator], Floats]
    bounds: tuple[float, float] | None

    def planned(self, rules: int) -> int:
        """Examples that the plan asks for."""
        return planned_examples(
            self.deviation, self.margin, worse_deviation=self.worse_deviation, rules=rules, confidence=CONFIDENCE
        )


def binary(n: int, drop: float, rng: np.random.Generator) -> Floats:
    """Right or wrong: the baseline at 0.9; seven in ten examples share their luck."""
    luck, shared = rng.random(n), rng.random(n) < 0.7
    theirs = luck < 0.9
    ours = np.where(shared, luck, rng.random(n)) < 0.9 - drop
    return ours.astype(float) - theirs


def continuous(n: int, drop: float, rng: np.random.Generator) -> Floats:
    """Skewed differences, standard deviation 0.2."""
    return np.asarray(0.2 * (rng.gamma(4.0, size=n) - 4.0) / 2 - drop)


SIZES = (1, 1, 2, 3, 5, 8)


def clustered(n: int, drop: float, rng: np.random.Generator) -> Floats:
    """Continuous, in clusters of 1 to 8 whose members share half of their variance; `codes(n)` are the clusters."""
    groups = codes(n)
    effect = rng.normal(size=groups[-1] + 1)[groups]
    return np.asarray(0.2 * (0.5**0.5 * effect + 0.5**0.5 * rng.normal(size=n)) - drop)


def codes(n: int) -> NDArray[np.intp]:
    """Clusters of 1, 1, 2, 3, 5, 8, 1, 1, … examples."""
    return np.repeat(np.arange(n), np.resize(SIZES, n))[:n]


def kinds() -> list[Kind]:
    """The three kinds of scores, with the spread of their differences."""
    rng = np.random.default_rng(0)
    # A cluster of m examples with intraclass correlation 1/2 is worth m / (1 + (m - 1) / 2) of them.
    sizes = np.array(SIZES, dtype=float)
    design = float((sizes**2).sum() / sizes.sum() * 0.5 + 0.5)
    return [
        Kind(
            "right or wrong", 0.05, *(float(binary(400_000, drop, rng).std()) for drop in (0.0, 0.1)), binary, (-1, 1)
        ),
        Kind("continuous", 0.03, 0.2, 0.2, continuous, None),
        Kind("continuous, in clusters", 0.05, 0.2 * design**0.5, 0.2 * design**0.5, clustered, None),
    ]


def release(kind: Kind, n: int, drop: float, rng: np.random.Generator) -> tuple[Evidence, float]:
    """One candidate: the evidence, and the plain difference."""
    values = kind.draw(n, drop, rng)
    groups = codes(n).tolist() if kind.draw is clustered else None
    found = stats.side_test(values, -kind.margin, groups, bounds=kind.bounds, confidence=CONFIDENCE)
    asked = Evidence("score", "critical", -kind.margin, True, CONFIDENCE)
    return with_test(asked, found), found.estimate.value


def rates(kind: Kind, n: int, drop: float, rng: np.random.Generator, rules: int = 1) -> tuple[Counter[str], float]:
    """Outcomes of many releases, and how often the naive rule fires. With several rules the first one drops."""
    outcomes: Counter[str] = Counter()
    naive = 0
    for _ in range(RELEASES):
        known: list[Evidence] = []
        lower = False
        for place in range(rules):
            evidence, value = release(kind, n, drop if place == 0 else 0.0, rng)
            known.append(evidence)
            lower |= value < 0
        outcomes[gate.judge(known).outcome] += 1
        naive += lower
    return outcomes, naive / RELEASES


BOUNDS: tuple[tuple[tuple[str, float, bool], ...], ...] = (
    (("PASS", 0.90, True), ("FAIL", 0.05, False)),
    (("PASS", 0.05 + SLACK, False),),
    (("FAIL", 0.90, True),),
)
"""For no change, the margin and twice the margin: outcome, share, and whether that is a floor."""


def table(kind: Kind, rng: np.random.Generator, rules: int) -> list[str]:
    """Print one kind's rows; returns what was missed."""
    n, missed = kind.planned(rules), list[str]()
    for drops, words in enumerate(("nothing changed", "worse by the margin", "worse by twice the margin")):
        outcomes, naive = rates(kind, n, drops * kind.margin, rng, rules)
        shares = {name: outcomes[name] / RELEASES for name in ("PASS", "FAIL", "INCONCLUSIVE", "INVALID")}
        wrong = [
            f"{name} {shares[name]:.1%}, bound {bound:.1%}"
            for name, bound, floor in BOUNDS[drops]
            if (shares[name] < bound if floor else shares[name] > bound)
        ]
        missed += [f"{kind.name}, {words}: {text}" for text in wrong]
        print(
            f"  {words:28}{shares['PASS']:8.1%}{shares['FAIL']:8.1%}{shares['INCONCLUSIVE']:14.1%}{naive:18.1%}  "
            f"{'; '.join(wrong)}"
        )
    return missed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all kinds with one rule, and one kind with five."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    started, missed = time.perf_counter(), list[str]()
    for number, (kind, rules) in enumerate([*((kind, 1) for kind in kinds()), (kinds()[1], RULES)]):
        several = f"{rules} critical rules, of which one drops" if rules > 1 else "1 critical rule"
        print(f"\n{kind.name}: margin {kind.margin}, {kind.planned(rules)} examples (planned), {several}")
        print(f"  {'':28}{'PASS':>8}{'FAIL':>8}{'INCONCLUSIVE':>14}{'naive rule fires':>18}")
        missed += table(kind, np.random.default_rng([options.seed, number]), rules)
    print(f"\n{RELEASES} releases a row, {time.perf_counter() - started:.0f} s")
    print(f"bounds missed: {len(missed)}" + "".join(f"\n  {line}" for line in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
