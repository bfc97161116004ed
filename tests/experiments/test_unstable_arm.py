"""One arm with a learning rate of 10 beside others: it ends diverged, they finish, the leaderboard and ledger show it.

With the embedded base on a few visits, a DPO arm and its control, and an lm-eval task that measures forgetting.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

pytestmark = pytest.mark.real

SHORT = "allow_unreachable: short answers are enough here\n"

ROOT = Path(__file__).parents[2]
EXPERIMENT = f"""
task: task
base_model: {ROOT / "baselines" / "base"}
arms:
  - lora
  - {{method: full, name: hot, optimiser: {{learning_rate: 10.0, batch_size: 4, warmup: 0.0}}}}
  - {{method: dpo, name: dpo, parent: lora, examples: 6}}
  - sft_continued
budget: {{examples: 16}}
resources: {{threads: 1, device: cpu, price_per_device_hour: 3.0}}
"""


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small copy of visit_notes, finished."""
    from harness.experiments import pipeline
    from harness.progress import Reporter

    folder = tmp_path_factory.mktemp("unstable")
    shutil.copytree(ROOT / "tasks" / "visit_notes", folder / "task")
    task = folder / "task" / "task.yaml"
    text = SHORT + task.read_text().replace("visits: 1000", "visits: 40").replace(
        "max_new_tokens: 150", "max_new_tokens: 4"
    )
    text = re.sub(r"^lm_eval: .*\n", "", text, flags=re.MULTILINE)
    kept = "retention: {path: retention.jsonl, lm_eval: [visit_choice], include_path: lm_eval, limit: 4}"
    task.write_text(re.sub(r"^retention: .*$", kept, text, flags=re.MULTILINE))
    retention = folder / "task" / "retention.jsonl"
    retention.write_text("".join(line + "\n" for line in retention.read_text().splitlines()[:2]))
    (folder / "run.yaml").write_text(EXPERIMENT)
    with Reporter() as reporter, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert pipeline.run(Path("run.yaml"), Path(".harness"), reporter).failed
    return folder


@pytest.fixture
def printed(visits: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The leaderboard in text and JSON, and the ledger."""
    monkeypatch.chdir(visits)
    board = json.loads(shell("leaderboard", "--json").out)
    return shell("leaderboard").out, board, json.loads(shell("ledger", "--json").out)


def test_the_hot_arm_ends_diverged_with_its_step_and_the_others_finish(
    printed: tuple[str, dict[str, Any], dict[str, Any]],
) -> None:
    text, board, ledger = printed
    status = {row["arm"]: row["status"] for row in board["rows"]}
    assert status == {"untrained": "ok", "lora": "ok", "dpo": "ok", "sft_continued": "ok", "hot": "diverged"}
    hot = next(row for row in board["rows"] if row["arm"] == "hot")
    step = hot["events"][-1]["step"]
    assert re.search(rf"hot: seed 0: diverged: the .* at step {step}\b", text)
    run = next(run for run in ledger["runs"] if run["arm"] == "hot")
    assert run["status"] == "diverged" and run["ledger"]["optimiser_steps"] == step <= 4
    assert run["ledger"]["events"][-1]["kind"] in ("diverged", "not_a_number")


def test_the_control_is_given_what_dpo_is_given_to_within_an_example(
    printed: tuple[str, dict[str, Any], dict[str, Any]],
) -> None:
    text, _, ledger = printed
    cost = {row["arm"]: row["cost"] for row in ledger["rows"]}
    assert cost["dpo"]["examples"] == 6 and cost["dpo"]["with_parent"]["examples"] == 22
    extra = cost["sft_continued"]["tokens"] - cost["dpo"]["tokens"]
    assert 0 <= extra < 700
    assert cost["sft_continued"]["with_parent"]["tokens"] == cost["lora"]["tokens"] + cost["sft_continued"]["tokens"]
    assert {row["arm"]: row["budget"] for row in ledger["rows"]}["sft_continued"] == "more"
    assert "sft_continued ▲" in text and "dpo ▲" in text
    for arm in ("lora", "dpo", "sft_continued"):
        assert cost[arm]["flops"] > 6e9 and cost[arm]["money"] > 0 and cost[arm]["peak_memory_bytes"] > 1e8


def test_forgetting_stands_on_the_leaderboard(printed: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    text, board, _ = printed
    found = {(row["arm"], row["metric"]): row for row in board["forgetting"]}
    measures = {"retention_perplexity", "visit_choice/acc", "visit_choice/acc_norm"}
    assert set(found) == {(arm, name) for arm in ("lora", "dpo", "sft_continued") for name in measures}
    one = found["lora", "retention_perplexity"]
    assert one["difference"]["value"] == pytest.approx(one["after"]["value"] - one["before"]["value"])
    base = next(row for row in board["rows"] if row["arm"] == "untrained")
    assert one["before"]["value"] == base["metrics"]["retention_perplexity"]["estimate"]["value"]
    assert found["dpo", "visit_choice/acc"]["after"]["n"] == 4
    assert "before (untrained)" in text
