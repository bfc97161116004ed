"""Equal tuning and learning curves over toy arms whose best learning rate is known, with a real database."""

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
from harness.errors import UsageError
from harness.experiments import pipeline
from harness.experiments.evaluation import validate
from harness.experiments.evaluation.evaluate import read_suite
from harness.experiments.running import plans as run_plans, worker
from harness.experiments.running.context import RunContext
from harness.experiments.running.executors import opened
from harness.experiments.tuning import search, trials
from harness.progress import Reporter
from harness.records import RunPlan
from harness.results import queries

EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: still, skill: 0.2}
  - {method: toy, name: near, skill: 0.9, learning_rate: 1.0e-2, best_rate: 2.0e-2}
  - {method: toy, name: far, skill: 0.9, learning_rate: 1.0e-2, best_rate: 1.0}
seeds: [0]
budget: {examples: 90}
tuning: {trials: 4, learning_rate: log}
reference: still
"""


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    write(project)


def write(project: Path, *changes: tuple[str, str]) -> None:
    text = EXPERIMENT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (project / "tuned.yaml").write_text(text)


def by_arm(shell: Shell) -> dict[str, dict[str, Any]]:
    answer = shell("tuning", "--json")
    assert answer.code == 0, answer.err
    return {one["arm"]: one for one in json.loads(answer.out)["arms"]}


def stamps(project: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (project / ".harness" / "runs").glob("*/run-*.json")}


def test_the_best_rate_is_found_stored_shown_and_never_trained_again(shell: Shell, project: Path) -> None:
    assert shell("run", "tuned.yaml").code == 0
    found = by_arm(shell)
    assert {name: one["settings"] for name, one in found.items()} == {"near": 4, "far": 4}
    near = {trial["values"]["learning_rate"]: trial for trial in found["near"]["trials"]}
    assert set(near) == {1e-3, 1e-2, 3.16e-2, 1e-1}
    best = max(near, key=lambda rate: (near[rate]["value"], -near[rate]["loss"]))
    assert best == found["near"]["chosen"]["learning_rate"]
    assert found["near"]["chosen"]["learning_rate"] in (1e-2, 3.16e-2) and found["near"]["edge"] == []
    assert found["far"]["chosen"] == {"learning_rate": 1e-1} and found["far"]["edge"] == ["learning_rate"]

    store = queries.open_store(project / ".harness")
    record = store.experiments()[-1]
    assert record.seeds["tuning"] == 1000 and record.seeds["training"] == [0]
    finals = {entry.arm: entry for entry in store.entries(record.experiment_id)}
    rows = store.trials(record.experiment_id)
    runs = {run.train_id: run for run in store.runs([row.train_id for row in rows])}
    assert {runs[row.train_id].role for row in rows} == {"trial"}
    assert all(runs[row.train_id].trial["values"] == row.values for row in rows)
    assert {row.seed for row in rows} == {1000}
    assert all(row.space == {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}} for row in rows)
    assert not {row.train_id for row in rows} & {entry.train_id for entry in finals.values()}
    # What the finals were trained with is what was chosen.
    final = worker.read_run(project / ".harness" / "runs" / finals["near"].train_id)
    plan = json.loads((project / ".harness" / "runs" / finals["near"].train_id / "plan.json").read_text())
    assert final is not None and final.role == "final" and final.seed == 0
    assert plan["arm"]["learning_rate"] == found["near"]["chosen"]["learning_rate"]

    text = shell("tuning").out
    assert "edge: learning_rate" in text and "Looks at the test split by trials: 0" in text
    ledger = json.loads(shell("ledger", "--json").out)["rows"]
    costs = {row["arm"]: row["cost"] for row in ledger}
    assert [costs[arm]["trials"] for arm in ("near", "far", "still")] == [4, 4, 0]
    assert costs["near"]["tuning_seconds"] == pytest.approx(sum(trial["seconds"] for trial in near.values()))
    board = shell("leaderboard").out
    assert "at the edge of what tuning tried" in board

    before = stamps(project)
    again = shell("run", "tuned.yaml")
    assert again.code == 0 and "nothing to train" in again.err and "trial" not in again.err
    assert stamps(project) == before and len(before) == 2 * 4 + 3
    (project / ".harness" / "harness.duckdb").unlink()
    assert f"{len(rows)} trials" in shell("store", "rebuild").out
    assert by_arm(shell) == found


def test_tuning_takes_no_look_at_the_test_split_and_cannot(shell: Shell, project: Path) -> None:
    handed: list[RunPlan] = []

    def spy(plan: RunPlan) -> worker.Outcome | None:
        handed.append(plan)
        return original(plan)

    original = worker.finished
    experiment = pipeline.load(Path("tuned.yaml"))
    home = project / ".harness"
    prepared = prepare(experiment, home)
    plans = run_plans.plan_runs(experiment, prepared, home)
    record = pipeline.experiment_record(experiment, prepared, plans, home)
    from harness.store import Store

    store = Store(queries.database(home))
    with Reporter() as reporter, pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "finished", spy)
        with opened("inline", reporter, 1) as execute:
            pipeline.tune(experiment, prepared, RunContext(home, store, record, reporter, execute))
    assert len(store.trials(record.experiment_id)) == 8
    assert store.looks() == [] and not (home / "evals").exists()
    tried = [plan for plan in handed if plan.role == "trial"]
    assert tried
    for plan in tried:
        with pytest.raises(UsageError, match="sealed"):
            read_suite(plan)
    test_ids = set(prepared.splits.test)
    for path in (home / "validations").glob("*/predictions.jsonl"):
        answered = {json.loads(line)["example"] for line in path.read_text().splitlines()}
        assert answered == set(prepared.splits.validation) and not answered & test_ids
    assert shell("run", "tuned.yaml").code == 0
    assert len(store.looks()) == 3


def test_a_killed_tuning_goes_on_where_it_was(shell: Shell, project: Path) -> None:
    write(project, ("name: far,", "name: far, seconds: 1.5,"))
    command = [sys.executable, "-m", "harness", "run", "tuned.yaml"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    answered = project / ".harness" / "validations"
    while len(list(answered.glob("*/validation.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    before = {path: path.stat().st_mtime_ns for path in answered.glob("*/validation.json")}
    assert 5 <= len(before) < 8
    trained = stamps(project)
    assert shell("run", "tuned.yaml").code == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # The kill may have fallen between an answer and its record: at most that one record is written again.
    assert sum(path.stat().st_mtime_ns != stamp for path, stamp in trained.items()) <= 1
    assert {name: len(one["trials"]) for name, one in by_arm(shell).items()} == {"near": 4, "far": 4}


def test_trials_that_diverge_or_fail_are_kept_and_not_chosen(shell: Shell, project: Path) -> None:
    write(
        project,
        ("learning_rate: 1.0e-2, best_rate: 1.0}", "learning_rate: 1.0e-2, best_rate: 5.0e-4}"),
        ("name: near,", "name: near, fail: error,"),
        ("trials: 4,", "trials: 4, factor: 20,"),
    )
    answer = shell("run", "tuned.yaml")
    assert answer.code == 6 and "near: no trial ended well" in answer.err
    found = by_arm(shell)
    statuses = {trial["values"]["learning_rate"]: trial["status"] for trial in found["far"]["trials"]}
    assert statuses == {5e-4: "ok", 1e-2: "ok", 4.47e-2: "ok", 0.2: "diverged"}
    assert found["far"]["chosen"] == {"learning_rate": 5e-4} and found["near"]["chosen"] is None
    assert "diverged: the loss is nan" in shell("tuning").out
    assert "none of 4 tuning trials ended well" in shell("leaderboard").out


def test_choosing_by_loss_answers_nothing_and_halving_spends_less(shell: Shell, project: Path) -> None:
    write(project, ("trials: 4,", "trials: 9, choose_by: loss, halving: true,"))
    assert shell("run", "tuned.yaml").code == 0
    assert not list((project / ".harness" / "validations").glob("*/predictions.jsonl"))
    near = by_arm(shell)["near"]
    assert [sum(trial["rung"] == rung for trial in near["trials"]) for rung in range(3)] == [9, 3, 1]
    assert [trial["examples"] for trial in near["trials"]] == [10] * 9 + [30] * 3 + [90]
    assert near["full_trials"] == pytest.approx(3.0) and near["settings"] == 9
    assert near["chosen"]["learning_rate"] == pytest.approx(2e-2, rel=0.5)
    assert near["trials"][-1]["loss"] == min(trial["loss"] for trial in near["trials"])
    assert "67% saved" in shell("tuning").out


def test_a_learning_curve_says_where_more_data_helps(shell: Shell, project: Path) -> None:
    text = EXPERIMENT.replace("tuning: {trials: 4, learning_rate: log}", "data_fraction: [0.05, 0.2, 1.0]").replace(
        "seeds: [0]", "seeds: [0, 1, 2, 3]"
    )
    text = text.replace("best_rate: 2.0e-2", "best_rate: 1.0e-2, half_data: 10").replace(
        "best_rate: 1.0}", "best_rate: 1.0e-2}"
    )
    (project / "curve.yaml").write_text(text)
    assert shell("run", "curve.yaml").code == 0
    found = {one["arm"]: one for one in json.loads(shell("curve", "--json").out)["arms"]}
    assert set(found) == {"near", "far"}
    hungry, fed = found["near"], found["far"]
    values = [point["estimate"]["value"] for point in hungry["points"]]
    assert [point["fraction"] for point in hungry["points"]] == [0.05, 0.2, 1.0] and values == sorted(values)
    assert [point["passes"] for point in hungry["points"]] == sorted(
        (point["passes"] for point in hungry["points"]), reverse=True
    )
    assert hungry["verdict"].startswith("more data is likely to help")
    assert fed["verdict"].startswith("not shown")
    assert fed["per_doubling"]["value"] == 0.0
    rows = json.loads(shell("leaderboard", "--json").out)["rows"]
    assert {row["arm"]: row["seeds"] for row in rows} == {"near": [0, 1, 2, 3], "far": [0, 1, 2, 3], "still": []}
    assert "learning curve" in shell("curve").out


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{trials: 4,", "{trials: 1,", "tuned.yaml:10: tuning.trials: must be at least 2"),
        ("learning_rate: log}", "learning_rate: log, seed: 0}", "tuned.yaml:10: tuning.seed: 0 is one of"),
        ("learning_rate: log}", "learning_rate: [0.1, 0.2]}", "2 settings, and every arm gets 4 trials"),
        ("best_rate: 1.0}", "best_rate: 1.0, search: {rate: [1, 2]}}", "tuned.yaml:7: arms[2].search.rate: toy has no"),
        (
            "best_rate: 1.0}",
            "best_rate: 1.0, search: {learning_rate: {low: 2.0, high: 1.0}}}",
            "low must be less than high",
        ),
        ("seeds: [0]", "seeds: [0]\ndata_fraction: [0.0]", "data_fraction[0]: must be greater than 0"),
    ],
)
def test_bad_tuning_is_one_clear_line(shell: Shell, project: Path, old: str, new: str, says: str) -> None:
    write(project, (old, new))
    answer = shell("check", "tuned.yaml")
    assert answer.code == 2 and says in answer.err and answer.err.count("\n") == 1, answer.err


def test_a_primary_metric_that_validation_lacks_is_refused(shell: Shell, project: Path) -> None:
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("primary: exact_match", "primary: preference_accuracy"))
    answer = shell("run", "tuned.yaml")
    assert answer.code == 2 and "not measured on the validation split" in answer.err


def test_the_same_validation_examples_for_every_trial(project: Path) -> None:
    write(project, ("trials: 4,", "trials: 4, examples: 5,"))
    experiment = pipeline.load(Path("tuned.yaml"))
    prepared = prepare(experiment, project / "home")
    plans = [plan for plan in run_plans.plan_runs(experiment, prepared, project / "home") if plan.seed is not None]
    picked = [validate.validation_examples(plan) for plan in plans]
    assert picked[0] == picked[1] and len(picked[0]) == 5
    assert {example.id for example in picked[0]} <= set(prepared.splits.validation)


def test_reduced_budgets_keep_their_kind() -> None:
    from harness.config import BudgetSpec

    assert trials.reduced(BudgetSpec(examples=90), search.RUNGS[0]) == BudgetSpec(examples=10)
    assert trials.reduced(BudgetSpec(device_seconds=9.0), search.RUNGS[1]) == BudgetSpec(device_seconds=3.0)
    assert trials.reduced(BudgetSpec(tokens=1), search.RUNGS[0]) == BudgetSpec(tokens=1)


def test_a_plan_counts_the_trials_until_they_are_done(shell: Shell, project: Path) -> None:
    def planned() -> tuple[dict[str, Any], dict[str, Any]]:
        answer = shell("plan", "tuned.yaml", "--json")
        assert answer.code == 0, answer.err
        found = dict(json.loads(answer.out))
        return found, {arm["arm"]: arm for arm in found["arms"]}

    write(project, ("tuning: {trials: 4, learning_rate: log}\n", ""))
    assert shell("run", "tuned.yaml").code == 0
    write(project, ("trials: 4", "trials: 4, halving: true"))
    _, halved = planned()
    assert {name: arm["trials"] for name, arm in halved.items()} == {"still": 0, "near": 4 + 2 + 1, "far": 4 + 2 + 1}
    write(project)
    found, arms = planned()
    assert {name: arm["trials"] for name, arm in arms.items()} == {"still": 0, "near": 4, "far": 4}
    assert arms["near"]["tuning_seconds"] > 4 * arms["near"]["train_seconds"]
    runs = sum(arm["seconds"] * (arm["runs"] - arm["finished"]) for arm in arms.values())
    assert found["device_seconds"] == pytest.approx(runs + sum(arm["tuning_seconds"] for arm in arms.values()))

    assert shell("run", "tuned.yaml").code == 0
    found, arms = planned()
    assert found["finished"] == found["runs"] and not any(arm["trials"] for arm in arms.values())
    assert "Nothing is left to run." in shell("plan", "tuned.yaml").out
