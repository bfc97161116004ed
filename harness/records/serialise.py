"""Records as plain JSON and back, and the identity of a piece of content."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

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
    """The inverse of `to_json` for `kind`, a record or a container of records.

    Unknown keys are ignored and missing ones take their default, so that files of earlier versions can be read. Raises
    ValueError, which names the field but no value, for what `kind` cannot hold.
    """
    try:
        record: R = _adapter(typing.cast(Hashable, kind)).validate_python(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, problem["loc"]))
        name = getattr(kind, "__name__", str(kind))
        raise ValueError(f"{name}{'.' if field else ''}{field}: {problem['msg']}") from None
    return record


@functools.cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    """Compiling it takes milliseconds."""
    adapter: TypeAdapter[Any] = TypeAdapter(typing.cast(Any, kind))
    return adapter


def digest(value: Any, length: int = 16) -> str:
    """SHA-256 of canonical JSON, as `length` hexadecimal digits: the identity of a piece of content."""
    text = json.dumps(to_json(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two environments, in words: `transformers 5.22.0 → 5.23.0`."""
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return [f"{name} {before.get(name, 'absent')} → {after.get(name, 'absent')}" for name in names]
