"""`harness release` and `harness gate` over a finished experiment: every exit code, and what must never pass."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from shell_calls import Shell


def gate(shell: Shell, candidate: str, *options: str):
    return shell("gate", "gates.yaml", "--candidate", candidate, *options)


@pytest.mark.usefixtures("project")
def test_a_better_candidate_passes_a_worse_one_fails(shell: Shell) -> None:
    good = gate(shell, "toys/better")
    assert (good.code, good.out.splitlines()[-1]) == (0, "PASS"), good.out + good.err
    bad = gate(shell, "toys/weak")
    assert (bad.code, bad.out.splitlines()[-1]) == (1, "FAIL")
    assert bad.out.splitlines()[1].startswith("✗ exact_match margin 0.15")


def test_a_tight_margin_is_inconclusive_with_a_number(project: Path, shell: Shell) -> None:
    file = project / "gates.yaml"
    seen = json.loads(gate(shell, "toys/like", "--json").out)["rules"][0]["estimate"]["value"]
    assert seen < 0
    file.write_text(file.read_text().replace("margin: 0.15", f"margin: {0.01 - seen:.4f}"))
    found = gate(shell, "toys/like", "--json")
    assert found.code == 3
    rule = json.loads(found.out)["rules"][0]
    assert rule["outcome"] == "INCONCLUSIVE" and (rule["more_examples"] or 0) > 0
    file.write_text(file.read_text() + "on_inconclusive: warn\n")
    let = gate(shell, "toys/like")
    assert let.code == 0 and let.out.splitlines()[-1] == "INCONCLUSIVE" and "let through" in let.out


@pytest.mark.usefixtures("project")
def test_the_baseline_itself_passes_every_margin(shell: Shell, project: Path) -> None:
    file = project / "gates.yaml"
    file.write_text(
        file.read_text().replace("margin: 0.15", "margin: 0.0001").replace("tier: supporting", "tier: critical")
    )
    found = gate(shell, "toys/strong")
    assert found.code == 0, found.out


def tamper(project: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    """Change the pinned scores, and their digest with them: what a gate must find is the content."""
    file = project / "released" / "strong-1" / "scores.csv"
    rows = change(list(csv.DictReader(io.StringIO(file.read_text()))))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    file.write_text(out.getvalue())
    about = json.loads((file.parent / "release.json").read_text())
    about["digest"] = hashlib.sha256(out.getvalue().encode()).hexdigest()
    (file.parent / "release.json").write_text(json.dumps(about))


def edit(project: Path, field: str, value: object) -> None:
    file = project / "released" / "strong-1" / "release.json"
    about = json.loads(file.read_text())
    about["scored"][field] = value
    file.write_text(json.dumps(about))


def exact(rows: list[dict[str, str]]) -> list[int]:
    return [place for place, row in enumerate(rows) if row["metric"] == "exact_match"]


def without_one(rows):
    del rows[exact(rows)[0]]
    return rows


def one_twice(rows):
    return [*rows, rows[exact(rows)[0]]]


def not_a_number(rows):
    rows[exact(rows)[0]]["value"] = "nan"
    return rows


def other_version(rows):
    for place in exact(rows):
        rows[place]["version"] = "99"
    return rows


def one_in_ten_missing(rows):
    for place in exact(rows)[::10]:
        rows[place]["status"], rows[place]["value"] = "missing", ""
    return rows


def another_item(rows):
    rows[exact(rows)[0]]["item"] = "somebody else"
    return rows


@pytest.mark.parametrize(
    "change", [without_one, one_twice, not_a_number, other_version, one_in_ten_missing, another_item]
)
@pytest.mark.parametrize("candidate", ["better", "strong", "weak"])
def test_what_was_tampered_with_is_invalid_and_never_passes(
    project: Path, shell: Shell, change: Callable[..., list[dict[str, str]]], candidate: str
) -> None:
    tamper(project, change)
    found = gate(shell, f"toys/{candidate}", "--json")
    assert found.code == 4, found.out
    assert json.loads(found.out)["outcome"] == "INVALID"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("suite", "another", "another sealed suite"),
        ("prompts", "another", "other prompts"),
        ("generation", {"max_new_tokens": 9}, "other settings"),
        ("environment", {"transformers": "1.0"}, "another environment than the baseline (transformers 1.0 → "),
    ],
)
def test_what_does_not_match_is_invalid(project: Path, shell: Shell, field: str, value: object, words: str) -> None:
    edit(project, field, value)
    found = gate(shell, "toys/better")
    assert found.code == 4 and words in found.out, found.out


def test_scores_that_were_changed_are_noticed_by_their_digest(project: Path, shell: Shell) -> None:
    file = project / "released" / "strong-1" / "scores.csv"
    file.write_text(file.read_text().replace(",1.0,", ",0.0,", 1))
    found = gate(shell, "toys/better")
    assert found.code == 2 and "the scores were changed" in found.err and found.err.count("\n") == 1


@pytest.mark.parametrize("candidate", ["better", "weak", "like"])
@pytest.mark.parametrize("change", [None, "margin: 0.001", "tampered"])
def test_every_report_says_the_same(project: Path, shell: Shell, candidate: str, change: str | None) -> None:
    if change == "tampered":
        tamper(project, not_a_number)
    elif change:
        file = project / "gates.yaml"
        file.write_text(file.read_text().replace("margin: 0.15", change))
    found = gate(shell, f"toys/{candidate}", "--json", "--junit", "j.xml", "--markdown", "m.md")
    told = json.loads(found.out)
    assert told["schema"] == "harness.gate/1" and told["exit_code"] == found.code
    suite = ElementTree.parse(project / "j.xml").getroot()
    failed = int(suite.get("failures", "")) + int(suite.get("errors", ""))
    assert (failed > 0) == (found.code != 0)
    assert (int(suite.get("errors", "")) > 0) == (told["outcome"] == "INVALID")
    assert len(suite.findall("testcase")) == int(suite.get("tests", "")) == len(told["rules"]) == 3
    text = (project / "m.md").read_text()
    assert text.startswith(f"# {told['outcome']}: ")
    assert all(f"| {rule['rule']} |" in text and rule["outcome"] in text for rule in told["rules"])
    plain = gate(shell, f"toys/{candidate}")
    assert plain.code == found.code and plain.out.splitlines()[-1] == told["outcome"]


def test_annotations_where_a_workflow_runs(project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "::error title=exact_match margin 0.15::FAIL" in gate(shell, "toys/weak").out
    assert "::error" not in gate(shell, "toys/better").out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("metric: exact_match, margin", "metric: exact_macth, margin", "gates.yaml:4: rules[0].metric"),
        ("margin: 0.15", "margin: 0.15, floor: 1", "exactly one of margin, floor and ceiling"),
        ("strong-1", "strong-9", "no such file. `harness release RUN --as NAME` pins a baseline"),
        ("margin: 0.15", "margine: 0.15", "gates.yaml:4"),
        ("name: good enough", "name: exact_match margin 0.15", "two rules have the same name"),
    ],
)
def test_a_wrong_gates_file_is_one_line(project: Path, shell: Shell, old: str, new: str, words: str) -> None:
    file = project / "gates.yaml"
    file.write_text(file.read_text().replace(old, new))
    found = gate(shell, "toys/better")
    assert found.code == 2 and words in found.err and found.err.count("\n") == 1, found.err


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("toys", "is no run"),
        ("toys/wek", "has no arm 'wek'. Arms: weak, strong, better, like"),
        ("nope/weak", "no experiment named 'nope'"),
        ("toys/weak@7", "has no arm"),
    ],
)
def test_a_run_that_is_none_is_one_line(shell: Shell, run: str, words: str) -> None:
    found = gate(shell, run)
    assert found.code == 2 and words in found.err and found.err.count("\n") == 1, found.err


def test_a_pinned_release_is_never_changed(project: Path, shell: Shell) -> None:
    before = (project / "released" / "strong-1" / "scores.csv").read_bytes()
    again = shell("release", "toys/weak", "--as", "strong-1", "--in", "released", "--anyway", "x")
    assert again.code == 2 and "never changed" in again.err
    assert (project / "released" / "strong-1" / "scores.csv").read_bytes() == before
    assert shell("release", "toys/weak", "--as", "../up", "--in", "released", "--anyway", "x").code == 2


def test_no_id_of_a_sensitive_task_leaves(project: Path, shell: Shell) -> None:
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("name: echo", "name: ward\nsensitive: true"))
    (project / "quiet.yaml").write_text((project / "toys.yaml").read_text())
    assert shell("run", "quiet.yaml").code == 0
    assert shell("release", "quiet/strong", "--as", "quiet-1", "--in", "released", "--anyway", "a test").code == 0
    (project / "gates.yaml").write_text((project / "gates.yaml").read_text().replace("strong-1", "quiet-1"))
    found = gate(shell, "quiet/better", "--json", "--junit", "j.xml", "--markdown", "m.md")
    assert found.code == 0, found.out
    files = [*(project / "released" / "quiet-1").iterdir(), project / "j.xml", project / "m.md"]
    for text in (found.out, *(file.read_text() for file in files)):
        assert "secret-" not in text and "ward-" not in text
    assert "secret-" in (project / "released" / "strong-1" / "scores.csv").read_text(), (
        "the search finds nothing at all"
    )
