"""Remembered token ids are the tokenizer's own, whatever was asked before and however often it was emptied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from tiny_models import save_tokenizer

from harness.models import token_cache
from harness.models.token_cache import Encoder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def _bare(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False))


@given(texts=st.lists(st.text(max_size=30), max_size=12))
def test_the_ids_are_those_of_the_tokenizer_each_time(tokenizer: Any, texts: list[str]) -> None:
    encode = Encoder(tokenizer)
    for text in [*texts, *texts]:
        assert encode(text) == _bare(tokenizer, text)


def test_a_second_tokenizer_of_the_same_content_is_not_asked_again(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    first, second = (AutoTokenizer.from_pretrained(tmp_path) for _ in range(2))
    text = "no other test asks for this text"
    found = Encoder(first)(text)
    again = Encoder(second)
    monkeypatch.setattr(second, "encode", lambda *args, **options: pytest.fail("it is known already"))
    assert again(text) == found


def test_an_added_token_makes_another_tokenizer(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    grown = AutoTokenizer.from_pretrained(tmp_path)
    text = "cough and fever"
    before = Encoder(grown)(text)
    grown.add_tokens(["cough"])
    assert Encoder(grown)(text) == _bare(grown, text) != before


def test_special_tokens_are_part_of_the_question(tokenizer: Any) -> None:
    from tokenizers import processors

    core = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, bos_token="<s>", eos_token="</s>")
    core.backend_tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    encode = Encoder(core)
    assert encode("fever", True) == (0, *encode("fever", False)) == encode("fever", None)


def test_what_is_remembered_stays_within_its_limit(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "MOST_CHARACTERS", 100)
    encode = Encoder(tokenizer)
    for number in range(60):
        assert encode(f"visit {number:03d}") == _bare(tokenizer, f"visit {number:03d}")
        assert sum(len(text) for _, text, _ in token_cache._ids) <= 100 + len("visit 000")


def test_a_tokenizer_that_does_not_say_what_it_is_made_of_is_asked_each_time() -> None:
    class Counting:
        asked = 0

        def encode(self, text: str, *, add_special_tokens: bool = True, verbose: bool = True) -> list[int]:
            self.asked += 1
            return [len(text)]

    counting = Counting()
    encode = Encoder(counting)
    assert (encode("abc"), encode("abc"), counting.asked) == ((3,), (3,), 2)
