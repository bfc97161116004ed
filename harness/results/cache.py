"""Leaderboards and reviews that were made before: their intervals take seconds, and a page should not wait again.

`HOME/boards/ID.json` holds the last leaderboard of an experiment with the state of the store it was made from and the
code that made it, `HOME/boards/round-ID.json` the statistics of an unblinded round. A file that is stale, torn or gone
is made anew; deleting the folder loses nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import harness
from harness.records import Round, from_json, to_json
from harness.records.files import write_bytes
from harness.results.collect import collect, with_human
from harness.results.human.records import HumanReview
from harness.results.human.statistics import human_review
from harness.results.human.votes import joined, require_unblinded
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.rows import Leaderboard

if TYPE_CHECKING:
    from harness.store import Store

T = TypeVar("T")


def board(store: Store, home: Path, experiment_id: str) -> Leaderboard:
    """The leaderboard of an experiment, from the file where nothing has changed since."""

    def make() -> Leaderboard:
        with store.opened() as held:
            stored = collect(held, experiment_id, columns=True)
        return leaderboard(with_human(stored, store, lambda round_: human(store, home, round_)))

    return _kept(home, experiment_id, store.state(experiment_id), Leaderboard, make)


def human(store: Store, home: Path, round_: Round) -> HumanReview:
    """The statistics of an unblinded round, from the file where nothing has changed since.

    Raises ReviewError before unblinding.
    """
    require_unblinded(round_)

    def make() -> HumanReview:
        return human_review(joined(round_, store.ballots(round_.id)))

    return _kept(home, f"round-{round_.id}", store.round_state(round_.id), HumanReview, make)


def _kept(home: Path, name: str, state: str, kind: type[T], make: Callable[[], T]) -> T:
    """What `make` makes, from its file where that is of this state of the store and of this code."""
    file, state = home.absolute() / "boards" / f"{name}.json", f"{state} {_code()}"
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept = json.loads(file.read_bytes())
        if kept["state"] == state:
            return from_json(kind, kept["board"])
    value = make()
    with suppress(OSError):  # a folder that cannot be written costs time only
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, json.dumps({"state": state, "board": to_json(value)}).encode())
    return value


@functools.cache
def _code() -> str:
    return source_hash(Path(harness.__file__).parent)


def source_hash(package: Path) -> str:
    """Hash of every Python file below a folder, names and contents: nobody keeps a list of what computes a board."""
    total = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        content = file.read_bytes()
        total.update(f"{file.relative_to(package).as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:16]
