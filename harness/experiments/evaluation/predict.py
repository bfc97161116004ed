"""Asks a model for predictions and likelihoods of examples, by whole batches that survive a kill.

The batch plan is fixed before the first batch. Each finished batch is one line of a `Journal`; a rerun reads what is
whole and repeats the missing batches, which gives the same bits as a run that was never stopped.

What is counted: likelihoods of the test split (`test`, role `target`) cover the tokens of the target *without* the
end-of-sequence token, so that token perplexity is exp of the mean negative log-probability of the target's tokens (a
plain loop over them) and bits per byte is over the bytes of the target's text. Preference pairs (`preferences`) *do*
count the end-of-sequence token: without it an answer that merely leaves out another's last sentence could never lose.
Retention texts are scored whole in windows of the context length: every token once, the first given the
begin-of-sequence token, the first of a later window given its predecessor alone (disjoint windows; a sliding one costs
more and ranks the same).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.prompts import Prompter
from harness.models import Continuation, Logprob, Model
from harness.models.transformers.batching import plan_batches, plan_continuations
from harness.records import (
    Example,
    Likelihood,
    Message,
    Prediction,
    PreferencePair,
    RetentionText,
    digest,
    from_json,
    to_json,
)
from harness.records.journal import Journal

AsIds = Callable[[str, Sequence[Message]], tuple[int, ...]]
"""A prompt as text and as turns → its ids for a model that tokenises by itself."""
Progress = Callable[[str, int, int], None]
"""Called with a phase, items done and items in all."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt to answer: example id, token ids, their hash, and whether the prompt was truncated on the left."""

    example: str
    prompt: tuple[int, ...]
    prompt_hash: str
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class LikelihoodRequest:
    """One continuation to score, or one window of it; windows of the same key are summed. `bytes` is UTF-8 length."""

    suite: str
    item: str
    continuation: int
    role: str
    context: tuple[int, ...]
    target: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Evaluation, generation limits, and largest batch (in padded tokens and rows) of one scoring."""

    eval_id: str
    batch_tokens: int = 16384
    max_rows: int = 128
    max_new_tokens: int = 128
    stop: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------------- requests


def generation_requests(
    prompter: Prompter, examples: Sequence[Example], max_new_tokens: int, as_ids: AsIds | None = None
) -> list[GenerationRequest]:
    """Prompts of `examples`, each leaving room for `max_new_tokens`; `as_ids` of a model that tokenises by itself."""
    requests = []
    for example in examples:
        if as_ids is None:
            row = prompter.encode_prompt(example, max_new_tokens)
            requests.append(GenerationRequest(example.id, row.prompt, row.prompt_hash, row.truncated > 0))
        else:
            text = prompter.render_prompt(example, max_new_tokens)
            ids = as_ids(text.text, text.messages)
            requests.append(GenerationRequest(example.id, ids, text.prompt_hash, text.truncated > 0))
    return requests


def target_requests(prompter: Prompter, examples: Sequence[Example]) -> list[LikelihoodRequest]:
    """The first reference of each example given its prompt, without the end-of-sequence token."""
    requests = []
    for example in examples:
        row = prompter.encode(example)
        size = len(example.references[0].encode())
        requests.append(LikelihoodRequest("test", example.id, 0, "target", row.prompt, row.answer, size))
    return requests


def preference_requests(
    prompter: Prompter, examples: Mapping[str, Example], pairs: Sequence[PreferencePair]
) -> list[LikelihoodRequest]:
    """Chosen and rejected answer of each pair, with the end-of-sequence token.

    The item is the pair's example id, with `#n` from its second pair on; `continuation` is 0 for chosen and
    1 for rejected.
    """
    seen: dict[str, int] = {}
    requests = []
    for pair in pairs:
        seen[pair.example] = seen.get(pair.example, 0) + 1
        item = pair.example if seen[pair.example] == 1 else f"{pair.example}#{seen[pair.example]}"
        for index, (role, answer) in enumerate((("chosen", pair.chosen), ("rejected", pair.rejected))):
            row = prompter.encode(examples[pair.example], answer)
            size = len(answer.encode())
            requests.append(LikelihoodRequest("preferences", item, index, role, row.prompt, row.ended, size))
    return requests


def retention_requests(model: Model, texts: Sequence[RetentionText], context: int) -> list[LikelihoodRequest]:
    """Windows of `context` tokens that cover each text once, under suite `retention` and role `text`.

    A model without begin- and end-of-sequence token cannot score the first token of a text; `tokens` then counts one
    less, `bytes` stays the whole text's.
    """
    requests = []
    for text in texts:
        ids = tuple(model.encode(text.text))
        for start in range(0, len(ids), context):
            before = ids[start - 1 : start] if start else ()
            size = len(text.text.encode()) if start == 0 else 0
            window = ids[start : start + context]
            requests.append(LikelihoodRequest("retention", text.id, 0, "text", before, window, size))
    return requests


# -------------------------------------------------------------------------------------------------------- running


def predict(
    model: Model, requests: Sequence[GenerationRequest], settings: Settings, out: Path, progress: Progress
) -> list[Prediction]:
    """Greedy answers in the order of `requests`; `out` is the JSON-lines file of finished batches.

    `seconds` is the batch's wall time shared equally among its rows.
    """
    plan = plan_batches(
        [len(request.prompt) + settings.max_new_tokens for request in requests],
        settings.batch_tokens,
        settings.max_rows,
    )

    def run(batch: tuple[int, ...]) -> list[Any]:
        started = time.perf_counter()
        prompts = [requests[index].prompt for index in batch]
        answers = model.generate(prompts, settings.max_new_tokens, settings.stop)
        each = (time.perf_counter() - started) / len(batch)
        rows = []
        for index, answer in zip(batch, answers, strict=True):
            request = requests[index]
            counted = answer.counted or (len(request.prompt), len(answer.tokens))
            rows.append(
                Prediction(
                    eval_id=settings.eval_id,
                    example=request.example,
                    prompt_hash=request.prompt_hash,
                    text=answer.text,
                    finish=answer.finish,
                    tokens_in=counted[0],
                    tokens_out=counted[1],
                    seconds=each,
                    truncated=request.truncated,
                )
            )
        return [to_json(row) for row in rows]

    name = digest(["generate", settings, requests, plan])
    rows = _run_batches(plan, run, out, name, lambda done: progress("generate", done, len(requests)))
    return [from_json(Prediction, row) for row in rows]


def likelihoods(
    model: Model, requests: Sequence[LikelihoodRequest], settings: Settings, out: Path, progress: Progress
) -> list[Likelihood]:
    """One Likelihood per suite, item, continuation and role, in order of first appearance; windows are summed."""
    scored = score(model, [Continuation(r.context, r.target) for r in requests], settings, out, progress)
    sums: dict[tuple[str, str, int, str], tuple[float, int, int]] = {}
    for request, result in zip(requests, scored, strict=True):
        key = (request.suite, request.item, request.continuation, request.role)
        logprob, tokens, size = sums.get(key, (0.0, 0, 0))
        sums[key] = (logprob + result.logprob, tokens + result.tokens, size + request.bytes)
    return [Likelihood(settings.eval_id, *key, *value) for key, value in sums.items()]


def score(
    model: Model, requests: Sequence[Continuation], settings: Settings, out: Path, progress: Progress
) -> list[Logprob]:
    """Log-probabilities in the order of `requests`; `out` is the JSON-lines file of finished batches."""
    plan = plan_continuations(requests, settings.batch_tokens, settings.max_rows)

    def run(batch: tuple[int, ...]) -> list[Any]:
        return [to_json(row) for row in model.logprobs([requests[index] for index in batch])]

    name = digest(["score", settings, requests, plan])
    rows = _run_batches(plan, run, out, name, lambda done: progress("score", done, len(requests)))
    return [from_json(Logprob, row) for row in rows]


def _run_batches(
    plan: Sequence[tuple[int, ...]],
    run: Callable[[tuple[int, ...]], list[Any]],
    out: Path,
    name: str,
    progress: Callable[[int], None],
) -> list[Any]:
    """Run the batches that the file `out` lacks, append each, and give all rows back in the order of their indices.

    The file begins with a line that holds `name`, the digest of the plan; one of another plan is started anew.
    """

    def valid(place: int, line: Mapping[str, Any]) -> bool:
        return {"batch", "rows"} <= set(line) if place else line.get("plan") == name

    journal = Journal(out)
    lines = journal.recover(valid)
    if not lines:
        journal.append({"plan": name})
    finished = {line["batch"]: line["rows"] for line in lines[1:]}
    rows: dict[int, Any] = {}
    progress(0)
    for number, batch in enumerate(plan):
        if number not in finished:
            finished[number] = run(batch)
            journal.append({"batch": number, "rows": finished[number]})
        rows.update(zip(batch, finished[number], strict=True))
        progress(len(rows))
    return [rows[index] for index in range(len(rows))]
