"""CausalModel against plain transformers loops, on tiny random models of several architectures."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from tiny_models import EXTRA

from harness.config import BaseModelSpec
from harness.models import Continuation
from harness.models.transformers import causal
from harness.models.transformers.causal import CausalModel
from harness.models.transformers.loading import load_base

Folder = Callable[[str], Path]
KINDS = sorted(EXTRA)


def load(folder: Path, **options: Any) -> CausalModel:
    model, tokenizer = load_base(BaseModelSpec(path=str(folder), **options), "cpu")
    return CausalModel(model, tokenizer)


def some_requests(seed: int = 0, contexts: int = 5, each: int = 3) -> list[Continuation]:
    """Continuations longer than the sliding windows of the tiny models, several to a context."""
    rng = random.Random(seed)

    def ids(least: int, most: int) -> tuple[int, ...]:
        return tuple(rng.randrange(2, 300) for _ in range(rng.randint(least, most)))

    made = [ids(2, 40) for _ in range(contexts)]
    return [Continuation(context, ids(1, 14)) for context in made for _ in range(each)]


def plain_logprobs(model: Any, requests: Sequence[Continuation]) -> list[tuple[float, bool]]:
    """The reference: one sequence at a time, log-softmax over everything, nothing clever."""
    values = []
    for request in requests:
        ids = torch.tensor([[*request.context, *request.target]])
        with torch.no_grad():
            table = model(input_ids=ids).logits[0, -len(request.target) - 1 : -1].double().log_softmax(-1)
        picked = [float(table[i, token]) for i, token in enumerate(request.target)]
        values.append((sum(picked), bool((table.argmax(-1) == ids[0, -len(request.target) :]).all())))
    return values


def assert_same(got: Sequence[Any], wanted: Sequence[tuple[float, bool]]) -> None:
    assert [row.greedy for row in got] == [greedy for _, greedy in wanted]
    assert max(abs(row.logprob - value) for row, (value, _) in zip(got, wanted, strict=True)) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_likelihoods_and_answers_equal_plain_loops(tiny: Folder, kind: str) -> None:
    model = load(tiny(kind))
    requests = some_requests()
    together = model.logprobs(requests)
    assert model.shares_contexts
    assert_same(together, plain_logprobs(model.model, requests))
    alone = [model.logprobs([request])[0] for request in requests]
    assert max(abs(a.logprob - b.logprob) for a, b in zip(together, alone, strict=True)) < 1e-4
    assert [row.tokens for row in together] == [len(request.target) for request in requests]

    prompts = [request.context for request in requests[::3]]
    answers = model.generate(prompts, 12, [])
    assert answers == [model.generate([prompt], 12, [])[0] for prompt in prompts]
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = list(prompt)
        while len(ids) < len(prompt) + 12:
            with torch.no_grad():
                ids.append(int(model.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == model.tokenizer.eos_token_id:
                ids.pop()
                break
        assert list(answer.tokens) == ids[len(prompt) :]


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), size=st.integers(1, 16))
def test_likelihoods_do_not_depend_on_batch_size(
    tiny: Folder, shared: dict[str, CausalModel], seed: int, size: int
) -> None:
    model = shared.setdefault("llama", load(tiny("llama")) if "llama" not in shared else shared["llama"])
    requests = some_requests(seed, contexts=4, each=4)
    random.Random(seed).shuffle(requests)
    whole = model.logprobs(requests)
    parts = [row for start in range(0, 16, size) for row in model.logprobs(requests[start : start + size])]
    assert max(abs(a.logprob - b.logprob) for a, b in zip(whole, parts, strict=True)) < 1e-4


@pytest.fixture(scope="module")
def shared() -> dict[str, CausalModel]:
    return {}


ADAPTERS = {
    "lora": {"type": "LORA", "r": 4, "target_modules": "all-linear", "init_lora_weights": False},
    "lora-head": {"type": "LORA", "r": 4, "target_modules": ["q_proj", "lm_head"], "init_lora_weights": False},
    "ia3": {"type": "IA3", "target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "prefix": {"type": "PREFIX_TUNING", "num_virtual_tokens": 5},
    "prompt": {"type": "PROMPT_TUNING", "num_virtual_tokens": 5},
}


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft asks for it
@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_adapters_score_as_their_own_forward_pass(base: BaseModelSpec, name: str) -> None:
    """Virtual tokens stand before a text (prompt tuning) or in its cache (prefix tuning); neither may shift a score."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftType, get_peft_model

    fields = {key: value for key, value in ADAPTERS[name].items() if key != "type"}
    config = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(ADAPTERS[name]["type"])](task_type="CAUSAL_LM", **fields)
    model, tokenizer = load_base(base, "cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapted = get_peft_model(model, config)
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, 0.5, 0.3)
    wrapped = CausalModel(adapted, tokenizer)
    requests = some_requests()
    with torch.no_grad():
        bare = adapted.get_base_model()
        changed = adapted(input_ids=torch.tensor([[5, 6, 7]])).logits[:, -3:]
        if name in ("prefix", "prompt"):
            with adapted.disable_adapter():
                assert not torch.equal(changed, bare(input_ids=torch.tensor([[5, 6, 7]])).logits)
    assert_same(wrapped.logprobs(requests), plain_logprobs(adapted, requests))
    prompts = [request.context for request in requests[::3]]
    assert wrapped.generate(prompts, 8, []) == [wrapped.generate([prompt], 8, [])[0] for prompt in prompts]


