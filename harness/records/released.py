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
