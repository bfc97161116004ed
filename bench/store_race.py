"""Do several processes that open, write and close the store at once lose what was acknowledged to them?

    python bench/store_race.py             with the lock beside the database, then without it
    python bench/store_race.py --lock      with it only: one round, must lose nothing
    python bench/store_race.py --no-lock   without it only: up to ten rounds, until one loses something

A round: 6 processes write as fast as they can (open, one row, commit, close, through `harness.store.Store`) until 2,000
rows are acknowledged in all; then the database is read and every acknowledged row is looked for. Without the lock the
processes try again when DuckDB's own lock refuses them, or when the file looks broken to them for a moment. Exit code 0
when the lock lost nothing and its absence lost something; 1 otherwise. The last line is the figure.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.errors import HarnessError, StoreLocked
from harness.records import SealedAccess
from harness.store import Store

PATIENCE = 100
"""Errors in a row after which a writer without the lock gives up: the file is then broken for good."""


def write(path: Path, process: int, rows: int, lock: bool) -> None:
    """Write `rows` rows one by one; note each in a file of its own once it is acknowledged."""
    store = Store(path, timeout=600, lock=lock)
    with path.with_name(f"acknowledged-{process}").open("w") as acknowledged:
        number = errors = 0
        while number < rows and errors < PATIENCE:
            try:
                store.ingest([SealedAccess(f"{process}-{number}", "race", "arm", "bench", "race", "now")])
            except StoreLocked:
                continue
            except HarnessError as error:
                if lock:
                    raise
                errors += 1
                if errors in (1, PATIENCE):
                    print(f"  process {process}, row {number}, error {errors} in a row: {error}", flush=True)
                continue
            acknowledged.write(f"{process}-{number}\n")
            acknowledged.flush()
            number, errors = number + 1, 0


def one_round(processes: int, rows: int, lock: bool) -> tuple[int, int, float]:
    """Acknowledged rows, lost ones among them, and seconds."""
    with tempfile.TemporaryDirectory(prefix="store-race-") as folder:
        path = Path(folder) / "store.duckdb"
        Store(path).counts()
        shares = [rows // processes + (number < rows % processes) for number in range(processes)]
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=write, args=(path, n, share, lock)) for n, share in enumerate(shares)]
        began = time.monotonic()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.monotonic() - began
        acknowledged = {line for file in path.parent.glob("acknowledged-*") for line in file.read_text().split()}
        store = Store(path)
        try:
            stored = {look.eval_id for look in store.looks()}
        except HarnessError as error:
            print(f"  the database cannot be read any more: {error}")
            stored = set()
        for message in store.messages:
            print(f"  {message}")
        return len(acknowledged), len(acknowledged - stored), seconds


def main() -> int:
    """Run the rounds asked for; 0 when the lock lost nothing and its absence lost something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--lock", dest="which", action="store_const", const="lock", help="with the lock only")
    which.add_argument("--no-lock", dest="which", action="store_const", const="no-lock", help="without the lock only")
    which.add_argument("--both", dest="which", action="store_const", const="both", help="both (the default)")
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--rows", type=int, default=2000, help="rows of a round, all processes together")
    parser.add_argument("--rounds", type=int, default=10, help="at most so many rounds without the lock")
    options = parser.parse_args()
    good, summary = True, []
    if options.which != "no-lock":
        count, lost, seconds = one_round(options.processes, options.rows, lock=True)
        print(f"with the lock: {lost} of {count} acknowledged rows lost in {seconds:.0f} s", flush=True)
        good &= lost == 0 and count == options.rows
        summary.append(f"with lock {lost}/{count} lost")
    if options.which != "lock":
        total = gone = rounds = 0
        while rounds < options.rounds and not gone:
            rounds += 1
            count, lost, seconds = one_round(options.processes, options.rows, lock=False)
            print(
                f"without it, round {rounds}: {lost} of {count} acknowledged rows lost in {seconds:.0f} s", flush=True
            )
            total, gone = total + count, gone + lost
        good &= gone > 0
        summary.append(f"without lock {gone}/{total} lost in {rounds} round{'s' * (rounds != 1)}")
    print("store race: " + ", ".join(summary))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
