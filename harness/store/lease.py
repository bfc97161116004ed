"""One open connection that a process keeps for a moment, so that a burst of operations pays for one open.

A server answers many small questions at once. Opening and closing the database for each costs tens of milliseconds,
one after the other, under the lock. A lease keeps connection and lock until nothing has been asked for `IDLE_SECONDS`,
at the longest `LONGEST_SECONDS`, then gives both up for a moment, so that a command line that waits gets its turn.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

IDLE_SECONDS = 0.05
LONGEST_SECONDS = 0.25
PAUSE_SECONDS = 0.015
"""Three times as long as others sleep between two tries of the lock."""


class Kept:
    """What a server remembers of records that are never changed: the `most` values last asked for, of one database.

    Used under the lock of that database only.
    """

    def __init__(self, most: int = 2000) -> None:
        self._most = most
        self._database: object = None
        self._values: dict[Hashable, Any] = {}

    def belongs_to(self, database: object) -> None:
        """Forget everything when the file is another database than before: put back from a copy, or made again."""
        if database != self._database:
            self._values.clear()
            self._database = database

    def get(self, key: Hashable) -> Any:
        """The value under `key`, or None."""
        value = self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
        return value

    def put(self, key: Hashable, value: Any) -> None:
        """Remember `value`, and forget the one that was asked for the longest time ago."""
        self._values[key] = value
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]


class Turn:
    """A lock that goes round in the order it was asked for; of many, `threading.Lock` lets one wait for seconds."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        try:
            mine.acquire()  # until the one before hands over
        except BaseException:
            with self._guard:
                left = mine in self._waiting
                if left:
                    self._waiting.remove(mine)
            if not left:
                self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class Lease:
    """Operations of all threads of a process on one connection, one at a time.

    `connect` gives a connection under the lock for as long as its context lasts; it may be left by another thread than
    the one that entered it.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Any]],
        idle: float = IDLE_SECONDS,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self._connect = connect
        self._idle, self._longest = idle, longest
        self._turn = Turn()
        self._held: ExitStack | None = None
        self._connection: Any = None
        self._since = self._used = 0.0
        self._watcher: threading.Thread | None = None
        self.kept = Kept()

    @contextmanager
    def use(self) -> Iterator[Any]:
        """The connection, for one operation of this thread; an operation that fails gives the connection up."""
        with self._turn:
            if self._held is None:
                held = ExitStack()
                self._connection = held.enter_context(self._connect())
                self._held, self._since = held, time.monotonic()
            try:
                yield self._connection
            except BaseException:
                self._give_up()
                raise
            self._used = time.monotonic()
            if self._used - self._since >= self._longest:
                self._give_up()
                time.sleep(PAUSE_SECONDS)  # with our own turn held: the next one who gets the lock is somebody else
            elif self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="store lease", daemon=True)
                self._watcher.start()

    def close(self) -> None:
        """Give connection and lock up now; the next operation opens them again."""
        with self._turn:
            self._give_up()

    def _give_up(self) -> None:
        held, self._held, self._connection = self._held, None, None
        if held is not None:
            held.close()

    def _watch(self) -> None:
        while True:
            time.sleep(self._idle / 2)
            with self._turn:
                if self._held is None or time.monotonic() - self._used >= self._idle:
                    self._give_up()
                    self._watcher = None
                    return


_leases: dict[Path, Lease] = {}
_guard = threading.Lock()


@atexit.register
def _close_all() -> None:
    """At the end of the process: a watcher that is in the midst of closing a file would take the interpreter down."""
    for lease in list(_leases.values()):
        lease.close()


def lease_of(path: Path, connect: Callable[[], AbstractContextManager[Any]]) -> Lease:
    """The lease of this process on the database at `path`; the first to ask says how to connect."""
    with _guard:
        return _leases.setdefault(path, Lease(connect))
