"""All arms of the embedded base on a few visits: real models, real training, a real database."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

SHORT = "allow_unreachable: short answers are enough here\n"

ROOT = Path(__file__).parents[2]
EXPERIMENT = f"""
task: task
base_model: {ROOT / "baselines" / "base"}
arms: [untrained, few_shot, full, lora, qlora, dpo]
budget: {{examples: 16}}
resources: {{threads: 1, device: cpu}}
"""


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small copy of visit_notes and an experiment over it."""
    folder = tmp_path_factory.mktemp("visits")
    shutil.copytree(ROOT / "tasks" / "visit_notes", folder / "task")
    task = folder / "task" / "task.yaml"
    task.write_text(
        SHORT
        + task.read_text().replace("visits: 1000", "visits: 40").replace("max_new_tokens: 150", "max_new_tokens: 12")
    )
    retention = folder / "task" / "retention.jsonl"
    retention.write_text("".join(line + "\n" for line in retention.read_text().splitlines()[:2]))
    arm = (ROOT / "baselines" / "arms" / "dpo.yaml").read_text().replace("examples: 200", "examples: 16")
    (folder / "dpo.yaml").write_text(arm)
    (folder / "run.yaml").write_text(EXPERIMENT.replace("dpo]", "dpo.yaml]"))
    return folder


@pytest.fixture(scope="module")
def board(visits: Path) -> dict[str, Any]:
    """The leaderboard of one run, shared by the tests below."""
    from harness.experiments import pipeline
    from harness.progress import Reporter
    from harness.results.render.json import to_json

    with Reporter() as reporter, pytest.MonkeyPatch.context() as patch:
        patch.chdir(visits)
        result = pipeline.run(Path("run.yaml"), Path(".harness"), reporter)
    assert not result.failed
    return dict(json.loads(json.dumps(to_json(result.board), allow_nan=False)))


def rows(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["arm"]: row for row in board["rows"]}


def test_all_six_arms_end_well(board: dict[str, Any]) -> None:
    found = rows(board)
    assert set(found) == {"untrained", "few_shot", "full", "lora", "qlora", "dpo"}
    assert {row["status"] for row in found.values()} == {"ok"}


def test_every_supervised_arm_saw_the_same_to_the_last_token(board: dict[str, Any]) -> None:
    costs = [rows(board)[arm]["cost"] for arm in ("full", "lora", "qlora")]
    assert {cost["examples"] for cost in costs} == {16}
    assert len({cost["tokens"] for cost in costs}) == 1


def test_training_lowers_the_perplexity_of_every_arm(board: dict[str, Any]) -> None:
    found = rows(board)
    base = found["untrained"]["metrics"]["perplexity"]["estimate"]["value"]
    for arm in ("full", "lora", "qlora"):
        assert found[arm]["metrics"]["perplexity"]["estimate"]["value"] < base


def test_lm_eval_is_scored_for_all_but_few_shot(board: dict[str, Any]) -> None:
    found = rows(board)
    for arm in ("untrained", "full", "lora", "qlora", "dpo"):
        assert found[arm]["metrics"]["visit_choice/acc"]["estimate"] is not None
    assert found["few_shot"]["metrics"]["visit_choice/acc"]["estimate"] is None


def test_a_second_run_repeats_nothing(
    board: dict[str, Any], visits: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(visits)
    answer = shell("run", "run.yaml", "--json")
    assert answer.code == 0 and "nothing to train" in answer.err
    assert json.loads(answer.out) == board


@pytest.mark.real
def test_processes_give_the_same_bits_with_real_arms(
    board: dict[str, Any], visits: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(visits)
    text = (visits / "run.yaml").read_text().replace("resources: {", "resources: {executor: processes, workers: 2, ")
    few = "[untrained, lora]"
    (visits / "two.yaml").write_text(text.replace("[untrained, few_shot, full, lora, qlora, dpo.yaml]", few))
    answer = shell("run", "two.yaml", "--home", "other")
    assert answer.code == 0, answer.err
    found = sorted(path.name for path in (visits / "other" / "evals").iterdir())
    assert len(found) == 2  # named by the hash of what was trained: the weights are the same to the last bit
    for evaluation in found:
        for name in ("predictions.jsonl", "likelihoods.jsonl", "scores.jsonl"):
            ours, theirs = (visits / home / "evals" / evaluation / name for home in (".harness", "other"))
            assert scored(ours) == scored(theirs)


def scored(path: Path) -> list[dict[str, Any]]:
    """Records of a file without the seconds that they took."""
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in path.read_text().splitlines()]


def test_settings_that_libraries_were_given_are_stored_with_every_training(
    board: dict[str, Any], visits: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(visits)
    made = shell("appendix", "--format", "csv")
    assert made.code == 0, made.err
    rows = {(row["arm"], row["part"], row["setting"]): row for row in csv.DictReader(io.StringIO(made.out))}
    for arm in ("lora", "qlora", "dpo"):
        row = rows[arm, "LoraConfig", "r"]
        assert (row["value"], row["default"], row["differs"]) == ("16", "8", "true")
        assert '"q_proj"' in rows[arm, "LoraConfig", "target_modules"]["value"], "all-linear is resolved"
    assert rows["qlora", "BitsAndBytesConfig", "bnb_4bit_quant_type"]["value"] == "nf4"
    assert ("lora", "BitsAndBytesConfig", "load_in_4bit") not in rows
    for arm in ("full", "lora", "qlora", "dpo"):
        assert rows[arm, "TrainingArguments", "train_sampling_strategy"]["value"] == "sequential"
        assert rows[arm, "TrainingArguments", "gradient_checkpointing"]["differs"] == "false"
        assert (arm, "TrainingArguments", "learning_rate") not in rows, "the schedule is ours"
        assert rows[arm, "AdamW", "weight_decay"]["differs"] == "true"
        assert rows[arm, "AdamW", "lr"]["value"] == rows[arm, "recipes", "optimiser.learning_rate"]["value"]
    for arm in ("untrained", "few_shot", "full", "dpo"):
        assert rows[arm, "GenerationConfig", "do_sample"]["value"] == "false"
    assert str(visits) not in made.out and str(ROOT) not in made.out


def test_preview_shows_what_carries_loss(visits: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(visits)
    answer = shell("preview", "task", "--model", ROOT / "baselines" / "base")
    assert answer.code == 0, answer.err
    assert answer.out.count("⟦Patient: ") == 3
    assert "context 2048 tokens, plain text" in answer.out
    assert "prompts cut on the left: 0" in answer.out
