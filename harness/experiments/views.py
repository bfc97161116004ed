"""A task, an experiment and a forecast, made from their files, as a Python user holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import TaskSpec
from harness.experiments.forecast import text
from harness.experiments.forecast.forecast import Forecast
from harness.experiments.loading.catalogue import flat
from harness.records import ResolvedExperiment, to_json as plain
from harness.results.render.table import table
from harness.results.render.writers import Part
from harness.results.views import View, frame

if TYPE_CHECKING:
    import pandas

TASK, EXPERIMENT = "harness.task/1", "harness.experiment/1"


@dataclass(frozen=True, slots=True, repr=False)
class TaskView(View):
    """A task as written, with defaults filled in. None of its data was read."""

    spec: TaskSpec
    folder: Path
    """Where its files lie."""

    def to_dict(self) -> dict[str, Any]:
        """Every field of the task."""
        return {"schema": TASK, **self.spec.model_dump(mode="json")}

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each setting: `field` (dotted) and `value`."""
        return frame([{"field": field, "value": value} for field, value in flat(self.spec.model_dump(mode="json"))])

    def parts(self) -> Sequence[Part]:
        """One row for each setting."""
        rows = [[field, str(value)] for field, value in flat(self.spec.model_dump(mode="json"))]
        return [table(["field", "value"], rows, words=True)]


@dataclass(frozen=True, slots=True, repr=False)
class ExperimentView(View):
    """An experiment with every arm written out and every default filled in."""

    experiment: ResolvedExperiment

    def to_dict(self) -> dict[str, Any]:
        """Name, spec, task and arms."""
        found = self.experiment
        return {
            "schema": EXPERIMENT,
            "name": found.name,
            "spec": found.spec.model_dump(mode="json"),
            "task": found.task.model_dump(mode="json"),
            "arms": [arm.model_dump(mode="json") for arm in found.arms],
        }

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each arm, one column for each of its settings (dotted names)."""
        return frame([dict(flat(arm.model_dump(mode="json"))) for arm in self.experiment.arms])

    def parts(self) -> Sequence[Part]:
        """One row for each arm, with the settings that are not the defaults of its method."""
        found = self.experiment
        rows = []
        for arm in found.arms:
            own = flat(arm.model_dump(mode="json", exclude_defaults=True, exclude={"name", "method"}))
            rows.append([str(arm.name), arm.method, ", ".join(f"{field}: {value}" for field, value in own)])
        budget = ", ".join(f"{n} {name}" for name, n in found.spec.budget.model_dump(exclude_none=True).items())
        about = f"{found.name}: task {found.task.name}, {len(found.spec.seeds)} seeds, {budget} for each trained arm"
        return [about, "", table(["arm", "method", "settings"], rows)]


@dataclass(frozen=True, slots=True, repr=False)
class PlanView(View):
    """What an experiment will take and what it will be able to show."""

    forecast: Forecast

    def to_dict(self) -> dict[str, Any]:
        """As `harness plan --json`."""
        return text.to_json(self.forecast)

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each arm: runs, seconds of one run (wall time on one device), bytes; missing where unknown."""
        return frame([plain(arm) for arm in self.forecast.arms])

    def parts(self) -> Sequence[Part]:
        """As `harness plan` prints it."""
        return text.view(self.forecast)
