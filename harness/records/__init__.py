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
from harness.records.plain import R, digest, from_json, to_json
from harness.records.scoring import Estimate, Evaluation, FinishReason, Judgment, Likelihood, Look, Prediction, Score
from harness.records.training import (
    Artefact,
    ArtefactKind,
    Ledger,
    Provenance,
    Role,
    RunRecord,
    Status,
    TrainLog,
    TrainLogRow,
)
from harness.records.verdicts import Outcome, Question, WinnerRule, WinnerVerdict

__all__ = [
    "Artefact",
    "ArtefactKind",
    "Entry",
    "Estimate",
    "Evaluation",
    "Example",
    "ExperimentRecord",
    "FinishReason",
    "Judgment",
    "LeakagePair",
    "Ledger",
    "Likelihood",
    "Look",
    "Message",
    "Outcome",
    "Prediction",
    "PreferencePair",
    "Provenance",
    "Question",
    "R",
    "ResolvedExperiment",
    "RetentionText",
    "Role",
    "RunPlan",
    "RunRecord",
    "Score",
    "SourceData",
    "Split",
    "Splits",
    "Status",
    "TaskFiles",
    "TrainLog",
    "TrainLogRow",
    "TrainingData",
    "WinnerRule",
    "WinnerVerdict",
    "digest",
    "from_json",
    "to_json",
]
