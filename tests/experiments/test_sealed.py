"""The sealed test split: every look is a row, no look is lost, and training code that asks for it fails."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

from harness.arms import Progress, TrainResult, toy
from harness.data import sealing
from harness.data.prepare import prepare
from harness.errors import UsageError
from harness.experiments import pipeline
from harness.experiments.evaluation.evaluate import read_suite
from harness.experiments.running import plans, worker
from harness.records import RunPlan, TrainingData, to_json
from harness.results import queries


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("USER", "kim")


def ids_in(value: Any) -> Iterator[str]:
    """Every text that can be reached from a record."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from ids_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from ids_in(item)
    elif isinstance(value, str):
        yield value


def test_no_test_id_is_in_what_a_trainer_is_handed(project: Path) -> None:
    experiment = pipeline.load(Path("toys.yaml"))
    prepared = prepare(experiment, project / "home")
    test_ids = set(prepared.splits.test)
    for plan in plans.plan_runs(experiment, prepared, project / "home"):
        handed = [worker.without_test(plan), worker.read_training(plan.files.folder)]
        seen = set(ids_in(to_json(handed)))
        assert set(prepared.splits.train) <= seen
        assert test_ids and not test_ids & seen


ASK: dict[str, Callable[[RunPlan, TrainingData], object]] = {
    "its data": lambda plan, data: data.test,
    "the suite": lambda plan, data: read_suite(plan),
    "a file": lambda plan, data: next((plan.home / "sealed").glob("*/test.jsonl")).read_text(),
    "a known file": lambda plan, data: [Path(folder, "test.jsonl").read_text() for folder in TEST_FOLDERS(plan.home)],
    "a folder": lambda plan, data: os.listdir(plan.home / "sealed"),  # noqa: PTH208
    "a path with turns": lambda plan, data: (plan.home / "runs" / ".." / "sealed" / "x.jsonl").open(),
    "a copy": lambda plan, data: shutil.copytree(plan.home / "sealed", plan.home / "stolen"),
}


def TEST_FOLDERS(home: Path) -> list[Path]:
    """What the folder is called can be worked out from the stored experiment."""
    record = json.loads(next((home / "experiments").glob("*/record.json")).read_text())
    return [home / "sealed" / f"{record['task']['name']}-{record['suite']}"]


@pytest.mark.parametrize("how", ASK)
def test_an_arm_that_asks_for_the_test_split_fails(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    honest = toy.train

    def train(plan: RunPlan, data: TrainingData, progress: Progress) -> TrainResult:
        if plan.arm_name == "strong":
            ASK[how](plan, data)
        return honest(plan, data, progress)

    monkeypatch.setattr(toy, "train", train)
    answer = shell("run", "toys.yaml", "--json")
    assert answer.code == 6, answer.err
    rows = {row["arm"]: row for row in json.loads(answer.out)["rows"]}
    assert rows["weak"]["status"] == "ok"
    assert rows["strong"]["status"] == "failed"
    assert "the test split is sealed" in rows["strong"]["errors"][0]
    assert not (project / ".harness" / "stolen" / "test.jsonl").exists()


def test_a_symbolic_link_does_not_open_it(tmp_path: Path) -> None:
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "test.jsonl").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "sealed")
    with sealing.closed(tmp_path / "sealed"), pytest.raises(UsageError, match="sealed"):
        (tmp_path / "link" / "test.jsonl").read_text()
    assert (tmp_path / "link" / "test.jsonl").read_text() == "x"


def test_folders_beside_it_stay_open(tmp_path: Path) -> None:
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed-not").write_text("x")
    with sealing.closed(tmp_path / "sealed"):
        assert (tmp_path / "sealed-not").read_text() == "x"


def looks(shell: Shell, *words: str) -> list[dict[str, str]]:
    answer = shell("looks", *words, "--json")
    assert answer.code == 0, answer.err
    return list(json.loads(answer.out)["looks"])


def test_each_look_says_who_when_which_and_why(shell: Shell) -> None:
    shell("run", "toys.yaml")
    rows = looks(shell)
    assert [(row["arm"], row["who"], row["why"]) for row in rows] == [
        ("weak", "kim", "harness run"),
        ("strong", "kim", "harness run"),
    ]
    assert all(row["eval_id"] and row["when"].startswith("20") for row in rows)
    text = shell("looks").out
    assert text.count("kim") == 2 and text.endswith("2 looks at this test split\n")


