"""`harness release` and `harness gate`: from stored runs and files to a verdict and its reports."""

from __future__ import annotations

import datetime
import getpass
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.config import GateRule, GateSpec
from harness.config.documents import Document, nearest, read_document, validate
from harness.errors import NotRecorded, UsageError
from harness.progress import Reporter
from harness.records import Entry, ExperimentRecord, GateCall, GateVerdict, RunRecord, differences, digest
from harness.records.release import Release, Scored
from harness.release import baselines
from harness.release.gate import history, inputs, judge, looks, waivers
from harness.release.gate.checks import check_rules
from harness.release.gate.evidence import Sides, ask
from harness.release.gate.inputs import Stored
from harness.results import queries

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
    call: GateCall
    problem: NotRecorded | None = None
    """Why the verdict is not in the store; a pipeline must not go on then."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """What a gate may score before it judges."""

    rescore_baseline: bool = False
    """Score the baseline's own model again, here and now, and compare with that."""
    experiment: Path | None = None
    """Experiment file that says how to score; None: the one that the baseline's run was made with."""


def find_run(home: Path, name: str) -> Found:
    """The run called `EXPERIMENT/ARM`, or `EXPERIMENT/ARM@SEED` where the arm has several.

    Raises UsageError for a name that is none, and for a run without a result.
    """
    store, record, entry = queries.find_run(home, name)
    run = next(one for one in store.runs([entry.train_id]) if one.attempt == entry.attempt)
    return Found(record, entry, run, inputs.scored(Stored(store, home, record, entry, run)))


