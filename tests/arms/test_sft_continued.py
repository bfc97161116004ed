"""The control of a DPO arm: more supervised training of the same parent, as many tokens as the pairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.arms import dpo, sft, sft_continued
from harness.arms.training.order import derived_seed, training_order
from harness.errors import ArmFailed
from harness.records import ResolvedExperiment, RunPlan, TrainingData

Plans = Callable[..., RunPlan]
FAST = {"learning_rate": 1e-2, "batch_size": 8, "warmup": 0.0}
DPO = {"method": "dpo", "name": "dpo", "parent": "lora", "examples": 12, "optimiser": FAST}
MORE = {"method": "sft_continued", "parent": "lora", "optimiser": {**FAST, "learning_rate": 3e-3}}


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


@pytest.fixture
def plans(make_plan: Plans, data: TrainingData) -> Callable[..., tuple[RunPlan, RunPlan]]:
    """A DPO plan and its control, over a parent that is trained."""

    def made(
        method: str = "lora", pairs: str = "task", more: dict[str, Any] | None = None, **lora: Any
    ) -> tuple[RunPlan, RunPlan]:
        parent = make_plan({"method": method, "optimiser": FAST, **({"lora": lora} if lora else {})})
        sft.train(parent, data, nothing)
        first = make_plan({**DPO, "pairs": pairs}, parent=parent.train_id)
        control = make_plan({**MORE, **(more or {})}, parent=parent.train_id)
        arms = (parent.arm, first.arm, control.arm)
        experiment: ResolvedExperiment = replace(control.experiment, arms=arms)
        return replace(first, experiment=experiment), replace(control, experiment=experiment)

    return made


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_sees_as_many_tokens_as_dpo_from_the_same_parent_on_examples_that_come_next(
    method: str, plans: Callable[..., tuple[RunPlan, RunPlan]], data: TrainingData
) -> None:
    first, control = plans(method)
    pairs = dpo.train(first, data, nothing).ledger
    result = sft_continued.train(control, data, nothing)
    ledger = result.ledger
    assert ledger.parent == pairs.parent and ledger.parent is not None and ledger.parent.examples == 20
    longest = 64
    assert 0 <= ledger.tokens - pairs.tokens < longest
    assert 24 <= ledger.examples <= 36, "two examples a pair, and more where its answers are long"
    trainable = sft.prepare(replace(control, arm=control.experiment.arms[0]))
    order = training_order(len(data.train), 20 + ledger.examples, derived_seed(0, "data_order"))[20:]
    lengths = [len(trainable.prompter.encode(data.train[index]).input_ids) for index in order]
    assert sum(lengths) == ledger.tokens and sum(lengths[:-1]) < pairs.tokens
    assert result.notes == (f"{ledger.examples} examples equal the {pairs.tokens:,} tokens of 12 pairs of dpo",)
    assert result.artefact.kind == ("full" if method == "full" else "adapter")


def test_it_goes_on_from_the_parents_weights(plans: Callable[..., tuple[RunPlan, RunPlan]], data: TrainingData) -> None:
    _, control = plans(more={"examples": 16})
    assert control.parent_folder is not None
    sft_continued.train(control, data, nothing)

    def rows(folder: Any) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]

    before, after = rows(control.parent_folder), rows(control.run_folder)
    assert after[0]["loss"] < before[0]["loss"] - 0.2
    assert after[-1]["validation_loss"] < before[-1]["validation_loss"]


def test_dropout_of_the_parent_stays_for_sft_and_goes_for_dpo(plans: Callable[..., tuple[RunPlan, RunPlan]]) -> None:
    import torch

    from harness.arms.parents import load_parent, read_parent

    _, control = plans(dropout=0.25)
    for kept in (True, False):
        model = load_parent(control, read_parent(control).artefact, dropout=kept).model
        rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
        assert rates == ({0.25} if kept else {0.0})


def test_pairs_that_are_sampled_count_two_examples(
    plans: Callable[..., tuple[RunPlan, RunPlan]], data: TrainingData
) -> None:
    _, control = plans(pairs="parent_samples")
    result = sft_continued.train(control, data, nothing)
    assert result.ledger.examples == 24
    assert result.notes == ("24 examples stand for 12 pairs of dpo",)


def test_without_a_parent_it_fails_with_the_reason(make_plan: Plans, data: TrainingData) -> None:
    with pytest.raises(ArmFailed, match="its parent lora left no model"):
        sft_continued.train(make_plan(MORE, parent="nowhere"), data, nothing)
