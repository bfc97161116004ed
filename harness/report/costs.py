"""What an arm cost: the ledgers of its seeds, averaged, with a parent arm's training added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.records import Ledger


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
    tuning_seconds: float = 0.0
    """Of all tuning trials of the arm and of its parent; once for all seeds."""


def cost_of(ledgers: Sequence[Ledger]) -> Cost | None:
    """The cost of one seed; None without a finished run."""
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
