"""Processes are kept from round to round of a run: begun once, replaced when they die, gone when the run ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from shell_calls import Shell

from harness.data.prepare import prepare
from harness.experiments import pipeline
from harness.experiments.running import plans as run_plans
from harness.experiments.running.executors import processes
from harness.progress import Reporter
from harness.records import RunPlan

RACE = """
task: task
base_model: none
arms:
  - {method: toy, name: still, skill: 0.2}
  - {method: toy, name: good, skill: 0.95, learning_rate: 1.0e-2, best_rate: 1.0e-2}
  - {method: toy, name: near, skill: 0.9, learning_rate: 1.0e-2, best_rate: 1.1e-2, seconds: SECONDS}
seeds: [0]
budget: {examples: 40}
racing: {least: 2}
resources: {executor: processes, workers: 2}
reference: still
"""
TUNED = "tuning: {trials: 2, learning_rate: {low: 1.0e-3, high: 1.0e-1, log: true}}\n"


@pytest.fixture
def toys(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunPlan]:
    """Six quick toy arms, prepared, and one that takes minutes."""
    monkeypatch.chdir(project)
    rows = [f"  - {{method: toy, name: t{number}, skill: 0.{number}}}\n" for number in range(1, 7)]
    rows.append("  - {method: toy, name: slow, skill: 0.7, seconds: 300}\n")
    text = (project / "toys.yaml").read_text()
    head, tail = text.split("arms:\n")[0], text[text.index("seeds:") :].replace("weak", "t1")
    (project / "toys.yaml").write_text(f"{head}arms:\n{''.join(rows)}{tail}")
    experiment = pipeline.load(Path("toys.yaml"))
    home = project / ".harness"
    return run_plans.plan_runs(experiment, prepare(experiment, home), home)


@contextmanager
def crew(workers: int = 2) -> Iterator[processes.Crew]:
    with Reporter(io.StringIO()) as reporter:
        made = processes.Crew(reporter, workers)
        try:
            yield made
        finally:
            made.close()


def statuses(made: processes.Crew, plans: list[RunPlan]) -> set[str]:
    return {outcome.run.status for outcome in made.execute(plans)}


def pids(made: processes.Crew) -> set[int]:
    return {pid for worker in made._idle for pid in worker.pids}


def gone(which: set[int]) -> bool:
    _, left = psutil.wait_procs([psutil.Process(pid) for pid in which if psutil.pid_exists(pid)], timeout=60)
    return not left


def test_rounds_share_their_processes_and_all_leave_at_the_end(toys: list[RunPlan]) -> None:
    with crew() as made:
        assert statuses(made, toys[:2]) == {"ok"}
        first = pids(made)
        assert len(first) == 2
        assert statuses(made, toys[2:4]) == {"ok"} and pids(made) == first
        assert list(made.execute([])) == [] and pids(made) == first
    assert gone(first)


def test_an_idle_process_that_died_is_replaced_and_breaks_no_plan(toys: list[RunPlan]) -> None:
    with crew() as made:
        statuses(made, toys[:2])
        for pid in (before := pids(made)):
            os.kill(pid, signal.SIGKILL)
        assert gone(before)
        assert statuses(made, toys[2:4]) == {"ok"}
        assert len(pids(made)) == 2 and not pids(made) & before


def test_a_process_that_dies_at_work_breaks_its_plan_only(toys: list[RunPlan]) -> None:
    slow, found = toys[-1], {}
    with crew() as made:
        rounds = made.execute([slow, *toys[:3]])
        for outcome in rounds:
            found[outcome.run.arm] = outcome.run.status
            if len(found) == 3:
                ((_, worker),) = made._running.values()
                os.kill(worker.pids[0], signal.SIGKILL)
        assert found == {"t1": "ok", "t2": "ok", "t3": "ok", "slow": "failed"}
        assert statuses(made, toys[3:5]) == {"ok"}


def test_an_error_in_the_middle_of_a_round_ends_every_process(toys: list[RunPlan]) -> None:
    seen: set[int] = set()
    with pytest.raises(RuntimeError, match="as it comes"), crew() as made:
        for _ in made.execute([toys[-1], toys[0]]):
            seen = pids(made) | {pid for _, worker in made._running.values() for pid in worker.pids}
            raise RuntimeError("as it comes")
    assert len(seen) == 2 and gone(seen)


def test_a_refusal_before_the_first_plan_ends_those_that_were_begun(toys: list[RunPlan]) -> None:
    def refuse() -> None:
        raise ValueError("not like this")

    with crew() as made:
        with pytest.raises(ValueError, match="not like this"):
            list(made.execute(toys[:2], refuse))
        assert made._idle == []
        assert statuses(made, toys[:2]) == {"ok"}


@pytest.mark.real
def test_trials_looks_and_finals_of_a_run_share_two_processes(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    begun: list[int] = []
    own = processes.Crew._begun

    def count(made: processes.Crew, slot: int) -> processes._Worker:
        begun.append(slot)
        return own(made, slot)

    monkeypatch.setattr(processes.Crew, "_begun", count)
    for name, text in {"raced": RACE, "tuned": RACE.replace("racing: {least: 2}\n", TUNED)}.items():
        (project / f"{name}.yaml").write_text(text.replace("SECONDS", "0"))
        begun.clear()
        answer = shell("run", f"{name}.yaml", "--home", name)
        assert answer.code == 0, answer.err
        assert begun == [0, 1]


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_of_a_race_that_is_ended(project: Path, told: signal.Signals) -> None:
    (project / "raced.yaml").write_text(RACE.replace("SECONDS", "60"))
    command = [sys.executable, "-m", "harness", "run", "raced.yaml"]
    driver = subprocess.Popen(command, cwd=project, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    # One arm has been looked at, so that its process is idle, while the other trains.
    while not list(project.glob(".harness/runs/*/rungs/*/run.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    children = psutil.Process(driver.pid).children(recursive=True)
    assert len(children) >= 2
    driver.send_signal(told)
    assert driver.wait(timeout=120) == (130 if told == signal.SIGINT else -signal.SIGKILL)
    _, left = psutil.wait_procs(children, timeout=60)
    for process in left:
        process.kill()
    assert left == []
