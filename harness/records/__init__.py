"""What the program produces: frozen, slotted records that travel between rooms and into the store.

Absent is None with a status beside it, never a magic number. Every record turns into plain JSON with `to_json` and
back with `from_json`, which is how workers hand results to the driver.
"""

from harness.records.data import (
    Example,
    LeakagePair,
    Message,
    PreferencePair,
    ResolvedExperiment,
    RetentionText,
    SourceData,
    Split,
    Splits,
    TrainingData,
)
from harness.records.experiments import Entry, ExperimentRecord, RunPlan, TaskFiles
from harness.records.plain import R, differences, digest, from_json, to_json
from harness.records.scoring import (
    Estimate,
    Evaluation,
    FinishReason,
    Judgment,
    Likelihood,
    Look,
    Move,
    Prediction,
    Score,
    SentinelCheck,
)
from harness.records.serving import BatchTry, ServedArm, ServingPass, ServingProbe, ServingVisit
from harness.records.training import (
    Artefact,
    ArtefactKind,
    EventKind,
    Ledger,
    MemoryKind,
    Provenance,
    Role,
    RunEvent,
    RunRecord,
    Status,
    TrainLog,
    TrainLogRow,
)
from harness.records.tuning import Trial, Validation
from harness.records.verdicts import Outcome, Question, WinnerRule, WinnerVerdict

__all__ = [
    "Artefact",
    "ArtefactKind",
    "BatchTry",
    "Entry",
    "Estimate",
    "Evaluation",
    "EventKind",
    "Example",
    "ExperimentRecord",
    "FinishReason",
    "Judgment",
    "LeakagePair",
    "Ledger",
    "Likelihood",
    "Look",
    "MemoryKind",
    "Message",
    "Move",
    "Outcome",
    "Prediction",
    "PreferencePair",
    "Provenance",
    "Question",
    "R",
    "ResolvedExperiment",
    "RetentionText",
    "Role",
    "RunEvent",
    "RunPlan",
    "RunRecord",
    "Score",
    "SentinelCheck",
    "ServedArm",
    "ServingPass",
    "ServingProbe",
    "ServingVisit",
    "SourceData",
    "Split",
    "Splits",
    "Status",
    "TaskFiles",
    "TrainLog",
    "TrainLogRow",
    "TrainingData",
    "Trial",
    "Validation",
    "WinnerRule",
    "WinnerVerdict",
    "differences",
    "digest",
    "from_json",
    "to_json",
]
