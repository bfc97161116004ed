"""Writes a forecast as lines of text and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from harness.experiments.forecast.forecast import ArmForecast, Forecast
from harness.experiments.forecast.power import Power
from harness.records import to_json as plain
from harness.results import numbers

WIDTH = 110
SCHEMA = "harness.plan/1"
SUITE_SCHEMA = "harness.plans/1"


def to_json(forecast: Forecast) -> dict[str, Any]:
    """Everything a forecast holds, with the number of runs."""
    return {"schema": SCHEMA, "runs": forecast.runs, "finished": forecast.finished, **plain(forecast)}


def lines(forecast: Forecast) -> list[str]:
    """The forecast for a terminal: a row for each arm, totals, and what can be shown."""
    sizes = ", ".join(f"{size:,} {name}" for name, size in forecast.split_sizes.items())
    done = f", {forecast.finished} of them finished" if forecast.finished else ""
    runs = "1 run" if forecast.runs == 1 else f"{forecast.runs} runs"
    first = f"{forecast.experiment}: {runs}{done}; task {forecast.task} ({sizes}; {forecast.groups} test groups)"
    totals = [*_totals(forecast), *(f"{note[0].upper()}{note[1:]}." for note in forecast.notes)]
    return [first, "", *_table(forecast.arms), "", *_wrapped(totals), "", *_wrapped(_power(forecast.power))]


def suite_to_json(forecasts: Sequence[Forecast]) -> dict[str, Any]:
    """The forecasts of a suite's experiments."""
    return {"schema": SUITE_SCHEMA, "plans": [to_json(each) for each in forecasts]}


def suite_lines(forecasts: Sequence[Forecast]) -> list[str]:
    """Every forecast, and what all of them take one after the other."""
    result = [line for each in forecasts for line in (*lines(each), "")]
    durations = [each.wall_seconds for each in forecasts if each.wall_seconds is not None]
    if len(durations) < len(forecasts):
        return [
            *result,
            f"All {len(forecasts)} experiments: the time of {len(forecasts) - len(durations)} is not known.",
        ]
    return [*result, f"All {len(forecasts)} experiments, one after the other: about {duration(sum(durations))}."]


def _wrapped(paragraphs: list[str]) -> list[str]:
    return [line for text in paragraphs for line in textwrap.wrap(text, WIDTH, break_long_words=False)]


def duration(seconds: float | None) -> str:
    """`48 s`, `5 min 10 s`, `3 h 20 min`, or `-`."""
    if seconds is None:
        return numbers.ABSENT
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def _table(arms: tuple[ArmForecast, ...]) -> list[str]:
    tuned = any(arm.trials for arm in arms)
    head = ["arm", "runs", "train s", "score s", "one run s", "peak MB", "file MB"]
    head += ["trials", "tuning s"] if tuned else []
    rows = [
        [
            arm.arm,
            str(arm.runs) + (f" ({arm.finished} done)" if arm.finished else ""),
            numbers.seconds(arm.train_seconds),
            numbers.seconds(arm.score_seconds),
            numbers.seconds(arm.seconds),
            numbers.megabytes(arm.peak_memory_bytes),
            numbers.megabytes(arm.artefact_bytes),
            *([str(arm.trials), numbers.seconds(arm.tuning_seconds)] if tuned else []),
        ]
        for arm in arms
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    bases = ["from", *(arm.basis for arm in arms)]
    text = []
    for row, basis in zip([head, *rows], bases, strict=True):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        text.append(f"{'  '.join(cells)}  {basis}".rstrip())
    return text


def _totals(forecast: Forecast) -> list[str]:
    if forecast.device_seconds is None:
        return [
            "Time, memory, disk and money cannot be known: no arm has a stored run on this base. "
            "`harness plan --calibrate` measures a few steps of each."
        ]
    if forecast.finished == forecast.runs and not any(arm.trials for arm in forecast.arms):
        return ["Nothing is left to run."]
    parts = [f"{duration(forecast.device_seconds)} of device time"]
    if forecast.workers > 1:
        parts.append(f"{duration(forecast.wall_seconds)} on {forecast.workers} workers")
    parts.append(f"peak memory {numbers.megabytes(forecast.peak_memory_bytes)} MB a run")
    parts.append(f"artefacts {numbers.megabytes(forecast.disk_bytes)} MB")
    if forecast.money is not None:
        parts.append(f"{forecast.money:,.2f} in money at {forecast.price_per_device_hour:g} a device-hour")
    text = [f"What is left will take about {', '.join(parts)}."]
    if forecast.money is None:
        text.append("No money is named: `resources.price_per_device_hour` is not set.")
    if forecast.unknown:
        text.append(f"Not counted, as nothing is known of them: {', '.join(forecast.unknown)} (--calibrate measures).")
    return text


def _power(power: Power) -> list[str]:
    with_what = f"{power.examples:,} test examples in {power.groups:,} groups"
    if power.smallest is None or power.least_margin is None:
        return [f"With {with_what} the smallest difference that shows cannot be said: {power.basis}."]
    seeds = f" and {power.seeds} seeds" if power.question == "method" else ""
    what = "methods" if power.question == "method" else "checkpoints"
    text = [
        f"With {with_what}{seeds}, a true difference of {power.smallest:.3g} in {power.metric} between two {what} is "
        f"found with 80 % power (95 % interval); by the verdict over all arms, one of {power.smallest_in_verdict:.3g}.",
        f"A gate: a margin under {power.least_margin:.3g} cannot pass even a candidate that scores the same; one of "
        f"{power.smallest:.3g} passes an equal candidate in 80 % of cases.",
    ]
    if power.margin:
        text.append(_margin(power, power.smallest, power.least_margin))
    return [*text, f"Basis: {power.basis}."]


def _margin(power: Power, smallest: float, least: float) -> str:
    margin = power.margin or 0.0
    if margin >= smallest:
        verdict = "is found, or passes, with 80 % power or more"
    elif margin >= least:
        verdict = "passes only with luck"
    else:
        verdict = "can never pass"
    ways = [] if power.margin_examples is None else [f"{power.margin_examples:,} test examples"]
    if power.margin_seeds is not None:
        ways.append(f"{power.margin_seeds} seeds")
    takes = f"80 % power takes about {' or '.join(ways)}" if ways else "no number of test examples alone is enough"
    return f"A margin of {margin:g} {verdict}: {takes}."
