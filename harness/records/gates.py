"""Release gates: what a rule asks, what is known, what follows, and what is stored of every call of `harness gate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.records.scoring import Estimate

GateOutcome = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]
Tier = Literal["critical", "supporting", "informational"]
EXIT_CODES: dict[GateOutcome, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3, "INVALID": 4}
"""Of a whole gate; a supporting rule alone changes none."""
WaiverState = Literal["used", "not needed", "powerless", "expired"]
"""`used`: the rule failed or is open, and does not decide. `powerless`: it is INVALID, which no waiver covers."""


@dataclass(frozen=True, slots=True)
class ExampleDrop:
    """An example on which the candidate is worse than what it is held against; values are the metric's."""

    item: str | None
    """None where the task is sensitive."""
    candidate: float
    other: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a rule asks of one number, that it lie above `limit` (or below it, where lower is better), and what is
    known of that number."""

    rule: str
    tier: Tier
    limit: float
    higher_is_better: bool
    confidence: float = 0.95
    minimum_examples: int = 0
    estimate: Estimate | None = None
    """Of the number, each end a one-sided limit at the rule's confidence."""
    p_fail: float | None = None
    """One-sided p-value of a number that is not on the wrong side of the limit."""
    more_examples: int | None = None
    """About how many more settle it; examples, or what `counted` says."""
    problem: str = ""
    """Why nothing of this can be believed; it makes the rule INVALID."""
    waiting: str = ""
    """Why nothing can be said yet; it makes the rule INCONCLUSIVE."""
    counted: str = "examples"
    """What is counted: examples, answers, votes or rounds."""
    count: int | None = None
    """How many there are, held against the minimum; None: the estimate's n."""
    parts: tuple[Evidence, ...] = ()
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


@dataclass(frozen=True, slots=True)
class WaiverUse:
    """A waiver of the gates file, and what came of it."""

    rule: str
    owner: str
    reason: str
    expires: str
    state: WaiverState


@dataclass(frozen=True, slots=True)
class GateCall:
    """One verdict on one candidate: what was asked, of what, and what the answer was."""

    id: str
    when: str
    who: str
    gates_file: str
    gates_digest: str
    """Of the file's bytes."""
    rules_digest: str
    """Of its rules alone: what comments, waivers and policies do not change."""
    baseline: str
    """Name of the pinned release."""
    baseline_digest: str
    """Of what was released, whatever the name: artefact, suite, prompts, settings, environment, scores."""
    candidate: str
    """EXPERIMENT/ARM, with @SEED where there is one."""
    experiment: str
    """Id of the candidate's experiment."""
    train_id: str
    eval_id: str
    data: Mapping[str, str]
    """Rule → digest of its evidence: which evaluations, its number and examples; empty where too little was there."""
    outcome: GateOutcome
    exit_code: int
    look: int | None
    """Which look at new evidence this verdict belongs to; None where nothing could be judged."""
    looks: int
    """How many were declared."""
    reason: str
    """Why there is this row: a look, the same scores again, a refusal."""
    verdict: GateVerdict
    waivers: tuple[WaiverUse, ...] = ()
    rescored: str = ""
    """The evaluation in which the baseline was scored again for this verdict; empty with its pinned scores."""
    answered_by: str = ""
    """Id of the stored call whose verdict this is; empty for a verdict of its own."""
    settled: bool = True
    """False while the store could not be asked for earlier looks: such a verdict lets nothing through."""
