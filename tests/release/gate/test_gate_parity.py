"""The gate's `parity` rule: the newest stored check of the candidate's own evaluation, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from shell_calls import Answer, Shell

from harness.config import GateRule
from harness.experiments.running import ingest
from harness.records import Closeness, Estimate, ParityCheck
from harness.release.gate import judge_rule
from harness.release.gate.measures import parity_rule
from harness.results import queries

THERE = Closeness("untrained", True, "answers", Estimate(0.9, 0.8, 1.0, 50, 50, 1, "t", 0.9))


def check(low: float = -0.01, high: float = 0.02, **changes: Any) -> ParityCheck:
    difference = Estimate((low + high) / 2, low, high, 120, 60, 1, "t interval", 0.9)
    fields: dict[str, Any] = {
        "experiment": "x",
        "arm": "better",
        "seed": None,
        "eval_id": "e1",
        "after": "e2",
        "kind": "merged",
        "artefact": "out",
        "artefact_hash": "ah",
        "metric": "exact_match",
        "primary": True,
        "margin": 0.05,
        "confidence": 0.95,
        "difference": difference,
        "p_value": 0.01,
        "more_examples": 40,
        "answers": 120,
        "same_answers": 118,
        "closeness": (THERE,),
        "outcome": "EQUIVALENT",
        "impostor": "",
        "words": "it is so",
        "notes": (),
        "when": "2026-01-01T00:00:00+00:00",
    }
    return ParityCheck(**{**fields, **changes})


def outcome(checks: list[ParityCheck], **rule: Any) -> tuple[str, str]:
    asked = GateRule.model_validate({"parity": "merged", "margin": 0.05, **rule})
    found = judge_rule(parity_rule(asked, checks))
    assert "\n" not in found.words
    return found.outcome, found.words


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (-0.01, 0.02, "PASS"),
        (-0.04, -0.02, "PASS"),
        (-0.09, -0.06, "FAIL"),
        (0.06, 0.09, "FAIL"),
        (0.02, 0.08, "INCONCLUSIVE"),
        (-0.08, 0.08, "INCONCLUSIVE"),
    ],
)
def test_a_difference_on_either_side_is_held_below_the_margin(low: float, high: float, wanted: str) -> None:
    assert outcome([check(low, high)])[0] == wanted


def test_the_rule_s_own_margin_and_confidence_count() -> None:
    assert outcome([check(-0.01, 0.02)], margin=0.01)[0] == "INCONCLUSIVE"
    assert outcome([check(-0.01, 0.02)], margin=0.015, confidence=0.9)[0] == "INCONCLUSIVE"
    found, words = outcome([check()], confidence=0.99)
    assert found == "INVALID" and "--confidence 0.99" in words


def test_the_newest_check_counts_whatever_it_said() -> None:
    assert outcome([check(), check(0.06, 0.09, outcome="DIFFERENT")])[0] == "FAIL"
    assert outcome([check(), check(outcome="INVALID", difference=None, words="other prompts")])[0] == "INVALID"
    assert outcome([check(), check(0.06, 0.09, kind="nf4"), check(0.06, 0.09, primary=False)])[0] == "PASS"


def test_without_a_check_it_is_invalid_and_says_what_to_do() -> None:
    for known in ([], [check(kind="nf4")], [check(primary=False)]):
        found, words = outcome(known)
        assert found == "INVALID" and "harness parity RUN --artefact FOLDER" in words
    assert "--artefact URL --model NAME" in outcome([], parity="endpoint")[1]


def test_another_model_in_its_place_fails_although_it_scores_alike() -> None:
    gone = replace(THERE, estimate=Estimate(-1.0, -1.0, -0.9, 50, 50, 1, "t", 0.9))
    base = check(closeness=(gone,), outcome="DIFFERENT", impostor="untrained", words="the adapter is not there")
    found, words = outcome([base])
    assert found == "FAIL" and "untrained" in words
    assert outcome([check(outcome="DIFFERENT", impostor="sibling@0")])[0] == "FAIL"
    unclear = replace(THERE, estimate=Estimate(0.1, -0.1, 0.3, 50, 50, 1, "t", 0.9))
    assert outcome([check(closeness=(unclear,), outcome="INCONCLUSIVE")])[0] == "INCONCLUSIVE"


@pytest.mark.parametrize(
    "wrong", [{"margin": 0}, {"margin": None, "floor": 1}, {"parity": "gguf"}, {"metric": "bleu"}, {"margin": None}]
)
def test_a_rule_that_asks_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GateRule.model_validate({"parity": "merged", "margin": 0.05, **wrong})


def gate(shell: Shell) -> tuple[Answer, dict[str, Any]]:
    found = shell("gate", "gates.yaml", "--candidate", "toys/better", "--json")
    told = json.loads(found.out)
    return found, next(rule for rule in told["rules"] if rule["rule"].startswith("parity"))


@pytest.mark.parametrize(("low", "code", "wanted"), [(-0.01, 0, "PASS"), (-0.2, 3, "INCONCLUSIVE")])
def test_in_a_gate(project: Path, shell: Shell, low: float, code: int, wanted: str) -> None:
    file = project / "gates.yaml"
    file.write_text(file.read_text() + "  - {parity: merged, margin: 0.05}\n")
    found, rule = gate(shell)
    assert (found.code, rule["outcome"], rule["rule"]) == (4, "INVALID", "parity merged margin 0.05")
    store = queries.open_store(project / ".harness")
    record = queries.find(store, "toys")
    entry = next(entry for entry in store.entries(record.experiment_id) if entry.arm == "better")
    made = check(low, eval_id=entry.eval_id, experiment=record.experiment_id)
    ingest.check(store, project / ".harness", made, [])
    found, rule = gate(shell)
    assert (found.code, rule["outcome"]) == (code, wanted), rule["words"]
