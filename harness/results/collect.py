"""What a report is made of, as plain records, and how to read it from a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

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
from harness.results.human.votes import Ballots, joined


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """What one evaluation's answers look like from outside."""

    answers: int = 0
    length_limited: int = 0
    """Cut off at max_new_tokens."""
    truncated: int = 0
    """Prompts that lost their left."""


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


class Reader(Protocol):
    """The part of the store that a report reads."""

    def experiments_on(self, task_fingerprint: str) -> set[str]:
        """Ids of all experiments on these splits, deleted ones too."""
        ...

    def experiment(self, name_or_id: str) -> ExperimentRecord:
        """The experiment with this id, or the newest of this name."""
        ...

    def entries(self, experiment_id: str) -> list[Entry]:
        """Arms and seeds of an experiment."""
        ...

    def runs(self, train_ids: Sequence[str]) -> list[RunRecord]:
        """All attempts at these trainings."""
        ...

    def trials(self, experiment_id: str) -> list[Trial]:
        """Trials of an experiment's tuning."""
        ...

    def evaluations(self, eval_ids: Sequence[str]) -> list[Evaluation]:
        """Evaluations by id."""
        ...

    def scores(self, eval_ids: Sequence[str]) -> list[Score]:
        """Scores of these evaluations, in stored order."""
        ...

    def score_columns(self, eval_ids: Sequence[str]) -> Sequence[Score]:
        """The same Scores, as columns where they fit."""
        ...

    def sentinels(self, suite: str) -> list[SentinelCheck]:
        """Checks of environments on this sealed suite."""
        ...

    def serving(self, experiment_id: str) -> list[ServingPass]:
        """Passes of serving figures over an experiment's arms."""
        ...

    def answer_counts(self, eval_ids: Sequence[str]) -> Mapping[str, tuple[int, int, int]]:
        """Evaluation → answers, answers cut off at their length limit, prompts that lost their left."""
        ...

    def looks(self) -> list[SealedAccess]:
        """All looks at sealed test splits."""
        ...


class LogReader(Protocol):
    """The part of the store that training logs come from."""

    def train_logs(self, train_ids: Sequence[str]) -> list[TrainLog]:
        """The logs of all attempts at these trainings."""
        ...


def with_logs(results: Results, reader: LogReader) -> Results:
    """`results` with the training log of every final on the whole train split."""
    keys = {(entry.train_id, entry.attempt): None for entry in results.entries}
    logs = {(log.train_id, log.attempt): log for log in reader.train_logs([train_id for train_id, _ in keys])}
    return replace(results, logs=[logs[key] for key in keys if key in logs])


class RoundReader(Protocol):
    """The part of the store that review rounds come from."""

    def rounds(self, experiment_id: str) -> list[Round]:
        """Review rounds over an experiment's arms, in the order they were opened."""
        ...

    def ballots(self, round_id: str) -> Ballots:
        """Assignments, every vote, closing guesses, and the characters of each text by (example, source)."""
        ...


def with_human(results: Results, reader: RoundReader, judge: Callable[[Round], HumanReview] | None = None) -> Results:
    """`results` with what people said in the newest unblinded round over the experiment's arms.

    `judge` gives a round's statistics where they are kept; without it they are made.
    """
    unblinded = [one for one in reader.rounds(results.experiment.experiment_id) if one.unblinded is not None]
    if not unblinded:
        return results
    newest = max(unblinded, key=lambda one: one.unblinded.when if one.unblinded else "")
    review = judge(newest) if judge is not None else human_review(joined(newest, reader.ballots(newest.id)))
    notes = [*review.notes, *_of_round(newest, results.entries)]
    others = [one.id for one in unblinded if one.id != newest.id]
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


def collect(reader: Reader, name_or_id: str, *, columns: bool = False) -> Results:
    """The results of one experiment as a store holds them; with `columns` scores metric by metric, which is quicker and
    smaller for many runs, and not in stored order.

    Raises:
        StoreError: no such experiment, or the store cannot be read.
    """
    experiment = reader.experiment(name_or_id)
    entries = reader.entries(experiment.experiment_id)
    eval_ids = [entry.eval_id for entry in entries if entry.eval_id is not None]
    same_split = reader.experiments_on(experiment.task_fingerprint)
    looks = [look for look in reader.looks() if look.experiment in same_split]
    trials = reader.trials(experiment.experiment_id)
    tried = {trial.train_id for trial in trials} - {entry.train_id for entry in entries}
    looked = [look.eval_id for look in looks] if tried else []
    seen = {row.eval_id for row in reader.evaluations(looked) if row.train_id in tried}
    return Results(
        experiment=experiment,
        entries=[entry for entry in entries if entry.fraction == 1],
        runs=reader.runs([entry.train_id for entry in entries]),
        scores=_of_present_source(reader.score_columns(eval_ids) if columns else reader.scores(eval_ids), experiment),
        answers={one: AnswerCounts(*counts) for one, counts in reader.answer_counts(eval_ids).items()},
        looks=looks,
        groups=experiment.groups,
        shares=[entry for entry in entries if entry.fraction < 1],
        trials=trials,
        trial_looks=sum(look.eval_id in seen and look.experiment == experiment.experiment_id for look in looks),
        evaluations=reader.evaluations(eval_ids),
        sentinels=reader.sentinels(experiment.suite),
        serving=reader.serving(experiment.experiment_id),
    )
