"""Progress that a person can read: bars with time left on a terminal, plain lines with time left elsewhere."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO


class Listener(Protocol):
    """Whoever else wants to hear of progress, such as the file that the app reads."""

    def step(self, label: str, phase: str, done: int, total: int) -> None:
        """Arm `label` has done `done` of `total` steps of `phase`."""

    def clear(self, label: str) -> None:
        """Arm `label` has nothing more to show."""


@dataclass(slots=True)
class _Line:
    """What was last said of one arm."""

    phase: str
    started: float
    shown: float
    task: Any = None


class Reporter:
    """Shows `phase done/total` of one or several arms. Callable with (phase, done, total); see `arms.Progress`.

    On a terminal or in a notebook a rich bar an arm; otherwise one line at the start and end of a phase and every
    `every` seconds between.
    """

    def __init__(self, stream: TextIO | None = None, every: float = 10.0) -> None:
        self.stream = stream or sys.stderr
        self.every = every
        self.label = ""
        """The arm that calls of the reporter itself are about."""
        self.listener: Listener | None = None
        """Where else progress goes, while it is set."""
        self._lines: dict[str, _Line] = {}
        self._bars: Any = None

    def __enter__(self) -> Reporter:
        notebook = self.stream is sys.stderr and _in_notebook()
        if notebook or self.stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description:<34}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=Console(force_jupyter=True) if notebook else Console(file=self.stream),
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """One line of plain news."""
        if self._bars is not None:
            self._bars.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self.stream, flush=True)

    def __call__(self, phase: str, done: int, total: int) -> None:
        self.step(self.label, phase, done, total)

    def step(self, label: str, phase: str, done: int, total: int) -> None:
        """Arm `label` has done `done` of `total` steps of `phase`."""
        if self.listener is not None:
            self.listener.step(label, phase, done, total)
        now = time.monotonic()
        line = self._lines.get(label)
        first = line is None or line.phase != phase
        if line is None or first:
            self._forget(label)
            line = self._lines[label] = _Line(phase, now, now)
        if self._bars is not None:
            if line.task is None:
                line.task = self._bars.add_task(f"{label} {phase}".strip(), total=total)
            self._bars.update(line.task, completed=done, total=total)
        elif first or done >= total or now - line.shown >= self.every:
            line.shown = now
            print(_text(f"{label} {phase}".strip(), (done, total), now - line.started), file=self.stream, flush=True)
        if done >= total and self._bars is None:
            del self._lines[label]

    def clear(self, label: str) -> None:
        """Arm `label` has nothing more to show."""
        if self.listener is not None:
            self.listener.clear(label)
        self._forget(label)

    def _forget(self, label: str) -> None:
        line = self._lines.pop(label, None)
        if line is not None and line.task is not None:
            self._bars.remove_task(line.task)


@contextmanager
def reporter(shown: bool = True) -> Iterator[Reporter]:
    """A Reporter on standard error, or one that nobody sees."""
    if shown:
        with Reporter() as visible:
            yield visible
    else:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            yield Reporter(nowhere)


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this and can show bars that move: for these rich needs ipywidgets."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell" and importlib.util.find_spec("ipywidgets") is not None


def _text(name: str, steps: tuple[int, int], elapsed: float) -> str:
    done, total = steps
    left = f", {elapsed / done * (total - done):.0f} s left" if 0 < done < total and elapsed > 1 else ""
    spent = f", {elapsed:.0f} s" if elapsed >= 1 else ""
    return f"{name} {done}/{total}{spent}{left}"
