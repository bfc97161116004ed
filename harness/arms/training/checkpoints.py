"""Checkpoint folders that are either whole or not there.

    checkpoints/step-N/   the files of one checkpoint, and COMPLETE: their sizes as JSON

A checkpoint is written beside its place, forced to disk and renamed; the last two are kept, so that a broken newest
one costs the work since the one before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

KEPT = 2
MARKER = "COMPLETE"
Writer = Callable[[Path], None]


def save(folder: Path, step: int, writers: Mapping[str, Writer]) -> Path:
    """Write a checkpoint: each of `writers` makes the file of its name. Returns its folder."""

    def write_all(part: Path) -> None:
        for name, write in writers.items():
            write(part / name)
        sizes = {name: (part / name).stat().st_size for name in writers}
        (part / MARKER).write_text(json.dumps(sizes), encoding="utf-8")

    target = write_whole(folder / f"step-{step}", folder / f"part-{step}", write_all)
    for old in _found(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def write_whole(folder: Path, part: Path, write: Writer) -> Path:
    """Let `write` fill `folder`, by way of `part` beside it; it appears whole or not at all. Returns it."""
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    write(part)
    for path in (*part.rglob("*"), part):
        sync(path)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    sync(folder.parent)
    return folder


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    return next((path for path in reversed(_found(folder)) if _is_whole(path)), None)


def sync(path: Path) -> None:
    """Force a file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _found(folder: Path) -> list[Path]:
    steps = [path for path in folder.glob("step-*") if path.name[5:].isdigit()]
    return sorted(steps, key=lambda path: int(path.name[5:]))


def _is_whole(path: Path) -> bool:
    try:
        sizes = json.loads((path / MARKER).read_text(encoding="utf-8"))
        return all((path / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False
