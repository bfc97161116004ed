"""Requests and results against plain transformers loops, through the real Prompter and a tiny real model."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from harness.config import BaseModelSpec, ChatSpec, TaskSpec
from harness.data.prompts import Prompter
from harness.experiments.evaluation.predict import (
    LikelihoodRequest,
    Settings,
    generation_requests,
    likelihoods,
    predict,
    preference_requests,
    retention_requests,
    target_requests,
)
from harness.models.transformers.causal import CausalModel
from harness.models.transformers.loading import load_base
from harness.records import Example, PreferencePair, RetentionText

WORDS = [
    "cough",
    "fever",
    "three",
    "five",
    "days",
    "no",
    "yes",
    "ibuprofen",
    "400",
    "mg",
    "twice",
    "Ärztin",
    "denied",
    "since",
    "Monday",
]
SETTINGS = Settings(eval_id="e", batch_tokens=2000, max_rows=16, max_new_tokens=12)
TASK = TaskSpec.model_validate(
    {
        "name": "t",
        "data": {"path": "x.jsonl", "licence": "CC0-1.0"},
        "prompt": "{{ p }}",
        "target": "{{ t }}",
        "metrics": {"primary": "rouge_l"},
    }
)
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}"
    "{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def model(llama: Path) -> CausalModel:
    loaded, tokenizer = load_base(BaseModelSpec(path=str(llama)), "cpu")
    return CausalModel(loaded, tokenizer)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    rng = random.Random(3)

    def text(least: int, most: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))

    return [Example(f"x{i}", f"g{i}", (text(2, 9),), prompt=f"Visit: {text(3, 25)}\nNote:\n") for i in range(16)]


def prompter(model: CausalModel, chat: ChatSpec | None = None) -> Prompter:
    return Prompter(model.tokenizer, chat or ChatSpec(), TASK, model.context)


def plain_sum(model: Any, context: tuple[int, ...], target: tuple[int, ...]) -> float:
    ids = torch.tensor([context + target])
    with torch.no_grad():
        table = model(input_ids=ids).logits[0].double().log_softmax(-1)
    return sum(float(table[len(context) - 1 + i, token]) for i, token in enumerate(target))


@pytest.mark.parametrize("chat", [ChatSpec(), ChatSpec(use="always", template=TEMPLATE)], ids=["text", "chat"])
def test_perplexity_equals_a_plain_transformers_loop(
    model: CausalModel, examples: list[Example], tmp_path: Path, chat: ChatSpec
) -> None:
    ruler = prompter(model, chat)
    requests = target_requests(ruler, examples)
    rows = likelihoods(model, requests, SETTINGS, tmp_path / "score.jsonl", lambda *a: None)
    logprob, tokens = 0.0, 0
    for example in examples:
        encoded = ruler.encode(example)
        target = model.tokenizer.encode(example.references[0], add_special_tokens=False)
        assert list(encoded.target[: len(target)]) == target
        assert encoded.target[len(target)] == model.tokenizer.eos_token_id
        logprob += plain_sum(model.model, encoded.prompt, tuple(target))
        tokens += len(target)
    assert sum(row.tokens for row in rows) == tokens
    assert sum(row.bytes for row in rows) == sum(len(example.references[0].encode()) for example in examples)
    perplexity = math.exp(-sum(row.logprob for row in rows) / tokens)
    assert perplexity == pytest.approx(math.exp(-logprob / tokens), rel=1e-5)
    assert {(row.suite, row.role, row.continuation) for row in rows} == {("test", "target", 0)}
    assert [row.item for row in rows] == [example.id for example in examples]


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 16), tokens=st.integers(1, 4000))
def test_results_do_not_depend_on_batch_size(
    model: CausalModel, examples: list[Example], tmp_path: Path, rows: int, tokens: int
) -> None:
    ruler = prompter(model)
    prompts = generation_requests(ruler, examples, SETTINGS.max_new_tokens)
    pairs = [PreferencePair(example.id, example.references[0], "no fever at all") for example in examples]
    targets = preference_requests(ruler, {example.id: example for example in examples}, pairs)
    other = replace(SETTINGS, batch_tokens=tokens, max_rows=rows)
    quiet = lambda *a: None  # noqa: E731
    first = predict(model, prompts, SETTINGS, tmp_path / "g1", quiet)
    second = predict(model, prompts, other, tmp_path / "g2", quiet)
    assert [(row.text, row.finish, row.tokens_out) for row in first] == [
        (row.text, row.finish, row.tokens_out) for row in second
    ]
    one = likelihoods(model, targets, SETTINGS, tmp_path / "s1", quiet)
    two = likelihoods(model, targets, other, tmp_path / "s2", quiet)
    assert [replace(row, logprob=0.0) for row in one] == [replace(row, logprob=0.0) for row in two]
    assert max(abs(a.logprob - b.logprob) for a, b in zip(one, two, strict=True)) < 1e-4


def test_torn_file_of_a_real_model_is_mended_to_the_same_bits(
    model: CausalModel, examples: list[Example], tmp_path: Path
) -> None:
    ruler = prompter(model)
    requests = target_requests(ruler, examples)
    small = replace(SETTINGS, batch_tokens=300)
    out = tmp_path / "score.jsonl"
    first = likelihoods(model, requests, small, out, lambda *a: None)
    whole = out.read_bytes()
    assert whole.count(b"\n") > 4
    out.write_bytes(whole[: len(whole) // 2])
    assert likelihoods(model, requests, small, out, lambda *a: None) == first
    assert sorted(out.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_preferences_count_the_end_of_sequence(model: CausalModel, examples: list[Example]) -> None:
    """Without it an answer that merely leaves out the last sentence of the other would always be likelier."""
    example = examples[0]
    pairs = [PreferencePair(example.id, "no fever. cough.", "no fever."), PreferencePair(example.id, "yes", "no")]
    rows = preference_requests(prompter(model), {example.id: example}, pairs)
    assert [(row.item, row.continuation, row.role) for row in rows] == [
        ("x0", 0, "chosen"),
        ("x0", 1, "rejected"),
        ("x0#2", 0, "chosen"),
        ("x0#2", 1, "rejected"),
    ]
    assert all(row.target[-1] == model.tokenizer.eos_token_id for row in rows)
    assert rows[0].context == rows[1].context
    assert [row.bytes for row in rows] == [16, 9, 3, 2]


def test_chat_targets_end_before_what_the_template_adds(model: CausalModel, examples: list[Example]) -> None:
    ruler = prompter(model, ChatSpec(use="always", template=TEMPLATE))
    assert ruler.encode(examples[0]).target[-1] != model.tokenizer.eos_token_id
    [row] = target_requests(ruler, examples[:1])
    assert model.tokenizer.decode(row.target, clean_up_tokenization_spaces=False) == examples[0].references[0]
    pair = PreferencePair(examples[0].id, "yes", "no")
    rows = preference_requests(ruler, {examples[0].id: examples[0]}, [pair])
    assert all(row.target[-1] == model.tokenizer.eos_token_id for row in rows)


def test_retention_scores_every_token_once(model: CausalModel, tmp_path: Path) -> None:
    rng = random.Random(5)
    texts = [RetentionText(f"r{i}", " ".join(rng.choice(WORDS) for _ in range(n))) for i, n in enumerate((3, 40, 90))]
    context = 50
    requests = retention_requests(model, texts, context)
    rows = likelihoods(model, requests, SETTINGS, tmp_path / "score.jsonl", lambda *a: None)
    assert [row.item for row in rows] == ["r0", "r1", "r2"]
    for text, row in zip(texts, rows, strict=True):
        ids = tuple(model.encode(text.text))
        wanted = 0.0
        for start in range(0, len(ids), context):
            before = (model.tokenizer.bos_token_id,) if start == 0 else ids[start - 1 : start]
            wanted += plain_sum(model.model, before, ids[start : start + context])
        assert row.logprob == pytest.approx(wanted, rel=1e-5)
        assert (row.tokens, row.bytes) == (len(ids), len(text.text.encode()))
    assert max(len(request.context) + len(request.target) - 1 for request in requests) <= context
    assert len(requests) > len(texts)


def test_prompts_leave_room_for_the_answer(model: CausalModel) -> None:
    long = Example("x", "g", ("yes",), prompt=" ".join(WORDS * 40))
    [row] = generation_requests(prompter(model), [long], 30)
    assert row.truncated
    assert len(row.prompt) == model.context - 30


def test_tokens_without_end_of_sequence_are_kept(model: CausalModel, tmp_path: Path) -> None:
    request = LikelihoodRequest("test", "x", 0, "target", (5, 6), (7, 8), 2)
    [row] = likelihoods(model, [request], SETTINGS, tmp_path / "s", lambda *a: None)
    assert row.logprob == pytest.approx(plain_sum(model.model, (5, 6), (7, 8)), abs=1e-4)
