"""A test split that grows while the train split stays as it is."""

from __future__ import annotations

import json
from pathlib import Path


def write_test_split(folder: Path, count: int) -> None:
    """Write a test split of `count` examples; a larger one holds the smaller."""
    rows = [{"id": f"t{n}", "group": f"t{n}", "words": f"{n * 7907} {n * 104723}"} for n in range(1, count + 1)]
    (folder / "task" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
