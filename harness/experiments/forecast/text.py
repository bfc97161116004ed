"""Shows a forecast as sentences and a table, and writes it as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.experiments.forecast.forecast import Forecast
from harness.experiments.forecast.power import Power
from harness.records import to_json as plain
from harness.results import numbers
from harness.results.render.table import Table, table
from harness.results.render.writers import Part

SCHEMA = "harness.plan/1"
SUITE_SCHEMA = "harness.plans/1"


def to_json(forecast: Forecast) -> dict[str, Any]:
    """Everything a forecast holds, with the number of runs."""
    return {"schema": SCHEMA, "runs": forecast.runs, "finished": forecast.finished, **plain(forecast)}


def suite_to_json(forecasts: Sequence[Forecast]) -> dict[str, Any]:
    """The forecasts of a suite's experiments."""
    return {"schema": SUITE_SCHEMA, "plans": [to_json(each) for each in forecasts]}


def view(forecast: Forecast) -> list[Part]:
    """A row for each arm, totals, and what can be shown."""
    sizes = ", ".join(f"{size:,} {name}" for name, size in forecast.split_sizes.items())
    done = f", {forecast.finished} of them finished" if forecast.finished else ""
    runs = "1 run" if forecast.runs == 1 else f"{forecast.runs} runs"
    first = f"{forecast.experiment}: {runs}{done}; task {forecast.task} ({sizes}; {forecast.groups} test groups)"
    notes = (f"{note[0].upper()}{note[1:]}." for note in forecast.notes)
    return [first, "", _table(forecast), "", *_totals(forecast), *notes, "", *_power(forecast.power)]


def suite_view(forecasts: Sequence[Forecast]) -> list[Part]:
    """Every forecast, and what all of them take one after the other."""
    durations = [each.wall_seconds for each in forecasts if each.wall_seconds is not None]
    unknown = len(forecasts) - len(durations)
    time = f", one after the other: about {duration(sum(durations))}"
    total = f": the time of {unknown} is not known" if unknown else time
    return [*(part for each in forecasts for part in (*view(each), "")), f"All {len(forecasts)} experiments{total}."]


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


def _table(forecast: Forecast) -> Table:
    """A row for each arm; where its figures come from stands below."""
    tuned = any(arm.trials for arm in forecast.arms)
    heads = ["arm", "runs", "train s", "score s", "one run s", "peak MB", "file MB"]
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
        for arm in forecast.arms
    ]
    sources = [f"{arm.arm}: {arm.basis}" for arm in forecast.arms]
    return table([*heads, *(["trials", "tuning s"] if tuned else [])], rows, sources)


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
