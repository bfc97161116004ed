"""Pin a release baseline, and hold a candidate against one: from stored runs and files to a verdict that is kept."""

from __future__ import annotations

import datetime
import hashlib
import re
import secrets
from dataclasses import replace
from pathlib import Path

from harness import environment
from harness.config import GateSpec
from harness.config.documents import Document, nearest, read_document, validate
from harness.errors import UsageError
from harness.progress import Reporter
from harness.records import GateCall, GateVerdict, differences, digest
from harness.records.release import Release, Scored
from harness.release import baselines
from harness.release.gate import history, inputs, judge, looks
from harness.release.gate.checks import check_rules
from harness.release.gate.evidence import GateInputs, evidence_on
from harness.release.gate.inputs import CandidateRun, ScoringContext
from harness.release.views import GateView
from harness.results import stored

RELEASES = Path("baselines") / "released"


def find_run(home: Path, name: str) -> CandidateRun:
    """The run called `EXPERIMENT/ARM`, or `EXPERIMENT/ARM@SEED` where the arm has several.

    Raises UsageError for a name that is none, and for a run without a result.
    """
    store = stored.open_store(home)
    with store.opened() as opened:
        record, entry = stored.find_run(opened, name)
        attempts = opened.runs([entry.train_id])
    return CandidateRun(store, home, record, entry, next(run for run in attempts if run.attempt == entry.attempt))


