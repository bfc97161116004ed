"""Our scorer as an lm-eval model: lm-eval's tasks stay lm-eval's, the forward passes are ours.

    import lm_eval
    from harness.models.lm_eval_model import HarnessLM

    lm = HarnessLM.load("baselines/base")                     # or HarnessLM(any model of harness.models)
    lm_eval.simple_evaluate(model=lm, tasks=["arc_easy"])     # the numbers of `lm_eval --model hf`, sooner

Texts are encoded as lm-eval's `HFLM` does (trailing white space of a context moves to its continuation); choices of one
document share the passes of whatever they have in common, and the output head runs on the scored positions only.
Generation is greedy whatever a task's `generation_kwargs` say. With `chat`, documents go through a chat template.

Importing this module imports lm_eval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from harness.config import BaseModelSpec
from harness.errors import ModelError
from harness.models import Continuation, Logprob, Model
from harness.models.lm_eval_tasks import Progress, Scorer
from harness.models.token_cache import Encoder
from harness.models.transformers.batching import plan_batches, plan_continuations
from harness.records import Message


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat template: `write` turns a conversation into the text before an answer, or into one whose last turn is to
    be continued; `stops` end an answer, `system` stands before a task's own description."""

    template: str
    write: Callable[[Sequence[Message], bool], str]
    stops: tuple[str, ...] = ()
    system: str | None = None


def _silent(phase: str, done: int, total: int) -> None:
    return


