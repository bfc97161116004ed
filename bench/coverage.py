"""Do nominal 95 % intervals cover 95 %, and do tests hold their level?  python bench/coverage.py --experiments 2000

Four kinds of experiments are simulated whose truth is known: binary scores (success rate 0.9) and continuous ones, each
on 300 independent examples without seed effects, and on 60 clusters of unequal size with seed effects; always three
seeds. An experiment has a reference, four arms of the very same method (A/A) and one of another method. Printed for
both estimands beside what is commonly done (one seed, examples taken as independent):

- how often intervals of a value and of a paired difference hold the truth: at least 93 %, at most 97 %;
- how often an A/A comparison is called different: at most 5 %;
- how often any of four A/A comparisons is, after Holm: at most 5 %;
- the smallest difference that `harness plan` says is detected with 80 % power, over the one that is: within 5 %.

The two upper limits allow for Monte Carlo error (2.33 standard errors: one false alarm in a hundred). Prints its
figures last and exits with 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field, replace

import coverage_review
import numpy as np
from numpy.typing import NDArray

from harness import stats
from harness.experiments.forecast.power import KnownSpread, Power, with_numbers
from harness.records import Estimate, Question
from harness.stats.clusters import cr2_dof

Floats = NDArray[np.float64]

SEEDS, CONTENDERS, FLIPS = 3, 4, 399
"""With 399 flips p-values are multiples of 1/400, so that 0.05 and its quarter are both among them."""
PILOTS = 6
OTHER = CONTENDERS + 1
"""Arm 0 is the reference, arms 1 to 4 its own method again, arm 5 another method."""
COVERAGE, LEVEL, MARGIN = (0.93, 0.97), 0.05, 0.05
POWER = 0.8
QUESTIONS: tuple[Question, ...] = ("checkpoints", "method")
ONE_RUNS = 200


@dataclass(frozen=True, slots=True)
class Scenario:
    """How scores come about; standard deviations (continuous) or half-widths (binary) of each effect."""

    name: str
    binary: bool
    sizes: tuple[int, ...]
    cluster: float = 0.0
    """Of a cluster, the same for every arm."""
    other_cluster: float = 0.0
    """Of a cluster for the other method alone."""
    seed: float = 0.0
    """Of a training, the same for every example."""
    seed_cluster: float = 0.0
    """Of a training on one cluster."""

    @property
    def codes(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def means(self) -> Floats:
        """Expected score of every arm."""
        return np.array([0.9] * OTHER + [0.85]) if self.binary else np.array([0.0] * OTHER + [0.3])


def scenarios() -> list[Scenario]:
    """The four kinds of experiments."""
    alone = (1,) * 300
    sizes = tuple(int(size) for size in np.minimum(np.random.default_rng(0).geometric(0.22, 60), 20))
    return [
        Scenario("binary, independent, no seed effect", True, alone),
        Scenario("binary, 60 clusters, seed effects", True, sizes, 0.03, 0.05, 0.05, 0.02),
        Scenario("continuous, independent, no seed effect", False, alone),
        Scenario("continuous, 60 clusters, seed effects", False, sizes, 0.5, 0.3, 0.15, 0.2),
    ]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Scores of one experiment [arms, seeds, n] and the truth."""

    own: Floats
    """Every arm trained on its own: for *this method*."""
    shared: Floats
    """Reference and contenders are the same three checkpoints, which answer anew: for *these checkpoints*."""
    checkpoint_means: Floats
    """Expected score of each arm's checkpoints in `shared`, averaged over its seeds [arms]."""


