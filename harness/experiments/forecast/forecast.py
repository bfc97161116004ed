"""Forecasts time, memory, disk, money and statistical power of one experiment file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import environment
from harness.arms import sft_continued
from harness.config import DpoSpec, SftContinuedSpec
from harness.data.prepare import prepare
from harness.experiments import pipeline
from harness.experiments.forecast.calibration import calibrate
from harness.experiments.forecast.history import Past, Rate, past_runs, rate
from harness.experiments.forecast.power import Power, power_of
from harness.experiments.running import plans as run_plans, worker
from harness.experiments.tuning.search import RUNGS
from harness.records import ResolvedExperiment, RunPlan
from harness.results import queries
from harness.store import Store

Say = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Print a line of progress where it does not mix with the result."""
    print(line, file=sys.stderr)


@dataclass(frozen=True, slots=True)
class ArmForecast:
    """What one arm will take, per run. Seconds are wall time on one device; None where nothing is known."""

    arm: str
    method: str
    runs: int
    finished: int
    """Runs that are trained and scored already."""
    train_seconds: float | None = None
    score_seconds: float | None = None
    seconds: float | None = None
    """One run whole: preparation, training, validation, scoring."""
    peak_memory_bytes: int | None = None
    artefact_bytes: int | None = None
    basis: str = ""
    """Where the numbers come from, or why there are none."""
    trials: int = 0
    """Trainings that its tuning still takes; none of them is among `runs`."""
    tuning_seconds: float | None = 0.0
    """Seconds of all these trials on one device; None where nothing is known."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """One experiment, before it runs. Totals are over runs that are not finished, and over arms with a basis."""

    experiment: str
    task: str
    split_sizes: Mapping[str, int]
    groups: int
    """Groups of test examples."""
    seeds: int
    arms: tuple[ArmForecast, ...]
    workers: int
    device_seconds: float | None
    """None when no arm has a basis."""
    wall_seconds: float | None
    peak_memory_bytes: int | None
    """The largest run's."""
    disk_bytes: int | None
    """Artefacts that `keep` keeps."""
    price_per_device_hour: float | None
    money: float | None
    unknown: tuple[str, ...]
    """Arms without a basis."""
    power: Power
    notes: tuple[str, ...]

    @property
    def runs(self) -> int:
        """Runs in all."""
        return sum(arm.runs for arm in self.arms)

    @property
    def finished(self) -> int:
        """Runs that are finished already."""
        return sum(arm.finished for arm in self.arms)


def forecast(
    path: Path, home: Path, *, calibration: bool = False, margin: float | None = None, say: Say = to_stderr
) -> Forecast:
    """Read and prepare the experiment in `path` as `run` does, and say what running it will take; trains nothing.

    `calibration` runs a few steps of each arm without history; `margin` is asked about beside the smallest difference.
    Raises what `run` would raise before it trains: SpecError, DataError, LeakageError, ModelError.
    """
    return _of(pipeline.load(path), home.absolute(), calibration, margin, say)


def forecast_suite(
    path: Path, home: Path, *, calibration: bool = False, margin: float | None = None, say: Say = to_stderr
) -> list[Forecast]:
    """`forecast` of every experiment of a suite file."""
    experiments = pipeline.load_suite(path)
    return [_of(experiment, home.absolute(), calibration, margin, say) for experiment in experiments]


def _of(experiment: ResolvedExperiment, home: Path, calibration: bool, margin: float | None, say: Say) -> Forecast:
    prepared = prepare(experiment, home)
    record, plans = pipeline.stored_plans(experiment, prepared, home)
    store = Store(queries.database(home)) if queries.database(home).exists() else None
    rates = _rates(plans, past_runs(store) if store is not None else [], home if calibration else None, say)
    untuned = pipeline.untuned(experiment, home, record)
    arms = [_arm(own, rates[name], prepared.sizes, name in untuned) for name, own in _by_arm(plans).items()]
    measured = [arm for arm in arms if arm.seconds is not None]
    left = [(arm, arm.runs - arm.finished) for arm in measured]
    tuning_seconds = sum(arm.tuning_seconds or 0.0 for arm in measured)
    device_seconds = sum((arm.seconds or 0.0) * runs for arm, runs in left) + tuning_seconds if measured else None
    workers = run_plans.workers(experiment)
    longest = max((arm.seconds or 0.0 for arm, runs in left if runs), default=0.0)
    price = experiment.spec.resources.price_per_device_hour
    peak = max((arm.peak_memory_bytes for arm in arms if arm.peak_memory_bytes is not None), default=None)
    disk = _disk(experiment, measured) if measured else None
    return Forecast(
        experiment=experiment.name,
        task=experiment.task.name,
        split_sizes=prepared.sizes,
        groups=len(set(prepared.groups.values())),
        seeds=len(experiment.spec.seeds),
        arms=tuple(arms),
        workers=workers,
        device_seconds=device_seconds,
        wall_seconds=None if device_seconds is None else max(longest, device_seconds / workers),
        peak_memory_bytes=peak,
        disk_bytes=disk,
        price_per_device_hour=price,
        money=None if price is None or device_seconds is None else price * device_seconds / 3600,
        unknown=tuple(arm.arm for arm in arms if arm.seconds is None),
        power=power_of(experiment, prepared.groups, store, margin),
        notes=_notes(experiment, peak, disk, home),
    )


