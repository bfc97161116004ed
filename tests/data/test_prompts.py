"""Token ids, label masks and truncation, in text mode and through three chat templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from harness import redaction
from harness.config import ChatSpec, DataSpec, MetricsSpec, TaskSpec
from harness.data.prompts import IGNORED, Prompter, PromptOverride
from harness.errors import DataError, ModelError, SpecError
from harness.experiments.loading.preview import percentiles, preview
from harness.records import Example, Message

CHATML = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}"""
LLAMA2 = """{% if messages[0].role == 'system' %}{% set system = '<<SYS>> ' + messages[0].content + ' <</SYS>> ' %}\
{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}\
{% for m in turns %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ system if loop.first else '' }}{{ m.content }} \
[/INST]{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"""
GEMMA = """{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}\
{% endif %}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content }}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""
TEMPLATES = {"chatml": CHATML, "llama2": LLAMA2, "gemma": GEMMA}

TEXT = TaskSpec(
    name="t",
    data=DataSpec(path="d.jsonl", licence="CC0-1.0"),
    prompt="{{ q }}",
    target="{{ a }}",
    metrics=MetricsSpec(primary="exact_match"),
)
MESSAGES = TaskSpec(
    name="m", data=DataSpec(path="d.jsonl", licence="CC0-1.0"), messages="turns", metrics=MetricsSpec(primary="bleu")
)
QUESTION = Example(id="e1", group="g", references=("a red hat",), prompt="What did he buy?", fields={"q": "hat"})
TALK = Example(
    id="e2",
    group="g",
    references=("Two of them.", "2"),
    messages=(
        Message("system", "Answer in short."),
        Message("user", "I want eggs."),
        Message("assistant", "How many?"),
        Message("user", "A pair."),
    ),
)


@pytest.fixture(scope="module")
def make_tokenizer() -> Callable[..., Any]:
    """A byte-level BPE tokenizer; with `bos` it puts <s> before a text, as Llama's and Gemma's do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    def make(bos: bool = True, template: str | None = None, eos: str = "</s>") -> Any:
        inner = Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        special = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>"]
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        inner.train_from_iterator([CHATML, LLAMA2, GEMMA, "What did he buy? a red hat"], trainer)
        if bos:
            inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=inner, bos_token="<s>", eos_token=eos, pad_token="<pad>", model_max_length=8
        )
        tokenizer.chat_template = template
        return tokenizer

    return make


def text_prompter(tokenizer: Any, context: int = 200, **options: Any) -> Prompter:
    return Prompter(tokenizer, ChatSpec(), TEXT, context, **options)


# ------------------------------------------------------------------------------------------------------ text mode


@pytest.mark.parametrize("bos", [True, False])
def test_text_is_bos_prompt_target_eos_and_only_the_target_carries_loss(
    bos: bool, make_tokenizer: Callable[..., Any]
) -> None:
    tokenizer = make_tokenizer(bos)
    row = text_prompter(tokenizer).encode(QUESTION)
    prompt = tokenizer.encode("What did he buy?", add_special_tokens=False)
    target = tokenizer.encode("a red hat", add_special_tokens=False)
    assert list(row.prompt) == [1] * bos + prompt
    assert list(row.target) == [*target, 2]
    assert row.labels == (IGNORED,) * len(row.prompt) + row.target
    assert row.input_ids == row.prompt + row.target and (row.truncated, row.dropped_shots) == (0, 0)


def test_the_prompt_for_generation_is_the_prompt_of_training(make_tokenizer: Callable[..., Any]) -> None:
    for template in (None, *TEMPLATES.values()):
        prompter = text_prompter(make_tokenizer(template=template))
        trained, generated = prompter.encode(QUESTION), prompter.encode_prompt(QUESTION, 20)
        assert trained.prompt == generated.prompt and trained.prompt_hash == generated.prompt_hash
        assert generated.target == ()


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=80), answer=st.text(max_size=20), context=st.integers(40, 120))
def test_a_prompt_loses_its_left_and_a_target_nothing(
    text: str, answer: str, context: int, make_tokenizer: Callable[..., Any]
) -> None:
    tokenizer = _cached(make_tokenizer)
    example = replace(QUESTION, prompt=text, references=(answer,))
    whole = text_prompter(tokenizer, 10_000).encode(example)
    prompter = text_prompter(tokenizer, context)
    if len(whole.target) >= context:
        with pytest.raises(DataError):
            prompter.encode(example)
        return
    row = prompter.encode(example)
    assert row.target == whole.target
    assert len(row.input_ids) == min(context, len(whole.input_ids))
    assert row.truncated == len(whole.prompt) - len(row.prompt)
    assert row.prompt[0] == 1 and (len(row.prompt) == 1 or whole.prompt[-len(row.prompt) + 1 :] == row.prompt[1:])


