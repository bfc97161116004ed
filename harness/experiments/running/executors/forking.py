"""Where worker processes come from. On Linux without accelerators: from one process that has imported the libraries.

Importing what a training needs takes seconds of a processor. Paid by a process that forks (Python's fork server), it is
paid once for all workers, beginning while the driver still reads and checks, and a worker that is started later (for
the next look of a race, after a crash) is there at once. The process that forks computes nothing, so that no thread
and no device is there to be forked.

Elsewhere each worker is a fresh interpreter ("spawn"): a driver library of an accelerator does not survive a fork, and
neither do some system libraries of macOS. So is it where no arm needs the libraries.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any

from harness import arms
from harness.experiments.evaluation import evaluate
from harness.records import ResolvedExperiment, RunPlan

IMPORTED = "harness.experiments.running.executors.preload"
"""What the process that forks imports: all that a training needs."""


def begin(experiment: ResolvedExperiment, device: str, threads: int) -> None:
    """Start the process that forks, if workers of `experiment` will come from it; does not wait for its imports."""
    if not _forks(experiment, device):
        return
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when the libraries are imported
    try:
        forkserver.set_forkserver_preload([IMPORTED, *evaluate.modules(experiment.task)])
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def context(plans: Sequence[RunPlan]) -> BaseContext:
    """How workers for these plans, all of one experiment, are to be started."""
    experiment = plans[0].experiment
    # A driver that gives no accelerator to the plans has none to fork.
    device = next((plan.device for plan in plans if plan.device != "cpu"), "cpu")
    begin(experiment, device, max(plan.threads for plan in plans))
    return multiprocessing.get_context("forkserver" if _forks(experiment, device) else "spawn")


def end() -> None:
    """End the process that forks, whether or not it has finished importing; a later `begin` starts another one."""
    server: Any = getattr(forkserver, "_forkserver", None)
    pid = getattr(server, "_forkserver_pid", None)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        server._stop()


def close(pools: Sequence[ProcessPoolExecutor], busy: bool = False) -> None:
    """Let idle processes end by themselves, so that they give back their semaphores; terminate those at work."""
    for pool in pools if busy else ():
        for process in list((pool._processes or {}).values()):
            process.terminate()
    for pool in pools:
        pool.shutdown(cancel_futures=True)


def leave_with_parent() -> None:
    """End this process when the driver is gone: it would train on unseen, or wait for ever with its memory held."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _forks(experiment: ResolvedExperiment, device: str) -> bool:
    return sys.platform == "linux" and device == "cpu" and any(map(arms.needs_libraries, experiment.arms))