def draw(scenario: Scenario, rng: np.random.Generator, seeds: int = SEEDS, contenders: int = CONTENDERS) -> Drawn:
    """Simulate one experiment."""
    codes, clusters, arms = scenario.codes, len(scenario.sizes), contenders + 2
    means = scenario.means[[*range(contenders + 1), OTHER]]
    n = len(codes)

    def effect(size: float, *shape: int) -> Floats:
        # Binary effects take two values, so that probabilities stay within 0 and 1 and means are exact.
        return size * (rng.choice([-1.0, 1.0], size=shape) if scenario.binary else rng.normal(size=shape))

    level = means[:, None, None] + effect(scenario.cluster, clusters)[codes]
    level = level + effect(scenario.seed_cluster, arms, seeds, clusters)[..., codes]
    level[-1] += effect(scenario.other_cluster, clusters)[codes]
    own_seed = scenario.seed * np.clip(rng.normal(size=(arms, seeds)) * (0.6 if scenario.binary else 1.0), -3, 3)
    if scenario.binary:
        own_seed = np.clip(own_seed, -scenario.seed, scenario.seed)
    shared_seed = np.concatenate([np.repeat(own_seed[:1], arms - 1, axis=0), own_seed[-1:]])
    if scenario.binary:
        # Most examples are as hard for one arm as for another: they share their luck.
        fresh = rng.random((arms, seeds, n))
        luck = np.where(rng.random((arms, seeds, n)) < 0.6, rng.random(n), fresh)
        own, shared = ((luck < level + seed[..., None]).astype(float) for seed in (own_seed, shared_seed))
    else:
        # Skewed, as scores are; the other method has its own strengths.
        example = (rng.gamma(4.0, size=n) - 4.0) / 2
        noise = 0.5 * rng.normal(size=(arms, seeds, n))
        noise[-1] += 0.3 * rng.normal(size=n)
        own, shared = (level + example + noise + seed[..., None] for seed in (own_seed, shared_seed))
    return Drawn(own, shared, means + shared_seed.mean(axis=1))


@dataclass(slots=True)
class Tally:
    """Shares of experiments, by what was counted."""

    counts: dict[str, list[bool]] = field(default_factory=dict)
    shifted: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Differences less the truth, and the half-widths of their intervals."""

    def count(self, name: str, hit: bool) -> None:
        self.counts.setdefault(name, []).append(hit)

    def interval(self, name: str, result: Estimate, truth: float) -> None:
        self.count(f"{name} covers", holds(result, truth))

    def width(self, name: str, result: Estimate, truth: float) -> None:
        assert result.low is not None and result.high is not None
        self.shifted.setdefault(name, []).append((result.value - truth, (result.high - result.low) / 2))

    def share(self, name: str) -> float:
        return float(np.mean(self.counts[name]))

    def detected(self, name: str) -> float:
        """The difference that is detected with 80 % power: simulated differences are shifted until it is."""
        errors, halves = np.array(self.shifted[name]).T
        # The sign of a difference is a matter of naming, so both count.
        both, half = np.concatenate([errors, -errors]), np.concatenate([halves, halves])
        return float(np.quantile(half - both, POWER))


def holds(result: Estimate, truth: float) -> bool:
    assert result.low is not None and result.high is not None
    return result.low <= truth <= result.high


def checkpoints(drawn: Drawn, clusters: stats.Clusters, tally: Tally, rng: np.random.Generator, binary: bool) -> None:
    """*These checkpoints*: seeds averaged, examples random."""
    values, means = drawn.shared.mean(axis=1), drawn.checkpoint_means
    bounds = (0.0, 1.0) if binary else None
    tally.interval("checkpoints: value", stats.estimate(values[0], clusters, seeds=SEEDS, bounds=bounds), means[0])
    difference = stats.paired_difference(values[OTHER], values[0], clusters, seeds=SEEDS, bounds=bounds)
    tally.interval("checkpoints: difference", difference, means[OTHER] - means[0])
    tally.width("checkpoints", difference, means[OTHER] - means[0])
    same = stats.paired_difference(values[1], values[0], clusters, seeds=SEEDS, bounds=bounds)
    tally.count("checkpoints: A/A interval fires", not holds(same, 0.0))
    arms = range(1, CONTENDERS + 1)
    p_values = [stats.sign_flip_p_value(values[arm] - values[0], clusters, rng, FLIPS) for arm in arms]
    tally.count("checkpoints: A/A permutation test fires", p_values[0] <= LEVEL)
    tally.count("checkpoints: family-wise error (Holm)", min(stats.holm(p_values)) <= LEVEL)


def method(values: Floats, clusters: stats.Clusters, bounds: tuple[float, float] | None = None) -> Estimate:
    """Mean of values [seeds, n] as the next training's."""
    return stats.arm_estimate(stats.method_arm(values, clusters, trained=True)[0], clusters, "mean", bounds)


