"""A race of real arms of the embedded base: a LoRA arm that learns nothing, and a DPO arm that starts from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from shell_calls import Shell

pytestmark = pytest.mark.real

SHORT = "allow_unreachable: short answers are enough here\n"

ROOT = Path(__file__).parents[2]
EXPERIMENT = f"""
task: task
base_model: {ROOT / "baselines" / "base"}
arms:
  - untrained
  - full
  - {{method: lora, name: asleep, optimiser: {{learning_rate: 1.0e-7}}}}
  - {{method: dpo, name: dpo, parent: asleep}}
budget: {{examples: 32}}
racing: {{rungs: [0.5], metric: loss, clip: 0.05, lead: 0.0, level: 0.2, least: 4}}
resources: {{threads: 1, device: cpu}}
"""


def test_a_dpo_arm_is_not_run_where_its_parent_was_stopped_and_the_rest_gets_its_whole_budget(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "tasks" / "visit_notes", tmp_path / "task")
    task = tmp_path / "task" / "task.yaml"
    text = SHORT + task.read_text().replace("visits: 1000", "visits: 90").replace(
        "max_new_tokens: 150", "max_new_tokens: 4"
    )
    text = text.replace("test: 0.2, validation: 0.1", "test: 0.1, validation: 0.3")
    kept = [line for line in text.splitlines() if not line.startswith(("lm_eval:", "retention:"))]
    task.write_text("\n".join(kept) + "\n")
    (tmp_path / "raced.yaml").write_text(EXPERIMENT)
    answer = shell("run", "raced.yaml")
    assert answer.code == 0, answer.err
    board = json.loads(shell("leaderboard", "--json").out)
    race = {one["arm"]: one for one in board["race"]["arms"]}
    assert {arm: one["outcome"] for arm, one in race.items()} == {
        "full": "survived",
        "asleep": "eliminated",
        "dpo": "not_run",
    }
    assert race["asleep"]["steps"] == race["full"]["steps"] == 2 and race["asleep"]["difference"] > 0
    rows = {row["arm"]: row for row in board["rows"]}
    assert rows["full"]["cost"]["optimiser_steps"] == 4 and rows["full"]["cost"]["examples"] == 32
    assert rows["dpo"]["errors"] == ["not run: it starts from asleep, which was stopped by racing"]
    assert "asleep and dpo were left out by racing" in board["verdict"]["reason"]
    runs = tmp_path / ".harness" / "runs"
    folders = {
        json.loads((path / "plan.json").read_text())["arm_name"]: path
        for path in runs.glob("*")
        if (path / "plan.json").exists()
    }
    assert (folders["asleep"] / "checkpoints").exists() and not (folders["asleep"] / "artefact").exists()
