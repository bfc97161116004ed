"""The text of special tokens that stands in the data: refused, read as text, or as the tokens, as the task declares.

Where it is to be read as text, each is marked before a prompt is rendered (a chat template writes the same tokens
itself between turns) and tokenised apart afterwards.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from harness.errors import DataError
from harness.models.token_cache import Encoder
from harness.records import Example
from harness.redaction import named

_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_MARKED = re.compile(f"{_OPEN}([0-9a-f]*){_CLOSE}")
"""A special token that is to be read as plain text: its UTF-8 bytes in hexadecimal digits."""


def unmarked(text: str) -> str:
    """`text` with marked special tokens as they stood in the data."""
    return _MARKED.sub(lambda match: bytes.fromhex(match[1]).decode(), text)


class SpecialTokens:
    """The special tokens of a tokenizer, and the task's policy (`TaskSpec.special_tokens`) for their text."""

    def __init__(self, tokenizer: Any, policy: str | None) -> None:
        self.tokenizer, self.policy = tokenizer, policy
        decoder = getattr(tokenizer, "added_tokens_decoder", {})
        self.texts = {int(token): str(entry.content) for token, entry in decoder.items() if entry.special}
        """Id → text."""
        self._ids = Encoder(tokenizer)

    @functools.cached_property
    def ids(self) -> frozenset[int]:
        """Ids that can end a turn: special tokens, and the end of sequence."""
        return frozenset({*self.texts, self.tokenizer.eos_token_id})

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        texts = sorted(set(self.texts.values()), key=lambda text: (-len(text), text))
        return re.compile("|".join(map(re.escape, texts))) if texts else None

    def marked(self, text: str, example: Example) -> str:
        """`text` of the data, special tokens in it marked where they are text.

        Raises DataError for a special token in it where the task declares no policy.
        """
        special = self._pattern.search(text) if self._pattern is not None and self.policy != "control" else None
        if special is None or self._pattern is None:
            return text
        if self.policy == "text":
            return self._pattern.sub(lambda match: f"{_OPEN}{match[0].encode().hex()}{_CLOSE}", text)
        raise DataError(
            f"example {named(example.id)} holds the text of a special token of this model ({special[0]})",
            hint="Remove it, or declare in the task what it is: `special_tokens: text`, or `control` where the data is"
            " formatted already",
        )

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of a text without anything added, marked special tokens as plain text."""
        if _OPEN not in text:
            return self._ids(text)
        ids: list[int] = []
        for number, part in enumerate(_MARKED.split(text)):
            if number % 2:
                plain = bytes.fromhex(part).decode()
                ids += self.tokenizer.encode(plain, add_special_tokens=False, split_special_tokens=True, verbose=False)
            elif part:
                ids += self._ids(part)
        return tuple(ids)
