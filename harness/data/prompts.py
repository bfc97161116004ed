"""Turns an example into token ids and a label mask: the only place that tokenises and truncates.

Text mode: prompt and target are tokenised as one text, as TRL and lm-eval do, wherever the prompt alone gives the
beginning of that (else apart); the beginning-of-sequence token stands first if the tokenizer adds one, the
end-of-sequence token last.

Chat mode: the prompt is the conversation so far through `apply_chat_template(…, add_generation_prompt=True)`, and what
the template writes between that and every answer (an empty `<think>` block, say) belongs to it. The target is the
answer up to the template's end of turn; a template without one gets the end-of-sequence token. Earlier turns and system
text carry no loss, and each must be found in what was rendered. A template that knows no system role (it raises, or
leaves the text out) gets the system text before the first user turn, separated by a blank line, as Gemma's own later
templates do. Text mode has no system role: system text is not used.

The text of a special token that stands in the data (`<|endoftext|>`) is refused unless the task declares what it is.

A prompt that is too long is truncated on the left (behind the beginning-of-sequence token); a target is never cut.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness import redaction
from harness.config import BaseModelSpec, ChatSpec, TaskSpec, templates
from harness.data.chat_templates import pinned, template_of
from harness.data.special_tokens import SpecialTokens, unmarked
from harness.errors import DataError, ModelError, SpecError, refuse_unknown
from harness.records import Example, Message, digest
from harness.redaction import named

IGNORED = -100
"""Label of a token that carries no loss (the value that torch's cross-entropy ignores)."""
SEPARATOR = "\n\n"
"""Stands between few-shot examples in text mode, and between folded system text and the first user turn."""
_PROBE = "text-probe-"
"""Stands for a turn or an answer where only the template's own words around it are asked for."""


class Tokenizer(Protocol):
    """The tokenizer interface used here; those of transformers and the toy one have it."""

    bos_token_id: int | None
    eos_token_id: int | None
    chat_template: Any

    def encode(self, text: str, *, add_special_tokens: bool = ..., verbose: bool = ...) -> list[int]:
        """Token ids of a text."""

    def decode(self, token_ids: Any) -> Any:
        """Text of token ids."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one example. `target` holds the answer and what ends it, and is empty for generation."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    truncated: int
    """Tokens cut from the left of the prompt."""
    prompt_hash: str
    """Hash of the prompt's token ids."""
    dropped_shots: int = 0
    """Few-shot examples that did not fit."""
    ending: int = 0
    """How many of the last tokens of `target` are no text of the answer."""
    surplus: int = 0
    """How many of those stand behind the one that ends the turn: what the template writes between turns."""

    @property
    def answer(self) -> tuple[int, ...]:
        """The tokens of the answer's text."""
        return self.target[: len(self.target) - self.ending]

    @property
    def ended(self) -> tuple[int, ...]:
        """The answer up to the token that ends the turn."""
        return self.target[: len(self.target) - self.surplus]

    @property
    def input_ids(self) -> tuple[int, ...]:
        """Prompt and target."""
        return self.prompt + self.target

    @property
    def labels(self) -> tuple[int, ...]:
        """One label a token: IGNORED over the prompt, the token itself over the target."""
        return (IGNORED,) * len(self.prompt) + self.target


@dataclass(frozen=True, slots=True)
class Rendered:
    """The prompt of one example for a model that tokenises by itself."""

    text: str
    """The text to be completed, without the beginning-of-sequence token, which the server adds."""
    messages: tuple[Message, ...]
    """The same as turns, for the server's own chat template; never truncated."""
    truncated: int
    """Tokens cut from the left of `text`, counted by this tokenizer."""
    prompt_hash: str
    """Hash of the prompt's token ids by this tokenizer, comparable with those of local arms."""


@dataclass(frozen=True, slots=True)
class PromptOverride:
    """What an untrained arm may change: another prompt template, and few-shot examples before the prompt."""

    prompt: str | None = None
    shots: tuple[Example, ...] = ()

    @property
    def hash(self) -> str:
        """Hash of template and few-shot examples; empty when nothing is overridden."""
        if self.prompt is None and not self.shots:
            return ""
        return digest({"prompt": self.prompt, "shots": self.shots, **({"as": "one text"} if self.shots else {})})


NO_OVERRIDE = PromptOverride()


def context_length(base: BaseModelSpec, config: Any) -> int:
    """Longest sequence in tokens: what the spec says, else what the transformers `config` says, else 2048."""
    if base.context is not None:
        return base.context
    text = config.get_text_config()
    return int(getattr(text, "max_position_embeddings", None) or 2048)


class Prompter:
    """Turns examples of one task into token ids for one tokenizer, chat setting and context length."""

    def __init__(
        self, tokenizer: Tokenizer, chat: ChatSpec, task: TaskSpec, context: int, override: PromptOverride = NO_OVERRIDE
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise ModelError(
                "the tokenizer has no end-of-sequence token, so no answer could end",
                hint="Set eos_token in its tokenizer_config.json",
            )
        self.tokenizer, self.chat, self.task, self.context, self.override = tokenizer, chat, task, context, override
        self.template = template_of(tokenizer, chat, needed=task.messages is not None)
        self.uses_chat = self.template is not None
        self.vocabulary: int | None = None
        """Embeddings of the model, where they are known: a token beyond them is refused."""
        self.apart = 0
        """Answers so far that do not begin where a token of the whole text does."""
        self._eos = tokenizer.eos_token_id
        self._specials = SpecialTokens(tokenizer, task.special_tokens)
        self._prefix = () if self.uses_chat else _special_prefix(tokenizer)

    @property
    def template_hash(self) -> str:
        """Hash of chat template, system text and template arguments, and of what the template adds around answers.

        Text mode has none of them: empty, but for a tokenizer that reads prompt and target otherwise than each alone.
        """
        if not self.uses_chat:
            joined = self._specials.encode("a b") == (*self._specials.encode("a"), *self._specials.encode(" b"))
            return "" if joined else digest("prompt and target as one text")
        added: dict[str, Any] = {"date": self.chat.date} if self.dated else {}
        try:
            around = [self._lead(("user",)), self.stops]
        except ModelError:  # said where a prompt is rendered
            around = []
        if any(around):
            added["around"] = around
        return digest({"template": self.template, "system": self.chat.system, "kwargs": self.chat.kwargs, **added})

    @property
    def dated(self) -> bool:
        """Whether the template writes today's date, in place of which it gets the one of the experiment."""
        return "strftime_now" in (self.template or "")

    @functools.cached_property
    def _pinned(self) -> str:
        return pinned(self.template or "", self.chat.date)

    def encode(self, example: Example, answer: str | None = None) -> Encoded:
        """Prompt, target and end of sequence; `answer` takes the place of the example's first reference.

        Raises DataError when the target does not fit the context, ModelError when the chat template cannot be used.
        """
        text = example.references[0] if answer is None else answer
        dropped = 0
        while True:
            shots = self.override.shots[dropped:]
            prompt, target, ending, surplus = self._pair(example, text, shots)
            if len(prompt) + len(target) <= self.context or not shots:
                break
            dropped += 1
        if len(target) >= self.context:
            raise DataError(
                f"example {named(example.id)}: its target is {len(target)} tokens long, the context {self.context}"
                " (and a target is never cut)",
                hint="Raise base_model.context if the model allows it, or shorten or remove the example",
            )
        if self.vocabulary is not None:
            refuse_unknown(max((*prompt, *target)), self.vocabulary)
        kept = self._cut(prompt, self.context - len(target))
        return Encoded(kept, target, len(prompt) - len(kept), prompt_hash(kept), dropped, ending, surplus)

    def encode_prompt(self, example: Example, reserve: int) -> Encoded:
        """The prompt alone, leaving room for `reserve` generated tokens. Raises SpecError where there is none."""
        room = self.context - reserve
        if room < 1:
            raise SpecError(
                f"{reserve} new tokens leave no room for a prompt in a context of {self.context}",
                field="generate.max_new_tokens",
                hint="Lower it, or raise base_model.context if the model allows it",
            )
        dropped = 0
        prompt = self._prompt_ids(example, self.override.shots)
        while len(prompt) > room and dropped < len(self.override.shots):
            dropped += 1
            prompt = self._prompt_ids(example, self.override.shots[dropped:])
        kept = self._cut(prompt, room)
        return Encoded(kept, (), len(prompt) - len(kept), prompt_hash(kept), dropped)

    def render_prompt(self, example: Example, reserve: int) -> Rendered:
        """The prompt that `encode_prompt` encodes, as text and as turns; cut where that cuts."""
        encoded = self.encode_prompt(example, reserve)
        shots = self.override.shots[encoded.dropped_shots :]
        text = unmarked(self._prompt_text(example, shots))
        prefix = _special_prefix(self.tokenizer)
        if encoded.truncated:
            text = str(self.tokenizer.decode(list(encoded.prompt[len(prefix) if not self.uses_chat else 0 :])))
        if self.uses_chat and prefix:
            # A chat template writes the beginning of sequence itself; the model's side would add a second one.
            text = text.removeprefix(str(self.tokenizer.decode(list(prefix))))
        system, turns = self._with_shots(example, shots)
        whole = [Message("system", system), *turns] if system else turns
        plain = tuple(Message(turn.role, unmarked(turn.content)) for turn in whole)
        return Rendered(text, plain, encoded.truncated, encoded.prompt_hash)

    def chat_text(self, turns: Sequence[Message], opened: bool = True) -> str:
        """A conversation from elsewhere (an lm-eval document) as the chat template writes it.

        `opened`: up to where an answer begins; else its last turn stands unfinished, to be continued.
        """
        if turns[0].role == "system" and not self._knows_system:
            first = next((place for place, turn in enumerate(turns) if turn.role == "user"), 0)
            folded = Message("user", turns[0].content + SEPARATOR * (first > 0) + turns[first].content * (first > 0))
            turns = [*turns[1:first], folded, *turns[first + 1 :]]
        if opened:
            return self._render(turns, generation=True) + self._lead(tuple(turn.role for turn in turns))
        last = turns[-1]
        before = self._render([*turns[:-1], Message(last.role, _PROBE)], generation=False).partition(_PROBE)[0]
        return before + last.content

    # ------------------------------------------------------------------------------------------------------- parts

    def _cut(self, prompt: tuple[int, ...], room: int) -> tuple[int, ...]:
        """The right end of `prompt`, `room` tokens long, with its beginning-of-sequence tokens kept in front."""
        if len(prompt) <= room:
            return prompt
        bos = (self.tokenizer.bos_token_id,)
        head = self._prefix if not self.uses_chat else prompt[:1] if prompt[:1] == bos else ()
        if room <= len(head):
            return prompt[len(prompt) - room :]
        return head + prompt[len(prompt) - (room - len(head)) :]

    def _pair(
        self, example: Example, answer: str, shots: Sequence[Example]
    ) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
        """Prompt and target ids before truncation, with `Encoded.ending` and `Encoded.surplus`."""
        answer = self._specials.marked(answer, example)
        before = self._prompt_text(example, shots)
        trail = ""
        if self.uses_chat:
            answer, trail = self._answered(example, answer, shots, before)
        prompt, target = self._joined(before, answer + trail)
        ending = self._specials.encode(trail)
        end = next((place for place, token in enumerate(ending) if token in self._specials.ids), None)
        if end is None:
            apart = target[len(target) - len(ending) :] == ending
            return prompt, (*target, self._eos), len(ending) * apart + 1, 0
        if target[len(target) - len(ending) :] != ending:  # the answer and its end are one token
            ending = target[target.index(ending[end]) :]
            end = 0
        return prompt, target, len(ending), len(ending) - end - 1

    def _joined(self, before: str, after: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids of two texts that are read as one; of each alone where their border is no border of tokens."""
        prompt, whole = self._prompt_encoded(before), self._prompt_encoded(before + after)
        if whole[: len(prompt)] == prompt:
            return prompt, whole[len(prompt) :]
        self.apart += 1
        # Generation begins behind the prompt as it is tokenised alone. The line break keeps away the space that
        # SentencePiece puts before a text.
        line, target = self._specials.encode("\n"), self._specials.encode("\n" + after)
        return prompt, target[len(line) :] if target[: len(line)] == line else self._specials.encode(after)

    def _answered(self, example: Example, answer: str, shots: Sequence[Example], before: str) -> tuple[str, str]:
        """The answer as the chat template writes it behind `before`, and what the template writes after it."""
        turns = self._conversation(example, shots)
        after = self._render([*turns, Message("assistant", answer)], generation=False)
        probe = self._render([*turns, Message("assistant", _PROBE)], generation=False)
        if not after.startswith(before) or not probe.startswith(before) or _PROBE not in probe:
            raise ModelError(
                f"the chat template writes example {named(example.id)} differently once it is answered, so that its"
                " prompt is no beginning of the whole conversation and no label mask can be drawn",
                hint="Set chat.kwargs (such as enable_thinking: false) or give another chat.template",
            )
        lead, _, trail = probe[len(before) :].partition(_PROBE)
        for written in (answer, answer.strip(), answer.lstrip(), answer.rstrip()):
            if after[len(before) :] == lead + written + trail:
                return lead + written, trail  # a lead that is more than white space ends `before` already
        raise ModelError(
            f"the chat template does not write the answer of example {named(example.id)} as it stands",
            hint="It may move reasoning or other marks; give the answer without them, or another chat.template",
        )

    def _prompt_ids(self, example: Example, shots: Sequence[Example]) -> tuple[int, ...]:
        return self._prompt_encoded(self._prompt_text(example, shots))

    def _prompt_encoded(self, text: str) -> tuple[int, ...]:
        """Ids of a text that begins a sequence, with one beginning-of-sequence token."""
        ids = (*self._prefix, *self._specials.encode(text))
        twice = self._prefix and ids[len(self._prefix) : 2 * len(self._prefix)] == self._prefix
        return ids[len(self._prefix) :] if twice else ids

    def _prompt_text(self, example: Example, shots: Sequence[Example]) -> str:
        """Everything before the answer, special tokens of the data marked."""
        if not self.uses_chat:
            parts = [self._text(shot) + self._specials.marked(shot.references[0], shot) + SEPARATOR for shot in shots]
            return "".join([*parts, self._text(example)])
        turns = self._conversation(example, shots)
        text = self._render(turns, generation=True)
        return text + self._lead(tuple(turn.role for turn in turns))

    @functools.lru_cache(maxsize=256)  # noqa: B019  a prompter lives as long as its task
    def _lead(self, roles: tuple[str, ...]) -> str:
        """What the template writes before every answer to a conversation of `roles`, beyond white space.

        Raises ModelError where the template leaves out a turn.
        """
        turns = [Message(role, f"{_PROBE}{place}.") for place, role in enumerate(roles)]
        before = self._render(turns, generation=True)
        lost = next((turn for turn in turns if turn.content not in before), None)
        if lost is not None:
            raise ModelError(
                f"the chat template leaves out turn {turns.index(lost) + 1} of a conversation, of role"
                f" {named(lost.role)}",
                hint="Give another chat.template, or conversations without such turns",
            )
        after = self._render([*turns, Message("assistant", _PROBE + "answer")], generation=False)
        if not after.startswith(before):
            return ""  # said where an answer is encoded
        lead = after[len(before) :].partition(_PROBE + "answer")[0]
        return lead if lead.strip() else ""

    def is_formatted(self, example: Example) -> bool:
        """Whether an example's own text holds what the chat template writes around a user's turn already."""
        texts = [turn.content for turn in example.messages or ()] or [example.prompt or ""]
        return any(mark in text for mark in self._marks for text in texts)

    @functools.cached_property
    def _marks(self) -> tuple[str, ...]:
        """What the template writes before and after a user's turn, without white space; nothing too short to tell."""
        if not self.uses_chat:
            return ()
        before, _, after = self._render([Message("user", _PROBE)], generation=True).partition(_PROBE)
        lines = [*before.splitlines()[-1:], *after.splitlines()]
        return tuple(line.strip() for line in lines if len(line.strip()) >= 5)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the chat template does that changes prompts or answers without being asked."""
        if not self.uses_chat:
            return ()
        lead = self._lead(("user",))
        notes = [f"the chat template writes {lead!r} before every answer: it is part of the prompt"] if lead else []
        if self.dated:
            notes.append(f"the chat template writes today's date: it gets {self.chat.date} (chat.date)")
        if self.stops:
            notes.append(f"answers end at the chat template's {self.stops[0]}, which is not the end-of-sequence token")
        return tuple(notes)

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """What ends an answer beside the end of sequence: the task's stop strings, and the template's end of turn."""
        return tuple(dict.fromkeys((*self.task.generate.stop, *self.stops)))

    @functools.cached_property
    def stops(self) -> tuple[str, ...]:
        """The template's end of turn, where it is not the end of sequence, which ends answers anyway."""
        if not self.uses_chat:
            return ()
        turns = [Message("user", _PROBE)]
        trail = self._render([*turns, Message("assistant", _PROBE + "a")], generation=False).partition(_PROBE + "a")[2]
        end = next((token for token in self._specials.encode(trail) if token in self._specials.ids), self._eos)
        return () if end == self._eos else (self._specials.texts[end],)

    def _text(self, example: Example) -> str:
        """The prompt of a text example, through the override's template where there is one."""
        if self.override.prompt is not None:
            where = f"prompt of example {named(example.id)}"
            return self._specials.marked(templates.render(self.override.prompt, example.fields, where), example)
        if example.prompt is None:
            raise DataError(f"example {named(example.id)} has messages but no prompt", hint="Use a chat template")
        return self._specials.marked(example.prompt, example)

    def _conversation(self, example: Example, shots: Sequence[Example]) -> list[Message]:
        """System text, few-shot examples as earlier turns, and the example's own turns without its answer."""
        system, turns = self._with_shots(example, shots)
        if not system:
            return turns
        if self._knows_system:
            return [Message("system", system), *turns]
        first = next((i for i, turn in enumerate(turns) if turn.role == "user"), None)
        if first is None:
            return [Message("user", system), *turns]
        folded = Message("user", system + SEPARATOR + turns[first].content)
        return [*turns[:first], folded, *turns[first + 1 :]]

    def _with_shots(self, example: Example, shots: Sequence[Example]) -> tuple[str | None, list[Message]]:
        """The system text that applies, and the turns of the few-shot examples and of the example itself."""
        system, turns = self._turns(example)
        earlier: list[Message] = []
        for shot in shots:
            earlier += [*self._turns(shot)[1], Message("assistant", self._specials.marked(shot.references[0], shot))]
        return system, earlier + turns

    def _turns(self, example: Example) -> tuple[str | None, list[Message]]:
        """The system text that applies, and the turns after it."""
        turns = [Message(turn.role, self._specials.marked(turn.content, example)) for turn in example.messages or ()]
        system = example.system
        if turns and turns[0].role == "system":
            system, turns = turns[0].content, turns[1:]
        if self.override.prompt is not None or example.messages is None:
            turns = [Message("user", self._text(example))]
        return self.chat.system if self.chat.system is not None else system, turns

    @functools.cached_property
    def _knows_system(self) -> bool:
        """Whether the template writes system text at all."""
        probe = "system-text-probe"
        try:
            return probe in self._render([Message("system", probe), Message("user", "a")], generation=True)
        except ModelError:
            return False

    def _render(self, messages: Sequence[Message], generation: bool) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        tokenizer: Any = self.tokenizer
        try:
            text = tokenizer.apply_chat_template(
                turns,
                chat_template=self._pinned,
                tokenize=False,
                add_generation_prompt=generation,
                **self.chat.kwargs,
            )
        except Exception as error:  # a template is somebody's program: it may raise anything
            roles = ", ".join(named(message.role) for message in messages)
            reason = redaction.reason(error, " ".join(str(error).split())[:200] or type(error).__name__)
            raise ModelError(
                f"the chat template refuses a conversation of {roles}: {reason}",
                hint="Give another chat.template, or conversations in the form that this one wants",
            ) from error
        return str(text)


@functools.lru_cache(maxsize=1 << 14)
def prompt_hash(ids: tuple[int, ...]) -> str:
    """16 hexadecimal digits that identify a prompt's token ids."""
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]


def _special_prefix(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Token ids that the tokenizer puts before a text (its beginning-of-sequence token), learned from a probe.

    Read off what the tokenizer does, because `add_bos_token` is not set for every kind that adds one.
    """
    bare = tokenizer.encode("a", add_special_tokens=False, verbose=False)
    full = tokenizer.encode("a", add_special_tokens=True, verbose=False)
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return tuple(full[:start])
    return ()
