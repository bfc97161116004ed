"""Release-artefact parity: does the thing that ships score as the run that was evaluated?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.records.scoring import Estimate

ParityOutcome = Literal["EQUIVALENT", "DIFFERENT", "INCONCLUSIVE", "INVALID"]
ShippedKind = Literal["adapter", "merged", "nf4", "fp4", "int8", "endpoint"]
"""What ships: a PEFT adapter, a whole model in full precision (merged, or trained in full), one that bitsandbytes has
quantised, or a model behind a URL."""
PARITY_CODES: dict[ParityOutcome, int] = {"EQUIVALENT": 0, "DIFFERENT": 1, "INCONCLUSIVE": 3, "INVALID": 4}
"""Exit codes."""


@dataclass(frozen=True, slots=True)
class Closeness:
    """Whether what ships is nearer to its run than to another arm, example by example."""

    other: str
    """The other arm, as ARM or ARM@SEED."""
    base: bool
    """Whether the other arm is the untrained base."""
    by: Literal["answers", "likelihoods"]
    estimate: Estimate
    """Mean of (distance to the other - distance to the run) / (their sum), from -1 (the other's) to 1 (the run's), over
    the examples on which run and other differ. Each end is a one-sided limit."""


@dataclass(frozen=True, slots=True)
class ParityCheck:
    """What ships, scored on the sealed examples of an evaluated run, and compared with it."""

    experiment: str
    arm: str
    seed: int | None
    eval_id: str
    """The evaluation of the run."""
    after: str
    """The evaluation of what ships; empty where it was not scored."""
    kind: ShippedKind
    artefact: str
    """Its folder's name, or URL and model."""
    artefact_hash: str
    """Of the folder's files, or of URL, model and answers to fixed prompts."""
    metric: str
    primary: bool
    """Whether the metric is the task's primary one."""
    margin: float
    confidence: float
    """Of each of the two one-sided tests."""
    difference: Estimate | None
    """What ships minus the run, paired by example; each end is a one-sided limit at the confidence."""
    p_value: float | None
    """Of a difference as large as the margin: the larger one of the two one-sided tests; None for corpus metrics."""
    more_examples: int | None
    """About how many more examples would settle an INCONCLUSIVE."""
    answers: int
    same_answers: int
    """Answers whose text is the run's to the last character."""
    closeness: tuple[Closeness, ...]
    outcome: ParityOutcome
    impostor: str
    """Whose model it is instead; empty where the run's own adapter is there, or nothing shows the contrary."""
    words: str
    """One line."""
    notes: tuple[str, ...]
    when: str
    """ISO 8601, UTC."""
