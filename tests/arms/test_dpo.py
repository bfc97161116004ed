"""DPO: from the parent's weights, against the parent as reference, with TRL's loss."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.arms import dpo, sft
from harness.errors import ArmFailed, SpecError
from harness.records import RunPlan, TrainingData

Plans = Callable[..., RunPlan]
FAST = {"learning_rate": 1e-2, "batch_size": 8, "warmup": 0.0}
DPO = {"method": "dpo", "parent": "lora", "optimiser": {**FAST, "learning_rate": 3e-3, "schedule": "constant"}}


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


def losses_of(plan: RunPlan) -> list[float]:
    return [json.loads(line)["loss"] for line in (plan.run_folder / "train_log.jsonl").read_text().splitlines()]


@pytest.fixture
def parents(make_plan: Plans, data: TrainingData) -> Callable[[str], RunPlan]:
    """A plan whose training is finished, by method."""

    def trained(method: str) -> RunPlan:
        plan = make_plan({"method": method, "optimiser": FAST})
        sft.train(plan, data, nothing)
        return plan

    return trained


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_dpo_goes_on_from_its_parent_and_carries_its_cost(
    method: str, make_plan: Plans, parents: Callable[[str], RunPlan], data: TrainingData
) -> None:
    parent = parents(method)
    plan = make_plan(DPO, parent=parent.train_id, budget={"examples": 128})
    result = dpo.train(plan, data, nothing)
    losses = losses_of(plan)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-3)
    assert losses[-1] < losses[0] - 0.05
    assert result.ledger.examples == 64 and result.ledger.optimiser_steps == 8
    carried = result.ledger.parent
    assert carried is not None and carried.examples == 20 and carried.train_seconds > 0
    assert result.artefact.kind == ("full" if method == "full" else "adapter")
    assert (result.artefact.quantisation is not None) is (method == "qlora")
    model = dpo.load(plan, result.artefact)
    from harness.models import Continuation

    prompter = sft.make_prompter(plan, model.tokenizer, model.model)  # type: ignore[attr-defined]
    examples = {example.id: example for example in data.train}
    margin = 0.0
    for pair in data.pairs[:8]:
        sides = [prompter.encode(examples[pair.example], text) for text in (pair.chosen, pair.rejected)]
        chosen, rejected = model.logprobs([Continuation(side.prompt, side.target) for side in sides])
        margin += chosen.logprob - rejected.logprob
    scored = json.loads((plan.run_folder / "pairs.json").read_text())["pairs"]
    reference = sum(pair["chosen"] - pair["rejected"] for pair in scored) / len(scored)
    assert margin / 8 > reference


def test_pairs_sampled_from_the_parent_prefer_the_target_and_are_counted(
    make_plan: Plans, parents: Callable[[str], RunPlan], data: TrainingData
) -> None:
    parent = parents("lora")
    plan = make_plan({**DPO, "pairs": "parent_samples", "examples": 12}, parent=parent.train_id)
    phases: list[str] = []
    result = dpo.train(plan, replace(data, pairs=()), lambda phase, done, total: phases.append(phase))
    scored = json.loads((plan.run_folder / "pairs.json").read_text())["pairs"]
    targets = {example.id: example.references[0] for example in data.train}
    assert scored and all(row["pair"]["chosen"] == targets[row["pair"]["example"]] for row in scored)
    assert all(row["pair"]["rejected"].strip() != row["pair"]["chosen"].strip() for row in scored)
    assert {"sample", "reference", "train"} <= set(phases)
    assert result.notes == (f"{len(scored)} pairs from 12 answers of the parent",)
    assert result.ledger.prepare_seconds > 0


def test_an_interrupted_dpo_prepares_nothing_again_and_ends_at_the_same_bits(
    make_plan: Plans, parents: Callable[[str], RunPlan], data: TrainingData
) -> None:
    from harness.errors import Interrupted

    parent = parents("lora")
    arm = {**DPO, "pairs": "parent_samples", "examples": 40}
    expected = dpo.train(make_plan(arm, parent=parent.train_id, train_id="whole"), data, nothing)
    plan = make_plan(arm, parent=parent.train_id, train_id="broken")

    def stop(phase: str, done: int, total: int) -> None:
        if phase == "train" and done == 16:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        dpo.train(plan, data, stop)
    phases: list[str] = []
    result = dpo.train(plan, data, lambda phase, done, total: phases.append(phase))
    assert "sample" not in phases and "reference" not in phases
    assert result.artefact == expected.artefact


def test_without_pairs_it_says_what_to_do(
    make_plan: Plans, parents: Callable[[str], RunPlan], data: TrainingData
) -> None:
    parent = parents("lora")
    plan = make_plan(DPO, parent=parent.train_id)
    with pytest.raises(SpecError, match=r"task shop has no preference pairs in its train split.*parent_samples"):
        dpo.train(plan, replace(data, pairs=()), nothing)


def test_without_a_trained_parent_it_fails_with_the_reason(make_plan: Plans, data: TrainingData) -> None:
    from harness.arms import untrained

    with pytest.raises(ArmFailed, match="its parent lora left no model"):
        dpo.train(make_plan(DPO, parent="nowhere"), data, nothing)
    untrained.train(make_plan({"method": "untrained"}), data, nothing)
    with pytest.raises(SpecError, match="nothing that was trained"):
        dpo.train(make_plan(DPO, parent="untrained"), data, nothing)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # TRL calls an old name
@pytest.mark.parametrize("sft_weight", [0.0, 0.5])
def test_losses_equal_those_of_trl_dpo_trainer(
    sft_weight: float,
    make_plan: Plans,
    parents: Callable[[str], RunPlan],
    data: TrainingData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One answer length, because TRL's `sft` loss is a mean over tokens and ours over pairs.
    same = tuple(pair for pair in data.pairs if pair.chosen == " Ada" or pair.chosen == " Ben")[:1] * 2
    pairs = data.pairs[:16] if not sft_weight else same
    arm: dict[str, Any] = {**DPO, "examples": len(pairs), "sft_weight": sft_weight, "beta": 0.3}
    arm["optimiser"] = {**arm["optimiser"], "batch_size": len(pairs) // 2, "learning_rate": 1e-3}
    parent = parents("full")
    plan = make_plan(arm, parent=parent.train_id)
    dpo.train(plan, replace(data, pairs=pairs), nothing)
    ours = losses_of(plan)

    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    monkeypatch.setattr(DPOTrainer, "_prepare_dataset", lambda self, dataset, *rest: dataset)
    result = dpo.read_parent(plan)
    trainable = dpo.load_parent(plan, result.artefact, dropout=False)
    examples = {example.id: example for example in data.train}
    seen = [row["pair"] for row in json.loads((plan.run_folder / "pairs.json").read_text())["pairs"]]
    from harness.arms.training.order import derived_seed, training_order

    table = []
    for index in training_order(len(seen), len(pairs), derived_seed(0, "data_order")):
        example = examples[seen[index]["example"]]
        chosen, rejected = (trainable.prompter.encode(example, seen[index][side]) for side in ("chosen", "rejected"))
        table.append(
            {
                "prompt_ids": list(chosen.prompt),
                "chosen_ids": list(chosen.target),
                "rejected_ids": list(rejected.target),
            }
        )
    config = DPOConfig(
        output_dir=str(tmp_path / "trl"),
        per_device_train_batch_size=len(pairs) // 2,
        num_train_epochs=1,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        beta=0.3,
        loss_type=["sigmoid", "sft"] if sft_weight else ["sigmoid"],
        loss_weights=[1.0, sft_weight] if sft_weight else None,
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        bf16=False,
        activation_checkpointing=False,
        use_cpu=True,
        disable_tqdm=True,
        max_length=None,
        dataloader_pin_memory=False,
        optim="adamw_torch",
    )
    reference = dpo.load_parent(plan, result.artefact, dropout=False).model
    trainer = DPOTrainer(
        trainable.model,
        ref_model=reference,
        args=config,
        train_dataset=Dataset.from_list(table),
        processing_class=trainable.tokenizer,
    )
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert ours == pytest.approx(theirs, abs=1e-4) and len(ours) == 2


def test_arms_over_one_parent_share_its_log_probabilities_and_each_counts_them(
    make_plan: Plans, parents: Callable[[str], RunPlan], data: TrainingData, tmp_path: Path
) -> None:
    parent = parents("lora")

    def trained(name: str, **changed: Any) -> tuple[list[str], Any, list[dict[str, Any]]]:
        phases: list[str] = []
        plan = make_plan({**DPO, "examples": 24, **changed}, parent=parent.train_id, train_id=name)
        result = dpo.train(plan, data, lambda phase, *rest: phases.append(phase))
        return phases, result, json.loads((plan.run_folder / "pairs.json").read_text())["pairs"]

    def kept() -> list[Path]:
        return sorted((tmp_path / "references").iterdir())

    first, expected, scored = trained("first")
    (file,) = kept()
    assert "reference" in first and file.suffix == ".json"
    # As if it had taken long: who finds it there counts the same.
    file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": 1000.0}))
    again, result, same = trained("again")
    assert "reference" not in again and same == scored
    assert result.artefact.hash == expected.artefact.hash and result.ledger.flops == expected.ledger.flops
    assert 1000 < result.ledger.prepare_seconds < 1100 and expected.ledger.prepare_seconds < 1000
    assert "reference" not in trained("beta", beta=0.4)[0] and kept() == [file]
    assert "reference" in trained("fewer pairs", examples=16)[0] and len(kept()) == 2
    file.write_text(file.read_text()[:40])
    torn, result, same = trained("torn")
    assert "reference" in torn and same == scored and result.artefact.hash == expected.artefact.hash


def test_another_parent_or_precision_is_asked_anew(make_plan: Plans, parents: Callable[[str], RunPlan]) -> None:
    from harness.data.prompts import Encoded

    sides = [Encoded((1, 2), (3, 4), 0, "a"), Encoded((1, 2), (5,), 0, "b")]
    parent = parents("lora")
    plan = make_plan(DPO, parent=parent.train_id)
    artefact = dpo.read_parent(plan).artefact
    base = plan.experiment.base
    mixed = replace(plan, experiment=replace(plan.experiment, base=base.model_copy(update={"autocast": "bfloat16"})))
    keys = [
        dpo.reference_identity(plan, artefact, sides),
        dpo.reference_identity(plan, replace(artefact, hash="other"), sides),
        dpo.reference_identity(mixed, artefact, sides),
        dpo.reference_identity(plan, artefact, sides[::-1]),
        dpo.reference_identity(plan, artefact, [replace(sides[0], prompt=(1,), target=(2, 3, 4)), sides[1]]),
    ]
    assert len(set(keys)) == len(keys)
    assert dpo.reference_identity(plan, artefact, [replace(side, prompt_hash="") for side in sides]) == keys[0]


def test_under_autocast_the_policy_starts_where_its_reference_stands(
    make_plan: Plans, parents: Callable[[str], RunPlan], data: TrainingData, base_folder: Callable[[str], Path]
) -> None:
    from harness.config import BaseModelSpec

    parent = parents("full")
    base = BaseModelSpec(path=str(base_folder("llama")), autocast="bfloat16")
    plan = make_plan({**DPO, "examples": 24}, parent=parent.train_id, base=base)
    dpo.train(plan, data, nothing)
    losses = losses_of(plan)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6) and losses[-1] < losses[0]
