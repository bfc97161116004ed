"""Reads conversations in the forms in which they are published, and refuses by name what would be lost on the way.

A turn is `{role, content}` (OpenAI, TRL) or `{from, value}` (ShareGPT); its content is a text or a list of text parts.
What else a turn can carry and a model would have to see or learn (tool calls, names, reasoning, weights, images) has no
place in a `Message`, and is an error rather than left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.config.documents import list_names
from harness.errors import DataError
from harness.records import Message
from harness.redaction import quoted

TURNS = "[{role, content}, …]"
_SHAREGPT_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "assistant": "assistant", "model": "assistant", "system": "system",
}  # fmt: skip
_MEANINGFUL = (
    "tool_calls", "function_call", "tool_call_id", "tools", "name", "reasoning_content", "reasoning", "thinking",
    "weight", "train", "loss", "mask", "prefix", "prefill", "partial", "refusal", "audio", "image", "images", "video",
    "videos", "documents",
)  # fmt: skip
"""Keys of a turn that chat templates or trainers act on."""
_OF_ROW = ("tools", "functions", "images", "image", "audio", "audios", "videos", "video", "documents")
"""Columns beside a conversation that chat templates act on."""


def read_turns(value: Any, where: str) -> tuple[Message, ...]:
    """The turns of a conversation. Raises DataError, beginning with `where`, for a value that is none."""
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: must be a list of turns", hint=TURNS)
    return tuple(_turn(turn, f"{where}: turn {number}") for number, turn in enumerate(value, 1))


def _turn(turn: Any, where: str) -> Message:
    if not isinstance(turn, Mapping):
        raise DataError(f"{where} is no mapping", hint=TURNS)
    lost = [key for key in _MEANINGFUL if turn.get(key) not in (None, "", [], {}) or turn.get(key) is False]
    if lost:
        raise DataError(
            f"{where} has {lost[0]!r}, which would be left out of the prompt",
            hint="Conversations with tools, names, reasoning, weights or media cannot be trained on: write what the"
            " model should read or say into `content`, or remove the key",
        )
    if "from" in turn and "role" not in turn:
        role = _SHAREGPT_ROLES.get(str(turn["from"]))
        if role is None:
            raise DataError(
                f"{where} is from {quoted(turn['from'])}", hint=f"ShareGPT's are {list_names(_SHAREGPT_ROLES)}"
            )
        content = turn.get("value")
    else:
        role, content = turn.get("role"), turn.get("content")
    if isinstance(content, list):
        content = _joined(content, where)
    if not isinstance(role, str) or not role or not isinstance(content, str):
        raise DataError(
            f"{where} has no text in `role` and `content`", hint="Or in `from` and `value`, as ShareGPT has it"
        )
    return Message(role, content)


def _joined(parts: Sequence[Any], where: str) -> str:
    """The text of content that comes in parts. Raises DataError where a part is no text."""
    texts = []
    for part in parts:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str) or (isinstance(part, Mapping) and part.get("type", "text") != "text"):
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise DataError(f"{where} has a part that is no text ({quoted(kind)})", hint="Only text can be trained on")
        texts.append(text)
    return "".join(texts)


def with_system(turns: tuple[Message, ...], value: Any, values: Mapping[str, Any], where: str) -> tuple[Message, ...]:
    """`turns` with the text of a column `system` in front, as files in ShareGPT's form have it beside the turns.

    `value` is the cell that the turns were read from, `values` its row. Raises DataError for columns beside a
    conversation that would be left out: tools and media.
    """
    lost = [name for name in _OF_ROW if values.get(name) not in (None, "", [], {}, "[]", "{}")]
    if lost:
        raise DataError(
            f"{where}: the column {lost[0]!r} beside the conversation would be left out of the prompt",
            hint="Tools and media cannot be trained on: write what the model should read into `content`, or remove it",
        )
    system = values.get("system")
    sharegpt = isinstance(value, list) and value and isinstance(value[0], Mapping) and "from" in value[0]
    if not sharegpt or not isinstance(system, str) or not system.strip():
        return turns
    if turns[0].role == "system":
        raise DataError(f"{where}: a system turn, and a column `system` beside the conversation", hint="Keep one")
    return (Message("system", system), *turns)


def split_answer(value: Any, where: str) -> tuple[tuple[Message, ...], str]:
    """Earlier turns and the answer of a chosen or rejected side: text, one assistant turn, or a whole conversation."""
    if isinstance(value, str):
        return (), value
    turns = read_turns(value, where)
    if turns[-1].role != "assistant" or not turns[-1].content.strip():
        raise DataError(f"{where}: must be a text, or turns that end with the assistant's")
    return turns[:-1], turns[-1].content
