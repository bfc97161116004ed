"""`harness release` and `harness gate`: from stored runs and files to a verdict and its reports."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, replace
from pathlib import Path

from harness import candidates, queries, released
from harness.candidates import Stored
from harness.documents import read_document, validate
from harness.errors import UsageError
from harness.gate import judge
from harness.gate.checks import check_rules
from harness.gate.evidence import Sides, ask
from harness.records import Entry, ExperimentRecord, GateVerdict, RunRecord
from harness.records.released import Release, Scored
from harness.spec import GateSpec

RELEASES = Path("baselines") / "released"


@dataclass(frozen=True, slots=True)
class Found:
    """A run that was asked for by name."""

    experiment: ExperimentRecord
    entry: Entry
    run: RunRecord
    scored: Scored


@dataclass(frozen=True, slots=True)
class Judged:
    """A gate's verdict with what it is about."""

    spec: GateSpec
    file: str
    baseline: Release
    candidate: Found
    verdict: GateVerdict


def find_run(home: Path, name: str) -> Found:
    """The run called `EXPERIMENT/ARM`, or `EXPERIMENT/ARM@SEED` where the arm has several.

    Raises UsageError for a name that is none, and for a run without a result.
    """
    store = queries.open_store(home)
    experiment, slash, rest = name.rpartition("/")
    arm, _, seed = rest.partition("@")
    if not slash:
        raise UsageError(f"{name!r} is no run", hint="A run is EXPERIMENT/ARM, or EXPERIMENT/ARM@SEED")
    record = queries.find(store, experiment)
    entries = [entry for entry in store.entries(record.experiment_id) if entry.fraction == 1]
    mine = [entry for entry in entries if entry.arm == arm and (not seed or str(entry.seed) == seed)]
    if not mine:
        known = ", ".join(dict.fromkeys(f"{entry.arm}" for entry in entries))
        raise UsageError(f"{record.name} has no arm {rest!r}", hint=f"Arms: {known}")
    if len(mine) > 1:
        seeds = ", ".join(f"{arm}@{entry.seed}" for entry in mine)
        raise UsageError(f"{arm!r} has {len(mine)} seeds, and one of them is released", hint=f"Give one of {seeds}")
    entry = mine[0]
    if entry.eval_id is None:
        raise UsageError(f"{name} has no result: it ended {entry.status}", hint="`harness run` tries again")
    run = next(one for one in store.runs([entry.train_id]) if one.attempt == entry.attempt)
    return Found(record, entry, run, candidates.scored(Stored(store, home, record, entry, run)))


def release(home: Path, name: str, called: str, *, folder: Path = RELEASES, anyway: str = "") -> list[str]:
    """Pin a run as `called`; `anyway` is the reason why a run that should not be released is. What was written.

    Raises UsageError for a failed run, and without a reason for one from a dirty working tree.
    """
    found = find_run(home, name)
    wrong = released.check_releasable(found.run, found.entry)
    if wrong and (not anyway.strip() or found.entry.status != "ok"):
        again = 'Commit and run it again; or --anyway "REASON", which is recorded'
        raise UsageError(wrong, hint=again if found.entry.status == "ok" else "`harness run` tries again")
    provenance = found.run.provenance
    pinned = Release(
        name=called,
        pinned=released.now(),
        who=getpass.getuser(),
        experiment=found.experiment.name,
        task=str(found.experiment.task.get("name", "?")),
        seed=found.entry.seed,
        sensitive=bool(found.experiment.task.get("sensitive")),
        commit=provenance.commit,
        scored=found.scored,
        digest="",
        notes=(f"{wrong}; pinned anyway: {anyway.strip()}",) if wrong else (),
    )
    return released.pin(pinned, folder)


def load(file: Path) -> GateSpec:
    """A gates file. Raises SpecError naming file, line and field."""
    document = read_document(file)
    spec = validate(document, (), GateSpec, document.value)
    check_rules(document, spec, file.parent)
    return spec


def gate(home: Path, file: Path, candidate: str) -> Judged:
    """Hold a stored run against a gates file."""
    spec = load(file)
    baseline = released.read(file.parent / spec.baseline)
    found = find_run(home, candidate)
    mine = released.hidden(found.scored) if baseline.sensitive else found.scored
    at = Stored(queries.open_store(home), home, found.experiment, found.entry, found.run)
    beside = candidates.known(at, spec.rules, hide=baseline.sensitive)
    quiet = baseline.sensitive or bool(found.experiment.task.get("sensitive"))
    sides = Sides(mine, baseline.scored, beside, quiet)
    asked = [ask(rule, sides) for rule in spec.rules]
    verdict = judge([question for question, _ in asked], [evidence for _, evidence in asked], spec.on_inconclusive)
    return Judged(spec, file.name, baseline, replace(found, scored=mine), verdict)
