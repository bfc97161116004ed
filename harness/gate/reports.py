"""A gate's verdict for people and for machines: lines, JSON, JUnit XML, Markdown, and annotations of a pipeline.

All are made from the same record, so that they cannot disagree. None holds a text or an id of an example.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from harness.records import GateVerdict, RuleVerdict, to_json

SCHEMA = "harness.gate/1"
MARKS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "INVALID": "!"}


def as_lines(verdict: GateVerdict, title: str) -> list[str]:
    """One line a rule, the worst first, then the verdict."""
    width = max((len(rule.rule) for rule in verdict.rules), default=0)
    rules = [
        f"{MARKS[one.outcome]} {one.rule:<{width}}  {one.outcome:<12}  {one.words}" for one in worst_first(verdict)
    ]
    return [title, *rules, *(f"warning: {line}" for line in verdict.warnings), f"{verdict.outcome}"]


def as_json(verdict: GateVerdict, about: dict[str, Any]) -> dict[str, Any]:
    """Everything, with a versioned schema."""
    return {"schema": SCHEMA, **about, **to_json(verdict)}


def as_junit(verdict: GateVerdict, suite: str) -> str:
    """JUnit XML: FAIL is a failure, INVALID an error, INCONCLUSIVE a failure of type `inconclusive`.

    A rule that does not decide (supporting, informational) is a skipped test with its verdict as the message, and so is
    an open one that the file lets through.
    """
    cases = [_case(rule, let_through=verdict.exit_code == 0) for rule in verdict.rules]
    kinds = [next((child.tag for child in case), "") for case in cases]
    root = ElementTree.Element(
        "testsuite",
        name=suite,
        tests=str(len(cases)),
        failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")),
        skipped=str(kinds.count("skipped")),
    )
    root.extend(cases)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(rule: RuleVerdict, *, let_through: bool) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name=rule.rule, classname=f"gate.{rule.tier}")
    if rule.outcome == "PASS":
        return case
    message = f"{rule.outcome}: {rule.words}"
    if rule.tier != "critical" or rule.waived or let_through:
        ElementTree.SubElement(case, "skipped", message=message)
    elif rule.outcome == "INVALID":
        ElementTree.SubElement(case, "error", message=message, type="invalid")
    else:
        ElementTree.SubElement(case, "failure", message=message, type=rule.outcome.lower())
    return case


def as_markdown(verdict: GateVerdict, title: str) -> str:
    """A summary for a pull request: the verdict, a table of the rules, the worst first."""
    rows = [
        f"| {MARKS[one.outcome]} {one.outcome} | {_cell(one.rule)} | {one.tier} | {_cell(one.words)} |"
        for one in worst_first(verdict)
    ]
    table = ["| outcome | rule | tier | |", "|---|---|---|---|", *rows]
    warnings = [f"- {_cell(line)}" for line in verdict.warnings]
    return "\n".join([f"# {verdict.outcome}: {_cell(title)}", "", *table, "", *warnings]).rstrip() + "\n"


def as_annotations(verdict: GateVerdict) -> list[str]:
    """Workflow commands of GitHub Actions, one for each rule that does not pass."""
    lines = []
    for one in worst_first(verdict):
        if one.outcome != "PASS" and one.tier != "informational":
            kind = "error" if one.tier == "critical" and not one.waived and verdict.exit_code else "warning"
            lines.append(f"::{kind} title={_escaped(one.rule, name=True)}::{_escaped(f'{one.outcome}: {one.words}')}")
    return lines


def worst_first(verdict: GateVerdict) -> list[RuleVerdict]:
    """Rules by tier and outcome, the worst first."""
    tiers, outcomes = ("critical", "supporting", "informational"), ("INVALID", "FAIL", "INCONCLUSIVE", "PASS")
    return sorted(verdict.rules, key=lambda one: (tiers.index(one.tier), outcomes.index(one.outcome)))


def _cell(text: str) -> str:
    flat = " ".join(text.split())
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def _escaped(text: str, *, name: bool = False) -> str:
    """As GitHub asks: data escapes %, CR and LF, properties : and , too."""
    found = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return found.replace(":", "%3A").replace(",", "%2C") if name else found
