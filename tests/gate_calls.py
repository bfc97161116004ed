"""A stored call of `harness gate`, for tests of its history and of the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.records import GateCall, GateVerdict


def made_call(verdict: GateVerdict, **changes: Any) -> GateCall:
    """A call that was judged first and whose verdict this is."""
    plain = GateCall(
        id="c",
        when="2026-11-22T10:00:00+00:00",
        who="Ann",
        gates_file="gates.yaml",
        gates_digest="g",
        rules_digest="r",
        baseline="b-1",
        baseline_digest="b",
        candidate="x/y",
        experiment="x",
        train_id="t",
        eval_id="e",
        data={},
        outcome=verdict.outcome,
        exit_code=verdict.exit_code,
        look=1,
        looks=1,
        reason="first look",
        verdict=verdict,
    )
    return replace(plain, **changes)
