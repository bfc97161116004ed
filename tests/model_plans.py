"""What tests of models share: whether the kernels for CPUs are in use, and a plan that holds what loading reads."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.config import BaseModelSpec, ResourcesSpec

CPU_KERNELS_OFF = os.environ.get("HARNESS_CPU_KERNELS") == "off"
KERNELS = [False] if CPU_KERNELS_OFF else [False, True]
"""Ways of scoring: without the kernels, and with them where they are in use."""


def plan_of(base: BaseModelSpec, run_folder: Path, cpu_kernels: str = "on") -> Any:
    """A stand-in for a run plan."""
    spec = SimpleNamespace(resources=ResourcesSpec.model_validate({"cpu_kernels": cpu_kernels}))
    return SimpleNamespace(experiment=SimpleNamespace(base=base, spec=spec), device="cpu", run_folder=run_folder)
