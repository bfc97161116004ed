"""The declared winner rule, and what it says of an experiment's results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Question = Literal["checkpoints", "method"]
"""What estimates are about: the checkpoints that were trained, or the method, other seeds too."""
Outcome = Literal["ship", "tie", "ship_none", "not_enough_data", "no_verdict"]


@dataclass(frozen=True, slots=True)
class WinnerRule:
    """How the winner is named; see WinnerSpec. `declared` is the moment it was stored, None for the default rule."""

    margin: float = 0.0
    cost: str = "total_seconds"
    estimand: Literal["auto", "checkpoints", "method"] = "auto"
    declared: str | None = None


@dataclass(frozen=True, slots=True)
class WinnerVerdict:
    """What the winner rule says. `words` is the verdict, `reason` what stands behind it."""

    outcome: Outcome
    words: str
    """`ship lora`, `tie between lora and qlora: take qlora, 38 % of the memory`, …"""
    reason: str
    arm: str | None
    """The arm to take; None when none is to be shipped or the data does not say."""
    good: tuple[str, ...]
    """Arms shown to be at most the margin worse than every other arm; best value first, as the next two."""
    open: tuple[str, ...]
    """Arms of which the data does not say whether they are worse than another by more than the margin."""
    worse: tuple[str, ...]
    """Arms shown to be worse than another by more than the margin."""
    estimand: Question
    rule: WinnerRule
    declaration: str
    """When the rule was declared, against the looks at the test split, in words."""
    level: float
    """Level of each single comparison, so that the verdict holds at 95 %."""
    more_examples: int | None = None
    """About how many more test examples would settle an open verdict; None when it is not open or cannot be said."""
    more_seeds: int | None = None
    """The same for seeds, with the test examples that there are."""
    cost_share: float | None = None
    """Cost of `arm` over that of the tied arm it is compared with."""
    notes: tuple[str, ...] = ()
