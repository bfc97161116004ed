"""A model behind an OpenAI-compatible URL, as a `Model`: greedy answers to text or turns, no log-probabilities.

The server tokenises by itself, so the token ids of the `Model` protocol are characters here: a prompt's ids are the
code points of its text, or of its turns as JSON, which no step on the way can change. What the server counted in its
own tokens comes back in `Generation.counted`.

The key is read from the environment for each request; it stands in no record, no file and no message. Redirects are
not followed, because they would carry the key elsewhere. Requests are sent again after a broken connection, a timeout,
429 and 5xx, and after nothing else.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness import redaction
from harness.config import EndpointSpec
from harness.errors import ArmFailed, UsageError
from harness.models import Continuation, Generation, Logprob
from harness.records import FinishReason, Message

if TYPE_CHECKING:
    import httpx2

NO_LOGPROBS = "the server gives no log-probabilities for prompts"
UNAVAILABLE: Mapping[str, str] = {"likelihood": NO_LOGPROBS, "lm_eval": NO_LOGPROBS}
"""Source of a metric → why an endpoint has no value for it."""
BACKOFF_SECONDS = 0.5
"""Wait before the first repetition; doubled each time."""
LONGEST_WAIT = 60.0
LARGEST_REPLY = 16 << 20
MOST_STOPS = 4
"""Stop strings that the API takes; the rest are cut off here, as all are."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its text, whether the limit ended it, and the server's count of prompt and answer tokens, if any."""

    text: str
    limited: bool
    counted: tuple[int, int] | None
    refused: bool = False
    """The server gave no answer but a refusal, a filter's stop or a tool call."""


NO_ANSWERS = ("content_filter", "tool_calls", "function_call")
"""Finish reasons that come with no answer."""
INSTEAD = ("refusal", "tool_calls", "function_call")
"""What a message holds in place of an answer."""


