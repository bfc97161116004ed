"""The right answers go in and out by one door: with any template and tokenizer each comes back, or it is said."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from harness.config import ChatSpec, DataSpec, GenerateSpec, MetricsSpec, TaskSpec
from harness.data.prompts import Prompter
from harness.errors import DataError, ModelError
from harness.experiments.evaluation import door
from harness.models.transformers.causal import finish
from harness.records import Example, Message

EOS, END = "<|endoftext|>", "<|im_end|>"
SPECIALS = ["<pad>", "<s>", EOS, "<|im_start|>", END, "<end_of_turn>", "<tool>"]


def make_tokenizer(kind: str = "bytes", normalise: bool = False, bos: bool = False) -> Any:
    """Byte-level BPE (`bytes`), or words with a space before every text as SentencePiece has it (`spaced`)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE(unk_token=None, byte_fallback=kind == "spaced"))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if kind == "bytes":
        inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        inner.decoder = decoders.Sequence([decoders.Metaspace(prepend_scheme="first"), decoders.ByteFallback()])
        alphabet = [chr(code) for code in range(32, 127)] + ["▁", "\n", "é", "ü"]
    if normalise:
        inner.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=450, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(["the table of lake is blue sky", "what is the answer? user assistant system"], trainer)
    if bos:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token=EOS, pad_token="<pad>")


@pytest.fixture(scope="module")
def tokenizers() -> dict[tuple[str, bool], Any]:
    return {(kind, bos): make_tokenizer(kind, bos=bos) for kind in ("bytes", "spaced") for bos in (False, True)}


def template(start: str, end: str, lead: str, trim: str, shown: str = "True") -> str:
    """A chat template: what opens a turn, closes it, stands before every answer, and what is done to contents."""
    return (
        f"{{% for m in messages if {shown} %}}{start}{{{{ m.role }}}}\n"
        f"{{% if m.role == 'assistant' %}}{lead}{{% endif %}}{{{{ m.content{trim} }}}}{end}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{start}assistant\n{{% endif %}}"
    )


def task(**changes: Any) -> TaskSpec:
    fields = {
        "name": "t", "data": DataSpec(path="d.jsonl", licence="CC0-1.0"), "prompt": "{{ q }}", "target": "{{ a }}",
        "metrics": MetricsSpec(primary="exact_match"), "generate": GenerateSpec(max_new_tokens=400),
    }  # fmt: skip
    return TaskSpec(**{**fields, **changes})


def example(answer: str, prompt: str = "what is the answer?", name: str = "e1") -> Example:
    return Example(id=name, group="g", references=(answer,), prompt=prompt, fields={"q": prompt, "a": answer})


def back(prompter: Prompter, answer: str, ends: tuple[int, ...]) -> str:
    """What a model that is right to the token answers."""
    row = prompter.encode(example(answer))
    return finish(prompter.tokenizer, ends, row.target, prompter.stops).text


STARTS, ENDS = ("<|im_start|>", "### ", "<s>"), (f"{END}\n", "<end_of_turn>\n", EOS, f"{END}{EOS}", f" {END}", "")
LEADS, TRIMS = ("", "<think>\n\n</think>\n\n", "Answer: "), ("", " | trim")


@pytest.mark.parametrize("kind", ["bytes", "spaced"])
@pytest.mark.parametrize(("start", "end", "lead", "trim"), list(itertools.product(STARTS, ENDS, LEADS, TRIMS)))
def test_every_template_gives_the_answer_back(
    tokenizers: dict[tuple[str, bool], Any], kind: str, start: str, end: str, lead: str, trim: str
) -> None:
    tokenizer = tokenizers[kind, False]
    prompter = Prompter(tokenizer, ChatSpec(template=template(start, end, lead, trim)), task(), 800)
    for answer in ("blue sky", "the table\nof lake", "a"):
        assert back(prompter, answer, (tokenizer.eos_token_id,)).strip() == answer
        row = prompter.encode(example(answer))
        assert tokenizer.decode(row.answer, skip_special_tokens=True).strip() == answer
        asked = prompter.encode_prompt(example(answer), 10)
        assert asked.prompt == row.prompt and asked.prompt_hash == row.prompt_hash
    assert door.check(prompter, task(), [example("blue sky")], (tokenizer.eos_token_id,)) == []


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["bytes", "spaced"]), st.booleans(),
    st.text(st.sampled_from("abcdeé ü.,:\n?1"), min_size=1, max_size=20),
    st.text(st.sampled_from("abcdeé ü.,:\n?1"), min_size=1, max_size=20).filter(str.strip),
)  # fmt: skip
def test_prompt_and_target_are_the_tokens_of_one_text(
    tokenizers: dict[tuple[str, bool], Any], kind: str, bos: bool, prompt: str, answer: str
) -> None:
    """Text mode: as TRL and lm-eval tokenise, wherever the prompt's own tokens begin those of the whole."""
    tokenizer = tokenizers[kind, bos]
    prompter = Prompter(tokenizer, ChatSpec(use="never"), task(), 800)
    row = prompter.encode(example(answer, prompt))
    whole, alone = tuple(tokenizer.encode(prompt + answer)), tuple(tokenizer.encode(prompt))
    assert row.prompt == alone and row.target[-1] == tokenizer.eos_token_id and row.ending == 1
    if whole[: len(alone)] == alone:
        assert row.prompt + row.answer == whole
    assert tokenizer.decode(row.prompt + row.answer, skip_special_tokens=True).endswith(answer)


