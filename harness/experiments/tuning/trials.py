"""Trains the tuning trials of every trained arm, scores them on validation only, and takes each arm's best setting.

A trial's plan does not say where the test split lies. A round is what may be trained at once: all arms together, DPO
arms after the arms that they start from, and a DPO arm's control after it. Everything is read back from run folders
first, so a killed tuning goes on where it was; once an arm is decided, its trials are a file
(`experiments/ID/trials/ARM.json`) and are not run again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import arms
from harness.config import ArmSpec, BudgetSpec, ContinuedBase, DpoSpec, Search, SftContinuedSpec, TuningSpec
from harness.experiments.running import ingest, worker
from harness.experiments.running.context import RunContext
from harness.experiments.tuning import search as tuning
from harness.metrics.user_metrics import known_metric
from harness.records import ResolvedExperiment, RunPlan, Trial, from_json, to_json
from harness.records.files import read_json, write_json

MakePlan = Callable[[ResolvedExperiment, ArmSpec, str | None, Mapping[str, Any]], RunPlan]
"""(experiment with the trial's budget, arm with its values, parent's train_id, what the trial is) → its plan."""


def decided_file(home: Path, experiment_id: str, arm: str) -> Path:
    """The file of the trials of a decided arm."""
    return home / "experiments" / experiment_id / "trials" / f"{arm}.json"


def decided(home: Path, experiment_id: str, arm: str) -> list[Trial] | None:
    """The trials of an arm, the choice marked; None where it is not decided."""
    file = decided_file(home, experiment_id, arm)
    return [from_json(Trial, row) for row in read_json(file)] if file.exists() else None


@dataclass(slots=True)
class _State:
    """An arm that is being tuned."""

    arm: ArmSpec
    search: Search
    parent: str | None = None
    trials: list[Trial] = field(default_factory=list)
    plans: dict[str, RunPlan] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.arm.name)


def tune(
    experiment: ResolvedExperiment, plan: MakePlan, context: RunContext, before: Callable[[], None]
) -> tuple[ArmSpec, ...]:
    """The experiment's arms with the chosen settings. `before` is called once, if there is anything to train.

    An arm none of whose trials ended well keeps its recipe.
    """
    driver = _Driver(experiment, plan, context, before)
    trained = [arm for arm in experiment.arms if arms.is_trained(arm)]
    first = [arm for arm in trained if not isinstance(arm, ContinuedBase)]
    # A control is given what its DPO arm is given, which follows from that arm's chosen setting.
    for stage in (first, [arm for arm in trained if not isinstance(arm, SftContinuedSpec)], trained):
        driver.stage([arm for arm in stage if arm.name not in driver.chosen])
    return tuple(driver.with_tuned_settings(arm) for arm in experiment.arms)


class _Driver:
    """The arms that are decided, and the rounds of those that are not."""

    def __init__(
        self, experiment: ResolvedExperiment, plan: MakePlan, context: RunContext, before: Callable[[], None]
    ) -> None:
        assert experiment.spec.tuning is not None
        self.experiment, self.plan, self.context, self._before = experiment, plan, context, before
        self.tuning: TuningSpec = experiment.spec.tuning
        task = experiment.task
        self.metric = known_metric(task.metrics.primary, experiment.task_dir, sensitive=task.sensitive)
        self.chosen: dict[str, Trial | None] = {}
        self._begun = False

    def with_tuned_settings(self, arm: ArmSpec) -> ArmSpec:
        """An arm with its chosen values."""
        trial = self.chosen.get(str(arm.name))
        return arm if trial is None else tuning.apply(arm, trial.values)

    def stage(self, stage: Sequence[ArmSpec]) -> None:
        """Tune these arms side by side, rung after rung, round after round."""
        states = [state for arm in stage if (state := self._start(arm)) is not None]
        for rung in range(len(tuning.RUNGS)) if self.tuning.halving else [0]:
            while True:
                plans = [plan for state in states for plan in self._next(state, rung)]
                if not plans:
                    break
                self._round(states, plans)
        for state in states:
            self._decide(state)

    def _start(self, arm: ArmSpec) -> _State | None:
        """An arm to tune; None for one that is decided already."""
        name = str(arm.name)
        trials = decided(self.context.home, self.context.record.experiment_id, name)
        if trials is not None and not self.context.retry:
            self.context.store.ingest(trials)
            self.chosen[name] = next((trial for trial in trials if trial.chosen), None)
            return None
        parent = None
        if isinstance(arm, ContinuedBase):
            best = self.chosen.get(arm.parent)
            parent = best.train_id if best is not None else f"untuned-{arm.parent}"
        return _State(arm, tuning.space(arm, self.tuning), parent)

    def _next(self, state: _State, rung: int) -> list[RunPlan]:
        """The plans of an arm's next trials on a rung; empty when it has had them all."""
        here = [trial for trial in state.trials if trial.rung == rung]
        if rung == 0:
            results = [tuning.TrialResult(trial.values, self._result(state, trial)) for trial in here]
            proposed = tuning.propose(state.arm, state.search, results, self.tuning)
            next_values = dict(enumerate(proposed, len(results)))
        elif here:
            return []
        else:
            below = [(trial.number, self._result(state, trial)) for trial in state.trials if trial.rung == rung - 1]
            numbers = tuning.survivors(below, self.tuning.trials, rung)
            values = {trial.number: dict(trial.values) for trial in state.trials if trial.rung == 0}
            next_values = {number: values[number] for number in numbers}
        return [self._plan(state, number, values, rung) for number, values in next_values.items()]

    def _plan(self, state: _State, number: int, values: tuning.Values, rung: int) -> RunPlan:
        share = tuning.RUNGS[rung] if self.tuning.halving else 1.0
        arm = reduced_arm(tuning.apply(state.arm, values), share)
        # A control looks up here what its DPO arm is given.
        others = tuple(reduced_arm(self.with_tuned_settings(other), share) for other in self.experiment.arms)
        spec = self.experiment.spec
        spec = spec.model_copy(update={"budget": reduced(spec.budget, share)})
        trial = {
            "number": number,
            "rung": rung,
            "share": share,
            "values": values,
            "space": to_json(state.search),
            "stock": values == tuning.stock(state.arm, state.search),
        }
        plan = self.plan(replace(self.experiment, spec=spec, arms=others), arm, state.parent, trial)
        state.plans[plan.train_id] = plan
        return plan

    # --------------------------------------------------------------------------------------------------- rounds

    def _round(self, states: Sequence[_State], plans: Sequence[RunPlan]) -> None:
        """Run the plans that are not finished, and note every outcome as it comes."""
        owners: dict[str, list[_State]] = defaultdict(list)
        for state in states:
            for train_id in state.plans:
                owners[train_id].append(state)
        outcomes: dict[str, worker.Outcome] = {}
        waiting: list[RunPlan] = []
        for plan in plans:
            outcome = worker.finished(plan)
            if outcome is not None:
                outcomes[plan.train_id] = outcome
            elif plan.train_id not in {other.train_id for other in waiting}:
                waiting.append(plan)
        if waiting and not self._begun:
            self._begun = True
            self._before()
        for train_id, outcome in outcomes.items():
            self._note(train_id, owners[train_id], outcome)
        for number, outcome in enumerate(self.context.execute(waiting), 1):
            line = self._note(outcome.run.train_id, owners[outcome.run.train_id], outcome)
            self.context.reporter.say(f"[{number}/{len(waiting)}] {line}")
        for state in states:
            state.trials.sort(key=lambda trial: (trial.rung, trial.number))

    def _note(self, train_id: str, states: Sequence[_State], outcome: worker.Outcome) -> str:
        """Store a trial for every arm that it answers for; a line that says what became of it."""
        line = ""
        for state in states:
            plan = state.plans.pop(train_id)
            trial = self._trial(state, plan, outcome)
            state.trials.append(trial)
            ingest.trial(self.context.store, plan, outcome.run, trial)
            line = f"{describe(trial)}: {verdict(trial)}"
        return line

    def _trial(self, state: _State, plan: RunPlan, outcome: worker.Outcome) -> Trial:
        run, validation = outcome.run, outcome.validation
        status = run.status if run.status != "ok" or validation is not None else "failed"
        assert plan.seed is not None
        return Trial(
            experiment_id=self.context.record.experiment_id,
            arm=state.name,
            train_id=run.train_id,
            seed=plan.seed,
            status=status,
            error=run.error,
            metric=self.metric.name,
            value=validation.value if validation else None,
            loss=validation.loss if validation else None,
            validated=validation.examples if validation else 0,
            examples=run.ledger.examples,
            seconds=worker.spent(run.ledger) + (validation.seconds if validation else 0.0),
            **plan.trial,
        )

    def _result(self, state: _State, trial: Trial) -> float | None:
        return tuning.result(trial, state.arm, self.tuning, self.metric.direction)

    def _decide(self, state: _State) -> None:
        """Choose, mark the choice and whether it lies on the edge, and write all of it down."""
        best = tuning.best(state.trials, [self._result(state, trial) for trial in state.trials])
        trials = state.trials
        if best is not None:
            best = replace(best, chosen=True, edge=tuning.edge(best, trials))
            trials = [best if (t.number, t.rung) == (best.number, best.rung) else t for t in trials]
        self.chosen[state.name] = best
        self.context.store.ingest(trials)
        write_json(decided_file(self.context.home, self.context.record.experiment_id, state.name), trials)
        if best is None:
            self.context.reporter.say(f"{state.name}: no trial ended well; its recipe stays as it is")
        else:
            at_edge = f"; {', '.join(best.edge)} at the edge of what was tried" if best.edge else ""
            self.context.reporter.say(f"{state.name}: takes {settings(best.values)}{at_edge}")


