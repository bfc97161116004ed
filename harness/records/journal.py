"""Files of JSON lines that survive a crash: a line is on the disk before `append` returns; torn ones are told apart."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.records.serialise import to_json


class Line(NamedTuple):
    """A line of a journal."""

    number: int
    """From 1."""
    value: Any
    """What it holds; None where it is torn or no JSON."""
    start: int
    """Where it begins in the file, in bytes."""
    size: int
    """Bytes, without the end of the line."""
    ended: bool
    """Whether it has an end; a line without one is the last, cut short by a crash."""


@dataclass(frozen=True, slots=True)
class Journal:
    """The file at `path`, for one writer at a time. It need not exist."""

    path: Path

    def append(self, *rows: Any) -> None:
        """Write records or plain values, a line each, all or none, and wait until the disk has them; makes the folder.

        They begin on a line of their own, also behind a torn one. Raises OSError, with the file as it was before.
        """
        text = "".join(json.dumps(to_json(row), ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            _write(descriptor, text.encode("utf-8", "surrogatepass"))
        finally:
            os.close(descriptor)
        if fresh:
            _sync_folder(self.path.parent)

    def lines(self) -> Iterator[Line]:
        """Every line that is not blank, torn and damaged ones too."""
        if not self.path.exists():
            return
        start = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                content = line.removesuffix(b"\n")
                if content.strip():
                    value = None
                    with suppress(ValueError, RecursionError):
                        value = json.loads(content)
                    yield Line(number, value, start, len(content), line.endswith(b"\n"))
                start += len(line)

    def recover(self, valid: Callable[[int, dict[str, Any]], bool] = lambda place, row: True) -> list[dict[str, Any]]:
        """The objects of all lines up to the first that is torn, damaged or not `valid`; that and the rest is cut off.

        `valid` is given an object and its place, from 0.
        """
        rows: list[dict[str, Any]] = []
        for line in self.lines():
            if not line.ended or not isinstance(line.value, dict) or not valid(len(rows), line.value):
                os.truncate(self.path, line.start)
                break
            rows.append(line.value)
        return rows


def _write(descriptor: int, content: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        content = b"\n" + content
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    except OSError:
        # Whoever waits for it is told that it failed, so it must not be found later.
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
