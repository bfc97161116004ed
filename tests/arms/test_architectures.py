"""Every arm on four other architectures, with no code of ours for any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.arms import dpo, family, sft
from harness.records import RunPlan, TrainingData

Plans = Callable[..., RunPlan]
FAST = {"learning_rate": 1e-2, "batch_size": 4, "warmup": 0.0}
ARMS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "lora": {"method": "lora", "lora": {"r": 2}},
    "qlora": {"method": "qlora", "lora": {"r": 2}},
    "prefix": {"method": "peft", "type": "PREFIX_TUNING", "config": {"num_virtual_tokens": 4}},
    "ia3": {"method": "peft", "type": "IA3"},
}


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


@pytest.mark.parametrize("kind", ["gpt2", "qwen3", "gemma3", "mistral"])
def test_all_arms_train_load_and_answer(kind: str, make_plan: Plans, data: TrainingData) -> None:
    for name, arm in ARMS.items():
        plan = make_plan({**arm, "optimiser": FAST, "evaluations": 1}, kind=kind, train_id=name, budget={"examples": 8})
        result = sft.train(plan, data, nothing)
        model = family(plan.arm.method).load(plan, result.artefact)
        prompts = [sft.make_prompter(plan, model.tokenizer, model.model).encode(e).prompt for e in data.train[:2]]  # type: ignore[attr-defined]
        assert len(model.generate(prompts, 4, [])) == 2, name
        assert result.ledger.optimiser_steps == 2, name
    for parent in ("full", "lora", "qlora"):
        plan = make_plan({"method": "dpo", "optimiser": FAST}, kind=kind, train_id=f"dpo-{parent}", parent=parent)
        result = dpo.train(plan, data, nothing)
        assert result.ledger.examples == 10 and dpo.load(plan, result.artefact) is not None, parent
    for name in ("untrained", "few_shot"):
        plan = make_plan({"method": name}, kind=kind)
        result = family(name).train(plan, data, nothing)
        assert result.artefact.kind == "base" and family(name).load(plan, result.artefact) is not None


@pytest.mark.parametrize("kind", ["gpt2", "qwen3", "gemma3", "mistral"])
@pytest.mark.parametrize("name", ["full", "prefix"])
def test_padding_behind_a_row_changes_nothing_without_a_mask(
    name: str, kind: str, make_plan: Plans, data: TrainingData
) -> None:
    import torch

    from harness.arms.training import losses

    trainable = sft.prepare(make_plan({**ARMS[name], "optimiser": FAST}, kind=kind, train_id=name))
    trainable.model.eval()
    rows = sorted((trainable.prompter.encode(example) for example in data.train), key=lambda row: len(row.input_ids))
    rows = [rows[0], rows[-1]]
    assert len(rows[0].input_ids) < len(rows[1].input_ids)
    with torch.no_grad():
        together = losses.target_logprobs(trainable.model, **losses.pad(rows, 0)).tolist()
        alone = [losses.target_logprobs(trainable.model, **losses.pad([row], 0)).item() for row in rows]
    assert together == pytest.approx(alone, rel=1e-5)
