"""What a run is doing right now, in a file of its home folder, so that the app can show it while it goes on.

`HOME/live/EXPERIMENT_ID.json` is written at most once a second and removed at the end; the file of a run that was
killed names a process that is gone. Nothing depends on it: a disk that is full or read-only costs the view alone.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.records import from_json
from harness.records.files import read_json, write_json

EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Phase:
    """What one arm is doing: `done` of `total` steps of `phase`, which began at `since` (seconds of the clock)."""

    label: str
    phase: str
    done: int
    total: int
    since: float

    def seconds_left(self, now: float) -> float | None:
        """At the pace so far; None where nothing is done yet."""
        return (now - self.since) / self.done * (self.total - self.done) if self.done else None


@dataclass(frozen=True, slots=True)
class Live:
    """A run that goes on in process `pid`."""

    pid: int
    started: float
    updated: float
    arms: tuple[Phase, ...] = ()


class LiveFile:
    """Writes what a reporter hears. Not for several threads at once."""

    def __init__(self, home: Path, experiment_id: str) -> None:
        self._file = _file(home, experiment_id)
        self._started = time.time()
        self._written = 0.0
        self._arms: dict[str, Phase] = {}
        self._write()

    def step(self, label: str, phase: str, done: int, total: int) -> None:
        """Arm `label` has done `done` of `total` steps of `phase`."""
        old = self._arms.get(label)
        fresh = old is None or old.phase != phase
        since = time.time() if old is None or fresh else old.since
        self._arms[label] = Phase(label, phase, done, total, since)
        if fresh or time.time() - self._written >= EVERY_SECONDS:
            self._write()

    def clear(self, label: str) -> None:
        """Arm `label` has nothing more to show."""
        if self._arms.pop(label, None) is not None:
            self._write()

    def close(self) -> None:
        """The run has ended."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        self._written = time.time()
        with suppress(OSError):
            write_json(self._file, Live(os.getpid(), self._started, self._written, tuple(self._arms.values())))


def read(home: Path, experiment_id: str) -> Live | None:
    """What the experiment's run is doing; None where none goes on."""
    import psutil

    try:
        live = from_json(Live, read_json(_file(home, experiment_id)))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return live if psutil.pid_exists(live.pid) else None


def _file(home: Path, experiment_id: str) -> Path:
    return home.absolute() / "live" / f"{experiment_id}.json"
