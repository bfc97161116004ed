"""Evaluations, what a model said, scores, looks, votes, estimates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FinishReason = Literal["stop", "length", "refused"]
"""Why an answer ended; `refused`: a server gave none (a filter, a refusal, a tool call), and it has no score."""
Winner = Literal["left", "right", "tie", "both_bad", "skip", "undone"]
"""What a vote says. `skip` and `undone` (a vote that was taken back) are no votes in any count."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Artefact × suite × generation settings × environment: what predictions, likelihoods and scores hang on."""

    eval_id: str
    train_id: str
    artefact_hash: str
    suite_fingerprint: str
    generation: Mapping[str, Any]
    """The task's settings, and as `config` the LibraryConfig that a local model decoded with."""
    environment: Mapping[str, Any]
    created: str
    subject: str = ""
    """What was scored on what, whatever the environment: one subject may be scored again elsewhere."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Metric, or source of metrics (`likelihood`, `lm_eval`) → why this artefact has no value for it."""
    hardware: Mapping[str, Any] = field(default_factory=dict)
    """Processor and accelerators; not part of the identity."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A generated answer for one test example."""

    eval_id: str
    example: str
    prompt_hash: str
    text: str
    finish: FinishReason
    tokens_in: int
    tokens_out: int
    seconds: float
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Sum of log-probabilities (natural log) of one continuation given its context.

    `suite` is `test` (the target), `retention` (a whole text), `preferences` (role `chosen` or `rejected`) or
    `lm_eval:TASK` (role `choice`, `continuation` its index).
    """

    eval_id: str
    suite: str
    item: str
    continuation: int
    role: str
    logprob: float
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one item. Corpus metrics carry sufficient statistics and a value for the single item.

    `statistics` are summed over items and turned into the corpus value by the metric's `combine`.
    """

    eval_id: str
    suite: str
    item: str
    metric: str
    filter: str
    version: int
    status: Literal["ok", "missing"]
    value: float | None
    statistics: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class SealedAccess:
    """One scoring of the sealed test split."""

    eval_id: str
    experiment: str
    arm: str
    who: str
    why: str
    when: str


@dataclass(frozen=True, slots=True)
class Judgment:
    """One vote of blind review. An undo or a second thought is a later `revision` of the same assignment."""

    id: str
    """Made by the one who votes, so that a vote sent twice is stored once."""
    assignment: str
    """Opaque token of the assignment; says nothing about the arms."""
    revision: int
    rater: str
    winner: Winner
    seconds: float
    """From showing the pair to the vote."""
    when: str
    flags: tuple[str, ...] = ()
    """`left:FLAG` or `right:FLAG`."""
    comment: str | None = None
    criteria: Mapping[str, str] = field(default_factory=dict)
    """Criterion → `left`, `right` or `tie`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval."""

    value: float
    low: float | None
    high: float | None
    n: int
    """Examples."""
    clusters: int
    seeds: int
    method: str
    """How the interval was made, in words."""
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class Move:
    """How far one metric of a frozen run moved when it was scored again."""

    metric: str
    frozen: Estimate
    """Its value in the environment it was first scored in."""
    difference: Estimate
    """The new value minus the frozen one, paired by example."""
    within: bool
    """Whether the whole interval of the difference lies within half the width of the frozen value's interval."""


@dataclass(frozen=True, slots=True)
class SentinelCheck:
    """A frozen run scored again in another environment: may results of the two stand in one ranking?"""

    experiment: str
    suite: str
    """Fingerprint of the sealed suite: the check holds for every experiment that scores on it."""
    arm: str
    before: str
    """The evaluation that was frozen."""
    after: str
    environment_before: Mapping[str, str]
    environment_after: Mapping[str, str]
    moves: tuple[Move, ...]
    answers: int
    changed_answers: int
    """Answers whose text differs."""
    accepted: bool
    when: str


@dataclass(frozen=True, slots=True, eq=False)
class ScoreBlock:
    """One version of one metric over E evaluations and I items. Arrays mean nothing where their mask says no."""

    suite: str
    metric: str
    filter: str
    version: int
    evaluations: tuple[str, ...]
    items: tuple[str, ...]
    """Those of the first evaluation come first, in its stored order."""
    positions: NDArray[np.int64]
    """[E, I]: rises in stored order; 0 where there is no Score."""
    ok: NDArray[np.bool_]
    """[E, I]: whether its status is `ok`."""
    values: NDArray[np.float64]
    """[E, I]."""
    valued: NDArray[np.bool_]
    """[E, I]: whether there is a value."""
    statistics: NDArray[np.float64] | None = None
    """[E, I, k]."""
    counted: NDArray[np.bool_] | None = None
    """[E, I]: whether there are statistics."""

    def order(self, row: int) -> NDArray[np.intp]:
        """Columns of the items that an evaluation has a Score of, in stored order."""
        positions = self.positions[row]
        columns: NDArray[np.intp] = (positions > 0).nonzero()[0]
        ordered: NDArray[np.intp] = columns[positions[columns].argsort()]
        return ordered

    @property
    def ordered(self) -> bool:
        """Whether every evaluation has a Score of every item, in the order of `items`."""
        return bool((self.positions > 0).all() and (self.positions[:, 1:] > self.positions[:, :-1]).all())

    def scores(self, row: int) -> Iterator[Score]:
        """The Scores of one evaluation, in stored order."""
        for column in map(int, self.order(row)):
            statistics = None
            if self.statistics is not None and self.counted is not None and self.counted[row, column]:
                statistics = tuple(self.statistics[row, column].tolist())
            yield Score(
                self.evaluations[row],
                self.suite,
                self.items[column],
                self.metric,
                self.filter,
                self.version,
                "ok" if self.ok[row, column] else "missing",
                float(self.values[row, column]) if self.valued[row, column] else None,
                statistics,
            )


@dataclass(frozen=True, slots=True, eq=False)
class ScoreColumns(Sequence[Score]):
    """All blocks; as a sequence, block by block and evaluation by evaluation."""

    blocks: tuple[ScoreBlock, ...]

    def only(self, wanted: Callable[[ScoreBlock], bool]) -> ScoreColumns:
        """The blocks that are wanted."""
        return replace(self, blocks=tuple(block for block in self.blocks if wanted(block)))

    def __len__(self) -> int:
        return sum(int((block.positions > 0).sum()) for block in self.blocks)

    def __iter__(self) -> Iterator[Score]:
        for block in self.blocks:
            for row in range(len(block.evaluations)):
                yield from block.scores(row)

    @overload
    def __getitem__(self, index: int) -> Score: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Score]: ...

    def __getitem__(self, index: int | slice) -> Score | Sequence[Score]:
        return list(self)[index]
