"""What surrounds a verdict: its history, looks, waivers, a baseline scored again, and a store that cannot be used."""

from __future__ import annotations

import datetime
import json
import multiprocessing
from pathlib import Path
from typing import Any

import filelock
import pytest
from growing_split import write_test_split
from shell_calls import Answer, Shell

from harness.errors import StoreLocked
from harness.records import GateCall
from harness.release.gate import history
from harness.results import queries
from harness.store import Store


def gate(shell: Shell, candidate: str, *options: str) -> Answer:
    return shell("gate", "gates.yaml", "--candidate", candidate, *options)


def calls(project: Path) -> list[GateCall]:
    return Store(queries.database(project / ".harness")).gates()


def day(ahead: int) -> str:
    return (datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=ahead)).isoformat()


# ------------------------------------------------------------------------------------------------------------ history


def test_every_call_is_kept_with_its_whole_verdict_and_counted_as_a_look(project: Path, shell: Shell) -> None:
    before = len(json.loads(shell("looks", "toys", "--json").out)["looks"])
    told = json.loads(gate(shell, "toys/weak", "--json").out)
    [kept] = calls(project)
    assert (kept.outcome, kept.exit_code, kept.look, kept.looks, kept.reason) == ("FAIL", 1, 1, 1, "first look")
    assert kept.candidate == "toys/weak" and kept.baseline == "strong-1" and kept.gates_file == "gates.yaml"
    assert [rule.rule for rule in kept.verdict.rules] == [rule["rule"] for rule in told["rules"]]
    assert kept.verdict.rules[0].estimate.value == told["rules"][0]["estimate"]["value"]
    assert told["id"] == kept.id and told["look"] == 1
    looks = json.loads(shell("looks", "toys", "--json").out)["looks"]
    assert len(looks) == before + 1
    assert looks[-1]["why"] == "harness gate gates.yaml: first look, FAIL" and looks[-1]["eval_id"] == kept.eval_id


def test_the_same_scores_again_give_the_stored_verdict_and_are_no_look(project: Path, shell: Shell) -> None:
    first = gate(shell, "toys/better")
    looks = len(json.loads(shell("looks", "toys", "--json").out)["looks"])
    again = gate(shell, "toys/better")
    assert (first.code, again.code) == (0, 0)
    one, two = calls(project)
    assert f"the stored verdict of {one.when}: these scores were judged before" in again.out
    assert two.answered_by == one.id and two.verdict == one.verdict and two.look == 1
    assert len(json.loads(shell("looks", "toys", "--json").out)["looks"]) == looks


def test_a_folder_that_is_called_like_a_run_does_not_hide_it(project: Path, shell: Shell) -> None:
    (project / "toys" / "better").mkdir(parents=True)
    assert gate(shell, "toys/better").code == 0


def test_other_rules_for_the_same_candidate_are_told(project: Path, shell: Shell) -> None:
    assert gate(shell, "toys/weak").code == 1
    file = project / "gates.yaml"
    file.write_text("# a comment changes nothing\n" + file.read_text())
    assert "stored verdict" in gate(shell, "toys/weak").out
    file.write_text(file.read_text().replace("margin: 0.15", "margin: 0.9").replace("floor: 0.5", "floor: 0.05"))
    found = gate(shell, "toys/weak")
    assert "judged by other rules before: FAIL on " in found.out
    assert "judged by other rules" not in gate(shell, "toys/better").out


def test_a_store_made_anew_knows_every_look(project: Path, shell: Shell) -> None:
    assert gate(shell, "toys/better").code == 0
    assert gate(shell, "toys/weak").code == 1
    known = calls(project)
    queries.database(project / ".harness").unlink()
    assert shell("store", "rebuild").code == 0
    assert calls(project) == known
    assert "stored verdict" in gate(shell, "toys/better").out


# -------------------------------------------------------------------------------------------------------------- looks


