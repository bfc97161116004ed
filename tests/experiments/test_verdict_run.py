"""The winner rule from the experiment file to every form of the leaderboard, with toy arms and a real store."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

from harness.results import queries


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def declare(project: Path, rule: str) -> None:
    """Put (another) winner rule into the experiment."""
    lines = [line for line in (project / "toys.yaml").read_text().splitlines() if not line.startswith("winner:")]
    (project / "toys.yaml").write_text("\n".join([*lines, f"winner: {rule}", ""]))


def told(shell: Shell, *words: str) -> dict[str, Any]:
    answer = shell("leaderboard", "--json", *words)
    assert answer.code == 0, answer.err
    return dict(json.loads(answer.out))


def test_verdict_is_the_first_line_and_stands_in_every_form(shell: Shell, project: Path) -> None:
    declare(project, "{margin: 0.05, cost: train_seconds}")
    first = shell("run", "toys.yaml").out.splitlines()
    assert first[0] == "Verdict on these checkpoints: ship strong."
    assert first[1].startswith("Every other arm is shown to be worse by more than 0.05; the nearest, weak, by ")
    found = told(shell)
    assert found["schema"] == "harness.leaderboard/2"
    assert found["verdict"]["words"] == "ship strong"
    assert found["verdict"]["rule"]["margin"] == 0.05
    assert "before the first look at the test split" in found["verdict"]["declaration"]
    assert "**Verdict on these checkpoints: ship strong.**" in shell("leaderboard", "--format", "markdown").out
    assert "Verdict: ship strong." in shell("leaderboard", "--format", "latex").out
    assert shell("leaderboard", "--format", "text").out.startswith("Verdict on these checkpoints: ship strong.")


def test_without_a_rule_the_board_says_so(shell: Shell) -> None:
    out = shell("run", "toys.yaml").out
    assert "Default winner rule (every difference matters): no rule was declared before the run." in " ".join(
        out.split("\n")
    )
    assert told(shell)["winner_rules"] == []


def test_a_rule_that_is_changed_after_the_results_is_dated_and_shown(shell: Shell, project: Path) -> None:
    declare(project, "{margin: 0.05}")
    shell("run", "toys.yaml")
    again = shell("run", "toys.yaml")
    assert "AFTER" not in again.out, "the same rule is not declared twice"
    time.sleep(1.1)
    declare(project, "{margin: 2.0, cost: adapter_bytes}")
    late = shell("run", "toys.yaml")
    text = " ".join(late.out.split())
    assert "nothing to train" in late.err
    assert text.startswith("Verdict on these checkpoints: nothing beats weak: keep weak.")
    assert "AFTER the test split had been looked at 2 times, first 20" in text
    assert "it replaces a rule declared 20" in text
    rules = told(shell)["winner_rules"]
    assert [rule["margin"] for rule in rules] == [0.05, 2.0]
    assert rules[0]["declared"] < rules[1]["declared"]
    (project / ".harness" / "harness.duckdb").unlink()
    assert shell("store", "rebuild").code == 0
    assert told(shell)["winner_rules"] == rules
    store = queries.open_store(project / ".harness")
    assert len(store.experiments()) == 1, "another rule is no other experiment"


@pytest.mark.parametrize(
    ("old", "new", "aged"),
    [
        ("name: strong", "name: stronger", False),
        ("name: weak", "name: floor", False),
        ("budget:", "  - {method: toy, name: third, skill: 0.5}\nbudget:", False),
        ("margin: 0.05", "margin: 0.01", True),
        ("reference: weak", "reference: strong", True),
    ],
)
def test_a_rule_is_as_old_as_the_question_that_it_decides(
    shell: Shell, project: Path, old: str, new: str, aged: bool
) -> None:
    declare(project, "{margin: 0.05}")
    shell("run", "toys.yaml")
    [first] = told(shell)["winner_rules"]
    time.sleep(1.1)
    file = project / "toys.yaml"
    arms_last = file.read_text().replace("seeds: [0]\n", "") + "seeds: [0]\n"
    text = arms_last.replace(old, new)
    if "floor" in new:
        text = text.replace("reference: weak", "reference: floor")
    assert text != arms_last
    file.write_text(text)
    shell("run", "toys.yaml")
    board = told(shell)
    assert (board["winner_rules"][-1]["declared"] > first["declared"]) == aged
    assert ("before the first look" in board["verdict"]["declaration"]) == (not aged)


def test_a_primary_metric_changed_after_results_does_not_get_the_rules_first_date(shell: Shell, project: Path) -> None:
    declare(project, "{margin: 0.05}")
    shell("run", "toys.yaml")
    [first] = told(shell)["winner_rules"]
    time.sleep(1.1)
    task, file = project / "task" / "task.yaml", project / "toys.yaml"
    task.write_text(
        task.read_text().replace("primary: exact_match, also: [rouge_l", "primary: rouge_l, also: [exact_match")
    )
    shell("run", "toys.yaml")
    file.write_text(file.read_text().replace("name: strong", "name: stronger"))
    shell("run", "toys.yaml")
    board = told(shell)
    assert board["primary"] == "rouge_l" and board["winner_rules"][-1]["declared"] > first["declared"]
    assert "AFTER the test split had been looked at" in board["verdict"]["declaration"]


def test_leaving_the_rule_out_takes_nothing_back(shell: Shell, project: Path) -> None:
    declare(project, "{margin: 0.05}")
    shell("run", "toys.yaml")
    text = (project / "toys.yaml").read_text()
    (project / "toys.yaml").write_text("\n".join(line for line in text.splitlines() if "winner" not in line))
    shell("run", "toys.yaml")
    assert [rule["margin"] for rule in told(shell)["winner_rules"]] == [0.05]
    assert told(shell)["verdict"]["rule"]["margin"] == 0.05


def test_failed_arms_are_out_of_the_contest(shell: Shell, project: Path) -> None:
    text = (project / "toys.yaml").read_text()
    (project / "toys.yaml").write_text(
        text.replace("arms:\n", "arms:\n  - {method: toy, name: broken, fail: diverged}\n")
    )
    assert shell("run", "toys.yaml").code == 6
    found = told(shell)["verdict"]
    assert found["words"] == "ship strong"
    assert found["reason"].endswith("broken has no result.")


def test_one_arm_alone_and_one_group_of_examples(shell: Shell, project: Path) -> None:
    text = (project / "toys.yaml").read_text()
    (project / "one.yaml").write_text(text.replace("  - {method: toy, name: strong, skill: 0.9}\n", ""))
    assert shell("run", "one.yaml").out.startswith("Verdict on these checkpoints: no verdict: only weak has a result.")
    rows = [json.loads(line) for line in (project / "task" / "rows.jsonl").read_text().splitlines()]
    for part, own in (("train", rows[:40]), ("validation", rows[40:50]), ("test", rows[50:])):
        lines = [json.dumps({**row, "group": f"{part}"}) + "\n" for row in own]
        (project / "task" / f"{part}.jsonl").write_text("".join(lines))
    task = (project / "task" / "task.yaml").read_text()
    task = task.replace(
        "path: rows.jsonl", "files: {train: train.jsonl, validation: validation.jsonl, test: test.jsonl}"
    )
    task = task.replace("splits: {test: 0.3, validation: 0.2}\n", "").replace(
        "primary: exact_match", "primary: rouge_l"
    )
    (project / "task" / "task.yaml").write_text(task.replace("also: [rouge_l,", "also: ["))
    answer = shell("run", "toys.yaml")
    assert "not enough data: all test examples are in one group" in " ".join(answer.out.split()), answer.err


@pytest.mark.parametrize("metric", ["chrf", "perplexity"])
def test_corpus_metrics_have_verdicts_too(shell: Shell, project: Path, metric: str) -> None:
    task = (project / "task" / "task.yaml").read_text()
    task = task.replace("primary: exact_match, also: [rouge_l, bleu, perplexity]", f"primary: {metric}")
    (project / "task" / "task.yaml").write_text(task)
    answer = shell("run", "toys.yaml")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[0] == "Verdict on these checkpoints: ship strong."


def test_csv_holds_every_arm_and_metric_with_all_digits(shell: Shell) -> None:
    shell("run", "toys.yaml")
    board = told(shell)
    rows = list(csv.DictReader(io.StringIO(shell("leaderboard", "--format", "csv").out)))
    assert len(rows) == len(board["rows"]) * len(board["metrics"])
    by_place = {(row["arm"], row["metric"]): row for row in rows}
    for arm in board["rows"]:
        for name, cell in arm["metrics"].items():
            row = by_place[arm["arm"], name]
            if cell["estimate"] is None:
                assert row["value"] == "" and row["reason"]
                continue
            assert float(row["value"]) == cell["estimate"]["value"]
            assert (int(row["n"]), int(row["clusters"]), int(row["seeds"])) == tuple(
                cell["estimate"][field] for field in ("n", "clusters", "seeds")
            )
            assert row["low"] == ("" if cell["estimate"]["low"] is None else str(cell["estimate"]["low"]))
            assert row["p"] == ("" if cell["p_value"] is None else str(cell["p_value"]))


def test_an_unknown_form_is_refused(shell: Shell) -> None:
    shell("run", "toys.yaml")
    answer = shell("leaderboard", "--format", "word")
    assert (answer.code, "text, markdown, csv, latex" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("{margin: -1}", "winner.margin: must be at least 0"),
        ("{cost: money}", "is not one of train_seconds, total_seconds"),
        ("{margn: 1}", "unknown field. Did you mean 'margin'"),
    ],
)
def test_a_wrong_rule_is_one_clear_line(shell: Shell, project: Path, rule: str, wanted: str) -> None:
    declare(project, rule)
    answer = shell("run", "toys.yaml")
    assert answer.code == 2
    assert wanted in answer.err and "toys.yaml:" in answer.err
