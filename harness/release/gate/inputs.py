"""The run that a gate judges, read from the store: its scores and measures, and what the rules ask for beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.config import GateRule
from harness.config.gates import HUMAN
from harness.metrics.external import own_metric
from harness.progress import Reporter
from harness.records import Entry, Evaluation, ExperimentRecord, Prediction, Round, RunRecord, Score, ServingPass
from harness.records.release import Release, Scored
from harness.release import baselines
from harness.release.gate.evidence import GateInputs
from harness.release.gate.measures import measures
from harness.results import stored
from harness.results.human.votes import RoundVotes, joined
from harness.store import Store


@dataclass(frozen=True, slots=True)
class ScoringContext:
    """Where models are scored before a gate judges, and by which experiment file."""

    home: Path
    """Absolute."""
    baseline: Release
    experiment: Path | None
    """The experiment file that was named; None: the one that the baseline's run was made with."""
    reporter: Reporter


@dataclass(frozen=True, slots=True)
class CandidateRun:
    """A run in a store."""

    store: Store
    home: Path
    experiment: ExperimentRecord
    entry: Entry
    run: RunRecord

    @property
    def name(self) -> str:
        """EXPERIMENT/ARM, with @SEED where it was trained."""
        seed = "" if self.entry.seed is None else f"@{self.entry.seed}"
        return f"{self.experiment.name}/{self.entry.arm}{seed}"


def scored(candidate: CandidateRun) -> Scored:
    """An evaluation as a gate sees it, with the run's costs and serving figures."""
    experiment, entry = candidate.experiment, candidate.entry
    # One opening of the database in place of four.
    with candidate.store.session() as session:
        [evaluation] = session.read(Evaluation, "eval_id = $1", [entry.eval_id])
        rows = (
            session.read(Score, "eval_id = $1", [entry.eval_id]),
            session.read(Prediction, "eval_id = $1", [entry.eval_id]),
        )
        passes = session.read(ServingPass, "experiment_id = $1", [experiment.experiment_id])
    own = {name: own_metric(name, declared) for name, declared in (experiment.task.get("own_metrics") or {}).items()}
    result = baselines.scored(experiment, entry, evaluation, candidate.run, rows, own)
    return replace(result, measures=measures(experiment, entry, candidate.run, passes))


def with_lookups(
    inputs: GateInputs, candidate: CandidateRun, rules: Sequence[GateRule], *, hide: bool = False
) -> GateInputs:
    """`inputs` with what the rules ask for beside scores; with `hide` ids of examples are hashed as in a baseline."""
    if any(rule.against == "untrained" for rule in rules):
        untrained = _untrained(candidate)
        if hide and not isinstance(untrained, str):
            untrained = baselines.hidden(untrained)
        inputs = replace(inputs, untrained=untrained)
    if any(rule.slice is not None for rule in rules):
        examples = stored.sealed_examples(candidate.home.absolute(), candidate.experiment)
        columns = {example.id: example.fields for example in examples.values()}
        if hide:
            columns = {baselines.hidden_name(inputs.candidate.suite, "item", k): v for k, v in columns.items()}
        why = f"the sealed test split is not under {candidate.home.name}, so no slice can be made"
        inputs = replace(inputs, columns=columns or f"{why}; run the experiment again")
    if any(rule.flag is not None or rule.metric == HUMAN for rule in rules):
        inputs = replace(inputs, votes=_votes(candidate))
    if any(rule.parity is not None for rule in rules):
        inputs = replace(inputs, parities=tuple(candidate.store.parities(str(candidate.entry.eval_id))))
    return inputs


def _untrained(candidate: CandidateRun) -> Scored | str:
    """The untrained arm of the experiment, or why there is none. Of several the one that is called so."""
    store, experiment = candidate.store, candidate.experiment
    entries = [entry for entry in store.entries(experiment.experiment_id) if entry.fraction == 1]
    runs = {(run.train_id, run.attempt): run for run in store.runs([entry.train_id for entry in entries])}
    pairs = [(entry, runs.get((entry.train_id, entry.attempt))) for entry in entries]
    untrained = [(entry, run) for entry, run in pairs if run is not None and run.method == "untrained"]
    named = [pair for pair in untrained if pair[0].arm == "untrained"] or untrained
    if not named:
        return f"{experiment.name} has no untrained arm: add `untrained` to its arms and run it again"
    if len(named) > 1:
        arms = ", ".join(entry.arm for entry, _ in named)
        return f"{experiment.name} has several untrained arms ({arms}): call one of them untrained"
    entry, run = named[0]
    if entry.eval_id is None:
        return f"{entry.arm} has no result: it ended {entry.status}; `harness run` tries again"
    return scored(replace(candidate, entry=entry, run=run))


def _votes(candidate: CandidateRun) -> RoundVotes | str:
    """The newest unblinded round with this very artefact, or what to do to have one."""
    arm, experiment = candidate.entry.arm, candidate.experiment
    opening = f"`harness review open {experiment.name} --arms {arm},OTHER`"
    rounds = [round_ for round_ in candidate.store.rounds(experiment.experiment_id) if arm in round_.arms]
    if not rounds:
        return f"nobody has reviewed {arm}: {opening}"
    unblinded = [(round_.unblinded.when, round_) for round_ in rounds if round_.unblinded is not None]
    if not unblinded:
        last = max(rounds, key=lambda round_: round_.opened.when)
        state = "still open" if last.closed is None else "closed but still blind"
        return f'the round {last.id} is {state}: `harness review unblind {last.id} --reason "…"`'
    newest = max(unblinded, key=lambda pair: pair[0])[1]
    if not _same_artefact(candidate, newest):
        return f"the round {newest.id} judged another model or evaluation of {arm}: {opening}"
    return joined(newest, candidate.store.ballots(newest.id))


def _same_artefact(candidate: CandidateRun, round_: Round) -> bool:
    """Whether the answers that were judged are the candidate's: of its evaluation, or of its model elsewhere."""
    source, artefact = round_.evaluations.get(candidate.entry.arm), candidate.run.artefact
    if source == candidate.entry.eval_id:
        return True
    if round_.split == "test" or source is None or artefact is None:
        return False
    return any(each.artefact_hash == artefact.hash for each in candidate.store.evaluations([source]))
