"""The leaderboard as records: cells, one row for each arm, and the board that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.records import Estimate, ExperimentRecord, Question, RunEvent, RunRecord, WinnerVerdict
from harness.results.collect import AnswerCounts
from harness.results.human.records import HumanReview
from harness.results.leaderboard.columns import Column
from harness.results.leaderboard.costs import Cost, Standing
from harness.results.leaderboard.environments import Environments
from harness.results.leaderboard.forgetting import Forgetting
from harness.results.leaderboard.serving import ServingTable


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric of one arm. `reason` says why a value is not there; `difference_reason` why a difference is not."""

    estimate: Estimate | None
    reason: str = ""
    difference: Estimate | None = None
    """Arm minus reference, paired."""
    difference_reason: str = ""
    p_value: float | None = None
    """Of no difference, by permutation (of methods by t); for the primary metric only."""
    p_holm: float | None = None
    """The same, adjusted for the number of arms (Holm)."""
    missing: int = 0
    """Items that have no value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One arm, all its seeds together."""

    arm: str
    method: str
    status: str
    """`ok`, `partial` (some seeds failed), or the status of the last attempt."""
    seeds: tuple[int, ...]
    """Seeds with a result; empty for arms without training."""
    evaluations: tuple[str, ...]
    cells: Mapping[str, Cell]
    cost: Cost | None
    answers: AnswerCounts
    looks: int
    to_best: Estimate | None
    """Primary metric: this arm minus the arm with the best value, paired."""
    notes: tuple[str, ...]
    errors: tuple[str, ...]
    budget: Standing | None = None
    """What it was given, its parent's share included, against the budget; None for an arm without training."""
    events: tuple[RunEvent, ...] = ()
    """What went wrong, or nearly, in its trainings; of failed seeds too."""
    ranks: tuple[int, int] | None = None
    """Best and worst rank on the primary metric that the data allows; None without an interval."""
    best_probability: float | None = None
    """How often this arm is the best one of the primary metric's resamples."""
    unranked_reason: str = ""
    """Why this arm is not ranked with the others; empty when it is."""
    budget_known: bool = True
    """False where the arm was trained elsewhere, on what and for how long nobody here knows."""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """All arms of one experiment, the best value of the primary metric first, arms without a result last."""

    experiment: ExperimentRecord
    primary: str
    reference: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    estimand: str
    """What the intervals are about, in words."""
    question: Question
    """The same as a word."""
    verdict: WinnerVerdict
    clusters: int
    """Groups of test examples."""
    looks: int
    """Scorings of this test split by this experiment."""
    looks_in_all: int
    """Scorings of this test split by any experiment in the store."""
    leaks: int
    notes: tuple[str, ...]
    runs: tuple[RunRecord, ...] = ()
    """Every attempt at every arm and seed, failed ones too, called by the names that the arms have here."""
    forgetting: tuple[Forgetting, ...] = ()
    """Retention before and after, where the task measures it and an untrained arm was scored."""
    environments: Environments = field(default_factory=Environments)
    """Where the results were made."""
    serving: ServingTable | None = None
    """Serving figures; None where none were measured."""
    human: HumanReview | None = None
    """The newest unblinded review round; None where there is none."""

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.experiment.task.get("name", "?"))
