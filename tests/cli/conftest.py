"""A task and an experiment over toy arms, to be spoiled in one place each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TASK = """\
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
group: group
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.3, validation: 0.2}
generate: {max_new_tokens: 60}
metrics: {primary: exact_match, also: [rouge_l]}
"""
EXPERIMENT = """\
task: task
base_model: none
arms:
  - {method: toy, name: weak, skill: 0.2}
  - {method: toy, name: strong, skill: 0.9}
seeds: [0]
budget: {examples: 10}
reference: weak
"""
REAL = f"""\
task: task
base_model: {ROOT / "baselines" / "base"}
arms: [untrained]
budget: {{examples: 8}}
"""


@pytest.fixture
def spoiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `task/`, `toys.yaml` and `real.yaml` (the embedded base), which is the working directory."""
    folder = tmp_path / "task"
    folder.mkdir()
    rows = [
        {"id": f"e{number}", "group": f"g{number // 2}", "words": f"{number * 7919} {number * 104729} {number * 31}"}
        for number in range(1, 61)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.yaml").write_text(TASK)
    (tmp_path / "toys.yaml").write_text(EXPERIMENT)
    (tmp_path / "real.yaml").write_text(REAL)
    (tmp_path / "none").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path