def test_a_metric_added_by_a_run_is_a_look(shell: Shell, project: Path) -> None:
    shell("run", "toys.yaml")
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("also: [", "also: [rouge_1, rouge_2, "))
    shell("run", "toys.yaml")
    assert [row["why"] for row in looks(shell)[2:]] == ["harness run: added rouge_1, rouge_2"] * 2
    shell("run", "toys.yaml")
    assert len(looks(shell)) == 4


def test_taking_over_a_stored_evaluation_is_no_look(shell: Shell, project: Path) -> None:
    shell("run", "toys.yaml")
    (project / "again.yaml").write_text((project / "toys.yaml").read_text())
    for _ in range(2):
        answer = shell("run", "again.yaml", "--json")
        assert "nothing to train" in answer.err
    assert json.loads(answer.out)["looks"] == {"experiment": 0, "in_all": 2}
    assert len(looks(shell)) == 2
    text = (project / "toys.yaml").read_text().replace("budget:", "  - {method: toy, name: third, skill: 0.5}\nbudget:")
    (project / "more.yaml").write_text(text.replace("seeds: [0]\n", ""))
    shell("run", "more.yaml")
    assert [row["arm"] for row in looks(shell)] == ["weak", "strong", "third"]


def test_a_rebuilt_store_has_every_look(shell: Shell, project: Path) -> None:
    shell("run", "toys.yaml")
    shell("score", "--metric", "chrf")
    before = looks(shell)
    (project / ".harness" / "harness.duckdb").unlink()
    assert "4 looks" in shell("store", "rebuild").out
    key = dataclasses.astuple
    store = queries.open_store(project / ".harness")
    assert sorted(map(key, store.looks())) == sorted(tuple(row.values()) for row in before)
    assert shell("store", "rebuild").out.strip() == "nothing was missing"


OWN = '''
def length_ratio(prediction, references, example):
    """Words of the answer over words of the reference."""
    return len(prediction.split()) / len(example["words"].split())

length_ratio.direction = "lower"
length_ratio.bounds = (0, 50)
'''


def own_cells(answer: Any, name: str = "my_metrics.py:length_ratio") -> dict[str, Any]:
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    column = next(column for column in found["metrics"] if column["name"] == name)
    assert (column["direction"], column["bounds"]) == ("lower", [0.0, 50.0])
    return {row["arm"]: row["metrics"][name]["estimate"]["value"] for row in found["rows"]}


def test_own_metric_is_scored_declared_and_scored_again_when_it_changes(shell: Shell, project: Path) -> None:
    (project / "task" / "my_metrics.py").write_text(OWN)
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("also: [", "also: [my_metrics.py:length_ratio, "))
    assert "own metrics my_metrics.py:length_ratio" in shell("check", "task").out
    first = own_cells(shell("run", "toys.yaml", "--json"))
    assert first["strong"] > 0
    assert "length_ratio ↓" in shell("leaderboard").out
    (project / "task" / "my_metrics.py").write_text(OWN.replace("return len", "return 2 * len"))
    second = own_cells(shell("run", "toys.yaml", "--json"))
    assert second == {arm: pytest.approx(2 * value) for arm, value in first.items()}
    shutil.rmtree(project / "task")
    assert own_cells(shell("leaderboard", "--json")) == second
    assert shell("compare", "strong", "weak").code == 0


def test_own_metric_is_added_later(shell: Shell, project: Path) -> None:
    shell("run", "toys.yaml")
    (project / "task" / "my_metrics.py").write_text(OWN)
    added = shell("score", "--metric", "my_metrics.py:length_ratio")
    assert "strong: 18 scores added" in added.out, added.err
    assert set(own_cells(shell("leaderboard", "--json"))) == {"strong", "weak"}
    refused = shell("score", "--metric", "my_metrics.py:length")
    assert refused.code == 2 and "no function 'length'" in refused.err
    (project / ".harness" / "harness.duckdb").unlink()
    shell("store", "rebuild")
    answer = json.loads(shell("leaderboard", "--json").out)
    assert answer["rows"], "the rebuilt store still gives a board"


def test_a_failing_own_metric_is_one_line_and_nothing_is_generated_again(shell: Shell, project: Path) -> None:
    (project / "task" / "my_metrics.py").write_text(OWN.replace("return len", "return 1 / 0, len"))
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("also: [", "also: [my_metrics.py:length_ratio, "))
    checked = shell("check", "task")
    assert checked.code == 2 and "length_ratio: example e" in checked.err and "ZeroDivisionError" in checked.err
    answer = shell("run", "toys.yaml", "--json")
    assert answer.code == 6
    assert "ZeroDivisionError" in json.loads(answer.out)["rows"][0]["errors"][0]
    (project / "task" / "my_metrics.py").write_text(OWN)
    assert shell("run", "toys.yaml").code == 0
