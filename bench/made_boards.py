"""A made-up experiment of many runs, in a real store: what `scale.py` asks for leaderboards of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.metrics import METRICS as METRICS_OF_THE_HARNESS
from harness.records import (
    Entry,
    Evaluation,
    ExperimentRecord,
    Ledger,
    Prediction,
    Provenance,
    RunRecord,
    Score,
    SealedAccess,
)
from harness.store import Store

METRICS = ("fact_recall", "rouge_l", "fabrications", "perplexity")
VERSIONS = {name: METRICS_OF_THE_HARNESS[name].version for name in METRICS}
GROUP = 3
"""Examples of a patient, on average."""
BATCH = 50
"""Runs that are stored in one transaction."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large an experiment is: trained arms, seeds of each, test examples. An untrained arm is added."""

    arms: int
    seeds: int
    examples: int

    @property
    def runs(self) -> int:
        return self.arms * self.seeds + 1


def fill(store: Store, size: Size, name: str = "many") -> int:
    """Store the experiment `name` with all its runs, predictions and scores; returns the rows that were new."""
    rng = np.random.default_rng(size.runs)
    items = [f"visit-{number:05d}" for number in range(size.examples)]
    groups = {item: f"patient-{rng.integers(size.examples // GROUP):04d}" for item in items}
    stored = store.ingest([_experiment(name, size, groups)])
    batch: list[Any] = []
    for number, rows in enumerate(_runs(name, size, items, rng), 1):
        batch += rows
        if number % BATCH == 0:
            stored, batch = stored + store.ingest(batch), []
    return stored + store.ingest(batch)


def _experiment(name: str, size: Size, groups: dict[str, str]) -> ExperimentRecord:
    return ExperimentRecord(
        experiment_id=f"made-{name}",
        name=name,
        file=f"{name}.yaml",
        spec={"reference": "untrained", "budget": {"examples": 200}, "resources": {}},
        task={"name": "visits", "version": 1, "metrics": {"primary": METRICS[0], "also": list(METRICS[1:])}},
        task_fingerprint=f"made-{name}",
        split_sizes={"train": 700, "validation": 100, "test": size.examples},
        leaks=(),
        base_hash="made",
        created="2026-01-01T00:00:00+00:00",
        groups=groups,
        suite=f"made-{name}",
    )


def _runs(name: str, size: Size, items: list[str], rng: np.random.Generator) -> Iterator[list[Any]]:
    """All records of one run after the other: untrained first, then arm by arm and seed by seed."""
    hard = rng.normal(size=size.examples)
    yield _records(name, ("untrained", None), items, _values(rng, hard, -1.5))
    for arm in range(size.arms):
        skill = float(rng.normal(scale=0.3))
        own = hard + 0.5 * rng.normal(size=size.examples)
        for seed in range(size.seeds):
            values = _values(rng, own, skill + 0.05 * float(rng.normal()))
            yield _records(name, (f"arm{arm:04d}", seed), items, values)


def _values(rng: np.random.Generator, hard: np.ndarray, skill: float) -> dict[str, np.ndarray]:
    """Metric → values [n]; of perplexity the sums of log-probabilities and the tokens, [n, 2]."""
    chance = 1 / (1 + np.exp(-(skill + hard + 0.5)))
    tokens = 40.0 + np.arange(len(hard)) % 17
    return {
        "fact_recall": rng.binomial(9, chance) / 9,
        "rouge_l": np.clip(chance + 0.1 * rng.normal(size=len(hard)), 0, 1),
        "fabrications": rng.poisson(1 - chance).astype(float),
        "perplexity": np.stack([-tokens * (2.5 - chance) + rng.normal(size=len(hard)), tokens], axis=1),
    }


def _records(name: str, who: tuple[str, int | None], items: list[str], values: dict[str, np.ndarray]) -> list[Any]:
    arm, seed = who
    trained = seed is not None
    train_id, eval_id = f"train-{name}-{arm}-{seed}", f"eval-{name}-{arm}-{seed}"
    ledger = Ledger(predict_seconds=4.0, score_seconds=0.5, total_parameters=1_750_000, peak_memory_bytes=310_000_000)
    if trained:
        ledger = Ledger(
            **{**{field: getattr(ledger, field) for field in ("predict_seconds", "score_seconds", "total_parameters")}},
            examples=200,
            tokens=31_400,
            optimiser_steps=25,
            train_seconds=9.25,
            trainable_parameters=70_000,
            artefact_bytes=300_000,
        )
    provenance = Provenance("0", None, None, {}, {"processor": "made"}, "2026-01-01T00:00:00+00:00")
    method = "lora" if trained else "untrained"
    rows: list[Any] = [
        RunRecord(train_id, 1, arm, method, seed, "final", "ok", None, ledger, provenance, None),
        Entry(f"made-{name}", arm, seed, train_id, 1, "ok", eval_id),
        Evaluation(eval_id, train_id, eval_id, f"made-{name}", {}, {"device": "cpu"}, "2026-01-01T00:00:00+00:00"),
        SealedAccess(eval_id, f"made-{name}", arm, "made", "harness run", "2026-01-01T00:00:00+00:00"),
    ]
    rows += [
        Prediction(eval_id, item, "0123456789abcdef", f"The note of {item} by {arm}.", "stop", 120, 50, 0.01)
        for item in items
    ]
    for place, item in enumerate(items):  # as scores of answers are stored: example by example
        rows += [
            Score(eval_id, "test", item, metric, "none", VERSIONS[metric], "ok", float(values[metric][place]))
            for metric in METRICS[:-1]
        ]
    for item, (total, tokens) in zip(items, values["perplexity"].tolist(), strict=True):
        value = float(np.exp(-total / tokens))
        rows.append(Score(eval_id, "test", item, "perplexity", "none", 1, "ok", value, (total, tokens)))
    return rows


def made_home(folder: Path, size: Size) -> Path:
    """A home folder with such an experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    fill(Store(folder / "harness.duckdb"), size)
    return folder
