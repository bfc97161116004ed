"""Several processes, each with one arm at a time and its imports kept warm for the next.

An arm whose process is killed (out of memory, say) is recorded as failed and takes no other arm with it. With
accelerators each worker sees one of them alone (CUDA_VISIBLE_DEVICES), dealt out in turn.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import BaseContext
from typing import Any

from harness import environment
from harness.experiments.running.executors import Execute, Expected, forking
from harness.experiments.running.executors.admission import Memory, Occupant, decide, note, room
from harness.experiments.running.executors.inline import label
from harness.experiments.running.worker import Outcome, execute_or_block, not_run, warm
from harness.progress import Reporter
from harness.records import RunPlan

Told = tuple[str, str, int, int]
"""Label, phase, steps done, steps in all."""

_queue: Any = None
"""In a worker process: where its progress goes."""


@contextmanager
def opened(reporter: Reporter, workers: int, expected: Expected | None = None) -> Iterator[Execute]:
    """See `executors.opened`; a plan waits for its parent."""
    crew = Crew(reporter, workers, expected)
    try:
        yield crew.execute
    finally:
        crew.close()


@dataclass(slots=True)
class _Worker:
    """A pool of one process, which of the workers it is, and the device that it sees alone."""

    slot: int
    device: str | None
    pool: ProcessPoolExecutor

    @property
    def pids(self) -> list[int]:
        """Its process, once that has begun."""
        return list(self.pool._processes or {})

    @property
    def is_alive(self) -> bool:
        """False when an idle process has died: memory ran out elsewhere, say."""
        # `Process.is_alive` says yes while another thread (the pool's own) is just learning of the death.
        ends = [process.sentinel for process in (self.pool._processes or {}).values()]
        return not self.pool._broken and not connection.wait(ends, timeout=0)


Running = dict[Future[Outcome], tuple[RunPlan, _Worker]]


class Crew:
    """Worker processes, begun when they are needed and idle between plans.

    Every worker is a pool of one process, so that a process that dies breaks one plan only.
    """

    def __init__(self, reporter: Reporter, workers: int, expected: Expected | None = None) -> None:
        self._context: BaseContext = multiprocessing.get_context("spawn")
        self._queue = self._context.SimpleQueue()
        self._reporter, self._workers, self._expected = reporter, workers, expected
        self._listener = threading.Thread(target=_listen, args=(self._queue, reporter), daemon=True)
        self._listener.start()
        self._idle: list[_Worker] = []
        self._running: Running = {}
        self._devices: list[str] = []

    def close(self) -> None:
        """End all: those at work are told to, idle ones leave by themselves, which gives back their semaphores."""
        self._dismiss()
        self._send_home()
        self._queue.put(None)
        self._listener.join()

    def execute(self, plans: Sequence[RunPlan], before: Callable[[], None] | None = None) -> Iterator[Outcome]:
        """Outcomes as they come.

        While `before` is at work libraries are imported, by the process that workers are forked from or by the first
        workers.
        """
        waiting, failed = longest_first(plans), dict[str, str]()
        settled = {plan.parent_train_id for plan in plans} - {plan.train_id for plan in plans}
        running = self._running
        self._devices = devices_of(plans) or self._devices
        try:
            if plans:
                self._context = forking.context(plans)
            if before is not None:
                if self._context.get_start_method() == "spawn":
                    self._warm(waiting[: self._workers])
                try:
                    before()
                except BaseException:  # nobody waits for what the workers import
                    self._send_home(busy=True)
                    raise
            memory = self._expected(waiting) if self._expected is not None and waiting else None
            while waiting or running:
                for plan in [plan for plan in waiting if plan.parent_train_id in settled | {None}]:
                    worker = self._worker_for(plan, memory) if len(running) < self._workers else None
                    if worker is not None:
                        waiting.remove(plan)
                        running[worker.pool.submit(_execute, plan, dict(failed))] = (plan, worker)
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    plan, worker = running.pop(future)
                    outcome, healthy = _outcome(plan, future)
                    self._idle += [worker] if healthy else []
                    settled.add(plan.train_id)
                    self._reporter.clear(label(plan))
                    if outcome.run.status != "ok":
                        failed[plan.train_id] = outcome.run.error or outcome.run.status
                    yield outcome
        finally:
            self._dismiss()

    def _dismiss(self) -> None:
        """Tell processes at work to leave."""
        busy = [worker for _, worker in self._running.values()]
        self._running.clear()
        forking.close([worker.pool for worker in busy], busy=True)

    def _send_home(self, busy: bool = False) -> None:
        """End the idle workers, or those that still import (`busy`)."""
        forking.close([worker.pool for worker in self._idle], busy)
        self._idle.clear()

    def _begun(self, slot: int) -> _Worker:
        device = self._devices[slot % len(self._devices)] if self._devices else None
        arguments = (self._queue, device, dict(os.environ))
        return _Worker(slot, device, ProcessPoolExecutor(1, self._context, _start, arguments))

    def _warm(self, plans: Sequence[RunPlan]) -> None:
        """Begin as many workers as there are plans, each importing what its plan needs."""
        for plan in plans[len(self._idle) :]:
            worker = self._begun(free_slot([other.slot for other in self._idle]))
            self._idle.append(worker)
            worker.pool.submit(warm, plan)

    # --------------------------------------------------------------------------------------------------- memory

    def _worker_for(self, plan: RunPlan, memory: Memory | None) -> _Worker | None:
        """An idle or new worker to execute `plan`; None where memory says that it should wait."""
        self._idle = [worker for worker in self._idle if worker.is_alive]
        taken = [worker.slot for _, worker in self._running.values()]
        need = memory.needs.get(plan.train_id) if memory is not None else None
        if memory is None or need is None:
            return self._idle.pop() if self._idle else self._begun(free_slot(taken))
        candidates: list[tuple[_Worker, int]] = []
        fresh = [] if self._idle else [self._begun(free_slot(taken))]
        for worker in [*reversed(self._idle), *fresh]:
            device = worker.device if plan.device == "cuda" else None
            occupants = [
                Occupant(memory.needs.get(other.train_id), _used(memory, busy, device))
                for other, busy in self._running.values()
                if device is None or busy.device == device
            ]
            free, own = memory.free(device), _used(memory, worker, device)
            decision = decide(need, free, occupants, own)
            if decision != "start" and device is None and free is not None:
                # What idle workers keep can be had as well: they are sent home, and others begin when they are needed.
                others = [other for other in self._idle if other is not worker]
                spare = sum(_used(memory, other, None) for other in others)
                if others and decide(need, free + spare, occupants, own) == "start":
                    for other in others:
                        other.pool.shutdown()
                    self._idle, decision = [worker], "start"
            if decision == "start":
                return self._taken(worker)
            if decision == "start_anyway" and free is not None:
                candidates.append((worker, room(free, occupants, own)))
        if candidates:
            worker, left = candidates[0]
            self._reporter.say(note(label(plan), need, left))
            return self._taken(worker)
        for worker in fresh:
            worker.pool.shutdown()
        return None

    def _taken(self, worker: _Worker) -> _Worker:
        self._idle = [other for other in self._idle if other is not worker]
        return worker


def _used(memory: Memory, worker: _Worker, device: str | None) -> int:
    """Bytes that a worker holds on `device`."""
    return sum(memory.used(pid, device) for pid in worker.pids)


def longest_first(plans: Sequence[RunPlan]) -> list[RunPlan]:
    """`plans` in the order in which they begin: those that others wait for, other trainings, then the untrained, of
    which those with worked examples have the longer prompts.

    What is long and begun last leaves processes idle at the end. Results do not depend on the order.
    """
    parents = {plan.parent_train_id for plan in plans}

    def late(plan: RunPlan) -> int:
        if plan.train_id in parents:
            return 0
        return 1 if plan.seed is not None else 2 if plan.arm.method == "few_shot" else 3

    return sorted(plans, key=late)


def devices_of(plans: Sequence[RunPlan]) -> list[str]:
    """Devices to deal out among the workers, so that each sees one alone; none where no plan uses one."""
    if not any(plan.device == "cuda" for plan in plans):
        return []
    return environment.visible_devices(len(environment.accelerators()), os.environ.get("CUDA_VISIBLE_DEVICES"))


def free_slot(taken: Sequence[int]) -> int:
    """The least number that no worker has: a worker whose process died leaves its device to its successor."""
    return next(slot for slot in range(len(taken) + 1) if slot not in taken)


def _start(queue: Any, device: str | None, environ: Mapping[str, str]) -> None:
    """In a new process, before anything uses torch; one that was forked has the environment of an earlier moment."""
    global _queue
    _queue = queue
    os.environ.clear()
    os.environ.update(environ)
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    forking.leave_with_parent()


def _execute(plan: RunPlan, failed: dict[str, str]) -> Outcome:
    name = label(plan)
    return execute_or_block(plan, failed, lambda phase, done, total: _queue.put((name, phase, done, total)))


def _listen(queue: Any, reporter: Reporter) -> None:
    while (step := queue.get()) is not None:
        reporter.step(*step)


def _outcome(plan: RunPlan, future: Future[Outcome]) -> tuple[Outcome, bool]:
    """The outcome, and whether the process can be used again."""
    try:
        return future.result(), True
    except BrokenProcessPool:
        return not_run(plan, "its process was killed (the kernel does this when memory runs out); run again"), False
