"""Loads one arm in a process of its own, and measures there which batches fit and how fast it answers.

A process holds at most one model. Everything that goes in and comes out is plain data.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import arms
from harness.arms.training import memory
from harness.arms.untrained import prompt_override
from harness.config import ServingSpec
from harness.data import sealing
from harness.data.prompts import Prompter
from harness.errors import ArmFailed, OutOfMemory
from harness.experiments.evaluation import predict
from harness.experiments.running import worker
from harness.models import Servable
from harness.models.engines.endpoint import EndpointModel
from harness.records import Artefact, BatchTry, Example, RunPlan, ServingProbe, ServingVisit, digest
from harness.records.files import read_records

WARM_TOKENS = 4
"""Tokens generated, untimed, before anything is timed, for one prompt and for the whole batch."""

Prompts = Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Job:
    """One arm to measure. The plan does not say where the test split lies."""

    plan: RunPlan
    artefact: Artefact
    settings: ServingSpec

    @property
    def forced(self) -> bool:
        """Whether we set the number of generated tokens; behind an endpoint the server does."""
        return self.plan.arm.method != "endpoint"


@dataclass(slots=True)
class _Loaded:
    """The model that this process holds."""

    job: Job
    model: Servable
    prompts: list[tuple[int, ...]]


_loaded: _Loaded | None = None


def hold(job: Job) -> ServingProbe:
    """Load the arm of `job` in place of what this process held; its size, with no batch tried yet.

    Raises whatever loading raises, SpecError where prompts do not fit.
    """
    global _loaded
    drop()
    worker.set_threads(job.plan)
    with sealing.closed(job.plan.home / "sealed"):
        model: Servable = arms.family(job.plan.arm.method).load(job.plan, job.artefact)  # type: ignore[assignment]
        _loaded = _Loaded(job, model, prompts_of(job, model))
    weights = model.weights_bytes
    return ServingProbe(weights, memory.kind(job.plan.device) if weights is not None else None, ())


def attempt(rows: int) -> BatchTry:
    """Whether a batch of `rows` prompts fits the model that is held, and its peak memory."""
    assert _loaded is not None
    watch = memory.watch(_loaded.job.plan.device)
    return try_batch(_loaded.model, _loaded.prompts, rows, _loaded.job.settings.new_tokens, watch)


def visit(job: Job, rows: int | None) -> ServingVisit:
    """Load the arm of `job`, time it with `rows` prompts at once, and free its memory."""
    hold(job)
    assert _loaded is not None
    try:
        timed = time_visit(_loaded.model, _loaded.prompts, job.settings.new_tokens, rows, time.perf_counter)
        if not timed.single_tokens:
            raise ArmFailed("it generated nothing", hint="Look at the server's log")
        return timed
    finally:
        drop()


def drop() -> None:
    """Free the model that is held, if any."""
    global _loaded
    if _loaded is not None:
        _loaded.model.close()
    _loaded = None


def examples_of(plan: RunPlan, number: int) -> list[Example]:
    """At most `number` validation examples, picked by a hash of their ids, in the order of the hashes."""
    every = read_records(plan.files.folder / "validation.jsonl", Example)
    return sorted(every, key=lambda example: digest(["serving", example.id]))[:number]


def prompts_of(job: Job, model: Servable) -> list[tuple[int, ...]]:
    """The prompts as the arm sees them: with its few-shot examples or template, truncated as when it is scored."""
    plan, experiment = job.plan, job.plan.experiment
    override = prompt_override(plan)
    prompter = Prompter(model.tokenizer, experiment.spec.chat, experiment.task, model.context, override)
    examples = examples_of(plan, job.settings.prompts)
    as_ids = model.ids if isinstance(model, EndpointModel) else None
    requests = predict.generation_requests(prompter, examples, job.settings.new_tokens, as_ids)
    return [request.prompt for request in requests]


# ------------------------------------------------------------------------------------------------ one loaded model


def try_batch(model: Servable, prompts: Prompts, rows: int, new_tokens: int, watch: Callable[[], int]) -> BatchTry:
    """Generate `new_tokens` for `rows` prompts at once; `watch` gives the peak memory in bytes meanwhile."""
    try:
        model.forced(filled(prompts, rows), new_tokens)
    except (OutOfMemory, MemoryError, RuntimeError) as error:
        if not memory.is_out_of_memory(error):
            raise
        return BatchTry(rows, "oom", None, " ".join(str(error).split())[:200])
    return BatchTry(rows, "ok", watch())


def filled(prompts: Prompts, rows: int) -> list[tuple[int, ...]]:
    """`rows` prompts, those given over and over."""
    return [prompts[number % len(prompts)] for number in range(rows)]


def time_visit(
    model: Servable, prompts: Prompts, new_tokens: int, rows: int | None, clock: Callable[[], float]
) -> ServingVisit:
    """Time one model: each prompt alone for one token, each alone for `new_tokens`, then `rows` of them at once.

    `clock` gives seconds. Nothing is timed before a short generation of each shape has warmed the model up.
    """
    batch = filled(prompts, rows) if rows is not None and rows > 1 else None
    for shape in [prompts[:1], *([batch] if batch else [])]:
        model.forced(shape, min(WARM_TOKENS, new_tokens))
    gc.collect()
    first = []
    for prompt in prompts:
        began = clock()
        model.forced([prompt], 1)
        first.append(clock() - began)
    began = clock()
    alone = sum(model.forced([prompt], new_tokens) for prompt in prompts)
    single = clock() - began
    together, taken = None, None
    if batch:
        began = clock()
        together = model.forced(batch, new_tokens)
        taken = clock() - began
    return ServingVisit(
        first_token_seconds=tuple(first),
        prompt_tokens=sum(map(len, prompts)),
        single_tokens=alone,
        single_seconds=single,
        batch_rows=len(batch) if batch else None,
        batch_tokens=together,
        batch_seconds=taken,
    )
