"""What all tests share: one thread, no hub, and the command line called in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from shell_calls import Answer, Shell

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ.pop("HARNESS_HOME", None)
# A shared machine may stop for a second at any moment: time is no property of the code under test.
hypothesis.settings.register_profile(
    "shared_machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared_machine")


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Call the command line in this process: `shell("run", "x.yaml")` → exit code, standard output and error."""
    from harness.cli import main

    def call(*words: object) -> Answer:
        code = main.call([str(word) for word in words])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    """No base model that a test before has left in this process, and none that this one leaves."""
    from harness.models.transformers.base_cache import BASE

    BASE.drop()
    yield
    BASE.drop()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that weights were loaded from, in turn."""
    from harness.models.transformers import loading

    seen: list[Path] = []
    own = loading.load_weights

    def load(folder: Path, *rest: Any) -> Any:
        seen.append(folder)
        return own(folder, *rest)

    monkeypatch.setattr(loading, "load_weights", load)
    return seen