def more_examples(project: Path, shell: Shell, count: int) -> None:
    write_test_split(project, count)
    assert shell("run", "toys.yaml").code == 0


def test_other_scores_of_the_same_training_are_refused(growing: Path, shell: Shell) -> None:
    file = growing / "gates.yaml"
    file.write_text(file.read_text().replace("looks: 2\n", "").replace("floor: 0.75", "floor: 0.5"))
    assert gate(shell, "toys/like").code == 0
    more_examples(growing, shell, 100)
    found = gate(shell, "toys/like", "--rescore-baseline", "--json")
    told = json.loads(found.out)
    assert (found.code, told["outcome"], told["look"]) == (4, "INVALID", None)
    assert "other scores of a training that had its look (PASS" in told["rules"][0]["words"]
    assert told["rules"][0]["estimate"] is None, "what may not be judged is not shown"
    assert told["reason"].startswith("refused: ")
    file.write_text("looks: 2\n" + file.read_text())
    late = gate(shell, "toys/like", "--rescore-baseline")
    assert late.code == 4 and "looks: 1 was declared at the first look" in late.out


def test_two_declared_looks_the_second_on_more_examples(growing: Path, shell: Shell) -> None:
    first = json.loads(gate(shell, "toys/like", "--json").out)
    assert (first["outcome"], first["look"], first["exit_code"]) == ("INCONCLUSIVE", 1, 3)
    assert first["rules"][0]["estimate"]["n"] == 80 and first["rules"][1]["more_examples"] > 0
    assert first["rules"][0]["estimate"]["level"] == pytest.approx(0.95), "two-sided 95 %: 2.5 % at each end"
    assert "stored verdict" in gate(shell, "toys/like").out
    mismatch = gate(shell, "toys/weak")
    assert mismatch.code == 1
    more_examples(growing, shell, 400)
    assert gate(shell, "toys/like").code == 4, "another sealed suite than the baseline's"
    second = json.loads(gate(shell, "toys/like", "--rescore-baseline", "--json").out)
    assert second["look"] == 2 and second["rules"][0]["estimate"]["n"] == 400
    assert second["outcome"] == "PASS" and "scored again" in second["warnings"][0]
    more_examples(growing, shell, 410)
    third = json.loads(gate(shell, "toys/like", "--rescore-baseline", "--json").out)
    assert third["outcome"] == "INVALID" and "had both looks" in third["rules"][0]["words"]
    decided = json.loads(gate(shell, "toys/weak", "--rescore-baseline", "--json").out)
    assert decided["outcome"] == "INVALID" and "was FAIL, which is final" in decided["rules"][0]["words"]


def test_a_second_look_at_fewer_examples_is_none(growing: Path, shell: Shell) -> None:
    assert gate(shell, "toys/like").code == 3
    more_examples(growing, shell, 70)
    found = gate(shell, "toys/like", "--rescore-baseline")
    assert found.code == 4 and "needs more examples or seeds than the first (80 examples), and has 70" in found.out


# ------------------------------------------------------------------------------------------------------------ waivers


def waive(project: Path, rule: str = "exact_match margin 0.15", expires: str | None = None, more: str = "") -> None:
    file = project / "gates.yaml"
    text = f"waivers:\n  - {{rule: {rule}, owner: Ann, reason: known drift, expires: {expires or day(30)}}}\n{more}"
    file.write_text(file.read_text().split("waivers:")[0] + text)


