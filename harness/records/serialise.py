"""Records as plain JSON and back, and the identity of a piece of content."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

R = typing.TypeVar("R")


_SCALARS = frozenset((str, int, float, bool, type(None)))
"""What JSON has as it is; subclasses (enumerations, numpy's numbers) are no members."""


def to_json(record: Any) -> Any:
    """A record (or a container of records) as plain JSON values."""
    kind = type(record)
    if kind in _SCALARS:
        return record
    if kind is tuple or kind is list:
        # Token ids by the thousand, which need no look each.
        return list(record) if _SCALARS.issuperset(map(type, record)) else [to_json(value) for value in record]
    names = _names(kind)  # type: ignore[arg-type]
    if names is not None:
        return {name: to_json(getattr(record, name)) for name in names}
    if hasattr(record, "model_dump"):
        return record.model_dump(mode="json")
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(value) for value in record]
    if isinstance(record, frozenset):
        return sorted(to_json(value) for value in record)
    if isinstance(record, Path):
        return str(record)
    return record


@functools.cache
def _names(kind: type[Any]) -> tuple[str, ...] | None:
    """Names of a dataclass's fields; None for every other type."""
    return tuple(f.name for f in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


def from_json(kind: type[R], data: Any) -> R:
    """The inverse of `to_json` for record `kind`; unknown keys are ignored, missing ones take their default."""
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]
    plain: frozenset[str] = _plain(kind)  # type: ignore[arg-type]
    return kind(
        **{key: value if key in plain else _convert(hints[key], value) for key, value in data.items() if key in hints}
    )


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """Types of a record's fields; finding them out takes longer than all the rest."""
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


@functools.cache
def _plain(kind: type[Any]) -> frozenset[str]:
    """Fields whose values JSON has as they are."""
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]
    return frozenset(name for name, hint in hints.items() if _is_plain(hint))


def _is_plain(hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return all(map(_is_plain, args))
    return origin is typing.Literal or hint in (str, int, float, bool, type(None), Any)


def _convert(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not type(None)]
        return _convert(inner[0], value) if len(inner) == 1 else value
    if origin is tuple:
        kinds = args[:1] * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        return tuple(_convert(kind, item) for kind, item in zip(kinds, value, strict=True))
    if origin is frozenset:
        return frozenset(_convert(args[0], item) for item in value)
    if origin in (Mapping, dict) and len(args) == 2:
        return {key: _convert(args[1], item) for key, item in value.items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_json(hint, value)
    if hint is Path:
        return Path(value)
    return value


def digest(value: Any, length: int = 16) -> str:
    """SHA-256 of canonical JSON, as `length` hexadecimal digits: the identity of a piece of content."""
    text = json.dumps(to_json(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two environments, in words: `transformers 5.22.0 → 5.23.0`."""
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return [f"{name} {before.get(name, 'absent')} → {after.get(name, 'absent')}" for name in names]
