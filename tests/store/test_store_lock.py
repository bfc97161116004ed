"""One at a time: processes and threads wait for each other, and who waits too long is told for whom."""

from __future__ import annotations

import multiprocessing
import threading
import time
from pathlib import Path

import pytest
from store_samples import look, start

from harness.errors import StoreLocked
from harness.store import Store

HOLD = """
import sys, time
from pathlib import Path
from harness.store import Store
with Store(Path(sys.argv[1]))._file.open():
    print("held")
    time.sleep(60)
"""


def test_a_busy_store_names_its_holder_the_lock_file_and_the_way_on(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    process = start(HOLD, path)
    assert process.stdout
    try:
        assert process.stdout.readline() == "held\n"
        store = Store(path, timeout=0.2)
        began = time.monotonic()
        for operation in (store.experiments, lambda: store.ingest([look(1)])):
            with pytest.raises(StoreLocked) as caught:
                operation()
            text = str(caught.value)
            assert caught.value.exit_code == 5 and "\n" not in text
            assert f"process {process.pid} " in text and str(store.lock_path) in text and "run again" in text
        assert 0.4 <= time.monotonic() - began < 5
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert store.ingest([look(1)]) == 1  # the lock ended with its process


def test_threads_share_a_store(store: Store) -> None:
    problems: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for number in range(4):
                assert store.ingest([look(100 * worker + number)]) == 1
                assert look(100 * worker + number) in store.looks()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted(int(item.when) for item in store.looks()) == [100 * w + n for w in range(4) for n in range(4)]


def write_some(path: Path, worker: int) -> None:
    store = Store(path)
    for number in range(8):
        assert store.ingest([look(100 * worker + number)]) == 1


def test_processes_share_a_store_from_its_first_moment(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_some, args=(store.path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(store.looks()) == 24
    assert store.counts()["looks"] == 24
