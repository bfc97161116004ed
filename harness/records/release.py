"""Pinned releases, which candidates are compared with, and parity checks: does what ships score as its run did?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness import environment
from harness.records.scoring import Estimate, Score

ParityOutcome = Literal["EQUIVALENT", "DIFFERENT", "INCONCLUSIVE", "INVALID"]
ShippedKind = Literal["adapter", "merged", "nf4", "fp4", "int8", "endpoint"]
"""What ships: a PEFT adapter, a whole model in full precision (merged, or trained in full), one that bitsandbytes has
quantised, or a model behind a URL."""
PARITY_CODES: dict[ParityOutcome, int] = {"EQUIVALENT": 0, "DIFFERENT": 1, "INCONCLUSIVE": 3, "INVALID": 4}
"""Exit codes."""


@dataclass(frozen=True, slots=True)
class MetricFact:
    """What must be the same of a metric for two values of it to be compared."""

    name: str
    version: int
    direction: str
    suite: str
    bounds: tuple[float, float] | None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class MeasureFact:
    """What a run cost, or how its artefact serves. Units are in the measure's name."""

    value: float
    """Of timings the median over rounds."""
    rounds: Mapping[str, float] = field(default_factory=dict)
    """Number of a round → what was timed in it; empty for what was counted, or noted once."""
    place: Mapping[str, Any] = field(default_factory=dict)
    """What must be the same for two such values to be compared: hardware, settings, kind of memory."""
    pass_id: str = ""
    """The interleaved pass that its rounds belong to."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One evaluation as a gate sees it: fingerprints, and every score by example."""

    suite: str
    """Fingerprint of the sealed suite: test examples, held-out pairs, retention texts, lm-eval tasks."""
    prompts: str
    """Digest of every example's prompt hash."""
    generation: Mapping[str, Any]
    environment: Mapping[str, Any]
    metrics: Mapping[str, MetricFact]
    groups: Mapping[str, str]
    """Example → group."""
    scores: tuple[Score, ...]
    arm: str = ""
    train_id: str = ""
    eval_id: str = ""
    artefact: str = ""
    """Hash of the artefact."""
    artefact_bytes: int | None = None
    examples: int | None = None
    """Test examples of the suite, all of which must have a value; None in a release that was pinned without it."""
    measures: Mapping[str, MeasureFact] = field(default_factory=dict)
    """By name; what is not known, or was not measured, is not there."""


@dataclass(frozen=True, slots=True)
class Release:
    """A baseline that was pinned under a name."""

    name: str
    pinned: str
    who: str
    experiment: str
    task: str
    seed: int | None
    sensitive: bool
    """Ids of examples and groups are hashes."""
    commit: str | None
    scored: Scored
    digest: str
    """SHA-256 of the file of scores."""
    notes: tuple[str, ...] = field(default=())
    """Refusals that were overridden, with the reason."""


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
    difference: Estimate | None = None
    """What ships minus the run, paired by example; each end is a one-sided limit at the confidence."""
    p_value: float | None = None
    """Of a difference as large as the margin: the larger one of the two one-sided tests; None for corpus metrics."""
    more_examples: int | None = None
    """About how many more examples would settle an INCONCLUSIVE."""
    answers: int = 0
    same_answers: int = 0
    """Answers whose text is the run's to the last character."""
    closeness: tuple[Closeness, ...] = ()
    outcome: ParityOutcome = "INVALID"
    impostor: str = ""
    """Whose model it is instead; empty where the run's own adapter is there, or nothing shows the contrary."""
    words: str = ""
    """One line."""
    notes: tuple[str, ...] = ()
    when: str = field(default_factory=environment.now)
