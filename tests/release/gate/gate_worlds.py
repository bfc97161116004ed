"""Two scored runs of one made-up task as the records that a store would hold, and a gate over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.config import GateRule, GateSpec
from harness.records import (
    Artefact,
    Entry,
    Evaluation,
    ExperimentRecord,
    GateVerdict,
    Ledger,
    Prediction,
    Provenance,
    RunRecord,
    Score,
)
from harness.records.release import Release, Scored
from harness.release import baselines
from harness.release.gate import judge, run as gates
from harness.release.gate.evidence import GateInputs, evidence_on

HARDWARE = {"machine": "x86_64", "processor": "abacus", "cores": 2, "accelerators": [], "memory_bytes": 8}
LEDGER = Ledger(train_seconds=10.0, artefact_bytes=1000, trainable_parameters=70, peak_memory_bytes=500)
MODEL = Artefact("adapter", "b", "b", "artefact", "f", None, "c", "", hash="model")


@dataclass
class Arm:
    """One evaluated arm; tests change its parts."""

    name: str
    values: Sequence[float]
    """Of exact_match."""
    retention: Sequence[float] = ()
    """Of retention_perplexity: minus the log-probability of each text of ten tokens."""
    generation: Mapping[str, Any] = field(default_factory=lambda: {"max_new_tokens": 9})
    environment: Mapping[str, Any] = field(default_factory=lambda: {"transformers": "5.23.0"})
    suite: str = "suite-1"
    ledger: Ledger = LEDGER
    method: str = "lora"
    hardware: Mapping[str, Any] = field(default_factory=lambda: HARDWARE)

    @property
    def eval_id(self) -> str:
        return f"eval-{self.name}"

    @property
    def entry(self) -> Entry:
        return Entry("x1", self.name, 0, f"train-{self.name}", 1, "ok", self.eval_id)

    @property
    def run(self) -> RunRecord:
        provenance = Provenance("0.1.0", "c0ffee", False, {}, self.hardware, "2026-01-01T00:00:00Z")
        artefact = replace(MODEL, hash=f"model-{self.name}")
        return RunRecord(
            f"train-{self.name}", 1, self.name, self.method, 0, "final", "ok", None, self.ledger, provenance, artefact
        )

    @property
    def evaluation(self) -> Evaluation:
        return Evaluation(
            self.eval_id, f"train-{self.name}", f"model-{self.name}", self.suite, self.generation, self.environment, "n"
        )

    @property
    def predictions(self) -> list[Prediction]:
        return [
            Prediction(self.eval_id, f"e{n}", f"prompt-{n}", "said", "stop", 5, 5, 0.1) for n in range(len(self.values))
        ]

    @property
    def scores(self) -> list[Score]:
        rows = [
            Score(self.eval_id, "test", f"e{n}", "exact_match", "none", 1, "ok", float(value))
            for n, value in enumerate(self.values)
        ]
        return rows + [
            Score(self.eval_id, "retention", f"r{n}", "retention_perplexity", "none", 1, "ok", value, (-value, 10.0))
            for n, value in enumerate(self.retention)
        ]


def record(examples: int, groups: int = 0, **changes: Any) -> ExperimentRecord:
    """An experiment whose test split has so many examples, in so many groups (0: each its own)."""
    made = ExperimentRecord(
        "x1", "short", "short.yaml", {}, {"name": "notes"}, "f1", {"train": 9, "validation": 2, "test": examples}, (),
        "b", "2026-01-01T00:00:00Z", {f"e{n}": f"g{n % groups if groups else n}" for n in range(examples)}, "s",
    )  # fmt: skip
    return replace(made, **changes)


def as_scored(arm: Arm, of: ExperimentRecord) -> Scored:
    """What a gate sees of it, made by the same function as from a store."""
    return baselines.scored(of, arm.entry, arm.evaluation, arm.run, (arm.scores, arm.predictions))


def pin(arm: Arm, of: ExperimentRecord, folder: Path, name: str = "base-1", **changes: Any) -> Path:
    """Pin it into `folder`; the folder that was written."""
    made = Release(name, "2026-01-02T00:00:00Z", "me", "short", "notes", 0, False, "c0ffee", as_scored(arm, of), "")
    baselines.pin(replace(made, **changes), folder)
    return folder / name


def gates_file(folder: Path, rules: Sequence[str], baseline: str = "base-1", rest: str = "") -> GateSpec:
    """Write a gates file with these rules (flow mappings) and read it as the command does."""
    file = folder / "gates.yaml"
    file.write_text(f"baseline: {baseline}\nrules:\n" + "".join(f"  - {rule}\n" for rule in rules) + rest)
    return gates.load(file)


def verdict_of(spec: GateSpec, candidate: Scored, folder: Path, *, sensitive: bool = False) -> GateVerdict:
    """Judge a candidate against what is pinned in `folder`/BASELINE."""
    pinned = baselines.read(folder / spec.baseline)
    inputs = GateInputs(candidate, pinned.scored, sensitive)
    return judge([evidence_on(rule, inputs) for rule in spec.rules], spec.on_inconclusive)


def rule(**fields: Any) -> GateRule:
    """A rule without a file."""
    return GateRule.model_validate(fields)
