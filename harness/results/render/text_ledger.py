"""The fairness ledger: what every arm was given and what it cost, whole, and the same for every single run.

An arm that starts from another one has two columns: its own cost, and with its parent's training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from harness.records import RunRecord
from harness.records import to_json as as_plain
from harness.results import numbers
from harness.results.leaderboard.costs import OUTSIDE, Cost, known_ledger
from harness.results.leaderboard.raced import race_lines
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.render.table import GAP, WIDTH, TextColumn, chunks, emit, fitted, plain, table, terminal_width
from harness.results.render.text import UNKNOWN, legend_of_marks, marked

LINES: tuple[tuple[str, Callable[[Cost], str]], ...] = (
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
    ("trained share", lambda cost: _share(cost)),
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


def print_ledger(board: Leaderboard) -> None:
    """Print the ledger on standard output."""
    emit(render_ledger(board, terminal_width()))


def ledger_to_text(board: Leaderboard, width: int = WIDTH) -> str:
    """The ledger as plain lines."""
    return plain(render_ledger(board, width), width)


def render_ledger(board: Leaderboard, width: int = WIDTH) -> list[RenderableType]:
    """The ledger as rich renderables that fit `width` columns."""
    parts: list[RenderableType] = [Text(f"{board.experiment.name}: cost of one seed; budget {budget_words(board)}")]
    for made in _arms(board, width):
        parts += [Text(""), made]
    parts += [Text(line) for line in ledger_legend(board)]
    if worth_listing(board.runs):
        parts += [Text(""), fitted(run_columns(board), width)]
    parts += [Text(numbers.printable(line)) for line in [*happenings(board), *race_lines(board.experiment)]]
    return parts


def runs_to_json(board: Leaderboard) -> list[dict[str, Any]]:
    """Every attempt at every arm and seed, with its whole ledger."""
    return [
        {
            "arm": run.arm,
            "method": run.method,
            "seed": run.seed,
            "attempt": run.attempt,
            "role": run.role,
            "status": run.status,
            "error": run.error,
            "train_id": run.train_id,
            "ledger": known_ledger(run),
            "budget_known": run.method not in OUTSIDE,
        }
        for run in board.runs
    ]


def budget_words(board: Leaderboard) -> str:
    """`1,100 examples`."""
    budget = board.experiment.spec.get("budget") or {}
    given = [f"{value:,} {name.replace('_', ' ')}" for name, value in budget.items() if value is not None]
    return " and ".join(given) or "unknown"


def ledger_columns(board: Leaderboard) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the quantities, and by arm (with + for an arm with its parent's training) their values."""
    price = _price(board)
    lines = list(LINES)
    if price is not None:
        lines.append((f"cost at {price:g} an hour", lambda cost: numbers.money(cost.money)))
    columns: dict[str, list[str]] = {}
    for row in board.rows:
        if row.cost is not None:
            columns[marked(row)] = [show(row.cost) for _, show in lines]
            if row.cost.with_parent is not None:
                whole = row.cost.with_parent
                columns[f"{row.arm}+"] = [show(whole) for _, show in lines]
    return [name for name, _ in lines], columns


def _arms(board: Leaderboard, width: int) -> list[RenderableType]:
    """A row for each quantity, a column for each arm, in as many tables as the width asks for."""
    lines, columns = ledger_columns(board)
    widths = {name: max(len(name), *map(len, cells)) + GAP for name, cells in columns.items()}
    first = max(map(len, lines)) + GAP
    tables: list[RenderableType] = []
    for names in chunks(list(columns), widths, width - first) if columns else ():
        made = table("ledger", *names)
        for number, name in enumerate(lines):
            made.add_row(Text(name), *(Text(columns[one][number]) for one in names))
        tables.append(made)
    return tables


def _price(board: Leaderboard) -> float | None:
    price: float | None = (board.experiment.spec.get("resources") or {}).get("price_per_device_hour")
    return price


def _share(cost: Cost) -> str:
    if not cost.total_parameters or cost.trainable_parameters is None:
        return numbers.ABSENT
    return f"{100 * cost.trainable_parameters / cost.total_parameters:.3g} %"


