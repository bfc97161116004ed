"""What a person writes: tasks, arms and experiments, as frozen pydantic models.

Nothing here touches the disk: `load.py` turns YAML into these and adds file and line to every error.
Unknown fields are errors (`extra="forbid"`), so a typo never becomes a silent default.
"""

from harness.spec.arms import (
    ArmBase,
    ArmSpec,
    DpoSpec,
    FewShotSpec,
    FullSpec,
    ImportedSpec,
    LoraArmSpec,
    LoraSpec,
    OptimiserSpec,
    PeftSpec,
    QloraSpec,
    QuantSpec,
    ToySpec,
    TrainedBase,
    UntrainedSpec,
)
from harness.spec.base import Spec
from harness.spec.experiment import (
    BaseModelSpec,
    BudgetSpec,
    ChatSpec,
    ExperimentSpec,
    ResourcesSpec,
    WinnerCost,
    WinnerSpec,
)
from harness.spec.suite import SuiteItem
from harness.spec.task import (
    DataSpec,
    GenerateSpec,
    LeakageSpec,
    LmEvalSpec,
    MetricsSpec,
    PreferencesSpec,
    RetentionSpec,
    SplitFiles,
    SplitsSpec,
    TaskSpec,
)

__all__ = [
    "ArmBase",
    "ArmSpec",
    "BaseModelSpec",
    "BudgetSpec",
    "ChatSpec",
    "DataSpec",
    "DpoSpec",
    "ExperimentSpec",
    "FewShotSpec",
    "FullSpec",
    "GenerateSpec",
    "ImportedSpec",
    "LeakageSpec",
    "LmEvalSpec",
    "LoraArmSpec",
    "LoraSpec",
    "MetricsSpec",
    "OptimiserSpec",
    "PeftSpec",
    "PreferencesSpec",
    "QloraSpec",
    "QuantSpec",
    "ResourcesSpec",
    "RetentionSpec",
    "Spec",
    "SplitFiles",
    "SplitsSpec",
    "SuiteItem",
    "TaskSpec",
    "ToySpec",
    "TrainedBase",
    "UntrainedSpec",
    "WinnerCost",
    "WinnerSpec",
]
