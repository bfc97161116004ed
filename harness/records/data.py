"""Examples, pairs, splits, and an experiment with its files resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.config import ArmSpec, ExperimentSpec, TaskSpec
from harness.errors import UsageError

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One example. Exactly one of `prompt` and `messages` is set; neither holds the target.

    `references` holds one or more right answers; the first is trained on. `fields` is the row as it came, so that an
    arm may render another prompt and a metric may read its facts.
    """

    id: str
    group: str
    references: tuple[str, ...]
    prompt: str | None = None
    system: str | None = None
    messages: tuple[Message, ...] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A better and a worse answer to the prompt of example `example`."""

    example: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class RetentionText:
    """A text from before the fine-tuning."""

    id: str
    text: str
    domain: str = ""


@dataclass(frozen=True, slots=True)
class LeakagePair:
    """Two examples on different sides of a split that share what they must not share."""

    kept: str
    kept_split: str
    dropped: str
    dropped_split: str
    reason: Literal["id", "group", "prompt", "near-duplicate"]
    similarity: float


@dataclass(frozen=True, slots=True)
class Splits:
    """Ids of each split in data order, what was dropped for leaking, and a fingerprint of assignment and content."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    leaks: tuple[LeakagePair, ...]
    merged: tuple[tuple[str, ...], ...]
    """Groups that were joined because a near-duplicate links them."""
    fingerprint: str


@dataclass(frozen=True, slots=True)
class SourceData:
    """A task's data as read, before it is split (or in the splits it came in)."""

    examples: tuple[Example, ...]
    """Every example, in data order."""
    by_split: Mapping[Split, tuple[Example, ...]] | None
    """The same examples by the split they came in; None where the harness splits."""
    pairs: tuple[PreferencePair, ...]
    """Preference pairs of any example."""
    texts: Mapping[str, str]
    """Example id → what the row contributes to its prompt (no literal text of the template): leak checks compare it."""
    provenance: Mapping[str, Any]
    """File hashes, Python version, data set revision: where the rows came from."""
    notes: tuple[str, ...] = ()
    """What a reader must know, such as merged duplicate rows."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All that a trainer is handed: no test example can be reached from here."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    pairs: tuple[PreferencePair, ...]
    """Pairs of train examples only."""

    @property
    def test(self) -> tuple[Example, ...]:
        """Sealed: raises UsageError, so that code that asks for it says so at once."""
        raise UsageError(
            "the test split is sealed: training code cannot read it", hint="Choose settings on the validation split"
        )


@dataclass(frozen=True, slots=True)
class ResolvedExperiment:
    """An experiment with its task read and every arm written out with a name; paths are absolute."""

    name: str
    file: Path
    spec: ExperimentSpec
    task: TaskSpec
    task_dir: Path
    arms: tuple[ArmSpec, ...]
    base: Any
    """BaseModelSpec with an absolute path or a hub id."""
