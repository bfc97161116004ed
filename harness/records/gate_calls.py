"""What is kept of every call of `harness gate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.records.gates import GateOutcome, GateVerdict

WaiverState = Literal["used", "not needed", "powerless", "expired"]
"""`used`: the rule failed or is open, and does not decide. `powerless`: it is INVALID, which no waiver covers."""


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
    """ISO 8601, UTC."""
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
