"""An executor: runs plan after plan in this process, and counts them in a file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.experiments.running import worker
from harness.experiments.running.executors import Execute, Expected
from harness.experiments.running.worker import Outcome
from harness.progress import Reporter
from harness.records import RunPlan


@contextmanager
def opened(reporter: Reporter, workers: int, expected: Expected | None) -> Iterator[Execute]:
    """An executor that writes the name of each arm that it ran into `executed.txt`."""

    def execute(plans: Sequence[RunPlan], before: Callable[[], None] | None = None) -> Iterator[Outcome]:
        if before is not None and plans:
            before()
        for plan in plans:
            with Path("executed.txt").open("a") as out:
                out.write(f"{plan.arm_name}\n")
            yield worker.execute(plan, reporter)

    yield execute
