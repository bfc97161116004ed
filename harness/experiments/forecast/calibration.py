"""Measures a few training steps and answers of every arm of which no stored run tells how long it takes.

Each arm really runs, through the same worker, in a folder that is removed afterwards. What is answered are *validation*
examples: the sealed test split is not touched, and nothing is stored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.config import BudgetSpec
from harness.experiments.forecast.history import Rate, rate_of
from harness.experiments.running import worker
from harness.records import RunPlan, TaskFiles
from harness.records.files import write_records

EXAMPLES = 16
"""Training examples of a calibration (half as many pairs for DPO)."""
ANSWERS = 8
"""Validation examples that are answered and scored."""


def calibrate(
    plans: Sequence[RunPlan], arms: Sequence[str], home: Path, say: Callable[[str], None]
) -> dict[str, Rate | str]:
    """Arm name → what it took, or why it could not be measured; `plans` are those of the whole experiment."""
    firsts: dict[str, RunPlan] = {}
    for plan in plans:  # parents come before children
        firsts.setdefault(plan.arm_name, plan)
    names = {plan.train_id: plan.arm_name for plan in plans}
    children = [plan for plan in firsts.values() if plan.arm_name in arms]
    needed = set(arms) | {names[plan.parent_train_id] for plan in children if plan.parent_train_id is not None}
    home.mkdir(parents=True, exist_ok=True)
    rates: dict[str, Rate | str] = {}
    with tempfile.TemporaryDirectory(prefix="calibration-", dir=home) as folder:
        small = _SmallExperiment(Path(folder), plans[0])
        for name, plan in firsts.items():
            if name in needed:
                say(f"calibrating {name}: {EXAMPLES} training and {small.answers} validation examples")
                rates[name] = small.measure(plan)
    return {name: rate for name, rate in rates.items() if name in arms}


class _SmallExperiment:
    """The same experiment with a few examples, in a folder of its own."""

    def __init__(self, folder: Path, plan: RunPlan) -> None:
        data = worker.read_training(plan.files.folder)
        few = data.validation[:ANSWERS]
        self.answers, self.validation = len(few), len(data.validation)
        self.home = folder
        self.files = TaskFiles(folder / "task", folder / "answers", plan.files.fingerprint, "calibration")
        write_records(folder / "task" / "train.jsonl", data.train)
        write_records(folder / "task" / "validation.jsonl", few)
        write_records(folder / "task" / "pairs.jsonl", data.pairs)
        write_records(folder / "answers" / "test.jsonl", few)

    def measure(self, plan: RunPlan) -> Rate | str:
        """Run the arm on the few examples."""
        arm = plan.arm
        if "examples" in type(arm).model_fields:  # an arm with a budget of its own
            arm = arm.model_copy(update={"examples": EXAMPLES // 2})
        task = plan.experiment.task.model_copy(update={"lm_eval": None, "retention": None})
        spec = plan.experiment.spec.model_copy(update={"budget": BudgetSpec(examples=EXAMPLES)})
        experiment = replace(plan.experiment, spec=spec, task=task)
        small = replace(plan, home=self.home, files=self.files, experiment=experiment, arm=arm)
        outcome = worker.execute(small)
        run, ledger = outcome.run, outcome.run.ledger
        if run.status != "ok" or outcome.eval_id is None:
            return f"the calibration of {plan.arm_name} ended {run.status}: {run.error}"
        validation = ledger.validation_seconds * self.validation / max(1, self.answers)
        basis = f"a calibration on {ledger.examples} training and {self.answers} validation examples"
        return rate_of([ledger], ledger.prepare_seconds + validation, self.answers, basis)
