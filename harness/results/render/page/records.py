"""What a report is made of: a page, its sections, tables and charts, all as text that is ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass

from harness.results.render.page.charts import Chart
from harness.results.render.table import Table
from harness.results.studies.samples import SampleAnswers


@dataclass(frozen=True, slots=True)
class ReportContext:
    """What a report cannot know of the results alone."""

    command: str
    """The command that makes them again."""
    sampled: bool = True
    """Whether the sealed examples could be read."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section; what is empty is not shown."""

    id: str
    title: str
    lead: str = ""
    """A sentence for who is new to it."""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    samples: tuple[SampleAnswers, ...] = ()
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
    sections: tuple[Section, ...]
    sensitive: bool
