"""The whole way, from an experiment file to a leaderboard, with toy arms and a real database."""

from __future__ import annotations

import json
import os
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
from harness.experiments.evaluation.evaluate import read_suite
from harness.experiments.running import ingest, plans, worker
from harness.records import SealedAccess, from_json
from harness.records.files import read_json
from harness.results import queries


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def board(shell: Shell) -> dict[str, Any]:
    answer = shell("leaderboard", "--json")
    assert answer.code == 0, answer.err
    return dict(json.loads(answer.out))


def edit(project: Path, old: str, new: str, name: str = "toys.yaml") -> None:
    text = (project / name).read_text()
    assert old in text
    (project / name).write_text(text.replace(old, new))


def test_run_ranks_the_better_arm_first(shell: Shell) -> None:
    answer = shell("run", "toys.yaml")
    assert answer.code == 0, answer.err
    assert [row["arm"] for row in board(shell)["rows"]] == ["strong", "weak"]


def test_second_run_repeats_nothing_and_says_the_same(shell: Shell, project: Path) -> None:
    first = shell("run", "toys.yaml", "--json")
    stamps = {path: path.stat().st_mtime_ns for path in (project / ".harness" / "runs").glob("*/run.json")}
    second = shell("run", "toys.yaml", "--json")
    assert second.code == 0
    assert "nothing to train" in second.err
    assert json.loads(first.out) == json.loads(second.out)
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert len(stamps) == 2


def test_failed_arm_is_kept_and_the_others_go_on(shell: Shell, project: Path) -> None:
    edit(project, "arms:\n", "arms:\n  - {method: toy, name: broken, fail: diverged}\n")
    answer = shell("run", "toys.yaml")
    assert answer.code == 6
    rows = {row["arm"]: row for row in board(shell)["rows"]}
    assert rows["broken"]["status"] == "diverged"
    assert rows["strong"]["status"] == "ok"
    assert "told to diverge" in answer.out


@pytest.mark.parametrize("how", ["error", "oom", "cancelled"])
def test_failures_are_told_apart_and_tried_again(shell: Shell, project: Path, how: str) -> None:
    edit(project, "arms:\n", f"arms:\n  - {{method: toy, name: broken, fail: {how}}}\n")
    assert shell("run", "toys.yaml").code == 6
    assert shell("run", "toys.yaml").code == 6
    with_record = [worker.read_run(path.parent) for path in (project / ".harness" / "runs").glob("*/run-2.json")]
    assert [record.status for record in with_record if record] == [how if how != "error" else "failed"]


def test_diverged_arm_is_final_until_asked(shell: Shell, project: Path) -> None:
    edit(project, "arms:\n", "arms:\n  - {method: toy, name: broken, fail: diverged}\n")
    shell("run", "toys.yaml")
    shell("run", "toys.yaml")
    runs = project / ".harness" / "runs"
    assert not list(runs.glob("*/run-2.json"))
    shell("run", "toys.yaml", "--retry")
    assert len(list(runs.glob("*/run-2.json"))) == 1


def test_processes_give_the_same_bits_as_inline(shell: Shell, project: Path) -> None:
    assert shell("run", "toys.yaml").code == 0
    edit(project, "seeds:", "resources: {executor: processes, workers: 2}\nseeds:")
    assert shell("run", "toys.yaml", "--home", "other").code == 0
    for name in ("predictions.jsonl", "likelihoods.jsonl", "scores.jsonl"):
        ours = {path.parent.name: scored(path) for path in project.glob(f".harness/evals/*/{name}")}
        theirs = {path.parent.name: scored(path) for path in project.glob(f"other/evals/*/{name}")}
        assert ours == theirs
        assert len(ours) == 2


def scored(path: Path) -> list[dict[str, Any]]:
    """Records of a file without the seconds that they took."""
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in path.read_text().splitlines()]


def test_metric_is_added_later_without_a_model(shell: Shell) -> None:
    shell("run", "toys.yaml")
    answer = shell("score", "--metric", "chrf")
    assert answer.code == 0, answer.err
    assert "strong: 18 scores added" in answer.out
    again = shell("score", "--metric", "chrf")
    assert "strong: 0 scores added" in again.out


