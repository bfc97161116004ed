"""Types of the `shell` fixture, which calls the command line in the test's own process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a command left in a shell."""

    code: int
    out: str
    err: str


Shell = Callable[..., Answer]
