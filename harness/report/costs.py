"""What an arm cost: the ledgers of its seeds, averaged, with a parent arm's training added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.records import Ledger, MemoryKind

Standing = Literal["equal", "more", "less"]
"""What an arm was given, its parent's share included, against the budget."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one seed of an arm, the mean over its seeds; peaks are the largest over seeds.

    Fields named `all_…` include what the parent arm's training took, for an arm that starts from another one.
    """

    seeds: int
    examples: float
    tokens: float
    target_tokens: float
    optimiser_steps: float
    train_seconds: float
    prepare_seconds: float
    validation_seconds: float
    predict_seconds: float
    score_seconds: float
    lost_seconds: float
    """Of failed or repeated attempts."""
    total_seconds: float
    """All of the above, of this arm alone."""
    all_examples: float
    all_tokens: float
    all_train_seconds: float
    all_seconds: float
    has_parent: bool
    trainable_parameters: int
    total_parameters: int
    artefact_bytes: int
    peak_memory_bytes: int | None
    trials: float
    truncated_prompts: float
    memory_kind: MemoryKind | None = None
    flops: float | None = None
    """Estimated operations of training; None where nothing was estimated."""
    money: float | None = None
    """`total_seconds` at the experiment's price of a device-hour; None without a price."""
    tuning_seconds: float = 0.0
    """Of all tuning trials of the arm; once for all seeds, and in no other sum."""
    with_parent: Cost | None = None
    """The same with the parent's training added to every sum, for an arm that has one."""


def cost_of(ledgers: Sequence[Ledger], price: float | None = None) -> Cost | None:
    """The cost of one seed, with money at `price` a device-hour; None without a finished run."""
    if not ledgers:
        return None

    def mean(of: Callable[[Ledger], float]) -> float:
        return sum(map(of, ledgers)) / len(ledgers)

    peaks = [peak for ledger in ledgers for peak in _peaks(ledger)]
    return Cost(
        seeds=len(ledgers),
        examples=mean(lambda one: one.examples),
        tokens=mean(lambda one: one.tokens),
        target_tokens=mean(lambda one: one.target_tokens),
        optimiser_steps=mean(lambda one: one.optimiser_steps),
        train_seconds=mean(lambda one: one.train_seconds),
        prepare_seconds=mean(lambda one: one.prepare_seconds),
        validation_seconds=mean(lambda one: one.validation_seconds),
        predict_seconds=mean(lambda one: one.predict_seconds),
        score_seconds=mean(lambda one: one.score_seconds),
        lost_seconds=mean(lambda one: one.lost_seconds),
        total_seconds=mean(_own_seconds),
        all_examples=mean(lambda one: sum(each.examples for each in _lineage(one))),
        all_tokens=mean(lambda one: sum(each.tokens for each in _lineage(one))),
        all_train_seconds=mean(lambda one: sum(each.train_seconds for each in _lineage(one))),
        all_seconds=mean(_all_seconds),
        has_parent=any(ledger.parent is not None for ledger in ledgers),
        trainable_parameters=max(ledger.trainable_parameters for ledger in ledgers),
        total_parameters=max(ledger.total_parameters for ledger in ledgers),
        artefact_bytes=max(ledger.artefact_bytes for ledger in ledgers),
        peak_memory_bytes=max(peaks, default=None),
        trials=mean(lambda one: one.trials),
        truncated_prompts=mean(lambda one: one.truncated_prompts),
        memory_kind=next((one.memory_kind for one in ledgers if one.memory_kind is not None), None),
        flops=mean(lambda one: one.flops or 0.0) if any(one.flops is not None for one in ledgers) else None,
        money=None if price is None else mean(_own_seconds) / 3600 * price,
        with_parent=cost_of([_with_parents(one) for one in ledgers], price)
        if any(one.parent is not None for one in ledgers)
        else None,
    )


def against_budget(budget: Mapping[str, Any], cost: Cost) -> Standing | None:
    """Whether an arm got what the budget says; None for an arm without training.

    Examples must be met exactly. Training ends with the example that reaches a budget of tokens, with the step that
    reaches one of seconds; an overshoot of up to three examples or steps of average size counts as that.
    """
    if not cost.examples:
        return None
    whole = cost.with_parent or cost
    if budget.get("examples"):
        given, room = whole.examples, 0.0
        asked = float(budget["examples"])
    elif budget.get("tokens"):
        given, room = whole.tokens, 3 * whole.tokens / whole.examples
        asked = float(budget["tokens"])
    elif budget.get("device_seconds"):
        given, room = whole.train_seconds, 3 * whole.train_seconds / max(1.0, whole.optimiser_steps)
        asked = float(budget["device_seconds"])
    else:
        return None
    return "less" if given < asked else "more" if given > asked + room else "equal"


_SUMMED = (
    "examples",
    "tokens",
    "target_tokens",
    "optimiser_steps",
    "train_seconds",
    "prepare_seconds",
    "validation_seconds",
    "lost_seconds",
    "trials",
    "truncated_prompts",
)


def _with_parents(ledger: Ledger) -> Ledger:
    """One ledger of an arm and what it starts from; a parent's scoring is not what its child needed."""
    lineage = _lineage(ledger)
    flops = [one.flops for one in lineage if one.flops is not None]
    return replace(
        ledger,
        **{name: sum(getattr(one, name) for one in lineage) for name in _SUMMED},
        flops=sum(flops) if flops else None,
        peak_memory_bytes=max(_peaks(ledger), default=None),
        parent=None,
    )


def _lineage(ledger: Ledger) -> list[Ledger]:
    return [ledger, *(_lineage(ledger.parent) if ledger.parent else [])]


def _peaks(ledger: Ledger) -> list[int]:
    return [one.peak_memory_bytes for one in _lineage(ledger) if one.peak_memory_bytes is not None]


def _training_seconds(ledger: Ledger) -> float:
    return ledger.train_seconds + ledger.prepare_seconds + ledger.validation_seconds + ledger.lost_seconds


def _own_seconds(ledger: Ledger) -> float:
    return _training_seconds(ledger) + ledger.predict_seconds + ledger.score_seconds


def _all_seconds(ledger: Ledger) -> float:
    # A parent's scoring is not what its child needed.
    return _own_seconds(ledger) + sum(map(_training_seconds, _lineage(ledger)[1:]))
