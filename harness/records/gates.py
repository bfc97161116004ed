"""Release gates: what a rule asks, what is known, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.records.scoring import Estimate

GateOutcome = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]
Tier = Literal["critical", "supporting", "informational"]
EXIT_CODES: dict[GateOutcome, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3, "INVALID": 4}
"""Of a whole gate; a supporting rule alone changes none."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a rule asks of one number: that it lie above `limit` (or below it, where lower is better)."""

    rule: str
    tier: Tier
    limit: float
    higher_is_better: bool
    confidence: float = 0.95
    minimum_examples: int = 0


@dataclass(frozen=True, slots=True)
class ExampleDrop:
    """An example on which the candidate is worse than what it is held against; values are the metric's."""

    item: str | None
    """None where the task is sensitive."""
    candidate: float
    other: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of it. `problem` says why nothing of this can be believed; it makes the rule INVALID."""

    estimate: Estimate | None
    """Of the number, each end a one-sided limit at the rule's confidence."""
    p_fail: float | None = None
    """One-sided p-value of a number that is not on the wrong side of the limit."""
    more_examples: int | None = None
    """About how many more settle it; examples, or what `counted` says."""
    problem: str = ""
    waiting: str = ""
    """Why nothing can be said yet; it makes the rule INCONCLUSIVE."""
    counted: str = "examples"
    """What is counted: examples, answers, votes or rounds."""
    count: int | None = None
    """How many there are, held against the question's minimum; None: the estimate's n."""
    parts: tuple[tuple[Question, Evidence], ...] = ()
    """What the same rule asks besides; the worst answer is the rule's."""
    worst: tuple[ExampleDrop, ...] = ()
    """Examples with the largest drops, the largest first; at most ten."""
    dropped: int = 0
    """How many examples dropped at all."""


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """One rule's answer."""

    rule: str
    tier: Tier
    outcome: GateOutcome
    words: str
    """One line: the number, its limits, and what is missing."""
    estimate: Estimate | None
    limit: float
    more_examples: int | None = None
    """About how many more examples would settle an INCONCLUSIVE."""
    waived: str = ""
    """Who waived it until when and why; such a rule does not decide."""
    worst: tuple[ExampleDrop, ...] = ()
    """As in the evidence."""
    dropped: int = 0
    counted: str = "examples"
    """What `more_examples` counts."""


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The whole gate's answer."""

    outcome: GateOutcome
    exit_code: int
    rules: tuple[RuleVerdict, ...]
    warnings: tuple[str, ...]
    """What a reader must know although the exit code does not show it."""
