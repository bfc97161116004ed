"""An experiment as it was run, and the plan that a worker is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import ArmSpec
from harness.records.data import LeakagePair, ResolvedExperiment
from harness.records.search import Race, Rung
from harness.records.training import Role, Status


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
    seeds: Mapping[str, Any] = field(default_factory=dict)
    """Every seed that matters: `training` (a list), `initialisation` and `data_order` (by training seed), `tuning`,
    `bootstrap`."""
    race: Race | None = None
    """What its race did, once that is over; None without `racing`."""


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
    fraction: float = 1.0
    """Share of the train split."""


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
    fraction: float = 1.0
    """Share of the train split that it is trained on."""
    trial: Mapping[str, Any] = field(default_factory=dict)
    """Of a trial: its number, the values tried and the space that is searched."""
    rung: Rung | None = None
    """Of a race: how far it is trained now, and what it is scored on."""
    rescore: bool = False
    """Only an evaluation made in the present environment counts as finished."""

    @property
    def run_folder(self) -> Path:
        """Folder of this training: plan, checkpoints, artefact, log, record and done marker."""
        return self.home / "runs" / self.train_id

    @property
    def parent_folder(self) -> Path | None:
        """Run folder of the parent arm."""
        return self.home / "runs" / self.parent_train_id if self.parent_train_id else None
