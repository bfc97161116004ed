"""What the two public JUnit schemas ask of a file with one test suite, written as checks.

They are the schema of Ant's JUnit task as Windy Road published it (JUnit.xsd) and that of Jenkins' xunit plugin
(junit-10.xsd). A file without a problem here was valid by both where both were at hand.
"""

from __future__ import annotations

import re
from datetime import datetime
from xml.etree import ElementTree

NEEDED = {
    "testsuite": {"name", "timestamp", "hostname", "tests", "failures", "errors", "time"},
    "testcase": {"name", "classname", "time"},
    "property": {"name", "value"},
    "failure": {"type"},
    "error": {"type"},
}
ALLOWED = {
    "testsuite": NEEDED["testsuite"] | {"skipped"},
    "testcase": NEEDED["testcase"],
    "properties": set(),
    "property": NEEDED["property"],
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"type", "message"},
    "system-out": set(),
    "system-err": set(),
}
INSIDE = {
    "testsuite": "(properties )(testcase )*(system-out )(system-err )",
    "testcase": "((skipped|error|failure) )?",
    "properties": "(property )*",
}
DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?")
COUNTS = ("tests", "failures", "errors", "skipped")


def junit_problems(text: str) -> list[str]:
    """What is wrong with a report, one line each."""
    root = ElementTree.fromstring(text)
    if root.tag != "testsuite":
        return [f"the root is {root.tag}"]
    found: list[str] = []
    for one in root.iter():
        if one.tag not in ALLOWED:
            found.append(f"{one.tag} is no element")
            continue
        given = set(one.attrib)
        found += [f"{one.tag} lacks {name}" for name in NEEDED.get(one.tag, set()) - given]
        found += [f"{one.tag} has {name}" for name in given - ALLOWED[one.tag]]
        inside = "".join(f"{child.tag} " for child in one)
        if not re.fullmatch(INSIDE.get(one.tag, ""), inside):
            found.append(f"{one.tag} holds {inside}")
        if one.tag in INSIDE and (one.text or "").strip():
            found.append(f"{one.tag} holds text")
        if "time" in given and not DECIMAL.fullmatch(one.attrib["time"]):
            found.append(f"time {one.attrib['time']}")
        if one.tag in ("testsuite", "property") and not one.attrib.get("name", "").strip():
            found.append(f"{one.tag} has an empty name")
    for name in COUNTS:
        value = root.get(name, "0")
        tag = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}.get(name)
        counted = len(root.findall(tag or "testcase/skipped"))
        if not value.isdigit() or int(value) != counted:
            found.append(f"{name} says {value}, there are {counted}")
    stamp = root.get("timestamp", "")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stamp) or not datetime.fromisoformat(stamp):
        found.append(f"timestamp {stamp}")
    return found
