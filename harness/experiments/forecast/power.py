"""Computes the smallest difference that a test split and its seeds can show, and which margins a gate can pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from harness import stats
from harness.arms import is_trained
from harness.metrics import Metric
from harness.metrics.user_metrics import known_metric
from harness.records import ExperimentRecord, Question, ResolvedExperiment, WinnerRule
from harness.results.collect import by_arm, collect, scored
from harness.results.estimator import Estimator, Series, series, tabulate
from harness.results.winner import rules

if TYPE_CHECKING:
    from harness.store import Store

POWER = 0.8
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Power:
    """What can be told apart on the primary metric, in its unit. None where no spread is known; `basis` says why."""

    metric: str
    examples: int
    groups: int
    seeds: int
    question: Question
    basis: str
    """Where the spread comes from, in words."""
    smallest: float | None = None
    """True difference of two arms that a 95 % interval excludes 0 for, with 80 % power."""
    smallest_in_verdict: float | None = None
    """The same at the level of the winner rule's comparisons, which allow for the number of arms."""
    least_margin: float | None = None
    """A non-inferiority margin below this cannot pass even when the two arms score alike: half the 95 % interval."""
    margin: float | None = None
    """The margin that was asked about."""
    margin_examples: int | None = None
    """Test examples in all with which a difference of `margin` is found, or a gate with it passes an equal candidate,
    with 80 % power."""
    margin_seeds: int | None = None
    """Seeds that do the same with the test examples that there are; methods only."""
    margin_out_of_reach: bool = False
    """No number of test examples alone is enough for `margin`: the seeds spread too much."""


@dataclass(frozen=True, slots=True)
class KnownSpread:
    """Spreads of pairs of arms, and how many clusters the test split is worth."""

    spreads: tuple[stats.Spread, ...]
    clusters: int
    basis: str


def power_of(
    experiment: ResolvedExperiment, groups: Mapping[str, str], store: Store | None, margin: float | None = None
) -> Power:
    """What the experiment will be able to show, from stored scores of the same task, else from the worst case.

    `groups`: test example → group. Reads stored scores only, each counted as a test-set evaluation when it was made.
    """
    task = experiment.task
    metric = known_metric(task.metrics.primary, experiment.task_dir, sensitive=task.sensitive)
    winner = experiment.spec.winner
    rule = WinnerRule() if winner is None else WinnerRule(winner.margin, winner.cost, winner.estimand)
    trained = any(map(is_trained, experiment.arms))
    question = rules.question(rule, [len(experiment.spec.seeds)] if trained else [])
    known_spread = _from_history(experiment, metric, groups, store) or _worst_case(metric, groups)
    plain = Power(
        metric=metric.name,
        examples=len(groups),
        groups=len(set(groups.values())),
        seeds=len(experiment.spec.seeds),
        question=question,
        basis=known_spread if isinstance(known_spread, str) else known_spread.basis,
        margin=margin,
    )
    if isinstance(known_spread, str):
        return plain
    if question == "method" and any(spread.seed is None for spread in known_spread.spreads):
        more = "; how far seeds lie apart is not known yet, so this is about checkpoints, and methods need more"
        question, known_spread = "checkpoints", replace(known_spread, basis=known_spread.basis + more)
    if question == "method":
        rough = "; the seeds of one run show their own spread roughly: an order of magnitude"
        known_spread = replace(known_spread, basis=known_spread.basis + rough)
    return with_numbers(plain, known_spread, question, len(experiment.arms))


