"""Trials of equal tuning: what was tried for an arm, and what validation said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.records.training import Status


@dataclass(frozen=True, slots=True)
class Validation:
    """What one trained artefact is worth on the validation split."""

    metric: str
    """The task's primary metric."""
    value: float | None
    """None where it was not asked for, or no example has a value."""
    loss: float | None
    """Validation loss at the end of training, nats a target token; None where none was measured."""
    examples: int
    """Validation examples answered; 0 without generation."""
    seconds: float
    """Wall seconds of answering and scoring them."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of one arm, trained with the tuning seed and looked at on validation only."""

    experiment_id: str
    arm: str
    number: int
    """From 0."""
    rung: int
    """Of successive halving; 0 without it."""
    train_id: str
    seed: int
    """Training seed."""
    values: Mapping[str, Any]
    """Field → value tried."""
    space: Mapping[str, Any]
    """Field → {low, high, log} or the list of choices."""
    stock: bool
    """The recipe as it stands."""
    share: float
    """Share of the experiment's budget."""
    status: Status
    error: str | None
    metric: str
    value: float | None
    """The primary metric on validation."""
    loss: float | None
    """Validation loss, nats a target token."""
    validated: int
    """Validation examples answered."""
    examples: int
    """Train examples seen."""
    seconds: float
    """Wall seconds: preparation, training, validation, failed attempts."""
    chosen: bool = False
    edge: tuple[str, ...] = ()
    """Of the chosen trial: fields whose value is the smallest or largest that was tried."""
