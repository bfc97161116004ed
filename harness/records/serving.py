"""Serving figures: what one interleaved pass over the arms of an experiment measured, round by round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.records.training import MemoryKind


@dataclass(frozen=True, slots=True)
class BatchTry:
    """One attempt to generate for `rows` prompts at once, the model alone in a process of its own."""

    rows: int
    status: Literal["ok", "oom"]
    memory_bytes: int | None
    """Peak while generating; None where it did not fit."""
    detail: str = ""
    """What ran out of memory, in words."""


@dataclass(frozen=True, slots=True)
class ServingProbe:
    """What is found out about an arm before anything is timed: its size, and the largest batch that fits."""

    weights_bytes: int | None
    """Parameters and buffers as held; None for a model behind a URL."""
    memory_kind: MemoryKind | None
    """What `memory_bytes` of the tries is of; None for a model behind a URL."""
    tries: tuple[BatchTry, ...]
    """By rows, each twice the one before, up to the first that does not fit or the largest asked for."""

    @property
    def batch(self) -> int | None:
        """Rows of the largest batch that fits; None where none was tried or none fits."""
        return max((one.rows for one in self.tries if one.status == "ok"), default=None)


@dataclass(frozen=True, slots=True)
class ServingVisit:
    """One arm in one round. Seconds are wall time, loading and warm-up left out."""

    first_token_seconds: tuple[float, ...]
    """For each prompt alone: from the prompt's token ids to the first token's."""
    prompt_tokens: int
    """Of all prompts together, as this arm sees them."""
    single_tokens: int
    """Generated one prompt at a time."""
    single_seconds: float
    batch_rows: int | None
    """Prompts of the largest batch that fits; None where it is 1 or not known."""
    batch_tokens: int | None
    """Generated for that batch."""
    batch_seconds: float | None
    round: int = 0
    """From 0."""
    place: int = 0
    """In the round's order, from 0."""


@dataclass(frozen=True, slots=True)
class ServedArm:
    """One arm of a pass."""

    arm: str
    seed: int | None
    """The lowest seed with a result; None for an arm without training."""
    train_id: str
    artefact_hash: str
    status: Literal["ok", "failed"]
    error: str | None
    probe: ServingProbe | None
    visits: tuple[ServingVisit, ...] = ()
    """By round; of a failed arm those before it failed."""
    forced: bool = True
    """Exactly so many tokens were generated as asked for; False behind a URL, where the server decides."""


@dataclass(frozen=True, slots=True)
class ServingPass:
    """One interleaved pass over the arms of an experiment. Figures of different passes are never compared."""

    pass_id: str
    experiment_id: str
    subject: str
    """What was measured where: settings, prompts, artefacts, environment and hardware. A pass with the same subject
    answers for them again."""
    created: str
    """When it ended; ISO 8601, UTC."""
    settings: Mapping[str, Any]
    """ServingSpec, and how many prompts there were."""
    environment: Mapping[str, Any]
    hardware: Mapping[str, Any]
    """Processor, accelerators, cores, and threads used."""
    seconds: float
    """Wall time of the pass, loading included; of one that was killed in between, of its last part."""
    arms: tuple[ServedArm, ...]
