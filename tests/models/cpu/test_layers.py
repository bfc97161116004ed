"""Layers for CPUs: the numbers of transformers' own for plain models, adapters and 4-bit weights; and who gets none."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import EXTRA, save_model

from harness.config import BaseModelSpec, QuantSpec
from harness.models import Continuation
from harness.models.cpu import layers, scoring
from harness.models.transformers.causal import CausalModel
from harness.models.transformers.loading import load_base

Folder = Callable[[str], Path]


def load(folder: Path, quantisation: QuantSpec | None = None, **options: Any) -> CausalModel:
    return CausalModel(*load_base(BaseModelSpec(path=str(folder), **options), "cpu", quantisation))


def some_requests(seed: int = 0, longest: int = 150) -> list[Continuation]:
    """Contexts with several continuations that share their beginnings, texts without context, an empty target."""
    rng = random.Random(seed)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(2, 300) for _ in range(count))

    found = [Continuation((), ids(40)), Continuation(ids(3), ()), Continuation((5,), ids(1))]
    for _ in range(5):
        context, first = ids(rng.randint(1, longest)), ids(rng.randint(1, 60))
        others = [(*first[: rng.randrange(len(first))], *ids(rng.randint(1, 9))) for _ in range(3)]
        found += [Continuation(context, target) for target in (first, *others)]
    return found


def both_ways(model: CausalModel, ask: Callable[[CausalModel], Any]) -> tuple[Any, Any]:
    """Answers through the kernels for CPUs, and through the layers of transformers."""
    assert model.cpu_scorer is not None
    quick = ask(model)
    model._cpu_agrees = False
    plain = ask(model)
    model._cpu_agrees = True
    return quick, plain


def assert_same(model: CausalModel, requests: Sequence[Continuation]) -> None:
    quick, plain = both_ways(model, lambda asked: asked.logprobs(requests))
    assert max(abs(a.logprob - b.logprob) for a, b in zip(quick, plain, strict=True)) < 1e-4
    assert [(row.greedy, row.tokens) for row in quick] == [(row.greedy, row.tokens) for row in plain]
    prompts = [request.context for request in requests if request.context][::2]
    quick, plain = both_ways(model, lambda asked: asked.generate(prompts, 20, []))
    assert quick == plain


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("copied", [0, layers.COPIED_BYTES])
def test_numbers_and_answers_are_those_of_the_models_own_layers(
    tiny: Folder, kind: str, copied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "COPIED_BYTES", copied)
    model = load(tiny(kind))
    assert_same(model, some_requests())
    monkeypatch.setattr(scoring, "PART_TOKENS", 50)
    assert_same(model, some_requests(1))


def test_biases_and_a_window_that_is_none(tmp_path: Path) -> None:
    assert_same(load(save_model(tmp_path / "biased", attention_bias=True, mlp_bias=True)), some_requests())
    # Rows longer than a block of attention's keys.
    long = load(save_model(tmp_path / "long", max_position_embeddings=1024))
    assert_same(long, some_requests(2, longest=700))


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_long_common_beginning_goes_through_once(tiny: Folder, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny(kind))
    assert model.cpu_scorer is not None
    rng = random.Random(3)
    first = tuple(rng.randrange(2, 300) for _ in range(100))
    texts = [(*first, *(rng.randrange(2, 300) for _ in range(rng.randint(4, 30)))) for _ in range(5)]
    requests = [Continuation(text, tail) for text in texts for tail in ((5, 6, 7), (5, 9), (8,))]
    sizes: list[int] = []
    real = layers.Decoder.__call__

    def counted(self: Any, ids: Any, *rest: Any) -> Any:
        sizes.append(len(ids))
        return real(self, ids, *rest)

    monkeypatch.setattr(layers.Decoder, "__call__", counted)
    together = model.logprobs(requests)
    assert sizes[0] == 100 and sum(sizes[1:]) < 200
    sizes.clear()
    answers = model.generate(texts, 12, [])
    assert sizes[0] < 160 and all(size <= 5 for size in sizes[1:]), "kept from before"
    assert answers == [model.generate([text], 12, [])[0] for text in texts]
    alone = [model.logprobs([request])[0] for request in requests]
    assert max(abs(a.logprob - b.logprob) for a, b in zip(together, alone, strict=True)) < 1e-4
    assert_same(model, requests)
    with torch.no_grad():
        model.model.model.layers[0].self_attn.k_proj.weight.mul_(1.5)
    model._tree._prefix = None
    assert_same(model, requests)


@pytest.mark.parametrize("quantised", [False, True], ids=["float32", "nf4"])
@pytest.mark.parametrize(
    "options",
    [{}, {"target_modules": ["v_proj", "up_proj", "down_proj", "o_proj"]}, {"use_rslora": True}, {"use_dora": True}],
    ids=["all", "some", "rslora", "dora"],
)
def test_adapters(base: BaseModelSpec, quantised: bool, options: dict[str, Any]) -> None:
    from peft import LoraConfig, get_peft_model

    model, tokenizer = load_base(base, "cpu", QuantSpec() if quantised else None)
    fields = {"r": 4, "lora_alpha": 12, "target_modules": "all-linear", "init_lora_weights": False, **options}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapted = CausalModel(get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **fields)), tokenizer)
    requests = some_requests()
    assert_same(adapted, requests)
    before = adapted.logprobs(requests)
    with adapted.model.disable_adapter():
        assert_same(adapted, requests)
        assert adapted.logprobs(requests) != before
    assert adapted.logprobs(requests) == before
    with torch.no_grad():
        for name, weight in adapted.model.named_parameters():
            if "lora_B" in name:
                weight.mul_(0.5)
    assert_same(adapted, requests)
    assert adapted.logprobs(requests) != before


def test_four_bit_weights_are_left_to_their_layers(base: BaseModelSpec) -> None:
    assert_same(CausalModel(*load_base(base, "cpu", QuantSpec())), some_requests())


@pytest.mark.parametrize("kind", sorted(set(EXTRA) - {"llama", "qwen3"}))
def test_other_architectures_are_left_to_transformers(tiny: Folder, kind: str) -> None:
    assert load(tiny(kind)).cpu_scorer is None


def test_what_only_looks_like_a_llama_is_found_out(tiny: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny("llama"))
    act = model.model.model.layers[1].mlp
    own = type(act).forward
    monkeypatch.setattr(type(act), "forward", lambda self, x: own(self, x) * 0.9)
    assert layers.Decoder.of(model.model) is not None
    assert model.cpu_scorer is None
    requests = some_requests()
    assert model.logprobs(requests)[3].tokens == len(requests[3].target)


@pytest.mark.parametrize("options", [{"attention": "eager"}, {"dtype": "bfloat16"}])
def test_only_torchs_attention_in_float32(tiny: Folder, options: dict[str, Any]) -> None:
    assert load(tiny("llama"), **options).cpu_scorer is None


def test_a_hook_set_later_is_called(tiny: Folder) -> None:
    model = load(tiny("llama"))
    requests = some_requests()
    plain = model.logprobs(requests)
    assert model.cpu_scorer is not None
    layer = model.model.model.layers[0]
    handle = layer.register_forward_hook(lambda module, args, out: out * 0)
    assert model.cpu_scorer is None
    assert model.logprobs(requests) != plain
    handle.remove()
    assert model.logprobs(requests) == plain
    # A product of its own is called through its module.
    handle = layer.mlp.down_proj.register_forward_hook(lambda module, args, out: out * 0)
    assert model.cpu_scorer is not None and model.logprobs(requests) != plain
    handle.remove()
    assert model.logprobs(requests) == plain
