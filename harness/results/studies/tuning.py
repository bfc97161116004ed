"""What tuning tried for each arm, what it chose, whether that lies on the edge, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.metrics import of_task
from harness.records import ExperimentRecord, Trial
from harness.results.collect import Results
from harness.results.leaderboard.costs import Cost


@dataclass(frozen=True, slots=True)
class ArmTuning:
    """The trials of one arm."""

    arm: str
    trials: tuple[Trial, ...]
    seconds: float
    """Wall seconds of all trials."""
    full_trials: float
    """What was spent, in trainings within the whole budget; less than the number of trials with halving."""

    @property
    def chosen(self) -> Trial | None:
        """The trial that the finals take their setting from."""
        return next((trial for trial in self.trials if trial.chosen), None)

    @property
    def settings(self) -> int:
        """Distinct settings tried: what is equal for all arms."""
        return len({trial.number for trial in self.trials})


@dataclass(frozen=True, slots=True)
class TuningReport:
    """Tuning of one experiment."""

    experiment: ExperimentRecord
    primary: str
    direction: str
    arms: tuple[ArmTuning, ...]
    looks: int
    """Looks at the test split that any trial took."""


def arm_tunings(trials: Sequence[Trial]) -> tuple[ArmTuning, ...]:
    """Trials by arm, in the order in which arms were first stored."""
    by_arm: dict[str, list[Trial]] = {}
    for trial in trials:
        by_arm.setdefault(trial.arm, []).append(trial)
    tunings = []
    for arm, rows in by_arm.items():
        rows.sort(key=lambda trial: (trial.rung, trial.number))
        tunings.append(ArmTuning(arm, tuple(rows), sum(t.seconds for t in rows), sum(t.share for t in rows)))
    return tuple(tunings)


def tuning_report(results: Results) -> TuningReport:
    """The tuning of an experiment; no arms when it had none."""
    primary = str(results.experiment.task["metrics"]["primary"])
    return TuningReport(
        experiment=results.experiment,
        primary=primary,
        direction=of_task(primary, results.experiment.task).direction,
        arms=arm_tunings(results.trials),
        looks=results.trial_looks,
    )


def with_tuning(
    cost: Cost | None, arm: str, experiment: ExperimentRecord, tunings: Mapping[str, ArmTuning]
) -> Cost | None:
    """A cost with the number of tuning trials and their seconds; with its parent, the parent's trials too."""
    own = tunings.get(arm)
    if cost is None or own is None:
        return cost

    def tuned(cost: Cost, arms: Sequence[ArmTuning]) -> Cost:
        return replace(cost, trials=sum(arm.settings for arm in arms), tuning_seconds=sum(arm.seconds for arm in arms))

    written = [spec for spec in experiment.spec.get("arms", []) if isinstance(spec, Mapping)]
    parents = {str(spec.get("name") or spec["method"]): str(spec["parent"]) for spec in written if spec.get("parent")}
    parent = tunings.get(parents.get(arm, ""))
    whole = cost.with_parent and tuned(cost.with_parent, [own] if parent is None else [own, parent])
    return replace(tuned(cost, [own]), with_parent=whole)


def notes(own: ArmTuning | None) -> tuple[str, ...]:
    """What the leaderboard says of an arm's tuning."""
    if own is None:
        return ()
    if own.chosen is None:
        return (f"none of {own.settings} tuning trials ended well: trained as the recipe says",)
    lines = [f"tuned by {own.settings} trials on validation: {settings(own.chosen.values)}"]
    if own.chosen.edge:
        lines.append(f"at the edge of what tuning tried, the best may lie beyond: {', '.join(own.chosen.edge)}")
    return tuple(lines)


def settings(values: Mapping[str, Any]) -> str:
    """`learning_rate 0.004, r 16`."""
    return ", ".join(f"{name} {setting(value)}" for name, value in values.items())


def setting(value: Any) -> str:
    """A value of a setting."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def searched(space: Any) -> str:
    """`0.0004 to 0.04, by ratio`, or the choices."""
    if isinstance(space, Mapping):
        return f"{setting(space['low'])} to {setting(space['high'])}" + (", by ratio" if space.get("log") else "")
    return "one of " + ", ".join(map(setting, space))
