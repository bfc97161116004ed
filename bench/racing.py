"""Does racing stop the losers early, and never the winner?  python bench/racing.py [--quick]

Replays races over a recorded full grid: real trainings of the embedded base by three methods at four learning rates
each, two seeds, none stopped, with the validation loss of every example at four rungs (`racing_grid.json`; `--record`
makes it anew, about 20 minutes of one processor, and goes on when it is killed). Each replay runs the decisions of
`harness run` (`stats/elimination.py`), with the spec's defaults and a margin of 0.005 nats a token, on the recorded
values in a shuffled order:

    whole       all 12 arms, both seeds
    resampled   10 of the 12 arms without replacement, and one seed or both, drawn anew for each replay

A wrong elimination removes every arm that is within the margin of the best one of the full grid: the lowest validation
loss at the whole budget over all examples and the drawn seeds. Steps are shares of what the full grid trained (a
training that diverged counts as far as it came), examples of one scoring of every training that came to its end.

Beside it successive halving (Jamieson and Talwalkar 2016: the better half of the arms goes on from each rung) with as
many scored examples, and a null: 12 arms that differ by chance alone (a recorded pair's differences with random signs),
without the lead, where every stop is false.

At most 35 % of the steps, 30 % of the examples, 5 % wrong in both kinds, and at most the level (5 %) in the null.
Prints its figures last and exits with 1 when it misses one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config import RacingSpec
from harness.experiments.racing import LEAD, LOSS_CLIP
from harness.stats import elimination

GRID = Path(__file__).parent / "racing_grid.json"
MOST_STEPS, MOST_EXAMPLES, MOST_WRONG = 0.35, 0.30, 0.05
MARGIN = 0.005
"""Nats a token."""
REPLAYS, QUICK = 300, 200
DRAWN_ARMS = 10
NULL = ("full-0.0014", "lora-0.008")
"""Arms whose recorded differences are those of the null."""
SEED = 6
Floats = NDArray[np.float64]
Kind = Callable[["Grid", np.random.Generator], "Draw"]


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded training."""

    losses: Floats
    """[rungs, groups]; NaN from where it diverged."""
    steps: int
    """That it trained."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What was recorded."""

    shares: tuple[float, ...]
    """The whole budget last."""
    steps: int
    """Of a whole training."""
    sizes: Floats
    """Examples in each group [groups]."""
    runs: Mapping[tuple[str, int], Run]

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(arm for arm, _ in self.runs))

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for _, seed in self.runs})


