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


def _single(visit: ServingVisit) -> float | None:
    return visit.single_tokens / visit.single_seconds


def _batch(visit: ServingVisit) -> float | None:
    if visit.batch_tokens is None or visit.batch_seconds is None:
        return None
    return visit.batch_tokens / visit.batch_seconds


def _ninth_decile(visit: ServingVisit) -> float:
    """The smallest of the prompts' times that at least 90 % of them do not exceed."""
    ranked = sorted(visit.first_token_seconds)
    return ranked[math.ceil(0.9 * len(ranked)) - 1]


MEASURES: Mapping[str, Callable[[ServingVisit], float | None]] = {
    "first_token_seconds": lambda visit: statistics.median(visit.first_token_seconds),
    "first_token_p90_seconds": _ninth_decile,
    "tokens_per_second": _single,
    "batch_tokens_per_second": _batch,
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
    newest = max(results.serving, key=lambda one: one.created)
    present = _artefacts(results)
    served = {one.arm: one for one in newest.arms}
    base = served.get(reference)
    usable = base is not None and base.status == "ok" and _is_current(base, present)
    rows = [_row(served[arm], base if usable else None, present) for arm in order if arm in served]
    return ServingTable(newest, reference, tuple(rows))


def serving_costs(table: ServingTable | None) -> dict[str, dict[str, float | None]]:
    """Arm → the costs that a winner rule can name."""
    return {row.arm: _costs(row) for row in table.rows} if table is not None else {}


def _costs(row: ServingRow) -> dict[str, float | None]:
    """Seconds to the first token, seconds a token at the largest batch that fits, bytes at batch 1; None where not
    measured."""
    latency, speed = row.figures.get("first_token_seconds"), row.figures.get("batch_tokens_per_second")
    return {
        "latency": latency.value if latency is not None else None,
        "throughput": 1 / speed.value if speed is not None and speed.value > 0 else None,
        "inference_memory": row.memory_bytes,
    }


def _row(one: ServedArm, base: ServedArm | None, present: Mapping[str, set[tuple[str, str]]]) -> ServingRow:
    if not _is_current(one, present):
        return ServingRow(one.arm, seed=one.seed, error="measured on an earlier model of this arm: measure again")
    probe = one.probe
    tries = probe.tries if probe is not None else ()
    by_rows = {tried.rows: tried.memory_bytes for tried in tries if tried.status == "ok"}
    batch = probe.batch if probe is not None else None
    probed: dict[str, Any] = {
        "batch": batch,
        "too_large": min((tried.rows for tried in tries if tried.status == "oom"), default=None),
        "memory_bytes": by_rows.get(1),
        "batch_memory_bytes": by_rows.get(batch) if batch is not None else None,
        "memory_kind": probe.memory_kind if probe is not None else None,
        "weights_bytes": probe.weights_bytes if probe is not None else None,
        "seed": one.seed,
        "forced": one.forced,
    }
    if one.status != "ok":
        return ServingRow(one.arm, **probed, error=one.error or "no reason was recorded")
    visits = {visit.round: visit for visit in one.visits}
    others = {visit.round: visit for visit in base.visits} if base is not None else {}
    figures, ratios = {}, {}
    for name in MEASURES:
        values = {number: value_in(name, visit, batch) for number, visit in visits.items()}
        measured = [value for value in values.values() if value is not None]
        if measured:
            figures[name] = stats.median(measured)
        paired = _ratios(values, {number: value_in(name, visit, _rows_of(base)) for number, visit in others.items()})
        if paired:
            ratios[name] = stats.median(paired)
    prompts = one.visits[0] if one.visits else None
    length = prompts.prompt_tokens / len(prompts.first_token_seconds) if prompts is not None else None
    return ServingRow(one.arm, figures, ratios, **probed, prompt_tokens=length)


def value_in(name: str, visit: ServingVisit, batch: int | None) -> float | None:
    """A measure in one round; the largest batch that fits may be a single prompt."""
    return MEASURES["tokens_per_second" if name == "batch_tokens_per_second" and batch == 1 else name](visit)


def _rows_of(one: ServedArm | None) -> int | None:
    return one.probe.batch if one is not None and one.probe is not None else None


def _ratios(values: Mapping[int, float | None], others: Mapping[int, float | None]) -> list[float]:
    """Within rounds that both were measured in."""
    ratios = []
    for number, value in values.items():
        other = others.get(number)
        if value is not None and other:
            ratios.append(value / other)
    return ratios


def _artefacts(results: Results) -> dict[str, set[tuple[str, str]]]:
    """Arm → (training, model) of each of its finished runs."""
    models = {
        (run.train_id, run.attempt): run.artefact.hash for run in results.runs if run.artefact and run.status == "ok"
    }
    models_of: dict[str, set[tuple[str, str]]] = {}
    for entry in results.entries:
        model = models.get((entry.train_id, entry.attempt))
        if model is not None:
            models_of.setdefault(entry.arm, set()).add((entry.train_id, model))
    return models_of


def _is_current(one: ServedArm, present: Mapping[str, set[tuple[str, str]]]) -> bool:
    return (one.train_id, one.artefact_hash) in present.get(one.arm, set())