def test_a_waived_failure_does_not_decide_and_is_shown_everywhere(
    project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project / "gates.yaml"
    file.write_text(file.read_text().replace("floor: 0.5", "floor: 0.01"))
    assert gate(shell, "toys/weak").code == 1
    waive(project)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    found = gate(shell, "toys/weak", "--junit", "j.xml", "--markdown", "m.md")
    assert found.code == 0 and "PASS" in found.out.splitlines()
    told = f"waived until {day(30)} by Ann: known drift"
    assert told in found.out and told in (project / "m.md").read_text() and told in (project / "j.xml").read_text()
    assert "::error" not in found.out and "::warning title=exact_match margin 0.15::FAIL" in found.out
    kept = calls(project)[-1]
    assert kept.reason == "the same scores judged again: other waivers, or another on_inconclusive"
    assert [(one.rule, one.owner, one.state) for one in kept.waivers] == [("exact_match margin 0.15", "Ann", "used")]
    assert kept.verdict.rules[0].outcome == "FAIL", "the rule's own verdict stays what it is"
    assert json.loads(gate(shell, "toys/weak", "--json").out)["waivers"][0]["state"] == "used"


def test_an_expired_waiver_is_none_and_is_named(project: Path, shell: Shell) -> None:
    waive(project, expires=day(-1))
    found = gate(shell, "toys/weak")
    assert found.code == 1 and f"the waiver by Ann expired on {day(-1)} and counts for nothing" in found.out
    waive(project, expires=day(0))
    assert gate(shell, "toys/weak").code == 1, "the other critical rule fails as well"
    assert calls(project)[-1].waivers[0].state == "used"


def test_what_is_invalid_cannot_be_waived(project: Path, shell: Shell) -> None:
    about = project / "released" / "strong-1" / "release.json"
    plain = json.loads(about.read_text())
    plain["scored"]["prompts"] = "another"
    about.write_text(json.dumps(plain))
    waive(project)
    found = gate(shell, "toys/better")
    assert found.code == 4 and "does not cover INVALID" in found.out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rule: exact_match margin 0.15", "rule: exact_match margin", "Did you mean 'exact_match margin 0.15'?"),
        ("owner: Ann, ", "", "waivers[0].owner: this field is required and missing. Who answers for it"),
        ("reason: known drift", 'reason: "  "', "waivers[0].reason"),
        (f"expires: {day(30)}", f"expires: {day(91)}", "is more than 90 days ahead. Write "),
        (f"expires: {day(30)}", "expires: tomorrow", "'tomorrow' is no date; write YYYY-MM-DD"),
        (f", expires: {day(30)}", "", "waivers[0].expires: this field is required"),
    ],
)
def test_a_wrong_waiver_is_one_line(project: Path, shell: Shell, old: str, new: str, words: str) -> None:
    waive(project)
    file = project / "gates.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    found = gate(shell, "toys/better")
    assert found.code == 2 and words in found.err and found.err.count("\n") == 1, found.err
    assert "gates.yaml:" in found.err


def test_two_waivers_of_one_rule_are_refused(project: Path, shell: Shell) -> None:
    waive(project, more=f"  - {{rule: exact_match margin 0.15, owner: Bo, reason: so, expires: {day(3)}}}\n")
    found = gate(shell, "toys/better")
    assert found.code == 2 and "has two waivers" in found.err


# ------------------------------------------------------------------------------------------------ the baseline again


def age(project: Path) -> None:
    """As if the baseline had been pinned with an older library."""
    file = project / "released" / "strong-1" / "release.json"
    about = json.loads(file.read_text())
    about["scored"]["environment"]["transformers"] = "1.0"
    file.write_text(json.dumps(about))


def test_a_baseline_of_another_environment_is_scored_again(project: Path, shell: Shell) -> None:
    age(project)
    assert gate(shell, "toys/better").code == 4
    found = gate(shell, "toys/better", "--rescore-baseline", "--json")
    told = json.loads(found.out)
    assert found.code == 0 and told["look"] == 1, "what could not be judged was no look"
    assert "the baseline was scored again for this verdict" in told["warnings"][0]
    assert "transformers 1.0 → " in told["warnings"][0]
    kept = calls(project)[-1]
    assert kept.rescored == told["rescored"] != "" and kept.rescored != kept.eval_id