def test_a_leading_space_is_not_doubled(tokenizers: dict[tuple[str, bool], Any]) -> None:
    tokenizer = tokenizers["spaced", False]
    row = Prompter(tokenizer, ChatSpec(use="never"), task(), 800).encode(example(" blue sky", "the table:"))
    assert tokenizer.convert_ids_to_tokens(list(row.answer))[0].startswith("▁") and "▁▁" not in "".join(
        tokenizer.convert_ids_to_tokens(list(row.answer))
    )


# ------------------------------------------------------------------------------------------- special tokens in text


@pytest.mark.parametrize("special", SPECIALS)
@pytest.mark.parametrize("where", ["answer", "prompt"])
@pytest.mark.parametrize("chat", [False, True])
def test_special_tokens_in_data_are_declared(
    tokenizers: dict[tuple[str, bool], Any], special: str, where: str, chat: bool
) -> None:
    tokenizer = tokenizers["bytes", False]
    spec = ChatSpec(template=template("<|im_start|>", f"{END}\n", "", "")) if chat else ChatSpec(use="never")
    text = f"use {special} here"
    asked = example(text) if where == "answer" else example("blue", text)
    with pytest.raises(DataError) as caught:
        Prompter(tokenizer, spec, task(), 800).encode(asked)
    assert special in caught.value.message and "special_tokens" in caught.value.hint
    plain = Prompter(tokenizer, spec, task(special_tokens="text"), 800).encode(asked)
    control = Prompter(tokenizer, spec, task(special_tokens="control"), 800).encode(asked)
    token = tokenizer.convert_tokens_to_ids(special)
    part = (lambda row: row.answer) if where == "answer" else (lambda row: row.prompt)
    template_writes = chat and where == "prompt" and special in ("<|im_start|>", END)
    assert template_writes or token not in part(plain)
    assert text in tokenizer.decode(part(plain), skip_special_tokens=False)
    assert token in part(control)
    if where == "answer":
        prompter = Prompter(tokenizer, spec, task(special_tokens="text"), 800)
        assert back(prompter, text, (tokenizer.eos_token_id,)) == text


# ------------------------------------------------------------------------------------------------- turns, dates, BOS


@pytest.mark.parametrize("lost", ["system", "developer", "tool", "user"])
def test_every_turn_is_found_in_the_prompt(tokenizers: dict[tuple[str, bool], Any], lost: str) -> None:
    shown = f"m.role != '{lost}'"
    spec = ChatSpec(template=template("<|im_start|>", f"{END}\n", "", "", shown))
    turns = [Message("user", "q1"), Message("assistant", "a1"), Message(lost, "middle"), Message("user", "q2")]
    talk = Example(id="e", group="g", references=("blue",), messages=tuple(turns))
    messages = task(prompt=None, target=None, messages="c")
    with pytest.raises(ModelError) as caught:
        Prompter(tokenizers["bytes", False], spec, messages, 800).encode(talk)
    assert f"turn {1 if lost == 'user' else 3}" in caught.value.message
    whole = ChatSpec(template=template("<|im_start|>", f"{END}\n", "", ""))
    prompt = Prompter(tokenizers["bytes", False], whole, messages, 800).encode(talk).prompt
    text = tokenizers["bytes", False].decode(prompt)
    assert [text.index(turn.content) for turn in turns] == sorted(text.index(turn.content) for turn in turns)


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d %b %Y", "%A"])
def test_a_template_that_writes_the_date_writes_the_one_of_the_experiment(
    tokenizers: dict[tuple[str, bool], Any], form: str
) -> None:
    dated = "Today is {{ strftime_now('" + form + "') }}.\n" + template("<|im_start|>", f"{END}\n", "", "")
    tokenizer = tokenizers["bytes", False]
    first, second = (
        Prompter(tokenizer, ChatSpec(template=dated, date=date), task(), 800) for date in ("2026-01-01", "2024-07-26")
    )
    import datetime

    assert datetime.date(2024, 7, 26).strftime(form) in tokenizer.decode(second.encode(example("a")).prompt)
    assert first.template_hash != second.template_hash and first.dated
    assert any("2026-01-01" in note for note in first.notes)


