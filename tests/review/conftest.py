"""Fixtures of the review's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.store import Store


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store that was made and never written to; making one takes a third of a second."""
    store = Store(tmp_path_factory.mktemp("empty") / "harness.duckdb")
    assert store.counts()["rounds"] == 0
    return store.path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Store:
    """An empty store."""
    (tmp_path / "home").mkdir()
    return Store(Path(shutil.copy(empty_database, tmp_path / "home" / "harness.duckdb")))


@pytest.fixture
def other(tmp_path: Path, empty_database: Path) -> Store:
    """An empty store on another machine."""
    (tmp_path / "elsewhere").mkdir()
    return Store(Path(shutil.copy(empty_database, tmp_path / "elsewhere" / "harness.duckdb")))
