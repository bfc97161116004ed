"""The search for good arms: trials of equal tuning, and races that stop arms early, with the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.records.training import Status

RaceOutcome = Literal["survived", "eliminated", "not_run", "not_raced"]
"""`not_run`: its parent was eliminated. `not_raced`: trained to the end without having been in the race."""


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


@dataclass(frozen=True, slots=True)
class Rung:
    """What a worker is asked for at a rung: train to a share of the budget, then score groups of examples."""

    number: int
    """From 0."""
    share: float
    """Of the budget."""
    first: int
    """First group to score, in the rung's order; with `end` 0 nothing is scored."""
    end: int


@dataclass(frozen=True, slots=True)
class RungScores:
    """Validation values of one arm and seed at a rung."""

    values: tuple[float | None, ...]
    """Of each group, the mean over its examples, as the metric has it; None where none has a value."""
    examples: int
    """Scored."""
    seconds: float
    """Wall seconds of preparing, training to the rung and scoring, as far as they were spent now."""


@dataclass(frozen=True, slots=True)
class RaceArm:
    """One arm of an experiment, in or out of its race."""

    arm: str
    outcome: RaceOutcome
    seeds: int
    share: float
    """Of the budget that it gets: where it was stopped; 1 for a survivor, 0 when it is not run."""
    steps: int
    """Optimiser steps that it took in the race, all seeds; of a survivor those to the last rung."""
    examples: int
    """Validation examples that it was scored on, all rungs and seeds."""
    against: str | None = None
    """The arm that it was shown to be behind."""
    difference: float | None = None
    """Mean clipped difference, this arm minus that one, in the metric's own unit."""
    bound: float | None = None
    """Its limit towards 0, that holds at every look."""
    groups: int = 0
    """Groups of validation examples behind the difference."""
    words: str = ""
    """Why it was not raced, or not run."""


@dataclass(frozen=True, slots=True)
class Race:
    """A finished race."""

    metric: str
    """Name of the primary metric, or `loss`."""
    shares: tuple[float, ...]
    level: float
    margin: float
    lead: float
    clip: float
    arms: tuple[RaceArm, ...]
    seconds: float
    """Wall seconds that scoring at the rungs took, all arms."""
    created: str
    scored: Mapping[str, int] = field(default_factory=dict)
    """Arm-groups scored at each rung, by its share."""


def rung_folder(run_folder: Path, rung: Rung) -> Path:
    """Where a training's record and scores at a rung are kept."""
    return run_folder / "rungs" / f"{rung.share:g}"
