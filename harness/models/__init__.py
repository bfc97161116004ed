"""The `Model` protocol: everything that scoring asks of a model, in token ids.

Backends: `transformers/` (with peft), `engines/` (a model behind a URL), and the toy arm's own (no torch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.records import FinishReason


@dataclass(frozen=True, slots=True)
class Generation:
    """Generated token ids (without the end-of-sequence token), their text, and why it ended."""

    tokens: tuple[int, ...]
    text: str
    finish: FinishReason
    counted: tuple[int, int] | None = None
    """Prompt and generated tokens as a server counted them, where the ids above are not the model's own."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """Token ids of a context and of the continuation to score; an empty context starts from BOS."""

    context: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Logprob:
    """Sum of natural-log probabilities of the target tokens given the context, and whether each was the argmax."""

    logprob: float
    tokens: int
    greedy: bool


class Model(Protocol):
    """A loaded model. One batch per call: the caller plans batches, so that a batch can be repeated bit for bit."""

    tokenizer: Any
    """What `prompts.Prompter` turns text into token ids with."""
    context: int
    """Longest sequence that is used, in tokens."""

    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        """Greedy continuations of one batch of prompts, in the order given; left-padded inside."""

    def logprobs(self, requests: Sequence[Continuation]) -> list[Logprob]:
        """Log-probabilities of one batch of continuations, in the order given."""

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, no special tokens added."""

    def close(self) -> None:
        """Free the memory."""


class Servable(Model, Protocol):
    """A model whose serving figures can be measured."""

    def forced(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> int:
        """Generate greedily for one batch of prompts, by the way that `generate` takes; how many tokens there were.

        Exactly `new_tokens` for each prompt, end-of-sequence or not, except behind a URL, where the server decides.
        Raises OutOfMemory.
        """

    @property
    def weights_bytes(self) -> int | None:
        """Bytes of parameters and buffers as they are held; None where that is not known."""
