"""Serving figures as text, Markdown cells and JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from harness.records import Estimate
from harness.records import to_json as plain_json
from harness.report import numbers
from harness.report.rendering import WIDTH, TextColumn, emit, fitted, plain, terminal_width
from harness.report.rows import Leaderboard
from harness.report.serving import ServingRow, ServingTable

SCHEMA = "harness.serving/1"
NOTHING = "No serving figures: `harness serving FILE` measures them."


def print_serving(board: Leaderboard) -> None:
    """Print the serving figures on standard output."""
    emit(render_serving(board.serving, terminal_width()))


def serving_to_text(board: Leaderboard) -> str:
    """The serving figures as plain lines."""
    return plain(render_serving(board.serving, WIDTH), WIDTH)


def serving_to_json(board: Leaderboard) -> dict[str, Any]:
    """The figures of every arm, and every round that they come from; null where nothing was measured."""
    table = board.serving
    return {
        "schema": SCHEMA,
        "experiment": {"id": board.experiment.experiment_id, "name": board.experiment.name},
        "reference": board.reference,
        "pass": plain_json(table.made) if table is not None else None,
        "rows": [plain_json(row) for row in table.rows] if table is not None else [],
    }


def render_serving(table: ServingTable | None, width: int = WIDTH) -> list[RenderableType]:
    """The figures and the ratios as rich renderables that fit `width` columns."""
    if table is None:
        return [Text(NOTHING)]
    heads, rows = figures(table)
    parts: list[RenderableType] = [_columns(heads, rows, width)]
    heads, rows = ratios(table)
    if rows:
        parts += [Text(""), _columns(heads, rows, width)]
    return [*parts, *(Text(numbers.printable(line)) for line in legend(table))]


def _columns(heads: list[tuple[str, int]], rows: list[list[str]], width: int) -> RenderableType:
    cells = zip(*rows, strict=True) if rows else [() for _ in heads]
    return fitted([TextColumn(name, list(own), drop) for (name, drop), own in zip(heads, cells, strict=True)], width)


def figures(table: ServingTable) -> tuple[list[tuple[str, int]], list[list[str]]]:
    """Heads (with the order in which a narrow table drops them) and cells, arms that failed left out."""
    level = _level(table)
    heads = [
        ("serving", 0),
        (f"first token ms [{level}]", 0),
        ("p90 ms", 3),
        (f"tokens/s [{level}]", 0),
        ("batch", 0),
        (f"tokens/s at batch [{level}]", 0),
        ("peak MB", 1),
        ("at batch", 4),
        ("weights MB", 2),
    ]
    return heads, [
        [
            row.arm + ("" if row.forced else " *"),
            _spread(row.figures.get("first_token_seconds"), milliseconds),
            _alone(row.figures.get("first_token_p90_seconds"), milliseconds),
            _spread(row.figures.get("tokens_per_second"), rate),
            numbers.ABSENT if row.batch is None else str(row.batch),
            _spread(row.figures.get("batch_tokens_per_second"), rate),
            numbers.megabytes(row.memory_bytes),
            numbers.megabytes(row.batch_memory_bytes),
            numbers.megabytes(row.weights_bytes),
        ]
        for row in table.rows
        if row.figures
    ]


def ratios(table: ServingTable) -> tuple[list[tuple[str, int]], list[list[str]]]:
    """Heads and cells of the ratios to the reference; no rows where there are none."""
    base = table.of(table.reference)
    heads = [(f"over {table.reference}", 0), ("first token", 0), ("tokens/s", 0), ("tokens/s at batch", 0)]
    rows = [
        [row.arm, *(_spread(row.ratios.get(name), ratio) for name in RATIOS), _memory(row, base)]
        for row in table.rows
        if row.ratios and row.arm != table.reference
    ]
    return [*heads, ("peak MB", 1)], rows


RATIOS = ("first_token_seconds", "tokens_per_second", "batch_tokens_per_second")


def _memory(row: ServingRow, base: ServingRow | None) -> str:
    if base is None or not base.memory_bytes or row.memory_bytes is None or row.memory_kind != base.memory_kind:
        return numbers.ABSENT
    return ratio(row.memory_bytes / base.memory_bytes)


def legend(table: ServingTable) -> list[str]:
    """What was measured where, what the columns are, and which arms have no figures."""
    made, settings = table.made, table.made.settings
    where = ", ".join(made.hardware.get("accelerators") or ()) or (
        f"{made.hardware.get('processor')}, {made.hardware.get('threads')} of {made.hardware.get('cores')} cores"
    )
    kinds = {row.memory_kind for row in table.rows} - {None}
    lines = [
        f"Serving figures of {made.created} on {where}: {settings['rounds']} rounds over all arms in shuffled order, "
        f"{settings['prompts']} validation prompts, {settings['new_tokens']} tokens each, greedy; by this package's "
        "own generation, not a serving engine's.",
        "First token: one prompt alone, the median prompt and the 90th percentile one. tokens/s: generated tokens, "
        f"prompt processing included, one prompt at a time and at the largest batch that fits (up to "
        f"{settings['batches']}). Each is the median over rounds, with a distribution-free interval; ratios are taken "
        "within rounds.",
    ]
    if "accelerator" in kinds:
        lines.append("peak: allocated on the accelerator at batch 1 and at the largest batch, the arm alone.")
    elif kinds:
        lines.append(
            "peak: resident set at batch 1 and at the largest batch of a process that serves this arm alone, Python "
            "and libraries included; weights: parameters and buffers as held."
        )
    large = [f"{row.arm} at {row.too_large}" for row in table.rows if row.too_large is not None]
    lines += [f"Out of memory: {', '.join(large)}."] if large else []
    lines += ["* behind a URL: the server may stop early; its memory and batches are unknown."] * any(
        not row.forced for row in table.rows
    )
    seeds = sorted({row.seed for row in table.rows if row.seed is not None})
    lines += [f"Of trained arms seed {', '.join(map(str, seeds))} was measured."] if seeds else []
    return [*lines, *(f"{row.arm}: no serving figures: {row.error}" for row in table.rows if row.error)]


def _level(table: ServingTable) -> str:
    """`95 %`, or what too few rounds reach."""
    found = [one.level for row in table.rows for one in row.figures.values() if one.low is not None]
    return f"{100 * min(found, default=0.95):.3g} %"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with three digits that carry meaning."""
    return rate(1000 * seconds)


def rate(value: float) -> str:
    """`4.31`, `43.1`, `431`, `4,310`."""
    return numbers.fixed(value, 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0)


def ratio(value: float) -> str:
    """`1.02`."""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _alone(one: Estimate | None, shown: Callable[[float], str]) -> str:
    return numbers.ABSENT if one is None else shown(one.value)


def _spread(one: Estimate | None, shown: Callable[[float], str]) -> str:
    if one is None:
        return numbers.ABSENT
    if one.low is None or one.high is None:
        return f"{shown(one.value)} [-]"
    return f"{shown(one.value)} [{shown(one.low)}, {shown(one.high)}]"
