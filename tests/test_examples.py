"""The examples run as they stand: the notebook, the folder of own data, and the gate as a pipeline would run it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder like the repository with a copy of `examples`, as the tests may leave nothing behind."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns(".harness", "released"))
    return tmp_path


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command that finds this harness as `harness`."""
    (folder / "bin").mkdir()
    entry = folder / "bin" / "harness"
    entry.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness "$@"\n')
    entry.chmod(0o755)
    environment = os.environ | {"PATH": f"{entry.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_own_data(copied: Path) -> None:
    [command] = [
        line.strip()
        for line in (copied / "examples" / "own_data" / "README.md").read_text().splitlines()
        if line.startswith("    harness ")
    ]
    answer = run([*shlex.split(command), "--home", ".harness"], copied)
    assert answer.returncode == 0, answer.stderr
    assert all(f"\n{arm}" in answer.stdout for arm in ("untrained", "few_shot", "lora"))
    assert "37 train, 3 validation, 20 test" in answer.stdout


def test_the_gate_lets_one_candidate_pass_and_stops_the_other(copied: Path) -> None:
    answer = run(["bash", "examples/gate_in_ci/run_locally.sh"], copied)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    outcomes = [line for line in answer.stdout.splitlines() if line in ("PASS", "FAIL", "INCONCLUSIVE", "INVALID")]
    assert outcomes == ["PASS", "FAIL"]
    assert (copied / "examples" / "gate_in_ci" / "gate.xml").exists()


def test_the_workflow_runs_what_the_script_runs() -> None:
    folder = ROOT / "examples" / "gate_in_ci"
    flow: dict[Any, Any] = yaml.safe_load((folder / ".github" / "workflows" / "gate.yml").read_text())
    steps = [step["run"] for step in flow["jobs"]["gate"]["steps"] if "run" in step]
    script = (folder / "run_locally.sh").read_text()
    for command in (step for step in steps if step.startswith("harness ")):
        assert command.replace('"$CANDIDATE"', "orders/candidate") in script
    assert not any("${{" in step for step in steps), "an input in a command line could be a command"


def test_the_notebook_shows_a_leaderboard_and_a_plot(copied: Path) -> None:
    import nbclient
    import nbformat

    file = copied / "examples" / "notebook.ipynb"
    book = nbformat.read(file, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in book.cells), "commit it stripped"
    client = nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(file.parent)}})
    client.execute(env=os.environ | {"PYTHONPATH": str(ROOT)})
    shown = [output.data for cell in book.cells for output in cell.get("outputs", ()) if "data" in output]
    tables = [data["text/html"] for data in shown if "text/html" in data]
    assert any("exact_match ↑ [95 %]" in table and "<td>candidate</td>" in table for table in tables)
    assert any("image/png" in data for data in shown)
