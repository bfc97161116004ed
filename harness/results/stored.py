"""Finds what is stored: the database of a home folder, an experiment by its name, a run, the sealed test examples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.records import Entry, Example, ExperimentRecord, digest
from harness.records.files import read_records

if TYPE_CHECKING:
    from harness.store import Store

DATABASE = "harness.duckdb"


def database(home: Path) -> Path:
    """The database file of a home folder."""
    return home.absolute() / DATABASE


def open_store(home: Path) -> Store:
    """The store of a home folder that has one."""
    from harness.store import Store

    if not database(home).exists():
        raise UsageError(
            f"{home} holds no results yet", hint="Run `harness run EXPERIMENT.yaml`, or give another --home"
        )
    return Store(database(home))


def source_of(file: Path, home: Path) -> str:
    """Says which file an experiment is of, seen from its home folder, which may be moved together with it."""
    return digest(os.path.relpath(file.resolve(), home.resolve()))


def find(store: Store, experiment: str | None) -> ExperimentRecord:
    """The experiment called by file, name or id; the newest one without a name.

    A file means the newest record that was made of it. Raises UsageError for a file that never ran in this home though
    another of its name did, and for a name that several files have.
    """
    if experiment is not None and experiment.endswith((".yaml", ".yml")):
        return _of_file(store, Path(experiment))
    if experiment is not None:
        newest = store.experiment(experiment)
        if newest.experiment_id == experiment:
            return newest
        sources = {_sources(record) for record in store.experiments() if record.name == experiment}
        if len({source for several in sources for source in several}) > 1 and not frozenset.intersection(*sources):
            raise UsageError(
                f"{experiment!r} names experiments of {len(sources)} files in this home",
                hint="Give the path of the file, or the id that `harness store info` lists",
            )
        return newest
    stored = store.experiments()
    if not stored:
        raise UsageError("the store holds no experiment", hint="Run `harness run EXPERIMENT.yaml`")
    return stored[-1]


def _of_file(store: Store, file: Path) -> ExperimentRecord:
    named = [record for record in store.experiments() if record.name == file.stem]
    of_file = [
        record for record in named if not _sources(record) or source_of(file, store.path.parent) in _sources(record)
    ]
    if of_file:
        return of_file[-1]
    if not named:
        return store.experiment(file.stem)  # which says what there is
    # A folder that was moved holds the same file elsewhere.
    same = [record for record in named if record.spec.get("text") == file_text(file)]
    if file.is_file() and same:
        return same[-1]
    raise UsageError(
        f"{file} has not run in this home; the {file.stem!r} that it holds is of another file",
        hint=f"Run it, or give the id of what is meant: {', '.join(record.experiment_id for record in named[-3:])}",
    )


def file_text(file: Path) -> str:
    """Hash of the content of an experiment's file; empty where it is not there."""
    return digest(file.read_text(encoding="utf-8", errors="replace")) if file.is_file() else ""


def _sources(record: ExperimentRecord) -> frozenset[str]:
    """The files that a record was made of; none is known of records of before."""
    return frozenset(record.spec.get("sources") or ())


def find_run(store: Store, name: str) -> tuple[ExperimentRecord, Entry]:
    """The run called `EXPERIMENT/ARM`, or `EXPERIMENT/ARM@SEED` where the arm has several; its entry has an `eval_id`.

    Raises UsageError for a name that is none, and for a run without a result.
    """
    experiment, slash, rest = name.rpartition("/")
    arm, _, seed = rest.partition("@")
    if not slash:
        raise UsageError(f"{name!r} is no run", hint="A run is EXPERIMENT/ARM, or EXPERIMENT/ARM@SEED")
    record = find(store, experiment)
    entries = [entry for entry in store.entries(record.experiment_id) if entry.fraction == 1]
    mine = [entry for entry in entries if entry.arm == arm and (not seed or str(entry.seed) == seed)]
    if not mine:
        known = ", ".join(dict.fromkeys(f"{entry.arm}" for entry in entries))
        raise UsageError(f"{record.name} has no arm {rest!r}", hint=f"Arms: {known}")
    if len(mine) > 1:
        seeds = ", ".join(f"{arm}@{entry.seed}" for entry in mine)
        raise UsageError(f"{arm!r} has {len(mine)} seeds, and one of them is meant", hint=f"Give one of {seeds}")
    if mine[0].eval_id is None:
        raise UsageError(f"{name} has no result: it ended {mine[0].status}", hint="`harness run` tries again")
    return record, mine[0]


def sealed_file(home: Path, record: ExperimentRecord) -> Path:
    """Where the test examples of an experiment lie."""
    return home / "sealed" / f"{record.task['name']}-{record.suite}" / "test.jsonl"


def sealed_examples(home: Path, record: ExperimentRecord) -> dict[str, Example]:
    """Test examples of an experiment by id; empty when the sealed folder is gone."""
    return {example.id: example for example in read_records(sealed_file(home, record), Example)}
