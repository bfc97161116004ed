"""Serving figures of one pass: a median over its rounds for each arm, and paired ratios to the reference arm."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import stats
from harness.records import Estimate, MemoryKind, ServedArm, ServingPass, ServingVisit
from harness.results.collect import Results


def _ninth_decile(visit: ServingVisit) -> float:
    """The smallest of the prompts' times that at least 90 % of them do not exceed."""
    ranked = sorted(visit.first_token_seconds)
    return ranked[math.ceil(0.9 * len(ranked)) - 1]


MEASURES: Mapping[str, Callable[[ServingVisit], float | None]] = {
    "first_token_seconds": lambda visit: statistics.median(visit.first_token_seconds),
    "first_token_p90_seconds": _ninth_decile,
    "tokens_per_second": lambda visit: visit.single_tokens / visit.single_seconds,
    "batch_tokens_per_second": lambda visit: (
        None if visit.batch_tokens is None or visit.batch_seconds is None else visit.batch_tokens / visit.batch_seconds
    ),
}
"""Name → its value in one round; seconds of the median and of the 90th percentile prompt, generated tokens a second at
batch 1 and at the largest batch that fits, prompt processing included."""


@dataclass(frozen=True, slots=True)
class ServingRow:
    """One arm. Figures are by the names of MEASURES; what was not measured is not there."""

    arm: str
    figures: Mapping[str, Estimate] = field(default_factory=dict)
    """Median over rounds."""
    ratios: Mapping[str, Estimate] = field(default_factory=dict)
    """Median over rounds of this arm's value over the reference's in the same round."""
    batch: int | None = None
    """Rows of the largest batch that fits."""
    too_large: int | None = None
    """Rows of the smallest batch that ran out of memory; None where none did."""
    memory_bytes: int | None = None
    """Peak at batch 1."""
    batch_memory_bytes: int | None = None
    """Peak at the largest batch that fits."""
    memory_kind: MemoryKind | None = None
    weights_bytes: int | None = None
    prompt_tokens: float | None = None
    """Mean length of the prompts, as this arm sees them."""
    seed: int | None = None
    forced: bool = True
    error: str = ""
    """Why there are no figures; empty when there are."""


@dataclass(frozen=True, slots=True)
class ServingTable:
    """The last pass over an experiment's arms."""

    made: ServingPass
    reference: str
    rows: tuple[ServingRow, ...]
    """In the order of the board."""

    def of(self, arm: str) -> ServingRow | None:
        """The row of an arm."""
        return next((row for row in self.rows if row.arm == arm), None)


def serving_table(results: Results, reference: str, order: Sequence[str]) -> ServingTable | None:
    """Figures of the newest pass, arms as in `order`; None where nothing was measured.

    An arm whose run or model is another one since has no figures, and neither has one that failed.
    """
    if not results.serving:
        return None
    newest = max(results.serving, key=lambda served_pass: served_pass.created)
    models = {
        (run.train_id, run.attempt): run.artefact.hash for run in results.runs if run.artefact and run.status == "ok"
    }
    present = {(entry.arm, entry.train_id, models.get((entry.train_id, entry.attempt))) for entry in results.entries}
    served = {arm.arm: arm for arm in newest.arms}
    current = {name for name, arm in served.items() if (name, arm.train_id, arm.artefact_hash) in present}
    base = served.get(reference) if reference in current and served[reference].status == "ok" else None
    old = "measured on an earlier model of this arm: measure again"
    rows = [
        _row(served[arm], base) if arm in current else ServingRow(arm, seed=served[arm].seed, error=old)
        for arm in order
        if arm in served
    ]
    return ServingTable(newest, reference, tuple(rows))


def serving_costs(table: ServingTable | None) -> dict[str, dict[str, float | None]]:
    """Arm → the costs that a winner rule can name; None where not measured.

    Seconds to the first token, seconds a token at the largest batch that fits, bytes at batch 1.
    """
    costs: dict[str, dict[str, float | None]] = {}
    for row in table.rows if table is not None else ():
        latency, speed = row.figures.get("first_token_seconds"), row.figures.get("batch_tokens_per_second")
        costs[row.arm] = {
            "latency": latency.value if latency is not None else None,
            "throughput": 1 / speed.value if speed is not None and speed.value > 0 else None,
            "inference_memory": row.memory_bytes,
        }
    return costs


def _row(arm: ServedArm, base: ServedArm | None) -> ServingRow:
    probe, batch = arm.probe, _largest(arm)
    tries = probe.tries if probe is not None else ()
    by_rows = {tried.rows: tried.memory_bytes for tried in tries if tried.status == "ok"}
    probed: dict[str, Any] = {
        "batch": batch,
        "too_large": min((tried.rows for tried in tries if tried.status == "oom"), default=None),
        "memory_bytes": by_rows.get(1),
        "batch_memory_bytes": by_rows.get(batch) if batch is not None else None,
        "memory_kind": probe.memory_kind if probe is not None else None,
        "weights_bytes": probe.weights_bytes if probe is not None else None,
        "seed": arm.seed,
        "forced": arm.forced,
    }
    if arm.status != "ok":
        return ServingRow(arm.arm, **probed, error=arm.error or "no reason was recorded")
    theirs = {visit.round: visit for visit in base.visits} if base is not None else {}
    figures: dict[str, Estimate] = {}
    ratios: dict[str, Estimate] = {}
    for name in MEASURES:
        # Of several visits in one round the last one counts; ratios are within rounds that both were measured in.
        values = {visit.round: value_in(name, visit, batch) for visit in arm.visits}
        measured = {number: value for number, value in values.items() if value is not None}
        others = {number: value_in(name, visit, _largest(base)) for number, visit in theirs.items()}
        paired = [value / other for number, value in measured.items() if (other := others.get(number))]
        if measured:
            figures[name] = stats.median(list(measured.values()))
        if paired:
            ratios[name] = stats.median(paired)
    length = arm.visits[0].prompt_tokens / len(arm.visits[0].first_token_seconds) if arm.visits else None
    return ServingRow(arm.arm, figures, ratios, **probed, prompt_tokens=length)


def _largest(arm: ServedArm | None) -> int | None:
    """Rows of the largest batch that fits."""
    return arm.probe.batch if arm is not None and arm.probe is not None else None


def value_in(name: str, visit: ServingVisit, batch: int | None) -> float | None:
    """A measure in one round; the largest batch that fits may be a single prompt."""
    return MEASURES["tokens_per_second" if name == "batch_tokens_per_second" and batch == 1 else name](visit)
