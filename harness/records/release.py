"""A pinned release: what a candidate is held against, without the database it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.records.scoring import Score


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
    """ISO 8601, UTC."""
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
