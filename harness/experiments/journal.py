"""Keeps finished parts of long work as JSON lines, so that a killed run loses no more than the part it was at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records import to_json


@dataclass(frozen=True, slots=True)
class Journal:
    """A file of JSON objects, one a line."""

    path: Path

    def read(self, valid: Callable[[int, dict[str, Any]], bool] = lambda number, row: True) -> list[dict[str, Any]]:
        """The rows before the first one that is torn or not `valid` (given its number, from 0); others are cut away."""
        rows: list[dict[str, Any]] = []
        if not self.path.exists():
            return rows
        end = 0
        with self.path.open("rb") as lines:
            for line in lines:
                try:
                    row = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    row = None
                if not isinstance(row, dict) or not valid(len(rows), row):
                    break
                rows.append(row)
                end += len(line)
        os.truncate(self.path, end)
        return rows

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; it is on the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as out:
            out.write(json.dumps(to_json(row), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
