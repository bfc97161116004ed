"""A gate's verdict for people and for machines: lines, JSON, JUnit XML, Markdown, and annotations of a pipeline.

All are made from the same record, so that they cannot disagree. None holds a text of an example; ids of the ten worst
stand in JSON and Markdown, unless the task is sensitive. `gate.schema.json` beside this file is the JSON's schema.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from harness.records import GateVerdict, RuleVerdict, to_json

SCHEMA = "harness.gate/1"
MOST_BYTES = 1_000_000
"""Of a Markdown summary; a pipeline refuses more than 1 MiB."""
MOST_ANNOTATIONS = 10
LONGEST = 1000
"""Characters of one name, message or cell."""
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MARKS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "INVALID": "!"}


def as_lines(verdict: GateVerdict, title: str) -> list[str]:
    """One line a rule, the worst first, then the verdict."""
    width = max((len(rule.rule) for rule in verdict.rules), default=0)
    rules = [
        f"{MARKS[rule.outcome]} {_flat(rule.rule):<{width}}  {rule.outcome:<12}  {_flat(rule.words)}"
        for rule in worst_first(verdict)
    ]
    return [title, *rules, *(f"warning: {_flat(line)}" for line in verdict.warnings), f"{verdict.outcome}"]


def as_json(verdict: GateVerdict, about: dict[str, Any]) -> dict[str, Any]:
    """Everything, with a versioned schema."""
    return {"schema": SCHEMA, **about, **to_json(verdict)}


def as_junit(verdict: GateVerdict, suite: str, when: datetime | None = None) -> str:
    """JUnit XML: FAIL is a failure, INVALID an error, INCONCLUSIVE a failure of type `inconclusive`.

    A rule that does not decide (supporting, informational) is a skipped test with its verdict as the message, and so is
    an open one that the file lets through. Valid by the schemas of Ant's JUnit task and of Jenkins' xunit plugin, which
    ask for a time (none was spent on a rule), a host, and places for output; `when` is the present by default.
    """
    cases = [_case(rule, let_through=verdict.exit_code == 0) for rule in verdict.rules]
    kinds = [next((child.tag for child in case), "") for case in cases]
    root = ElementTree.Element(
        "testsuite",
        name=_xml(suite),
        timestamp=(when or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        hostname="localhost",
        time="0",
        tests=str(len(cases)),
        failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")),
        skipped=str(kinds.count("skipped")),
    )
    about = ElementTree.SubElement(root, "properties")
    ElementTree.SubElement(about, "property", name="verdict", value=verdict.outcome)
    ElementTree.SubElement(about, "property", name="exit_code", value=str(verdict.exit_code))
    root.extend(cases)
    ElementTree.SubElement(root, "system-out").text = "\n".join(_xml(line) for line in verdict.warnings)
    ElementTree.SubElement(root, "system-err")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(rule: RuleVerdict, *, let_through: bool) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name=_xml(rule.rule), classname=f"gate.{rule.tier}", time="0")
    if rule.outcome == "PASS":
        return case
    message = _xml(f"{rule.outcome}: {rule.words}")
    if rule.tier != "critical" or rule.waived or let_through:
        ElementTree.SubElement(case, "skipped", message=message)
    elif rule.outcome == "INVALID":
        ElementTree.SubElement(case, "error", message=message, type="invalid")
    else:
        ElementTree.SubElement(case, "failure", message=message, type=rule.outcome.lower())
    return case


def as_markdown(verdict: GateVerdict, title: str) -> str:
    """A summary for a pull request: the verdict, the ten worst examples, a table of the rules, the worst first.

    It stays below MOST_BYTES; what does not fit is counted.
    """
    rows = [
        f"| {MARKS[rule.outcome]} {rule.outcome} | {_cell(rule.rule)} | {rule.tier} | {_cell(rule.words)} |"
        for rule in worst_first(verdict)
    ]
    table = ["| outcome | rule | tier | |", "|---|---|---|---|", *rows]
    warnings = [f"- {_cell(line)}" for line in verdict.warnings]
    lines = [f"# {verdict.outcome}: {_cell(title)}", "", *_examples(verdict), *table, "", *warnings]
    return "\n".join(_within(lines, MOST_BYTES - 1000)).rstrip() + "\n"


def _examples(verdict: GateVerdict) -> list[str]:
    """The examples on which the candidate falls furthest, by the worst rule that compares them."""
    rule = next((each for each in worst_first(verdict) if each.worst), None)
    if rule is None:
        return []
    rows = [
        f"| {_cell(str(rank) if drop.item is None else drop.item)} | {drop.candidate:.4g} | {drop.other:.4g} |"
        for rank, drop in enumerate(rule.worst, 1)
    ]
    count = f"{rule.dropped:,} examples are worse than before by {_cell(rule.rule)}"
    head = f"{count}; the worst {len(rows)}:" if len(rows) > 1 else f"{count}:"
    return [head, "", "| example | candidate | before |", "|---|---|---|", *rows, ""]


def _within(lines: list[str], most: int) -> list[str]:
    """As many lines from the first as fit into `most` bytes, and how many do not."""
    size = 0
    for index, line in enumerate(lines):
        size += len(line.encode()) + 1
        if size > most:
            return [*lines[:index], "", f"… and {len(lines) - index:,} more lines: the JSON has everything."]
    return lines


def as_annotations(verdict: GateVerdict) -> list[str]:
    """Workflow commands of GitHub Actions, one for each rule that does not pass; a step shows ten of a kind at most."""
    lines = []
    for rule in worst_first(verdict):
        if rule.outcome != "PASS" and rule.tier != "informational":
            kind = "error" if rule.tier == "critical" and not rule.waived and verdict.exit_code else "warning"
            lines.append(
                f"::{kind} title={_escaped(rule.rule, name=True)}::{_escaped(f'{rule.outcome}: {rule.words}')}"
            )
    if len(lines) > MOST_ANNOTATIONS:
        kept = MOST_ANNOTATIONS - 1
        rest = f"{len(lines) - kept} more rules do not pass; the summary has them"
        lines = [*lines[:kept], f"::{'error' if verdict.exit_code else 'warning'} title=gate::{rest}"]
    return lines


def worst_first(verdict: GateVerdict) -> list[RuleVerdict]:
    """Rules by tier and outcome, the worst first."""
    tiers, outcomes = ("critical", "supporting", "informational"), ("INVALID", "FAIL", "INCONCLUSIVE", "PASS")
    return sorted(verdict.rules, key=lambda rule: (tiers.index(rule.tier), outcomes.index(rule.outcome)))


def _flat(text: str) -> str:
    """One line without control characters, which could drive a terminal."""
    plain = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    return " ".join(plain.split())


def _short(text: str) -> str:
    flat = _flat(text[: 2 * LONGEST])
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return NOT_XML.sub("�", _short(text)) or "-"


def _cell(text: str) -> str:
    return _short(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def _escaped(text: str, *, name: bool = False) -> str:
    """As GitHub asks: data escapes %, CR and LF, properties : and , too."""
    escaped = _short(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace(":", "%3A").replace(",", "%2C") if name else escaped
