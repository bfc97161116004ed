"""Keeps training code away from sealed test splits: while an arm trains, opening or listing one raises.

A trainer is handed neither test examples nor their path (`worker.without_test`). This is the second lock, for code that
searches the disk: Python's audit events (PEP 578) name every file before it is opened. It stops mistakes, not malice:
compiled code that opens files by itself raises no such event.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import UsageError

_EVENTS = frozenset({"open", "os.listdir", "os.scandir", "shutil.copyfile", "shutil.copytree"})
_closed: list[str] = []
_installed: list[bool] = []


def refusal() -> UsageError:
    """The error for training or tuning code that asks for the test split."""
    return UsageError(
        "the test split is sealed: training code cannot read it",
        hint="Choose settings on validation; scoring alone reads the test split, and every test-set evaluation counts",
    )


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Within this context opening, listing or copying anything in `folder` raises UsageError, in every thread."""
    if not _installed:
        sys.addaudithook(_hook)  # for the life of the process: an audit hook cannot be taken out again
        _installed.append(True)
    sealed = os.path.realpath(folder)
    _closed.append(sealed)
    try:
        yield
    finally:
        _closed.remove(sealed)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _closed or event not in _EVENTS or not arguments:
        return
    argument = arguments[0]
    if not isinstance(argument, (str, bytes, os.PathLike)):
        return  # a file that is open already, or the working directory
    path = os.path.realpath(os.fsdecode(argument))
    if any(path == sealed or path.startswith(sealed + os.sep) for sealed in _closed):
        raise refusal()
