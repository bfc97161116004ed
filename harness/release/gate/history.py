"""The history of gate verdicts: each is kept as a file first, then in the store with its test-set evaluation.

    HOME/gates/BASELINE-TRAINING/ID.json    one call; what was judged of one training against one baseline lies together

The files are written before the store learns of them, so that a locked or broken store loses no verdict and a store
that is made anew (`harness store rebuild`) knows every look. Reading earlier verdicts, deciding and writing happen
under one lock: two calls at once cannot both be the first look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import DiskFull, NotRecorded, StoreError
from harness.experiments.running import ingest
from harness.records import GateCall, SealedAccess, from_json
from harness.records.files import read_json, write_json
from harness.release.gate import looks
from harness.results.stored import database
from harness.store import Store

UNSETTLED = "the store could not be asked for earlier looks"


def folder(home: Path, call: GateCall) -> Path:
    """Where the calls about one training and one baseline lie."""
    return home / "gates" / f"{call.baseline_digest}-{call.train_id}"


def record_call(home: Path, call: GateCall) -> tuple[GateCall, NotRecorded | None]:
    """Store `call` as what it is among earlier ones: a look, the same scores again, or a refusal.

    Never raises for the store's sake: the verdict is kept as a file and comes back with the problem.
    """
    home = home.absolute()
    try:
        with Store(database(home)).session() as session:
            earlier = _kept(home, call)
            final = decide(earlier, call)
            looked = _look(final)
            ingest.keep_looks(home, looked)
            write_json(folder(home, final) / f"{final.id}.json", final)
            key = [call.baseline_digest, call.train_id]
            stored = {row.id for row in session.read(GateCall, "baseline_digest = $1 AND train_id = $2", key)}
            session.write(*(row for row in earlier if row.id not in stored), final, *looked)
    except (StoreError, DiskFull, OSError) as error:
        return _unsettled(home, call, error)
    return final, None


def decide(earlier: Sequence[GateCall], call: GateCall) -> GateCall:
    """`call`, judged without regard to `earlier` ones of the same training and baseline, as it stands beside them."""
    finding = looks.examine(earlier, call)
    call = replace(call, look=finding.look, reason=finding.reason, settled=True)
    stored = finding.stored
    if stored is not None:
        call = replace(call, waivers=stored.waivers, answered_by=stored.id)
        return replace(call, outcome=stored.outcome, exit_code=stored.exit_code, verdict=stored.verdict)
    verdict = call.verdict
    if finding.refused:
        verdict = looks.refusal(verdict, finding.reason)
        call = replace(call, reason=f"refused: {finding.reason}", waivers=())
    verdict = replace(verdict, warnings=(*looks.other_rules(earlier, call), *verdict.warnings))
    return replace(call, outcome=verdict.outcome, exit_code=verdict.exit_code, verdict=verdict)


def _kept(home: Path, call: GateCall) -> list[GateCall]:
    """Earlier calls about the same training and baseline, the oldest first; those left unsettled are settled now."""
    files = folder(home, call).glob("*.json")
    earlier = sorted((from_json(GateCall, read_json(path)) for path in files), key=lambda each: (each.when, each.id))
    settled: list[GateCall] = []
    for each in earlier:
        if not each.settled:
            each = decide(settled, each)
            write_json(folder(home, each) / f"{each.id}.json", each)
        settled.append(each)
    return settled


def _look(call: GateCall) -> list[SealedAccess]:
    """The test-set evaluation to count, where numbers are shown that were not shown before."""
    if call.answered_by or all(rule.estimate is None for rule in call.verdict.rules):
        return []
    arm = call.candidate.rpartition("/")[2].partition("@")[0]
    why = f"harness gate {call.gates_file}: {call.reason}, {call.outcome}"
    return [SealedAccess(call.eval_id, call.experiment, arm, call.who, why, call.when)]


def _unsettled(home: Path, call: GateCall, error: StoreError | DiskFull | OSError) -> tuple[GateCall, NotRecorded]:
    call = replace(call, look=None, reason=UNSETTLED, settled=False)
    file = folder(home, call) / f"{call.id}.json"
    cause = str(error) if isinstance(error, OSError) else error.message
    try:
        write_json(file, call)
        hint = f"It is kept in {file}; the same command settles it"
    except OSError as other:
        hint = f"It could not be kept as a file either ({other.strerror}): keep what was printed"
    return call, NotRecorded(f"the verdict {call.outcome} is not stored: {cause.rstrip('.')}", hint=hint)
