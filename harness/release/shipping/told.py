"""A parity check as lines and as JSON. Neither holds a text or an id of an example."""

from __future__ import annotations

from typing import Any

from harness.records import PARITY_CODES, ParityCheck, to_json

SCHEMA = "harness.parity/1"


def as_json(made: ParityCheck, name: str) -> dict[str, Any]:
    """Everything, with a versioned schema."""
    return {"schema": SCHEMA, "run": name, "exit_code": PARITY_CODES[made.outcome], **to_json(made)}


def as_lines(made: ParityCheck, name: str) -> list[str]:
    """What was found, the outcome last."""
    lines = [f"{name} as {made.kind}: {made.artefact}"]
    found = made.difference
    if found is not None:
        limits = "no interval" if found.low is None else f"[{found.low:+.4f}, {found.high:+.4f}]"
        level = f"{100 * found.level:.3g} %"
        p = "" if made.p_value is None else f", p {made.p_value:.2g}"
        lines.append(f"  {made.metric}, what ships minus the run: {found.value:+.4f} {limits} ({level}{p})")
    if made.answers:
        share = 100 * made.same_answers / made.answers
        lines.append(f"  same answers: {made.same_answers} of {made.answers} ({share:.1f} %)")
    for one in made.closeness:
        told = one.estimate
        limits = "" if told.low is None else f" [{told.low:+.2f}, {told.high:+.2f}]"
        what = f"{told.n} {one.by} that differ"
        lines.append(f"  nearer to the run (+1) or to {one.other} (-1): {told.value:+.2f}{limits}, by {what}")
    return [*lines, *(f"  note: {note}" for note in made.notes), f"{made.outcome}: {made.words}"]
