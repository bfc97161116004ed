"""A small task with toy arms: the whole pipeline without torch; and the tiny models of tests/models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
group: group
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.3, validation: 0.2}
generate: {max_new_tokens: 60}
metrics: {primary: exact_match, also: [rouge_l, bleu, perplexity]}
"""
EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: weak, skill: 0.2}
  - {method: toy, name: strong, skill: 0.9}
seeds: [0]
budget: {examples: 10}
reference: weak
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with `task/` and `toys.yaml`."""
    folder = tmp_path / "task"
    folder.mkdir()
    rows = [
        {"id": f"e{number}", "group": f"g{number // 2}", "words": f"{number * 7919} {number * 104729} {number * 31}"}
        for number in range(1, 61)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.yaml").write_text(TASK)
    (tmp_path / "toys.yaml").write_text(EXPERIMENT)
    (tmp_path / "none").mkdir()
    return tmp_path
