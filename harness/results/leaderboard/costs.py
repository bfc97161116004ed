"""What an arm cost: the ledgers of its seeds, averaged, with a parent arm's training added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Literal

from harness.records import Ledger, MemoryKind, RunRecord, to_json

Standing = Literal["equal", "more", "less"]
"""What an arm was given, its parent's share included, against the budget."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one seed of an arm, the mean over its seeds; peaks are the largest over seeds.

    None stands for what nobody here knows: of an arm that was trained elsewhere, all that its training took. Fields
    named `all_…` include what the parent arm's training took, for an arm that starts from another one.
    """

    seeds: int
    examples: float | None
    tokens: float | None
    target_tokens: float | None
    optimiser_steps: float | None
    train_seconds: float | None
    prepare_seconds: float
    validation_seconds: float | None
    predict_seconds: float
    score_seconds: float
    lost_seconds: float
    """Of failed or repeated attempts."""
    total_seconds: float | None
    """All of the above, of this arm alone."""
    all_examples: float | None
    all_tokens: float | None
    all_train_seconds: float | None
    all_seconds: float | None
    has_parent: bool
    trainable_parameters: int | None
    total_parameters: int | None
    artefact_bytes: int | None
    peak_memory_bytes: int | None
    trials: float | None
    truncated_prompts: float | None
    memory_kind: MemoryKind | None = None
    flops: float | None = None
    """Estimated operations of training; None where nothing was estimated."""
    money: float | None = None
    """`total_seconds` at the experiment's price of a device-hour; None without a price."""
    tuning_seconds: float | None = 0.0
    """Of all tuning trials of the arm; once for all seeds, and in no other sum."""
    with_parent: Cost | None = None
    """The same with the parent's training added to every sum, for an arm that has one."""
    spread: tuple[float, float] | None = None
    """Least and most `all_train_seconds` of a seed; None for fewer than two seeds."""


OUTSIDE = ("imported", "endpoint")
"""Methods of arms that were trained elsewhere: what their training took is not known here."""
_NOT_KNOWN = (
    *("examples", "tokens", "target_tokens", "optimiser_steps", "train_seconds", "validation_seconds"),
    *("total_seconds", "all_examples", "all_tokens", "all_train_seconds", "all_seconds", "trainable_parameters"),
    *("total_parameters", "peak_memory_bytes", "trials", "truncated_prompts", "flops", "tuning_seconds"),
)
"""Fields of Cost that an arm trained elsewhere leaves open; so does money, which is for all seconds."""


_AVERAGED = (
    *("examples", "tokens", "target_tokens", "optimiser_steps", "train_seconds", "prepare_seconds"),
    *("validation_seconds", "predict_seconds", "score_seconds", "lost_seconds", "trials", "truncated_prompts"),
)
"""Fields of Cost that are the means of a ledger's fields of that name."""


def unknown(cost: Cost) -> Cost:
    """The cost of an arm that was trained elsewhere: what happened here alone, where 0 would be a claim."""
    gone: dict[str, Any] = dict.fromkeys([*_NOT_KNOWN, "money", "memory_kind"])
    return replace(cost, **gone, artefact_bytes=cost.artefact_bytes or None)


def known_ledger(run: RunRecord) -> dict[str, Any]:
    """A run's ledger as plain values, None for what is not known of a training elsewhere."""
    plain: dict[str, Any] = to_json(run.ledger)
    if run.method not in OUTSIDE:
        return plain
    unknown = {name: None for name in _NOT_KNOWN if name in plain}
    return {**plain, **unknown, "artefact_bytes": run.ledger.artefact_bytes or None}


