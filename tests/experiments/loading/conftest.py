"""Small task folders that the tests of loading break in one place each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from task_samples import TASK, rows


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that messages name files as a person would."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def make_task(here: Path) -> Callable[..., Path]:
    """Write `notes/task.yaml` and its data; `replace` changes text of the YAML, `data` the rows or the raw lines."""

    def make(
        replace: Mapping[str, str] | None = None,
        data: Sequence[Mapping[str, Any]] | str | None = None,
        text: str = TASK,
    ) -> Path:
        for old, new in (replace or {}).items():
            assert old in text
            text = text.replace(old, new)
        folder = here / "notes"
        folder.mkdir(exist_ok=True)
        (folder / "task.yaml").write_text(text, encoding="utf-8")
        if not isinstance(data, str):
            data = "".join(json.dumps(row) + "\n" for row in (data if data is not None else rows(40)))
        (folder / "data.jsonl").write_text(data, encoding="utf-8")
        return Path("notes")

    return make
