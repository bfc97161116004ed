"""What a report is made of: a page, its sections, tables and charts, all as text that is ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.results.render.charts.svg_charts import Chart
from harness.results.studies.samples import Shown


@dataclass(frozen=True, slots=True)
class Told:
    """What a report cannot know of the results alone."""

    command: str
    """The command that makes them again."""
    sampled: bool = True
    """Whether the sealed examples could be read."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the first column names the row."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    words: bool = False
    """Whether it holds words, which may be broken across lines, rather than numbers."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section; what is empty is not shown."""

    id: str
    title: str
    lead: str = ""
    """A sentence for who is new to it."""
    charts: tuple[Chart, ...] = ()
    legend: tuple[str, ...] = ()
    """Arms of the charts, where these do not name them themselves."""
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    samples: tuple[Shown, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report."""

    title: str
    name: str
    question: str
    outcome: str
    """The verdict in two words."""
    colour: str
    """`good`, `bad` or `open`."""
    verdict: str
    sentences: tuple[str, ...]
    rule: tuple[str, ...]
    """The declared rule, and what else belongs to the verdict."""
    facts: tuple[tuple[str, str], ...]
    glance: Table
    glance_chart: Chart | None
    legend: Mapping[str, str]
    """Arm → the SVG of its marker."""
    sections: tuple[Section, ...]
    sensitive: bool


def sentence(text: str) -> str:
    """`text` with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> Table:
    """A table of lists."""
    return Table(caption, tuple(heads), tuple(map(tuple, rows)), tuple(notes))
