"""Workers forked from one process that has imported the libraries: real arms, real signals, nothing left behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest
from shell_calls import Shell

SHORT = "allow_unreachable: short answers are enough here\n"

ROOT = Path(__file__).parents[2]
EXPERIMENT = f"""
task: task
base_model: {ROOT / "baselines" / "base"}
arms: [untrained, lora]
budget: {{examples: 4000}}
resources: {{executor: processes, workers: 2, device: cpu}}
"""
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small copy of visit_notes and an experiment of which lora takes minutes."""
    shutil.copytree(ROOT / "tasks" / "visit_notes", tmp_path / "task")
    task = tmp_path / "task" / "task.yaml"
    text = SHORT + task.read_text().replace("visits: 1000", "visits: 40").replace(
        "max_new_tokens: 150", "max_new_tokens: 4"
    )
    task.write_text(text[: text.index("lm_eval:")])
    (tmp_path / "run.yaml").write_text(EXPERIMENT)
    return tmp_path


@pytest.fixture
def driver(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`harness run` on it, as a process."""
    command = [sys.executable, "-m", "harness", "run", "run.yaml"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def family(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(driver.pid).children(recursive=True)


def wait_until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happens():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def beats(folder: Path) -> bool:
    """Whether a training is under way."""
    return bool(list(folder.glob(".harness/runs/*/train_log.jsonl")))


def trainers(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    """Processes that were forked."""
    server = next(one for one in family(driver) if any("forkserver" in word for word in one.cmdline()))
    return server.children()


def test_a_killed_driver_takes_workers_and_their_source_with_it(folder: Path, driver: subprocess.Popen[str]) -> None:
    wait_until(lambda: beats(folder))
    there = family(driver)
    assert trainers(driver)
    driver.kill()
    _, left = psutil.wait_procs(there, timeout=60)
    assert left == []


def test_a_killed_worker_breaks_its_own_arm_alone(folder: Path, driver: subprocess.Popen[str]) -> None:
    wait_until(lambda: beats(folder))
    wait_until(lambda: bool(list(folder.glob(".harness/evals/*/evaluation.json"))))  # untrained is done
    busiest = max(trainers(driver), key=lambda one: sum(one.cpu_times()[:2]))
    busiest.kill()
    _, said = driver.communicate(timeout=120)
    if driver.returncode == 0:
        pytest.fail(said)
    assert driver.returncode == 6
    assert "untrained ok" in said and "its process was killed" in said


def test_a_run_that_is_refused_leaves_nothing_that_imports(
    folder: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    begin = forkserver.ensure_running

    def noted() -> None:
        begin()
        begun.append(forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]

    monkeypatch.setattr(forkserver, "ensure_running", noted)
    monkeypatch.chdir(folder)
    (folder / "task" / "build.py").write_text("def build(options):\n    raise ValueError('no such visits')\n")
    answer = shell("run", "run.yaml")
    assert answer.code == 2 and "no such visits" in answer.err
    assert len(begun) == 1 and not psutil.pid_exists(begun[0])
