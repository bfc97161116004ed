"""Kills, damaged files, unreadable logs, full disks: nothing acknowledged is lost, every refusal is one clear line."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from store_samples import cast_votes, look, start, vote

from harness.errors import DiskFull, StoreError
from harness.store import Store
from harness.store.file import reads_to_the_end

WRITE_FOREVER = """
import sys, itertools
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_samples import cast_votes, look, vote
from harness.store import Store
store = Store(Path(sys.argv[1]))
for number in itertools.count(int(sys.argv[3])):
    cast_votes(store, vote(number)) if number % 3 == 0 else store.ingest([look(number)])
    print(number)
"""
COMMIT_AND_DIE = """
import os, sys
from pathlib import Path
from harness.store import Store
store = Store(Path(sys.argv[1]))
with store._file.open() as cursor:
    for number in range(5):
        cursor.execute("INSERT INTO looks VALUES (?, 'e', 'n', 'a', 'w', 'y', ?)", [number + 1, str(number)])
    os.kill(os.getpid(), 9)
"""
FILL = """
import random, resource, sys
from pathlib import Path
from harness.errors import DiskFull
from harness.records import Prediction
from harness.store import Store
store = Store(Path(sys.argv[1]))
store.counts()
if int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
noise = random.Random(0)
for number in range(500):
    texts = [noise.randbytes(8000).hex() for _ in range(20)]
    try:
        store.ingest([Prediction(f"e{number}", str(i), "", text, "stop", 1, 1, 0.0) for i, text in enumerate(texts)])
    except DiskFull as error:
        print("full:", error)
        sys.exit(error.exit_code)
    print(number)