def test_metric_added_to_the_task_needs_no_new_training(shell: Shell, project: Path) -> None:
    shell("run", "toys.yaml")
    edit(project, "also: [", "also: [rouge_1, ", "task/task.yaml")
    answer = shell("run", "toys.yaml", "--json")
    assert "nothing to train" in answer.err
    rows = {row["arm"]: row for row in json.loads(answer.out)["rows"]}
    assert rows["strong"]["metrics"]["rouge_1"]["estimate"]["value"] > 0.5


def test_store_is_rebuilt_from_run_folders(shell: Shell, project: Path) -> None:
    shell("run", "toys.yaml")
    before = board(shell)
    (project / ".harness" / "harness.duckdb").unlink()
    answer = shell("store", "rebuild")
    assert answer.code == 0 and "36 predictions" in answer.out
    after = board(shell)
    assert [row["metrics"] for row in after["rows"]] == [row["metrics"] for row in before["rows"]]
    assert shell("store", "rebuild").out.strip() == "nothing was missing"


def test_looks_are_counted_once_for_each_scoring(shell: Shell, project: Path) -> None:
    shell("run", "toys.yaml")
    shell("run", "toys.yaml")
    store = queries.open_store(project / ".harness")
    assert [look.why for look in store.looks()] == ["harness run"] * 2
    shell("score", "--metric", "chrf")
    assert len(store.looks()) == 4


def test_the_same_look_twice_within_a_second_is_two(shell: Shell, project: Path) -> None:
    shell("run", "toys.yaml")
    home = project / ".harness"
    store = queries.open_store(home)
    record = queries.find(store, "toys")
    entry = store.entries(record.experiment_id)[0]
    ingest.keep_looks(home, [ingest.look(record, entry, "again"), ingest.look(record, entry, "again")])
    kept = [from_json(SealedAccess, read_json(path)) for path in home.glob("experiments/*/looks/*.json")]
    assert [look.why for look in kept].count("again") == 2


def test_keep_none_prunes_artefacts_and_a_rerun_still_repeats_nothing(shell: Shell, project: Path) -> None:
    edit(project, "seeds:", "keep: none\nseeds:")
    assert shell("run", "toys.yaml").code == 0
    assert not list((project / ".harness" / "runs").glob("*/artefact"))
    assert "nothing to train" in shell("run", "toys.yaml").err


def test_compare_shows_where_two_arms_differ(shell: Shell) -> None:
    shell("run", "toys.yaml")
    answer = shell("compare", "strong", "weak")
    assert answer.code == 0
    assert "strong minus weak" in answer.out and "reference:" in answer.out
    found = json.loads(shell("compare", "strong", "weak", "--json").out)
    assert found["schema"] == "harness.compare/1"


def test_trainer_cannot_reach_the_test_split(project: Path) -> None:
    experiment = pipeline.load(Path("toys.yaml"))
    prepared = prepare(experiment, project / "home")
    plan = plans.plan_runs(experiment, prepared, project / "home")[0]
    handed = worker.without_test(plan)
    with pytest.raises(UsageError, match="sealed"):
        read_suite(handed)
    test_ids = set(prepared.splits.test)
    for path in prepared.files.folder.glob("*.jsonl"):
        assert not test_ids & {json.loads(line).get("id") for line in path.read_text().splitlines()}


def test_moved_project_repeats_nothing(shell: Shell, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    shell("run", "toys.yaml")
    elsewhere = tmp_path_factory.mktemp("moved") / "there"
    project.rename(elsewhere)
    os.chdir(elsewhere)
    answer = shell("run", "toys.yaml")
    assert answer.code == 0 and "nothing to train" in answer.err


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop_signal_keeps_what_is_finished(project: Path, sign: signal.Signals) -> None:
    edit(project, "seeds:", "  - {method: toy, name: slow, seconds: 60}\nseeds:")
    command = [sys.executable, "-m", "harness", "run", "toys.yaml"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list((project / ".harness" / "runs").glob("*/plan.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1].startswith("harness: ")
    store = queries.open_store(project / ".harness")
    entries = store.entries(store.experiments()[-1].experiment_id)
    assert {entry.arm for entry in entries if entry.status == "ok"} == {"weak", "strong"}
