"""Runs one pass: every arm is probed, then timed once in each round; finished probes and rounds survive a kill.

The journal has a line for each probed arm and one for each whole round. A round that was cut short is measured again
from its beginning, because its ratios are taken within it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from harness import redaction
from harness.errors import DiskFull, HarnessError, Interrupted
from harness.experiments.speed.probes import Job
from harness.records import ServedArm, ServingProbe, ServingVisit, from_json, to_json
from harness.records.journal import Journal


class Bench(Protocol):
    """The processes that measure arms, or their stand-in in tests."""

    def probe(self, job: Job) -> ServingProbe:
        """The arm's size and the batches that fit; raises where it cannot be measured."""

    def visit(self, job: Job, rows: int | None) -> ServingVisit:
        """One timed visit with `rows` prompts at once; raises where it cannot be measured."""


def orders(arms: Sequence[str], rounds: int, rng: random.Random) -> list[tuple[str, ...]]:
    """For each round every arm once: in an order drawn by `rng`, and in the next round in the reverse of it.

    Over such a pair of rounds every arm stands at the same place on average, and every arm is as often before as after
    every other, so that what drifts steadily within the rounds cancels as well.
    """
    result: list[tuple[str, ...]] = []
    while len(result) < rounds:
        order = tuple(rng.sample(list(arms), len(arms)))
        result += [order, order[::-1]]
    return result[:rounds]


def run(
    jobs: Sequence[Job],
    orders: Sequence[Sequence[str]],
    bench: Bench,
    journal: Journal,
    progress: Callable[[str, int, int], None],
) -> tuple[ServedArm, ...]:
    """Measure the arms of `jobs`, in each round in the order that `orders` gives for it.

    An arm that cannot be measured is recorded as failed, and later rounds go on without it.
    """
    kept = journal.recover()
    served = {arm.arm: arm for arm in (from_json(ServedArm, row["probe"]) for row in kept if "probe" in row)}
    for number, job in enumerate(jobs):
        progress("probe", number, len(jobs))
        if job.plan.arm_name not in served:
            served[job.plan.arm_name] = _probed(job, bench)
            journal.append({"probe": served[job.plan.arm_name]})
    progress("probe", len(jobs), len(jobs))
    by_name = {job.plan.arm_name: job for job in jobs}
    rounds = {row["round"]: row for row in kept if "round" in row}
    for number, order in enumerate(orders):
        progress("serving round", number, len(orders))
        row = rounds.get(number)
        if row is None:
            going = [arm for arm in order if served[arm].status == "ok"]
            row = _round(number, [by_name[arm] for arm in going], served, bench)
            journal.append(row)
        for name, visit in row["visits"].items():
            served[name] = replace(served[name], visits=(*served[name].visits, from_json(ServingVisit, visit)))
        for name, error in row["failed"].items():
            served[name] = replace(served[name], status="failed", error=error)
    progress("serving round", len(orders), len(orders))
    return tuple(served[job.plan.arm_name] for job in jobs)


def served_arm(job: Job, probe: ServingProbe | None = None, error: str | None = None) -> ServedArm:
    """The arm of `job`, not timed yet; failed where there is an `error`."""
    plan, artefact = job.plan, job.artefact.hash
    arm = ServedArm(plan.arm_name, plan.seed, plan.train_id, artefact, "ok", None, probe, forced=job.forced)
    return arm if error is None else replace(arm, status="failed", error=error)


def _probed(job: Job, bench: Bench) -> ServedArm:
    try:
        probe = bench.probe(job)
    except (Interrupted, DiskFull):
        raise
    except Exception as error:
        return served_arm(job, error=_line(error))
    if probe.tries and probe.batch is None:
        return served_arm(job, probe, f"out of memory with a single prompt: {probe.tries[0].detail}")
    return served_arm(job, probe)


def _round(number: int, jobs: Sequence[Job], served: Mapping[str, ServedArm], bench: Bench) -> dict[str, Any]:
    visits: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for position, job in enumerate(jobs):
        name = job.plan.arm_name
        probe = served[name].probe
        try:
            timed = bench.visit(job, probe.batch if probe is not None else None)
        except (Interrupted, DiskFull):
            raise
        except Exception as error:
            failed[name] = f"round {number + 1}: {_line(error)}"
        else:
            visits[name] = to_json(replace(timed, round=number, place=position))
    return {"round": number, "visits": visits, "failed": failed}


def _line(error: Exception) -> str:
    words = " ".join(str(error).split())[:500] or type(error).__name__
    return words if isinstance(error, HarnessError) else redaction.reason(error, words)