def _by_arm(plans: Sequence[RunPlan]) -> dict[str, list[RunPlan]]:
    by_arm: dict[str, list[RunPlan]] = {}
    for plan in plans:
        by_arm.setdefault(plan.arm_name, []).append(plan)
    return by_arm


def _rates(
    plans: Sequence[RunPlan], past: Sequence[Past], calibrate_in: Path | None, say: Say
) -> dict[str, Rate | str]:
    """What each arm takes, or why that is not known."""
    rates: dict[str, Rate | str] = {}
    for name, own in _by_arm(plans).items():
        rates[name] = rate(own[0], past) or "no stored run of this method on this base; --calibrate measures one"
    missing = [name for name, arm_rate in rates.items() if isinstance(arm_rate, str)]
    if calibrate_in is not None and missing:
        rates |= calibrate(plans, missing, calibrate_in, say)
    return rates


def _arm(plans: Sequence[RunPlan], arm_rate: Rate | str, sizes: Mapping[str, int], is_untuned: bool) -> ArmForecast:
    plan = plans[0]
    arm = ArmForecast(
        plan.arm_name, plan.arm.method, len(plans), sum(worker.finished(run) is not None for run in plans)
    )
    if isinstance(arm_rate, str):
        arm = replace(arm, basis=arm_rate)
    else:
        train = _train_seconds(plan, arm_rate)
        score = None if arm_rate.per_test_example is None else arm_rate.per_test_example * sizes["test"]
        arm = replace(
            arm,
            train_seconds=train,
            score_seconds=score,
            seconds=None if score is None or train is None else arm_rate.fixed_seconds + train + score,
            peak_memory_bytes=arm_rate.peak_memory_bytes,
            artefact_bytes=arm_rate.artefact_bytes,
            basis=arm_rate.basis,
        )
    return _with_trials(arm, plan, arm_rate, sizes) if is_untuned else arm


def _with_trials(arm: ArmForecast, plan: RunPlan, arm_rate: Rate | str, sizes: Mapping[str, int]) -> ArmForecast:
    """An arm whose tuning is to come, with what that takes: trainings, and answers to validation examples."""
    tuning = plan.experiment.spec.tuning
    assert tuning is not None
    rungs = [-(-tuning.trials // 3**rung) for rung in range(len(RUNGS))] if tuning.halving else [tuning.trials]
    shares = RUNGS if tuning.halving else (1.0,)
    if isinstance(arm_rate, str) or arm.train_seconds is None or arm_rate.per_test_example is None:
        return replace(arm, trials=sum(rungs), tuning_seconds=None)
    asked = tuning.choose_by == "primary" or isinstance(plan.arm, DpoSpec)
    answered = min(tuning.examples, sizes["validation"]) if asked else 0
    each = arm_rate.fixed_seconds + arm_rate.per_test_example * answered
    trained = sum(count * share for count, share in zip(rungs, shares, strict=True)) * arm.train_seconds
    return replace(arm, trials=sum(rungs), tuning_seconds=sum(rungs) * each + trained)


def _train_seconds(plan: RunPlan, arm_rate: Rate) -> float | None:
    """Seconds of train steps under the experiment's budget; 0 for an arm without training."""
    if arm_rate.per_example is None:
        return 0.0
    budget, share = plan.experiment.spec.budget, 1.0
    if isinstance(plan.arm, (DpoSpec, SftContinuedSpec)) and plan.arm.examples is not None:
        return arm_rate.per_example * plan.arm.examples
    if isinstance(plan.arm, DpoSpec):
        share = 0.5  # pairs: half of the budget, or of what the parent saw
    if isinstance(plan.arm, SftContinuedSpec):  # two examples a pair of the arm that it is held against
        pairs = sft_continued.compared_with(plan).examples
        if pairs is not None:
            return arm_rate.per_example * sft_continued.EXAMPLES_A_PAIR * pairs
    if budget.examples is not None:
        return arm_rate.per_example * budget.examples * share
    if budget.tokens is not None:
        return None if arm_rate.per_token is None else arm_rate.per_token * budget.tokens * share
    return budget.device_seconds


def _disk(experiment: ResolvedExperiment, arms: Sequence[ArmForecast]) -> int:
    """Bytes of the artefacts that stay. `best`: at most the largest one."""
    sizes = [arm.artefact_bytes or 0 for arm in arms]
    keep = experiment.spec.keep
    if keep == "none":
        return 0
    if keep == "best":
        return max(sizes, default=0)
    kept = [arm for arm in arms if keep == "all" or arm.method != "full"]
    return sum((arm.artefact_bytes or 0) * arm.runs for arm in kept)


def _notes(experiment: ResolvedExperiment, peak: int | None, disk: int | None, home: Path) -> tuple[str, ...]:
    notes = []
    memory = environment.hardware()["memory_bytes"]
    at_once = run_plans.workers(experiment)
    on_cpu = run_plans.device_of(experiment) == "cpu"
    if on_cpu and peak is not None and peak * at_once > memory:
        notes.append(f"{at_once} runs at a time may need more memory than this machine's {memory / 1e9:.1f} GB")
    if disk is not None and disk > shutil.disk_usage(home).free:
        notes.append("the artefacts do not fit the free space of this disk; `keep:` keeps fewer")
    return tuple(notes)
