"""Progress without a terminal: plain lines, with time left."""

from __future__ import annotations

import io

import pytest

from harness import progress
from harness.progress import Reporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_at_start_at_end_and_now_and_then(clock: list[float]) -> None:
    out = io.StringIO()
    with Reporter(out, every=10) as reporter:
        reporter.label = "lora"
        for done in range(0, 101, 10):
            reporter("train", done, 100)
            clock[0] += 4
    assert out.getvalue().splitlines() == [
        "lora train 0/100",
        "lora train 30/100, 12 s, 28 s left",
        "lora train 60/100, 24 s, 16 s left",
        "lora train 90/100, 36 s, 4 s left",
        "lora train 100/100, 40 s",
    ]


def test_two_arms_at_once_keep_their_own_time(clock: list[float]) -> None:
    out = io.StringIO()
    with Reporter(out, every=10) as reporter:
        reporter.step("full", "train", 0, 10)
        clock[0] += 5
        reporter.step("lora", "train", 0, 10)
        clock[0] += 15
        reporter.step("full", "train", 5, 10)
        reporter.step("lora", "train", 5, 10)
    assert out.getvalue().splitlines()[2:] == ["full train 5/10, 20 s, 20 s left", "lora train 5/10, 15 s, 15 s left"]
