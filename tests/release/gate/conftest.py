"""A finished toy experiment whose strong arm is pinned, and a shell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from growing_split import write_test_split
from shell_calls import Shell

TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
group: group
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.5, validation: 0.1}
generate: {max_new_tokens: 60}
metrics: {primary: exact_match, also: [bleu]}
"""
EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: weak, skill: 0.2}
  - {method: toy, name: strong, skill: 0.9}
  - {method: toy, name: better, skill: 0.97}
  - {method: toy, name: like, skill: 0.86}
seeds: [0]
budget: {examples: 10}
reference: weak
"""
GATES = """
baseline: released/strong-1
rules:
  - {metric: exact_match, margin: 0.15}
  - {metric: exact_match, floor: 0.5, name: good enough}
  - {metric: bleu, margin: 30, tier: supporting}
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished experiment `toys`, the release `strong-1` and `gates.yaml`; not to be changed."""
    from harness.cli import main

    folder = tmp_path_factory.mktemp("gates")
    (folder / "task").mkdir()
    (folder / "none").mkdir()
    rows = [
        {"id": f"secret-{n}", "group": f"ward-{n // 2}", "words": f"{n * 7919} {n * 104729}"} for n in range(1, 241)
    ]
    (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task" / "task.yaml").write_text(TASK)
    (folder / "toys.yaml").write_text(EXPERIMENT)
    (folder / "gates.yaml").write_text(GATES)
    home = ["--home", str(folder / ".harness")]
    assert main.call(["run", str(folder / "toys.yaml"), *home]) == 0
    pin = ["release", "toys/strong", "--as", "strong-1", "--in", str(folder / "released"), "--anyway", "a test"]
    assert main.call([*pin, *home]) == 0
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that may be changed, as the working directory."""
    shutil.copytree(finished, tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    return tmp_path / "p"


__all__ = ["Shell"]

SPLIT_FILES = (
    TASK.replace("data: {path: rows.jsonl, licence: CC0-1.0}", "data: {files: FILES, licence: CC0-1.0}")
    .replace("FILES", "{train: train.jsonl, validation: validation.jsonl, test: test.jsonl}")
    .replace("splits: {test: 0.5, validation: 0.1}\n", "")
)
"""The same task with a test split that may grow while the train split stays as it is."""


@pytest.fixture
def growing(project: Path, shell: Shell) -> Path:
    """The project over a task whose test split can be made larger: 80 examples, scored and pinned."""
    (project / "task" / "task.yaml").write_text(SPLIT_FILES)
    for split, first, count in (("train", 1000, 40), ("validation", 2000, 10)):
        rows = [
            {"id": f"{n}", "group": f"{n}", "words": f"{n * 7919} {n * 104729}"} for n in range(first, first + count)
        ]
        (project / "task" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_test_split(project, 80)
    assert shell("run", "toys.yaml").code == 0
    assert shell("release", "toys/strong", "--as", "strong-80", "--in", "released", "--anyway", "a test").code == 0
    gates = "baseline: released/strong-80\nlooks: 2\nrules:\n  - {metric: exact_match, margin: 0.2}\n"
    gates += "  - {metric: exact_match, floor: 0.75}\n"
    (project / "gates.yaml").write_text(gates)
    return project