def test_a_baseline_whose_model_is_elsewhere_is_refused_with_the_way_on(project: Path, shell: Shell) -> None:
    file = project / "released" / "strong-1" / "release.json"
    about = json.loads(file.read_text())
    about["scored"]["artefact"] = about["scored"]["train_id"] = "elsewhere"
    file.write_text(json.dumps(about))
    found = gate(shell, "toys/better", "--rescore-baseline")
    assert found.code == 2 and found.err.splitlines()[-1].startswith(
        "harness: the model of strong-1 (artefact elsewhere)"
    )
    assert "pin a baseline again" in found.err


def test_an_experiment_file_of_another_training_is_refused(project: Path, shell: Shell) -> None:
    other = project / "other.yaml"
    other.write_text((project / "toys.yaml").read_text().replace("skill: 0.9}", "skill: 0.8}"))
    found = gate(shell, "toys/better", "--rescore-baseline", "--experiment", "other.yaml")
    assert found.code == 2 and "does not describe the training of strong-1" in found.err


# ------------------------------------------------------------------------------------------- a store that is not there


def hold(path: str, held: Any, done: Any) -> None:
    with filelock.FileLock(path):
        held.set()
        done.wait(120)


def test_a_store_that_another_process_holds_is_exit_code_5(
    project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.results.stored.open_store", lambda home: Store(queries.database(home), timeout=0.3))
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(f"{queries.database(project / '.harness')}.lock", held, done))
    other.start()
    try:
        assert held.wait(120)
        found = gate(shell, "toys/better")
    finally:
        done.set()
        other.join()
    assert found.code == 5 and found.err.count("\n") == 1


@pytest.mark.parametrize(("candidate", "code"), [("toys/better", 0), ("toys/weak", 1)])
def test_a_verdict_that_the_store_does_not_take_is_not_lost(
    project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, candidate: str, code: int
) -> None:
    def locked(*_: object, **__: object) -> Store:
        raise StoreLocked("another process holds the store")

    with monkeypatch.context() as broken:
        broken.setattr(history, "Store", locked)
        found = gate(shell, candidate, "--junit", "j.xml")
    assert found.code == 5 and found.err.count("\n") == 1
    outcome = "PASS" if code == 0 else "FAIL"
    assert found.out.splitlines()[-1] == outcome and (project / "j.xml").is_file()
    assert f"the verdict {outcome} is not stored: another process holds the store. It is kept in " in found.err
    assert calls(project) == []
    again = gate(shell, candidate)
    assert again.code == code and "stored verdict" in again.out
    first, second = calls(project)
    assert (first.reason, first.settled, second.answered_by) == ("first look", True, first.id)


def test_a_home_that_cannot_be_written_prints_the_verdict_all_the_same(
    project: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(history, "write_json", full)
    found = gate(shell, "toys/better")
    assert found.code == 5 and found.out.splitlines()[-1] == "PASS"
    assert "could not be kept as a file either (No space left on device)" in found.err and found.err.count("\n") == 1
    assert calls(project) == []


# ---------------------------------------------------------------------------------------------------- all exit codes


def test_every_exit_code_of_a_gate(growing: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 pass, 1 fail, 2 usage, 3 inconclusive with a number, 4 invalid, 5 not stored, in a shell, over toy arms."""
    seen = {gate(shell, f"toys/{name}").code: name for name in ("better", "weak", "like")}
    assert seen == {0: "better", 1: "weak", 3: "like"}
    open_rule = calls(growing)[-1].verdict.rules[1]
    assert open_rule.outcome == "INCONCLUSIVE" and (open_rule.more_examples or 0) > 0
    assert gate(shell, "toys/nobody").code == 2
    more_examples(growing, shell, 90)
    assert gate(shell, "toys/better").code == 4
    monkeypatch.setattr(history, "Store", lambda *_: (_ for _ in ()).throw(StoreLocked("held")))
    assert gate(shell, "toys/better").code == 5
