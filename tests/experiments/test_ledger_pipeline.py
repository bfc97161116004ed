"""What the ledger says of attempts that failed, and a price that comes later; with toy arms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

from harness.arms import toy
from harness.arms.training import checkpoints
from harness.errors import ArmFailed, OutOfMemory
from harness.experiments.evaluation import evaluate
from harness.experiments.running import worker
from harness.records import Ledger, RunEvent


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def ledger(shell: Shell) -> dict[str, Any]:
    answer = shell("ledger", "--json")
    assert answer.code == 0, answer.err
    return dict(json.loads(answer.out))


def test_a_price_may_come_later_and_nothing_runs_again(shell: Shell, project: Path) -> None:
    assert shell("run", "toys.yaml").code == 0
    assert {row["cost"]["money"] for row in ledger(shell)["rows"]} == {None}
    file = project / "toys.yaml"
    file.write_text(file.read_text() + "resources: {price_per_device_hour: 36.0}\n")
    assert "nothing to train" in shell("run", "toys.yaml").err
    found = ledger(shell)
    assert found["price_per_device_hour"] == 36.0
    for row in found["rows"]:
        assert row["cost"]["money"] == pytest.approx(row["cost"]["total_seconds"] / 100)
    assert "cost at 36 an hour" in shell("ledger").out
    records = [json.loads(path.read_text()) for path in project.glob(".harness/experiments/*/record.json")]
    assert len(records) == 1 and records[0]["spec"]["resources"]["price_per_device_hour"] == 36.0


def test_a_negative_price_is_refused(shell: Shell, project: Path) -> None:
    file = project / "toys.yaml"
    file.write_text(file.read_text() + "resources: {price_per_device_hour: -1}\n")
    answer = shell("run", "toys.yaml")
    assert answer.code == 2 and "resources.price_per_device_hour" in answer.err and "toys.yaml:" in answer.err


def test_what_a_failed_attempt_took_is_lost_less_what_its_checkpoint_keeps(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = RunEvent(3, "out_of_memory", "memory ran out at step 3", 1.0)
    real = toy.train
    tries: list[str] = []

    def train(plan: Any, data: Any, progress: Any) -> Any:
        if plan.arm_name != "weak" or len(tries) == 1:
            return real(plan, data, progress)
        tries.append(plan.train_id)
        position = json.dumps({"train_seconds": 40.0, "validation_seconds": 2.0, "lost_seconds": 0.5})
        checkpoints.save(
            plan.run_folder / "checkpoints", 2, {"position.json": lambda path: path.write_text(position) and None}
        )
        spent = Ledger(examples=24, train_seconds=60.0, validation_seconds=2.0, lost_seconds=1.5, events=(event,))
        raise OutOfMemory("training ran out of memory", ledger=spent)

    monkeypatch.setattr(toy, "train", train)
    assert shell("run", "toys.yaml").code == 6
    run = worker.read_run(project / ".harness" / "runs" / tries[0])
    assert run is not None and run.status == "oom"
    assert run.ledger.examples == 24 and run.ledger.events == (event,) and run.ledger.train_seconds == 60.0
    assert "weak: out of memory: memory ran out at step 3" in shell("ledger").out
    assert shell("run", "toys.yaml").code == 0
    again = worker.read_run(project / ".harness" / "runs" / tries[0])
    assert again is not None and (again.status, again.attempt) == ("ok", 2)
    assert again.ledger.lost_seconds == pytest.approx(63.5 - 42.5 + run.ledger.prepare_seconds, abs=1e-6)
    runs = [(row["arm"], row["attempt"], row["status"]) for row in ledger(shell)["runs"]]
    assert runs == [("weak", 1, "oom"), ("weak", 2, "ok"), ("strong", 1, "ok")]


def test_a_scoring_that_failed_leaves_its_seconds_to_the_next(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    real = evaluate.evaluate

    def fail(plan: Any, artefact: Any, progress: Any) -> Any:
        time.sleep(0.05)
        raise ArmFailed("the server went away")

    monkeypatch.setattr(evaluate, "evaluate", fail)
    assert shell("run", "toys.yaml").code == 6
    monkeypatch.setattr(evaluate, "evaluate", real)
    assert shell("run", "toys.yaml").code == 0
    found = ledger(shell)
    assert all(row["cost"]["lost_seconds"] >= 0.05 for row in found["rows"])
    assert {(run["attempt"], run["status"]) for run in found["runs"]} == {(1, "ok")}, "training stayed good"
