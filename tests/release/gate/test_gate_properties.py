"""For generated runs, pinned in real folders: every output says the same, and what was tampered with never passes."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from gate_calls import made_call
from gate_worlds import Arm, as_scored, gates_file, pin, record, verdict_of
from hypothesis import assume, given, settings, strategies as st
from junit_rules import junit_problems

from harness.app.access import owner_token
from harness.errors import DataError
from harness.records import EXIT_CODES, GateVerdict, Prediction
from harness.records.release import Scored
from harness.release.gate import reports
from harness.results.queries import database
from harness.store import Store

APP = Path(__file__).parents[3] / "app.py"

RULES = (
    "{metric: exact_match, margin: 0.1}",
    "{metric: exact_match, margin: 0.01, confidence: 0.9}",
    "{metric: exact_match, floor: 0.5}",
    "{metric: exact_match, ceiling: 0.9, name: 'not, | suspicious <b>'}",
    "{metric: retention_perplexity, margin: 0.5}",
    "{metric: retention_perplexity, ceiling: 30, minimum_examples: 9}",
    "{measure: artefact_bytes, times: 2}",
    "{measure: artefact_bytes, ceiling: 1000}",
    "{measure: train_seconds, times: 1.0}",
    "{measure: first_token_seconds, ceiling: 1}",
    "{flag: fabrication, ceiling: 0.1}",
)
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
ANY = st.lists(st.sampled_from(RULES), min_size=1, max_size=5, unique=True)
SCHEMA = jsonschema.Draft202012Validator(
    json.loads(resources.files("harness.release.gate").joinpath("gate.schema.json").read_text())
)


@dataclass(frozen=True)
class Case:
    """A baseline and a candidate on the same examples, and a gates file."""

    baseline: Arm
    candidate: Arm
    examples: int
    groups: int
    rules: tuple[str, ...]
    rest: str

    @contextmanager
    def pinned(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as name:
            pin(self.baseline, self.record, Path(name))
            yield Path(name)

    @property
    def record(self):
        return record(self.examples, self.groups)

    def verdict(self, folder: Path, candidate: Scored | None = None) -> GateVerdict:
        spec = gates_file(folder, self.rules, rest=self.rest)
        return verdict_of(spec, candidate or as_scored(self.candidate, self.record), folder)


@st.composite
def cases(draw: st.DrawFn, rules: st.SearchStrategy[list[str]] = ANY) -> Case:
    n = draw(st.integers(2, 60))
    quality = st.sampled_from([[0.0], [1.0], [0.0, 1.0], [0.0, 1.0, 1.0, 1.0], [0.25, 0.5, 0.75]])
    rng = draw(st.randoms(use_true_random=False))

    def values() -> list[float]:
        chosen = draw(quality)
        return [rng.choice(chosen) for _ in range(n)]

    theirs = values()
    ours = theirs if draw(st.booleans()) else values()
    retention = [[rng.uniform(20, 30) for _ in range(12)] for _ in range(2)]
    baseline = Arm("old", theirs, retention[0])
    candidate = Arm(
        "new", ours, retention[1], ledger=replace(baseline.ledger, artefact_bytes=draw(st.integers(1, 3000)))
    )
    chosen = draw(rules)
    tiers = [draw(st.sampled_from(["critical", "supporting", "informational"])) for _ in chosen]
    tiers[draw(st.integers(0, len(tiers) - 1))] = "critical"
    tiered = tuple(f"{{tier: {tier}, {one[1:]}" for one, tier in zip(chosen, tiers, strict=True))
    rest = draw(st.sampled_from(["", "on_inconclusive: warn\n"]))
    return Case(baseline, candidate, n, draw(st.sampled_from([0, 2, max(2, n // 2)])), tiered, rest)


def outputs_agree(found: GateVerdict) -> None:
    about = {"candidate": "short/new", "baseline": "base-1"}
    told = json.loads(json.dumps(reports.as_json(found, about), allow_nan=False))
    SCHEMA.validate(told)
    assert (told["outcome"], told["exit_code"]) == (found.outcome, found.exit_code)
    assert found.exit_code == EXIT_CODES[found.outcome] or (found.outcome == "INCONCLUSIVE" and found.exit_code == 0)
    text = reports.as_junit(found, "new against base-1", WHEN)
    assert junit_problems(text) == []
    suite = ElementTree.fromstring(text)
    counts = {kind: len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error", "skipped")}
    assert (counts["failure"] + counts["error"] > 0) == (found.exit_code != 0)
    assert (counts["error"] > 0) == (found.outcome == "INVALID")
    assert counts["failure"] > 0 if found.exit_code in (1, 3) else True
    cases_ = {case.get("name"): case for case in suite.findall("testcase")}
    markdown, lines = reports.as_markdown(found, "new against base-1"), reports.as_lines(found, "new against base-1")
    assert markdown.startswith(f"# {found.outcome}: ") and lines[-1] == found.outcome
    assert len(markdown.encode()) < 1_000_000
    for one in found.rules:
        case = cases_[one.rule]
        said = next((child.get("message", "") for child in case), "PASS")
        assert said.partition(":")[0] == one.outcome
        assert any(line.split("|")[1].split()[-1] == one.outcome for line in rows(markdown, one.rule))
        assert any(one.rule in line and f" {one.outcome} " in line for line in lines)
    annotations = reports.as_annotations(found)
    assert len(annotations) <= 10
    assert any(line.startswith("::error") for line in annotations) == (found.exit_code != 0)


def rows(markdown: str, rule: str) -> list[str]:
    shown = rule.replace("|", "\\|").replace("<", "&lt;")
    return [line for line in markdown.splitlines() if line.startswith("| ") and f"| {shown} |" in line]


@given(cases())
@settings(max_examples=100)
def test_every_output_says_the_same(case: Case) -> None:
    with case.pinned() as folder:
        found = case.verdict(folder)
    outputs_agree(found)
    critical = [one.outcome for one in found.rules if one.tier == "critical"]
    assert (found.outcome == "PASS") == (set(critical) == {"PASS"})


@given(cases(st.just([RULES[0], RULES[2]])))
@settings(max_examples=40)
def test_a_candidate_with_the_same_values_never_fails_its_margin(case: Case) -> None:
    same = replace_values(case, case.baseline.values)
    with same.pinned() as folder:
        found = same.verdict(folder)
    assert found.rules[0].outcome in ("PASS", "INCONCLUSIVE")


def replace_values(case: Case, values) -> Case:
    return replace(case, candidate=replace(case.candidate, values=values))


# ------------------------------------------------------------------------------- what must be INVALID, and never PASS

OF_SCORES = [RULES[0], RULES[1], RULES[2], RULES[3]]
Tamper = Callable[[Case, Path, st.DataObject], Scored | None]


def candidate_of(case: Case, **parts) -> Scored:
    return as_scored(replace(case.candidate, **parts), case.record)


def some(case: Case, data: st.DataObject) -> int:
    return data.draw(st.integers(0, case.examples - 1), label="example")


def ours(case: Case, edit: Callable[[list], list]) -> Scored:
    found = as_scored(case.candidate, case.record)
    mine = [score for score in found.scores if score.metric == "exact_match"]
    return replace(found, scores=(*edit(mine), *(one for one in found.scores if one.metric != "exact_match")))


def theirs(folder: Path, edit: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    """Change the pinned scores, and their digest with them."""
    file = folder / "base-1" / "scores.csv"
    table = list(csv.DictReader(io.StringIO(file.read_text())))
    mine = edit([row for row in table if row["metric"] == "exact_match"])
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([*mine, *(row for row in table if row["metric"] != "exact_match")])
    file.write_text(out.getvalue())
    about = json.loads((file.parent / "release.json").read_text())
    about["digest"] = hashlib.sha256(out.getvalue().encode()).hexdigest()
    (file.parent / "release.json").write_text(json.dumps(about))


def gone(case, folder, data):
    place = some(case, data)
    return ours(case, lambda rows: rows[:place] + rows[place + 1 :])


def gone_there(case, folder, data):
    place = some(case, data)
    theirs(folder, lambda rows: rows[:place] + rows[place + 1 :])


def gone_on_both_sides(case, folder, data):
    name = f"e{some(case, data)}"
    theirs(folder, lambda rows: [row for row in rows if row["item"] != name])
    return ours(case, lambda rows: [row for row in rows if row.item != name])


def twice(case, folder, data):
    place = some(case, data)
    return ours(case, lambda rows: [*rows, rows[place]])


def twice_there(case, folder, data):
    place = some(case, data)
    theirs(folder, lambda rows: [*rows, rows[place]])


def not_a_number(case, folder, data):
    place, value = some(case, data), data.draw(st.sampled_from([float("nan"), float("inf"), None]))
    return ours(case, lambda rows: [*rows[:place], replace(rows[place], value=value), *rows[place + 1 :]])


def not_a_number_there(case, folder, data):
    place, value = some(case, data), data.draw(st.sampled_from(["nan", "inf", ""]))
    theirs(folder, lambda rows: [*rows[:place], {**rows[place], "value": value}, *rows[place + 1 :]])


def other_version(case, folder, data):
    return ours(case, lambda rows: [replace(row, version=2) for row in rows])


def other_version_of_one(case, folder, data):
    place = some(case, data)
    theirs(folder, lambda rows: [*rows[:place], {**rows[place], "version": "7"}, *rows[place + 1 :]])


def other_prompt(case, folder, data):
    place = some(case, data)

    def asked(row: Prediction) -> Prediction:
        return replace(row, prompt_hash="another") if row.example == f"e{place}" else row

    return with_predictions(case, lambda rows: [asked(row) for row in rows])


def one_in_ten_failed(case, folder, data):
    """Without a prediction there is no score either, or one without a value."""
    lost = {f"e{n}" for n in range(0, case.examples, 10)}
    found = with_predictions(case, lambda rows: [row for row in rows if row.example not in lost])
    if data.draw(st.booleans(), label="rows that say so"):
        scores = [replace(s, status="missing", value=None) if s.item in lost else s for s in found.scores]
    else:
        scores = [score for score in found.scores if score.item not in lost]
    return replace(found, scores=tuple(scores))


def one_in_ten_without_a_value(case, folder, data):
    lost = {f"e{n}" for n in range(0, case.examples, 10)}
    return ours(case, lambda rows: [replace(s, status="missing", value=None) if s.item in lost else s for s in rows])


def with_predictions(case: Case, edit: Callable[[list[Prediction]], list[Prediction]]) -> Scored:
    from harness.release import baselines

    arm = case.candidate
    found = arm.scores, edit(arm.predictions)
    return baselines.scored(case.record, arm.entry, arm.evaluation, arm.run, found)


def other_data(case, folder, data):
    return candidate_of(case, suite="suite-2")


def other_settings(case, folder, data):
    return candidate_of(case, generation={"max_new_tokens": 10})


def renamed(case, folder, data):
    place = some(case, data)
    return ours(case, lambda rows: [*rows[:place], replace(rows[place], item="stranger"), *rows[place + 1 :]])


def not_scored(case, folder, data):
    return ours(case, lambda rows: [])


TAMPERED: list[Tamper] = [
    gone, gone_there, gone_on_both_sides, twice, twice_there, not_a_number, not_a_number_there, other_version,
    other_version_of_one, other_prompt, one_in_ten_failed, one_in_ten_without_a_value, other_data, other_settings,
    renamed, not_scored,
]  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda tamper: tamper.__name__)
@given(case=cases(st.lists(st.sampled_from(OF_SCORES), min_size=1, max_size=3, unique=True)), data=st.data())
@settings(max_examples=25)
def test_what_was_tampered_with_is_invalid_and_never_passes(tamper: Tamper, case: Case, data: st.DataObject) -> None:
    if tamper is other_version_of_one:
        assume(case.examples > 1)
    with case.pinned() as folder:
        untouched = case.verdict(folder)
        changed = tamper(case, folder, data)
        found = case.verdict(folder, changed)
    assert untouched.outcome != "INVALID", "it must be the change that makes it so"
    assert (found.outcome, found.exit_code) == ("INVALID", 4), found
    assert all(one.outcome == "INVALID" for one in found.rules), "every rule is about the scores"
    outputs_agree(found)


@given(case=cases(), data=st.data())
@settings(max_examples=25)
def test_a_baseline_of_other_data_makes_every_rule_invalid(case: Case, data: st.DataObject) -> None:
    with case.pinned() as folder:
        found = case.verdict(folder, other_data(case, folder, data))
    assert {one.outcome for one in found.rules} == {"INVALID"} and found.exit_code == 4


@given(case=cases(st.just([RULES[0]])), data=st.data())
@settings(max_examples=25)
def test_a_changed_file_without_its_digest_is_refused(case: Case, data: st.DataObject) -> None:
    with case.pinned() as folder:
        file = folder / "base-1" / "scores.csv"
        place = data.draw(st.integers(0, len(file.read_bytes()) - 1))
        raw = bytearray(file.read_bytes())
        raw[place] = ord("0") if raw[place] != ord("0") else ord("1")
        file.write_bytes(raw)
        with pytest.raises(DataError, match="the scores were changed"):
            case.verdict(folder)


@given(case=cases(st.just([RULES[0]])))
@settings(max_examples=10)
def test_an_environment_that_changed_makes_a_margin_invalid_and_leaves_a_floor(case: Case) -> None:
    case = replace(case, rules=("{metric: exact_match, margin: 0.1}", "{metric: exact_match, floor: 0.5}"))
    with case.pinned() as folder:
        found = case.verdict(folder, candidate_of(case, environment={"transformers": "5.99.0"}))
        before = case.verdict(folder)
    assert found.rules[0].outcome == "INVALID" and "--rescore-baseline" in found.rules[0].words
    assert found.rules[1].outcome != "INVALID" and found.rules[1].estimate == before.rules[1].estimate


@given(st.lists(cases(), min_size=4, max_size=4))
@settings(max_examples=4)
def test_the_page_says_what_the_json_says(several: list[Case]) -> None:
    """Verdicts through the store and back, on the real page."""
    from streamlit.testing.v1 import AppTest

    verdicts = {}
    for number, case in enumerate(several, 1):
        with case.pinned() as folder:
            verdicts[f"g{number}"] = case.verdict(folder)
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", home)
        patch.setattr("sys.argv", ["app.py"])
        Store(database(Path(home))).ingest(
            [made_call(found, id=name, when=f"2026-01-0{name[1:]}T00:00:00+00:00") for name, found in verdicts.items()]
        )
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.query_params["token"] = owner_token(Path(home))
        app.run()
        app.switch_page("harness/app/pages/gates.py").run()
        for name, found in verdicts.items():
            app.selectbox(key="verdict").set_value(name).run()
            assert not app.exception
            told = json.loads(json.dumps(reports.as_json(found, {})))
            box = [*app.success, *app.error, *app.warning][0].value
            assert box.startswith(told["outcome"]) and f"exit code {told['exit_code']}" in box
            shown = {row["rule"]: row for row in app.dataframe[1].value.to_dict("records")}
            assert shown.keys() == {rule["rule"] for rule in told["rules"]}
            for rule in told["rules"]:
                assert shown[rule["rule"]]["outcome"].endswith(rule["outcome"])
                assert shown[rule["rule"]]["limit"] == rule["limit"]
