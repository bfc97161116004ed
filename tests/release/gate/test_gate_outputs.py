"""What goes to pipelines: the JSON's schema, the public JUnit schemas, and summaries that stay small."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from gate_worlds import Arm, as_scored, gates_file, pin, record, verdict_of
from junit_rules import junit_problems

from harness.records import GateVerdict, RuleVerdict, from_json, to_json
from harness.release.gate import reports


def failing(examples: int, tmp_path: Path, *, sensitive: bool = False) -> GateVerdict:
    """The candidate is worse on every example, by a little more each time."""
    of = record(examples)
    pin(Arm("old", [0.9] * examples), of, tmp_path)
    spec = gates_file(tmp_path, ["{metric: exact_match, margin: 0.1}", "{metric: exact_match, floor: 0.5}"])
    ours = as_scored(Arm("new", [0.8 * (1 - n / examples) for n in range(examples)]), of)
    return verdict_of(spec, ours, tmp_path, sensitive=sensitive)


def crowd(count: int, words: str = "0.1 [0, 0.2], wanted at least 0.5", outcome: str = "FAIL") -> GateVerdict:
    rules = [RuleVerdict(f"rule {n}", "critical", outcome, words, None, 0.5) for n in range(count)]  # type: ignore[arg-type]
    return GateVerdict("FAIL", 1, tuple(rules), ())


def test_a_thousand_failing_examples_make_a_small_summary_with_the_ten_worst_first(tmp_path: Path) -> None:
    found = failing(1000, tmp_path)
    assert found.outcome == "FAIL"
    text = reports.as_markdown(found, "new against base-1")
    assert len(text.encode()) < 5_000
    assert "1,000 examples are worse than before by exact_match margin 0.1; the worst 10:" in text
    table = [line for line in text.splitlines() if line.startswith("| e")]
    assert [line.split("|")[1].strip() for line in table[1:]] == [f"e{n}" for n in range(999, 989, -1)]
    assert text.index("| e999 |") < text.index("| ✗ FAIL |"), "the worst examples come first"
    assert len(reports.as_annotations(found)) == 2
    told = reports.as_json(found, {"candidate": "short/new", "baseline": "base-1"})
    assert len(json.dumps(told)) < 10_000 and told["rules"][0]["dropped"] == 1000
    assert from_json(GateVerdict, json.loads(json.dumps(to_json(found)))) == found, "as a stored verdict comes back"
    assert told["rules"][0]["worst"][0] == {"item": "e999", "candidate": pytest.approx(0.0008), "other": 0.9}


def test_no_id_of_a_sensitive_task_is_in_any_output(tmp_path: Path) -> None:
    found = failing(50, tmp_path, sensitive=True)
    about = {"candidate": "short/new", "baseline": "base-1"}
    text = reports.as_markdown(found, "new against base-1")
    outputs = [
        text,
        json.dumps(reports.as_json(found, about)),
        reports.as_junit(found, "s"),
        *reports.as_annotations(found),
    ]
    assert not any(f"e{n}" in text for text in outputs for n in (47, 48, 49))
    assert "50 examples are worse" in text and "| 1 | 0.016 | 0.9 |" in text
    assert "e49" in reports.as_markdown(failing(50, tmp_path / "open"), "s"), "the search finds nothing at all"


@pytest.mark.parametrize("count", [9, 10, 11, 1000])
def test_at_most_ten_annotations_and_the_last_says_how_many_are_left(count: int) -> None:
    lines = reports.as_annotations(crowd(count))
    assert len(lines) == min(count, 10)
    assert ("more rules do not pass" in lines[-1]) == (count > 10)
    assert all(line.startswith("::error title=") for line in lines)
    if count > 10:
        assert f"{count - 9} more rules" in lines[-1]


@pytest.mark.parametrize("outcome", ["FAIL", "INVALID", "INCONCLUSIVE"])
def test_a_summary_of_very_many_long_rules_stays_below_a_megabyte(outcome: str) -> None:
    found = crowd(3000, "ä" * 3000, outcome)
    text = reports.as_markdown(found, "t" * 5000)
    assert len(text.encode()) < 1_000_000
    assert "more lines: the JSON has everything" in text
    assert junit_problems(reports.as_junit(found, "s")) == []
    assert max(map(len, reports.as_annotations(found))) < 2_500


def test_what_xml_and_terminals_cannot_hold_is_replaced() -> None:
    rule = RuleVerdict("a\x00b\x1b[31m\n::error::x <&> \ud800", "critical", "FAIL", "w\x08 50 % | `x`", None, 0.5)
    found = GateVerdict("FAIL", 1, (rule,), ("\x1b[2J warned\r\n",))
    text = reports.as_junit(found, "\x01")
    assert junit_problems(text) == []
    ElementTree.fromstring(text.encode())
    assert all(line.isprintable() for line in reports.as_lines(found, "t")[1:])
    [line] = reports.as_annotations(found)
    assert "\n" not in line and "%25" in line and line.startswith("::error title=a b [31m %3A%3Aerror")
    assert "| FAIL |" not in reports.as_markdown(found, "t").splitlines()[0]


def test_the_check_of_junit_finds_what_it_is_for() -> None:
    good = reports.as_junit(crowd(2), "s")
    assert junit_problems(good) == []
    for old, new in (
        ('tests="2"', 'tests="3"'),
        (' hostname="localhost"', ""),
        ("<system-err />", ""),
        ('time="0"', 'time="soon"'),
        ("<failure ", "<failed "),
        (' type="fail"', ""),
        ('name="s"', 'name=""'),
        ("<properties>", "<properties>text"),
    ):
        assert old in good
        assert junit_problems(good.replace(old, new).replace("</failed>", "</failure>")), (old, new)


def test_the_schema_is_one_and_refuses_what_does_not_fit() -> None:
    schema = json.loads(resources.files("harness.release.gate").joinpath("gate.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    told = reports.as_json(crowd(2), {"candidate": "a/b", "baseline": "c"})
    check.validate(told)
    wrong = [
        {**told, "schema": "harness.gate/2"},
        {**told, "exit_code": 0},
        {**told, "outcome": "PASS"},
        {name: value for name, value in told.items() if name != "rules"},
        {**told, "rules": [{**told["rules"][0], "worst": [{"item": "e", "candidate": 1, "other": 1, "text": "t"}]}]},
        {**told, "rules": [{**told["rules"][0], "words": "two\nlines"}]},
        {**told, "rules": [{**told["rules"][0], "outcome": "MAYBE"}]},
    ]
    assert [bool(list(check.iter_errors(one))) for one in wrong] == [True] * len(wrong)