def less(a: Floats, b: Floats, clusters: stats.Clusters) -> stats.Arm:
    """a - b of two trained arms."""
    ours, theirs = (stats.method_arm(side, clusters, trained=True)[0] for side in (a, b))
    return stats.subtract(ours, theirs)


def methods(drawn: Drawn, clusters: stats.Clusters, tally: Tally, means: Floats, binary: bool) -> None:
    """*This method*: seeds random too."""
    values, bounds, span = drawn.own, (0.0, 1.0) if binary else None, (-1.0, 1.0) if binary else None
    tally.interval("method: value", method(values[0], clusters, bounds), means[0])
    difference = stats.arm_estimate(less(values[OTHER], values[0], clusters), clusters, "difference", span)
    tally.interval("method: difference", difference, means[OTHER] - means[0])
    tally.width("method", difference, means[OTHER] - means[0])
    same = stats.arm_estimate(less(values[1], values[0], clusters), clusters, "difference", span)
    tally.count("method: A/A interval fires", not holds(same, 0.0))
    p_values = [stats.arm_p_value(less(values[arm], values[0], clusters), clusters) for arm in range(1, CONTENDERS + 1)]
    tally.count("method: family-wise error (Holm)", min(stats.holm([p for p in p_values if p is not None])) <= LEVEL)


def naive(drawn: Drawn, tally: Tally, means: Floats) -> None:
    """What is commonly done: one seed stands for the method, examples are independent, nothing is adjusted."""
    values = drawn.own[:, 0]
    tally.interval("naive: value", stats.estimate(values[0]), means[0])
    tally.interval("naive: difference", stats.paired_difference(values[OTHER], values[0]), means[OTHER] - means[0])
    fires = [not holds(stats.paired_difference(values[arm], values[0]), 0.0) for arm in range(1, CONTENDERS + 1)]
    tally.count("naive: A/A interval fires", fires[0])
    tally.count("naive: family-wise error", any(fires))


def ratio(totals: Floats) -> Floats:
    """A corpus metric with length weights, as perplexity's exponent is."""
    return np.asarray(totals[..., 0] / totals[..., 1])


def corpus(drawn: Drawn, clusters: stats.Clusters, tally: Tally, means: Floats, rng: np.random.Generator) -> None:
    """The same questions of a ratio of sums, lengths being random and unrelated to the scores."""
    lengths = rng.integers(5, 60, size=clusters.n).astype(float)
    own, shared = (
        np.stack([side * lengths, np.broadcast_to(lengths, side.shape)], axis=-1) for side in (drawn.own, drawn.shared)
    )
    fixed = drawn.checkpoint_means
    result = stats.corpus_paired_difference(shared[OTHER], shared[0], ratio, clusters, rng)
    tally.interval("checkpoints: corpus difference", result, fixed[OTHER] - fixed[0])
    base, other = (stats.corpus_method_arm(own[arm], ratio, clusters, trained=True)[0] for arm in (0, OTHER))
    tally.interval("method: corpus value", stats.arm_estimate(base, clusters, "corpus value", None), means[0])
    result = stats.arm_estimate(stats.subtract(other, base), clusters, "difference", None)
    tally.interval("method: corpus difference", result, means[OTHER] - means[0])


def planned(scenario: Scenario, rng: np.random.Generator) -> dict[str, float]:
    """Smallest detectable differences of this design, from the spread that large pilots show."""
    wide = [pilot(scenario, rng, 200, 4) for _ in range(PILOTS)]
    long = [pilot(scenario, rng, 10, 400) for _ in range(PILOTS)]
    own = stats.Clusters.of(scenario.codes.tolist(), len(scenario.codes))
    spread = stats.Spread(
        cluster=float(np.mean([one.cluster for one in wide])),
        interaction=float(np.mean([one.interaction for one in wide])),
        seed=float(np.mean([one.seed for one in long if one.seed is not None])),
        evenness=cr2_dof(own) / (own.count - 1),
    )
    return {question: figure(spread, own, question) for question in QUESTIONS}


def figure(spread: stats.Spread, clusters: stats.Clusters, question: Question) -> float:
    """What `harness plan` says of two arms with this spread."""
    nothing_yet = Power("score", clusters.n, clusters.count, SEEDS, question, "")
    found = with_numbers(nothing_yet, KnownSpread((spread,), clusters.count, "pilots"), question, 2)
    assert found.smallest is not None
    return found.smallest


