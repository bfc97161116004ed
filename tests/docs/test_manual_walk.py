"""The commands of the manual, run as they are written, over a small world with the names that they use."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from manual import blocks, harness_calls
from shell_calls import Shell

TASK = """\
name: my_task
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
task: my_task
base_model: none
arms:
  - {method: toy, name: untrained, skill: 0.1}
  - {method: toy, name: few_shot, skill: 0.3}
  - {method: toy, name: lora, skill: 0.7}
  - {method: toy, name: qlora, skill: 0.6}
  - {method: toy, name: full, skill: 0.8}
  - {method: toy, name: dpo, skill: 0.75}
budget: {examples: 10}
reference: untrained
winner: {margin: 0.01, cost: total_seconds}
"""
GATES = """\
baseline: baselines/released/clinic-1
rules:
  - {metric: exact_match, floor: 0.2}
"""
RUN = ("run", "plan", "check", "leaderboard", "compare", "ledger", "looks", "score", "sentinel", "appendix", "report")
RUN += ("bundle", "store", "release", "gate")
"""Commands that take little time over toy arms."""
NAMES = ("my_experiment", "my_task", "gates.yaml")
"""What of the manual's names stands in the small world; commands on other names are left to their parser's test."""


def calls() -> list[str]:
    """Every cheap command of the manual once, in the order of a first user, not of the pages."""
    lines = dict.fromkeys(line for _, line in harness_calls())
    words = {line: shlex.split(line) for line in lines}
    cheap = [
        line
        for line, parts in words.items()
        if parts[0] in RUN and (any(name in line for name in NAMES) or parts[0] == "store" or "--bundle" in parts)
    ]
    after = ["check", "plan", "run", "score", "bundle", "release", "gate"]
    return sorted(
        (line for line in cheap if "next_experiment" not in line and "gates.yaml" not in line),
        key=lambda line: (after.index(line.split()[0]) if line.split()[0] in after else len(after), "--check" in line),
    )


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with `my_task/`, the manual's own metric in it, `my_experiment.yaml` and `gates.yaml`."""
    folder = tmp_path
    task = folder / "my_task"
    task.mkdir()
    rows = [
        {"id": f"e{number}", "group": f"g{number // 2}", "words": f"{number * 7919} {number * 104729} {number * 31}"}
        for number in range(1, 61)
    ]
    (task / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (task / "task.yaml").write_text(TASK)
    [metric] = [block.text for block in blocks("python") if "length_ratio.direction" in block.text]
    (task / "my_metrics.py").write_text(metric)
    (folder / "my_experiment.yaml").write_text(EXPERIMENT)
    (folder / "gates.yaml").write_text(GATES)
    (folder / "none").mkdir()
    return folder


def test_the_commands_work_in_turn(world: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ends with exit code 0; what they write is there."""
    monkeypatch.chdir(world)
    lines = calls()
    assert len(lines) >= 20 and {line.split()[0] for line in lines} >= {"run", "score", "bundle", "store", "release"}
    said = {}
    for line in lines:
        answer = shell(*shlex.split(line))
        assert answer.code == 0, f"harness {line}\n{answer.err}"
        said[line] = answer.out
    assert "length_ratio" in shell("leaderboard", "my_experiment.yaml").out
    written = (
        "reports/my_experiment.html",
        "my_experiment.bundle.zip",
        "baselines/released/clinic-1",
        "tables/load.sql",
    )
    assert all((world / name).exists() for name in written)
    assert all(said.values())
    _gate(shell)
    _query()
    _interface()


def _gate(shell: Shell) -> None:
    """Check and gate as the page has them, over the baseline that the walk has pinned."""
    assert shell("check", "gates.yaml").code == 0
    reports = ("--junit", "gate.xml", "--markdown", "gate.md")
    answer = shell("gate", "gates.yaml", "--candidate", "my_experiment/lora", *reports)
    assert answer.code == 0, answer.err
    assert Path("gate.xml").exists() and Path("gate.md").exists()


def _query() -> None:
    """The page's function over the tables that `store export` wrote."""
    [block] = [block for block in blocks("python") if "predictions.parquet" in block.text]
    scope: dict[str, Any] = {}
    exec(block.text, scope)
    frame = scope["predictions"]("tables")
    assert {"eval_id", "text"} <= set(frame.columns) and len(frame)


def _interface() -> None:
    """Blocks that use the Python interface, over the finished experiment."""
    used = [block for block in blocks("python") if "import harness as h" in block.text]
    for block in used:
        scope: dict[str, Any] = {}
        exec(block.text, scope)
        assert len(scope["board"].to_pandas()) and "<table>" in scope["board"]._repr_html_()
    assert used
