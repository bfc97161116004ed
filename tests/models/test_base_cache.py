"""A base that is kept between arms: loaded once, the same bits as a fresh one, and loaded anew when it was changed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_plans import plan_of

from harness.config import BaseModelSpec, QuantSpec
from harness.models import Continuation
from harness.models.transformers import loading, same_model
from harness.models.transformers.base_cache import BASE, BaseCache
from harness.records import Artefact

Folder = Callable[[str], Path]
UNLOADED: dict[str, dict[str, Any]] = {
    "lora": {"r": 4, "target_modules": "all-linear"},
    "dora": {"r": 4, "target_modules": "all-linear", "use_dora": True},
}
RELOADED: dict[str, dict[str, Any]] = {
    "tokens": {"r": 2, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "ia3": {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "oft": {"oft_block_size": 8, "r": 0, "target_modules": ["q_proj"]},
    "ln_tuning": {"target_modules": ["input_layernorm"]},
    "prefix_tuning": {"num_virtual_tokens": 3},
}
ADAPTERS = UNLOADED | RELOADED
KINDS = {"dora": "LORA", "tokens": "LORA"}
pytestmark = [pytest.mark.usefixtures("nothing_kept"), pytest.mark.filterwarnings("ignore::UserWarning")]
QUESTIONS = [Continuation((5, 6, 7), (8, 9)), Continuation((5, 6, 7), (10,)), Continuation((), (11, 12))]


def save(base: BaseModelSpec, name: str, folder: Path, quantisation: QuantSpec | None = None) -> None:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, get_peft_model

    kinds = {str(kind.value): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    config: Any = kinds[KINDS.get(name, name.upper())](task_type="CAUSAL_LM", **ADAPTERS[name])
    model, _ = loading.load_base(base, "cpu", quantisation)
    torch.manual_seed(1)
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight))
    adapted.save_pretrained(str(folder), save_embedding_layers=False)


def ask(base: BaseModelSpec, folder: Path | None, quantisation: QuantSpec | None = None) -> Any:
    """Every way in which an artefact is asked, closed afterwards."""
    path = None if folder is None else str(folder)
    kind: Any = "base" if folder is None else "adapter"
    artefact = Artefact(kind, "", "", path, "", loading.quantisation_record(quantisation), "", "", "")
    model = loading.load_artefact(plan_of(base, Path("/")), artefact)
    answers = model.logprobs(QUESTIONS), model.generate([(5, 6, 7), (9, 10)], 6, ("zz",)), model.generation_settings
    model.close()
    return answers


def fresh(*arguments: Any) -> Any:
    BASE.drop()
    answers = ask(*arguments)
    BASE.drop()
    return answers


@pytest.mark.parametrize("quantisation", [None, QuantSpec()], ids=["plain", "nf4"])
def test_arms_in_turn_score_as_with_a_base_of_their_own(
    base: BaseModelSpec, tmp_path: Path, loads: list[Path], quantisation: QuantSpec | None
) -> None:
    names = list(ADAPTERS) if quantisation is None else ["lora", "dora", "ia3", "prefix_tuning"]
    for name in names:
        save(base, name, tmp_path / name, quantisation)
    folders = [None, *(tmp_path / name for name in names)]
    expected = [fresh(base, folder, quantisation) for folder in folders]
    loads.clear()
    # Back to front as well: whatever an arm leaves behind meets every other one.
    assert [ask(base, folder, quantisation) for folder in folders] == expected
    assert [ask(base, folder, quantisation) for folder in reversed(folders)] == expected[::-1]
    loads.clear()
    for folder in (None, tmp_path / "lora", tmp_path / "dora", None) * 2:
        ask(base, folder, quantisation)
    assert len(loads) == 0


@pytest.mark.parametrize("kind", ["gpt2", "gemma3_text", "mistral"])
def test_other_architectures_are_kept_too(tiny: Folder, kind: str, tmp_path: Path, loads: list[Path]) -> None:
    base = BaseModelSpec(path=str(tiny(kind)))
    save(base, "lora", tmp_path / "lora")
    expected = [fresh(base, folder) for folder in (None, tmp_path / "lora")]
    loads.clear()
    assert [ask(base, folder) for folder in (None, tmp_path / "lora", None)] == [*expected, expected[0]]
    assert len(loads) == 1


def borrowed(base: BaseModelSpec, quantisation: QuantSpec | None = None) -> Any:
    return loading.borrow_base(base, "cpu", quantisation)[0]


def set_weight(model: Any, probed: bool) -> None:
    """Write past the counter of writes, in a row of the embeddings that the probe reads or in one that it does not."""
    rows = {(7919 * i + 17) % len(model.get_input_embeddings().weight) for i in range(16)}
    row = next(row for row in range(400) if (row in rows) == probed)
    model.get_input_embeddings().weight.data[row].add_(1e-3)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "weight": lambda model: set_weight(model, True),
    "weight that the probe does not read": lambda model: set_weight(model, False),
    "hook of a weight": lambda model: model.model.norm.weight.register_hook(lambda gradient: 2 * gradient),
    "hook": lambda model: model.model.norm.register_forward_hook(lambda module, given, out: None),
    "patch": lambda model: setattr(model.model.norm, "forward", model.model.norm.forward),
    "module": lambda model: setattr(model.model.layers[1].mlp, "act_fn", torch.nn.Dropout(0.5)),
    "class": lambda model: setattr(model.model.norm, "__class__", type("Other", (type(model.model.norm),), {})),
    "configuration": lambda model: model.config.rope_parameters.update(rope_theta=3.0),
    "attribute": lambda model: setattr(model, "patched", True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_base_that_was_changed_is_loaded_anew(base: BaseModelSpec, change: Callable[[Any], None]) -> None:
    expected = same_model.probe(loading.load_base(base, "cpu")[0])
    model = borrowed(base)
    change(model)
    BASE.take_back(model)
    again = borrowed(base)
    assert again is not model
    assert same_model.probe(again).equal(expected)


def test_what_training_and_scoring_set_is_put_back(base: BaseModelSpec) -> None:
    model = borrowed(base)
    flags, generation = [weight.requires_grad for weight in model.parameters()], model.generation_config.to_dict()
    model.train()
    model.requires_grad_(False)
    model.generation_config.eos_token_id = [7]
    model.lm_head.weight.grad = torch.ones_like(model.lm_head.weight)
    BASE.take_back(model)
    again = borrowed(base)
    assert again is model and not model.training and model.generation_config.to_dict() == generation
    assert [weight.requires_grad for weight in model.parameters()] == flags and model.lm_head.weight.grad is None


def test_four_bit_scales_count_as_weights(base: BaseModelSpec) -> None:
    model = borrowed(base, QuantSpec())
    layer = model.model.layers[0].mlp.down_proj
    BASE.take_back(model)
    assert borrowed(base, QuantSpec()) is model
    layer.weight.quant_state.absmax.data.add_(1)
    BASE.take_back(model)
    assert borrowed(base, QuantSpec()) is not model


@pytest.mark.parametrize("settings", [{"bias": "all"}, {"init_lora_weights": "pissa"}], ids=["biases", "pissa"])
def test_adapters_that_write_to_the_base_do_not_reach_the_next_arm(
    tiny: Folder, settings: dict[str, Any], loads: list[Path]
) -> None:
    from peft import LoraConfig, get_peft_model

    base = BaseModelSpec(path=str(tiny("gpt2")))
    expected = fresh(base, None)
    loads.clear()
    model = borrowed(base)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["c_proj"], fan_in_fan_out=True, **settings))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if weight.requires_grad and name.endswith("bias"):
                weight.add_(0.1)
    BASE.take_back(adapted)
    assert ask(base, None) == expected
    assert len(loads) == 2


def test_one_at_a_time(base: BaseModelSpec, tiny: Folder) -> None:
    first = borrowed(base)
    second = borrowed(base)
    assert second is not first, "the first is not back"
    BASE.take_back(first)
    assert borrowed(base) is not second, "what is taken back must be what was lent"
    kept = borrowed(base)
    BASE.take_back(kept)
    gone = weakref.ref(kept)
    del first, second, kept
    # Other dtype, quantisation, folder, or weights for oneself: the kept base goes before they are loaded.
    loading.load_full(tiny("llama"), base, "cpu", None)
    gc.collect()
    assert gone() is None
    BASE.take_back(plain := borrowed(base))
    assert borrowed(base) is plain
    BASE.take_back(plain)
    for other in (base.model_copy(update={"dtype": "bfloat16"}), base.model_copy(update={"attention": "eager"})):
        assert borrowed(other) is not plain


def test_the_old_base_is_gone_before_the_next_is_loaded() -> None:
    cache = BaseCache()
    models: list[Any] = []

    def load() -> Any:
        gc.collect()
        assert not any(ref() for ref in models)
        model = torch.nn.Linear(2, 2)
        models.append(weakref.ref(model))
        return model

    def probe(model: Any) -> Any:
        return model(torch.ones(2)).detach()

    for key in ("a", "b", "b"):
        cache.take_back(cache.lend(key, load, probe))
    assert len(models) == 2
    cache.drop()
    assert not any(ref() for ref in models)
