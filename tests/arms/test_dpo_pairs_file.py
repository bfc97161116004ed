"""A DPO arm over preference pairs from a file: read, refused, part of the identity, trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.arms import dpo, sft
from harness.config import DataSpec, MetricsSpec, TaskSpec
from harness.data.preference_files import read_pairs
from harness.data.prepare import prepare
from harness.errors import DataError, LeakageError, SpecError
from harness.experiments import pipeline
from harness.experiments.running import plans
from harness.records import RunPlan, TrainingData

FAST = {"learning_rate": 1e-2, "batch_size": 8, "warmup": 0.0}
ROW = {"prompt": "Ada bought a pear.\nWho?", "chosen": " Ada", "rejected": " nobody"}


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_dpo_arm_trains_on_the_pairs_of_a_file(
    make_plan: Callable[..., RunPlan], data: TrainingData, tmp_path: Path
) -> None:
    parent = make_plan({"method": "lora", "optimiser": FAST})
    sft.train(parent, data, nothing)
    rows = [
        {
            "prompt": example.prompt,
            "chosen": example.references[0],
            "rejected": " nobody at all",
            "margin": 1.0,
            "provenance": {"split": "validation", "example": example.id},
        }
        for example in data.validation
    ]
    path = write(tmp_path / "preferences.jsonl", *rows)
    arm = {"method": "dpo", "parent": "lora", "pairs": {"path": str(path)}, "examples": 24, "optimiser": FAST}
    plan = make_plan(arm, parent=parent.train_id)
    result = dpo.train(plan, data, nothing)
    losses = [json.loads(line)["loss"] for line in (plan.run_folder / "train_log.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0] - 0.05 and result.ledger.examples == 24
    scored = json.loads((plan.run_folder / "pairs.json").read_text())["pairs"]
    assert {row["pair"]["rejected"] for row in scored} == {" nobody at all"} and len(scored) == 8
    assert result.notes == (
        "8 preference pairs from a file (8 of validation prompts); "
        "its validation loss is measured on prompts that it saw",
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "", "chosen": "a", "rejected": "b"}, "prompt is missing or empty"),
        ({"prompt": "p", "chosen": "a"}, "rejected is missing or empty"),
        ({"prompt": [{"role": "user", "content": "p"}] * 2, "chosen": "a", "rejected": "b"}, "prompt: must be a text"),
        ({"prompt": "p", "chosen": [{"role": "user", "content": "a"}], "rejected": "b"}, "end with the assistant"),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "provenance": {"split": "test"}}, "of the test split"),
    ],
)
def test_a_bad_pair_is_named_by_file_and_line(
    tmp_path: Path, task: TaskSpec, row: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "pairs.jsonl", ROW, row)
    with pytest.raises(DataError) as caught:
        read_pairs(path, task)
    assert "pairs.jsonl:2: " in str(caught.value) and message in str(caught.value)


def test_conversations_and_equal_answers(tmp_path: Path, task: TaskSpec) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
    row = {"prompt": turns, "chosen": [{"role": "assistant", "content": "Ada"}], "rejected": "Ben"}
    chat = TaskSpec(
        name="c", data=DataSpec(path="x", licence="CC0-1.0"), messages="turns", metrics=MetricsSpec(primary="bleu")
    )
    found = read_pairs(write(tmp_path / "p.jsonl", row, {**row, "rejected": "Ada"}), chat)
    assert [(turn.role, turn.content) for turn in found.examples[0].messages or ()] == [
        ("system", "Be brief."), ("user", "Who?")
    ]  # fmt: skip
    assert [(pair.chosen, pair.rejected) for pair in found.pairs] == [("Ada", "Ben")]
    asked = read_pairs(write(tmp_path / "q.jsonl", ROW), chat).examples[0]  # a text is one turn of the user
    assert [(turn.role, turn.content) for turn in asked.messages or ()] == [("user", ROW["prompt"])]
    with pytest.raises(DataError, match="holds no preference pair"):
        read_pairs(write(tmp_path / "r.jsonl", {**ROW, "rejected": ROW["chosen"]}), task)


EXPERIMENT = """
task: task
base_model: none
arms:
  - untrained
  - lora
  - {method: dpo, name: voted, parent: lora, pairs: {path: %s}}
budget: {examples: 10}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a task of 60 rows and nothing else."""
    (tmp_path / "task").mkdir()
    (tmp_path / "none").mkdir()
    rows = [{"id": f"e{n}", "words": f"{n * 7919} {n * 104729}"} for n in range(1, 61)]
    write(tmp_path / "task" / "rows.jsonl", *rows)
    (tmp_path / "task" / "task.yaml").write_text(
        "name: echo\ndata: {path: rows.jsonl, licence: CC0-1.0}\nid: id\n"
        'prompt: "Say: {{ words }}"\ntarget: "{{ words }}"\nsplits: {test: 0.3, validation: 0.2}\n'
        "metrics: {primary: exact_match}\n"
    )
    return tmp_path


def test_the_path_is_relative_to_the_file_and_no_part_of_the_identity(project: Path) -> None:
    write(project / "votes.jsonl", ROW)
    file = project / "e.yaml"
    identities = []
    for name in ("votes.jsonl", "moved.jsonl", "changed.jsonl"):
        content = ROW if name != "changed.jsonl" else {**ROW, "rejected": " someone"}
        write(project / name, content)
        file.write_text(EXPERIMENT % name)
        experiment = pipeline.load(file)
        (arm,) = [arm for arm in experiment.arms if arm.name == "voted"]
        assert arm.pairs.path == str(project / name)  # type: ignore[union-attr]
        files = prepare(experiment, project / "home").files
        planner = plans.Planner(files, project, "base")
        identities.append(planner.identity(experiment, arm, plans.TrainingDraw(0, "parent")))
    assert identities[0] == identities[1] != identities[2]
    file.write_text(EXPERIMENT % "nowhere.jsonl")
    with pytest.raises(SpecError, match=r"e.yaml:7: arms\[2\].pairs.path: no such file"):
        pipeline.load(file)
    file.write_text(EXPERIMENT % "bad.jsonl")
    write(project / "bad.jsonl", {"prompt": "p", "chosen": "a"})
    with pytest.raises(DataError, match=r"bad\.jsonl:1: rejected is missing"):
        pipeline.load(file)


def test_a_prompt_of_the_test_split_stops_the_run(project: Path) -> None:
    write(project / "votes.jsonl", ROW)
    file = project / "e.yaml"
    file.write_text(EXPERIMENT % "votes.jsonl")
    prepared = prepare(pipeline.load(file), project / "home")
    rows = {f"e{n}": f"Say: {n * 7919} {n * 104729}" for n in range(1, 61)}
    sealed = prepared.splits.test[0]
    write(project / "votes.jsonl", ROW, {**ROW, "prompt": rows[sealed].upper()})
    with pytest.raises(LeakageError, match=rf"votes.jsonl: line 2 has the prompt of a test example \({sealed}\)"):
        prepare(pipeline.load(file), project / "home")
    write(project / "votes.jsonl", ROW, {**ROW, "prompt": rows[prepared.splits.validation[0]]})
    assert prepare(pipeline.load(file), project / "home").splits == prepared.splits