def with_numbers(plain: Power, known_spread: KnownSpread, question: Question, arms: int) -> Power:
    """The plan's figures from what is known of the spread: those of the pair of arms in the middle."""
    from scipy.special import stdtrit

    design = stats.Design(known_spread.clusters, plain.seeds, question)
    sized = []
    for spread in known_spread.spreads:
        try:
            sized.append((stats.detectable_difference(spread, design, power=POWER, level=LEVEL), spread))
        except ValueError:
            continue
    if not sized:
        return replace(plain, basis=f"{known_spread.basis}: no spread was seen, or the test split has one group")
    sized.sort(key=lambda pair: pair[0])
    smallest, spread = sized[len(sized) // 2]
    error, freedom = stats.planned_error(spread, design)
    strict = 1 - (1 - LEVEL) / max(1, arms - 1)
    result = replace(
        plain,
        question=question,
        basis=known_spread.basis,
        smallest=smallest,
        smallest_in_verdict=stats.detectable_difference(spread, design, power=POWER, level=strict),
        least_margin=float(stdtrit(freedom, 0.5 + LEVEL / 2)) * error,
    )
    if not plain.margin:
        return result
    examples = stats.examples_needed(spread, design, plain.margin, power=POWER, level=LEVEL)
    seeds = stats.seeds_needed(spread, design, plain.margin, power=POWER, level=LEVEL) if question == "method" else None
    if examples is not None and known_spread.clusters < plain.groups:  # clusters of unequal size are worth fewer
        examples = round(examples * plain.groups / known_spread.clusters)
    return replace(result, margin_examples=examples, margin_seeds=seeds, margin_out_of_reach=examples is None)


# ----------------------------------------------------------------------------------------------- where spreads come


def _from_history(
    experiment: ResolvedExperiment, metric: Metric, groups: Mapping[str, str], store: Store | None
) -> KnownSpread | None:
    """Spreads of the pairs of arms of the newest stored experiment on this task and metric."""
    for record in reversed(store.experiments() if store is not None else []):
        task = record.task
        if task.get("name") != experiment.task.name or task["metrics"]["primary"] != metric.name or store is None:
            continue
        arms = _series(store, record, metric)
        trained = [arm for arm in arms if arm.trained]
        pool = trained if len(trained) > 1 else arms
        judge = Estimator(record.groups, 0)
        spreads = [judge.spread(metric, a, b) for a, b in combinations(pool, 2)]
        good = tuple(spread for spread in spreads if spread is not None and spread.cluster > 0)
        if good:
            which = "trained arms" if len(trained) > 1 else "arms"
            basis = f"spread between {which} of the stored experiment {record.name} ({record.created})"
            return KnownSpread(good, len(set(groups.values())), basis)
    return None


def _series(store: Store, record: ExperimentRecord, metric: Metric) -> list[Series]:
    results = collect(store, record.experiment_id)
    table = tabulate(results.scores)
    result = []
    for entries in by_arm(results.entries).values():
        good = scored(entries)
        trained = any(entry.seed is not None for entry in good)
        arm_series = series(table, [entry.eval_id for entry in good if entry.eval_id], metric.name, trained)
        if not isinstance(arm_series, str):
            result.append(arm_series)
    return result


def _worst_case(metric: Metric, groups: Mapping[str, str]) -> KnownSpread | str:
    """A bounded metric's: each arm's scores spread as far as they can (half right, half wrong), the two arms do not
    agree more than by chance, and examples of one group are alike."""
    if metric.kind == "corpus" or metric.bounds is None or metric.suite != "test":
        return (
            f"how far {metric.name} spreads is not known before something is scored: it has no worst case; "
            "run one experiment on this task, and the plan reads its scores"
        )
    reach = metric.bounds[1] - metric.bounds[0]
    sizes: Sequence[int] = list(Counter(groups.values()).values())
    worth = sum(sizes) ** 2 / sum(size**2 for size in sizes)
    basis = (
        f"worst case of a metric in [{metric.bounds[0]:g}, {metric.bounds[1]:g}] (no stored scores of this task): "
        "every score is as low or as high as can be, the arms agree by chance only, examples of one group are alike"
    )
    spread = stats.assumed_spread(reach / 2**0.5, examples_per_cluster=len(groups) / len(sizes), intraclass=1.0)
    return KnownSpread((spread,), max(1, int(worth)), basis)