def release(home: Path, name: str, called: str, *, folder: Path = RELEASES, anyway: str = "") -> list[str]:
    """Pin a run as `called`; `anyway` is the reason why a run that should not be released is. What was written.

    Raises UsageError for a failed run, and without a reason for one from a dirty working tree.
    """
    candidate = find_run(home, name)
    run, entry, wrong = candidate.run, candidate.entry, ""
    if entry.status != "ok" or run.status != "ok":
        wrong = f"the run of {entry.arm} ended {entry.status}: {run.error or 'without a result'}"
    elif run.provenance.dirty:
        wrong = f"{entry.arm} was trained from a working tree with uncommitted changes"
    if wrong and (not anyway.strip() or candidate.entry.status != "ok"):
        again = 'Commit and run it again; or --anyway "REASON", which is recorded'
        raise UsageError(wrong, hint=again if candidate.entry.status == "ok" else "`harness run` tries again")
    pinned = Release(
        name=called,
        pinned=environment.now(),
        who=environment.user(),
        experiment=candidate.experiment.name,
        task=str(candidate.experiment.task.get("name", "?")),
        seed=candidate.entry.seed,
        sensitive=bool(candidate.experiment.task.get("sensitive")),
        commit=candidate.run.provenance.commit,
        scored=inputs.scored(candidate),
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
    for number, waiver in enumerate(spec.waivers):
        path, name = ("waivers", number), waiver.rule
        if name not in titles:
            raise document.error((*path, "rule"), f"no rule is called {name!r}", nearest(name, titles))
        if name in seen:
            raise document.error((*path, "rule"), f"{name!r} has two waivers", "Keep one of the two")
        if looks.expires_too_late(waiver, today()):
            last = (today() + looks.LONGEST_WAIVER).isoformat()
            hint = f"Write {last} or earlier; what should hold for longer is another rule"
            raise document.error((*path, "expires"), f"{waiver.expires} is more than 90 days ahead", hint)
        seen.add(name)


def gate(
    home: Path,
    file: Path,
    candidate: str,
    reporter: Reporter,
    *,
    rescore_baseline: bool = False,
    experiment: Path | None = None,
) -> GateView:
    """Hold a candidate against a gates file, and keep the verdict.

    The candidate is a stored run or a folder with a PEFT adapter or a model, which is scored first, as `experiment` (or
    the file that the baseline's run was made with) says. With `rescore_baseline` so is the baseline's own model.
    """
    spec = load(file)
    baseline = baselines.read(file.parent / spec.baseline)
    context = ScoringContext(home.absolute(), baseline, experiment, reporter)
    run = find_run(home, _scored_first(context, candidate, spec))
    compared, rescored = baseline.scored, ""
    if rescore_baseline:
        # What a training cost and how it serves was pinned; scoring again says nothing new of either.
        compared = replace(_rescored(context, run), measures=baseline.scored.measures)
        rescored = compared.eval_id
    verdict, data = _judged(spec, baseline, run, compared)
    if rescored:
        verdict = replace(verdict, warnings=(_rescoring_note(baseline.scored, compared), *verdict.warnings))
    verdict, uses = looks.apply_waivers(verdict, spec.waivers, today(), spec.on_inconclusive)
    call = GateCall(
        id=secrets.token_hex(8),
        when=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        who=environment.user(),
        gates_file=file.name,
        gates_digest=hashlib.sha256(file.read_bytes()).hexdigest()[:16],
        rules_digest=digest([rule.model_dump(mode="json", exclude_defaults=True) for rule in spec.rules]),
        baseline=baseline.name,
        baseline_digest=baselines.identity(baseline),
        candidate=run.name,
        experiment=run.experiment.experiment_id,
        train_id=run.entry.train_id,
        eval_id=str(run.entry.eval_id),
        data=data,
        outcome=verdict.outcome,
        exit_code=verdict.exit_code,
        look=None,
        looks=spec.looks,
        reason="",
        verdict=verdict,
        waivers=uses,
        rescored=rescored,
    )
    return GateView(*history.record_call(home, call), candidate)


def _judged(
    spec: GateSpec, baseline: Release, run: CandidateRun, compared: Scored
) -> tuple[GateVerdict, dict[str, str]]:
    """The verdict on a run before waivers and earlier verdicts, and the fingerprint of each rule's evidence."""
    each_look = [looks.confidence(rule.confidence, spec.looks) for rule in spec.rules]
    rules = [rule.model_copy(update={"confidence": level}) for rule, level in zip(spec.rules, each_look, strict=True)]
    sensitive = baseline.sensitive or bool(run.experiment.task.get("sensitive"))
    with run.store.opened() as store:  # once for all that is read of the candidate
        run = replace(run, store=store)
        candidate = inputs.scored(run)
        if baseline.sensitive:
            candidate = baselines.hidden(candidate)
        given = inputs.with_lookups(GateInputs(candidate, compared, sensitive), run, rules, hide=baseline.sensitive)
    evidence = [evidence_on(rule, given) for rule in rules]
    data = looks.fingerprints([candidate.eval_id, compared.eval_id], evidence)
    return judge(evidence, spec.on_inconclusive), data


def _scored_first(context: ScoringContext, candidate: str, spec: GateSpec) -> str:
    """The name of the candidate's run; a folder is scored first."""
    # A folder is one that holds a model, or that cannot be the name of a run.
    path = Path(candidate).expanduser()
    model = any((path / name).is_file() for name in ("adapter_config.json", "config.json"))
    if not path.is_dir() or (not model and re.fullmatch(r"[\w.-]*\w[\w.-]*/[\w.@-]+", candidate)):
        return candidate
    from harness.release.gate import models

    forgetting = any(getattr(rule, "against", None) == "untrained" for rule in spec.rules)
    return models.score_folder(context, path, untrained=forgetting)


def _rescored(context: ScoringContext, run: CandidateRun) -> Scored:
    """The baseline scored again in this environment, which must be the candidate's. Raises UsageError."""
    from harness.release.gate import models

    again = models.rescore(context)
    [evaluation] = run.store.evaluations([str(run.entry.eval_id)])
    changed = differences(evaluation.environment, again.environment)
    if changed:
        raise UsageError(
            f"{run.name} was scored in another environment than this one ({', '.join(changed)})",
            hint=f"`harness run {run.experiment.file} --rescore` scores it here",
        )
    return baselines.hidden(again) if context.baseline.sensitive else again


def _rescoring_note(pinned: Scored, again: Scored) -> str:
    changed = differences(pinned.environment, again.environment)
    what = f"environment: {', '.join(changed)}" if changed else "environment: the same"
    other = "" if pinned.suite == again.suite else "; on another sealed suite than it was pinned with"
    return f"the baseline was scored again for this verdict (evaluation {again.eval_id}; {what}{other})"
