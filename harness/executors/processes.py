"""One fresh process an arm, several at a time. An arm that is killed (out of memory, say) takes no other with it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from harness.executors.inline import label
from harness.progress import Reporter
from harness.records import RunPlan
from harness.worker import Outcome, execute_or_block, not_run


def execute(plans: Sequence[RunPlan], workers: int, reporter: Reporter) -> Iterator[Outcome]:
    """Yield outcomes as they come, at most `workers` at a time; a plan waits for its parent.

    Each plan gets a pool of one process, so that a process that dies breaks one plan only.
    """
    waiting = list(plans)
    failed: dict[str, str] = {}
    settled: set[str] = {plan.parent_train_id for plan in plans if plan.parent_train_id} - {p.train_id for p in plans}
    running: dict[Future[Outcome], tuple[RunPlan, ProcessPoolExecutor]] = {}
    context = multiprocessing.get_context("spawn")
    try:
        while waiting or running:
            for plan in [plan for plan in waiting if plan.parent_train_id is None or plan.parent_train_id in settled]:
                if len(running) >= workers:
                    break
                waiting.remove(plan)
                pool = ProcessPoolExecutor(1, mp_context=context)
                reporter.say(f"{label(plan)}: started")
                running[pool.submit(execute_or_block, plan, dict(failed))] = (plan, pool)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                plan, pool = running.pop(future)
                outcome = _outcome(plan, future)
                pool.shutdown()
                settled.add(plan.train_id)
                if outcome.run.status != "ok":
                    failed[plan.train_id] = outcome.run.error or outcome.run.status
                reporter.say(f"{label(plan)}: {outcome.run.status}")
                yield outcome
    finally:
        for _, pool in running.values():
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(cancel_futures=True)


def _outcome(plan: RunPlan, future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        return not_run(
            plan, "its process was killed (the kernel does this when memory runs out); run again to go on"
        )
