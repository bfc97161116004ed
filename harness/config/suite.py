"""A suite: one experiment repeated over several tasks or base models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from harness.config.documents import FilePath, Spec
from harness.config.experiment import BaseModelSpec


class SuiteItem(Spec):
    """One experiment of a suite: what it has in place of the file's own fields."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")] | None = None
    """Name within the suite; without it the last part of its task or base model."""
    task: FilePath | None = None
    """Another task."""
    base_model: BaseModelSpec | str | None = None
    """Another base model."""

    @model_validator(mode="after")
    def _something(self) -> SuiteItem:
        if self.task is None and self.base_model is None:
            raise ValueError("give a task, a base_model, or both")
        return self