class HarnessLM(TemplateLM):  # type: ignore[misc]
    """An lm-eval `LM` over any `Model` of harness.

    Requests are planned into batches of at most `batch_tokens` padded tokens and `max_rows` rows, longest first, and
    kept in memory until all are done; with `score` the caller does that. `seen` holds what each request of a task came
    to: (task, document, index) → (sum of natural-log probabilities, tokens, UTF-8 bytes of the continuation); `cut` the
    (task, document) whose text lost its left to fit the context. `chat` turns a conversation into text (`Chat`).
    """

    def __init__(
        self,
        model: Model,
        *,
        batch_tokens: int = 16384,
        max_rows: int = 128,
        score: Scorer | None = None,
        progress: Progress = _silent,
        chat: Chat | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = getattr(model, "tokenizer", None)
        self.longest = int(getattr(model, "context", 2048))
        self.batch_tokens, self.max_rows = batch_tokens, max_rows
        self.seen: dict[tuple[str, int, int], tuple[float, int, int]] = {}
        self.cut: set[tuple[str, int]] = set()
        self.chat = chat
        self._score = score or self._in_batches
        self._progress = progress
        self._asked: Sequence[Any] = ()
        prefix = self.prefix_token_id
        self._opening = self.tokenizer.decode([prefix]) if self.tokenizer is not None and prefix is not None else ""
        self._encode = None if self.tokenizer is None else Encoder(self.tokenizer)

    @classmethod
    def load(
        cls,
        base: str,
        *,
        adapter: str | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        **options: Any,
    ) -> HarnessLM:
        """The model in folder (or hub id) `base`, with the peft adapter in folder `adapter` on top; `options` as above.

        Raises ModelError for what cannot be loaded, OutOfMemory.
        """
        from pathlib import Path

        from harness.models.transformers import loading
        from harness.models.transformers.causal import CausalModel

        model, tokenizer = loading.load_base(BaseModelSpec.model_validate({"path": base, "dtype": dtype}), device)
        if adapter is not None:
            model = loading.load_adapter(model, Path(adapter))
        return cls(CausalModel(model, tokenizer), **options)

    @property
    def eot_token_id(self) -> Any:
        return getattr(self.tokenizer, "eos_token_id", None)

    @property
    def prefix_token_id(self) -> Any:
        return getattr(self.model, "prefix_id", None)

    @property
    def max_length(self) -> int:
        """Longest sequence that is used, in tokens."""
        return self.longest

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids of `string`; a text that begins with the prefix token gets no second one."""
        special = add_special_tokens
        if self._encode is None:
            return list(self.model.encode(string))
        if special is None and self._opening and string.startswith(self._opening):
            special = False
        return list(self._encode(string, special))

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        return self.chat.template if self.chat is not None else None

    @property
    def tokenizer_name(self) -> str:
        return str(getattr(self.tokenizer, "name_or_path", ""))

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The text of a conversation, up to where an answer begins or to the end of an unfinished last turn."""
        if self.chat is None:
            raise ModelError("no chat template was given", hint="HarnessLM(model, chat=…)")
        turns = [Message(turn["role"], turn["content"]) for turn in chat_history]
        return self.chat.write(turns, add_generation_prompt)

    # ------------------------------------------------------------------------------------------------- likelihoods

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
        """(sum of natural-log probabilities, every token the argmax) of each request's continuation."""
        self._asked = requests
        return super().loglikelihood(requests, disable_tqdm=True)

    def _loglikelihood_tokens(self, requests: Any, **kwargs: Any) -> list[tuple[float, bool]]:
        pairs = [_fit(context, target, self.longest) for _, context, target in requests]
        for instance, (_, context, _), pair in zip(self._asked, requests, pairs, strict=True):
            if len(pair.context) < sum(token is not None for token in context):
                self.cut.add((instance.task_name, instance.doc_id))
        results = self._score("loglikelihood", pairs)
        for instance, (texts, _, _), row in zip(self._asked, requests, results, strict=True):
            key = (instance.task_name, instance.doc_id, instance.idx)
            self.seen[key] = (row.logprob, row.tokens, len(texts[1].encode()))
        return [(row.logprob, row.greedy) for row in results]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> list[float]:
        """Sum of natural-log probabilities of each whole text, in windows of the context length."""
        pairs: list[Continuation] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.longest,
                context_len=1,
            )
            for context, target in map(make_disjoint_window, windows):
                pairs.append(_fit(context, target, self.longest))
                owners.append(number)
        sums = [0.0] * len(requests)
        for number, row in zip(owners, self._score("loglikelihood_rolling", pairs), strict=True):
            sums[number] += row.logprob
        return sums

    def _in_batches(self, kind: str, requests: Sequence[Continuation]) -> list[Logprob]:
        results: dict[int, Logprob] = {}
        for batch in plan_continuations(requests, self.batch_tokens, self.max_rows):
            results.update(zip(batch, self.model.logprobs([requests[i] for i in batch]), strict=True))
            self._progress("lm_eval", len(results), len(requests))
        return [results[index] for index in range(len(requests))]

    # -------------------------------------------------------------------------------------------------- generation

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """Greedy answers, cut before the first stop string of their request."""
        encoded = [self.tok_encode(request.args[0]) for request in requests]
        # Requests with the same stop strings and length limit go through the model together.
        groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
        for number, options in enumerate(request.args[1] for request in requests):
            until = options.get("until") or ()
            stops = ((until,) if isinstance(until, str) else tuple(until)) + (self.chat.stops if self.chat else ())
            limit = int(options.get("max_gen_toks") or options.get("max_new_tokens") or 256)
            groups.setdefault((stops, min(limit, self.longest - 1)), []).append(number)
        texts: dict[int, str] = {}
        for (stops, limit), members in groups.items():
            room = self.longest - limit
            prompts = [encoded[number][-room:] for number in members]
            long = [requests[number] for number in members if len(encoded[number]) > room]
            self.cut |= {(request.task_name, request.doc_id) for request in long}
            lengths = [len(prompt) + limit for prompt in prompts]
            for batch in plan_batches(lengths, self.batch_tokens, self.max_rows):
                answers = self.model.generate([prompts[i] for i in batch], limit, stops)
                texts.update((members[i], answer.text) for i, answer in zip(batch, answers, strict=True))
                self._progress("lm_eval", len(texts), len(requests))
        return [texts[number] for number in range(len(requests))]


def _fit(context: Sequence[int | None], target: Sequence[int], longest: int) -> Continuation:
    """Cut a context from the left to what fits, as HFLM does: `longest` inputs and one more token to predict."""
    tokens = [token for token in context if token is not None]
    room = max(1, longest + 1 - len(target))
    return Continuation(tuple(tokens[-room:]), tuple(target))