def test_head_sees_scored_positions_only(tiny: Folder) -> None:
    model = load(tiny("llama"))
    assert model.shares_contexts and model.grows_trees
    seen: list[int] = []
    model.model.get_output_embeddings().register_forward_hook(lambda m, args, out: seen.append(out.shape[:-1].numel()))
    model.logprobs([Continuation((5, 6, 7, 8), (9, 10)), Continuation((11, 12), (13,))])
    assert seen == [3]


def test_model_without_a_head_module_is_scored_from_whole_logits(tiny: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny("llama"))
    monkeypatch.setattr(model.model, "get_output_embeddings", lambda: None)
    requests = some_requests()
    assert_same(model.logprobs(requests), plain_logprobs(model.model, requests))


def test_model_whose_cache_cannot_be_split_scores_whole_sequences(
    tiny: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import DynamicCache

    def refuse(self: Any, indices: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(DynamicCache, "batch_select_indices", refuse)
    model = load(tiny("llama"))
    requests = some_requests()
    assert_same(model.logprobs(requests), plain_logprobs(model.model, requests))
    assert not model.shares_contexts


def test_model_whose_cache_is_wrong_scores_whole_sequences(tiny: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import DynamicCache

    right = DynamicCache.batch_select_indices
    monkeypatch.setattr(DynamicCache, "batch_select_indices", lambda self, indices: right(self, indices.flip(0)))
    model = load(tiny("llama"))
    assert not model.shares_contexts


def test_logits_are_held_in_parts(tiny: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny("llama"))
    requests = some_requests()
    whole = model.logprobs(requests)
    monkeypatch.setattr(causal, "LOGIT_BYTES", 4 * 400 * 20)
    parts = model.logprobs(requests)
    assert max(abs(a.logprob - b.logprob) for a, b in zip(whole, parts, strict=True)) < 1e-4


def test_empty_context_is_scored_from_the_prefix_token(tiny: Folder) -> None:
    model = load(tiny("llama"))
    assert model.prefix_id == model.tokenizer.bos_token_id == 0
    without, given_bos = Continuation((), (5, 6, 7)), Continuation((0,), (5, 6, 7))
    assert model.logprobs([without]) == model.logprobs([given_bos])
    model.prefix_id = None
    [row] = model.logprobs([without])
    assert row.tokens == 2
    assert row == model.logprobs([Continuation((5,), (6, 7))])[0]


def test_empty_batches(tiny: Folder) -> None:
    model = load(tiny("llama"))
    assert model.generate([], 5, []) == []
    assert model.logprobs([]) == []


def test_stop_strings_cut_text_and_tokens(tiny: Folder) -> None:
    model = load(tiny("llama"))
    prompts = [request.context for request in some_requests()[::3]]
    free = model.generate(prompts, 30, [])
    assert {row.finish for row in free} == {"length"}
    stop = free[0].text[4:7]
    cut = model.generate(prompts, 30, [stop, "never generated"])
    assert cut[0].text == free[0].text[: free[0].text.index(stop)]
    assert cut[0].finish == "stop"
    assert cut[0].tokens == free[0].tokens[: len(cut[0].tokens)] and len(cut[0].tokens) <= 7
    for row, full in zip(cut, free, strict=True):
        assert stop not in row.text and full.text.startswith(row.text)
        assert row.finish == ("stop" if stop in full.text else "length")


def test_end_of_sequence_ends_an_answer(tiny: Folder) -> None:
    model = load(tiny("llama"))
    prompt = some_requests()[0].context
    [free] = model.generate([prompt], 10, [])
    end = free.tokens[4]
    model.eos_ids = (end,)
    model._reset_generation_config()
    [ended] = model.generate([prompt], 10, [])
    assert ended.tokens == free.tokens[: free.tokens.index(end)]
    assert ended.finish == "stop"


@pytest.mark.parametrize("kind", KINDS)
def test_own_loop_equals_generate_while_rows_leave_the_batch(tiny: Folder, kind: str) -> None:
    model = load(tiny(kind))
    prompts = [request.context for request in some_requests(1, contexts=12, each=1)]
    free = model.generate(prompts, 40, [])
    model.eos_ids = tuple({row.tokens[3 * number] for number, row in enumerate(free)})[:8]
    model._reset_generation_config()
    for stop in ([], [free[0].text[5:7], free[1].text[2:4]]):
        fast = model.generate(prompts, 40, stop)
        assert model.shares_contexts
        model._shares = False
        assert fast == model.generate(prompts, 40, stop)
        model._shares = True
        assert len({len(row.tokens) for row in fast}) > 3


def test_cache_grows_beyond_its_first_buffer(tiny: Folder) -> None:
    model = load(tiny("llama"))
    prompts = [(5, 6, 7), (8, 9)]
    [long, other] = model.generate(prompts, 200, [])
    assert len(long.tokens) == len(other.tokens) == 200
    model._shares = False
    assert model.generate(prompts, 200, []) == [long, other]


def test_sampling_defaults_of_a_folder_do_not_leak_in(tiny: Folder, tmp_path: Path) -> None:
    plain = load(tiny("llama"))
    folder = tmp_path / "model"
    shutil.copytree(tiny("llama"), folder)
    prompts = [request.context for request in some_requests()[::3]]
    answers = plain.generate(prompts, 10, [])
    unused = min(set(range(2, 400)) - {token for answer in answers for token in answer.tokens})
    config = {
        "do_sample": True,
        "temperature": 3.0,
        "top_k": 7,
        "repetition_penalty": 5.0,
        "min_new_tokens": 20,
        "eos_token_id": [1, unused],
    }
    (folder / "generation_config.json").write_text(json.dumps(config))
    other = load(folder)
    assert other.generate(prompts, 10, []) == answers
    assert other.eos_ids == (1, unused)


def test_encode_adds_no_special_tokens_and_decodes_back(tiny: Folder) -> None:
    model = load(tiny("llama"))
    text = "Ärztin: 5 days, no fever.\n"
    ids = model.encode(text)
    assert not {0, 1} & set(ids)
    assert model.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_beyond_the_context_is_one_clear_line(tiny: Folder) -> None:
    from harness.errors import ArmFailed

    model = load(tiny("gpt2"))
    with pytest.raises(ArmFailed, match="beyond the model's 256 tokens"):
        model.logprobs([Continuation(tuple([5] * 300), (6,))])


def test_close_frees_the_model(tiny: Folder) -> None:
    model = load(tiny("llama"))
    model.close()
    assert model.model is None
