"""Suites: one file, several tasks, ranks with intervals on each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

from harness.errors import SpecError
from harness.experiments.loading.suites import is_suite, load_suite, suite_names


@pytest.fixture(autouse=True)
def _two_tasks(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    shutil.copytree(project / "task", project / "other")
    task = project / "other" / "task.yaml"
    task.write_text(task.read_text().replace("name: echo", "name: other").replace("exact_match, also", "rouge_l, also"))
    text = (project / "toys.yaml").read_text()
    arms = "  - {method: toy, name: close, skill: 0.8}\nseeds:"
    items = "suite: [{task: task}, {task: other, name: second}]\n"
    (project / "both.yaml").write_text(text.replace("task: task\n", items).replace("seeds:", arms))


def test_a_suite_ranks_every_arm_on_each_task(shell: Shell) -> None:
    answer = shell("run", "both.yaml", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert [one["name"] for one in found["experiments"]] == ["both.task", "both.second"]
    assert [one["primary"] for one in found["experiments"]] == ["exact_match", "rouge_l"]
    boards = [json.loads(shell("leaderboard", name, "--json").out) for name in ("both.task", "both.second")]
    assert [board["task"]["name"] for board in boards] == ["echo", "other"]
    orders = [[row["arm"] for row in board["rows"]] for board in boards]
    for one in found["arms"]:
        places = [order.index(one["arm"]) + 1 for order in orders]
        assert [place["rank"] for place in one["places"]] == places
        assert one["mean_rank"] == sum(places) / 2
        for place in one["places"]:
            low, high = place["ranks"]
            assert 1 <= low <= place["rank"] <= high <= 3
    means = [one["mean_rank"] for one in found["arms"]]
    assert len(means) == 3 and means == sorted(means)
    assert json.loads(shell("suite", "both.yaml", "--json").out) == found
    text = shell("suite", "both.yaml").out
    assert "second: rouge_l ↑" in text and "mean rank" in text and "#3" in text


def test_names_and_kinds(project: Path) -> None:
    assert is_suite(Path("both.yaml")) and not is_suite(Path("toys.yaml"))
    assert suite_names(Path("both.yaml")) == ["both.task", "both.second"]
    assert [one.task.name for one in load_suite(Path("both.yaml"))] == ["echo", "other"]


def test_check_lists_the_experiments_of_a_suite(shell: Shell) -> None:
    assert "suite: both.task on task echo; both.second on task other" in shell("check", "both.yaml").out


def edited(project: Path, old: str, new: str) -> Path:
    text = (project / "both.yaml").read_text()
    assert old in text
    (project / "both.yaml").write_text(text.replace(old, new))
    return Path("both.yaml")


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("[{task: task}, {task: task}]", r"both\.yaml:2: suite\[1\]: two items are called 'both\.task'"),
        ("[{name: x}]", r"both\.yaml:2: suite\[0\].*give a task, a base_model, or both"),
        ("[{task: task, arms: []}]", r"both\.yaml:2: suite\[0\]\.arms"),
        ("[task]", r"both\.yaml:2: suite\[0\]: must be a mapping"),
        ("[]", r"both\.yaml:2: suite: must be a list"),
        ("[{task: tusk}]", r"both\.yaml:2: task: no such task: tusk"),
    ],
)
def test_what_is_wrong_in_a_suite_is_one_line(project: Path, new: str, message: str) -> None:
    path = edited(project, "[{task: task}, {task: other, name: second}]", new)
    with pytest.raises(SpecError, match=message) as caught:
        load_suite(path)
    assert "\n" not in str(caught.value)


def test_a_suite_where_one_experiment_is_wanted(shell: Shell) -> None:
    answer = shell("suite", "both.yaml")
    assert answer.code == 2 and "holds no results yet" in answer.err
    shell("run", "toys.yaml")
    missing = shell("suite", "both.yaml")
    assert missing.code == 2 and "no experiment named 'both.task'" in missing.err
    plain: Any = shell("suite", "toys.yaml")
    assert plain.code == 2 and "is no suite" in plain.err


def test_a_suite_is_planned_as_a_whole(shell: Shell) -> None:
    plans = json.loads(shell("plan", "both.yaml", "--json").out)["plans"]
    assert [one["experiment"] for one in plans] == ["both.task", "both.second"]
    assert all(one["runs"] == 3 and one["finished"] == 0 for one in plans)
    assert shell("plan", "both.yaml").out.splitlines()[-1] == "All 2 experiments: the time of 2 is not known."
    shell("run", "both.yaml")
    done = shell("plan", "both.yaml").out
    assert done.count("Nothing is left to run.") == 2
    assert done.splitlines()[-1] == "All 2 experiments, one after the other: about 0.0 s."