def cost_of(ledgers: Sequence[Ledger], price: float | None = None) -> Cost | None:
    """The cost of one seed, with money at `price` a device-hour; None without a finished run."""
    if not ledgers:
        return None

    def mean(of: Callable[[Ledger], float]) -> float:
        return sum(map(of, ledgers)) / len(ledgers)

    def over_lineage(name: str) -> float:
        return mean(lambda ledger: sum(getattr(each, name) for each in _lineage(ledger)))

    means: dict[str, Any] = {name: mean(attrgetter(name)) for name in _AVERAGED}
    times = [sum(each.train_seconds for each in _lineage(ledger)) for ledger in ledgers]
    parent = any(ledger.parent is not None for ledger in ledgers)
    flops = [ledger.flops for ledger in ledgers]
    return Cost(
        seeds=len(ledgers),
        **means,
        total_seconds=mean(_own_seconds),
        all_examples=over_lineage("examples"),
        all_tokens=over_lineage("tokens"),
        all_train_seconds=over_lineage("train_seconds"),
        # A parent's scoring is not what its child needed.
        all_seconds=mean(lambda ledger: _own_seconds(ledger) + sum(map(_training_seconds, _lineage(ledger)[1:]))),
        has_parent=parent,
        trainable_parameters=max(ledger.trainable_parameters for ledger in ledgers),
        total_parameters=max(ledger.total_parameters for ledger in ledgers),
        artefact_bytes=max(ledger.artefact_bytes for ledger in ledgers),
        peak_memory_bytes=max((peak for ledger in ledgers for peak in _peaks(ledger)), default=None),
        memory_kind=next((ledger.memory_kind for ledger in ledgers if ledger.memory_kind is not None), None),
        flops=None if set(flops) == {None} else mean(lambda ledger: ledger.flops or 0.0),
        money=None if price is None else mean(_own_seconds) / 3600 * price,
        with_parent=cost_of([_with_parents(ledger) for ledger in ledgers], price) if parent else None,
        spread=(min(times), max(times)) if len(times) > 1 else None,
    )


def against_budget(budget: Mapping[str, Any], cost: Cost) -> Standing | None:
    """Whether an arm got what the budget says; None for an arm without training, or with one that is not known here.

    Examples must be met exactly. Training ends with the example that reaches a budget of tokens, with the step that
    reaches one of seconds; an overshoot of up to three examples or steps of average size counts as that.
    """
    whole = cost.with_parent or cost
    name = next((name for name in ("examples", "tokens", "device_seconds") if budget.get(name)), None)
    if not cost.examples or not whole.examples or name is None:
        return None
    given, room = whole.examples, 0.0
    if name == "tokens":
        given = whole.tokens or 0.0
        room = 3 * given / whole.examples
    elif name == "device_seconds":
        given = whole.train_seconds or 0.0
        room = 3 * given / max(1.0, whole.optimiser_steps or 0.0)
    asked = float(budget[name])
    return "less" if given < asked else "more" if given > asked + room else "equal"


def _with_parents(ledger: Ledger) -> Ledger:
    """One ledger of an arm and what it starts from; a parent's scoring is not what its child needed."""
    lineage = _lineage(ledger)
    flops = [each.flops for each in lineage if each.flops is not None]
    summed = [name for name in _AVERAGED if name not in ("predict_seconds", "score_seconds")]
    return replace(
        ledger,
        **{name: sum(getattr(each, name) for each in lineage) for name in summed},
        flops=sum(flops) if flops else None,
        peak_memory_bytes=max(_peaks(ledger), default=None),
        parent=None,
    )


def _lineage(ledger: Ledger) -> list[Ledger]:
    return [ledger, *(_lineage(ledger.parent) if ledger.parent else [])]


def _peaks(ledger: Ledger) -> list[int]:
    return [each.peak_memory_bytes for each in _lineage(ledger) if each.peak_memory_bytes is not None]


def _training_seconds(ledger: Ledger) -> float:
    return ledger.train_seconds + ledger.prepare_seconds + ledger.validation_seconds + ledger.lost_seconds


def _own_seconds(ledger: Ledger) -> float:
    return _training_seconds(ledger) + ledger.predict_seconds + ledger.score_seconds
