"""How all figures look, and how they are saved so that the same figure is the same bytes.

Sizes are those of print: 8 pt text at a column of 3.4 in or a page of 7 in. A figure of a report is as wide as a
telephone, so that its text can be read there.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from harness.records.files import write_bytes
from harness.results.numbers import count

COLUMN, PAGE, PHONE = 3.4, 7.0, 3.0
"""Widths, inches."""
INK, GREY, LIGHT = "#222222", "#767676", "#d9d9d9"
_SETTINGS: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    # Names of arms and metrics are text, whatever dollars and backslashes they hold.
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "harness",
    "axes.axisbelow": True,
}


@contextmanager
def context() -> Iterator[None]:
    """matplotlib's own defaults with ours on top, whatever a matplotlibrc says; what was there comes back."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, laid out so that nothing overlaps its edge."""
    empty = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(empty)  # measures text; no window, whatever backend is set
    return empty


def save(figure_: Figure, path: Path) -> None:
    """Write a figure in the format of its suffix, without dates, whole or not at all."""
    write_bytes(path, drawn(figure_, path.suffix.removeprefix(".")))


def drawn(figure_: Figure, form: str, **settings: Any) -> bytes:
    """A figure as PDF, SVG or PNG, with `settings` of matplotlib on top of ours."""
    metadata: dict[str, Any] = {
        "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
    }[form]
    target = io.BytesIO()
    with context():
        matplotlib.rcParams.update(settings)
        figure_.savefig(target, format=form, metadata=metadata)
    return target.getvalue()


WIDE = 20.0
"""From this ratio of the largest to the smallest amount on, an axis goes by ratio."""


def amounts(axes: Axes, values: Sequence[float]) -> None:
    """A horizontal axis for amounts of at least 0: even, or by ratio where they span more than WIDE (0 at its left).

    Its numbers are so few that they fit a third of a page.
    """
    high = max(values)
    least = min((value for value in values if value > 0), default=high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value) if abs(value) >= 1000 else f"{value:g}"))
    if not least or high / least <= WIDE:
        axes.margins(x=0.15)
        axes.locator_params(axis="x", nbins=4)
        return
    knee = least / 2
    powers = [10.0**power for power in range(math.ceil(math.log10(knee)), math.floor(math.log10(high * 1.2)) + 1)]
    if len(powers) < 3:
        steps = sorted([*powers, *(3 * power for power in [powers[0] / 10, *powers])])
        powers = [step for step in steps if knee <= step <= 1.2 * high]
    powers = powers[:: math.ceil(len(powers) / 4)]
    if min(values) > 0:
        axes.set_xscale("log")
        axes.set_xlim(least / 1.6, high * 1.6)
        axes.set_xticks(powers)
    else:
        axes.set_xscale("symlog", linthresh=knee, linscale=0.5)
        axes.set_xlim(-0.4 * knee, high * 1.8)
        axes.set_xticks([0.0, *powers])
    axes.xaxis.set_minor_locator(NullLocator())


def plain_log(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times a power of ten, as plain numbers."""
    low, high = sorted(axis.get_view_interval())
    subs = (1.0,) if high / max(low, 1e-300) > 200 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
