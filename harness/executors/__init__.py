"""Where workers execute. An executor takes plans in dependency order and yields outcomes as they come.

`inline`: one warm process, one arm after the other. `processes`: one fresh process an arm.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

from harness.progress import Reporter
from harness.records import RunPlan
from harness.worker import Outcome

EXECUTORS: dict[str, str] = {
    "inline": "harness.executors.inline",
    "processes": "harness.executors.processes",
}


class Execute(Protocol):
    """An executor's function."""

    def __call__(
        self, plans: Sequence[RunPlan], workers: int, reporter: Reporter, before: Callable[[], None] | None = None
    ) -> Iterator[Outcome]:
        """Outcomes of `plans` as they come, at most `workers` at a time.

        `before` is called once before the first plan is begun; whatever it raises ends the whole.
        """
        ...


def executor(name: str) -> Execute:
    """The `execute` function of the executor called `name`."""
    return cast(Execute, importlib.import_module(EXECUTORS[name]).execute)
