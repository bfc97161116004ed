"""Starts the processes that measure, and says what it means when one of them dies."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from harness.errors import ArmFailed
from harness.experiments.running.executors import forking
from harness.experiments.speed import probes
from harness.experiments.speed.probes import Job
from harness.records import BatchTry, ServingProbe, ServingVisit

T = TypeVar("T")
KILLED = "its process was killed (the kernel does this when memory runs out)"


class Processes:
    """A new process for every probe, and one for all visits. Use as a context manager."""

    def __init__(self) -> None:
        self._timing: ProcessPoolExecutor | None = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._timing is not None:
            forking.close([self._timing], busy=kind is not None)

    def probe(self, job: Job) -> ServingProbe:
        """The size of the arm and the batches that fit, in a process that has held no other model.

        Raises ArmFailed when the process dies while it loads, or whatever loading raises.
        """
        pool, busy = _pool(), True
        try:
            size = _call(pool, probes.hold, job)
            tries = _tries(pool, job.settings.batches) if job.forced else ()
            busy = False
            return ServingProbe(size.weights_bytes, size.memory_kind, tries)
        finally:
            forking.close([pool], busy)

    def visit(self, job: Job, rows: int | None) -> ServingVisit:
        """One timed visit. Raises ArmFailed when its process dies, or whatever generating raises."""
        self._timing = self._timing or _pool()
        try:
            return _call(self._timing, probes.visit, job, rows)
        except ArmFailed as error:
            if error.message == KILLED:
                forking.close([self._timing])
                self._timing = None
            raise


def batches(largest: int) -> list[int]:
    """1, 2, 4, … and `largest` itself."""
    return [*(1 << power for power in range((largest - 1).bit_length())), largest]


def _tries(pool: ProcessPoolExecutor, largest: int) -> tuple[BatchTry, ...]:
    tries: list[BatchTry] = []
    for rows in batches(largest):
        try:
            tries.append(_call(pool, probes.attempt, rows))
        except ArmFailed as error:
            if error.message != KILLED:
                raise
            tries.append(BatchTry(rows, "oom", None, KILLED))
        if tries[-1].status == "oom":
            break
    return tuple(tries)


def _call(pool: ProcessPoolExecutor, function: Callable[..., T], *arguments: object) -> T:
    try:
        return pool.submit(function, *arguments).result()
    except BrokenProcessPool:
        raise ArmFailed(KILLED, hint="Free some memory and run the same command") from None


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), forking.leave_with_parent)
