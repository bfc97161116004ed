"""Layers in fewer passes: the same numbers, the right gradients, and only where they are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.arms import sft
from harness.models.cpu import training
from harness.records import RunPlan

Plans = Callable[..., RunPlan]
LORA: dict[str, Any] = {"method": "lora", "lora": {"r": 4}}


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)


def test_gradients_are_those_of_finite_differences() -> None:
    half = numbers(1, 5, 3).detach()
    angles = torch.cat([half, half], -1)[:, None]
    cos, sin = angles.cos(), angles.sin()
    check = torch.autograd.gradcheck
    x = numbers(2, 3, 6)
    assert check(lambda a, w: training.RmsNorm.apply(a, w, 1e-3), (x, numbers(6)))
    assert check(lambda q, k: training.Rotary.apply(q, k, cos, sin), (numbers(1, 2, 5, 6), numbers(1, 1, 5, 6)))
    frozen = numbers(4, 6).detach()
    assert check(lambda a, d, u: training.LoraLinear.apply(a, frozen, d, u, 0.7), (x, numbers(2, 6), numbers(4, 2)))
    assert check(
        lambda y, a, d, u: training.LowRank.apply(y, a, d, u, 0.7), (numbers(2, 3, 4), x, numbers(2, 6), numbers(4, 2))
    )


def replaced(model: Any) -> list[str]:
    """Kinds of what is replaced in a model for the time of a forward pass."""
    from transformers.models.llama import modeling_llama

    own = modeling_llama.apply_rotary_pos_emb
    with training.applied(model):
        kinds = {type(module).__name__ for module in model.modules() if "forward" in vars(module)}
        if modeling_llama.apply_rotary_pos_emb is not own:
            kinds.add("rotary")
    assert modeling_llama.apply_rotary_pos_emb is own
    assert not any("forward" in vars(module) for module in model.modules())
    return sorted(kinds)


def test_what_is_replaced_is_put_back_and_gives_the_same(make_plan: Plans) -> None:
    model = sft.prepare(make_plan(LORA)).model
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name or "norm" in name:
                weight.copy_(torch.arange(weight.numel()).sin().reshape(weight.shape))
    ids = torch.arange(24).reshape(2, 12)
    assert replaced(model) == ["Linear", "LlamaRMSNorm", "rotary"]
    plain = model(input_ids=ids, use_cache=False).logits
    with training.applied(model):
        quick = model(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(quick, plain, rtol=1e-4, atol=1e-4)
    assert not torch.equal(quick, plain), "nothing was replaced"
    with training.applied(model), model.disable_adapter(), torch.no_grad():
        bare = model(input_ids=ids, use_cache=False).logits
    with model.disable_adapter(), torch.no_grad():
        torch.testing.assert_close(bare, model(input_ids=ids, use_cache=False).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "arm",
    [
        {"method": "lora", "lora": {"r": 4, "dropout": 0.5}},
        {"method": "peft", "type": "LORA", "config": {"r": 4, "use_dora": True, "target_modules": "all-linear"}},
        {"method": "peft", "type": "LORA", "config": {"r": 4, "use_rslora": True, "target_modules": "all-linear"}},
    ],
    ids=["dropout", "dora", "rslora"],
)
def test_an_adapter_that_is_more_than_lora_is_left_to_peft(arm: dict[str, Any], make_plan: Plans) -> None:
    model = sft.prepare(make_plan(arm)).model.train()
    layer = next(module for name, module in model.named_modules() if name.endswith("q_proj"))
    plain = training._plain_adapter(layer, torch.zeros(1, 3, 32))
    assert plain == ("default" if "use_rslora" in arm.get("config", {}) else None)
    assert training._plain_adapter(layer, torch.zeros(1, 3, 32, dtype=torch.bfloat16)) is None


def test_a_layer_that_computes_something_else_under_the_same_name_is_left_alone(make_plan: Plans) -> None:
    model = sft.prepare(make_plan({"method": "full"})).model

    class LlamaRMSNorm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.variance_epsilon = torch.nn.Parameter(torch.ones(32)), 1e-6

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (1 + self.weight)

    model.model.norm = LlamaRMSNorm()
    with training.applied(model):
        assert "forward" not in vars(model.model.norm) and "forward" in vars(model.model.layers[0].input_layernorm)
