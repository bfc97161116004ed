"""Turns what stands in a cell of the data into text, one way for prompts, targets, references and ids.

Nothing (null) is no text, true and false are written as JSON writes them, numbers as Python prints them, lists and
mappings as JSON. The classes below keep that promise inside a template too, where filters such as `trim` and the
operator `~` ask Python for the text of a value and would otherwise get `None`, `True` or `{'a': 1}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


class Null(str):
    """An empty cell within a template: no text, false, and equal to `none` and to the empty text."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other is None or other is self or (isinstance(other, str) and not len(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash("")


class Flag(int):
    """True or false within a template: a number for comparisons, `true` or `false` as text."""

    __slots__ = ()

    def __str__(self) -> str:
        return "true" if self else "false"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class JsonList(list[Any]):
    """A list within a template; its text is JSON."""

    __slots__ = ()

    def __str__(self) -> str:
        return as_text(self)


class JsonMapping(dict[str, Any]):
    """A mapping within a template; its text is JSON, and what it lacks is an empty cell for `get`."""

    __slots__ = ()

    def __str__(self) -> str:
        return as_text(self)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, else `default`."""
        return cell(super().get(key, default))


def cell(value: Any) -> Any:
    """A plain value, or what a filter made of some, as a template sees it."""
    if value is None:
        return Null()
    if isinstance(value, bool):
        return Flag(value)
    if isinstance(value, Mapping) and not isinstance(value, JsonMapping):
        return JsonMapping({str(name): cell(item) for name, item in value.items()})
    if isinstance(value, (list, tuple, set, Iterator)) and not isinstance(value, JsonList):
        return JsonList(map(cell, value))
    return value


def plain(value: Any) -> Any:
    """The JSON value that `value` stands for: `cell` undone."""
    if value is None or isinstance(value, Null):
        return None
    if isinstance(value, Flag):
        return bool(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def as_text(value: Any) -> str:
    """The text of a cell: empty for null, JSON for true, false, lists and mappings, numbers as Python prints them.

    Raises TypeError for what is no value of a row: a function, a method, an object of the template language.
    """
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, (bool, list, dict)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (str, int, float)):
        return str(value)
    raise TypeError(f"it writes a {type(value).__name__}, which is no value of the row")
