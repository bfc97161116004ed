"""Token ids of texts, remembered: every arm of an experiment asks for those of the same prompts, several times each.

They are remembered by the tokenizer's content: arms load tokenizers of their own, and equal ones share them as long as
the process lives. Imports nothing of the harness and no tokenizer library.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

MOST_CHARACTERS = 1 << 23
"""Characters of texts that are remembered in all; with their ids they take about 20 MB. Then all are forgotten."""

_ids: dict[tuple[str, str, bool | None], array[int]] = {}
"""(Tokenizer, text, special tokens) → ids, as machine integers: a tuple of Python's takes about nine times as much."""
_characters = 0


def forget() -> None:
    """Remember nothing of what was asked so far."""
    global _characters
    _ids.clear()
    _characters = 0


class Encoder:
    """`tokenizer.encode` with a memory; without one for a tokenizer that cannot say what it is made of.

    Make a new one after a tokenizer was changed (a token added, say): its content is read once.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._content = _content(tokenizer)

    def __call__(self, text: str, special: bool | None = False) -> tuple[int, ...]:
        """Token ids of `text`, with the tokenizer's special tokens or without; None leaves that to the tokenizer."""
        global _characters
        key = (self._content or "", text, special)
        if key in _ids:
            return tuple(_ids[key])
        options = {} if special is None else {"add_special_tokens": special}
        ids = tuple(self.tokenizer.encode(text, verbose=False, **options))
        if self._content is not None:
            if _characters > MOST_CHARACTERS:
                forget()
            _ids[key] = array("i", ids)
            _characters += len(text)
        return ids


def _content(tokenizer: Any) -> str | None:
    """Hash of all that determines the ids of a fast tokenizer; None for every other one."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not hasattr(backend, "to_str"):
        return None
    kind = type(tokenizer)
    return hashlib.sha256(f"{kind.__module__}.{kind.__qualname__} {backend.to_str()}".encode()).hexdigest()
