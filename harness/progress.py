"""Progress that a person can read: a bar with time left on a terminal, plain lines with time left elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TextIO


class Reporter:
    """Shows `phase done/total` for one arm at a time. Callable with (phase, done, total); see `arms.Progress`.

    On a terminal a rich bar; otherwise one line at the start and end of a phase and every `every` seconds between.
    """

    def __init__(self, stream: TextIO | None = None, every: float = 10.0) -> None:
        self.stream = stream or sys.stderr
        self.every = every
        self.label = ""
        self._phase = ""
        self._started = 0.0
        self._shown = 0.0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Reporter:
        if self.stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description:<34}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=Console(file=self.stream),
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """One line of plain news."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self.stream, flush=True)

    def __call__(self, phase: str, done: int, total: int) -> None:
        if self._bar is not None:
            self._draw(phase, done, total)
        else:
            self._print(phase, done, total)

    def _draw(self, phase: str, done: int, total: int) -> None:
        if phase != self._phase or self._task is None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._phase = phase
            self._task = self._bar.add_task(f"{self.label} {phase}".strip(), total=total)
        self._bar.update(self._task, completed=done, total=total)

    def _print(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        first = phase != self._phase
        if first:
            self._phase, self._started = phase, now
        if not first and done < total and now - self._shown < self.every:
            return
        if first and done >= total:
            return
        self._shown = now
        elapsed = now - self._started
        left = f", {elapsed / done * (total - done):.0f} s left" if 0 < done < total and elapsed > 1 else ""
        spent = f", {elapsed:.0f} s" if elapsed >= 1 else ""
        print(f"{self.label} {phase} {done}/{total}{spent}{left}".strip(), file=self.stream, flush=True)
        if done >= total:
            self._phase = ""
