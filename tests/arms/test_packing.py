"""Rows laid end to end are scored as padded rows are, and a model that cannot take them so is padded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.arms import dpo, sft
from harness.config import BaseModelSpec
from harness.records import RunPlan, TrainingData

Plans = Callable[..., RunPlan]
FULL = {"method": "full"}
LORA = {"method": "lora", "lora": {"r": 4, "dropout": 0.0}}


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


@contextmanager
def watched(model: Any) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the token ids that a model is given."""
    shapes: list[tuple[int, ...]] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: shapes.append(tuple(args[0].shape))
    )
    try:
        yield shapes
    finally:
        hook.remove()


def batch_of(plan: RunPlan, data: TrainingData) -> tuple[Any, dict[str, Any], list[int]]:
    """A model in training mode, a padded batch of rows of different lengths, and these lengths."""
    import torch

    from harness.arms.training import losses

    trainable = sft.prepare(plan)
    trainable.model.train()
    for module in trainable.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    rows = [trainable.prompter.encode(example) for example in data.train[:6]]
    lengths = [len(row.input_ids) for row in rows]
    assert len(set(lengths)) > 2
    return trainable.model, losses.pad(rows, 0), lengths


def gradients(model: Any, loss: Any) -> dict[str, Any]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3", "mistral", "gpt2"])
@pytest.mark.parametrize("arm", [FULL, LORA], ids=["full", "lora"])
def test_losses_and_gradients_of_both_ways_agree(
    kind: str, arm: dict[str, Any], make_plan: Plans, data: TrainingData
) -> None:
    import torch

    from harness.arms.training import losses, packing

    model, batch, lengths = batch_of(make_plan(arm, kind=kind, train_id="both"), data)
    padded = losses.target_logprobs(model, batch["ids"], batch["labels"])
    theirs = gradients(model, -padded.sum())
    assert packing.examine(model, losses.target_logprobs) and model.training
    with watched(model) as shapes:
        packed = losses.target_logprobs(model, **batch)
    assert shapes == [(1, sum(lengths))] and sum(lengths) < batch["ids"].numel()
    torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-5)
    ours = gradients(model, -packed.sum())
    assert ours.keys() == theirs.keys() and ours
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-4, msg=name)
    assert model.config._attn_implementation == "sdpa"


def test_the_way_of_an_accelerator_gives_the_same(make_plan: Plans, data: TrainingData) -> None:
    import torch

    from harness.arms.training import packing

    model = sft.prepare(make_plan(FULL)).model
    lengths = torch.tensor([5, 2, 4])
    rows = packing.layout(lengths, (5, 2, 4))
    assert rows.positions.tolist() == [[0, 1, 2, 3, 4, 0, 1, 0, 1, 2, 3]]
    places = torch.tensor([0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13])
    slots = torch.zeros(15, dtype=torch.long)
    slots[places] = torch.arange(11)
    padded = packing.Packed((5, 2, 4), lengths, rows.positions, slots, places)
    layer = model.model.layers[0].self_attn
    torch.manual_seed(0)
    sides = [torch.randn(1, heads, 11, 16) for heads in (2, 1, 1)]
    one, _ = packing.attention(layer, *sides, None, packed=rows, scaling=0.3, dropout=0.0)
    other, _ = packing.attention(layer, *sides, None, packed=padded, scaling=0.3, dropout=0.0)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert one.shape == (1, 11, 2, 16)


@pytest.mark.parametrize("reason", ["eager", "virtual tokens", "window", "positions", "kwargs"])
def test_what_cannot_lie_end_to_end_is_padded(
    reason: str,
    make_plan: Plans,
    data: TrainingData,
    base_folder: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from harness.arms.training import losses, packing

    arm: dict[str, Any] = FULL
    # Learnt positions: turned ones only know how far apart two tokens are, and would not notice.
    kind = "gpt2" if reason == "positions" else "llama"
    base = BaseModelSpec(path=str(base_folder(kind)), attention="eager" if reason == "eager" else "auto")
    if reason == "virtual tokens":
        arm = {"method": "peft", "type": "PREFIX_TUNING", "config": {"num_virtual_tokens": 3}}
    model, batch, _ = batch_of(make_plan(arm, base=base, train_id="padded"), data)
    dropped = {"positions": "position_ids", "kwargs": "packed"}.get(reason)
    if dropped is not None:
        own = type(model).forward

        def forward(self: Any, *args: Any, **rest: Any) -> Any:
            rest.pop(dropped, None)
            return own(self, *args, **rest)

        monkeypatch.setattr(type(model), "forward", forward)
    assert packing.examine(model, losses.target_logprobs) is (reason == "window")
    if reason == "window":
        model.config.sliding_window = int(batch["lengths"].max()) - 1
    with watched(model) as shapes:
        losses.target_logprobs(model, **batch)
    assert shapes == [tuple(batch["ids"].shape)]


def test_a_training_and_its_validation_see_no_padding(
    make_plan: Plans, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.arms.training import packing

    seen: list[tuple[tuple[int, ...], int]] = []
    real = packing.forward
    monkeypatch.setattr(
        packing,
        "forward",
        lambda model, ids, packed: (
            seen.append((tuple(ids.shape), sum(packed.lengths)))  # type: ignore[func-returns-value]
            or real(model, ids, packed)
        ),
    )
    parent = make_plan({**FULL, "evaluations": 1}, budget={"examples": 16})
    result = sft.train(parent, data, nothing)
    trial, *passes = seen
    assert trial == ((1, sum(packing.TRIAL)), sum(packing.TRIAL)) and len(passes) == 2 + 1
    assert all(shape == (1, tokens) for shape, tokens in passes)
    assert sum(tokens for _, tokens in passes[:2]) == result.ledger.tokens
    seen.clear()
    done = dpo.train(make_plan({"method": "dpo", "parent": "full", "examples": 8}, parent="full"), data, nothing)
    assert done.ledger.tokens in [tokens for _, tokens in seen] and all(shape[0] == 1 for shape, _ in seen)
