"""Times one loaded model: whether a batch fits, and how long prompts take."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

from harness.arms.training.memory import is_out_of_memory
from harness.errors import OutOfMemory
from harness.models import Servable
from harness.records import BatchTry, ServingVisit

WARM_TOKENS = 4
"""Tokens generated, untimed, before anything is timed, for one prompt and for the whole batch."""

Prompts = Sequence[tuple[int, ...]]


def attempt(model: Servable, prompts: Prompts, rows: int, new_tokens: int, watch: Callable[[], int]) -> BatchTry:
    """Generate `new_tokens` for `rows` prompts at once; `watch` gives the peak memory in bytes meanwhile."""
    try:
        model.forced(filled(prompts, rows), new_tokens)
    except (OutOfMemory, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return BatchTry(rows, "oom", None, " ".join(str(error).split())[:200])
    return BatchTry(rows, "ok", watch())


def filled(prompts: Prompts, rows: int) -> list[tuple[int, ...]]:
    """`rows` prompts, those given over and over."""
    return [prompts[number % len(prompts)] for number in range(rows)]


def visit(
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