_KEPT: list[Any] = []


def _cached(make: Callable[..., Any]) -> Any:
    if not _KEPT:
        _KEPT.append(make())
    return _KEPT[0]


def test_a_target_that_does_not_fit_names_example_and_lengths(make_tokenizer: Callable[..., Any]) -> None:
    row = text_prompter(make_tokenizer()).encode(QUESTION)
    with pytest.raises(DataError) as caught:
        text_prompter(make_tokenizer(), len(row.target)).encode(QUESTION)
    size = len(row.target)
    assert f"example e1: its target is {size} tokens long, the context {size}" in str(caught.value)
    assert "Raise base_model.context" in str(caught.value) and caught.value.exit_code == 2
    assert len(text_prompter(make_tokenizer(), size + 1).encode(QUESTION).prompt) == 1


def test_new_tokens_that_fill_the_context_are_refused(make_tokenizer: Callable[..., Any]) -> None:
    with pytest.raises(SpecError, match=r"generate.max_new_tokens: 20 new tokens leave no room"):
        text_prompter(make_tokenizer(), 20).encode_prompt(QUESTION, 20)
    assert len(text_prompter(make_tokenizer(), 23).encode_prompt(QUESTION, 20).prompt) == 3


def test_another_answer_takes_the_place_of_the_reference(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    row = text_prompter(tokenizer).encode(QUESTION, "nothing")
    assert tokenizer.decode(row.target) == "nothing</s>"
    assert row.prompt == text_prompter(tokenizer).encode(QUESTION).prompt


def test_a_tokenizer_without_an_end_is_refused(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        text_prompter(tokenizer)


# --------------------------------------------------------------------------------------------- overrides and shots


def shot(number: int, length: int = 1) -> Example:
    return Example(id=f"s{number}", group=f"s{number}", references=(f"x{number}",), prompt=f"q{number}" * length)


def test_shots_stand_before_the_prompt_and_the_left_ones_go_first(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    shots = (shot(1), shot(2), shot(3))
    row = text_prompter(tokenizer, override=PromptOverride(shots=shots)).encode(QUESTION)
    assert tokenizer.decode(row.prompt) == "<s>q1x1\n\nq2x2\n\nq3x3\n\nWhat did he buy?"
    short = text_prompter(tokenizer, len(row.input_ids) - 1, override=PromptOverride(shots=shots)).encode(QUESTION)
    assert tokenizer.decode(short.prompt) == "<s>q2x2\n\nq3x3\n\nWhat did he buy?"
    assert (short.dropped_shots, short.truncated) == (1, 0)
    bare = text_prompter(tokenizer).encode(QUESTION)
    tight = text_prompter(tokenizer, len(bare.input_ids) - 2, override=PromptOverride(shots=shots))
    assert (tight.encode(QUESTION).dropped_shots, tight.encode(QUESTION).truncated) == (3, 2)
    reserve = len(bare.target)
    assert tight.encode_prompt(QUESTION, reserve).prompt == tight.encode(QUESTION).prompt


def test_another_prompt_template_is_rendered_over_the_fields(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    override = PromptOverride(prompt="Say {{ q }}:", shots=(replace(shot(1), fields={"q": "one"}),))
    row = text_prompter(tokenizer, override=override).encode(QUESTION)
    assert tokenizer.decode(row.prompt) == "<s>Say one:x1\n\nSay hat:"
    assert override.hash and PromptOverride().hash == "" and override.hash != PromptOverride(prompt="Say").hash
    with pytest.raises(DataError, match="nope"):
        text_prompter(tokenizer, override=PromptOverride(prompt="{{ nope }}")).encode(QUESTION)


def test_shots_are_earlier_turns_in_a_chat(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(template=CHATML)
    chat = ChatSpec(system="Be brief.")
    row = Prompter(tokenizer, chat, TEXT, 300, PromptOverride(shots=(shot(1),))).encode(QUESTION)
    assert tokenizer.decode(row.prompt) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\nx1<|im_end|>\n"
        "<|im_start|>user\nWhat did he buy?<|im_end|>\n<|im_start|>assistant\n"
    )


# ------------------------------------------------------------------------------------------------------ chat mode


@pytest.mark.parametrize("name", TEMPLATES)
def test_masks_equal_those_derived_from_apply_chat_template(name: str, make_tokenizer: Callable[..., Any]) -> None:
    """System text, two turns and a target: only what the template adds for the last assistant turn carries loss."""
    eos = "<|im_end|>" if name == "chatml" else "<end_of_turn>" if name == "gemma" else "</s>"
    tokenizer = make_tokenizer(template=TEMPLATES[name], eos=eos)
    turns = [{"role": turn.role, "content": turn.content} for turn in TALK.messages or ()]
    if name == "gemma":  # knows no system role: the text stands before the first user turn
        turns = [{"role": "user", "content": "Answer in short.\n\nI want eggs."}, *turns[2:]]
    answered = [*turns, {"role": "assistant", "content": "Two of them."}]
    before = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template(answered, return_dict=False)
    assert whole[: len(before)] == before
    expected = [IGNORED] * len(before) + whole[len(before) :]
    row = Prompter(tokenizer, ChatSpec(), MESSAGES, 300).encode(TALK)
    assert list(row.input_ids) == whole
    assert list(row.labels) == expected
    carrying = tokenizer.decode([label for label in row.labels if label != IGNORED])
    assert "Two of them." in carrying
    assert not any(text in carrying for text in ("short", "eggs", "many", "pair", "system", "user"))


def test_system_text_of_a_text_task_and_of_the_experiment(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(template=CHATML)
    asked = replace(QUESTION, system="From the task.")
    own = tokenizer.decode(Prompter(tokenizer, ChatSpec(), TEXT, 300).encode(asked).prompt)
    assert own.startswith("<|im_start|>system\nFrom the task.<|im_end|>\n<|im_start|>user\nWhat")
    for example, task in ((asked, TEXT), (TALK, MESSAGES)):
        prompter = Prompter(tokenizer, ChatSpec(system="From the experiment."), task, 300)
        text = tokenizer.decode(prompter.encode(example).prompt)
        assert text.startswith("<|im_start|>system\nFrom the experiment.") and "From the task" not in text
        assert "Answer in short" not in text


def test_a_template_that_drops_system_text_gets_it_in_the_first_user_turn(make_tokenizer: Callable[..., Any]) -> None:
    silent = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    tokenizer = make_tokenizer(template=silent)
    text = tokenizer.decode(Prompter(tokenizer, ChatSpec(), MESSAGES, 300).encode(TALK).prompt)
    assert text.startswith("<|im_start|>user\nAnswer in short.\n\nI want eggs.<|im_end|>")


def test_an_end_of_sequence_is_added_where_the_template_writes_none(make_tokenizer: Callable[..., Any]) -> None:
    bare = CHATML.replace("<|im_end|>", "")
    row = Prompter(make_tokenizer(template=bare), ChatSpec(), TEXT, 300).encode(QUESTION)
    assert row.target[-1] == 2 and row.target.count(2) == 1
    written = Prompter(make_tokenizer(template=LLAMA2), ChatSpec(), TEXT, 300).encode(QUESTION)
    assert written.target.count(2) == 1


def test_template_arguments_reach_the_template_and_the_hash(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(template=CHATML)
    plain = Prompter(tokenizer, ChatSpec(), TEXT, 300)
    quiet = Prompter(tokenizer, ChatSpec(kwargs={"enable_thinking": False}), TEXT, 300)
    thinks = CHATML.replace("{{ m.content }}", "{{ '<think></think>' if m.role == 'assistant' }}{{ m.content }}")
    both = Prompter(make_tokenizer(template=thinks), ChatSpec(kwargs={"enable_thinking": False}), TEXT, 300)
    assert tokenizer.decode(quiet.encode_prompt(QUESTION, 5).prompt).endswith("assistant\n<think></think>")
    assert tokenizer.decode(both.encode(QUESTION).target).startswith("a red hat<|im_end|>")
    hashes = {plain.template_hash, quiet.template_hash, both.template_hash}
    assert len(hashes) == 3 and text_prompter(make_tokenizer()).template_hash == ""


def test_a_prompt_that_is_no_beginning_of_the_conversation_is_one_clear_error(
    make_tokenizer: Callable[..., Any],
) -> None:
    quiet = Prompter(make_tokenizer(template=CHATML), ChatSpec(kwargs={"enable_thinking": False}), TEXT, 300)
    with pytest.raises(ModelError, match=r"writes example e1 differently once it is answered.*chat.kwargs"):
        quiet.encode(QUESTION)
    with redaction.texts(True), pytest.raises(ModelError, match=r"writes example \(withheld\) differently") as caught:
        quiet.encode(replace(QUESTION, id="MRN-4711-Jane-Doe"))
    assert "MRN-4711" not in f"{caught.value} {caught.value.hint}"


def test_chat_is_used_as_the_experiment_says(make_tokenizer: Callable[..., Any], tmp_path: Any) -> None:
    bare, able = make_tokenizer(), make_tokenizer(template=CHATML)
    assert not Prompter(able, ChatSpec(use="never"), TEXT, 300).uses_chat
    assert Prompter(able, ChatSpec(), TEXT, 300).uses_chat and not Prompter(bare, ChatSpec(), TEXT, 300).uses_chat
    path = tmp_path / "template.jinja"
    path.write_text(LLAMA2)
    given_text = Prompter(bare, ChatSpec(template=LLAMA2), TEXT, 300)
    given_file = Prompter(bare, ChatSpec(template=str(path)), TEXT, 300)
    assert given_text.encode(QUESTION) == given_file.encode(QUESTION)
    assert "[INST]" in bare.decode(given_file.encode(QUESTION).prompt)
    wrong = [
        (
            ChatSpec(use="always"),
            TEXT,
            ModelError,
            "chat.use is always, and the tokenizer has none. Give chat.template",
        ),
        (ChatSpec(), MESSAGES, ModelError, "messages data needs a chat template, and the tokenizer has none. Give"),
        (ChatSpec(use="never"), MESSAGES, ModelError, "chat.use is never. Set chat.use to auto"),
        (ChatSpec(template="no/such.jinja"), TEXT, SpecError, "chat.template: no/such.jinja is neither"),
    ]
    for chat, task, kind, message in wrong:
        with pytest.raises(kind) as caught:
            Prompter(bare, chat, task, 300)
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_template_that_refuses_a_conversation_is_one_clear_error(make_tokenizer: Callable[..., Any]) -> None:
    picky = "{% if messages|length > 1 %}{{ raise_exception('one turn only') }}{% endif %}{{ messages[0].content }}"
    tokenizer = make_tokenizer(template=picky)
    with pytest.raises(ModelError, match=r"refuses a conversation of user, assistant, user.*: one turn only") as caught:
        Prompter(tokenizer, ChatSpec(), MESSAGES, 300).encode(TALK)
    assert "\n" not in str(caught.value)


def test_a_long_conversation_loses_its_left_but_not_its_first_token(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer(template=GEMMA)
    whole = Prompter(tokenizer, ChatSpec(), MESSAGES, 300).encode(TALK)
    row = Prompter(tokenizer, ChatSpec(), MESSAGES, len(whole.input_ids) - 10).encode(TALK)
    assert row.prompt == (1, *whole.prompt[11:]) and row.truncated == 10 and row.target == whole.target


# -------------------------------------------------------------------------------------------------------- preview


def test_preview_shows_masks_lengths_and_truncation(make_tokenizer: Callable[..., Any]) -> None:
    tokenizer = make_tokenizer()
    rows = [replace(QUESTION, id=f"e{n}", prompt="a" * 3 * n) for n in range(1, 9)]
    rows.append(replace(QUESTION, id="long", references=("b" * 200,)))
    shown = preview(text_prompter(tokenizer, 30), rows, 3)
    assert [row.example for row in shown.prompts] == ["e1", "e2", "e3"]
    first = shown.prompts[0]
    assert "".join(text for text, carries in first.tokens if carries) == "a red hat</s>"
    assert "".join(text for text, _ in first.tokens) == "<s>aaa" + "a red hat</s>"
    assert (shown.examples, shown.context, shown.uses_chat) == (9, 30, False)
    lengths = [len(text_prompter(tokenizer, 500).encode(row).prompt) for row in rows[:8]]
    assert shown.lengths["prompt"]["max"] == max(lengths) and shown.lengths["prompt"]["p50"] == sorted(lengths)[3]
    size = len(text_prompter(tokenizer, 500).encode(QUESTION).target)
    over = [length + size - 30 for length in lengths if length + size > 30]
    assert shown.truncated_prompts == len(over) and shown.truncated_tokens == sum(over)
    assert len(shown.too_long) == 1 and "example long" in shown.too_long[0]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_percentiles_are_nearest_rank(lengths: list[int]) -> None:
    found = percentiles(lengths)
    for share in (5, 50, 95, 99):
        value = found[f"p{share}"]
        assert sum(length <= value for length in lengths) * 100 >= share * len(lengths)
        assert sum(length < value for length in lengths) * 100 < share * len(lengths)
    assert found["max"] == max(lengths) and percentiles([]) == {}
