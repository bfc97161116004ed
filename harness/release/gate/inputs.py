"""What a gate must know of a stored run: scores and measures, and beside them only what a rule asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.config import GateRule
from harness.config.gates import HUMAN
from harness.metrics.external import own_metric
from harness.records import Entry, Evaluation, ExperimentRecord, Prediction, Round, RunRecord, Score, ServingPass
from harness.records.release import Scored
from harness.release import baselines
from harness.release.gate.evidence import Known
from harness.release.gate.measures import measures
from harness.results import queries
from harness.results.human.votes import RoundVotes, joined
from harness.store import Store


@dataclass(frozen=True, slots=True)
class Stored:
    """A run in a store."""

    store: Store
    home: Path
    experiment: ExperimentRecord
    entry: Entry
    run: RunRecord


def scored(at: Stored) -> Scored:
    """An evaluation as a gate sees it, with the run's costs and serving figures."""
    entry, own = at.entry, at.experiment.task.get("own_metrics") or {}
    # One opening of the database in place of four.
    with at.store.session() as session:
        [evaluation] = session.read(Evaluation, "eval_id = $1", [entry.eval_id])
        found = (
            session.read(Score, "eval_id = $1", [entry.eval_id]),
            session.read(Prediction, "eval_id = $1", [entry.eval_id]),
        )
        passes = session.read(ServingPass, "experiment_id = $1", [at.experiment.experiment_id])
    declared = {name: own_metric(name, declaration) for name, declaration in own.items()}
    made = baselines.scored(at.experiment, entry, evaluation, at.run, found, declared)
    return replace(made, measures=measures(at.experiment, entry, at.run, passes))


def known(at: Stored, rules: Sequence[GateRule], *, hide: bool = False) -> Known:
    """What the rules ask for beside scores and measures; with `hide` ids of examples are hashed as in a baseline."""
    found = Known()
    if any(rule.against == "untrained" for rule in rules):
        untrained, why = _untrained(at)
        if untrained is not None and hide:
            untrained = baselines.hidden(untrained)
        found = replace(found, untrained=untrained, no_untrained=why)
    if any(rule.slice is not None for rule in rules):
        found = _with_columns(at, found, hide)
    if any(rule.flag is not None or rule.metric == HUMAN for rule in rules):
        votes, why = _votes(at)
        found = replace(found, votes=votes, no_votes=why)
    if any(rule.parity is not None for rule in rules):
        found = replace(found, parities=tuple(at.store.parities(str(at.entry.eval_id))))
    return found


def _with_columns(at: Stored, found: Known, hide: bool) -> Known:
    examples = queries.sealed_examples(at.home.absolute(), at.experiment)
    columns = {example.id: example.fields for example in examples.values()}
    if hide:
        [evaluation] = at.store.evaluations([str(at.entry.eval_id)])
        columns = {baselines.hidden_name(evaluation.suite_fingerprint, "item", k): v for k, v in columns.items()}
    why = f"the sealed test split is not under {at.home.name}, so no slice can be made; run the experiment again"
    return replace(found, columns=columns, no_columns=why)


def _untrained(at: Stored) -> tuple[Scored | None, str]:
    """The untrained arm of the experiment, or why there is none. Of several the one that is called so."""
    entries = [entry for entry in at.store.entries(at.experiment.experiment_id) if entry.fraction == 1]
    runs = {(run.train_id, run.attempt): run for run in at.store.runs([entry.train_id for entry in entries])}
    there = [(e, runs[e.train_id, e.attempt]) for e in entries if (e.train_id, e.attempt) in runs]
    there = [(entry, run) for entry, run in there if run.method == "untrained"]
    named = [both for both in there if both[0].arm == "untrained"] or there
    if not named:
        return None, f"{at.experiment.name} has no untrained arm: add `untrained` to its arms and run it again"
    if len(named) > 1:
        arms = ", ".join(entry.arm for entry, _ in named)
        return None, f"{at.experiment.name} has several untrained arms ({arms}): call one of them untrained"
    entry, run = named[0]
    if entry.eval_id is None:
        return None, f"{entry.arm} has no result: it ended {entry.status}; `harness run` tries again"
    return scored(replace(at, entry=entry, run=run)), ""


def _votes(at: Stored) -> tuple[RoundVotes | None, str]:
    """The newest unblinded round with this very artefact, or what to do to have one."""
    arm = at.entry.arm
    rounds = [one for one in at.store.rounds(at.experiment.experiment_id) if arm in one.arms]
    if not rounds:
        return None, f"nobody has reviewed {arm}: `harness review open {at.experiment.name} --arms {arm},OTHER`"
    unblinded = [one for one in rounds if one.unblinded is not None]
    if not unblinded:
        last = max(rounds, key=lambda one: one.opened.when)
        state = "still open" if last.closed is None else "closed but still blind"
        return None, f'the round {last.id} is {state}: `harness review unblind {last.id} --reason "…"`'
    newest = max(unblinded, key=lambda one: one.unblinded.when if one.unblinded is not None else "")
    if not _same_artefact(at, newest):
        words = f"the round {newest.id} judged another model or evaluation of {arm}"
        return None, f"{words}: `harness review open {at.experiment.name} --arms {arm},OTHER`"
    return joined(newest, at.store.ballots(newest.id)), ""


def _same_artefact(at: Stored, there: Round) -> bool:
    """Whether the answers that were judged are the candidate's: of its evaluation, or of its model elsewhere."""
    source = there.evaluations.get(at.entry.arm)
    if source == at.entry.eval_id:
        return True
    if there.split == "test" or source is None or at.run.artefact is None:
        return False
    return any(one.artefact_hash == at.run.artefact.hash for one in at.store.evaluations([source]))
