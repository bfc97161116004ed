"""The SFT arms: one loop, one order, one loss; artefacts that are the same bytes every time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.arms import family, sft
from harness.data.prompts import IGNORED
from harness.errors import ArmFailed, DataError, Diverged, ModelError, SpecError
from harness.records import RunPlan, TrainingData, TrainLogRow, from_json

Plans = Callable[..., RunPlan]
FAST = {"learning_rate": 1e-2, "batch_size": 8, "warmup": 0.0}
ARMS: dict[str, dict[str, Any]] = {
    "full": {"method": "full", "optimiser": FAST},
    "lora": {"method": "lora", "optimiser": FAST, "lora": {"r": 4}},
    "qlora": {"method": "qlora", "optimiser": FAST, "lora": {"r": 4}},
    "peft": {
        "method": "peft",
        "type": "LORA",
        "config": {"r": 4, "use_dora": True, "target_modules": "all-linear"},
        "optimiser": FAST,
    },
}


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


def log_of(plan: RunPlan) -> list[TrainLogRow]:
    lines = (plan.run_folder / "train_log.jsonl").read_text().splitlines()
    return [from_json(TrainLogRow, json.loads(line)) for line in lines]


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_learns_and_its_artefact_scores_as_it_was_trained(
    name: str, make_plan: Plans, data: TrainingData
) -> None:
    plan = make_plan(ARMS[name], budget={"examples": 84})
    result = sft.train(plan, data, nothing)
    rows = log_of(plan)
    assert [row.step for row in rows] == list(range(1, 12))
    assert [row.examples for row in rows][-2:] == [80, 84]
    assert rows[-1].loss is not None and rows[0].loss is not None and rows[-1].loss < rows[0].loss
    validated = [row.validation_loss for row in rows if row.validation_loss is not None]
    assert len(validated) == 4 and validated[-1] < rows[0].loss
    ledger = result.ledger
    assert (ledger.examples, ledger.optimiser_steps) == (84, 11)
    assert 0 < ledger.target_tokens < ledger.tokens
    assert ledger.train_seconds > 0 and ledger.validation_seconds > 0 and (ledger.peak_memory_bytes or 0) > 0
    assert result.artefact.kind == ("full" if name == "full" else "adapter")
    assert (ledger.trainable_parameters == ledger.total_parameters) is (name == "full")
    model = family(name).load(plan, result.artefact)
    from harness.models import Continuation

    prompter = sft.make_prompter(plan, model.tokenizer, model.model)  # type: ignore[attr-defined]
    encoded = [prompter.encode(example) for example in data.validation]
    scores = model.logprobs([Continuation(row.prompt, row.target) for row in encoded])
    mean = -sum(score.logprob for score in scores) / sum(score.tokens for score in scores)
    assert mean == pytest.approx(validated[-1], abs=1e-4)
    assert sft.train(plan, data, nothing) == result


def test_every_arm_meets_the_same_batches_token_by_token(make_plan: Plans, data: TrainingData) -> None:
    seen: dict[str, list[dict[str, list[Any]]]] = {}
    for name, arm in ARMS.items():
        plan = make_plan(arm, train_id=f"batches-{name}")
        trainable = sft.prepare(plan)
        rows, order = sft.encode_budget(trainable.prompter, data.train, plan.experiment.spec.budget, 0)
        from harness.arms.training.losses import CompletionLoss

        loss = CompletionLoss(trainable.tokenizer.pad_token_id)
        batches = [loss.collate([rows[index] for index in order[start : start + 8]]) for start in (0, 8, 16)]
        seen[name] = [{key: value.tolist() for key, value in batch.items()} for batch in batches]
    assert all(batches == seen["full"] for batches in seen.values())
    first = seen["full"][0]
    for ids, labels in zip(first["ids"], first["labels"], strict=True):
        carrying = [token for token, label in zip(ids, labels, strict=True) if label != IGNORED]
        assert carrying[-1] == 2 and len(carrying) < len(ids)


def test_accumulated_micro_batches_train_like_the_whole_batch(make_plan: Plans, data: TrainingData) -> None:
    losses = {}
    for micro in (None, 2):
        arm = {**ARMS["full"], "optimiser": {**FAST, "micro_batch_size": micro}}
        plan = make_plan(arm, train_id=f"micro{micro}", budget={"examples": 21})
        sft.train(plan, data, nothing)
        losses[micro] = [row.loss for row in log_of(plan)]
    assert losses[None] == pytest.approx(losses[2], abs=1e-4) and len(losses[2]) == 3


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan({**ARMS["full"], "optimiser": {**FAST, "micro_batch_size": 3}})
    with pytest.raises(SpecError, match="3 does not divide the batch_size 8"):
        sft.train(plan, data, nothing)


def test_a_token_budget_ends_with_the_example_that_reaches_it(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan(ARMS["lora"], budget={"tokens": 400})
    result = sft.train(plan, data, nothing)
    rows, order = sft.encode_budget(sft.prepare(plan).prompter, data.train, plan.experiment.spec.budget, 0)
    lengths = [len(rows[index].input_ids) for index in order]
    assert sum(lengths) == result.ledger.tokens >= 400 > sum(lengths[:-1])


def test_a_budget_of_seconds_stops_by_the_clock_and_says_what_was_seen(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan(ARMS["lora"], budget={"device_seconds": 0.3})
    result = sft.train(plan, data, nothing)
    assert 0.3 <= result.ledger.train_seconds < 3
    assert result.notes == (f"saw {result.ledger.examples} examples in 0.3 s",)
    rates = [row.learning_rate or 0.0 for row in log_of(plan)]
    assert rates[0] > rates[-1]
    assert sum(row.validation_loss is not None for row in log_of(plan)) >= 2


def test_two_runs_of_one_seed_write_the_same_artefact_and_another_seed_another(
    make_plan: Plans, data: TrainingData, tmp_path: Path
) -> None:
    arm = {**ARMS["lora"], "lora": {"r": 4, "dropout": 0.1}}
    here, there, other = (
        sft.train(make_plan(arm, home=tmp_path / home, seed=seed), data, nothing).artefact
        for home, seed in (("a", 0), ("deeply/nested/b", 0), ("c", 1))
    )
    assert here == there
    assert here.hash != other.hash
    config = json.loads((tmp_path / "a/runs/lora/artefact/adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert "/" not in config["base_model_name_or_path"]
    files = sorted(path.name for path in (tmp_path / "a/runs/lora/artefact").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]


def test_a_full_artefact_holds_no_path_and_keeps_the_cache_on(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan(ARMS["full"])
    artefact = sft.train(plan, data, nothing).artefact
    folder = plan.run_folder / "artefact"
    texts = [path.read_text() for path in folder.glob("*.json")]
    assert not any(str(plan.experiment.base.path) in text for text in texts)
    assert json.loads((folder / "config.json").read_text())["use_cache"] is True
    assert artefact.path == "artefact" and (folder / "tokenizer.json").is_file()


def test_a_loss_that_is_no_number_ends_in_diverged_with_the_step(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan({"method": "full", "optimiser": {"learning_rate": 1e30, "warmup": 0.0}})
    with pytest.raises(Diverged, match=r"the (loss|gradient norm) is (nan|inf) at step \d"):
        sft.train(plan, data, nothing)


def test_memory_errors_of_any_kind_become_out_of_memory() -> None:
    import torch

    from harness.arms.training.job import memory_errors
    from harness.errors import OutOfMemory

    for error in (
        torch.OutOfMemoryError("x"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        with pytest.raises(OutOfMemory, match="training ran out of memory"), memory_errors("training"):
            raise error
    with pytest.raises(RuntimeError, match="something else"), memory_errors("training"):
        raise RuntimeError("something else")


def test_an_adapter_that_changes_nothing_is_a_failure(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan({"method": "lora", "optimiser": {"learning_rate": 1e-30}})
    with pytest.raises(ArmFailed, match="changes no logit"):
        sft.train(plan, data, nothing)


def test_a_target_longer_than_the_context_names_the_example(
    make_plan: Plans, data: TrainingData, base_folder: Callable[[str], Path]
) -> None:
    from harness.config import BaseModelSpec

    plan = make_plan(ARMS["lora"], base=BaseModelSpec(path=str(base_folder("llama")), context=2))
    with pytest.raises(DataError, match=r"example e\d+: its target is \d+ tokens long, the context 2"):
        sft.train(plan, data, nothing)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"type": "LORRA"}, "peft knows no adapter type LORRA. Did you mean LORA"),
        ({"type": "LORA", "config": {"rnk": 4}}, "config.rnk: LoraConfig has no such field. Did you mean r\\?"),
        ({"type": "LORA", "config": {"target_modules": ["query"]}}, "peft refuses this adapter: .*query"),
        ({"type": "PROMPT_TUNING", "config": {"num_virtual_tokens": 120}}, "120 virtual tokens and .* exceed"),
    ],
)
def test_a_wrong_adapter_is_one_clear_line(
    arm: dict[str, Any], message: str, make_plan: Plans, data: TrainingData
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        sft.train(make_plan({"method": "peft", **arm}), data, nothing)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_model_is_refused_and_nothing_is_resized(
    make_plan: Plans, data: TrainingData, base_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    import shutil

    from transformers import LlamaConfig, LlamaForCausalLM

    from harness.config import BaseModelSpec

    shutil.copytree(base_folder("llama"), tmp_path / "base")
    config = LlamaConfig.from_pretrained(tmp_path / "base", vocab_size=260)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    plan = make_plan(ARMS["lora"], base=BaseModelSpec(path=str(tmp_path / "base")))
    with pytest.raises(ModelError, match=r"the tokenizer gives token \d+, the model has 260 embeddings"):
        sft.train(plan, data, nothing)


def test_a_training_killed_behind_its_last_step_only_writes_its_artefact(
    make_plan: Plans, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.arms import saving

    expected = sft.train(make_plan(ARMS["lora"], home=tmp_path / "a"), data, nothing)
    plan = make_plan(ARMS["lora"], home=tmp_path / "b", resources={"checkpoint_seconds": 1e-9})
    monkeypatch.setattr("harness.arms.training.recorder.WRITING_SHARE", 1e9)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="gone"):
        patch.setattr(saving, "save_adapter", lambda *rest: (_ for _ in ()).throw(OSError("gone")))
        sft.train(plan, data, nothing)
    phases: list[str] = []
    assert sft.train(plan, data, lambda phase, *rest: phases.append(phase)).artefact == expected.artefact
    assert set(phases) == {"prepare"}


def test_losses_of_the_first_steps_equal_those_of_trl_sft_trainer(
    make_plan: Plans, data: TrainingData, tmp_path: Path
) -> None:
    arm = {
        "method": "full",
        "optimiser": {"learning_rate": 1e-3, "schedule": "constant", "warmup": 0.0, "micro_batch_size": 4},
    }
    plan = make_plan(arm, budget={"examples": 32})
    sft.train(plan, data, nothing)
    ours = [row.loss for row in log_of(plan)]

    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    trainable = sft.prepare(plan)
    rows, order = sft.encode_budget(trainable.prompter, data.train, plan.experiment.spec.budget, 0)
    table = [{"input_ids": list(rows[at].input_ids), "labels": list(rows[at].labels)} for at in order]
    config = SFTConfig(
        output_dir=str(tmp_path / "trl"),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        num_train_epochs=1,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
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
    trainer = SFTTrainer(
        trainable.model, config, train_dataset=Dataset.from_list(table), processing_class=trainable.tokenizer
    )
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert ours == pytest.approx(theirs, abs=1e-4) and len(ours) == 4
    assert not math.isclose(ours[0] or 0.0, ours[-1] or 0.0, abs_tol=1e-3)