def ledger_legend(board: Leaderboard) -> list[str]:
    """What the quantities are."""
    costs = [row.cost for row in board.rows if row.cost is not None]
    lines = legend_of_marks(board)
    if any(cost.has_parent for cost in costs):
        lines.append("+: with the training of the arm it starts from.")
    if any(cost.seeds > 1 for cost in costs):
        lines.append("Of several seeds the mean; of peak memory the largest.")
    lines.append(
        "Total: all seconds above it. Lost: in failed attempts, repeated steps and steps that ran out of memory."
    )
    if any(cost.tuning_seconds for cost in costs):
        lines.append("Tuning: all trials of the arm, once for all seeds; not in the total.")
    kinds = sorted({cost.memory_kind for cost in costs if cost.memory_kind is not None})
    if kinds:
        lines.append(
            f"Peak memory while training: {' or '.join(kinds)}"
            + (" (of the whole process, its libraries too)." if "resident set" in kinds else ".")
        )
    if any(cost.flops for cost in costs):
        lines.append(FLOPS)
    return lines


def worth_listing(runs: Sequence[RunRecord]) -> bool:
    """Whether runs say more than the arms: several seeds or attempts, or a failure."""
    return len({run.arm for run in runs}) < len(runs) or any(run.status != "ok" for run in runs)


def run_columns(board: Leaderboard) -> list[TextColumn]:
    """Every attempt at every arm and seed."""
    runs, costs = board.runs, [known_ledger(run) for run in board.runs]
    return [
        TextColumn("run", [run.arm + (f" {UNKNOWN}" if run.method in OUTSIDE else "") for run in runs]),
        TextColumn("seed", [numbers.ABSENT if run.seed is None else str(run.seed) for run in runs]),
        TextColumn("try", [str(run.attempt) for run in runs]),
        TextColumn("status", [run.status for run in runs]),
        TextColumn("examples", [numbers.exact(cost["examples"]) for cost in costs]),
        TextColumn("tokens", [numbers.exact(cost["tokens"]) for cost in costs]),
        TextColumn("steps", [numbers.exact(cost["optimiser_steps"]) for cost in costs], drop=2),
        TextColumn("prep s", [numbers.seconds(cost["prepare_seconds"]) for cost in costs], drop=4),
        TextColumn("train s", [numbers.seconds(cost["train_seconds"]) for cost in costs]),
        TextColumn("valid s", [numbers.seconds(cost["validation_seconds"]) for cost in costs], drop=5),
        TextColumn("pred s", [numbers.seconds(cost["predict_seconds"]) for cost in costs], drop=3),
        TextColumn("score s", [numbers.seconds(cost["score_seconds"]) for cost in costs], drop=3),
        TextColumn("lost s", [numbers.seconds(cost["lost_seconds"]) for cost in costs], drop=1),
        TextColumn("peak MB", [numbers.megabytes(cost["peak_memory_bytes"]) for cost in costs], drop=1),
        TextColumn("events", [str(len(cost["events"])) for cost in costs], drop=2),
    ]


def happenings(board: Leaderboard) -> list[str]:
    """Instabilities, recoveries and failures by run; a failure that is an event is said once."""
    lines = []
    for run in board.runs:
        who = run.arm + ("" if run.seed is None else f", seed {run.seed}")
        who += f", try {run.attempt}" if run.attempt > 1 else ""
        said = [f"{event.kind.replace('_', ' ')}: {event.detail}" for event in run.ledger.events]
        if (
            run.status != "eliminated"
            and run.error
            and not any(event.detail in run.error for event in run.ledger.events)
        ):
            said.append(f"{run.status}: {run.error}")
        lines += [f"{who}: {text}" for text in said]
    return lines


def arm_to_json(row: Row) -> dict[str, Any]:
    """One arm, the mean over its seeds."""
    return {
        "arm": row.arm,
        "method": row.method,
        "status": row.status,
        "seeds": list(row.seeds),
        "budget": row.budget,
        "budget_known": row.budget_known,
        "cost": as_plain(row.cost),
        "notes": list(row.notes),
        "errors": list(row.errors),
    }