"""


def test_a_kill_in_the_middle_of_writing_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path, chance = tmp_path / "s.duckdb", random.Random(7)
    acknowledged: list[int] = []
    for _ in range(3):
        process = start(WRITE_FOREVER, path, Path(__file__).parent, str(len(acknowledged) + 1000))
        assert process.stdout
        for line in process.stdout:
            acknowledged.append(int(line))
            if chance.random() < 0.12:
                break
        signal_after = chance.random() * 0.1
        try:
            process.wait(timeout=signal_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().split()]
        process.wait()
        process.stdout.close()
        store = Store(path)
        stored = {int(item.when) for item in store.looks()} | {int(item.id[1:]) for item in store.judgments()}
        assert set(acknowledged) <= stored
        assert store.rebuild_journal() in (0, 1)
    assert len(acknowledged) >= 3


@pytest.fixture
def left_log(tmp_path: Path) -> Path:
    """A store whose writer was killed after five commits, so that its log holds them; the path of the database."""
    path = tmp_path / "s.duckdb"
    process = start(COMMIT_AND_DIE, path)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert Path(f"{path}.wal").stat().st_size > 0
    return path


def aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.wal.unreadable-*"))


def test_a_log_left_by_a_kill_is_replayed(left_log: Path) -> None:
    assert reads_to_the_end(Path(f"{left_log}.wal"))
    store = Store(left_log)
    assert [item.when for item in store.looks()] == ["0", "1", "2", "3", "4"]
    assert store.messages == [] and aside(left_log) == []


def test_an_unreadable_log_is_set_aside_and_the_store_opens(left_log: Path) -> None:
    log = Path(f"{left_log}.wal")
    damaged = bytearray(log.read_bytes())
    damaged[-3] ^= 0xFF
    log.write_bytes(damaged)
    store = Store(left_log)
    assert store.looks() == []
    (kept,) = aside(left_log)
    assert kept.read_bytes() == damaged
    assert len(store.messages) == 1
    assert kept.name in store.messages[0] and "harness store rebuild" in store.messages[0]
    assert store.ingest([look(1)]) == 1
    assert Store(left_log).looks() == [look(1)]


def test_a_log_whose_end_duckdb_would_drop_in_silence_is_kept(left_log: Path) -> None:
    log = Path(f"{left_log}.wal")
    damaged = bytearray(log.read_bytes())
    # A length of the middle: walk to it as the log's form has it.
    place = damaged.index(b"\xff\xff") + 2
    for _ in range(7):
        place += 16 + int.from_bytes(damaged[place : place + 8], "little")
    damaged[place + 3] ^= 0x01
    log.write_bytes(damaged)
    store = Store(left_log)
    found = [item.when for item in store.looks()]
    assert found == ["0", "1", "2", "3", "4"][: len(found)] and len(found) < 5
    (kept,) = aside(left_log)
    assert kept.read_bytes() == damaged and kept.name in store.messages[0]


@pytest.mark.parametrize("content", [b"hello, this is no log", b"\0" * 4096, random.Random(1).randbytes(5000)])
def test_a_log_that_is_none_is_kept(left_log: Path, content: bytes) -> None:
    Path(f"{left_log}.wal").write_bytes(content)
    store = Store(left_log)
    assert store.ingest([look(1)]) == 1
    (kept,) = aside(left_log)
    assert kept.read_bytes() == content
    assert store.looks() == [look(1)] and len(store.messages) == 1


def test_a_log_without_its_database_does_not_enter_a_new_one(left_log: Path) -> None:
    content = Path(f"{left_log}.wal").read_bytes()
    left_log.unlink()
    store = Store(left_log)
    assert store.looks() == []
    assert [kept.read_bytes() for kept in aside(left_log)] == [content]


def test_half_a_database_of_a_crashed_first_start_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "s.duckdb.new").write_bytes(b"half")
    store = Store(tmp_path / "s.duckdb")
    assert store.ingest([look(1)]) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.duckdb", "s.duckdb.lock"]


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", random.Random(2).randbytes(20_000), b"SQLite format 3\0" + b"\0" * 5000],
    ids=["empty", "text", "random", "sqlite"],
)
def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.duckdb"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is not a DuckDB database") as caught:
        Store(path).experiments()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert path.read_bytes() == content


def test_a_damaged_header_and_a_cut_file_are_one_clear_line(store: Store) -> None:
    store.ingest([look(1)])
    whole = store.path.read_bytes()
    damaged = bytearray(whole)
    damaged[20] ^= 0xFF
    for content in (bytes(damaged), whole[: len(whole) // 2]):
        store.path.write_bytes(content)
        with pytest.raises(StoreError, match="damaged") as caught:
            store.looks()
        assert "harness store rebuild" in str(caught.value) and "\n" not in str(caught.value)


def test_another_programs_duckdb_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    connection = duckdb.connect(str(path))
    connection.execute("CREATE TABLE theirs(i INTEGER)")
    connection.close()
    with pytest.raises(StoreError, match="no harness store"):
        Store(path).ingest([look(1)])
    connection = duckdb.connect(str(path))
    assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("theirs",)]
    connection.close()


def test_places_that_cannot_be_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used by the store"):
        Store(tmp_path / "file" / "home" / "s.duckdb")
    (tmp_path / "folder.duckdb").mkdir()
    with pytest.raises(StoreError, match=re.escape("folder.duckdb")) as caught:
        Store(tmp_path / "folder.duckdb").experiments()
    assert "\n" not in str(caught.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder on a disk of 3 MB and 0; where none can be mounted, a folder and the size a file may have."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    arguments = ["-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if mount and os.geteuid() == 0 and subprocess.run([mount, *arguments], capture_output=True).returncode == 0:
        yield folder, 0
        subprocess.run(["umount", str(folder)], check=True)
    else:
        yield folder, 1_500_000


@pytest.mark.parametrize("kind", ["disk", "file size"])
def test_a_full_disk_ends_with_74_and_loses_nothing(small_disk: tuple[Path, int], tmp_path: Path, kind: str) -> None:
    folder, limit = small_disk if kind == "disk" else (tmp_path, 1_500_000)
    path = folder / "s.duckdb"
    process = start(FILL, path, str(limit))
    output, _ = process.communicate()
    *numbers, message = output.splitlines()
    assert process.returncode == DiskFull.exit_code == 74
    assert re.fullmatch(r"full: no space left for the store .*s\.duckdb\. Free some space .*", message)
    assert numbers
    if kind == "disk" and limit == 0:
        subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True)
    store = Store(path)
    assert store.counts()["predictions"] == 20 * len(numbers)
    assert all(len(store.predictions([f"e{number}"])) == 20 for number in numbers)
    assert store.ingest([look(1)]) == 1


def test_a_vote_that_does_not_fit_leaves_the_journal_as_it_was(store: Store) -> None:
    for number in range(3):
        cast_votes(store, vote(number))
    before = store.journal_path.read_bytes()
    program = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_samples import cast_votes, vote
from harness.store import Store
store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    cast_votes(store, vote(9))
except Exception as error:
    print(type(error).__name__, error)
"""
    process = start(program, store.path, Path(__file__).parent, str(len(before) + 20))
    assert process.communicate()[0].startswith("DiskFull no space left for the journal of votes")
    assert store.journal_path.read_bytes() == before
    assert cast_votes(store, vote(9)) and store.judgments()[-1] == vote(9)


def test_a_failed_operation_leaves_no_connection_behind(store: Store) -> None:
    store.ingest([look(1)])
    with pytest.raises(StoreError):
        store.ingest([look(None)])  # type: ignore[arg-type]
        store.ingest([look("\ud800")])  # type: ignore[arg-type]
    program = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).execute('SELECT count(*) FROM looks').fetchall())"
    answer = subprocess.run([sys.executable, "-c", program, store.path], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[(2,)]"
