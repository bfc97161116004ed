"""A transformers model (with or without a peft adapter) behind the `Model` protocol.

No code per architecture: the output head is reached through `get_output_embeddings`, and what comes after it (logit
scaling, soft-capping) is the model's own forward pass.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from harness.errors import ArmFailed, OutOfMemory, refuse_unknown
from harness.models import Continuation, Generation, Logprob, library_configs
from harness.models.transformers import forward as passes, greedy, token_tree
from harness.models.transformers.token_tree import Row
from harness.records import LibraryConfig

LOGIT_BYTES = 1 << 30
"""Bytes of float32 logits held at a time; larger batches are scored in fixed parts."""
CPU_TOKENS = 2048
"""Padded tokens of one scoring pass on a CPU: activations of more leave the caches."""


class CausalModel:
    """A causal language model of transformers on one device.

    `context` is the longest sequence that is used: what the spec says, else what the config says. `prefix_id` stands
    before a text without context: the begin-of-sequence token, else end-of-sequence (as lm-eval does), else None.
    `closed` is called when the model is closed.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        context: int | None = None,
        closed: Callable[[], None] | None = None,
    ) -> None:
        config = model.config.get_text_config()
        self.model = model.eval()
        self.tokenizer = tokenizer
        self._closed = closed
        self.context: int = context or getattr(config, "max_position_embeddings", None) or 2048
        self.eos_ids: tuple[int, ...] = eos_ids_of(
            tokenizer, getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        )
        self.prefix_id: int | None = tokenizer.bos_token_id
        if self.prefix_id is None:
            self.prefix_id = tokenizer.eos_token_id
        self._vocabulary = int(config.vocab_size)
        self._pad = int(tokenizer.pad_token_id or 0)
        self._virtual = bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))
        self._shares: bool | None = False if self._virtual else None
        self._grows: bool | None = False if self._virtual else None
        self._tree = passes.Tree(self.model, self._pad)
        self._reset_generation_config()

    def _reset_generation_config(self) -> None:
        """Drop what a hub folder says about sampling, so that no temperature or penalty leaks into greedy decoding."""
        from transformers import GenerationConfig

        self._generation = GenerationConfig(
            do_sample=False,
            num_beams=1,
            use_cache=True,
            pad_token_id=self._pad,
            eos_token_id=list(self.eos_ids) or None,
            bos_token_id=self.tokenizer.bos_token_id,
        )
        bare = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        for part in {id(part): part for part in (self.model, bare)}.values():
            part.generation_config = GenerationConfig(**self._generation.to_diff_dict())

    @property
    def generation_settings(self) -> LibraryConfig:
        """What decoding goes by, whichever loop does it; its limit and stop strings come with every call."""
        return library_configs.describe("transformers", self._generation, type(self._generation)())

    # ------------------------------------------------------------------------------------------------- generation

    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        """Greedy continuations of one batch of prompts (token ids, none empty), in the order given.

        Ends at an end-of-sequence token or the first of the `stop` strings (cut from the text), which may be or hold
        special tokens: finish `stop`; at `max_new_tokens`: finish `length`.
        """
        self._refuse_unknown(token for prompt in prompts for token in prompt)
        stops = [text for text in stop if text]
        use = self._generate_fast if self.shares_contexts else self._generate_any
        rows = self._in_batches(prompts, lambda batch: use(batch, max_new_tokens, stops))
        return [finish(self.tokenizer, self.eos_ids, row, stops) for row in rows]

    def forced(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> int:
        """Generate exactly `new_tokens` for each prompt as `generate` does, end-of-sequence or not; their number."""
        fast = self.shares_contexts
        rows = self._in_batches(
            prompts,
            lambda batch: (
                self._generate_fast(batch, new_tokens, None)
                if fast
                else self._generate_any(batch, new_tokens, (), least=new_tokens)
            ),
        )
        return sum(map(len, rows))

    @property
    def weights_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held; of 4-bit weights with the scales of their blocks."""
        held = [*self.model.parameters(), *self.model.buffers()]
        states = [part.quant_state for part in held if getattr(part, "quant_state", None) is not None]
        nested = [state.state2 for state in states if getattr(state, "state2", None) is not None]
        held += [table for state in [*states, *nested] for table in (state.absmax, state.code) if table is not None]
        # Layers may share a table, and tied weights are one tensor.
        return sum({part.data_ptr(): part.numel() * part.element_size() for part in held}.values())

    def _in_batches(
        self, prompts: Sequence[Sequence[int]], run: Callable[[list[Sequence[int]]], list[list[int]]]
    ) -> list[list[int]]:
        """Generated ids of each prompt, in the order given, from one padded batch wherever the model allows it."""
        # peft drops position ids when it adds virtual tokens, so padding would move a prompt away from them.
        groups: dict[int, list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault(len(prompt) if self._virtual else 0, []).append(index)
        answers: dict[int, list[int]] = {}
        import torch

        with self._memory("generation"), torch.inference_mode():
            for members in groups.values():
                answers.update(zip(members, run([prompts[index] for index in members]), strict=True))
        return [answers[index] for index in range(len(prompts))]

    def _generate_fast(
        self, prompts: Sequence[Sequence[int]], limit: int, stops: Sequence[str] | None
    ) -> list[list[int]]:
        """Our own loop, for models whose cache can be split by rows; without `stops` nothing ends a row early.

        Worked examples that all prompts begin with go through the model once.
        """
        import torch

        def forward(inputs: dict[str, Any]) -> Any:
            rows, length = inputs["input_ids"].shape
            every = torch.arange(rows, device=inputs["input_ids"].device)
            return passes.logits_at(self.model, every, torch.full_like(every, length - 1), **inputs)[0]

        eos = self.eos_ids if stops is not None else ()
        ended = greedy.ends(eos, self._stopping(stops) if stops else None)
        common = passes.worth_sharing([prompt[:-1] for prompt in prompts])
        common = common if common and self.grows_trees else 0
        ids, mask = passes.padded([prompt[common:] for prompt in prompts], self._pad, True, self.model.device)
        mask = torch.cat([mask.new_ones(len(prompts), common), mask], dim=1)
        begun = self._tree.begin(tuple(prompts[0][:common]), len(prompts)) if common else None
        cache = greedy.growing_cache(self.model.config, begun)
        return greedy.greedy(forward, cache, (ids, mask), limit, ended)

    def _generate_any(
        self, prompts: Sequence[Sequence[int]], limit: int, stops: Sequence[str], least: int | None = None
    ) -> list[list[int]]:
        """The loop of transformers, for every other model; rows go on (unread) until the last one has ended.

        With `least` no row ends before so many tokens.
        """
        import torch
        from transformers import StoppingCriteriaList

        ids, mask = passes.padded(prompts, self._pad, True, self.model.device)
        start = ids.shape[1]
        settings = type(self._generation)(
            **{**self._generation.to_diff_dict(), "max_new_tokens": limit, "min_new_tokens": least}
        )
        stopped = self._stopping(stops) if stops else lambda tokens: False

        def criterion(ids: Any, scores: Any, **kwargs: Any) -> Any:
            return torch.tensor([stopped(row) for row in ids[:, start:].tolist()], device=ids.device)

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Position ids are not supported")
            output = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=settings,
                stopping_criteria=StoppingCriteriaList([criterion] if stops else []),
            )
        # With input_ids given, transformers returns the prompt first, virtual tokens of an adapter left out.
        return [list(row) for row in output[:, start:].tolist()]

    def _stopping(self, stops: Sequence[str]) -> Callable[[list[int]], bool]:
        """Whether one of the `stops` lies in the last of the generated tokens (a token is at least one byte)."""
        tokens_, texts = _told_apart(self.tokenizer, stops)
        tail = max((len(text.encode()) for text in texts), default=0) + 4

        def stopped(tokens: list[int]) -> bool:
            if tokens[-1] in tokens_:
                return True
            text = self.tokenizer.decode(tokens[-tail:], clean_up_tokenization_spaces=False) if texts else ""
            return any(stop in text for stop in texts)

        return stopped

    # ------------------------------------------------------------------------------------------------ likelihoods

    def logprobs(self, requests: Sequence[Continuation]) -> list[Logprob]:
        """Log-probabilities (natural log, summed in float64) of one batch of continuations, in the order given.

        The output head runs on the scored positions only. Continuations of one context share its forward pass where
        the model allows it (found out once by comparing both ways). Without context the first token is scored given
        `prefix_id`; where a tokenizer has neither BOS nor EOS it is not scored, and not counted in `tokens`.
        """
        rows = [self._with_prefix(request) for request in requests]
        self._refuse_unknown(token for row in rows for part in row for token in part)
        results: dict[int, Logprob] = {}
        import torch

        with self._memory("scoring"), torch.inference_mode():
            alone = [index for index, row in enumerate(rows) if len(row[0]) == 1 or not row[1]]
            if len(alone) < len(rows) and self.grows_trees:
                grown = token_tree.grow(rows, leave=alone)
                inputs, scored = [tree.inputs for tree in grown], [len(tree.tokens) for tree in grown]
                for part in passes.parts(inputs, scored, self._most_tokens, self._most_scored):
                    results.update(self._tree.score([grown[index] for index in part], rows))
            else:
                alone = list(range(len(rows)))
            results.update(zip(alone, self._score_rows([rows[index] for index in alone]), strict=True))
        return [results[index] for index in range(len(rows))]

    @property
    def _most_tokens(self) -> int | None:
        return CPU_TOKENS if self.model.device.type == "cpu" else None

    @property
    def _most_scored(self) -> int:
        return LOGIT_BYTES // (4 * self._vocabulary)

    def _score_rows(self, rows: Sequence[Row]) -> list[Logprob]:
        """Whole sequences, or continuations of cached contexts where they are worth it."""
        distinct = {context for context, _ in rows}
        shared = len(rows) > 1 and 4 * len(distinct) <= 3 * len(rows) and min(map(len, distinct)) > 1
        use = passes.shared if shared and self.shares_contexts else passes.plain
        results: dict[int, Logprob] = {}
        lengths = [len(context) + len(target) for context, target in rows]
        scored = [len(target) for _, target in rows]
        for part in passes.parts(lengths, scored, self._most_tokens, self._most_scored):
            results.update(zip(part, use(self.model, [rows[index] for index in part], self._pad), strict=True))
        return [results[index] for index in range(len(rows))]

    @property
    def shares_contexts(self) -> bool:
        """Whether scoring continuations from a cached context gives what whole sequences give, measured once."""
        if self._shares is None:
            self._shares = self._agrees(lambda rows: passes.shared(self.model, rows, self._pad), (5, 9))
        return self._shares

    @property
    def grows_trees(self) -> bool:
        """Whether scoring by trees gives what whole sequences give, measured once; never where layers see a window."""
        if self._grows is None:
            self._grows = self._tree.fits and self._agrees(self._tree.score_all, self._lengths)
        return self._grows

    @property
    def _lengths(self) -> tuple[int, ...]:
        """Lengths of trial contexts; one is long enough for a window that no config tells of."""
        return 5, 9, max(9, min(320, self.context - 40))

    def _with_prefix(self, request: Continuation) -> Row:
        if request.context:
            return request.context, request.target
        if self.prefix_id is not None:
            return (self.prefix_id,), request.target
        return request.target[:1], request.target[1:]

    def _agrees(self, score: Callable[[list[Row]], list[Logprob]], lengths: Sequence[int]) -> bool:
        """Compare a way of scoring with the plain one on fixed token ids: not every architecture can take every way.

        The ids do not depend on the data, so that a resumed run decides as the first one did.
        """
        import torch

        def ids(start: int, count: int) -> tuple[int, ...]:
            return tuple((7919 * (start + i) + 17) % self._vocabulary for i in range(count))

        rows = [(ids(0, n), (*ids(50 * n, 2), *ids(100 * n + k, k))) for n in lengths for k in (2, 4)]
        tolerance = 1e-3 if self.model.dtype == torch.float32 else 0.3
        try:
            with torch.inference_mode():
                pairs = zip(score(rows), passes.plain(self.model, rows, self._pad), strict=True)
                return all(abs(a.logprob - b.logprob) < tolerance for a, b in pairs)
        except (AttributeError, TypeError, ValueError, RuntimeError, NotImplementedError):
            # No cache, one that cannot be split by rows, no mask of one's own: whole sequences are always right.
            return False

    # ------------------------------------------------------------------------------------------------------ other

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, no special tokens added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def close(self) -> None:
        """Free the memory."""
        import torch

        self.model = None
        if self._closed is not None:
            self._closed()
            self._closed = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _refuse_unknown(self, tokens: Iterable[int]) -> None:
        # An accelerator answers a look-up beyond the table with an error that ends the process.
        refuse_unknown(max(tokens, default=0), int(self.model.get_input_embeddings().weight.shape[0]))

    @contextmanager
    def _memory(self, what: str) -> Iterator[None]:
        import torch

        try:
            yield
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(f"{what} ran out of memory", hint="Lower resources.batch_tokens") from error
        except IndexError as error:
            # Learned positions end at the model's context; a table looked up beyond it fails in an index.
            raise ArmFailed(f"{what} went beyond the model's {self.context} tokens or vocabulary ({error})") from error


def finish(tokenizer: Any, eos_ids: Sequence[int], row: Sequence[int], stops: Sequence[str]) -> Generation:
    """Cut one row of generated ids at the end-of-sequence token, then at the earliest stop string.

    Stop strings are looked for with special tokens in the text; the answer is without them.
    """

    def decode(ids: Sequence[int], special: bool = False) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=not special, clean_up_tokenization_spaces=False))

    ids, texts = _told_apart(tokenizer, stops)
    ends = [index for index, token in enumerate(row) if token in eos_ids or token in ids]
    tokens = list(row[: ends[0]] if ends else row)
    whole = decode(tokens, special=True)
    cuts = [whole.find(stop) for stop in texts if stop in whole]
    if not cuts:
        return Generation(tuple(tokens), decode(tokens), "stop" if ends else "length")
    whole = whole[: min(cuts)]
    kept = next(n for n in range(len(tokens) + 1) if decode(tokens[:n], special=True).startswith(whole))
    text = decode(tokens[:kept])
    # The last token may reach into the stop string; what is before that string is the answer.
    surplus = len(decode(tokens[:kept], special=True)) - len(whole)
    return Generation(tuple(tokens[:kept]), text[: len(text) - surplus] if surplus else text, "stop")


def _told_apart(tokenizer: Any, stops: Sequence[str]) -> tuple[frozenset[int], list[str]]:
    """Stop strings that are special tokens, by id (their text may be talked about in an answer), and the others."""
    decoder = getattr(tokenizer, "added_tokens_decoder", {})
    special = {str(entry.content): int(token) for token, entry in decoder.items() if entry.special}
    return frozenset(special[stop] for stop in stops if stop in special), [
        stop for stop in stops if stop not in special
    ]


def eos_ids_of(tokenizer: Any, configured: Any) -> tuple[int, ...]:
    """Every token that ends a text: the tokenizer's, and `eos_token_id` of the model's generation config."""
    listed = list(configured) if isinstance(configured, (list, tuple)) else [configured]
    return tuple(dict.fromkeys(int(token) for token in [tokenizer.eos_token_id, *listed] if token is not None))
