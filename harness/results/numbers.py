"""Numbers as people read them: as many digits as carry meaning, `-` where there is none."""

from __future__ import annotations

import math

from harness.records import Estimate

ABSENT = "-"
Bounds = tuple[float, float] | None


def decimals(value: float, bounds: Bounds) -> int:
    """Digits after the point: 3 for shares, 1 for a scale of 100, else so that three or so digits carry meaning."""
    if bounds is not None:
        return 3 if bounds[1] - bounds[0] <= 2 else 1
    size = abs(value)
    return 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3


def fixed(value: float | None, places: int, *, sign: bool = False) -> str:
    """`value` with `places` decimals; thousands separated; never `-0.0`, never NaN."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if abs(value) >= 1e7:
        return f"{value:+.2e}" if sign else f"{value:.2e}"
    rounded = round(value, places)
    if rounded == 0:
        return f"{0:.{places}f}"
    return f"{rounded:+,.{places}f}" if sign else f"{rounded:,.{places}f}"


def value(estimate: Estimate | None, bounds: Bounds) -> str:
    """A value alone."""
    return ABSENT if estimate is None else fixed(estimate.value, decimals(estimate.value, bounds))


def with_interval(estimate: Estimate | None, bounds: Bounds, *, sign: bool = False) -> str:
    """`0.842 [0.812, 0.871]`; the value alone where there is no interval."""
    if estimate is None:
        return ABSENT
    places = decimals(estimate.value, bounds)
    text = fixed(estimate.value, places, sign=sign)
    if estimate.low is None or estimate.high is None:
        return f"{text} [-]"
    return f"{text} [{fixed(estimate.low, places, sign=sign)}, {fixed(estimate.high, places, sign=sign)}]"


def excludes_zero(estimate: Estimate | None) -> bool:
    """Whether the interval of a difference excludes 0."""
    return estimate is not None and (
        (estimate.low is not None and estimate.low > 0) or (estimate.high is not None and estimate.high < 0)
    )


def probability(p: float | None) -> str:
    """`0.034`, `<0.001`, or `-`."""
    if p is None:
        return ABSENT
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def ranks(interval: tuple[int, int] | None) -> str:
    """`2`, `1 to 3`, or `-`."""
    if interval is None:
        return ABSENT
    return str(interval[0]) if interval[0] == interval[1] else f"{interval[0]} to {interval[1]}"


def chance(p: float | None) -> str:
    """A probability with two digits: `0.87`, `<0.01`, `>0.99`, or `-`."""
    if p is None:
        return ABSENT
    return "<0.01" if p < 0.01 else ">0.99" if p > 0.99 else f"{p:.2f}"


def count(number: float | None) -> str:
    """`1,234`, `56.7k`, `1.75M`."""
    if number is None or not math.isfinite(number):
        return ABSENT
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            scale = 1e3 if letter == "k" else size
            return f"{number / scale:.3g}{letter}" if abs(number / scale) < 999.5 else f"{number / scale:.0f}{letter}"
    return f"{number:,.0f}"


def exact(number: float | None) -> str:
    """`1,234,567`; one decimal where a mean is no whole number."""
    if number is None or not math.isfinite(number):
        return ABSENT
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"


def operations(number: float | None) -> str:
    """`1.23e+12`."""
    return ABSENT if number is None or not math.isfinite(number) else "0" if number == 0 else f"{number:.3g}"


def money(number: float | None) -> str:
    """`1,234.50`, `0.0123`: two decimals, or two digits that carry meaning."""
    if number is None or not math.isfinite(number):
        return ABSENT
    return f"{number:,.2f}" if number == 0 or number >= 1 else f"{number:.2g}"


def seconds(number: float | None) -> str:
    """`0.42`, `12.3`, `1,234`; `0` for nothing."""
    if number is None or not math.isfinite(number):
        return ABSENT
    if number == 0:
        return "0"
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 1 else f"{number:.2f}"


def megabytes(number: int | None) -> str:
    """Bytes as MB (10^6)."""
    if number is None:
        return ABSENT
    return "0" if number == 0 else f"{number / 1e6:,.0f}" if number >= 1e7 else f"{number / 1e6:.2g}"


def printable(text: str) -> str:
    """Text of a model without control characters, which could drive a terminal; line ends stay."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
