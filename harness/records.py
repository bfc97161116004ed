"""What the program produces: frozen, slotted records that travel between rooms and into the store.

Absent is None with a status beside it, never a magic number. Every record turns into plain JSON with `to_json` and
back with `from_json`, which is how workers hand results to the driver.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.spec import ArmSpec, ExperimentSpec, TaskSpec

Split = Literal["train", "validation", "test"]
R = typing.TypeVar("R")
Status = Literal["ok", "failed", "oom", "diverged", "cancelled"]
Role = Literal["trial", "final"]
FinishReason = Literal["stop", "length"]
ArtefactKind = Literal["base", "adapter", "full", "merged", "endpoint"]


def to_json(record: Any) -> Any:
    """A record (or a container of records) as plain JSON values."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if hasattr(record, "model_dump"):
        return record.model_dump(mode="json")
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(value) for value in record]
    if isinstance(record, Path):
        return str(record)
    return record


def from_json(kind: type[R], data: Any) -> R:
    """The inverse of `to_json` for record `kind`; unknown keys are ignored, missing ones take their default."""
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: _convert(hints[key], value) for key, value in data.items() if key in known})


def _convert(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not type(None)]
        return _convert(inner[0], value) if len(inner) == 1 else value
    if origin is tuple:
        kinds = args[:1] * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        return tuple(_convert(kind, item) for kind, item in zip(kinds, value, strict=True))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_json(hint, value)
    if hint is Path:
        return Path(value)
    return value


def digest(value: Any, length: int = 16) -> str:
    """SHA-256 of canonical JSON, as `length` hexadecimal digits: the identity of a piece of content."""
    text = json.dumps(to_json(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


# --------------------------------------------------------------------------------------------------------- data


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


# ------------------------------------------------------------------------------------------------------ training


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
    trainable_parameters: int = 0
    total_parameters: int = 0
    artefact_bytes: int = 0
    trials: int = 0
    truncated_prompts: int = 0
    parent: Ledger | None = None


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
class Provenance:
    """Where a result comes from."""

    harness_version: str
    commit: str | None
    dirty: bool | None
    packages: Mapping[str, str]
    hardware: Mapping[str, Any]
    started: str
    """ISO 8601, UTC."""


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


# -------------------------------------------------------------------------------------------------------- scoring


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Artefact × suite × generation settings × environment: what predictions, likelihoods and scores hang on."""

    eval_id: str
    train_id: str
    artefact_hash: str
    suite_fingerprint: str
    generation: Mapping[str, Any]
    environment: Mapping[str, Any]
    created: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """A generated answer for one test example."""

    eval_id: str
    example: str
    prompt_hash: str
    text: str
    finish: FinishReason
    tokens_in: int
    tokens_out: int
    seconds: float
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Sum of log-probabilities (natural log) of one continuation given its context.

    `suite` is `test` (the target), `retention` (a whole text), `preferences` (role `chosen` or `rejected`) or
    `lm_eval:TASK` (role `choice`, `continuation` its index).
    """

    eval_id: str
    suite: str
    item: str
    continuation: int
    role: str
    logprob: float
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one item. Corpus metrics carry sufficient statistics and a value for the single item.

    `statistics` are summed over items and turned into the corpus value by the metric's `combine`.
    """

    eval_id: str
    suite: str
    item: str
    metric: str
    filter: str
    version: int
    status: Literal["ok", "missing"]
    value: float | None
    statistics: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One scoring of the sealed test split."""

    eval_id: str
    experiment: str
    arm: str
    who: str
    why: str
    when: str


@dataclass(frozen=True, slots=True)
class Judgment:
    """One vote of blind review. An undo or a second thought is a later `revision` of the same assignment."""

    id: str
    """Made by the one who votes, so that a vote sent twice is stored once."""
    assignment: str
    """Opaque token of the assignment; says nothing about the arms."""
    revision: int
    rater: str
    winner: Literal["left", "right", "tie", "both_bad", "skip"]
    seconds: float
    """From showing the pair to the vote."""
    when: str
    """ISO 8601, UTC."""
    flags: tuple[str, ...] = ()
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval."""

    value: float
    low: float | None
    high: float | None
    n: int
    """Examples."""
    clusters: int
    seeds: int
    method: str
    """How the interval was made, in words."""
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """One experiment as it was run."""

    experiment_id: str
    name: str
    file: str
    spec: Mapping[str, Any]
    task: Mapping[str, Any]
    task_fingerprint: str
    split_sizes: Mapping[str, int]
    leaks: tuple[LeakagePair, ...]
    base_hash: str
    created: str
    groups: Mapping[str, str] = field(default_factory=dict)
    """Test example → group, for clustering."""
    suite: str = ""
    """Folder of the sealed suite below `home/sealed`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One arm and seed of an experiment, and the run and evaluation that answer for it."""

    experiment_id: str
    arm: str
    seed: int | None
    train_id: str
    attempt: int
    status: Status
    eval_id: str | None


# ------------------------------------------------------------------------------------------------- worker's plan


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """Where a prepared task lies on disk. The test split stands in a folder of its own, handed to scoring only."""

    folder: Path
    """Holds train.jsonl, validation.jsonl, pairs.jsonl (train pairs) and manifest.json."""
    sealed: Path | None
    """Holds test.jsonl, pairs.jsonl (held-out pairs), retention.jsonl and lm_eval data; None in a trainer's hands."""
    fingerprint: str
    """Hash of train and validation content, prompt and target templates."""
    suite_fingerprint: str
    """Hash of test content, held-out pairs, retention text and lm-eval tasks."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything a worker needs to train (or load) one arm with one seed and score it; plain data, picklable."""

    experiment: ResolvedExperiment
    arm: ArmSpec
    arm_name: str
    seed: int | None
    train_id: str
    parent_train_id: str | None
    home: Path
    """The home folder; the run folder is `home/runs/TRAIN_ID`, an evaluation `home/evals/EVAL_ID`."""
    files: TaskFiles
    base_hash: str
    device: str
    threads: int
    role: Role = "final"

    @property
    def run_folder(self) -> Path:
        """Folder of this training: plan, checkpoints, artefact, log, record and done marker."""
        return self.home / "runs" / self.train_id

    @property
    def parent_folder(self) -> Path | None:
        """Run folder of the parent arm."""
        return self.home / "runs" / self.parent_train_id if self.parent_train_id else None
