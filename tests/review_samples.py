"""A round over made-up answers, and people who vote in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from harness import review
from harness.records import Assignment, Invitation, Practice, ReviewText, Round, Stamp
from harness.review.blind import Ballot, BlindItem, Thanks
from harness.review.plan import Design, Material, plan_round
from harness.store import Store

ARMS = ("canary-full", "canary-lora")
EVALUATIONS = {"canary-full": "eval-canary-1", "canary-lora": "eval-canary-2", "canary-dpo": "eval-canary-3"}
PRACTICE = Practice("Say: a", "a", "b", "left", "It says what was asked.")


def sample_round(design: Design, arms: tuple[str, ...] = ARMS, examples: int = 12, **changes: Any) -> Round:
    """A round without assignments."""
    fields: dict[str, Any] = {
        "id": "r1",
        "experiment": "canary-experiment",
        "arms": arms,
        "evaluations": {arm: EVALUATIONS[arm] for arm in arms},
        "split": "validation",
        "items": design.items,
        "raters": design.raters,
        "queues": design.queues,
        "seed": 987654321987,
        "instructions": "Choose the better one.",
        "criteria": ("correctness",),
        "flags": ("fabrication",),
        "exclusion": review_exclusion(),
        "gold": design.gold,
        "identical": design.identical,
        "repeats": design.repeats,
        "opened": Stamp("2026-01-01T00:00:00+00:00", "owner"),
        "practice": None,
        "question": "Which one is the new method's?",
    }
    return Round(**fields | changes)


def review_exclusion() -> Any:
    from harness.records import ExclusionRule

    return ExclusionRule(gold_accuracy=0.7, at_least=2)


def open_sample(
    store: Store,
    design: Design | None = None,
    *,
    arms: tuple[str, ...] = ARMS,
    same: frozenset[tuple[str, str, str]] = frozenset(),
    **changes: Any,
) -> tuple[Round, list[Assignment]]:
    """A stored round over 12 examples; every answer says of which example it is, and no text names an arm."""
    design = design or Design(items=6, raters=2, queues=2)
    there = sample_round(design, arms, **changes)
    names = [f"x{number}" for number in range(12)]
    material = Material(names, [EVALUATIONS[arm] for arm in arms], same, names[:4])
    assignments = plan_round(there.id, material, design, there.seed or 0)
    texts = []
    for name in names:
        texts += [
            ReviewText(there.id, name, "prompt", f"prompt of {name}"),
            ReviewText(there.id, name, "reference", "ref"),
        ]
        texts += [ReviewText(there.id, name, "gold:good", "good"), ReviewText(there.id, name, "gold:bad", "bad")]
        for number, arm in enumerate(arms):
            texts.append(ReviewText(there.id, name, EVALUATIONS[arm], f"answer {'ABC'[number]} to {name}"))
    review.open_round(store, there, assignments, texts)
    return there, assignments


def person(store: Store, name: str = "Ann", round_id: str = "r1") -> Invitation:
    """An invited reviewer who came with their link."""
    found = review.authenticate(store, review.invite(store, round_id, name))
    assert found is not None
    return found


def ballot(item: BlindItem, winner: Any = "left", **changes: Any) -> Ballot:
    """A vote on what is shown."""
    return replace(Ballot(item.vote_id, item.token, winner, 2.0), **changes)


def shown(found: BlindItem | Thanks) -> BlindItem:
    """What is shown, which is an item."""
    assert isinstance(found, BlindItem)
    return found


def work(store: Store, who: Invitation, choose: Callable[[BlindItem], Any] = lambda item: "left") -> int:
    """Vote on everything there is; the number of votes."""
    found, count = review.next_item(store, who), 0
    while isinstance(found, BlindItem):
        receipt, found = review.vote_and_next(store, who, ballot(found, choose(found)))
        assert receipt.new
        count += 1
    return count


def ticking(start: str = "2026-01-01T10:00:00+00:00") -> Callable[[], datetime]:
    """A clock that is a second later at every look; `.forward(minutes)` turns it on."""

    class Clock:
        def __init__(self) -> None:
            self.now = datetime.fromisoformat(start).astimezone(UTC)

        def __call__(self) -> datetime:
            self.now += timedelta(seconds=1)
            return self.now

        def forward(self, minutes: float) -> None:
            self.now += timedelta(minutes=minutes)

    return Clock()


def queue_of(assignments: list[Assignment], number: int) -> Iterator[Assignment]:
    """Assignments of a queue in order."""
    return (a for a in sorted(assignments, key=lambda a: a.place) if a.queue == number)
