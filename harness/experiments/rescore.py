"""Adds metrics to stored predictions, and rebuilds the store from run folders; neither needs a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import metrics, redaction
from harness.errors import UsageError
from harness.experiments import upkeep
from harness.experiments.running import ingest
from harness.metrics.user_metrics import declaration, known_metric
from harness.records import ExperimentRecord, Score
from harness.records.files import read_json
from harness.results.stored import database, find, open_store, sealed_examples
from harness.store import Store


def score(home: Path, experiment: str | None, names: Sequence[str]) -> list[str]:
    """Add metrics to every evaluation of an experiment from what is stored, which counts as a test-set evaluation.

    A metric of the user's own is a file beside the task, or in the working directory.
    """
    store = open_store(home)
    record = find(store, experiment)
    metrics.check_names(names)
    own = _own_metrics(home, store, record, names)
    examples = sealed_examples(home, record)
    if not examples:
        raise UsageError(
            f"the sealed test split of {record.name} is not under {home}", hint="Run the experiment again; it is quick"
        )
    lines = []
    with redaction.texts(bool(record.task.get("sensitive"))):
        for entry in store.entries(record.experiment_id):
            if entry.eval_id is None:
                continue
            predictions, facts = store.predictions([entry.eval_id]), record.task.get("facts")
            rows: list[Score] = [
                *metrics.score_predictions(names, entry.eval_id, predictions, examples.values(), facts, own),
                *metrics.score_likelihoods(names, store.likelihoods([entry.eval_id])),
            ]
            look = ingest.look(record, entry, f"harness score --metric {' --metric '.join(names)}")
            ingest.keep_looks(home.absolute(), [look])
            added = store.ingest([*rows, look])
            lines.append(f"{entry.arm}: {max(0, added - 1)} scores added")
    if own:
        added_task = {**record.task, "own_metrics": {name: declaration(metric) for name, metric in own.items()}}
        ingest.experiment(store, home.absolute(), replace(record, task=added_task))
    return lines


def _own_metrics(home: Path, store: Store, record: ExperimentRecord, names: Sequence[str]) -> dict[str, metrics.Metric]:
    """The user's own metrics among `names`, from the task's folder as the runs knew it, else the working directory."""
    own_names = [name for name in names if metrics.is_added(name)]
    plans = [home / "runs" / entry.train_id / "plan.json" for entry in store.entries(record.experiment_id)]
    folders = [Path(read_json(plan)["experiment"]["task_dir"]) for plan in plans if plan.exists()]
    sensitive = bool(record.task.get("sensitive"))
    own: dict[str, metrics.Metric] = {}
    for name in own_names:
        file = name.partition(":")[0]
        folder = next((folder for folder in (*folders, Path()) if (folder / file).is_file()), (*folders, Path())[0])
        own[name] = known_metric(name, folder, sensitive=sensitive)
    return own


def rebuild(home: Path) -> str:
    """Make the store again from run folders and journal, and say what was added."""
    if not (home / "runs").exists() and not database(home).exists():
        raise UsageError(f"{home} holds neither runs nor a store", hint="Give another --home")
    store, home = Store(database(home)), home.absolute()
    upkeep.recall(store, home)  # deletions first: what was deleted stays so
    before = store.counts()
    ingest.rebuild(store, home)
    upkeep.resume(store, home)
    added = {name: count - before.get(name, 0) for name, count in store.counts().items()}
    summary = ", ".join(f"{count} {name}" for name, count in added.items() if count)
    return f"added {summary}" if summary else "nothing was missing"