def from_one_run(scenario: Scenario, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """What `harness plan` says after one stored run of this very size: middle 90 % of its figures. It knows the
    spread from three seeds alone, so it says something else each time; printed beside, not judged."""
    own = stats.Clusters.of(scenario.codes.tolist(), len(scenario.codes))
    seen = [pilot(scenario, rng, 1, SEEDS) for _ in range(ONE_RUNS)]
    figures = {question: [figure(spread, own, question) for spread in seen] for question in QUESTIONS}
    return {name: (float(np.quantile(each, 0.05)), float(np.quantile(each, 0.95))) for name, each in figures.items()}


def pilot(scenario: Scenario, rng: np.random.Generator, times: int, seeds: int) -> stats.Spread:
    """The spread that an experiment with `times` the clusters and so many seeds shows."""
    larger = replace(scenario, sizes=scenario.sizes * times)
    values = draw(larger, rng, seeds, contenders=0).own
    return stats.measured_spread(values[-1], values[0], stats.Clusters.of(larger.codes.tolist(), len(larger.codes)))


def judge(name: str, share: float, experiments: int) -> str:
    """An empty text when a share is within its bound, else what is wrong."""
    if name.startswith("naive"):
        return ""
    if name.endswith("covers"):
        return "" if COVERAGE[0] <= share <= COVERAGE[1] else "outside 93 to 97 %"
    most = LEVEL + 2.33 * (LEVEL * (1 - LEVEL) / experiments) ** 0.5
    return "" if share <= most else f"above {most:.1%}"


def simulate(scenario: Scenario, experiments: int, rng: np.random.Generator) -> list[str]:
    """Run one scenario, print its shares, and return what missed its bound."""
    clusters = stats.Clusters.of(scenario.codes.tolist(), len(scenario.codes))
    tally, means = Tally(), scenario.means
    for _ in range(experiments):
        drawn = draw(scenario, rng)
        checkpoints(drawn, clusters, tally, rng, scenario.binary)
        methods(drawn, clusters, tally, means, scenario.binary)
        naive(drawn, tally, means)
        if scenario.seed and not scenario.binary:
            corpus(drawn, clusters, tally, means, rng)
    print(f"\n{scenario.name}: {clusters.n} examples, {clusters.count} clusters, {SEEDS} seeds")
    missed = []
    for name in sorted(tally.counts, key=lambda name: name.split(":")[0]):
        wrong = judge(name, tally.share(name), experiments)
        missed += [f"{scenario.name}: {name} {tally.share(name):.1%}, {wrong}"] if wrong else []
        print(f"  {name:44}{tally.share(name):7.1%}  {wrong}")
    once = from_one_run(scenario, rng)
    for estimand, plan in planned(scenario, rng).items():
        off = plan / tally.detected(estimand) - 1
        wrong = "" if abs(off) <= MARGIN else "more than 5 % off"
        missed += [f"{scenario.name}: planned difference, {estimand}, {off:+.1%}"] if wrong else []
        print(f"  {estimand + ': planned difference, ' + format(plan, '.4f') + ', is off by':44}{off:+7.1%}  {wrong}")
        low, high = (each / tally.detected(estimand) - 1 for each in once[estimand])
        print(f"  {'  planned from one stored run instead':44}{low:+7.1%} to {high:+.1%}")
    return missed


def main() -> int:
    """Run all scenarios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=2000, help="simulated experiments of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--review", action="store_true", help="the intervals of votes instead (coverage_review.py)")
    options = parser.parse_args()
    if options.review:
        return coverage_review.review(options.experiments, options.seed)
    started, missed = time.perf_counter(), []
    for number, scenario in enumerate(scenarios()):
        # A generator of its own, so that one scenario's figures do not hang on another's.
        missed += simulate(scenario, options.experiments, np.random.default_rng([options.seed, number]))
        sys.stdout.flush()
    seconds = time.perf_counter() - started
    print(f"\n{len(scenarios())} scenarios, {options.experiments} experiments each, {seconds:.0f} s")
    print(f"bounds missed: {len(missed)}" + "".join(f"\n  {line}" for line in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
