"""One arm after the other in this process: imports and the machine's caches stay warm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from harness.experiments.running.executors import Execute
from harness.experiments.running.worker import Outcome, execute_or_block
from harness.progress import Reporter
from harness.records import RunPlan


@contextmanager
def opened(reporter: Reporter, workers: int, expected: Any = None) -> Iterator[Execute]:
    """See `executors.opened`. `workers` is always one here, and so nothing waits for memory."""

    def execute(plans: Sequence[RunPlan], before: Callable[[], None] | None = None) -> Iterator[Outcome]:
        if before is not None:
            before()
        failed: dict[str, str] = {}
        for plan in plans:
            reporter.label = label(plan)
            outcome = execute_or_block(plan, failed, reporter)
            if outcome.run.status != "ok":
                failed[plan.train_id] = outcome.run.error or outcome.run.status
            yield outcome

    yield execute


def label(plan: RunPlan) -> str:
    """How a plan is called in progress lines."""
    if plan.role == "trial":
        return f"{plan.arm_name} (trial {plan.trial['number']})"
    if plan.rung is not None:
        return f"{plan.arm_name} (seed {plan.seed}, to {plan.rung.share:.3g} of the budget)"
    share = "" if plan.fraction == 1 else f", {plan.fraction:.0%} of the data"
    return plan.arm_name if plan.seed is None else f"{plan.arm_name} (seed {plan.seed}{share})"
