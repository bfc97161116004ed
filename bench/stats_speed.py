"""Are all pairwise intervals quick for many examples?  python bench/stats_speed.py

100,000 scored examples in 20,000 groups, ten arms, three seeds: for each of the 45 pairs of arms the paired interval
of these checkpoints, the interval of this method and its p-value, from scores and group names as they come. At most
10 seconds on two cores are allowed. Beside it the same formulas written as loops over examples and groups, on one pair
and a tenth of the examples: the answers must agree to 1e-9. Prints its figures last and exits with 1 when it misses.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness import stats
from harness.records import Estimate

ALLOWED_SECONDS, TOLERANCE = 10.0, 1e-9
ARMS, SEEDS, GROUP, PART = 10, 3, 5, 10


def scores(examples: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], list[str]]:
    """Scores [arms, seeds, n] and the group of each example."""
    groups = [f"group-{number}" for number in rng.integers(examples // GROUP, size=examples)]
    values = rng.normal(size=examples) + 0.5 * rng.normal(size=(ARMS, SEEDS, examples))
    return values + 0.02 * rng.normal(size=(ARMS, SEEDS, 1)), groups


def pairwise(
    values: NDArray[np.float64], groups: Sequence[str]
) -> dict[tuple[int, int], tuple[Estimate, Estimate, float | None]]:
    """For every pair of arms: these checkpoints, this method, and its p-value."""
    clusters = stats.Clusters.of(groups, values.shape[-1])
    means = [stats.average_seeds(arm) for arm in values]
    found = {}
    for a, b in itertools.combinations(range(len(values)), 2):
        fixed = stats.paired_difference(means[a], means[b], clusters, seeds=SEEDS)
        ours, theirs = (stats.method_arm(values[arm], clusters, trained=True)[0] for arm in (a, b))
        less = stats.subtract(ours, theirs)
        method = stats.arm_estimate(less, clusters, "mean of paired differences", None)
        found[a, b] = (fixed, method, stats.arm_p_value(less, clusters))
    return found


def loops(a: list[list[float]], b: list[list[float]], groups: Sequence[str]) -> tuple[float, float, float, float]:
    """Half-widths and values of the same two intervals for one pair, with a loop for every sum."""
    from scipy.stats import t

    seeds, n = len(a), len(groups)
    differences = [[a[s][i] - b[s][i] for i in range(n)] for s in range(seeds)]
    seed_means = [sum(row) / n for row in differences]
    value = sum(seed_means) / seeds
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    example = left = squares = b_sum = b_squares = 0.0
    for inside in members.values():
        share = len(inside) / n
        own = [sum(differences[s][i] - seed_means[s] for i in inside) for s in range(seeds)]
        mean = sum(own) / seeds
        example += mean**2 / (1 - share) / n**2
        left += sum((one - mean) ** 2 for one in own) / (1 - share) / n**2
        squares += share**2
        b_sum += share**2 / (1 - share)
        b_squares += (share**2 / (1 - share)) ** 2
    freedom = 1 / (squares + b_sum**2 - b_squares)
    interaction = left / (seeds * (seeds - 1))
    seed = sum((one - value) ** 2 for one in seed_means) / (seeds - 1) / seeds
    variance = max(0.0, example - interaction) + seed
    weight = (seed / variance) ** (4 / 3)
    quantile = (1 - weight) * t.ppf(0.975, freedom) + weight * t.ppf(0.975, seeds - 1)
    return value, float(t.ppf(0.975, freedom) * example**0.5), value, float(quantile * variance**0.5)


def main() -> int:
    """Time both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=100_000)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    values, groups = scores(options.examples, rng)
    started, busy = time.perf_counter(), time.process_time()
    found = pairwise(values, groups)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy

    part = options.examples // PART
    few, names = np.ascontiguousarray(values[:2, :, :part]), groups[:part]
    started = time.perf_counter()
    fixed, method, _ = pairwise(few, names)[0, 1]
    ours = time.perf_counter() - started
    lists = few.tolist()
    started = time.perf_counter()
    theirs = loops(lists[0], lists[1], names)
    naive = time.perf_counter() - started
    assert fixed.high is not None and method.high is not None
    mine = (fixed.value, fixed.high - fixed.value, method.value, method.high - method.value)
    apart = max(abs(one - other) for one, other in zip(mine, theirs, strict=True))

    print(f"one pair of {part:,} examples: {ours:.4f} s, as loops {naive:.4f} s: {naive / ours:.0f} times as long")
    print(f"largest disagreement: {apart:.1e}")
    print(f"{len(found)} pairs of {options.examples:,} examples x {SEEDS} seeds: {seconds:.2f} s ({busy:.2f} s of CPU)")
    return 0 if seconds <= ALLOWED_SECONDS and apart <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
