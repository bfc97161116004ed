"""What a person writes: tasks, arms and experiments, as frozen pydantic models.

Nothing here touches the disk: `load.py` turns YAML into these and adds file and line to every error.
Unknown fields are errors (`extra="forbid"`), so a typo never becomes a silent default.
"""

from harness.config.arms import (
    ArmBase as ArmBase,
    ArmSpec as ArmSpec,
    Choices as Choices,
    ContinuedBase as ContinuedBase,
    DpoSpec as DpoSpec,
    EndpointSpec as EndpointSpec,
    FewShotSpec as FewShotSpec,
    FullSpec as FullSpec,
    ImportedSpec as ImportedSpec,
    LoraArmSpec as LoraArmSpec,
    LoraSpec as LoraSpec,
    OptimiserSpec as OptimiserSpec,
    PairsFileSpec as PairsFileSpec,
    PeftSpec as PeftSpec,
    QloraSpec as QloraSpec,
    QuantSpec as QuantSpec,
    RangeSpec as RangeSpec,
    Search as Search,
    Setting as Setting,
    SftContinuedSpec as SftContinuedSpec,
    ToySpec as ToySpec,
    TrainedBase as TrainedBase,
    UntrainedSpec as UntrainedSpec,
)
from harness.config.documents import Spec as Spec
from harness.config.experiment import (
    SERVING_COSTS as SERVING_COSTS,
    BaseModelSpec as BaseModelSpec,
    BudgetSpec as BudgetSpec,
    ChatSpec as ChatSpec,
    ExperimentSpec as ExperimentSpec,
    RacingSpec as RacingSpec,
    ResourcesSpec as ResourcesSpec,
    ServingSpec as ServingSpec,
    TuningSpec as TuningSpec,
    WinnerCost as WinnerCost,
    WinnerSpec as WinnerSpec,
)
from harness.config.gates import GateRule as GateRule, GateSpec as GateSpec, WaiverSpec as WaiverSpec
from harness.config.suite import SuiteItem as SuiteItem
from harness.config.task import (
    DataSpec as DataSpec,
    GenerateSpec as GenerateSpec,
    LeakageSpec as LeakageSpec,
    LmEvalSpec as LmEvalSpec,
    MetricsSpec as MetricsSpec,
    PracticeSpec as PracticeSpec,
    PreferencesSpec as PreferencesSpec,
    RetentionSpec as RetentionSpec,
    ReviewSpec as ReviewSpec,
    SplitFiles as SplitFiles,
    SplitsSpec as SplitsSpec,
    TaskSpec as TaskSpec,
)
