"""A plan that holds what loading a model reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.config import BaseModelSpec


def plan_of(base: BaseModelSpec, run_folder: Path) -> Any:
    """A stand-in for a run plan."""
    return SimpleNamespace(experiment=SimpleNamespace(base=base), device="cpu", run_folder=run_folder)
