"""One attempt at a training: what it was given, what it cost, what it left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness import __version__, environment

Status = Literal["ok", "failed", "oom", "diverged", "cancelled", "eliminated"]
"""`eliminated`: stopped by a race before its budget was spent; its training can go on from there."""
Role = Literal["trial", "final"]
ArtefactKind = Literal["base", "adapter", "full", "merged", "endpoint"]
EventKind = Literal[
    "loss_spike", "gradient_explosion", "not_a_number", "diverged", "validation_rising", "out_of_memory"
]
MemoryKind = Literal["accelerator", "resident set"]


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that went wrong, or nearly, at one step of a training."""

    step: int
    """Optimiser step, from 1; a step that ran out of memory has the number it would have had."""
    kind: EventKind
    detail: str
    """One line for people."""
    value: float | None = None
    """What was seen; None where it is no number."""
    limit: float | None = None
    """What it was held against."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """The thing that is scored. `hash` identifies files, base, quantisation, template and few-shot prefix together."""

    kind: ArtefactKind
    base_path: str
    base_hash: str
    path: str | None
    """Folder of the adapter or model, relative to the run folder; None for the base itself."""
    files_hash: str
    quantisation: Mapping[str, Any] | None
    chat_template_hash: str
    prefix_hash: str
    """Hash of the few-shot examples and of a prompt override; empty without either."""
    hash: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """What an arm was given and what it cost. Seconds are wall time; None where it does not apply."""

    examples: int = 0
    tokens: int = 0
    """Non-padding tokens, prompt and target, forward and backward passes of training."""
    target_tokens: int = 0
    """Tokens that carried loss."""
    optimiser_steps: int = 0
    train_seconds: float = 0.0
    prepare_seconds: float = 0.0
    validation_seconds: float = 0.0
    predict_seconds: float = 0.0
    score_seconds: float = 0.0
    lost_seconds: float = 0.0
    """Seconds of failed or repeated attempts."""
    peak_memory_bytes: int | None = None
    """Largest memory of the training; `memory_kind` says of what."""
    memory_kind: MemoryKind | None = None
    """`accelerator`: allocated by torch on the device. `resident set`: of the process, on a CPU."""
    trainable_parameters: int = 0
    total_parameters: int = 0
    artefact_bytes: int = 0
    trials: int = 0
    truncated_prompts: int = 0
    parent: Ledger | None = None
    flops: float | None = None
    """Estimated floating-point operations of training; `harness/arms/training/flops.py` has the formula."""
    micro_batch_size: int | None = None
    """Examples of one forward pass at the end; smaller than asked for where memory ran out."""
    events: tuple[RunEvent, ...] = ()
    """Instabilities and recoveries, by step."""


@dataclass(frozen=True, slots=True)
class TrainLogRow:
    """One line of the training log; values that were not measured at this step are None."""

    step: int
    examples: int
    tokens: int
    seconds: float
    loss: float | None = None
    validation_loss: float | None = None
    gradient_norm: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class TrainLog:
    """The training log of one attempt, in the order it was written: what the store takes in and gives back."""

    train_id: str
    attempt: int
    rows: tuple[TrainLogRow, ...]


@dataclass(frozen=True, slots=True)
class LibraryConfig:
    """A configuration object of a library as it was used, every field of it resolved."""

    library: str
    name: str
    """Its class, or the function that it was given to."""
    values: Mapping[str, Any]
    changed: Mapping[str, Any] = field(default_factory=dict)
    """Fields whose value is not the library's default → that default, in the version that was used."""
    has_default: bool = True
    """False where the library makes no such object by itself, so that nothing can be said to differ."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result comes from."""

    harness_version: str
    commit: str | None
    dirty: bool | None
    packages: Mapping[str, str]
    hardware: Mapping[str, Any]
    started: str
    configs: tuple[LibraryConfig, ...] = ()
    """What its training handed to libraries; empty for arms without training and for runs of an older harness."""

    @classmethod
    def here(cls) -> Provenance:
        """That of a result which this process begins to make now."""
        commit, dirty = environment.commit()
        return cls(
            __version__, commit, dirty, environment.packages(), environment.hardware(), started=environment.now()
        )


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One attempt at one arm and seed. Failures are kept."""

    train_id: str
    attempt: int
    arm: str
    method: str
    seed: int | None
    """None for arms without training."""
    role: Role
    status: Status
    error: str | None
    ledger: Ledger
    provenance: Provenance
    artefact: Artefact | None
    parent_train_id: str | None = None
    notes: tuple[str, ...] = ()
    """Things a reader of the leaderboard must know, such as a budget that was not reached."""
    seeds: Mapping[str, int] = field(default_factory=dict)
    """What the training seed was turned into: `initialisation`, `data_order`; empty for arms without training."""
    trial: Mapping[str, Any] = field(default_factory=dict)
    """Of a trial: its number, the values tried and the space that was searched."""
