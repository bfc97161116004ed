"""Where workers execute. An executor takes plans in dependency order and yields outcomes as they come.

`inline`: one warm process, one arm after the other. `processes`: one fresh process an arm.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from harness.progress import Reporter
from harness.records import RunPlan
from harness.worker import Outcome

EXECUTORS: dict[str, str] = {
    "inline": "harness.executors.inline",
    "processes": "harness.executors.processes",
}

Execute = Callable[[Sequence[RunPlan], int, Reporter], Iterator[Outcome]]


def executor(name: str) -> Execute:
    """The `execute` function of the executor called `name`: (plans, workers, reporter) → outcomes."""
    return cast(Execute, importlib.import_module(EXECUTORS[name]).execute)