@dataclass(frozen=True, slots=True)
class Draw:
    """Which part of the grid a replay is about, and the order of its groups at each rung."""

    arms: Sequence[str]
    seeds: Sequence[int]
    orders: Sequence[NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay came to."""

    steps: float
    examples: float
    wrong: bool
    lost_best: bool
    """The best arm itself was stopped."""
    survivors: int


def read(file: Path) -> Grid:
    """The recorded grid, a value for each group: the mean over its examples."""
    found: dict[str, Any] = json.loads(file.read_text())
    groups = np.asarray(found["groups"])
    sizes = np.bincount(groups).astype(np.float64)
    runs = {}
    for row in found["runs"]:
        losses = np.full((len(found["rungs"]), len(sizes)), np.nan)
        for rung, values in enumerate(row["losses"]):
            losses[rung] = np.bincount(groups, values) / sizes
        runs[row["arm"], row["seed"]] = Run(losses, row["steps"])
    return Grid(tuple(found["rungs"]), found["steps"], sizes, runs)


def rules_of(grid: Grid, arms: int) -> elimination.Rules:
    """The spec's defaults for validation loss."""
    spec = RacingSpec(metric="loss", margin=MARGIN)
    assert tuple(spec.rungs) == grid.shares[:-1], "the grid was recorded at other rungs"
    lead = LEAD * LOSS_CLIP
    return elimination.Rules(tuple(spec.rungs), arms, spec.level, MARGIN, LOSS_CLIP, lead, spec.least, spec.examples)


def whole(grid: Grid, rng: np.random.Generator) -> Draw:
    """All arms and seeds in a shuffled order."""
    return Draw(grid.arms, grid.seeds, orders(grid, rng))


def resampled(grid: Grid, rng: np.random.Generator) -> Draw:
    """Some of the arms, some of the seeds."""
    arms = sorted(rng.choice(grid.arms, DRAWN_ARMS, replace=False).tolist())
    seeds = sorted(rng.choice(grid.seeds, int(rng.integers(1, len(grid.seeds) + 1)), replace=False).tolist())
    return Draw(arms, seeds, orders(grid, rng))


def orders(grid: Grid, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """A permutation of the groups for each rung."""
    return [rng.permutation(len(grid.sizes)) for _ in grid.shares]


def values(grid: Grid, draw: Draw, arm: str, rung: int) -> Floats:
    """Minus the loss of an arm, mean over the drawn seeds [groups]; NaN where one of them diverged before."""
    return -np.mean([grid.runs[arm, seed].losses[rung] for seed in draw.seeds], axis=0)


def race(grid: Grid, draw: Draw, rules: elimination.Rules) -> Outcome:
    """One race, decided by harness/stats/elimination.py; an arm that diverges leaves it, as it does there."""
    alive = list(draw.arms)
    reached = dict.fromkeys(draw.arms, 1.0)
    scored = 0.0
    for rung, share in enumerate(rules.shares):
        alive = [arm for arm in alive if np.isfinite(values(grid, draw, arm, rung)).all()]
        if len(alive) < 2:
            break
        table = {arm: values(grid, draw, arm, rung)[draw.orders[rung]] for arm in alive}

        def scores(wanted: Sequence[str], first: int, end: int, table: Mapping[str, Floats] = table) -> Any:
            return {arm: table[arm][first:end] for arm in wanted}

        found = elimination.run_rung(alive, rules, rung, scores, len(grid.sizes))
        scored += sum(float(grid.sizes[draw.orders[rung][:n]].sum()) for n in found.scored.values())
        for stop in found.stopped:
            reached[stop.arm] = share
        alive = [arm for arm in alive if reached[arm] == 1.0]
    return judged(grid, draw, reached, scored, alive)


def halving(grid: Grid, draw: Draw, rules: elimination.Rules, groups: int) -> Outcome:
    """Successive halving: the better half by the mean over `groups` groups at each rung."""
    alive, reached, scored = list(draw.arms), dict.fromkeys(draw.arms, 1.0), 0.0
    for rung, share in enumerate(rules.shares):
        alive = [arm for arm in alive if np.isfinite(values(grid, draw, arm, rung)).all()]
        part = draw.orders[rung][:groups]
        means = {arm: float(values(grid, draw, arm, rung)[part].mean()) for arm in alive}
        scored += len(alive) * float(grid.sizes[part].sum())
        kept = sorted(alive, key=lambda arm: -means[arm])[: math.ceil(len(alive) / 2)]
        reached |= {arm: share for arm in alive if arm not in kept}
        alive = kept
    return judged(grid, draw, reached, scored, alive)


def judged(grid: Grid, draw: Draw, reached: Mapping[str, float], scored: float, alive: Sequence[str]) -> Outcome:
    """A finished replay held against the full grid; `scored` counts arm-examples."""
    runs = [(arm, grid.runs[arm, seed]) for arm in draw.arms for seed in draw.seeds]
    spent = sum(min(run.steps, reached[arm] * grid.steps) for arm, run in runs)
    ended = sum(bool(np.isfinite(run.losses[-1]).all()) for _, run in runs)
    final = {arm: -float(np.average(values(grid, draw, arm, -1), weights=grid.sizes)) for arm in draw.arms}
    finished = {arm: loss for arm, loss in final.items() if math.isfinite(loss)}
    best = min(finished, key=lambda arm: finished[arm])
    good = {arm for arm, loss in finished.items() if loss <= finished[best] + MARGIN}
    return Outcome(
        steps=spent / sum(run.steps for _, run in runs),
        examples=scored * len(draw.seeds) / (ended * float(grid.sizes.sum())),
        wrong=not good & set(alive),
        lost_best=best not in alive,
        survivors=len(alive),
    )


def equal_arms(grid: Grid, rng: np.random.Generator, rules: elimination.Rules) -> bool:
    """Whether any of 12 arms is stopped that differ by chance alone."""
    pair = [np.mean([grid.runs[arm, seed].losses for seed in grid.seeds], axis=0) for arm in NULL]
    stopped = False
    for rung in range(len(rules.shares)):
        spread = pair[0][rung] - pair[1][rung]
        spread = spread - spread.mean()
        signs = rng.choice([-0.5, 0.5], (rules.arms, len(spread)))
        table = {f"arm {number}": signs[number] * spread for number in range(rules.arms)}

        def scores(wanted: Sequence[str], first: int, end: int, table: Mapping[str, Floats] = table) -> Any:
            return {arm: table[arm][first:end] for arm in wanted}

        stopped |= bool(elimination.run_rung(list(table), rules, rung, scores, len(spread)).stopped)
    return stopped


def interval(count: int, n: int) -> str:
    """Exact (Clopper-Pearson) 95 % interval of a rate, in per cent."""
    from scipy.stats import beta

    low = beta.ppf(0.025, count, n - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return f"{100 * count / n:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def line(name: str, found: Sequence[Outcome]) -> str:
    """Means over replays."""
    n = len(found)
    return (
        f"{name:34} steps {100 * np.mean([one.steps for one in found]):5.1f} %  examples "
        f"{100 * np.mean([one.examples for one in found]):5.1f} %  wrong {interval(sum(o.wrong for o in found), n)}  "
        f"best itself lost {interval(sum(o.lost_best for o in found), n)}  survivors "
        f"{np.mean([one.survivors for one in found]):.1f}"
    )


def replay(grid: Grid, kind: Kind, replays: int, lead: float | None) -> list[Outcome]:
    """Races of one kind; `lead` in place of the default."""
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(replays):
        draw = kind(grid, rng)
        rules = rules_of(grid, len(draw.arms))
        found.append(race(grid, draw, rules if lead is None else replace(rules, lead=lead)))
    return found


def halve(grid: Grid, kind: Kind, replays: int, groups: int) -> list[Outcome]:
    """The same draws, halved."""
    rng = np.random.default_rng(SEED)
    draws = [kind(grid, rng) for _ in range(replays)]
    return [halving(grid, draw, rules_of(grid, len(draw.arms)), groups) for draw in draws]


def alike(grid: Grid, kind: Kind, replays: int, examples: float) -> int:
    """How many groups halving may score at each rung for the same share of examples."""
    one = np.mean([row.examples for row in halve(grid, kind, min(replays, 50), len(grid.sizes))])
    return max(2, min(len(grid.sizes), round(len(grid.sizes) * examples / float(one))))


def main() -> int:
    """Replay, or record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 replays of each kind")
    parser.add_argument("--record", action="store_true", help="train the grid anew")
    parser.add_argument("--home", type=Path, default=Path(".racing"), help="where recording keeps what is finished")
    options = parser.parse_args()
    if options.record:
        import racing_record

        racing_record.record(options.home, GRID, [0, 1])
        return 0
    grid, replays = read(GRID), QUICK if options.quick else REPLAYS
    print(
        f"{len(grid.arms)} arms x {len(grid.seeds)} seeds, {int(grid.sizes.sum())} validation examples in "
        f"{len(grid.sizes)} groups; {replays} replays of each kind; rates with exact 95 % intervals"
    )
    missed = []
    for kind in (whole, resampled):
        found = replay(grid, kind, replays, None)
        share = float(np.mean([one.examples for one in found]))
        print(line(f"{kind.__name__}: racing", found))
        print(line(f"{kind.__name__}: racing without its lead", replay(grid, kind, replays, 0.0)))
        groups = alike(grid, kind, replays, share)
        print(line(f"{kind.__name__}: halving, {groups} groups a rung", halve(grid, kind, replays, groups)))
        figures = (np.mean([one.steps for one in found]), share, np.mean([one.wrong for one in found]))
        bounds = zip(("steps", "examples", "wrong"), figures, (MOST_STEPS, MOST_EXAMPLES, MOST_WRONG), strict=True)
        missed += [f"{kind.__name__} {name}" for name, figure, most in bounds if figure > most]
    rng, rules = np.random.default_rng(SEED + 1), replace(rules_of(grid, len(grid.arms)), lead=0.0, margin=0.0)
    false = sum(equal_arms(grid, rng, rules) for _ in range(replays))
    print(f"null: some arm stopped in {interval(false, replays)} of races of equal arms, level {100 * rules.level:g} %")
    missed += ["null"] if false > rules.level * replays else []
    verdict = f"missed: {', '.join(missed)}" if missed else "all bounds met"
    print(f"bounds: steps {MOST_STEPS:.0%}, examples {MOST_EXAMPLES:.0%}, wrong {MOST_WRONG:.0%}: {verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
