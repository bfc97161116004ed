"""How all figures look, and how they are saved so that the same figure is the same bytes.

Colours: Okabe and Ito (2008), told apart with every common kind of colour blindness and in grey; arms differ in their
markers as well. An arm has one colour in all figures of an experiment. Sizes are those of print: 8 pt text at a column
of 3.4 in or a page of 7 in.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from harness.records.files import write_bytes
from harness.results import Results
from harness.results.render.charts.palette import MARKERS, PALETTE

COLUMN, PAGE = 3.4, 7.0
"""Widths, inches."""
INK, GREY, LIGHT = "#222222", "#767676", "#d9d9d9"
INKS = ("#0072B2", "#B84F00", "#007A59", "#A8508A", "#946600", "#2A7FB8")
"""The palette dark enough for small text on white, colour for colour."""
GREYS = ("#333333", "#7A7A7A", "#A6A6A6")
"""Of arms without training."""
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


@dataclass(frozen=True, slots=True)
class Look:
    """How one arm is drawn everywhere."""

    colour: str
    marker: str
    ink: str
    """The colour for text."""


Looks = Mapping[str, Look]


def colours_of(results: Results) -> dict[str, Look]:
    """A colour and a marker for every arm: trained arms first, those without training grey."""
    arms = list(dict.fromkeys(entry.arm for entry in results.entries))
    seeds = {entry.arm for entry in results.entries if entry.seed is not None}
    looks: dict[str, Look] = {}
    plain = [arm for arm in arms if arm not in seeds]
    for place, arm in enumerate([*(arm for arm in arms if arm in seeds), *plain]):
        marker = MARKERS[place % len(MARKERS)]
        if arm in seeds:
            at = place % len(PALETTE)
            looks[arm] = Look(PALETTE[at], marker, INKS[at])
        else:
            at = plain.index(arm) % len(GREYS)
            looks[arm] = Look(GREYS[at], marker, GREYS[min(at, 1)])
    return looks


@contextmanager
def context() -> Iterator[None]:
    """matplotlib's own defaults with ours on top, whatever a matplotlibrc says; what was there comes back."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, laid out so that nothing overlaps its edge."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)  # measures text; no window, whatever backend is set
    return made


def save(made: Figure, path: Path) -> None:
    """Write a figure in the format of its suffix, without dates, whole or not at all."""
    form = path.suffix.removeprefix(".")
    metadata: dict[str, Any] = {
        "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
    }[form]
    target = io.BytesIO()
    with context():
        made.savefig(target, format=form, metadata=metadata)
    write_bytes(path, target.getvalue())


def plain_log(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 times a power of ten, as plain numbers."""
    low, high = sorted(axis.get_view_interval())
    subs = (1.0,) if high / max(low, 1e-300) > 200 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def better(direction: str) -> str:
    """Which way is better, for an axis."""
    return "higher is better" if direction == "higher" else "lower is better"
