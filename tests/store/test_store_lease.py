"""A server's lease: many threads on one connection, others get their turn, nothing acknowledged is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from store_samples import cast_votes, vote

from harness.errors import StoreLocked
from harness.store import Store
from harness.store.lease import Lease


class Door:
    """Counts who comes and goes."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    @contextmanager
    def connect(self):
        self.opened += 1
        try:
            yield self.opened
        finally:
            self.closed += 1


def wait_until(true, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    assert true()


def test_a_burst_shares_one_connection_which_closes_when_idle():
    door = Door()
    lease = Lease(door.connect, idle=0.05, longest=10)
    for _ in range(5):
        with lease.use() as connection:
            assert connection == 1
    wait_until(lambda: door.closed == 1)
    with lease.use() as connection:
        assert connection == 2
    lease.close()
    assert (door.opened, door.closed) == (2, 2)


def test_a_long_burst_gives_up_its_place_now_and_then():
    door = Door()
    lease = Lease(door.connect, idle=1, longest=0.05)
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        with lease.use():
            time.sleep(0.005)
    lease.close()
    assert 3 <= door.opened == door.closed <= 8


def test_an_operation_that_fails_leaves_no_connection_behind():
    door = Door()
    lease = Lease(door.connect)
    with pytest.raises(ZeroDivisionError), lease.use():
        _ = 1 / 0
    assert (door.opened, door.closed) == (1, 1)


def test_threads_vote_on_one_lease_while_another_process_writes(tmp_path: Path):
    """Every vote is there once, and the process outside is let in again and again."""
    path = tmp_path / "harness.duckdb"
    store = Store(path, lease=True)
    cast_votes(store, vote(0))
    outside = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, sys.argv[2])\n"
            "from store_samples import cast_votes, vote\n"
            "from pathlib import Path\n"
            "from harness.store import Store\n"
            "for number in range(10_000, 10_020): cast_votes(Store(Path(sys.argv[1])), vote(number))",
            str(path),
            str(Path(__file__).parent),
        ]
    )

    def cast(first: int) -> None:
        for number in range(first, first + 20):
            assert cast_votes(Store(path, lease=True), vote(number))

    threads = [threading.Thread(target=cast, args=(1 + 20 * place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outside.wait(60) == 0
    votes = Store(path).judgments()
    assert sorted(one.assignment for one in votes) == sorted(
        vote(number).assignment for number in [*range(161), *range(10_000, 10_020)]
    )


def test_a_lease_that_is_idle_holds_up_nobody(tmp_path: Path):
    path = tmp_path / "harness.duckdb"
    cast_votes(Store(path, lease=True), vote(0))
    time.sleep(0.2)
    assert cast_votes(Store(path, timeout=0.5), vote(1))


def test_a_lease_waits_for_the_lock_like_everyone(tmp_path: Path):
    path = tmp_path / "harness.duckdb"
    plain = Store(path)
    cast_votes(plain, vote(0))
    with plain._file.open(), pytest.raises(StoreLocked):
        Store(path, lease=True, timeout=0.1).judgments()
    assert Store(path, lease=True).judgments() == [vote(0)]
