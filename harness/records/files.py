"""Records as JSON on disk, written whole or not at all: a reader sees the old file or the new one, never half of it."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from harness.records import from_json, to_json

R = TypeVar("R")


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Records of a JSON-lines file that the harness wrote; none when there is no such file."""
    if path.exists():
        with path.open(encoding="utf8") as lines:
            for line in lines:
                yield from_json(kind, json.loads(line))


def write_records(path: Path, rows: Iterable[Any]) -> None:
    """Records as JSON lines."""
    write_text(path, "".join(json.dumps(to_json(row), ensure_ascii=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf8"))


def write_json(path: Path, value: Any) -> None:
    """A record or plain value as indented JSON."""
    write_text(path, json.dumps(to_json(value), ensure_ascii=False, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Text, flushed to the disk before it takes the place of what was there; makes the folder."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Bytes, as `write_text` writes text. Raises OSError naming a folder that cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # what lies above it takes no folders (/proc)
        raise NotADirectoryError(errno.ENOTDIR, "cannot be made", error.filename) from error
    # A name of its own: two processes that start together write the same files.
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
