"""What the program produces: frozen, slotted records that travel between rooms and into the store.

Absent is None with a status beside it, never a magic number. Every record turns into plain JSON with `to_json` and
back with `from_json`, which is how workers hand results to the driver.
"""

from harness.records.data import (
    Example as Example,
    LeakagePair as LeakagePair,
    Message as Message,
    PreferencePair as PreferencePair,
    ResolvedExperiment as ResolvedExperiment,
    RetentionText as RetentionText,
    SourceData as SourceData,
    Split as Split,
    Splits as Splits,
    TrainingData as TrainingData,
)
from harness.records.experiments import (
    Entry as Entry,
    ExperimentRecord as ExperimentRecord,
    RunPlan as RunPlan,
    TaskFiles as TaskFiles,
)
from harness.records.gates import (
    EXIT_CODES as EXIT_CODES,
    Evidence as Evidence,
    ExampleDrop as ExampleDrop,
    GateCall as GateCall,
    GateOutcome as GateOutcome,
    GateVerdict as GateVerdict,
    RuleVerdict as RuleVerdict,
    Tier as Tier,
    WaiverState as WaiverState,
    WaiverUse as WaiverUse,
)
from harness.records.release import (
    PARITY_CODES as PARITY_CODES,
    Closeness as Closeness,
    ParityCheck as ParityCheck,
    ParityOutcome as ParityOutcome,
    ShippedKind as ShippedKind,
)
from harness.records.review import (
    Assignment as Assignment,
    AssignmentKind as AssignmentKind,
    ExclusionRule as ExclusionRule,
    Guess as Guess,
    Invitation as Invitation,
    Practice as Practice,
    Render as Render,
    Reservation as Reservation,
    ReviewText as ReviewText,
    Round as Round,
    RoundSplit as RoundSplit,
    Stamp as Stamp,
)
from harness.records.scoring import (
    Estimate as Estimate,
    Evaluation as Evaluation,
    FinishReason as FinishReason,
    Judgment as Judgment,
    Likelihood as Likelihood,
    Move as Move,
    Prediction as Prediction,
    Score as Score,
    ScoreBlock as ScoreBlock,
    ScoreColumns as ScoreColumns,
    SealedAccess as SealedAccess,
    SentinelCheck as SentinelCheck,
    Winner as Winner,
)
from harness.records.search import (
    Race as Race,
    RaceArm as RaceArm,
    RaceOutcome as RaceOutcome,
    Rung as Rung,
    RungScores as RungScores,
    Trial as Trial,
    Validation as Validation,
    rung_folder as rung_folder,
)
from harness.records.serialise import (
    R as R,
    differences as differences,
    digest as digest,
    from_json as from_json,
    to_json as to_json,
)
from harness.records.serving import (
    BatchTry as BatchTry,
    ServedArm as ServedArm,
    ServingPass as ServingPass,
    ServingProbe as ServingProbe,
    ServingVisit as ServingVisit,
)
from harness.records.training import (
    Artefact as Artefact,
    ArtefactKind as ArtefactKind,
    EventKind as EventKind,
    Ledger as Ledger,
    LibraryConfig as LibraryConfig,
    MemoryKind as MemoryKind,
    Provenance as Provenance,
    Role as Role,
    RunEvent as RunEvent,
    RunRecord as RunRecord,
    Status as Status,
    TrainLog as TrainLog,
    TrainLogRow as TrainLogRow,
)
from harness.records.verdicts import (
    Outcome as Outcome,
    Question as Question,
    WinnerRule as WinnerRule,
    WinnerVerdict as WinnerVerdict,
)
