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
from dataclasses import dataclass
from typing import Any

from harness import environment
from harness.executors import forking
from harness.executors.inline import label
from harness.progress import Reporter
from harness.records import RunPlan
from harness.worker import Outcome, execute_or_block, not_run, warm

Told = tuple[str, str, int, int]
"""Label, phase, steps done, steps in all."""

_queue: Any = None
"""In a worker process: where its progress goes."""


def execute(
    plans: Sequence[RunPlan], workers: int, reporter: Reporter, before: Callable[[], None] | None = None
) -> Iterator[Outcome]:
    """Yield outcomes as they come, at most `workers` at a time; a plan waits for its parent.

    Every worker is a pool of one process, so that a process that dies breaks one plan only. While `before` is at work
    libraries are imported, by the process that workers are forked from or by the first workers.
    """
    context = forking.context(plans)
    queue = context.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(queue, reporter), daemon=True)
    listener.start()
    waiting, failed = longest_first(plans), dict[str, str]()
    settled = {plan.parent_train_id for plan in plans} - {plan.train_id for plan in plans}
    idle: list[_Worker] = []
    running: dict[Future[Outcome], tuple[RunPlan, _Worker]] = {}
    devices = devices_of(plans)

    def begun(slot: int) -> _Worker:
        device = devices[slot % len(devices)] if devices else None
        return _Worker(slot, ProcessPoolExecutor(1, context, _start, (queue, device, dict(os.environ))))

    try:
        if before is not None and context.get_start_method() == "spawn":
            idle = [begun(slot) for slot in range(min(workers, len(waiting)))]
            for worker, plan in zip(idle, waiting, strict=False):
                worker.pool.submit(warm, plan)
            _or_end(before, idle)
        elif before is not None:
            before()  # the process that forks is importing meanwhile
        while waiting or running:
            for plan in [plan for plan in waiting if plan.parent_train_id in settled | {None}]:
                if len(running) < workers:
                    waiting.remove(plan)
                    taken = [other.slot for _, other in running.values()]
                    worker = idle.pop() if idle else begun(free_slot(taken))
                    running[worker.pool.submit(_execute, plan, dict(failed))] = (plan, worker)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                plan, worker = running.pop(future)
                outcome, healthy = _outcome(plan, future)
                idle += [worker] if healthy else []
                settled.add(plan.train_id)
                reporter.clear(label(plan))
                if outcome.run.status != "ok":
                    failed[plan.train_id] = outcome.run.error or outcome.run.status
                yield outcome
    finally:
        # Idle processes leave by themselves, so that they give back their semaphores; those at work are told to.
        _terminate([busy for _, busy in running.values()])
        for worker in [*idle, *(worker for _, worker in running.values())]:
            worker.pool.shutdown(cancel_futures=True)
        queue.put(None)
        listener.join()


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


@dataclass(frozen=True, slots=True)
class _Worker:
    """A pool of one process, and which of the workers it is."""

    slot: int
    pool: ProcessPoolExecutor


def _terminate(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        for process in list((worker.pool._processes or {}).values()):
            process.terminate()


def _or_end(before: Callable[[], None], workers: Sequence[_Worker]) -> None:
    """Call `before`; when it refuses, nobody waits for what the workers import."""
    try:
        before()
    except BaseException:
        _terminate(workers)
        raise


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
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """End this process when the driver is gone: it would train on unseen, or wait for ever with its memory held."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _execute(plan: RunPlan, failed: dict[str, str]) -> Outcome:
    name = label(plan)
    return execute_or_block(plan, failed, lambda phase, done, total: _queue.put((name, phase, done, total)))


def _listen(queue: Any, reporter: Reporter) -> None:
    while (told := queue.get()) is not None:
        reporter.step(*told)


def _outcome(plan: RunPlan, future: Future[Outcome]) -> tuple[Outcome, bool]:
    """The outcome, and whether the process can be used again."""
    try:
        return future.result(), True
    except BrokenProcessPool:
        return not_run(plan, "its process was killed (the kernel does this when memory runs out); run again"), False
