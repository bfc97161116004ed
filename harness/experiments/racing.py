"""Races the arms of an experiment: trains all seeds rung by rung, scores them on validation, stops the arms behind.

Trainings stop at a rung with a checkpoint and go on from it, to the same bits as one that never stopped.
`stats.elimination` decides from the scores in the run folders (`rungs.py`), whatever executor made them; a killed race
goes on where it was, and a finished one is part of the experiment's record and is not run again. A plan of a race does
not say where the test split lies.

Trained arms that start from the base take part. A DPO arm (or its control) runs after the race, if its parent survived.
The reference arm is scored and never stopped: the leaderboard compares with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness import arms, environment
from harness.arms import artefacts
from harness.config import ContinuedBase
from harness.errors import DataError, SpecError
from harness.experiments.evaluation import rungs
from harness.experiments.running import ingest, worker
from harness.experiments.running.context import RunContext
from harness.metrics.user_metrics import known_metric
from harness.records import Race, RaceArm, ResolvedExperiment, Rung, RungScores, RunPlan, RunRecord
from harness.stats import elimination
from harness.stats.clusters import Floats

LOSS_CLIP = 0.5
"""Largest difference of two arms that counts on one example when the metric is the loss, in nats a token."""
LEAD = 0.1
"""Default lead that stops an arm, as a fraction of the clip."""


def rules(experiment: ResolvedExperiment, entrants: int) -> elimination.Rules:
    """The rules of an experiment's race, defaults filled in.

    Raises SpecError for a metric without a value for each example, or without a range where no clip is given.
    """
    spec, task = experiment.spec.racing, experiment.task
    assert spec is not None
    margin, clip = spec.margin, spec.clip

    def refusal(message: str, field: str, hint: str) -> SpecError:
        return SpecError(message, file=experiment.file.name, field=f"racing.{field}", hint=hint)

    if spec.metric == "loss":
        margin, clip = margin or 0.0, clip or LOSS_CLIP
    else:
        primary = known_metric(task.metrics.primary, experiment.task_dir, sensitive=task.sensitive)
        if primary.suite != "test" or primary.combine is not None:
            why = "has no value for each example" if primary.combine is not None else "is not measured on validation"
            raise refusal(f"the primary metric {primary.name} {why}", "metric", "Write `racing: {metric: loss}`")
        low, high = primary.bounds if primary.bounds is not None else (None, None)
        if clip is None and (low is None or high is None):
            raise refusal(f"{primary.name} has no range", "clip", "Say how far apart two arms can count on an example")
        clip = clip if clip is not None else float(high) - float(low)  # type: ignore[arg-type]
        declared = experiment.spec.winner.margin if experiment.spec.winner is not None else 0.0
        margin = declared if margin is None else margin
    lead = LEAD * clip if spec.lead is None else spec.lead
    if margin + lead >= clip:
        raise refusal(
            f"no difference can be {margin + lead:g}, as it is clipped to {clip:g}", "clip", "Give a larger one"
        )
    kept = (experiment.spec.reference,)
    return elimination.Rules(
        tuple(spec.rungs), entrants, spec.level, margin, clip, lead, spec.least, spec.examples, kept=kept
    )


def check(experiment: ResolvedExperiment) -> None:
    """Raise SpecError where the race of an experiment cannot be run."""
    if experiment.spec.racing is None:
        return
    entrants = [arm for arm in experiment.arms if arms.is_trained(arm) and not isinstance(arm, ContinuedBase)]
    if len(entrants) < 2:
        raise SpecError(
            "a race takes two trained arms at least",
            file=experiment.file.name,
            field="racing",
            hint="Leave `racing` out, or add arms (DPO arms are not in it)",
        )
    rules(experiment, len(entrants))


def race(
    experiment: ResolvedExperiment, plans: Sequence[RunPlan], context: RunContext, before: Callable[[], None]
) -> list[RunPlan]:
    """The plans that go on to their end; what the race did is stored with the experiment.

    `before` is called once, if there is anything to train.
    """
    decided = ingest.read_experiment(context.home, context.record.experiment_id)
    done = decided.race if decided is not None else None
    if done is None:
        done = _Driver(experiment, plans, context, before).run()
        ingest.race(context.store, context.home, context.record, done)
    out = {arm.arm for arm in done.arms if arm.outcome in ("eliminated", "not_run")}
    return [plan for plan in plans if plan.arm_name not in out]


class _Driver:
    """A race that is going on."""

    def __init__(
        self, experiment: ResolvedExperiment, plans: Sequence[RunPlan], context: RunContext, before: Callable[[], None]
    ) -> None:
        assert experiment.spec.racing is not None
        self.experiment, self.context, self._before = experiment, context, before
        self.plans: dict[str, list[RunPlan]] = {}
        for plan in plans:
            if plan.seed is not None and plan.fraction == 1:
                self.plans.setdefault(plan.arm_name, []).append(plan)
        self.left_out: dict[str, str] = {}
        """Arm → why it is not in the race, or no more."""
        self.alive = [arm for arm in self.plans if self._enters(arm)]
        self.rules = rules(experiment, len(self.alive))
        task = experiment.task
        primary = known_metric(task.metrics.primary, experiment.task_dir, sensitive=task.sensitive)
        by_loss = experiment.spec.racing.metric == "loss"
        self.metric = "loss" if by_loss else str(task.metrics.primary)
        self.sign = -1.0 if by_loss or primary.direction == "lower" else 1.0
        self.runs: dict[str, RunRecord] = {}
        """Training → its record at the last rung that it came to."""
        self.stopped: dict[str, tuple[int, elimination.Stop]] = {}
        """Arm → the rung where it was stopped, and why."""
        self.examples = dict.fromkeys(self.plans, 0)
        self.seconds = 0.0
        self._begun = False

    def _enters(self, arm: str) -> bool:
        plans = self.plans[arm]
        if isinstance(plans[0].arm, ContinuedBase):
            return False
        if any(worker.finished(plan) or artefacts.read_result(plan.run_folder) for plan in plans):
            self.left_out[arm] = "trained before the race"
        return arm not in self.left_out

    # -------------------------------------------------------------------------------------------------- the race

    def run(self) -> Race:
        """Rung after rung; then what became of every arm."""
        stops, scored = self.stopped, dict[str, int]()
        for number, share in enumerate(self.rules.shares):
            if len(self.alive) < 2:
                break
            self._round(self.alive, Rung(number, share, 0, 0))
            self.alive = [arm for arm in self.alive if arm not in self.left_out]
            groups = len(rungs.by_group(next(iter(self.plans.values()))[0]))
            if groups == 0:
                raise DataError("a race needs validation examples", hint="Give the task a validation split")
            result = elimination.run_rung(self.alive, self.rules, number, self._scores(number, share), groups)
            scored[f"{share:g}"] = sum(result.scored.values())
            for stop in result.stopped:
                stops[stop.arm] = (number, stop)
                self.context.reporter.say(f"{stop.arm}: {elimination.reason(self._arm(stop.arm), self.metric)}")
            self.alive = [arm for arm in self.alive if arm not in stops and arm not in self.left_out]
        outcomes = tuple(self._arm(arm) for arm in self.plans)
        for outcome in outcomes:
            self._close(outcome)
        return Race(
            metric=self.metric,
            shares=self.rules.shares,
            level=self.rules.level,
            margin=self.rules.margin,
            lead=self.rules.lead,
            clip=self.rules.clip,
            arms=outcomes,
            seconds=self.seconds,
            created=environment.now(),
            scored=scored,
        )

    def _scores(self, number: int, share: float) -> elimination.Score:
        def ask(entrants: Sequence[str], first: int, end: int) -> Mapping[str, Floats]:
            scores = self._round(entrants, Rung(number, share, first, end))
            none = np.full(end - first, np.nan)
            return {arm: none if arm in self.left_out else self._value(arm, scores) for arm in entrants}

        return ask

    def _value(self, arm: str, scores: Mapping[str, RungScores]) -> Floats:
        """Mean over an arm's seeds of each group, higher being better; NaN where one of them has no value."""
        rows = [
            [np.nan if value is None else value for value in scores[plan.train_id].values] for plan in self.plans[arm]
        ]
        return np.asarray(self.sign * np.asarray(rows, dtype=np.float64).mean(axis=0))

    def _round(self, entrants: Sequence[str], rung: Rung) -> dict[str, RungScores]:
        """Training → scores of what `rung` asks for; an arm of which a training fails leaves the race."""
        asked: dict[str, RunPlan] = {}
        for arm in entrants:
            for plan in self.plans[arm]:
                asked.setdefault(plan.train_id, replace(worker.without_test(plan), rung=rung))
        known = {train_id: worker.finished(plan) for train_id, plan in asked.items()}
        outcomes = {train_id: outcome for train_id, outcome in known.items() if outcome is not None}
        waiting = [plan for train_id, plan in asked.items() if train_id not in outcomes]
        if waiting and not self._begun:
            self._begun = True
            self._before()
        outcomes |= {outcome.run.train_id: outcome for outcome in self.context.execute(waiting)}
        scores: dict[str, RungScores] = {}
        for train_id, outcome in outcomes.items():
            if outcome.rung is not None:
                scores[train_id], self.runs[train_id] = outcome.rung, outcome.run
                self.seconds += outcome.rung.seconds
        for arm in entrants:
            for plan in self.plans[arm]:
                if plan.train_id not in scores:
                    self.left_out[arm] = f"{outcomes[plan.train_id].run.status} at {rung.share:.3g} of the budget"
                else:
                    self.examples[arm] += scores[plan.train_id].examples
        return scores

    # --------------------------------------------------------------------------------------------- what came of it

    def _arm(self, arm: str) -> RaceArm:
        plans, stop = self.plans[arm], self.stopped.get(arm)
        runs = [self.runs[plan.train_id] for plan in plans if plan.train_id in self.runs]
        steps, examples = sum(run.ledger.optimiser_steps for run in runs), self.examples[arm]
        if stop is not None:
            number, decision = stop
            return RaceArm(
                arm=arm,
                outcome="eliminated",
                seeds=len(plans),
                share=self.rules.shares[number],
                steps=steps,
                examples=examples,
                against=decision.against,
                difference=self.sign * decision.difference,
                bound=self.sign * decision.bound,
                groups=decision.groups,
            )
        parent = plans[0].arm.parent if isinstance(plans[0].arm, ContinuedBase) else None
        if parent is not None and parent in self.stopped:
            why = f"not run: it starts from {parent}, which was stopped by racing"
            return RaceArm(arm, "not_run", len(plans), 0.0, 0, 0, words=why)
        if parent is not None:
            return RaceArm(arm, "not_raced", len(plans), 1.0, 0, 0, words=f"starts from {parent}")
        if arm in self.left_out:
            return RaceArm(arm, "not_raced", len(plans), 1.0, steps, examples, words=self.left_out[arm])
        return RaceArm(arm, "survived", len(plans), 1.0, steps, examples)

    def _close(self, outcome: RaceArm) -> None:
        """Write down that an arm was stopped, with its runs."""
        if outcome.outcome not in ("eliminated", "not_run"):
            return
        why = elimination.reason(outcome, self.metric)
        for plan in self.plans[outcome.arm]:
            run = self.runs.get(plan.train_id) or worker.not_run(plan, why).run
            record = worker.eliminate(plan, run, why)
            ingest.outcome(self.context.store, self.context.record, plan, worker.Outcome(record, None))