def test_the_beginning_of_sequence_is_there_once(tokenizers: dict[tuple[str, bool], Any]) -> None:
    tokenizer = tokenizers["bytes", True]
    row = Prompter(tokenizer, ChatSpec(use="never"), task(special_tokens="control"), 800).encode(
        example("a", "<s>what")
    )
    assert row.prompt.count(tokenizer.bos_token_id) == 1


# ------------------------------------------------------------------------------------------------------- the check


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unicode_forms_are_one_text(form: str) -> None:
    tokenizer = make_tokenizer("bytes", normalise=True)
    prompter = Prompter(tokenizer, ChatSpec(use="never"), task(), 800)
    answer = unicodedata.normalize(form, "café naïve résumé")
    assert door.check(prompter, task(), [example(answer)], (tokenizer.eos_token_id,)) == []


@pytest.mark.parametrize(
    ("change", "answer", "said"),
    [
        ({"generate": GenerateSpec(max_new_tokens=3)}, "blue sky of the table", "max_new_tokens is 3"),
        ({"generate": GenerateSpec(max_new_tokens=400, stop=["sky"])}, "blue sky", "stop string"),
        ({"metrics": MetricsSpec(primary="rouge_l")}, "Привет, мир", "gets 0 itself"),
        ({"metrics": MetricsSpec(primary="bleu")}, "今天天气很好我们去公园", "together get 0"),
        ({"metrics": MetricsSpec(primary="bleu")}, "blue sky", "together get 0"),
        ({"special_tokens": "control"}, f"use {EOS} here", "end of turn"),
    ],
)
def test_what_cannot_be_reached_is_said_by_name(
    tokenizers: dict[tuple[str, bool], Any], change: dict[str, Any], answer: str, said: str
) -> None:
    tokenizer = tokenizers["bytes", False]
    ends = (tokenizer.eos_token_id,)
    prompter = Prompter(tokenizer, ChatSpec(use="never"), task(**change), 800)
    with pytest.raises(DataError) as caught:
        door.check(prompter, task(**change), [example(answer)], ends)
    assert said in caught.value.message
    [note, reason] = door.check(prompter, task(**change, allow_unreachable="known"), [example(answer)], ends)
    assert said in note and "known" in reason
    also = {"metrics": MetricsSpec(primary="length_limited", also=[task(**change).metrics.primary])}
    assert len(door.check(prompter, task(**{**change, **also}), [example(answer)], ends)) == 1


def test_stop_strings_may_be_special_tokens(tokenizers: dict[tuple[str, bool], Any]) -> None:
    tokenizer: Any = tokenizers["bytes", False]
    encode: Callable[[str], list[int]] = tokenizer.encode
    for stop, text in ((END, "blue sky"), (f"{END}\n", "blue sky"), ("\n\n", "blue sky"), ("ky", "blue s")):
        row = [*encode("blue sky"), *encode(END), *encode("\n\nbbb")]
        answer = finish(tokenizer, (tokenizer.eos_token_id,), row, [stop])
        assert (answer.text, answer.finish) == (text, "stop")
        assert tokenizer.decode(answer.tokens, skip_special_tokens=True).startswith(text)


def test_a_metric_of_the_user_s_own_is_not_called(tokenizers: dict[tuple[str, bool], Any], tmp_path: Path) -> None:
    """It may ask a paid judge; what comes back otherwise counts against it, white space at the ends aside."""
    tokenizer = tokenizers["bytes", False]
    spec = ChatSpec(template=template("<|im_start|>", f"{END}\n", "", " | trim"))
    own = task(metrics=MetricsSpec(primary="nowhere.py:judge"))
    ends = (tokenizer.eos_token_id,)
    assert door.check(Prompter(tokenizer, spec, own, 800), own, [example(" blue sky ")], ends) == []
    short = task(metrics=MetricsSpec(primary="nowhere.py:judge"), generate=GenerateSpec(max_new_tokens=1))
    with pytest.raises(DataError):
        door.check(Prompter(tokenizer, spec, short, 800), short, [example("blue sky")], ends)
