"""What a report is made of, as plain records, and how to read it from a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.records import (
    Entry,
    Evaluation,
    ExperimentRecord,
    Round,
    RunRecord,
    Score,
    ScoreColumns,
    SealedAccess,
    SentinelCheck,
    ServingPass,
    TrainLog,
    Trial,
)
from harness.results.human.records import HumanReview
from harness.results.human.statistics import human_review
from harness.results.human.votes import joined

if TYPE_CHECKING:
    from harness.store import Store


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """What one evaluation's answers look like from outside."""

    answers: int = 0
    length_limited: int = 0
    """Cut off at max_new_tokens."""
    truncated: int = 0
    """Prompts that lost their left."""
    refused: int = 0
    """Not given: a server's filter, refusal or tool call."""
    texts: str = ""
    """Hash of all answers: arms with equal ones gave the same answer to every example."""
    prompts: str = ""
    """Hash of all prompts' hashes."""
    thinking: int = 0
    """With the end of a block of reasoning (`</think>`) inside."""


@dataclass(frozen=True, slots=True)
class Results:
    """Everything a leaderboard needs of one experiment."""

    experiment: ExperimentRecord
    entries: Sequence[Entry]
    runs: Sequence[RunRecord]
    scores: Sequence[Score]
    answers: Mapping[str, AnswerCounts] = field(default_factory=dict)
    """By evaluation."""
    looks: Sequence[SealedAccess] = ()
    """Looks at this test split, by this experiment and by others on the same splits."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Group of each test example, for clustering; an example that is not here is its own group."""
    shares: Sequence[Entry] = ()
    """Entries on a part of the train split, for the learning curve; `entries` are on the whole."""
    trials: Sequence[Trial] = ()
    """Trials of tuning."""
    trial_looks: int = 0
    """Looks at the test split that a trial took."""
    evaluations: Sequence[Evaluation] = ()
    """Where and how each evaluation was made; an environment that is not known is taken to be the others'."""
    sentinels: Sequence[SentinelCheck] = ()
    """Checks of environments on this suite."""
    serving: Sequence[ServingPass] = ()
    """Passes of serving figures over the experiment's arms."""
    logs: Sequence[TrainLog] = ()
    """Training logs of the finals; `collect` leaves them out, `with_logs` adds them."""
    human: HumanReview | None = None
    """The newest unblinded review round; `collect` leaves it out, `with_human` adds it."""


def with_logs(results: Results, store: Store) -> Results:
    """`results` with the training log of every final on the whole train split."""
    keys = {(entry.train_id, entry.attempt): None for entry in results.entries}
    logs = {(log.train_id, log.attempt): log for log in store.train_logs([train_id for train_id, _ in keys])}
    return replace(results, logs=[logs[key] for key in keys if key in logs])


def with_human(results: Results, store: Store, judge: Callable[[Round], HumanReview] | None = None) -> Results:
    """`results` with what people said in the newest unblinded round over the experiment's arms.

    `judge` gives a round's statistics where they are kept; without it they are made.
    """
    rounds = store.rounds(results.experiment.experiment_id)
    unblinded = {round_.id: round_.unblinded.when for round_ in rounds if round_.unblinded is not None}
    if not unblinded:
        return results
    newest = next(round_ for round_ in rounds if round_.id == max(unblinded, key=unblinded.__getitem__))
    review = judge(newest) if judge is not None else human_review(joined(newest, store.ballots(newest.id)))
    notes = [*review.notes, *_of_round(newest, results.entries)]
    others = [name for name in unblinded if name != newest.id]
    notes += [f"unblinded before: {', '.join(others)} (`harness review results ROUND`)"] if others else []
    return replace(results, human=replace(review, notes=tuple(notes)))


def _of_round(round_: Round, entries: Sequence[Entry]) -> list[str]:
    """Whose answers were shown: of arms with several seeds one seed's, of arms scored again since an earlier one's."""
    entry_of = {entry.eval_id: entry for entry in entries if entry.eval_id is not None}
    seeds = {entry.seed for source in round_.evaluations.values() if (entry := entry_of.get(source)) is not None}
    trained = sorted(seed for seed in seeds if seed is not None)
    notes = []
    if trained and any(entry.seed not in (None, *trained) for entry in entries):
        notes.append(f"of trained arms the answers of seed {', '.join(map(str, trained))} were judged")
    old = [arm for arm, source in round_.evaluations.items() if round_.split == "test" and source not in entry_of]
    return [*notes, *([f"answers of {', '.join(old)} come from an earlier evaluation"] if old else [])]


def by_arm(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Entries of each arm, in the order of first appearance."""
    arms: dict[str, list[Entry]] = {}
    for entry in entries:
        arms.setdefault(entry.arm, []).append(entry)
    return arms


def scored(entries: Sequence[Entry]) -> list[Entry]:
    """The entries that have a result."""
    return [entry for entry in entries if entry.status == "ok" and entry.eval_id is not None]


def _of_present_source(scores: Sequence[Score], experiment: ExperimentRecord) -> Sequence[Score]:
    """Scores without those of an own metric's earlier source, whose versions are hashes without an order."""
    own = {name: known["version"] for name, known in (experiment.task.get("own_metrics") or {}).items()}
    if isinstance(scores, ScoreColumns):
        return scores.only(lambda block: own.get(block.metric, block.version) == block.version)
    return [score for score in scores if own.get(score.metric, score.version) == score.version]


def collect(store: Store, name_or_id: str, *, columns: bool = False) -> Results:
    """The results of one experiment as a store holds them; with `columns` scores metric by metric, which is quicker and
    smaller for many runs, and not in stored order.

    Raises StoreError: no such experiment, or the store cannot be read.
    """
    experiment = store.experiment(name_or_id)
    entries = store.entries(experiment.experiment_id)
    eval_ids = [entry.eval_id for entry in entries if entry.eval_id is not None]
    same_split = store.experiments_on(experiment.task_fingerprint)
    looks = [look for look in store.looks() if look.experiment in same_split]
    trials = store.trials(experiment.experiment_id)
    tried = {trial.train_id for trial in trials} - {entry.train_id for entry in entries}
    looked = [look.eval_id for look in looks] if tried else []
    seen = {row.eval_id for row in store.evaluations(looked) if row.train_id in tried}
    return Results(
        experiment=experiment,
        entries=[entry for entry in entries if entry.fraction == 1],
        runs=store.runs([entry.train_id for entry in entries]),
        scores=_of_present_source(store.score_columns(eval_ids) if columns else store.scores(eval_ids), experiment),
        answers={eval_id: AnswerCounts(*counts) for eval_id, counts in store.answer_counts(eval_ids).items()},
        looks=looks,
        groups=experiment.groups,
        shares=[entry for entry in entries if entry.fraction < 1],
        trials=trials,
        trial_looks=sum(look.eval_id in seen and look.experiment == experiment.experiment_id for look in looks),
        evaluations=store.evaluations(eval_ids),
        sentinels=store.sentinels(experiment.suite),
        serving=store.serving(experiment.experiment_id),
    )
