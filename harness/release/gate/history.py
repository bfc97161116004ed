"""Every verdict of a gate, kept: as a file first, then in the store, together with what counts as a look.

    HOME/gates/BASELINE-TRAINING/ID.json    one call; what was judged of one training against one baseline lies together

The files are written before the store learns of them, so that a locked or broken store loses no verdict and a store
that is made anew (`harness store rebuild`) knows every look. Reading earlier verdicts, deciding and writing happen
under one lock: two calls at once cannot both be the first look.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import DiskFull, NotRecorded, StoreError
from harness.experiments.running import ingest
from harness.records import GateCall, Look, from_json
from harness.records.files import read_json, write_json
from harness.release.gate import looks
from harness.results.queries import database
from harness.store import Store

UNSETTLED = "the store could not be asked for earlier looks"


@dataclass(frozen=True, slots=True)
class Settled:
    """A call as it stands once earlier ones are known."""

    call: GateCall
    problem: NotRecorded | None = None
    """Why it is not in the store."""


def who() -> str:
    """Who runs this."""
    return os.environ.get("USER") or getpass.getuser()


def folder(home: Path, call: GateCall) -> Path:
    """Where the calls about one training and one baseline lie."""
    return home / "gates" / f"{call.baseline_digest}-{call.train_id}"


def settle(home: Path, store: Store | None, call: GateCall) -> Settled:
    """Store `call` as what it is among earlier ones: a look, the same scores again, or a refusal.

    Never raises for the store's sake: the verdict is kept as a file and comes back with the problem.
    """
    home = home.absolute()
    try:
        store = store or Store(database(home))
        with store.session() as session:
            earlier = _kept(home, call)
            final = decide(earlier, call)
            looked = _look(final)
            ingest.keep_looks(home, looked)
            write_json(folder(home, final) / f"{final.id}.json", final)
            mine = [call.baseline_digest, call.train_id]
            stored = {one.id for one in session.read(GateCall, "baseline_digest = $1 AND train_id = $2", mine)}
            session.write(*(one for one in earlier if one.id not in stored), final, *looked)
    except (StoreError, DiskFull, OSError) as error:
        return _unsettled(home, call, error)
    return Settled(final)


def decide(earlier: Sequence[GateCall], call: GateCall) -> GateCall:
    """`call`, judged without regard to `earlier` ones of the same training and baseline, as it stands beside them."""
    found = looks.examine(earlier, call)
    if found.stored is not None:
        return replace(
            call,
            outcome=found.stored.outcome,
            exit_code=found.stored.exit_code,
            look=found.look,
            reason=found.reason,
            verdict=found.stored.verdict,
            waivers=found.stored.waivers,
            answered_by=found.stored.id,
            settled=True,
        )
    verdict = looks.refusal(call.verdict, found.reason) if found.refused else call.verdict
    verdict = replace(verdict, warnings=(*looks.other_rules(earlier, call), *verdict.warnings))
    return replace(
        call,
        outcome=verdict.outcome,
        exit_code=verdict.exit_code,
        look=found.look,
        reason=f"refused: {found.reason}" if found.refused else found.reason,
        verdict=verdict,
        waivers=() if found.refused else call.waivers,
        settled=True,
    )


def _kept(home: Path, call: GateCall) -> list[GateCall]:
    """Earlier calls about the same training and baseline, the oldest first; those left unsettled are settled now."""
    files = folder(home, call).glob("*.json")
    known = sorted((from_json(GateCall, read_json(path)) for path in files), key=lambda one: (one.when, one.id))
    done: list[GateCall] = []
    for one in known:
        if not one.settled:
            one = decide(done, one)
            write_json(folder(home, one) / f"{one.id}.json", one)
        done.append(one)
    return done


def _look(call: GateCall) -> list[Look]:
    """A counted look at the test split, where numbers of it are shown that were not shown before."""
    if call.answered_by or all(rule.estimate is None for rule in call.verdict.rules):
        return []
    arm = call.candidate.rpartition("/")[2].partition("@")[0]
    why = f"harness gate {call.gates_file}: {call.reason}, {call.outcome}"
    return [Look(call.eval_id, call.experiment, arm, call.who, why, call.when)]


def _unsettled(home: Path, call: GateCall, error: StoreError | DiskFull | OSError) -> Settled:
    call = replace(call, look=None, reason=UNSETTLED, settled=False)
    file = folder(home, call) / f"{call.id}.json"
    cause = str(error) if isinstance(error, OSError) else error.message
    try:
        write_json(file, call)
        hint = f"It is kept in {file}; the same command settles it"
    except OSError as other:
        hint = f"It could not be kept as a file either ({other.strerror}): keep what was printed"
    return Settled(call, NotRecorded(f"the verdict {call.outcome} is not stored: {cause.rstrip('.')}", hint=hint))