def is_local(url: str) -> bool:
    """Whether a URL is of this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def stays_here(url: str) -> None:
    """Raise UsageError where what is sent to `url` would leave this machine: no text of a sensitive task may."""
    if not is_local(url):
        raise UsageError(
            f"the task is sensitive, and {urlsplit(url).hostname} is another machine: its prompts would leave this one",
            hint="Serve the model here, with a url on 127.0.0.1",
        )


class Client:
    """Sends requests to one endpoint. `extra` goes into every request body."""

    def __init__(
        self,
        spec: EndpointSpec,
        extra: Mapping[str, Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.spec, self.extra, self._sleep = spec, dict(extra or {}), sleep
        path = "/completions" if spec.api == "completions" else "/chat/completions"
        self.address = spec.url + path
        if redaction.active():
            stays_here(spec.url)

    @functools.cached_property
    def _http(self) -> httpx2.Client:
        import httpx2

        # A connection for each request, so that none is found closed by the server; no proxy to this machine.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        return httpx2.Client(timeout=self.spec.timeout, trust_env=not is_local(self.spec.url), limits=limits)

    def ask(self, prompt: str | list[dict[str, str]], max_tokens: int, stop: Sequence[str]) -> Reply:
        """One greedy answer. Raises ArmFailed, in one line, when there is none."""
        what = "prompt" if self.spec.api == "completions" else "messages"
        body = {"model": self.spec.model, what: prompt, "max_tokens": max_tokens, "temperature": 0, **self.extra}
        if stop:
            body["stop"] = list(stop)[:MOST_STOPS]
        for attempt in range(self.spec.retries + 1):
            try:
                return self._reply(self._post(body))
            except _Again as again:
                if attempt == self.spec.retries:
                    times = f" ({attempt + 1} tries)" if attempt else ""
                    raise ArmFailed(self._safe(f"{again}{times}"), hint=again.hint) from again.__cause__
                self._sleep(min(LONGEST_WAIT, max(again.wait, BACKOFF_SECONDS * 2**attempt)))
        raise AssertionError("unreachable")

    def _post(self, body: Mapping[str, Any]) -> bytes:
        import httpx2

        headers = {"Content-Type": "application/json"}
        key = self._key()
        if key:
            headers["Authorization"] = f"Bearer {key}"
        try:
            content = json.dumps(body, ensure_ascii=False).encode()
            with self._http.stream("POST", self.address, content=content, headers=headers) as answer:
                text = b""
                for part in answer.iter_bytes():
                    text += part
                    if len(text) > LARGEST_REPLY:
                        break
        except httpx2.TimeoutException as error:
            hint = "Raise timeout, or lower the load"
            raise _Again(f"{self.address} gave no answer within {self.spec.timeout:g} s", hint) from error
        except httpx2.ConnectError as error:
            hint = "Start the server, or mend url"
            raise _Again(f"{self.address} cannot be reached ({_line(error)})", hint) from error
        except httpx2.RequestError as error:
            reason = redaction.reason(error, _line(error))
            raise _Again(f"{self.address} broke the connection ({reason})", "Look at the server's log") from error
        if not answer.is_success:
            raise self._refused(answer, text)
        return text[:LARGEST_REPLY]

    def _refused(self, answer: httpx2.Response, body: bytes) -> Exception:
        """What an HTTP status means: to try again, or the end of the arm."""
        status = answer.status_code
        detail = redaction.SENSITIVE if redaction.active() else _detail(body) or _line(answer.reason_phrase)
        text = f"{self.address} answered {status} ({detail})"
        if status == 429 or status >= 500:
            return _Again(text, "Lower concurrency, or look at the server's log", _seconds(answer.headers))
        hints = {
            401: "Name the environment variable that holds the key in key_env",
            403: "The key may not use this model",
            404: f"Check url and model: {self.spec.model} at {self.spec.url}; the url usually ends in /v1",
        }
        moved = "Redirects are not followed: give the final url" if status < 400 else ""
        hint = hints.get(status) or moved or f"Check model ({self.spec.model}), api and the length of the prompts"
        return ArmFailed(self._safe(text), hint=hint)

    def _reply(self, content: bytes) -> Reply:
        hint = f"Check that url and api ({self.spec.api}) are those of an OpenAI-compatible server"
        try:
            reply = json.loads(content)
            choice = reply["choices"][0]
            said = choice if self.spec.api == "completions" else choice["message"]
            text = said["text"] if self.spec.api == "completions" else said.get("content") or ""
            refused = choice.get("finish_reason") in NO_ANSWERS or any(said.get(name) for name in INSTEAD)
            if not isinstance(text, str):
                raise TypeError("text is no string")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            shown = _line(content[:120].decode(errors="replace")) if content else "nothing"
            shown = redaction.SENSITIVE if redaction.active() else shown
            raise ArmFailed(self._safe(f"{self.address} sent a malformed reply: {shown}"), hint=hint) from error
        refused = refused or (not text and said.get("content", "") is None)
        return Reply(text, choice.get("finish_reason") == "length", _counted(reply.get("usage")), refused)

    def _key(self) -> str | None:
        name = self.spec.key_env
        if name is None:
            return None
        key = os.environ.get(name, "").strip()
        if not key or not key.isprintable() or not key.isascii():
            what = "holds no usable key" if key else "is not set"
            raise ArmFailed(f"the environment variable {name} (key_env) {what}", hint=f"export {name}=…")
        return key

    def _safe(self, text: str) -> str:
        """`text` without the key, which a server may echo."""
        key = os.environ.get(self.spec.key_env or "", "").strip()
        return text.replace(key, "[key]") if key else text


class EndpointModel:
    """The `Model` protocol over a client. `tokenizer` and `context` are the base model's: they decide what is cut."""

    def __init__(self, client: Client, tokenizer: Any, context: int) -> None:
        self.client, self.tokenizer, self.context = client, tokenizer, context

    def ids(self, text: str, messages: Sequence[Message]) -> tuple[int, ...]:
        """A prompt, given as text and as turns, as this model's token ids."""
        if self.client.spec.api == "completions":
            return tuple(self.encode(text))
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        return tuple(self.encode(json.dumps(turns, ensure_ascii=False)))

    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        """Greedy answers to one batch of prompts (from `ids`), `concurrency` at a time, in the order given."""
        stops = [text for text in stop if text]
        pool = ThreadPoolExecutor(self.client.spec.concurrency)
        try:
            return list(pool.map(lambda prompt: self._answer(prompt, max_new_tokens, stops), prompts))
        finally:
            # The first failure ends the batch: what waits is not sent any more.
            pool.shutdown(wait=False, cancel_futures=True)

    def forced(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> int:
        """Answers one after another, of at most `new_tokens`: the API cannot forbid a server to stop early."""
        answers = [self._answer(prompt, new_tokens, ()) for prompt in prompts]
        return sum((answer.counted or (0, 0))[1] for answer in answers)

    @property
    def weights_bytes(self) -> None:
        """Not known from outside."""
        return None

    def _answer(self, prompt: Sequence[int], limit: int, stops: Sequence[str]) -> Generation:
        text = "".join(map(chr, prompt))
        reply = self.client.ask(text if self.client.spec.api == "completions" else json.loads(text), limit, stops)
        cuts = [reply.text.find(stop) for stop in stops if stop in reply.text]
        answer = reply.text[: min(cuts)] if cuts else reply.text
        counted = reply.counted or (self._count(text), self._count(answer))
        finish: FinishReason = "refused" if reply.refused else "length" if reply.limited and not cuts else "stop"
        return Generation(tuple(self.encode(answer)), answer, finish, counted)

    def _count(self, text: str) -> int:
        """Tokens of the base model's tokenizer, where the server does not count."""
        return len(self.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def logprobs(self, requests: Sequence[Continuation]) -> list[Logprob]:
        """Raises ArmFailed: the API has no sound way to ask."""
        raise ArmFailed(NO_LOGPROBS, hint="Score a local model for metrics of likelihoods")

    def encode(self, text: str) -> list[int]:
        """Code points."""
        return list(map(ord, text))

    def close(self) -> None:
        """Nothing is held."""


class _Again(Exception):
    """A failure that may pass; `wait` is what the server asked for, in seconds."""

    def __init__(self, message: str, hint: str, wait: float = 0.0) -> None:
        self.hint, self.wait = hint, wait
        super().__init__(message)


def _counted(usage: Any) -> tuple[int, int] | None:
    """Prompt and answer tokens as the server counted them; None where it did not."""
    if not isinstance(usage, dict):
        return None
    prompt, answer = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (prompt, answer) if isinstance(prompt, int) and isinstance(answer, int) else None


def _detail(body: bytes) -> str:
    """What the server says is wrong, from the JSON of its error; empty where it says nothing."""
    try:
        reply = json.loads(body)
        problem = reply.get("error", reply.get("detail", reply.get("message")))
        text = problem.get("message") if isinstance(problem, dict) else problem
    except (ValueError, AttributeError):
        return ""
    return _line(text) if isinstance(text, str) and text.strip() else ""


def _seconds(headers: Any) -> float:
    try:
        return max(0.0, float(headers.get("Retry-After", 0)))
    except ValueError:  # a date: our own waiting does
        return 0.0


def _line(text: object) -> str:
    words = " ".join(str(text).split()) or type(text).__name__
    return "".join(char for char in words if char.isprintable())[:200]
