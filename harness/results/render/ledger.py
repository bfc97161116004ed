"""The fairness ledger: what every arm was given and what it cost, whole, and the same for every single run.

An arm that starts from another one has two columns: its own cost, and with its parent's training.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.results import numbers
from harness.results.leaderboard.costs import OUTSIDE, Cost, known_ledger
from harness.results.leaderboard.raced import race_lines
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.table import Head, Table, table
from harness.results.render.words import UNKNOWN, legend_of_marks, marked, share_trained
from harness.results.render.writers import Part, printed

QUANTITIES: tuple[tuple[str, Callable[[Cost], str]], ...] = (
    ("examples", lambda cost: numbers.exact(cost.examples)),
    ("tokens", lambda cost: numbers.exact(cost.tokens)),
    ("tokens with loss", lambda cost: numbers.exact(cost.target_tokens)),
    ("optimiser steps", lambda cost: numbers.exact(cost.optimiser_steps)),
    ("preparation s", lambda cost: numbers.seconds(cost.prepare_seconds)),
    ("train steps s", lambda cost: numbers.seconds(cost.train_seconds)),
    ("validation s", lambda cost: numbers.seconds(cost.validation_seconds)),
    ("prediction s", lambda cost: numbers.seconds(cost.predict_seconds)),
    ("scoring s", lambda cost: numbers.seconds(cost.score_seconds)),
    ("lost s", lambda cost: numbers.seconds(cost.lost_seconds)),
    ("total s", lambda cost: numbers.seconds(cost.total_seconds)),
    ("peak memory MB", lambda cost: numbers.megabytes(cost.peak_memory_bytes)),
    ("trainable", lambda cost: numbers.count(cost.trainable_parameters)),
    ("parameters", lambda cost: numbers.count(cost.total_parameters)),
    ("trained share", lambda cost: share_trained(cost.trainable_parameters, cost.total_parameters)),
    ("files MB", lambda cost: numbers.megabytes(cost.artefact_bytes)),
    ("tuning trials", lambda cost: numbers.exact(cost.trials)),
    ("tuning s", lambda cost: numbers.seconds(cost.tuning_seconds)),
    ("prompts cut", lambda cost: numbers.exact(cost.truncated_prompts)),
    ("est. FLOPs", lambda cost: numbers.operations(cost.flops)),
)
"""Rows of the table of arms."""
FLOPS = (
    "Estimated FLOPs of training (Kaplan et al. 2020; Chowdhery et al. 2022): a token costs 6 a trained and 4 a frozen "
    "parameter, the output head on tokens with loss only, attention 12 · layers · width · length; DPO's scoring and "
    "sampling of pairs is in, validation and padding are not."
)


def ledger_view(board: Leaderboard) -> list[Part]:
    """The ledger of every arm, every run where those say more, and what happened in them."""
    runs = run_ledger(board)
    listed: list[Part] = [] if runs is None else ["", runs]
    return [
        f"{board.experiment.name}: cost of one seed; budget {budget_words(board)}",
        "",
        arm_ledger(board),
        *listed,
        *happenings(board),
        *race_lines(board.experiment),
    ]


print_ledger, ledger_to_text = printed(ledger_view)


def budget_words(board: Leaderboard) -> str:
    """`1,100 examples`."""
    budget = board.experiment.spec.get("budget") or {}
    given = [f"{value:,} {name.replace('_', ' ')}" for name, value in budget.items() if value is not None]
    return " and ".join(given) or "unknown"


def arm_ledger(board: Leaderboard) -> Table:
    """A row for each quantity, a column for each arm, with + for an arm with its parent's training."""
    quantities = list(QUANTITIES)
    price: float | None = (board.experiment.spec.get("resources") or {}).get("price_per_device_hour")
    if price is not None:
        quantities.append((f"cost at {price:g} an hour", lambda cost: numbers.money(cost.money)))
    columns: dict[str, Cost] = {}
    for row in board.rows:
        if row.cost is not None:
            columns[marked(row)] = row.cost
            if row.cost.with_parent is not None:
                columns[f"{row.arm}+"] = row.cost.with_parent
    rows = [[name, *map(show, columns.values())] for name, show in quantities] if columns else []
    costs = [row.cost for row in board.rows if row.cost is not None]
    kinds = sorted({cost.memory_kind for cost in costs if cost.memory_kind is not None})
    memory = f"Peak memory while training: {' or '.join(kinds)}"
    memory += " (of the whole process, its libraries too)." if "resident set" in kinds else "."
    notes = (
        (any(cost.has_parent for cost in costs), "+: with the training of the arm it starts from."),
        (any(cost.seeds > 1 for cost in costs), "Of several seeds the mean; of peak memory the largest."),
        (
            True,
            "Total: all seconds above it. Lost: in failed attempts, repeated steps and steps that ran out of memory.",
        ),
        (
            any(cost.tuning_seconds for cost in costs),
            "Tuning: all trials of the arm, once for all seeds; not in the total.",
        ),
        (bool(kinds), memory),
        (any(cost.flops for cost in costs), FLOPS),
    )
    return table(["ledger", *columns], rows, [*legend_of_marks(board), *(note for said, note in notes if said)])


def run_ledger(board: Leaderboard) -> Table | None:
    """Every attempt at every arm and seed; None where runs say no more than arms (one attempt at each, no failure)."""
    runs = board.runs
    if len({run.arm for run in runs}) == len(runs) and all(run.status == "ok" for run in runs):
        return None
    heads: list[Head] = [
        *("run", "seed", "try", "status", "examples", "tokens", ("steps", 2), ("prep s", 4), "train s", ("valid s", 5)),
        *(("pred s", 3), ("score s", 3), ("lost s", 1), ("peak MB", 1), ("events", 2)),
    ]
    rows = []
    for run in runs:
        cost = known_ledger(run)
        rows.append(
            [
                run.arm + (f" {UNKNOWN}" if run.method in OUTSIDE else ""),
                numbers.ABSENT if run.seed is None else str(run.seed),
                str(run.attempt),
                run.status,
                *(numbers.exact(cost[name]) for name in ("examples", "tokens", "optimiser_steps")),
                *(numbers.seconds(cost[f"{name}_seconds"]) for name in ("prepare", "train", "validation")),
                *(numbers.seconds(cost[f"{name}_seconds"]) for name in ("predict", "score", "lost")),
                numbers.megabytes(cost["peak_memory_bytes"]),
                str(len(cost["events"])),
            ]
        )
    return table(heads, rows)


def happenings(board: Leaderboard) -> list[str]:
    """Instabilities, recoveries and failures by run; a failure that is an event is said once."""
    lines = []
    for run in board.runs:
        who = run.arm + ("" if run.seed is None else f", seed {run.seed}")
        who += f", try {run.attempt}" if run.attempt > 1 else ""
        events = run.ledger.events
        lines += [f"{who}: {event.kind.replace('_', ' ')}: {event.detail}" for event in events]
        if run.status != "eliminated" and run.error and not any(event.detail in run.error for event in events):
            lines.append(f"{who}: {run.status}: {run.error}")
    return lines
