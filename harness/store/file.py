"""The database file itself: lock, open, crash recovery, migrations, and what DuckDB's errors mean to a person.

The only import of duckdb. DuckDB 2.0.0 loses acknowledged commits when several processes open, write and close one
file (`bench/store_race.py` shows it): it reads the file's header before it takes its own lock. So an exclusive lock on
`<db>.lock` is held from before every open until after the close, for reading too. DuckDB's own lock is a POSIX lock,
which any open and close of the file in the same process drops: nothing here reads the database as a plain file.
"""

from __future__ import annotations

import functools
import importlib.resources
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import duckdb
import filelock

from harness import redaction
from harness.errors import DiskFull, HarnessError, NewerSchema, StoreError, StoreLocked
from harness.store.journal import FULL
from harness.store.lease import Kept, lease_of

_POLL_SECONDS = 0.005
_CONFIG = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
"""A file of another format would otherwise make DuckDB fetch an extension for it."""
_ATTACHED = "harness_store"
"""Name of the file within the engine of a lease."""
_WAL_END = b"\xff\xff"
_WAL_HEADER_BYTES = 256
_WAL_PREFIX = 16
"""An entry of the write-ahead log is its length and its checksum, 8 bytes each (little-endian), then its content."""
_MIGRATION = re.compile(r"(\d{4})_(\w+)\.sql")
_DAMAGED = (
    "not a valid DuckDB database",
    "Corrupt database",
    "Could not read enough bytes",
    "does not match stored checksum",
    '.duckdb_extension" not found',
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema, applied together with its record in one transaction."""

    version: int
    name: str
    sql: str


def read_migrations(folder: Path | None = None) -> tuple[Migration, ...]:
    """All migrations in order, from the package or from `folder`; StoreError when a number is missing or doubled."""
    return _packaged() if folder is None else _numbered(folder)


@functools.cache
def _packaged() -> tuple[Migration, ...]:
    return _numbered(importlib.resources.files("harness.store") / "migrations")


def _numbered(source: Traversable) -> tuple[Migration, ...]:
    found = []
    for file in source.iterdir():
        match = _MIGRATION.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if not found or [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise StoreError(f"the migrations in {source} are not numbered 1, 2, 3, …", hint="Install the harness again")
    return tuple(found)


def schema_version(connection: Any) -> int | None:
    """Version of an open database: 0 when it is empty, None when it holds tables that are not the harness's."""
    try:  # at every open, so the usual answer comes first
        row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_migrations").fetchone()
        return int(row[0])
    except duckdb.CatalogException:
        tables = connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()[0]
        return None if tables else 0


class StoreFile:
    """One database file and its lock. Holds no connection, so threads and processes may share it.

    `timeout`: seconds to wait for the lock. `lock=False` leaves it out, which loses data (for the benchmark only).
    `migrations`: a folder in place of the package's. `lease`: keep the connection for a moment (`store_lease.py`).
    `messages` collects what a person should be told.
    """

    def __init__(self, path: Path, *, timeout: float, lock: bool, migrations: Path | None, lease: bool = False) -> None:
        self.path = Path(path).absolute()
        self.lock_path = self.path.with_name(self.path.name + ".lock")
        self.messages: list[str] = []
        self._timeout = timeout
        self._lock = lock
        self._migrations: tuple[Migration, ...] = read_migrations(migrations)
        self._engine: Any = None
        self._lease = lease_of(self.path, self._attached) if lease else None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._os_error(error) from error

    @property
    def kept(self) -> Kept | None:
        """What this process remembers of the database between sessions; None without a lease."""
        return self._lease.kept if self._lease is not None else None

    @contextmanager
    def open(self) -> Iterator[Any]:
        """A cursor on the migrated database, under the lock from before open to after close.

        The connection is a fresh one, or the process's lease.
        """
        try:
            with self._lease.use() if self._lease is not None else self._connected() as connection:
                cursor = connection.cursor()
                try:
                    if self._lease is not None:
                        cursor.execute(f"USE {_ATTACHED}")
                    yield cursor
                finally:
                    cursor.close()
        except duckdb.ProgrammingError:
            raise  # our SQL is wrong: a bug, not the user's to mend
        except duckdb.Error as error:
            raise self._duckdb_error(str(error)) from error
        except OSError as error:
            raise self._os_error(error) from error

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        with self._locked():
            if not self.path.exists():
                self._create()
            connection = self._replayed(lambda: duckdb.connect(str(self.path), config=_CONFIG))
            try:
                self._migrate(connection)
                yield connection
            finally:
                connection.close()

    @contextmanager
    def _attached(self) -> Iterator[Any]:
        """As `_connected`, for a lease: the file comes to an engine that stays, which takes 3 ms in place of 25."""
        with self._locked():
            if not self.path.exists():
                self._create()
            if self._engine is None:
                self._engine = duckdb.connect(":memory:", config=_CONFIG)
            engine = self._engine
            try:
                self._replayed(lambda: engine.execute(f"ATTACH {quoted(self.path)} AS {_ATTACHED}"))
                engine.execute(f"USE {_ATTACHED}")
                self._migrate(engine)
                if self.kept is not None:
                    made = engine.execute("SELECT epoch_us(min(applied)) FROM schema_migrations").fetchone()
                    self.kept.belongs_to(made)
                yield engine
            finally:
                self._detach(engine)

    def _detach(self, engine: Any) -> None:
        """Close the file; the engine as well when it cannot do so, after an error that it did not survive."""
        try:
            engine.execute("USE memory")
            engine.execute(f"DETACH {_ATTACHED}")
        except duckdb.Error:
            self._engine = None
            engine.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock:
            yield
            return
        # A lock object per operation: threads exclude each other as processes do. A lease's may end in another thread.
        guard = filelock.FileLock(
            self.lock_path, timeout=self._timeout, poll_interval=_POLL_SECONDS, thread_local=False
        )
        try:
            guard.acquire()
        except filelock.Timeout as error:
            raise self._locked_error() from error
        except OSError as error:
            raise self._os_error(error) from error
        try:
            with suppress(OSError):  # who holds it is a courtesy to those who wait
                self.lock_path.write_text(f"{os.getpid()} {Path(sys.argv[0]).name}\n", encoding="utf-8")
            yield
        finally:
            guard.release()

    def _create(self) -> None:
        """Make the file beside its place and move it there, so that a crash never leaves half a database."""
        log = log_of(self.path)
        if log.exists():  # a log without its database would be replayed into the new one
            self._set_aside(log, "belongs to a database that is gone")
        new = self.path.with_name(f"{self.path.name}.new" + ("" if self._lock else f"-{os.getpid()}"))
        remove_database(new)
        connection = duckdb.connect(str(new), config=_CONFIG)
        try:
            self._migrate(connection, fresh=True)
        finally:
            connection.close()
        if not self.path.exists():
            new.replace(self.path)

    def _replayed(self, open_file: Callable[[], Any]) -> Any:
        """Open the file, which replays its write-ahead log; one that cannot be read is set aside."""
        log = log_of(self.path)
        if not self._lock:
            return open_file()
        # DuckDB stops replaying at an entry whose length makes no sense, without a word, and later overwrites the rest.
        if log.exists() and not reads_to_the_end(log):
            self._set_aside(log, "ends in what cannot be read", keep=True)
        try:
            return open_file()
        except duckdb.Error as error:
            text = str(error)
            if "replaying WAL" not in text or _is_full(text) or "Out of Memory" in text or not log.exists():
                raise
            self._set_aside(log, "cannot be read")
            return open_file()

    def tell(self, message: str) -> None:
        """Keep `message` for the caller and show it on standard error (Python's handler of last resort)."""
        self.messages.append(message)
        logging.getLogger("harness.store").warning(message)

    def _set_aside(self, log: Path, why: str, *, keep: bool = False) -> None:
        """Move the write-ahead log away (with `keep`, copy it: its readable beginning is still replayed)."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        target = log.with_name(f"{log.name}.unreadable-{stamp}")
        number = 1
        while target.exists():
            number += 1
            target = log.with_name(f"{log.name}.unreadable-{stamp}-{number}")
        size = log.stat().st_size
        if keep:
            shutil.copy2(log, target)
        else:
            log.rename(target)
        self.tell(
            f"the write-ahead log of {self.path} {why}; its {size} bytes are kept as {target.name}. "
            "`harness store rebuild` takes in run folders and votes again"
        )

    def _migrate(self, connection: Any, *, fresh: bool = False) -> None:
        version = 0 if fresh else schema_version(connection)
        newest = self._migrations[-1].version
        if version is None:
            raise StoreError(
                f"{self.path} is a DuckDB database, but no harness store", hint="Choose another file or --home"
            )
        if version > newest:
            raise NewerSchema(
                f"the store {self.path} has schema {version}, this harness knows schemas up to {newest}",
                hint="Upgrade the harness (pip install --upgrade finetune-harness), or use another --home",
            )
        for migration in self._migrations[version:]:
            with transaction(connection):
                connection.execute(migration.sql)
                connection.execute(
                    "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)", [migration.version, migration.name]
                )

    def _locked_error(self) -> StoreLocked:
        holder = ""
        with suppress(OSError, UnicodeDecodeError):
            holder = self.lock_path.read_text(encoding="utf-8").strip()
        pid, _, program = holder.partition(" ")
        who = f"process {pid} ({program or 'unknown program'})" if pid.isdigit() else "another process"
        return StoreLocked(
            f"the store {self.path} has been in use by {who} for {self._timeout:g} s (lock file {self.lock_path})",
            hint="Wait for it or end it, then run again; the lock ends with its process, so leave the file alone",
        )

    def _duckdb_error(self, text: str) -> HarnessError:
        text = text.splitlines()[0] if text else "DuckDB gave no reason"
        if _is_full(text):
            return _disk_full(self.path)
        if "Could not set lock" in text or "Conflicting lock" in text:
            return StoreLocked(f"the store {self.path} is open elsewhere: {text}", hint="Run again when it is closed")
        if "we can only read versions between" in text or "newer version of DuckDB" in text:
            return NewerSchema(f"the store {self.path} was written by a newer DuckDB: {text}", hint="Upgrade duckdb")
        if any(sign in text for sign in _DAMAGED):
            return StoreError(
                f"{self.path} is not a DuckDB database, or is damaged: {text}",
                hint="Move it away and run `harness store rebuild`, which reads run folders and votes again",
            )
        # A constraint's message quotes the row that breaks it.
        said = f"{text.partition(':')[0]} ({redaction.SENSITIVE})" if redaction.active() else text
        return StoreError(f"the store {self.path} failed: {said}", hint="Nothing was stored by this step")

    def _os_error(self, error: OSError) -> HarnessError:
        if error.errno in FULL:
            return _disk_full(self.path)
        return StoreError(f"{error.filename or self.path} cannot be used by the store: {error.strerror or error}")


def _is_full(text: str) -> bool:
    return any(os.strerror(number) in text for number in FULL)


def _disk_full(path: Path) -> DiskFull:
    return DiskFull(
        f"no space left for the store {path}", hint="Free some space and run again; what was stored before is kept"
    )


@contextmanager
def transaction(connection: Any) -> Iterator[None]:
    """All or nothing: commit at the end, roll back on any exception, Ctrl-C too."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a failed commit has rolled back already
            connection.execute("ROLLBACK")
        raise


def log_of(path: Path) -> Path:
    """Where DuckDB keeps the write-ahead log of a database."""
    return path.with_name(path.name + ".wal")


def quoted(path: Path) -> str:
    """A path as a text of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def remove_database(path: Path) -> None:
    """Delete a database file that nobody has open, and its log, if they are there."""
    path.unlink(missing_ok=True)
    log_of(path).unlink(missing_ok=True)


def reads_to_the_end(log: Path) -> bool:
    """Whether the entries of a write-ahead log fill it exactly; their checksums are DuckDB's to check.

    DuckDB 2.0.0 refuses a log whose entry fails its checksum, but where an entry's length (or the beginning) is damaged
    it takes the rest for an unfinished write, opens without a word and later overwrites it: one flipped bit in a length
    lost every later commit. So the lengths are walked before it opens the file.

    A log begins with a version entry without a length, which ends in 0xFFFF; those bytes may also stand inside it, so
    each is tried. A log in a form unknown here does not read to the end, which costs its user no more than a kept copy.
    """
    content = log.read_bytes()
    start = content.find(_WAL_END, 0, _WAL_HEADER_BYTES)
    while start >= 0:
        if _fills(content, start + len(_WAL_END)):
            return True
        start = content.find(_WAL_END, start + 1, _WAL_HEADER_BYTES)
    return not content


def _fills(content: bytes, place: int) -> bool:
    while place + _WAL_PREFIX <= len(content):
        place += _WAL_PREFIX + int.from_bytes(content[place : place + 8], "little")
    return place == len(content)