def reduced_arm(arm: ArmSpec, share: float) -> ArmSpec:
    """An arm with a share of the examples that it names itself."""
    if share == 1 or not isinstance(arm, (DpoSpec, SftContinuedSpec)) or arm.examples is None:
        return arm
    return arm.model_copy(update={"examples": max(1, round(arm.examples * share))})


def reduced(budget: BudgetSpec, share: float) -> BudgetSpec:
    """A share of a budget."""
    if share == 1:
        return budget
    parts = {name: share * amount for name, amount in budget.model_dump(exclude_none=True).items()}
    counts = {name: max(1, round(part)) for name, part in parts.items() if name != "device_seconds"}
    return BudgetSpec(**{**parts, **counts})


def settings(values: Mapping[str, Any]) -> str:
    """`learning_rate 0.004, r 16`."""
    texts = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())


def describe(trial: Trial) -> str:
    """A trial in a few words."""
    share = "" if trial.share == 1 else f", {trial.share:.0%} of the budget"
    return f"{trial.arm}, trial {trial.number} ({settings(trial.values)}{share})"


def verdict(trial: Trial) -> str:
    """The validation result of a trial, or its error, in words."""
    if trial.status != "ok":
        return f"{trial.status}: {trial.error}"
    parts = [f"{trial.metric} {trial.value:.4g} on validation"] if trial.value is not None else []
    parts += [f"validation loss {trial.loss:.4g}"] if trial.loss is not None else []
    return ", ".join(parts)
