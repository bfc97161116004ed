"""What came with an adapter that was trained elsewhere and is not what it is scored with, is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import arms
from harness.arms import imported
from harness.records import RunPlan, TrainingData


@pytest.fixture
def adapter(make_plan: Callable[..., RunPlan], data: TrainingData, tmp_path: Path) -> Path:
    plan = make_plan({"method": "lora", "optimiser": {"learning_rate": 5e-3}})
    arms.family("lora").train(plan, data, lambda phase, done, total: None)
    return Path(shutil.copytree(plan.run_folder / "artefact", tmp_path / "adapter"))


def notes(make_plan: Callable[..., RunPlan], data: TrainingData, folder: Path) -> tuple[str, ...]:
    plan = make_plan({"method": "imported", "path": str(folder)})
    return imported.train(plan, data, lambda phase, done, total: None).notes


def test_an_adapter_of_this_base_is_not_remarked_on(
    make_plan: Callable[..., RunPlan], data: TrainingData, adapter: Path
) -> None:
    assert len(notes(make_plan, data, adapter)) == 1


@pytest.mark.parametrize("base", ["somebody/another-model", "/models/base-instruct"])
def test_another_base_is_named(make_plan: Callable[..., RunPlan], data: TrainingData, adapter: Path, base: str) -> None:
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": base}))
    [_, note] = notes(make_plan, data, adapter)
    assert base in note


@pytest.mark.parametrize("where", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_template_that_is_not_used_is_told(
    make_plan: Callable[..., RunPlan], data: TrainingData, adapter: Path, where: str
) -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    text = template if where.endswith("jinja") else json.dumps({"chat_template": template})
    (adapter / where).write_text(text)
    [_, note] = notes(make_plan, data, adapter)
    assert "chat template" in note
