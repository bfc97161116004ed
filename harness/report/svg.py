"""Charts as SVG text for a page: scales, ticks, markers, places for names. No colour is written here, only classes.

Lengths are CSS pixels of a drawing that is shown at its own width on a telephone, so that its text can be read there.
All text that comes from elsewhere is escaped; numbers are rounded, so that the same data gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from harness.report.numbers import count, printable

WIDTH = 360
LETTER = 7.4
"""Width of a bold letter of 12 px, on the safe side."""
Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
_MARKS: Mapping[str, str] = {
    "o": "M{x} {t}a{r} {r} 0 1 0 .01 0z",
    "s": "M{l} {t}H{R}V{b}H{l}z",
    "D": "M{x} {t}L{R} {y}L{x} {b}L{l} {y}z",
    "^": "M{x} {t}L{R} {b}H{l}z",
    "v": "M{x} {b}L{R} {t}H{l}z",
    "<": "M{l} {y}L{R} {t}V{b}z",
    ">": "M{R} {y}L{l} {t}V{b}z",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Values → pixels: by difference, by ratio, or by ratio beyond `knee` and by difference below it."""

    low: float
    high: float
    start: float
    end: float
    kind: Literal["linear", "log", "knee"] = "linear"
    knee: float = 1.0

    def __call__(self, value: float) -> float:
        low, high = self._turned(self.low), self._turned(self.high)
        share = (self._turned(value) - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def _turned(self, value: float) -> float:
        if self.kind == "log":
            return math.log10(value)
        if self.kind == "knee":
            return value / self.knee if value <= self.knee else 1 + math.log10(value / self.knee)
        return value

    def ticks(self) -> list[float]:
        """Round values within the scale."""
        if self.kind == "linear" or self.high / max(self.low, 1e-300) < 3:
            return _even(self.low, self.high)
        first = self.knee if self.kind == "knee" else self.low
        wide = self.high / first > 200
        found = [0.0] if self.kind == "knee" and self.low <= 0 else []
        for power in range(math.floor(math.log10(first)), math.ceil(math.log10(self.high)) + 1):
            steps = (1.0,) if wide else (1.0, 3.0) if self.high / first > 20 else (1.0, 2.0, 5.0)
            found += [step * 10.0**power for step in steps if first <= step * 10.0**power <= self.high]
        return found


def _even(low: float, high: float) -> list[float]:
    if high <= low:
        return [low]
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * power for unit in (1.0, 2.0, 5.0, 10.0) if unit * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """`0.85`, `120`, `2.16M`."""
    return count(value) if abs(value) >= 1000 else f"{round(value, 10):g}"


@dataclass(slots=True)
class Drawing:
    """An SVG picture that grows; `text` is what it says to those who do not see it."""

    height: float
    text: str
    width: float = WIDTH
    parts: list[str] = field(default_factory=list)

    def line(self, points: Sequence[Point], kind: str) -> None:
        """A line through the points."""
        path = "".join(f"{'L' if place else 'M'}{_n(x)} {_n(y)}" for place, (x, y) in enumerate(points))
        self.parts.append(f'<path class="{kind}" d="{path}"/>')

    def mark(self, at: Point, shape: str, kind: str, radius: float = 4.5, name: str = "") -> None:
        """A marker in matplotlib's letters; `name` shows when it is pointed at."""
        x, y = at
        known = {"x": x, "y": y, "l": x - radius, "R": x + radius, "t": y - radius, "b": y + radius, "r": radius}
        shown = {letter: _n(value) for letter, value in known.items()}
        path = _MARKS.get(shape, _MARKS["o"]).format(**shown)
        title = f"<title>{_text(name)}</title>" if name else ""
        self.parts.append(
            f'<path class="{kind}" d="{path}">{title}</path>' if title else f'<path class="{kind}" d="{path}"/>'
        )

    def cross(self, at: Point, kind: str) -> None:
        """A cross, for what went wrong."""
        x, y = at
        self.line([(x - 4, y - 4), (x + 4, y + 4)], kind)
        self.line([(x - 4, y + 4), (x + 4, y - 4)], kind)

    def words(self, at: Point, text: str, kind: str, anchor: str = "start") -> None:
        """A line of text, its baseline at the point."""
        self.parts.append(
            f'<text class="{kind}" x="{_n(at[0])}" y="{_n(at[1])}" text-anchor="{anchor}">{_text(text)}</text>'
        )

    def across(self, scale: Scale, title: str, top: float, bottom: float) -> None:
        """A horizontal axis with its lines, numbers and title below `bottom`."""
        last = -math.inf
        for value in scale.ticks():
            x, text = scale(value), tick_text(value)
            self.line([(x, top), (x, bottom)], "grid")
            half = LETTER * len(text) / 2
            if x - half > last:
                self.words((min(x, self.width - half), bottom + 15), text, "tick", "middle")
                last = x + half + 4
        self.words(((scale.start + scale.end) / 2, bottom + 32), title, "axis", "middle")

    def up(self, scale: Scale, left: float, right: float) -> None:
        """A vertical axis with its lines and numbers left of `left`."""
        for value in scale.ticks():
            y = scale(value)
            self.line([(left, y), (right, y)], "grid")
            self.words((left - 6, y + 4), tick_text(value), "tick", "end")

    def svg(self) -> str:
        """The picture."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self.width)} {_n(self.height)}" role="img" '
            f'aria-label="{_text(self.text)}">{"".join(self.parts)}</svg>'
        )


def beside(drawing: Drawing, points: Mapping[str, Point], kinds: Mapping[str, str], room: Box) -> None:
    """Write each name beside its point where it lies on no other name or marker, as far as there is such a place."""
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in points.values()]
    for name, (x, y) in points.items():
        shown = shortened(name, 18)
        wide = LETTER * len(shown)
        best, least = (x, y), math.inf
        for far in (9.0, 18.0, 28.0, 40.0):
            for across, up in ((1, 0), (-1, 0), (0, -1), (0, 1), (0.7, -1), (-0.7, -1), (0.7, 1), (-0.7, 1)):
                centre = (x + across * (far + wide / 2), y + up * (far + 3))
                box = _box(centre, wide)
                cost = sum(_overlap(box, other) for other in taken) + 3 * _outside(box, room) + far / 100
                if cost < least:
                    best, least = centre, cost
        taken.append(_box(best, wide))
        if math.hypot(max(0.0, abs(best[0] - x) - wide / 2), best[1] - y) > 20:
            drawing.line([(x, y), best], "lead")
        drawing.words((best[0], best[1] + 4), shown, f"name {kinds[name]}", "middle")


def shortened(name: str, most: int) -> str:
    """A name of at most so many letters."""
    return name if len(name) <= most else name[: most - 1] + "…"


def _box(centre: Point, wide: float) -> Box:
    return centre[0] - wide / 2, centre[1] - 7, centre[0] + wide / 2, centre[1] + 7


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across * down if across > 0 and down > 0 else 0.0


def _outside(box: Box, room: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, room)


def _text(text: str) -> str:
    return escape(printable(text))


def _n(value: float) -> str:
    """A length with one decimal at most."""
    return f"{round(value, 1):g}"
