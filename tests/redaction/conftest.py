"""A shell that keeps all that a command says, and notes what it connects to."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Shell:
    """Calls the command line in this process and keeps all that it and its children say."""

    said: Path
    connected: list[str] = field(default_factory=list)
    """Hosts other than this machine that were asked for."""

    def __call__(self, *words: object) -> tuple[int, str]:
        """Exit code, and what was said on both streams."""
        from harness.cli import main

        begin = self.said.stat().st_size if self.said.exists() else 0
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        with self.said.open("ab") as file, contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.TextIOWrapper(file, write_through=True)))
            stack.enter_context(contextlib.redirect_stderr(sys.stdout))
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            try:
                code = main.call([str(word) for word in words])
            finally:
                sys.stdout.flush()
                os.dup2(kept[0], 1)
                os.dup2(kept[1], 2)
                os.close(kept[0])
                os.close(kept[1])
                sys.stdout.detach()
        return code, self.said.read_bytes()[begin:].decode()


_listening: list[Shell] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    """Every host that Python code connects to or looks up."""
    if _listening and event in ("socket.connect", "socket.getaddrinfo"):
        there = arguments[1][0] if event == "socket.connect" and isinstance(arguments[1], tuple) else arguments[0]
        if isinstance(there, str) and there not in ("127.0.0.1", "::1", "localhost"):
            _listening[-1].connected.append(there)


@pytest.fixture(scope="session")
def _listener() -> None:
    sys.addaudithook(_hook)  # for the life of the process: it cannot be taken out again


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory, _listener: None) -> Iterator[Shell]:
    """A shell that notes every host it connects to."""
    _listening.append(Shell(tmp_path_factory.mktemp("said") / "transcript.txt"))
    yield _listening[-1]
    _listening.pop()
