"""Where workers execute. An executor takes plans in dependency order and yields outcomes as they come.

`inline`: this process, one arm after the other. `processes`: several, each kept warm for the next arm. An executor is
opened once a run: trials of a tuning, looks of a race and the finals share its processes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, cast

from harness.config import plugins
from harness.config.experiment import EXECUTORS
from harness.experiments.running.executors.admission import Memory
from harness.experiments.running.worker import Outcome
from harness.progress import Reporter
from harness.records import RunPlan

Expected = Callable[[Sequence[RunPlan]], Memory]
"""What is known of the memory that plans need."""


class Execute(Protocol):
    """What an opened executor does."""

    def __call__(self, plans: Sequence[RunPlan], before: Callable[[], None] | None = None) -> Iterator[Outcome]:
        """Outcomes of `plans` as they come.

        `before` is called once before the first plan is begun; whatever it raises ends the whole.
        """


def opened(
    name: str, reporter: Reporter, workers: int, expected: Expected | None = None
) -> AbstractContextManager[Execute]:
    """The executor called `name`, to be called as often as there are plans; what it keeps between goes at the end.

    At most `workers` plans execute at a time, and fewer where those that are `expected` not to fit in memory wait.
    """
    plugin = plugins.find("harness.executors", name, EXECUTORS)
    module = plugin.load() if plugin is not None else importlib.import_module(f"{__name__}.{name}")
    return cast(AbstractContextManager[Execute], module.opened(reporter, workers, expected))
