"""Where the names of arms go: beside points and at the ends of lines, without overlap, the same each time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from harness.results.numbers import printable
from harness.results.render.colours import Looks

if TYPE_CHECKING:
    from numpy.typing import NDArray

Point = tuple[float, float]
_DISTANCES = (7.0, 14.0, 22.0, 32.0, 44.0)
"""Points between a marker and its name, tried one after another."""
_ANGLES = (0.0, 45.0, -45.0, 180.0, 135.0, -135.0, 90.0, -90.0, 22.5, -22.5, 157.5, -157.5)
_MARKER = 4.0
"""Half the width of what a marker keeps free, points."""


def short(name: str, most: int = 20) -> str:
    """A name of at most so many letters, without control characters."""
    shown = printable(name)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def beside(axes: Axes, points: Mapping[str, Point], looks: Looks, lines: Sequence[Sequence[Point]] = ()) -> None:
    """Write each name in its colour near its point (data coordinates), with a thin line where it had to go further.

    Takes the first of a fixed list of places that lies within the axes and on no other name, marker or of `lines` (data
    coordinates); the place with the least overlap where none is free. The figure must have been laid out.
    """
    figure: Any = axes.figure
    scale = figure.dpi / 72
    renderer = figure.canvas.get_renderer()
    places = {name: tuple(axes.transData.transform(point)) for name, point in points.items()}
    half = _MARKER * scale
    drawn = [[tuple(axes.transData.transform(point)) for point in line] for line in lines]
    beads = [box for line in drawn for box in _beads(line, half)]
    taken = np.zeros((2 * len(places) + len(beads), 4))
    taken[: len(places)] = [(x - half, y - half, x + half, y + half) for x, y in places.values()]
    taken[len(places) : len(places) + len(beads)] = np.reshape(beads, (-1, 4))
    count = len(places) + len(beads)
    for name, (x, y) in places.items():
        text = axes.annotate(
            short(name),
            points[name],
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=7,
            color=looks[name].ink,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "color": looks[name].colour, "lw": 0.5, "shrinkA": 0, "shrinkB": 3},
        )
        box = Bbox.from_bounds(0, 0, *text.get_window_extent(renderer).size)
        best, least = (0.0, 0.0), math.inf
        for centre in _candidates(x, y, box, scale):
            moved = box.translated(centre[0] - box.width / 2, centre[1] - box.height / 2)
            cost = float(_overlaps(moved, taken[:count]).sum()) + max(
                0.0, moved.width * moved.height - float(_overlaps(moved, np.reshape(axes.bbox.extents, (1, 4)))[0])
            )
            if cost < least:
                best, least = centre, cost
            if cost == 0:
                break
        text.set_position(((best[0] - x) / scale, (best[1] - y) / scale))
        moved = box.translated(best[0] - box.width / 2, best[1] - box.height / 2)
        taken[count] = moved.extents
        count += 1
        gap = max(abs(best[0] - x) - box.width / 2, abs(best[1] - y) - box.height / 2) / scale
        if gap < 2 * _MARKER and text.arrow_patch is not None:
            text.arrow_patch.set_visible(False)


def _candidates(x: float, y: float, box: Bbox, scale: float) -> Iterator[Point]:
    """Centres of a text of the size of `box` around (x, y), the nearest first, in pixels."""
    for distance, angle in itertools.product(_DISTANCES, _ANGLES):
        across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        yield x + across * (distance * scale + box.width / 2), y + up * (distance * scale + box.height / 2)


def _beads(line: Sequence[Point], size: float) -> list[tuple[float, float, float, float]]:
    """Small boxes (left, bottom, right, top) along a line in pixels."""
    boxes = []
    for (x0, y0), (x1, y1) in itertools.pairwise(line):
        count = max(1, math.ceil(math.hypot(x1 - x0, y1 - y0) / size))
        for index in range(count + 1):
            x, y = x0 + (x1 - x0) * index / count, y0 + (y1 - y0) * index / count
            boxes.append((x - 1, y - 1, x + 1, y + 1))
    return boxes


def _overlaps(box: Bbox, others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area that a box shares with each of `others` (n, 4): left, bottom, right, top."""
    left, bottom, right, top = box.extents
    across = np.minimum(right, others[:, 2]) - np.maximum(left, others[:, 0])
    up = np.minimum(top, others[:, 3]) - np.maximum(bottom, others[:, 1])
    areas: NDArray[np.float64] = np.maximum(across, 0.0) * np.maximum(up, 0.0)
    return areas


def spread(targets: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near to `targets` as leaves `gap` between any two, in the same order, within [low, high] if it fits.

    Blocks of labels that would overlap are moved together, each block around the mean of its targets.
    """
    order = sorted(range(len(targets)), key=lambda index: targets[index])
    blocks: list[tuple[list[int], float]] = []

    def kept(count: int, centre: float) -> float:
        half = gap * (count - 1) / 2
        return min(max(centre, low + half), max(high - half, low + half))

    for index in order:
        block, centre = [index], kept(1, targets[index])
        while blocks and centre - blocks[-1][1] < gap * (len(block) + len(blocks[-1][0])) / 2:
            block = blocks.pop()[0] + block
            centre = kept(len(block), sum(targets[label] for label in block) / len(block))
        blocks.append((block, centre))
    positions = [0.0] * len(targets)
    for block, centre in blocks:
        for rank, index in enumerate(block):
            positions[index] = centre + gap * (rank - (len(block) - 1) / 2)
    return positions


def at_ends(axes: Axes, ends: Mapping[str, Point], looks: Looks) -> None:
    """Write each name in its colour where its line ends (data coordinates): right of the axes, without overlap.

    A line that ends well before the right edge has its name right behind its end.
    """
    figure: Any = axes.figure
    height = axes.get_position().height * figure.get_figheight()
    gap = 0.135 / max(height, 0.3)
    to_axes = axes.transData + axes.transAxes.inverted()
    places = {name: tuple(to_axes.transform(point)) for name, point in ends.items()}
    early = {name: at_axes for name, at_axes in places.items() if at_axes[0] < 0.8}
    late = {name: at_axes for name, at_axes in places.items() if name not in early}
    halo = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7}
    for name, at_axes in early.items():
        axes.text(
            at_axes[0] + 0.02,
            at_axes[1],
            short(name),
            transform=axes.transAxes,
            va="center",
            fontsize=7,
            color=looks[name].ink,
            bbox=halo,
        )
    heights = spread([at_axes[1] for at_axes in late.values()], gap, 0.0, 1.0)
    for (name, at_axes), at in zip(late.items(), heights, strict=True):
        axes.annotate(
            short(name),
            xy=(at_axes[0] + 0.01, at_axes[1]),
            xytext=(1.06, at),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            ha="left",
            fontsize=7,
            color=looks[name].ink,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": looks[name].colour, "lw": 0.5, "shrinkA": 1, "shrinkB": 0},
        )
