"""The synthetic visits: deterministic, true to their facts, flawed only where a flaw was planted."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from harness.metrics import facts as metric

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tasks" / "visit_notes"


def load(path: Path) -> Any:
    """A module by its path."""
    name = f"test_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


builder = load(FOLDER / "build.py")
domains = load(ROOT / "baselines" / "base" / "domains.py")
talk, clinic = builder.talk, builder.clinic


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """The default rows."""
    return list(builder.build({"visits": 1000, "seed": 1}))


def test_the_same_seed_gives_the_same_rows(rows: list[dict[str, Any]]) -> None:
    assert list(builder.build({})) == rows
    assert list(builder.build({"visits": 50})) == rows[:50]
    assert list(builder.build({"seed": 2, "visits": 50})) != rows[:50]


def test_unknown_option_is_refused() -> None:
    with pytest.raises(ValueError, match="'visit'"):
        builder.build({"visit": 3})


def test_ids_are_unique_and_some_patients_come_twice(rows: list[dict[str, Any]]) -> None:
    assert len({row["id"] for row in rows}) == len(rows) == 1000
    names: dict[str, set[str]] = {}
    for row in rows:
        names.setdefault(row["patient"], set()).add(row["facts"][0]["value"])
    assert 800 < len(names) < 950
    assert all(len(found) == 1 for found in names.values())


def test_conversations_and_notes_are_all_different(rows: list[dict[str, Any]]) -> None:
    assert len({row["conversation"] for row in rows}) == 1000
    assert len({row["note"] for row in rows}) == 1000


def test_true_note_rejected_note_and_choices(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        facts = row["facts"]
        assert metric.all_facts(row["note"], facts) == 1.0
        assert metric.fact_recall(row["note"], facts) == 1.0
        flaws = metric.fabrications(row["rejected"], facts), metric.omissions(row["rejected"], facts)
        assert flaws in {(1, 1), (1, 0), (0, 1)}
        assert row["choices"][row["answer"]] == row["note"]
        assert len(set(row["choices"])) == 4
        for index, choice in enumerate(row["choices"]):
            wrong = metric.fabrications(choice, facts), metric.omissions(choice, facts)
            assert wrong == ((0, 0) if index == row["answer"] else (1, 1))


def test_every_kind_of_flaw_and_answer_occurs(rows: list[dict[str, Any]]) -> None:
    kinds = {
        (metric.fabrications(r["rejected"], r["facts"]), metric.omissions(r["rejected"], r["facts"])) for r in rows
    }
    assert kinds == {(1, 1), (1, 0), (0, 1)}
    assert {row["answer"] for row in rows} == {0, 1, 2, 3}
    assert {row["level"] for row in rows} == {1, 2, 3}


def test_names_products_and_symptoms_of_the_note_were_said(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for fact in row["facts"]:
            if fact["slot"] in {"Patient", "Rx", "Admits", "Denies"}:
                assert fact["value"] in row["conversation"]


def test_labels_stand_in_order_and_once(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        labels = [line.split(": ")[0] for line in row["note"].splitlines()]
        assert labels == [label for label in clinic.LABELS if label in labels]


def test_fillers_can_not_be_learnt_by_heart(rows: list[dict[str, Any]]) -> None:
    values: dict[str, list[str]] = {}
    for row in rows:
        for fact in row["facts"]:
            values.setdefault(fact["slot"], []).append(fact["value"])
    for slot in ("Complaint", "Rx"):
        assert len(set(values[slot])) > 0.95 * len(values[slot])


@given(st.integers(0, 2**32), st.sampled_from((1, 2, 3)))
def test_any_visit_is_well_formed(seed: int, level: int) -> None:
    rng = Random(seed)
    talked = talk.converse(clinic.scene(rng, level), rng)
    row = builder.row(talked, "visit", "patient", level, rng)
    assert metric.all_facts(row["note"], row["facts"]) == 1.0
    assert metric.all_facts(row["rejected"], row["facts"]) == 0.0
    assert "{" not in row["conversation"] + row["note"]
    assert all(re.match(r"(Dr|Pt): \S", line) for line in row["conversation"].splitlines())


@given(st.integers(0, 999))
def test_number_words(number: int) -> None:
    said = talk.number_words(number)
    assert not any(letter.isdigit() for letter in said)
    if number < 100:
        assert talk._written_as_said(str(number)) == said


def test_corrections_keep_the_last_value() -> None:
    act = talk.Act("x", talk.duration, ("It is {v}.",))
    scene = talk.Scene("A", "B", (act,), domains.trades.SMALL_TALK, corrections=1)
    for seed in range(50):
        talked = talk.converse(scene, Random(seed))
        (fact,), (old,) = talked.facts, talked.retracted
        assert fact.value != old.value
        tail = talked.text.split("It is ")[1]
        first, last = tail.find(number_part(tail, old.value)), tail.rfind(number_part(tail, fact.value))
        assert 0 <= first <= last


def number_part(text: str, value: str) -> str:
    """The value as the text has it: in digits or in words."""
    return value if value in text else talk._written_as_said(value)


def test_other_trades_know_nothing_of_the_clinic() -> None:
    forbidden = re.compile(r"\b(patient|doctor|medic\w*|clinic\w*|symptom\w*|dose|pain|Rx|Denies|Admits|Complaint)\b")
    rng = Random(5)
    for trade in (*domains.SEEN, domains.HELD_OUT):
        for document in domains.documents(rng, trade, 40):
            found = forbidden.search(document.prompt + "\n" + document.note)
            assert found is None, (trade.name, found)


def test_novel_words_are_used_and_are_none_of_the_clinic() -> None:
    words = domains.novel_words(["A patient waits for the doctor", "some pumpkin under a lantern", "medicines"])
    assert words == ("for", "lantern", "pumpkin", "some", "the", "under", "waits")
    novelty, rng = domains.Novelty(("pumpkin", "lantern")), Random(7)
    made = [d for trade in domains.SEEN for d in domains.documents(rng, trade, 5, novelty)]
    assert any("pumpkin" in d.note.lower() for d in made)
    assert all(value in d.note for d in made for value in d.values)


def test_drills_repeat_what_carries_the_weight() -> None:
    rng = Random(8)
    for _ in range(100):
        (first, light), *rest = domains.drill(rng)
        assert light < 1.0 and rest
        for text, weight in rest:
            assert weight == 1.0
            assert set(text.split("\n")) <= set(first.split("\n"))


def test_notes_of_other_trades_hold_their_values() -> None:
    rng = Random(6)
    for trade in domains.SEEN:
        for document in domains.documents(rng, trade, 10):
            assert document.values and all(value in document.note for value in document.values)
    assert domains.HELD_OUT.name not in {trade.name for trade in domains.SEEN}


def test_task_file_names_what_the_builder_makes(rows: list[dict[str, Any]]) -> None:
    task = yaml.safe_load((FOLDER / "task.yaml").read_text())
    assert task["data"]["builder"] == "build.py:build"
    assert set(task["data"]["options"]) <= set(builder.OPTIONS)
    for template in (task["prompt"], task["target"], *task["preferences"].values()):
        assert set(re.findall(r"{{ (\w+) }}", template)) <= set(rows[0])
    assert task["id"] in rows[0] and task["group"] in rows[0]
