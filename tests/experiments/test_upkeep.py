"""Sizes, garbage and deletion: two experiments that share runs, a kill in the middle, a run that goes on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

import harness as h
from harness.experiments import upkeep
from harness.results import queries
from harness.store import Store, deletion

TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.5, validation: 0.1}
metrics: {primary: exact_match}
"""
EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: weak, skill: 0.2}
  - {method: toy, name: shared, skill: 0.9}
  - {method: toy, name: ARM, skill: SKILL}
budget: {examples: 10}
reference: weak
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Experiments `first` and `second`, which share two of their three runs."""
    folder = tmp_path_factory.mktemp("upkeep")
    (folder / "task").mkdir()
    (folder / "none").mkdir()
    rows = [{"id": f"e{n}", "words": f"{n * 7919} {n * 104729}"} for n in range(1, 61)]
    (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task" / "task.yaml").write_text(TASK)
    for name, skill in (("first", 0.5), ("second", 0.6)):
        text = EXPERIMENT.replace("ARM", f"only-{name}").replace("SKILL", str(skill))
        (folder / f"{name}.yaml").write_text(text)
        h.run(folder / f"{name}.yaml", home=folder / ".harness", progress=False)
    return folder


@pytest.fixture
def home(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a copy that may be changed; its parent is the working directory."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy" / ".harness"


def board_of(name: str) -> dict[str, Any]:
    """The leaderboard without its counts of looks, and without the order in which a rebuilt store lists arms."""
    told = h.leaderboard(name).to_dict()
    return {key: value for key, value in told.items() if key not in ("looks", "environments")}


def names() -> list[str]:
    return [record.name for record in queries.open_store(Path(".harness")).experiments()]


def run_folders(home: Path) -> set[str]:
    return {path.name for path in (home / "runs").iterdir()}


def test_a_deleted_experiment_is_gone_and_the_other_is_as_it_was(home: Path, shell: Shell) -> None:
    before, looks = board_of("second"), h.leaderboard("second").to_dict()["looks"]
    store = queries.open_store(home)
    [mine] = [entry for entry in store.entries(store.experiment("first").experiment_id) if entry.arm == "only-first"]
    tried = shell("store", "delete", "first", "--dry-run")
    assert tried.code == 0 and "1 runs and 1 evaluations" in tried.out and names() == ["first", "second"]
    assert shell("store", "delete", "first").code == 0
    assert names() == ["second"] and board_of("second") == before
    assert h.leaderboard("second").to_dict()["looks"] == looks
    assert mine.train_id not in run_folders(home) and len(run_folders(home)) == 3
    assert not store.runs([mine.train_id]) and not store.predictions([str(mine.eval_id)])
    assert not store.scores([str(mine.eval_id)]) and not store.has_evaluation(str(mine.eval_id))
    gone = shell("leaderboard", "first")
    assert gone.code == 2 and gone.err.count("\n") == 1


def test_a_rebuild_does_not_bring_it_back_and_keeps_its_looks(home: Path, shell: Shell) -> None:
    assert shell("store", "delete", "first").code == 0
    before, looks = board_of("second"), h.leaderboard("second").to_dict()["looks"]
    assert shell("store", "rebuild").out == "nothing was missing\n"
    for path in home.glob("harness.duckdb*"):
        path.unlink()
    shutil.rmtree(home / "boards")
    assert shell("store", "rebuild").code == 0
    assert names() == ["second"] and board_of("second") == before
    assert h.leaderboard("second").to_dict()["looks"] == looks


def test_the_same_experiment_can_run_again(home: Path, shell: Shell) -> None:
    before = board_of("first")
    assert shell("store", "delete", "first").code == 0
    h.run("first.yaml", progress=False)
    after = board_of("first")
    assert names() == ["second", "first"]
    values = [
        {row["arm"]: row["metrics"]["exact_match"]["estimate"] for row in board["rows"]} for board in (before, after)
    ]
    assert values[0] == values[1]
    assert shell("store", "rebuild").code == 0 and names() == ["second", "first"]


@pytest.mark.parametrize("step", ["record", "_remove_experiment", "rmtree", "remove"])
@pytest.mark.parametrize("way_on", ["delete", "rebuild", "fresh rebuild", "run"])
def test_a_deletion_that_was_killed_is_finished(
    home: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, step: str, way_on: str
) -> None:
    class Killed(BaseException):
        """As a signal that nothing catches."""

    before = board_of("second")
    owner: Any = {"record": deletion, "remove": deletion, "rmtree": shutil}.get(step, upkeep)
    with monkeypatch.context() as patch:
        real = getattr(owner, step)

        def die(*words: Any, **options: Any) -> None:
            if step == "record":
                real(*words, **options)
            raise Killed

        patch.setattr(owner, step, die)
        with pytest.raises(Killed):
            upkeep.delete(home, "first")
    if way_on == "delete":
        assert shell("store", "delete", "nothing").code == 2
    elif way_on == "run":
        h.run("second.yaml", progress=False)
    else:
        if way_on == "fresh rebuild":
            for path in home.glob("harness.duckdb*"):
                path.unlink()
        assert shell("store", "rebuild").code == 0
    assert names() == ["second"] and board_of("second") == before
    assert len(run_folders(home)) == 3 and not list((home / "deleting").glob("*"))
    assert shell("store", "rebuild").out == "nothing was missing\n"


def test_an_experiment_that_runs_is_not_deleted(home: Path, shell: Shell) -> None:
    import filelock

    store = queries.open_store(home)
    record = store.experiment("first")
    [mine] = [entry for entry in store.entries(record.experiment_id) if entry.arm == "only-first"]
    live = home / "live" / f"{record.experiment_id}.json"
    live.parent.mkdir(exist_ok=True)
    live.write_text(json.dumps({"pid": os.getpid(), "started": 0.0, "updated": 0.0, "arms": []}))
    for command in (["delete", "first"], ["gc", "--yes"]):
        refused = shell("store", *command)
        assert refused.code == 2 and "running" in refused.err and refused.err.count("\n") == 1
    live.unlink()
    with filelock.FileLock(home / "runs" / mine.train_id / "claim.lock"):
        refused = shell("store", "delete", "first")
        assert refused.code == 2 and "first is running" in refused.err
    assert names() == ["first", "second"]


def test_a_pinned_run_is_deleted_with_a_reason_alone(home: Path, shell: Shell) -> None:
    pin = ("release", "first/only-first", "--as", "base-1", "--in", "released", "--anyway", "a test")
    assert shell(*pin).code == 0
    refused = shell("store", "delete", "first", "--in", "released")
    assert refused.code == 2 and "base-1" in refused.err and refused.err.count("\n") == 1 and "first" in names()
    assert shell("store", "delete", "first", "--in", "released", "--anyway", "a better one is pinned").code == 0
    [kept] = (home / "deletions").glob("*.json")
    assert json.loads(kept.read_text())["why"] == "a better one is pinned"
    assert names() == ["second"]


def test_verdicts_of_gates_and_votes_stay(home: Path, shell: Shell) -> None:
    pin = ("release", "second/weak", "--as", "weak-1", "--in", "released", "--anyway", "a test")
    assert shell(*pin).code == 0
    Path("gates.yaml").write_text("baseline: released/weak-1\nrules:\n  - {metric: exact_match, margin: 0.1}\n")
    assert h.gate("gates.yaml", "first/only-first", progress=False).outcome == "PASS"
    opened = shell("review", "open", "first.yaml", "--arms", "only-first,weak", "--items", "4", "--raters", "1")
    assert opened.code == 0, opened.err
    store = queries.open_store(home)
    kept = ("gates", "looks", "rounds", "assignments", "review_texts")
    before = {table: store.counts()[table] for table in kept}
    assert all(before.values())
    assert shell("store", "delete", "first").code == 0
    assert {table: store.counts()[table] for table in kept} == before
    assert h.gate("gates.yaml", "second/only-second", progress=False).outcome == "PASS"


def test_garbage_is_listed_and_removed_only_when_asked(home: Path, shell: Shell) -> None:
    store = queries.open_store(home)
    [mine] = [e for e in store.entries(store.experiment("second").experiment_id) if e.arm == "only-second"]
    points = home / "runs" / mine.train_id / "checkpoints" / "step-3"
    points.mkdir(parents=True)
    (points / "weights.bin").write_bytes(b"x" * 2_000_000)
    orphan = home / "runs" / "0123456789abcdef" / "artefact"
    orphan.mkdir(parents=True)
    (orphan / "weights.bin").write_bytes(b"x" * 1_000_000)
    before = board_of("second")
    told = json.loads(shell("store", "gc", "--json").out)
    assert [row["bytes"] for row in told["garbage"]] in ([2_000_000, 1_000_000], [1_000_000, 2_000_000])
    assert not told["removed"] and points.exists() and orphan.exists()
    sizes = json.loads(shell("store", "du", "--json").out)
    assert sizes["kinds"]["checkpoints"] == 2_000_000
    assert {row["train_id"] for row in sizes["interrupted_or_old"]} == {mine.train_id, "0123456789abcdef"}
    assert "3.0 MB" in shell("store", "gc", "--yes").out
    assert not points.exists() and not orphan.exists() and board_of("second") == before
    assert shell("store", "gc").out == "nothing to let go of\n"


def test_sizes_add_up(home: Path, shell: Shell) -> None:
    told = upkeep.sizes(home)
    assert (
        sum(told["kinds"].values())
        == told["bytes"]
        == sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    )
    rows = {row["name"]: row for row in told["experiments"]}
    assert rows["first"]["shared"] == rows["second"]["shared"] > 0
    assert rows["first"]["bytes"] > rows["first"]["shared"] and not told["interrupted_or_old"]
    assert "second" in shell("store", "du").out and set(told["kinds"]) > {"artefacts", "database", "sealed"}


def test_an_older_store_gets_the_table(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.duckdb")
    assert store.experiments() == [] and store.experiments_on("x") == set()
