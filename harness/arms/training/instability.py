"""Signs of an unstable training, found step by step: a pure function of what was seen so far, without torch.

    watch = observe(watch, Step(step, loss, norm))       # after every step; part of every checkpoint
    watch = validated(watch, step, validation_loss)      # after every validation
    watch.events                                         # what was found

The running median is that of the last WINDOW steps before this one, the spread their median absolute deviation, scaled
so that it estimates a normal standard deviation. Losses are nats a target token (for DPO: a pair).

    loss_spike          above the running median by 6 spreads, half of it and 0.1, whichever is most
    gradient_explosion  gradient norm (before clipping) above 10 running medians
    not_a_number        loss or gradient norm is infinite or no number
    diverged            loss above three times the first step's and 2 nats over it in the median of 8 steps, or 20 nats
                        over it in a single step (guessing among 260,000 tokens costs 12.5)
    validation_rising   validation loss over its lowest by 2 % and 0.005, while the median train loss is lower than then

Steps that follow one another under the same sign are one event, the first of them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.records import EventKind, RunEvent

WINDOW = 16
SETTLED = 8
"""Steps before a median is trusted."""
SPREADS = 6.0
NORMAL = 1.4826
"""From a median absolute deviation to the standard deviation of a normal distribution."""
GRADIENT_FACTOR = 10.0
DIVERGED_FACTOR, DIVERGED_NATS, AT_ONCE_NATS = 3.0, 2.0, 20.0
RISE_SHARE, RISE_NATS = 0.02, 0.005
MOST_EVENTS = 50
"""Events of one kind that are kept."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was seen at one optimiser step."""

    step: int
    loss: float
    norm: float


@dataclass(frozen=True, slots=True)
class Watch:
    """All that the next step is held against, and the events so far."""

    first: float | None = None
    """Loss of the first step, before any update."""
    losses: tuple[float, ...] = ()
    """Of the last WINDOW steps."""
    norms: tuple[float, ...] = ()
    going_on: tuple[str, ...] = ()
    """Signs that the last step showed."""
    best_validation: float | None = None
    best_train: float | None = None
    """Median train loss when the validation loss was lowest."""
    best_step: int | None = None
    rising: bool = False
    events: tuple[RunEvent, ...] = ()


def observe(watch: Watch, seen: Step) -> Watch:
    """`watch` after one more step."""
    if not (math.isfinite(seen.loss) and math.isfinite(seen.norm)):
        return with_event(watch, _not_a_number(seen))
    first = seen.loss if watch.first is None else watch.first
    losses = (*watch.losses, seen.loss)[-WINDOW:]
    signs = [*_jumps(watch, seen), *_diverged(first, losses, seen)]
    after = replace(
        watch,
        first=first,
        losses=losses,
        norms=(*watch.norms, seen.norm)[-WINDOW:],
        going_on=tuple(event.kind for event in signs),
    )
    for event in signs:
        if event.kind not in watch.going_on:
            after = with_event(after, event)
    return after


def validated(watch: Watch, step: int, validation: float) -> Watch:
    """`watch` after the validation at `step`, whose loss has been observed."""
    if not (math.isfinite(validation) and watch.losses):
        return watch
    train = statistics.median(watch.losses[-SETTLED:])
    if watch.best_validation is None or validation < watch.best_validation:
        return replace(watch, best_validation=validation, best_train=train, best_step=step, rising=False)
    limit = watch.best_validation + max(RISE_SHARE * watch.best_validation, RISE_NATS)
    if validation <= limit or watch.best_train is None or train >= watch.best_train or watch.rising:
        return watch
    detail = (
        f"validation loss rose from {watch.best_validation:.3g} at step {watch.best_step} to {validation:.3g} at step "
        f"{step} while train loss fell from {watch.best_train:.3g} to {train:.3g}"
    )
    return replace(with_event(watch, RunEvent(step, "validation_rising", detail, validation, limit)), rising=True)


def with_event(watch: Watch, event: RunEvent) -> Watch:
    """`watch` with one more event, unless there are MOST_EVENTS of its kind already."""
    if sum(known.kind == event.kind for known in watch.events) >= MOST_EVENTS:
        return watch
    return replace(watch, events=(*watch.events, event))


def stopping(watch: Watch, step: int, stop_on: str) -> RunEvent | None:
    """The event of `step` that ends the training under the experiment's `stop_on`, if there is one."""
    final: set[EventKind] = {"not_a_number", "diverged"} if stop_on == "diverged" else {"not_a_number"}
    return next((event for event in watch.events if event.step == step and event.kind in final), None)


# ------------------------------------------------------------------------------------------------------------ signs


def _not_a_number(seen: Step) -> RunEvent:
    name, value = ("loss", seen.loss) if not math.isfinite(seen.loss) else ("gradient norm", seen.norm)
    return RunEvent(seen.step, "not_a_number", f"the {name} is {value} at step {seen.step}")


def _jumps(watch: Watch, seen: Step) -> list[RunEvent]:
    """A loss or a gradient norm that is far above its running median."""
    if len(watch.losses) < SETTLED:
        return []
    loss, norm = statistics.median(watch.losses), statistics.median(watch.norms)
    spread = NORMAL * statistics.median(abs(earlier - loss) for earlier in watch.losses)
    checks: tuple[tuple[EventKind, str, float, float, float], ...] = (
        ("loss_spike", "loss", seen.loss, loss, loss + max(SPREADS * spread, 0.5 * loss, 0.1)),
        ("gradient_explosion", "gradient norm", seen.norm, norm, GRADIENT_FACTOR * norm),
    )
    text = "the {} jumped to {:.3g} at step {} (running median {:.3g})"
    return [
        RunEvent(seen.step, kind, text.format(name, value, seen.step, middle), value, limit)
        for kind, name, value, middle, limit in checks
        if value > limit
    ]


def _diverged(first: float, losses: Sequence[float], seen: Step) -> list[RunEvent]:
    limit = first + AT_ONCE_NATS
    if seen.loss > limit:
        detail = f"the loss is {seen.loss:.3g} at step {seen.step}, it was {first:.3g} at the first"
        return [RunEvent(seen.step, "diverged", detail, seen.loss, limit)]
    if len(losses) < SETTLED:
        return []
    middle = statistics.median(losses[-SETTLED:])
    limit = max(DIVERGED_FACTOR * first, first + DIVERGED_NATS)
    if middle <= limit:
        return []
    detail = (
        f"the median loss of {SETTLED} steps is {middle:.3g} at step {seen.step}, the loss was {first:.3g} at the first"
    )
    return [RunEvent(seen.step, "diverged", detail, middle, limit)]
