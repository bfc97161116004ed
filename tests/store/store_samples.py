"""Sample records for the store's tests, and Python programs run beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.records import (
    Artefact,
    BatchTry,
    Closeness,
    Entry,
    Estimate,
    Evaluation,
    ExperimentRecord,
    GateCall,
    GateVerdict,
    Judgment,
    LeakagePair,
    Ledger,
    Likelihood,
    Move,
    ParityCheck,
    Prediction,
    Provenance,
    RuleVerdict,
    RunRecord,
    Score,
    SealedAccess,
    SentinelCheck,
    ServedArm,
    ServingPass,
    ServingProbe,
    ServingVisit,
    TrainLog,
    TrainLogRow,
    Trial,
    WaiverUse,
)
from harness.store import Store

ROOT = Path(__file__).parents[2]


def experiment(name: str = "notes", number: int = 1, **changes: Any) -> ExperimentRecord:
    """An experiment record with a leak and nested specs."""
    fields: dict[str, Any] = {
        "experiment_id": f"{name}-{number}",
        "name": name,
        "file": f"/x/{name}.yaml",
        "spec": {"arms": ["full", "lora"], "budget": {"examples": 100}, "nothing": None},
        "task": {"name": "visit_notes", "splits": {"test": 0.2}},
        "task_fingerprint": "f" * 16,
        "split_sizes": {"train": 80, "validation": 10, "test": 20},
        "leaks": (LeakagePair("a", "test", "b", "train", "near-duplicate", 0.93),),
        "base_hash": "b" * 16,
        "created": f"2026-01-0{number}T00:00:00Z",
        "groups": {"x1": "patient 7"},
        "suite": "s" * 16,
        "seeds": {"training": [0], "tuning": None, "bootstrap": 2**64 - 1},
    }
    return ExperimentRecord(**fields | changes)


def run(train_id: str = "t1", attempt: int = 1, **changes: Any) -> RunRecord:
    """A run record with every nested record filled in."""
    fields: dict[str, Any] = {
        "train_id": train_id,
        "attempt": attempt,
        "arm": "dpo",
        "method": "dpo",
        "seed": 0,
        "role": "final",
        "status": "ok",
        "error": None,
        "ledger": Ledger(examples=10, tokens=99, train_seconds=1.25, parent=Ledger(examples=3, peak_memory_bytes=7)),
        "provenance": Provenance("0.1.0", None, None, {"torch": "2.13.0"}, {"cpus": 2, "gpu": None}, "2026-01-01"),
        "artefact": Artefact("adapter", "/b", "bh", "artefact", "fh", {"bits": 4}, "", "", "ah"),
        "parent_train_id": "t0",
        "notes": ("budget not reached", "second"),
        "seeds": {"initialisation": 2**32 - 1, "data_order": 7},
        "trial": {"number": 0, "values": {"r": 8}},
    }
    return RunRecord(**fields | changes)


def trial(number: int = 0, **changes: Any) -> Trial:
    """A trial that was chosen."""
    fields: dict[str, Any] = {
        "experiment_id": "notes-1",
        "arm": "lora",
        "number": number,
        "rung": 0,
        "train_id": f"trial-{number}",
        "seed": 1000,
        "values": {"learning_rate": 4e-3, "r": 16},
        "space": {"learning_rate": {"low": 4e-4, "high": 4e-2, "log": True}, "r": [8, 16]},
        "stock": True,
        "share": 1.0,
        "status": "ok",
        "error": None,
        "metric": "rouge_l",
        "value": 0.5,
        "loss": 1.25,
        "validated": 85,
        "examples": 1100,
        "seconds": 12.5,
        "chosen": True,
        "edge": ("r",),
    }
    return Trial(**fields | changes)


def one_of_each() -> list[Any]:
    """One record of every kind that `ingest` takes, optional values both set and None."""
    return [
        experiment(),
        Entry("notes-1", "lora", 0, "t1", 1, "ok", "e1"),
        Entry("notes-1", "untrained", None, "t2", 1, "failed", None),
        Entry("notes-1", "lora", 0, "t3", 1, "ok", None, 0.1),
        trial(),
        trial(1, chosen=False, edge=(), value=None, loss=None, status="oom", error="too large"),
        run(),
        run("t2", artefact=None, seed=None, error="it broke\nbadly", status="failed", parent_train_id=None, notes=()),
        TrainLog("t1", 1, (TrainLogRow(1, 8, 100, 0.5, loss=2.0), TrainLogRow(2, 16, 200, 1.0, validation_loss=1.5))),
        Evaluation(
            "e1", "t1", "ah", "sf", {"max_new_tokens": 5, "stop": ["\n"]}, {"torch": "2.13.0"}, "2026-01-01", "sub"
        ),
        Prediction("e1", "x1", "ph", 'a "note"\n\u0000 with ünïcode 🙂', "stop", 5, 6, 0.25),
        Likelihood("e1", "lm_eval:choice", "0", 3, "choice", -12.345678901234567, 4, 17),
        Score("e1", "test", "x1", "bleu", "none", 1, "ok", 0.1 + 0.2, (1.0, 0.0, 3.3333333333333335)),
        Score("e1", "test", "x2", "bleu", "none", 1, "missing", None),
        SealedAccess("e1", "notes-1", "lora", "someone", "final scoring", "2026-01-01T00:00:00Z"),
        sentinel(),
        serving(),
        gate_call(),
        parity(),
    ]


def gate_call() -> GateCall:
    """A verdict with a waived rule that has a number and an invalid one that has none; nothing could be judged."""
    found = Estimate(-0.1, None, 0.30000000000000004, 5, 4, 1, "t")
    rules = (
        RuleVerdict("recall", "critical", "FAIL", 'words, "quoted"', found, -0.02, 7, "by Ann"),
        RuleVerdict("size", "supporting", "INVALID", "not there", None, 1e9),
    )
    return GateCall(
        id="g1", when="2026-01-02", who="someone", gates_file="gates.yaml", gates_digest="gd", rules_digest="rd",
        baseline="b-1", baseline_digest="bd", candidate="notes/lora@0", experiment="notes-1", train_id="t1",
        eval_id="e1", data={"recall": "d", "size": ""}, outcome="INVALID", exit_code=4, look=None, looks=2,
        reason="first look", verdict=GateVerdict("INVALID", 4, rules, ("known",)),
        waivers=(WaiverUse("recall", "Ann", "why", "2026-02-01", "used"),), settled=False,
    )  # fmt: skip


def sentinel() -> SentinelCheck:
    """A check with one metric that moved."""
    frozen, moved = (Estimate(value, value - 0.1, None, 5, 4, 1, "t") for value in (0.5, 0.25))
    places = ({"torch": "2.13.0"}, {"torch": "2.14.0"})
    move = Move("bleu", frozen, moved, False)
    return SentinelCheck("notes-1", "s" * 16, "lora", "e1", "e2", *places, (move,), 5, 1, False, "2026-01-02")


def parity() -> ParityCheck:
    """A check without a p-value."""
    found = Estimate(0.1, None, None, 5, 4, 1, "t", 0.9)
    near = (Closeness("untrained", True, "answers", found),)
    return ParityCheck(
        *(
            "notes-1",
            "lora",
            None,
            "e1",
            "e2",
            "nf4",
            "out",
            "ah",
            "bleu",
            True,
            0.05,
            0.95,
            found,
            None,
            7,
            5,
            3,
            near,
        ),
        *("INCONCLUSIVE", "", "so", ("a note",), "2026-01-02"),
    )


def serving() -> ServingPass:
    """A pass over two arms, one of which failed."""
    tries = (BatchTry(1, "ok", 10**12), BatchTry(2, "oom", None, "too large"))
    probe = ServingProbe(2**40, "accelerator", tries)
    timed = (ServingVisit((0.1, 0.2), 7, 8, 0.30000000000000004, None, None, None, 0, 1),)
    arms = (
        ServedArm("lora", 0, "t1", "ah", "ok", None, probe, timed),
        ServedArm("served", None, "t2", "eh", "failed", "no answer", None, forced=False),
    )
    return ServingPass("p1", "notes-1", "su", "2026-01-02", {"rounds": 1}, {"torch": "2.13.0"}, {"cores": 2}, 1.5, arms)


def vote(number: int = 1, **changes: Any) -> Judgment:
    """The vote number so and so, each on an assignment of its own."""
    fields: dict[str, Any] = {
        "id": f"v{number}",
        "assignment": f"token{number}",
        "revision": 1,
        "rater": "r1",
        "winner": "left",
        "seconds": 2.5,
        "when": "2026-01-01T00:00:00Z",
        "flags": ("fabrication",),
        "comment": 'wrong dose, "5 mg"\n',
    }
    return Judgment(**fields | changes)


def cast_votes(store: Store, *votes: Judgment) -> int:
    """Store votes as the review does, in a session; returns how many were new."""
    with store.session() as session:
        return session.write(*votes)


def look(number: int) -> SealedAccess:
    """A small record that is cheap to tell apart."""
    return SealedAccess(f"e{number}", "notes-1", "lora", "someone", "test", str(number))


def start(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a Python program in a process of its own, its output a pipe."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
