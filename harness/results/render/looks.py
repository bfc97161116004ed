"""Looks at the sealed test split, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.records import Look
from harness.records import to_json as plain

LOOKS = "harness.looks/1"


def looks_to_json(looks: Sequence[Look]) -> dict[str, Any]:
    """Every look: who, when, which evaluation of which arm and experiment, and why."""
    return {"schema": LOOKS, "looks": [plain(look) for look in looks]}


def looks_to_lines(looks: Sequence[Look]) -> list[str]:
    """One line for each look, the earliest first, and their number."""
    arm = max((len(look.arm) for look in looks), default=0)
    who = max((len(look.who) for look in looks), default=0)
    lines = [f"{look.when}  {look.who:<{who}}  {look.arm:<{arm}}  {look.eval_id}  {look.why}" for look in looks]
    return [*lines, f"{len(looks)} look{'' if len(looks) == 1 else 's'} at this test split"]
