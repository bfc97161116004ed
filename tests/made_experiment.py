"""Made-up report objects with everything that a figure can show: seeds, logs, events, shares, trials."""

from __future__ import annotations

import math

from harness.records import (
    Entry,
    ExperimentRecord,
    Ledger,
    Provenance,
    RunEvent,
    RunRecord,
    Score,
    TrainLog,
    TrainLogRow,
    Trial,
)
from harness.results.collect import Results

ARMS = {"untrained": 0.05, "full": 0.82, "lora": 0.8, "qlora $x_1$": 0.79}
"""Arm → share of right answers; one name would be a formula to matplotlib."""
ITEMS = [f"e{number}" for number in range(60)]
SEEDS = (0, 1, 2)


def _scores(eval_id: str, skill: float, shift: int) -> list[Score]:
    found = []
    for number, item in enumerate(ITEMS):
        value = float((number * 37 + shift * 11) % 100 < 100 * skill)
        found.append(Score(eval_id, "test", item, "exact_match", "none", 1, "ok", value))
        found.append(Score(eval_id, "test", item, "rouge_l", "none", 1, "ok", 0.5 + value / 2))
    return found


def _rows(arm: str, seed: int) -> tuple[TrainLogRow, ...]:
    rows = []
    for step in range(1, 61):
        loss = 2 * math.exp(-step / 20) + 0.1 + 0.02 * math.sin(step * 1.7 + seed + len(arm))
        valid = loss + 0.2 if step % 20 == 0 else None
        rows.append(TrainLogRow(step, 8 * step, 80 * step, 0.1 * step, loss, valid, 1 + loss / 2, 1e-3))
    return tuple(rows)


def made(primary: str = "exact_match") -> Results:
    """Results of a tuned experiment with shares of the data and three seeds."""
    entries: list[Entry] = []
    shares: list[Entry] = []
    runs: list[RunRecord] = []
    scores: list[Score] = []
    logs: list[TrainLog] = []
    provenance = Provenance("0.1.0", None, None, {"torch": "2.13.0"}, {}, "2026-01-01T00:00:00Z")
    for arm, skill in ARMS.items():
        for seed in SEEDS if arm != "untrained" else (None,):
            trained = seed is not None
            events = (
                (RunEvent(30, "loss_spike", "loss spike at step 30", 2.0, 1.0),) if (arm, seed) == ("full", 1) else ()
            )
            ledger = Ledger(
                examples=200 * trained,
                tokens=9000 * trained,
                optimiser_steps=60 * trained,
                train_seconds=(30.0 + 5 * len(arm) + (seed or 0)) * trained,
                peak_memory_bytes=(900 + 40 * len(arm)) * 10**6 if trained else None,
                trainable_parameters=2_000_000 if arm == "full" else 70_000 * trained,
                total_parameters=2_000_000,
                artefact_bytes=1000 * trained,
                events=events,
            )
            name = f"{arm}-{seed}"
            entries.append(Entry("x1", arm, seed, f"t-{name}", 1, "ok", f"v-{name}"))
            runs.append(
                RunRecord(f"t-{name}", 1, arm, arm.split()[0], seed, "final", "ok", None, ledger, provenance, None)
            )
            scores += _scores(f"v-{name}", skill, (seed or 0) + len(arm))
            if trained:
                logs.append(TrainLog(f"t-{name}", 1, _rows(arm, seed or 0)))
                shares.append(Entry("x1", arm, seed, f"s-{name}", 1, "ok", f"w-{name}", 0.25))
                scores += _scores(f"w-{name}", skill - 0.3, (seed or 0) + len(arm))
    record = ExperimentRecord(
        experiment_id="x1",
        name="short",
        file="short.yaml",
        spec={
            "reference": "untrained",
            "budget": {"examples": 200},
            "seeds": list(SEEDS),
            "base_model": {"path": "/srv/models/base", "dtype": "float32"},
            "tuning": {"trials": 3},
            "winner_rules": [{"margin": 0.02, "cost": "total_seconds", "estimand": "auto", "declared": "2026-01-01"}],
            "arms": [
                {"method": "untrained"},
                {"method": "full", "optimiser": {"learning_rate": 0.001, "schedule": "cosine"}},
                {"method": "lora", "optimiser": {"learning_rate": 0.01, "schedule": "cosine"}, "lora": {"r": 16}},
            ],
        },
        task={"name": "notes", "version": 1, "metrics": {"primary": primary, "also": ["rouge_l"]}},
        task_fingerprint="f1",
        split_sizes={"train": 400, "validation": 40, "test": len(ITEMS)},
        leaks=(),
        base_hash="b",
        created="2026-01-01T00:00:00Z",
        groups={item: item for item in ITEMS},
    )
    return Results(record, entries, runs, scores, shares=shares, trials=_trials(), logs=logs)


def _trials() -> list[Trial]:
    found = []
    for arm, best in (("full", 1e-3), ("lora", 1e-2)):
        for number in range(4):
            rate = best * 10 ** (number - 1)
            bad = number == 3
            found.append(
                Trial(
                    experiment_id="x1",
                    arm=arm,
                    number=number,
                    rung=0,
                    train_id=f"trial-{arm}-{number}",
                    seed=1000,
                    values={"learning_rate": rate},
                    space={"learning_rate": {"low": best / 10, "high": best * 100, "log": True}},
                    stock=number == 1,
                    share=1.0,
                    status="diverged" if bad else "ok",
                    error="the loss is nan" if bad else None,
                    metric="exact_match",
                    value=None if bad else 0.8 - 0.1 * abs(number - 2),
                    loss=None if bad else 0.3,
                    validated=40,
                    examples=200,
                    seconds=9.0,
                    chosen=number == 2,
                )
            )
    return found
