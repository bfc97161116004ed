"""Made-up review rounds for the benchmarks: two arms with names that say nothing, answers of realistic length."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Sequence
from pathlib import Path

from harness import review
from harness.records import ExclusionRule, ReviewText, Round, Stamp
from harness.review.blind import iso, utc_now
from harness.review.plan import Design, Material, plan_round
from harness.store import Store

WORDS = (
    "the",
    "patient",
    "says",
    "that",
    "it",
    "began",
    "weeks",
    "ago",
    "and",
    "takes",
    "one",
    "tablet",
    "every",
    "day",
)
ARMS = ("first", "second")


def open_made(
    store: Store,
    name: str,
    design: Design,
    rng: random.Random,
    arms: Sequence[str] = ARMS,
    experiment: str = "made",
) -> Round:
    """Open a round of this design over as few examples as its items need: prompts of 200 words, answers of 60."""
    examples = [f"{name}-x{number}" for number in range(-(-design.items // math.comb(len(arms), 2)))]
    sources = [f"{name}-{arm}" for arm in arms]
    there = Round(
        id=name,
        experiment=experiment,
        arms=tuple(arms),
        evaluations=dict(zip(arms, sources, strict=True)),
        split="validation",
        items=design.items,
        raters=design.raters,
        queues=design.queues,
        seed=rng.getrandbits(48),
        instructions="Choose the better answer.",
        criteria=("correctness",),
        flags=("fabrication",),
        exclusion=ExclusionRule(gold_accuracy=None),
        gold=design.gold,
        identical=design.identical,
        repeats=design.repeats,
        opened=Stamp(iso(utc_now()), "bench"),
        question="Which one is the new method's?",
    )
    plan = plan_round(name, Material(examples, sources), design, there.seed or 0)
    lengths = {"prompt": 200, "reference": 60, **dict.fromkeys(sources, 60)}
    texts = [
        ReviewText(name, example, source, " ".join(rng.choices(WORDS, k=length)))
        for example in examples
        for source, length in lengths.items()
    ]
    review.open_round(store, there, plan, texts)
    return there


def reviewers(store: Store, name: str, count: int) -> list[str]:
    """Tokens of `count` reviewers invited to a round."""
    return [review.invite(store, name, f"reviewer {number}") for number in range(count)]


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1))]


def load_words() -> str:
    """How busy the machine is, for the lines that report times."""
    one, five, _ = Path("/proc/loadavg").read_text().split()[:3] if Path("/proc/loadavg").exists() else ("?", "?", "")
    return f"{os.cpu_count()} cores, load {one} over 1 min, {five} over 5 min"
