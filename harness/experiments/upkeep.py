"""What a home folder holds, and ways to let it go: sizes, garbage collection, deleting an experiment.

A deletion is written down before anything is touched (`HOME/deleting/`), so that one which was killed is finished by
the next command that looks after the store, or by the next run. Afterwards it stands in `HOME/deletions/`, where a
rebuild finds it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import environment
from harness.arms.artefacts import FOLDER
from harness.errors import UsageError
from harness.experiments.running import live
from harness.records import from_json
from harness.records.files import read_json, write_json
from harness.results import stored as stored_results
from harness.store import Store, deletion
from harness.store.deletion import Deletion, Needed

SIZES, GARBAGE = "harness.store-du/1", "harness.store-gc/1"
CHECKPOINTS = "checkpoints"
_STAYS = ("looks", "sentinels", "parity")
"""Folders of an experiment that its deletion leaves."""


# ----------------------------------------------------------------------------------------------------------- delete


def delete(
    home: Path, name: str, *, pinned: Mapping[str, str] | None = None, anyway: str = "", dry_run: bool = False
) -> list[str]:
    """Delete a stored experiment with what no other one shares; says what went.

    Looks at the test split stay counted; verdicts of gates and votes of reviews stay.

    Args:
        home: The home folder.
        name: Name, file or id of the experiment.
        pinned: Training → name of the baseline that was pinned from it.
        anyway: Why a run is deleted that a baseline was pinned from; recorded.
        dry_run: Only say what would go.

    Raises:
        UsageError: the experiment runs at the moment, or a baseline was pinned from one of its runs.
    """
    home = home.absolute()
    store = stored_results.open_store(home)
    if not dry_run:
        resume(store, home)
    record = stored_results.find(store, name)
    kept = _kept(store, home, record.experiment_id)
    entries = store.entries(record.experiment_id)
    trained = {entry.train_id for entry in entries} | {one.train_id for one in store.trials(record.experiment_id)}
    mine = Deletion(
        experiment_id=record.experiment_id,
        name=record.name,
        task_fingerprint=record.task_fingerprint,
        when=environment.now(),
        who=environment.user(),
        why=anyway.strip(),
        train_ids=tuple(sorted(trained - kept.train_ids)),
        eval_ids=tuple(sorted({entry.eval_id for entry in entries if entry.eval_id} - kept.eval_ids)),
    )
    claimed = any(_claimed(home / "runs" / train_id) for train_id in mine.train_ids)
    if claimed or live.read(home, record.experiment_id) is not None:
        raise UsageError(f"{record.name} is running", hint="Wait for it or stop it, then delete it")
    held = sorted({title for run, title in (pinned or {}).items() if run in mine.train_ids})
    if held and not mine.why:
        raise UsageError(
            f"a run of {record.name} is pinned as the baseline {', '.join(held)}",
            hint='--anyway "REASON" deletes it, and the reason is recorded; the pinned scores stay',
        )
    size = sum(map(_bytes, _folders(home, mine.train_ids, mine.eval_ids)))
    what = f"{len(mine.train_ids)} runs and {len(mine.eval_ids)} evaluations, {_megabytes(size)}"
    shared = len(trained) - len(mine.train_ids)
    stays = f"{shared} runs are shared with other experiments and stay; " if shared else ""
    if dry_run:
        return [f"would delete {record.name} ({record.experiment_id}): {what}; {stays}nothing was deleted"]
    write_json(home / "deleting" / f"{mine.experiment_id}.json", mine)
    resume(store, home)
    return [f"deleted {record.name} ({record.experiment_id}): {what}; {stays}looks, gates and reviews are kept"]


def resume(store: Store, home: Path) -> None:
    """Finish every deletion that was begun."""
    for path in sorted((home / "deleting").glob("*.json")):
        begun = from_json(Deletion, read_json(path))
        deletion.record(store, begun)
        kept = _kept(store, home, begun.experiment_id)  # others may have come to share something since
        gone = [one for one in begun.train_ids if one not in kept.train_ids]
        gone_evaluations = [one for one in begun.eval_ids if one not in kept.eval_ids]
        _remove_experiment(home, begun.experiment_id)
        for folder in _folders(home, gone, gone_evaluations):
            shutil.rmtree(folder, ignore_errors=True)
        deletion.remove(store, gone, gone_evaluations)
        (home / "deletions").mkdir(exist_ok=True)
        path.rename(home / "deletions" / f"{begun.experiment_id}-{begun.when.replace(':', '')}.json")


def recall(store: Store, home: Path) -> None:
    """Before a rebuild: take finished deletions in, and let nothing bring back what is being deleted."""
    for path in sorted((home / "deletions").glob("*.json")):
        deletion.record(store, from_json(Deletion, read_json(path)))
    for path in (home / "deleting").glob("*.json"):
        _remove_experiment(home, path.stem)


def _folders(home: Path, train_ids: Sequence[str], eval_ids: Sequence[str]) -> list[Path]:
    return [home / "runs" / name for name in train_ids] + [home / "evals" / name for name in eval_ids]


def _remove_experiment(home: Path, experiment_id: str) -> None:
    folder = home / "experiments" / experiment_id
    (folder / "record.json").unlink(missing_ok=True)
    for path in folder.glob("*"):
        if path.is_dir() and path.name not in _STAYS:
            shutil.rmtree(path, ignore_errors=True)
    for name in ("boards", "live"):
        (home / name / f"{experiment_id}.json").unlink(missing_ok=True)


def _claimed(run: Path) -> bool:
    """Whether a process trains or scores in this run folder."""
    import filelock

    if not (run / "claim.lock").exists():
        return False
    try:
        with filelock.FileLock(run / "claim.lock", timeout=0):
            return False
    except filelock.Timeout:
        return True


def _kept(store: Store, home: Path, without: str = "") -> Needed:
    """What others need, by the store and by the files from which it can be made again."""
    stored = deletion.needed(store, without)
    trained, evaluated = set(stored.train_ids), set(stored.eval_ids)
    for folder in (home / "experiments").glob("*"):
        if folder.name == without or not (folder / "record.json").exists():
            continue
        rows = [read_json(path) for path in folder.glob("entries/*.json")]
        rows += [row for path in folder.glob("trials/*.json") for row in read_json(path)]
        trained |= {row["train_id"] for row in rows}
        evaluated |= {row["eval_id"] for row in rows if row.get("eval_id")}
    waiting = list(trained)
    while waiting:
        record = home / "runs" / waiting.pop() / "run.json"
        parent = read_json(record).get("parent_train_id") if record.exists() else None
        if parent and parent not in trained:
            trained.add(parent)
            waiting.append(parent)
    return Needed(frozenset(trained), frozenset(evaluated))


# --------------------------------------------------------------------------------------------------------- garbage


@dataclass(frozen=True, slots=True)
class Garbage:
    """A folder that no stored experiment needs."""

    path: Path
    why: str
    bytes: int


def garbage(home: Path) -> list[Garbage]:
    """Checkpoints of trainings that are not under way, and artefacts of runs that no stored experiment has."""
    home = home.absolute()
    kept = _kept(stored_results.open_store(home), home)
    found = []
    for run in sorted((home / "runs").glob("*")):
        if _claimed(run):
            continue
        arm = _arm_of(run)
        if (run / CHECKPOINTS).is_dir():
            why = f"checkpoints of {arm}, which is not under way; without them it would begin anew"
            found.append(Garbage(run / CHECKPOINTS, why, _bytes(run / CHECKPOINTS)))
        if run.name not in kept.train_ids and (run / FOLDER).is_dir():
            why = f"model of {arm}, which no stored experiment has"
            found.append(Garbage(run / FOLDER, why, _bytes(run / FOLDER)))
    return found


def collect_garbage(home: Path) -> list[Garbage]:
    """Remove it, and finish deletions that were begun; what went. Raises UsageError while something runs."""
    home = home.absolute()
    running = [path.stem for path in (home / "live").glob("*.json") if live.read(home, path.stem) is not None]
    if running:
        raise UsageError(f"an experiment is running in {home}", hint="Wait for it or stop it")
    resume(stored_results.open_store(home), home)
    gone = garbage(home)
    for one in gone:
        shutil.rmtree(one.path, ignore_errors=True)
    return gone


def garbage_to_json(found: Sequence[Garbage], home: Path, removed: bool) -> dict[str, Any]:
    """What is, or would be, removed; sizes in bytes, paths below the home folder."""
    rows = [{"path": str(one.path.relative_to(home.absolute())), "why": one.why, "bytes": one.bytes} for one in found]
    return {"schema": GARBAGE, "removed": removed, "bytes": sum(one.bytes for one in found), "garbage": rows}


def garbage_lines(found: Sequence[Garbage], home: Path, removed: bool) -> list[str]:
    """The same for people."""
    lines = [f"{_megabytes(one.bytes):>12}  {one.path.relative_to(home.absolute())}  {one.why}" for one in found]
    total = _megabytes(sum(one.bytes for one in found))
    if not found:
        return ["nothing to let go of"]
    return [*lines, f"removed {total}" if removed else f"{total} would go; `harness store gc --yes` removes them"]


# ----------------------------------------------------------------------------------------------------------- sizes


def sizes(home: Path) -> dict[str, Any]:
    """Bytes by kind and by experiment, and what runs hold that no stored experiment has.

    What several experiments share is counted for each of them, as `shared`.
    """
    home = home.absolute()
    store = stored_results.open_store(home)
    kinds: dict[str, int] = defaultdict(int)
    of_run: dict[str, int] = {}
    for run in (home / "runs").glob("*"):
        parts = {CHECKPOINTS: _bytes(run / CHECKPOINTS), "artefacts": _bytes(run / FOLDER)}
        of_run[run.name] = _bytes(run)
        for kind, size in {**parts, "runs": of_run[run.name] - sum(parts.values())}.items():
            kinds[kind] += size
    of_evaluation = {folder.name: _bytes(folder) for folder in (home / "evals").glob("*")}
    kinds["evaluations"] = sum(of_evaluation.values()) + _bytes(home / "validations")
    kinds["sealed"] = _bytes(home / "sealed")
    kinds["database"] = sum(path.stat().st_size for path in home.glob(f"{stored_results.DATABASE}*"))
    kinds["other"] = _bytes(home) - sum(kinds.values())
    every, rows = {**of_run, **of_evaluation}, []
    names: dict[str, set[str | None]] = {}
    for record in store.experiments():
        entries = store.entries(record.experiment_id)
        names[record.experiment_id] = {name for entry in entries for name in (entry.train_id, entry.eval_id)}
        names[record.experiment_id] |= {trial.train_id for trial in store.trials(record.experiment_id)}
    users = Counter(name for mine in names.values() for name in mine)
    for record in store.experiments():
        sizes_of_mine = {name: every.get(name or "", 0) for name in names[record.experiment_id]}
        shared = sum(size for name, size in sizes_of_mine.items() if users[name] > 1)
        about = {"experiment_id": record.experiment_id, "name": record.name, "created": record.created}
        rows.append({**about, "bytes": sum(sizes_of_mine.values()), "shared": shared})
    loose = [
        {"train_id": name, "arm": _arm_of(home / "runs" / name), "bytes": size, "checkpoints": size_of_checkpoints}
        for name, size in sorted(of_run.items())
        if (size_of_checkpoints := _bytes(home / "runs" / name / CHECKPOINTS)) or name not in users
    ]
    return {
        "schema": SIZES,
        "bytes": _bytes(home),
        "kinds": dict(kinds),
        "experiments": rows,
        "interrupted_or_old": loose,
    }


def size_lines(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    lines = [f"{_megabytes(size):>12}  {kind}" for kind, size in found["kinds"].items()]
    lines += [f"{_megabytes(found['bytes']):>12}  in all", ""]
    for row in found["experiments"]:
        shared = f", {_megabytes(row['shared'])} of it shared with others" if row["shared"] else ""
        lines.append(f"{_megabytes(row['bytes']):>12}  {row['name']}  {row['experiment_id']}  {row['created']}{shared}")
    if found["interrupted_or_old"]:
        lines += ["", "Runs that were interrupted, or that no stored experiment has (`harness store gc`):"]
    for row in found["interrupted_or_old"]:
        points = f", {_megabytes(row['checkpoints'])} of it checkpoints" if row["checkpoints"] else ""
        lines.append(f"{_megabytes(row['bytes']):>12}  {row['train_id']}  {row['arm']}{points}")
    return lines


def _arm_of(run: Path) -> str:
    try:
        plan = read_json(run / "plan.json")
        return f"{plan['arm_name']} of {plan['experiment']['name']}"
    except (OSError, KeyError, TypeError, json.JSONDecodeError):
        return "an unknown arm"


def _bytes(folder: Path) -> int:
    """Bytes of the files below a folder; 0 where there is none."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a run that goes on has replaced it
                size += (Path(path) / name).lstat().st_size
    return size


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
