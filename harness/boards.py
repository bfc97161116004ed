"""Leaderboards that were made before: their intervals take seconds, and a page should not wait for them again.

`HOME/boards/ID.json` holds the last leaderboard of an experiment with the state of the store it was made from and the
code that made it. A file that is stale, torn or gone is made anew; deleting the folder loses nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness import report
from harness.files import write_bytes
from harness.records import from_json, to_json

if TYPE_CHECKING:
    from harness.store import Store

CODE = ("report", "stats", "metrics", "records", "judged.py", "verdict.py", "winner_pairs.py", "winner_rules.py")
"""What a leaderboard is computed by."""


def board(store: Store, home: Path, experiment_id: str) -> report.Leaderboard:
    """The leaderboard of an experiment, from the file where nothing has changed since."""
    file = home.absolute() / "boards" / f"{experiment_id}.json"
    state = f"{store.state(experiment_id)} {_code()}"
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept = json.loads(file.read_bytes())
        if kept["state"] == state:
            return from_json(report.Leaderboard, kept["board"])
    made = report.leaderboard(report.with_human(report.collect(store, experiment_id), store))
    with suppress(OSError):  # a folder that cannot be written costs time only
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, json.dumps({"state": state, "board": to_json(made)}).encode())
    return made


@functools.cache
def _code() -> str:
    package = Path(harness.__file__).parent
    files = [file for name in CODE for file in sorted((package / name).rglob("*.py")) or [package / name]]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
