"""A page as one HTML file that asks for nothing, and as Markdown.

The template escapes whatever it is given, apart from the charts, which are markup whose text matplotlib has escaped.
Text of models is shown without control characters and without characters that turn the direction of what follows.
"""

from __future__ import annotations

import re

from harness import __version__
from harness.redaction import without_paths
from harness.results import numbers
from harness.results.render.page.records import Page, Section
from harness.results.render.writers import markdown, safe
from harness.results.studies.samples import SampleAnswers

GENERATOR = "harness report"
"""Stands in every file that is a report, so that no other file is overwritten."""


def to_page_html(page: Page) -> str:
    """The report as HTML: style and pictures within, no script, no address to fetch."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("harness.results.render.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "said": numbers.printable,
        "drawn": Markup,
        "coded": coded,
    }
    template = environment.get_template("page.html.j2")
    return template.render(page=page, generator=GENERATOR, version=__version__) + "\n"


def shown(text: str) -> str:
    """Text that may come from elsewhere: printable characters, and no path of the machine."""
    return without_paths(numbers.printable(text))


def coded(text: str) -> str:
    """Our own words, with what stands between backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(shown(text)))))


def to_page_markdown(page: Page) -> str:
    """The report as Markdown: the same tables and words, charts as the words that describe them."""
    blocks = [
        f"<!-- {GENERATOR} {__version__} -->",
        f"# {safe(page.title)}",
        f"*{_safe(page.question)}*",
        f"**{_safe(page.outcome)}. {_safe(page.verdict)}**",
        " ".join(map(_safe, page.sentences)),
        markdown(page.glance, without_paths),
        "\n".join(f"- {safe(name)}: {_safe(value)}" for name, value in page.facts),
        "\n".join(f"> {_safe(line)}" for line in page.rule),
    ]
    for section in page.sections:
        blocks += [f"## {safe(section.title)}", *_section(section)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _section(section: Section) -> list[str]:
    blocks = [_safe(section.lead)] if section.lead else []
    if section.commands:
        blocks.append(_fenced(shown("\n".join(section.commands)), "sh"))
    blocks += ["\n".join(f"- {_safe(chart.alt)}" for chart in section.charts)]
    blocks += [markdown(table, without_paths) for table in section.tables]
    blocks += ["\n".join(f"- {_safe(note)}" for note in section.notes)]
    for number, sample in enumerate(section.samples, 1):
        blocks += _sample(number, sample)
    return blocks


def _sample(number: int, sample: SampleAnswers) -> list[str]:
    blocks = [f"### {number}. {_safe(sample.why)}: example {_safe(sample.example)}", "Prompt:", _fenced(sample.prompt)]
    for reference in sample.references:
        blocks += ["Reference:", _fenced(reference)]
    for answer in sample.answers:
        value = "" if answer.value is None else f" ({answer.value:.3g})"
        blocks += [f"{_safe(answer.arm)}{value}:", _fenced(answer.text)]
    return blocks


def _fenced(text: str, kind: str = "text") -> str:
    """A block that no text can close: its fence is longer than any run of backticks within."""
    clean = numbers.printable(text).strip("\n") or "(empty)"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", clean)), default=0))
    return f"{fence}{kind}\n{clean}\n{fence}"


def _safe(text: str) -> str:
    return safe(without_paths(text))
