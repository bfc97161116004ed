"""Serving figures as tables: time to the first token, tokens a second, memory, and ratios to the reference arm."""

from __future__ import annotations

from collections.abc import Callable

from harness.records import Estimate
from harness.results import numbers
from harness.results.leaderboard.rows import Leaderboard
from harness.results.leaderboard.serving import ServingRow, ServingTable
from harness.results.render.table import Columns, Table, table_of
from harness.results.render.writers import Part, printed

NOTHING = "No serving figures: `harness serving FILE` measures them."
RATIOS = ("first_token_seconds", "tokens_per_second", "batch_tokens_per_second")


def serving_view(board: Leaderboard) -> list[Part]:
    """The figures of the newest pass and their ratios to the reference, or that there are none."""
    if board.serving is None:
        return [NOTHING]
    figures, *ratios = speed_tables(board.serving)
    return [figures, *(part for table in ratios for part in ("", table)), *legend(board.serving)]


print_serving, serving_to_text = printed(serving_view)


def speed_tables(serving: ServingTable) -> list[Table]:
    """The figures of every arm that has some, and their ratios to the reference where there are any."""
    levels = [figure.level for row in serving.rows for figure in row.figures.values() if figure.low is not None]
    level = f"{100 * min(levels, default=0.95):.3g} %"  # or what too few rounds reach
    figures: Columns[ServingRow] = {
        "serving": lambda row: row.arm + ("" if row.forced else " *"),
        f"first token ms [{level}]": lambda row: _cell(row.figures.get(RATIOS[0]), milliseconds),
        ("p90 ms", 3): lambda row: _cell(row.figures.get("first_token_p90_seconds"), milliseconds, interval=False),
        f"tokens/s [{level}]": lambda row: _cell(row.figures.get(RATIOS[1]), rate),
        "batch": lambda row: numbers.ABSENT if row.batch is None else str(row.batch),
        f"tokens/s at batch [{level}]": lambda row: _cell(row.figures.get(RATIOS[2]), rate),
        ("peak MB", 1): lambda row: numbers.megabytes(row.memory_bytes),
        ("at batch", 4): lambda row: numbers.megabytes(row.batch_memory_bytes),
        ("weights MB", 2): lambda row: numbers.megabytes(row.weights_bytes),
    }
    base = serving.of(serving.reference)

    def memory(row: ServingRow) -> str:
        if base is None or not base.memory_bytes or row.memory_bytes is None or row.memory_kind != base.memory_kind:
            return numbers.ABSENT
        return _ratio(row.memory_bytes / base.memory_bytes)

    ratios: Columns[ServingRow] = {
        f"over {serving.reference}": lambda row: row.arm,
        "first token": lambda row: _cell(row.ratios.get(RATIOS[0]), _ratio),
        "tokens/s": lambda row: _cell(row.ratios.get(RATIOS[1]), _ratio),
        "tokens/s at batch": lambda row: _cell(row.ratios.get(RATIOS[2]), _ratio),
        ("peak MB", 1): memory,
    }
    first = table_of([row for row in serving.rows if row.figures], figures, title="Time, speed and memory")
    second = [row for row in serving.rows if row.ratios and row.arm != serving.reference]
    return [first, *([table_of(second, ratios, title=f"Relative to {serving.reference}")] if second else [])]


def medians(serving: ServingTable) -> dict[str, Callable[[str], str]]:
    """Column → the median of an arm, without intervals."""

    def cell(name: str, shown: Callable[[float], str]) -> Callable[[str], str]:
        return lambda arm: _cell((serving.of(arm) or ServingRow(arm)).figures.get(name), shown, interval=False)

    return {
        "first token ms": cell(RATIOS[0], milliseconds),
        "tokens/s": cell(RATIOS[1], rate),
        "tokens/s at batch": cell(RATIOS[2], rate),
        "peak MB": lambda arm: numbers.megabytes((serving.of(arm) or ServingRow(arm)).memory_bytes),
    }


def legend(serving: ServingTable) -> list[str]:
    """What was measured where, what the columns are, and which arms have no figures."""
    settings, hardware = serving.made.settings, serving.made.hardware
    where = ", ".join(hardware.get("accelerators") or ()) or (
        f"{hardware.get('processor')}, {hardware.get('threads')} of {hardware.get('cores')} cores"
    )
    kinds = {row.memory_kind for row in serving.rows} - {None}
    lines = [
        f"Serving figures of {serving.made.created} on {where}: {settings['rounds']} rounds over all arms in shuffled "
        f"order, {settings['prompts']} validation prompts, {settings['new_tokens']} tokens each, greedy; by this "
        "package's own generation, not a serving engine's.",
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
    large = [f"{row.arm} at {row.too_large}" for row in serving.rows if row.too_large is not None]
    lines += [f"Out of memory: {', '.join(large)}."] if large else []
    lines += ["* behind a URL: the server may stop early; its memory and batches are unknown."] * any(
        not row.forced for row in serving.rows
    )
    seeds = sorted({row.seed for row in serving.rows if row.seed is not None})
    lines += [f"Of trained arms seed {', '.join(map(str, seeds))} was measured."] if seeds else []
    return [*lines, *(f"{row.arm}: no serving figures: {row.error}" for row in serving.rows if row.error)]


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with three digits that carry meaning."""
    return rate(1000 * seconds)


def rate(value: float) -> str:
    """`4.31`, `43.1`, `431`, `4,310`."""
    return numbers.fixed(value, 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0)


def _ratio(value: float) -> str:
    """`1.02`."""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _cell(estimate: Estimate | None, shown: Callable[[float], str], *, interval: bool = True) -> str:
    if estimate is None or not interval:
        return numbers.ABSENT if estimate is None else shown(estimate.value)
    if estimate.low is None or estimate.high is None:
        return f"{shown(estimate.value)} [-]"
    return f"{shown(estimate.value)} [{shown(estimate.low)}, {shown(estimate.high)}]"
