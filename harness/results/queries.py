"""Questions answered from the store, without a model: leaderboard, comparison, metrics added later, upkeep."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, UsageError
from harness.records import Example, ExperimentRecord, SealedAccess
from harness.records.files import read_json, read_records, write_bytes, write_text
from harness.results import cache
from harness.results.collect import Results, collect, with_human, with_logs
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render import bundle
from harness.results.render.page.forms import GENERATOR, to_page_html, to_page_markdown
from harness.results.render.page.page import report_page
from harness.results.render.page.records import ReportContext
from harness.results.stored import (
    database as database,
    find as find,
    find_run as find_run,
    open_store as open_store,
    sealed_examples as sealed_examples,
    sealed_file as sealed_file,
)
from harness.results.studies.comparison import Comparison, Texts, compare as compare_arms
from harness.results.studies.curve import LearningCurve, learning_curve
from harness.results.studies.samples import SampleAnswers, shown_samples
from harness.results.studies.suite import SuiteTable, suite_table
from harness.results.studies.tuning import TuningReport, tuning_report

if TYPE_CHECKING:
    from harness.store import Store


def results(home: Path, experiment: str | None, file: Path | None = None) -> Results:
    """All that is stored of an experiment, training logs too; or what is in the bundle `file`."""
    if file is not None:
        return bundle.read(file)
    store = open_store(home)
    return _whole(store, find(store, experiment).experiment_id)


def _whole(store: Store, experiment_id: str) -> Results:
    """All that is stored of an experiment: training logs and what people said, too."""
    return with_human(with_logs(collect(store, experiment_id), store), store)


def board(home: Path, experiment: str | None) -> Leaderboard:
    """The leaderboard of a stored experiment."""
    store = open_store(home)
    return cache.board(store, home, find(store, experiment).experiment_id)


def tuning(home: Path, experiment: str | None) -> TuningReport:
    """What tuning tried and chose in a stored experiment."""
    store = open_store(home)
    return tuning_report(collect(store, find(store, experiment).experiment_id))


def curve(home: Path, experiment: str | None) -> LearningCurve:
    """The learning curves of a stored experiment."""
    store = open_store(home)
    return learning_curve(collect(store, find(store, experiment).experiment_id))


def leader(board: Leaderboard) -> str | None:
    """The arm that leads on the primary metric, if any arm has a value."""
    ranked = [row.arm for row in board.rows if row.status == "ok"]
    return ranked[0] if ranked else None


def compare(home: Path, experiment: str | None, arms: tuple[str, str], samples: int) -> Comparison:
    """Arm `arms[0]` minus arm `arms[1]` of a stored experiment, with the examples that differ most."""
    store = open_store(home)
    record = find(store, experiment)
    results = collect(store, record.experiment_id)
    eval_ids = [entry.eval_id for entry in results.entries if entry.arm in arms and entry.eval_id is not None]
    texts = Texts(sealed_examples(home, record), store.predictions(eval_ids))
    return compare_arms(results, *arms, texts, samples)


def looks(home: Path, experiment: str | None) -> list[SealedAccess]:
    """Looks at the test split of a stored experiment, as `looks_of`."""
    store = open_store(home)
    return looks_of(store, find(store, experiment))


def looks_of(store: Store, record: ExperimentRecord) -> list[SealedAccess]:
    """Looks at the test split of an experiment, in order: its own and those of others on the same splits."""
    same = store.experiments_on(record.task_fingerprint)
    return [look for look in store.looks() if look.experiment in same]


def training_examples(home: Path, store: Store, experiment_id: str) -> dict[str, list[Example]]:
    """Train and validation examples of an experiment by split; empty when its folders are gone."""
    plans = [home / "runs" / entry.train_id / "plan.json" for entry in store.entries(experiment_id)]
    # A home folder may have been moved: only the folder's own name is taken from the plan.
    names = {Path(read_json(plan)["files"]["folder"]).name for plan in plans if plan.exists()}
    folders = [home / "tasks" / name for name in sorted(names)][:1]
    sides = {
        split: list(read_records(folder / f"{split}.jsonl", Example))
        for folder in folders
        for split in ("train", "validation")
    }
    return {split: examples for split, examples in sides.items() if examples}


def suite(home: Path, names: Sequence[str]) -> SuiteTable:
    """The stored experiments of a suite side by side. Raises StoreError for one that has not run."""
    store = open_store(home)
    records = [find(store, name) for name in names]
    return suite_table([leaderboard(collect(store, record.experiment_id)) for record in records])


def pack(home: Path, experiment: str | None, out: Path | None) -> str:
    """Write the bundle of a stored experiment to `out` (default: NAME.bundle.zip here), and say so.

    A file that is there is replaced only when it is a bundle.
    """
    store = open_store(home)
    record = find(store, experiment)
    file = out or Path(f"{record.name}.bundle.zip")
    if file.exists():
        try:
            bundle.read(file)
        except HarnessError:
            raise UsageError(f"{file} exists and is no bundle", hint="Give another name with --out") from None
    data = bundle.pack(_whole(store, record.experiment_id))
    write_bytes(file, data)
    return f"wrote {file}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}"


def write_report(home: Path, experiment: str | None, to: Path, samples: int, file: Path | None = None) -> list[str]:
    """Write NAME.html and NAME.md into `to`, of a stored experiment or of the bundle `file`; one line for each.

    Raises UsageError where another file than a report has one of the names.
    """
    stored = results(home, experiment, file)
    record, board = stored.experiment, leaderboard(stored)
    named = experiment if experiment is not None and experiment.endswith((".yaml", ".yml")) else record.file
    context = ReportContext(f"harness run {named}", sampled=file is None)
    shown: tuple[SampleAnswers, ...] = ()
    if file is None and samples and not record.task.get("sensitive"):
        store = open_store(home)
        eval_ids = [entry.eval_id for entry in stored.entries if entry.eval_id is not None]
        texts = Texts(sealed_examples(home, record), store.predictions(eval_ids))
        context = replace(context, sampled=bool(texts.examples))
        order = [row.arm for row in board.rows]
        shown = shown_samples(stored, texts, board.verdict.arm or leader(board) or "", order, samples)
    page = report_page(stored, context, shown)
    written = {f"{record.name}.html": to_page_html(page), f"{record.name}.md": to_page_markdown(page)}
    for name in written:
        if (to / name).exists() and GENERATOR not in (to / name).read_text("utf-8", "replace")[:2000]:
            raise UsageError(f"{to / name} exists and is no report", hint="Give another folder with --to")
    for name, text in written.items():
        write_text(to / name, text)
    return [f"wrote {to / name}: {len(text.encode()):,} bytes" for name, text in written.items()]


def bundled_board(file: Path) -> Leaderboard:
    """The leaderboard of a bundle, made anew from its scores."""
    return leaderboard(bundle.read(file))


def store_info(home: Path) -> dict[str, Any]:
    """Rows per table, and the stored experiments."""
    store = open_store(home)
    experiments = [
        {"name": row.name, "experiment_id": row.experiment_id, "created": row.created} for row in store.experiments()
    ]
    return {"schema": "harness.store/1", "tables": store.counts(), "experiments": experiments}


def export(home: Path, folder: Path) -> str:
    """Write every table as parquet into a new folder."""
    open_store(home).export(folder)
    return f"wrote {folder}"
