"""Token ids of texts, remembered: every arm of an experiment asks for those of the same prompts, several times each.

What is remembered belongs to the tokenizer's content, not to the object: arms load their own, and those that are the
same share it as long as the process lives. Imports nothing of the harness and no tokenizer library.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

MOST_CHARACTERS = 1 << 23
"""Characters of texts that are remembered in all; with their ids they take about 20 MB."""


class _Known:
    """Ids by (tokenizer, text, special tokens). Full, it is emptied: whoever is at work fills it with what it needs."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str, bool | None], array[int]] = {}
        """As machine integers: a tuple of Python's takes about nine times as much."""
        self.characters = 0

    def clear(self) -> None:
        self.ids.clear()
        self.characters = 0

    def add(self, key: tuple[str, str, bool | None], ids: tuple[int, ...]) -> None:
        if self.characters > MOST_CHARACTERS:
            self.clear()
        self.ids[key] = array("i", ids)
        self.characters += len(key[1])


_known = _Known()


class Encoder:
    """`tokenizer.encode` with a memory; of a tokenizer that cannot say what it is made of, without one.

    Made anew after a tokenizer has been changed (a token added, say): what it is made of is read once.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._name = _content(tokenizer)

    def __call__(self, text: str, special: bool | None = False) -> tuple[int, ...]:
        """Token ids of `text`, with the tokenizer's special tokens or without; None leaves that to the tokenizer."""
        if self._name is None:
            return self._encoded(text, special)
        key = (self._name, text, special)
        known = _known.ids.get(key)
        if known is not None:
            return tuple(known)
        ids = self._encoded(text, special)
        _known.add(key, ids)
        return ids

    def _encoded(self, text: str, special: bool | None) -> tuple[int, ...]:
        options = {} if special is None else {"add_special_tokens": special}
        return tuple(self.tokenizer.encode(text, verbose=False, **options))


def _content(tokenizer: Any) -> str | None:
    """Hash of all that determines what a fast tokenizer makes of a text; None for every other one."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not hasattr(backend, "to_str"):
        return None
    kind = type(tokenizer)
    return hashlib.sha256(f"{kind.__module__}.{kind.__qualname__} {backend.to_str()}".encode()).hexdigest()
