"""Races of toy arms through the whole pipeline, with a real database: who is stopped, what is said, what goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

from harness.data.prepare import prepare
from harness.experiments import pipeline
from harness.records import ExperimentRecord
from harness.results import queries

ROWS = 240
EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: still, skill: 0.2}
  - {method: toy, name: good, skill: 0.95, learning_rate: 1.0e-2, best_rate: 1.0e-2}
  - {method: toy, name: near, skill: 0.95, learning_rate: 1.0e-2, best_rate: 1.1e-2}
  - {method: toy, name: awful, skill: 0.9, learning_rate: 1.0e-2, best_rate: 1.0}
seeds: [0, 1]
budget: {examples: 80}
racing: {}
reference: still
"""


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    rows = [
        {"id": f"e{number}", "group": f"g{number // 2}", "words": f"{number * 7919} {number * 104729} {number * 31}"}
        for number in range(1, ROWS + 1)
    ]
    (project / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(project, "raced")


def write(project: Path, name: str, *changes: tuple[str, str]) -> None:
    text = EXPERIMENT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (project / f"{name}.yaml").write_text(text)


def record(project: Path, home: str = ".harness") -> ExperimentRecord:
    return queries.open_store(project / home).experiments()[-1]


def outcomes(project: Path, home: str = ".harness") -> dict[str, Any]:
    race = record(project, home).race
    assert race is not None
    return {one.arm: one for one in race.arms}


def test_the_loser_is_stopped_told_of_and_never_scored_on_the_test_split(shell: Shell, project: Path) -> None:
    answer = shell("run", "raced.yaml")
    assert answer.code == 0, answer.err
    assert "awful: stopped by racing at 12.5 % of the budget" in answer.err
    arms = outcomes(project)
    assert {name: one.outcome for name, one in arms.items()} == {
        "good": "survived",
        "near": "survived",
        "awful": "eliminated",
    }
    awful = arms["awful"]
    assert awful.share == 0.125 and awful.difference < awful.bound < 0 and awful.against in ("good", "near")
    assert awful.groups >= 16 and awful.examples < arms["good"].examples

    told = " ".join(answer.out.split())  # wherever lines end: what a verdict says before follows from the seeds
    assert "awful was left out by racing" in told and "awful have no result" not in told
    assert "Saved by racing, in no other figure: 29.2 % of the train steps" in told
    assert "Risk of racing: at most 5 % of races" in told
    board = json.loads(shell("leaderboard", "--json").out)
    rows = {row["arm"]: row for row in board["rows"]}
    assert rows["awful"]["status"] == "eliminated" and rows["awful"]["metrics"]["exact_match"]["estimate"] is None
    assert len(rows["awful"]["errors"]) == 1 and rows["awful"]["ranks"] is None
    assert board["race"]["saving"]["train_step_share"] == pytest.approx((1 - 0.125) / 3)
    assert board["race"]["risk"]["level"] == 0.05
    ledger = json.loads(shell("ledger", "--json").out)
    stopped = [run for run in ledger["runs"] if run["arm"] == "awful"]
    assert [(run["seed"], run["status"], run["ledger"]["examples"]) for run in stopped] == [
        (0, "eliminated", 10),
        (1, "eliminated", 10),
    ]
    assert ledger["race"] == board["race"]
    assert "awful: stopped by racing at 12.5 % of the budget" in shell("ledger").out

    store = queries.open_store(project / ".harness")
    assert {look.arm for look in store.looks()} == {"still", "good", "near"}
    test_ids = set(prepare(pipeline.load(Path("raced.yaml")), project / ".harness").splits.test)
    for path in (project / ".harness" / "runs").glob("*/rungs/*/*/*/*/*.jsonl"):
        assert not test_ids & {json.loads(line).get("example") for line in path.read_text().splitlines()}

    before = {path: path.stat().st_mtime_ns for path in (project / ".harness" / "runs").rglob("*.json")}
    again = shell("run", "raced.yaml")
    assert again.code == 0 and "nothing to train or score" in again.err
    assert {path: path.stat().st_mtime_ns for path in (project / ".harness" / "runs").rglob("*.json")} == before
    (project / ".harness" / "harness.duckdb").unlink()
    assert shell("store", "rebuild").code == 0
    rebuilt = json.loads(shell("leaderboard", "--json").out)
    assert rebuilt["race"] == board["race"] and rebuilt["verdict"]["reason"] == board["verdict"]["reason"]
    assert {row["arm"]: row["errors"] for row in rebuilt["rows"]} == {arm: row["errors"] for arm, row in rows.items()}


@pytest.mark.real
def test_a_killed_race_goes_on_and_both_executors_decide_alike(shell: Shell, project: Path) -> None:
    assert shell("run", "raced.yaml", "--home", "calm").code == 0
    write(project, "raced", ("racing: {}", "racing: {}\nresources: {executor: processes, workers: 2}"))
    command = [sys.executable, "-m", "harness", "run", "raced.yaml", "--home", "shot"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    runs = project / "shot" / "runs"
    while len(list(runs.glob("*/rungs/0.125/*/0-16.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert record(project, "shot").race is None
    scored = {path: path.stat().st_mtime_ns for path in runs.glob("*/rungs/0.125/*/0-16.json")}
    assert shell("run", "raced.yaml", "--home", "shot").code == 0
    assert {path: path.stat().st_mtime_ns for path in scored} == scored
    assert outcomes(project, "shot") == outcomes(project, "calm")


def test_an_experiment_without_a_race_goes_on_from_where_another_stopped(shell: Shell, project: Path) -> None:
    assert shell("run", "raced.yaml").code == 0
    write(project, "whole", ("racing: {}\n", ""))
    answer = shell("run", "whole.yaml")
    assert answer.code == 0, answer.err
    rows = {row["arm"]: row for row in json.loads(shell("leaderboard", "whole", "--json").out)["rows"]}
    assert rows["awful"]["status"] == "ok" and rows["awful"]["cost"]["examples"] == 80
    assert record(project).race is None
    # The race's own board stays as it was.
    raced = {row["arm"]: row["status"] for row in json.loads(shell("leaderboard", "raced", "--json").out)["rows"]}
    assert raced["awful"] == "eliminated"


def test_an_arm_that_fails_leaves_the_race_and_the_reference_is_never_stopped(shell: Shell, project: Path) -> None:
    write(
        project,
        "raced",
        ("name: near, skill: 0.95,", "name: near, skill: 0.95, fail: diverged,"),
        ("reference: still", "reference: awful"),
    )
    answer = shell("run", "raced.yaml")
    assert answer.code == 6
    found = outcomes(project)
    assert {name: one.outcome for name, one in found.items()} == {
        "good": "survived",
        "near": "not_raced",
        "awful": "survived",
    }
    assert found["near"].words == "diverged at 0.125 of the budget" and "Not in the race: near" not in answer.out
    assert "not in the race: near (diverged at 0.125 of the budget)" in answer.out.replace("\n", " ")


@pytest.mark.parametrize(
    ("racing", "says"),
    [
        ("{rungs: [0.5, 0.25]}", "raced.yaml:11: racing: rungs must rise"),
        ("{level: 0.9}", "racing.level: must be at most 0.2"),
        ("{clip: 0.1, margin: 0.2}", "clip must be larger than their sum"),
        ("{margin: 0.95}", "racing.clip: no difference can be 1.05, as it is clipped to 1"),
    ],
)
def test_a_race_that_cannot_be_is_refused_in_one_line(racing: str, says: str, shell: Shell, project: Path) -> None:
    write(project, "raced", ("racing: {}", f"racing: {racing}"))
    answer = shell("run", "raced.yaml")
    assert answer.code == 2 and says in answer.err and "Traceback" not in answer.err


def test_metrics_without_a_value_for_each_example_are_refused(shell: Shell, project: Path) -> None:
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("primary: exact_match, also: [rouge_l, bleu,", "primary: bleu, also: ["))
    answer = shell("run", "raced.yaml")
    assert answer.code == 2 and "racing.metric: the primary metric bleu has no value for each example" in answer.err
    write(project, "raced", ("racing: {}", "racing: {metric: loss}"), ("reference: still", "reference: still"))
    assert shell("run", "raced.yaml").code == 0
    assert outcomes(project)["awful"].difference > 0  # a higher loss


def test_a_race_takes_two_arms_and_a_budget_that_has_shares(shell: Shell, project: Path) -> None:
    write(project, "raced", ("budget: {examples: 80}", "budget: {device_seconds: 3}"))
    answer = shell("run", "raced.yaml")
    assert answer.code == 2 and "racing stops at shares of a budget of examples or tokens" in answer.err
    one = "\n".join(line for line in EXPERIMENT.splitlines() if "near" not in line and "awful" not in line)
    (project / "raced.yaml").write_text(one)
    answer = shell("run", "raced.yaml")
    assert answer.code == 2 and "a race takes two trained arms at least" in answer.err