def release(home: Path, name: str, called: str, *, folder: Path = RELEASES, anyway: str = "") -> list[str]:
    """Pin a run as `called`; `anyway` is the reason why a run that should not be released is. What was written.

    Raises UsageError for a failed run, and without a reason for one from a dirty working tree.
    """
    found = find_run(home, name)
    wrong = baselines.check_releasable(found.run, found.entry)
    if wrong and (not anyway.strip() or found.entry.status != "ok"):
        again = 'Commit and run it again; or --anyway "REASON", which is recorded'
        raise UsageError(wrong, hint=again if found.entry.status == "ok" else "`harness run` tries again")
    provenance = found.run.provenance
    pinned = Release(
        name=called,
        pinned=baselines.now(),
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
    return baselines.pin(pinned, folder)


def load(file: Path) -> GateSpec:
    """A gates file. Raises SpecError naming file, line and field."""
    document = read_document(file)
    spec = validate(document, (), GateSpec, document.value)
    check_rules(document, spec, file.parent)
    _check_waivers(document, spec)
    return spec


def today() -> datetime.date:
    """The present day, UTC."""
    return datetime.datetime.now(datetime.UTC).date()


def _check_waivers(document: Document, spec: GateSpec) -> None:
    """That each waiver is of a rule that is there, the only one of it, and not for long."""
    titles = [rule.title for rule in spec.rules]
    seen: set[str] = set()
    for number, one in enumerate(spec.waivers):
        place = ("waivers", number)
        if one.rule not in titles:
            raise document.error((*place, "rule"), f"no rule is called {one.rule!r}", nearest(one.rule, titles))
        if one.rule in seen:
            raise document.error((*place, "rule"), f"{one.rule!r} has two waivers", "Keep one of the two")
        if waivers.too_long(one, today()):
            last = (today() + waivers.LONGEST).isoformat()
            hint = f"Write {last} or earlier; what should hold for longer is another rule"
            raise document.error((*place, "expires"), f"{one.expires} is more than 90 days ahead", hint)
        seen.add(one.rule)


def gate(
    home: Path, file: Path, candidate: str, scoring: Scoring | None = None, reporter: Reporter | None = None
) -> Judged:
    """Hold a candidate against a gates file, and keep the verdict.

    The candidate is a stored run or a folder with a PEFT adapter or a model, which is scored first.
    """
    scoring = scoring or Scoring()
    spec = load(file)
    baseline = baselines.read(file.parent / spec.baseline)
    reporter = reporter or Reporter()
    found = find_run(home, _scored_first(home, candidate, (spec, baseline), scoring, reporter))
    held = baseline.scored
    if scoring.rescore_baseline:
        # What a training cost and how it serves was pinned; scoring again says nothing new of either.
        held = replace(_rescored(home, baseline, found, scoring, reporter), measures=baseline.scored.measures)
    mine = baselines.hidden(found.scored) if baseline.sensitive else found.scored
    at = Stored(queries.open_store(home), home, found.experiment, found.entry, found.run)
    beside = inputs.known(at, spec.rules, hide=baseline.sensitive)
    quiet = baseline.sensitive or bool(found.experiment.task.get("sensitive"))
    questions, evidence = [], []
    for rule in at_each_look(spec):
        question, known = ask(rule, Sides(mine, held, beside, quiet))
        questions.append(question)
        evidence.append(known)
    verdict = judge(questions, evidence, spec.on_inconclusive)
    if scoring.rescore_baseline:
        verdict = replace(verdict, warnings=(_told(baseline.scored, held), *verdict.warnings))
    verdict, uses = waivers.apply(verdict, spec.waivers, today(), spec.on_inconclusive)
    call = GateCall(
        id=secrets.token_hex(8),
        when=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        who=history.who(),
        gates_file=file.name,
        gates_digest=hashlib.sha256(file.read_bytes()).hexdigest()[:16],
        rules_digest=digest([rule.model_dump(mode="json", exclude_defaults=True) for rule in spec.rules]),
        baseline=baseline.name,
        baseline_digest=baselines.identity(baseline),
        candidate=_name(found),
        experiment=found.experiment.experiment_id,
        train_id=found.scored.train_id,
        eval_id=found.scored.eval_id,
        data=looks.fingerprints([found.scored.eval_id, held.eval_id], questions, evidence),
        outcome=verdict.outcome,
        exit_code=verdict.exit_code,
        look=None,
        looks=spec.looks,
        reason="",
        verdict=verdict,
        waivers=uses,
        rescored=held.eval_id if scoring.rescore_baseline else "",
    )
    settled = history.settle(home, None, call)
    return Judged(
        spec, file.name, baseline, replace(found, scored=mine), settled.call.verdict, settled.call, settled.problem
    )


def at_each_look(spec: GateSpec) -> Sequence[GateRule]:
    """The rules at the confidence that one of the declared looks is made at."""
    return [
        rule.model_copy(update={"confidence": looks.confidence(rule.confidence, spec.looks)}) for rule in spec.rules
    ]


def _scored_first(
    home: Path, candidate: str, asked: tuple[GateSpec, Release], scoring: Scoring, reporter: Reporter
) -> str:
    """The name of the candidate's run; a folder is scored first. `asked` is (gates file, baseline)."""
    if not _is_folder(candidate):
        return candidate
    from harness.release.gate import models

    spec, baseline = asked
    place = models.Place(home.absolute(), baseline, scoring.experiment, reporter)
    forgetting = any(getattr(rule, "against", None) == "untrained" for rule in spec.rules)
    return models.score_folder(place, Path(candidate).expanduser(), untrained=forgetting)


def _is_folder(candidate: str) -> bool:
    """Whether a candidate is a folder: one that holds a model, or that cannot be the name of a run."""
    path = Path(candidate).expanduser()
    model = any((path / name).is_file() for name in ("adapter_config.json", "config.json"))
    return path.is_dir() and (model or re.fullmatch(r"[\w.-]*\w[\w.-]*/[\w.@-]+", candidate) is None)


def _rescored(home: Path, baseline: Release, found: Found, scoring: Scoring, reporter: Reporter) -> Scored:
    """The baseline scored again in this environment, which must be the candidate's. Raises UsageError."""
    from harness.release.gate import models

    held = models.rescore(models.Place(home.absolute(), baseline, scoring.experiment, reporter))
    changed = differences(found.scored.environment, held.environment)
    if changed:
        raise UsageError(
            f"{_name(found)} was scored in another environment than this one ({', '.join(changed)})",
            hint=f"`harness run {found.experiment.file} --rescore` scores it here",
        )
    return baselines.hidden(held) if baseline.sensitive else held


def _told(pinned: Scored, held: Scored) -> str:
    changed = differences(pinned.environment, held.environment)
    what = f"environment: {', '.join(changed)}" if changed else "environment: the same"
    other = "" if pinned.suite == held.suite else "; on another sealed suite than it was pinned with"
    return f"the baseline was scored again for this verdict (evaluation {held.eval_id}; {what}{other})"


def _name(found: Found) -> str:
    seed = "" if found.entry.seed is None else f"@{found.entry.seed}"
    return f"{found.experiment.name}/{found.entry.arm}{seed}"
