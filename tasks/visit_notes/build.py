"""Rows of the visit_notes task: harness check tasks/visit_notes

`build` yields one row a visit. Everything in it is synthetic: people, complaints and medicines come from a seeded
generator.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any


def _sibling(name: str) -> ModuleType:
    """Load a module that lies beside this file, once."""
    full = f"visit_notes_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


clinic = _sibling("clinic")
talk = clinic.talk
LEVELS = (1, 1, 1, 1, 2, 2, 2, 3, 3)
SECOND_VISITS = 0.15
OPTIONS = {"visits": 1000, "seed": 1}


def build(options: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Yield the rows; options are `visits` (how many) and `seed`.

    A row holds id, patient (the group), level, conversation, note, facts (slot and value), rejected (the note with one
    planted fabrication, change or omission), choices (the true note and three with one fact changed) and answer (the
    true one's index).
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ValueError(f"visit_notes knows no option {unknown[0]!r}; it knows {', '.join(OPTIONS)}")
    chosen = {**OPTIONS, **options}
    return _rows(int(chosen["visits"]), int(chosen["seed"]))


def _rows(visits: int, seed: int) -> Iterator[dict[str, Any]]:
    """The rows one after another; each visit has its own generator, so more visits leave the first ones as they are."""
    patient, name, number = 0, "", 0
    while number < visits:
        again = number > 0 and Random(f"{seed}/again/{number}").random() < SECOND_VISITS and name != ""
        rng = Random(f"{seed}/{number}")
        level = rng.choice(LEVELS)
        if not again:
            patient += 1
        talked = talk.converse(clinic.scene(rng, level, name if again else None), rng)
        yield row(talked, f"visit-{seed}-{number:05d}", f"patient-{seed}-{patient:05d}", level, rng)
        name = "" if again else next(fact.value for fact in talked.facts if fact.slot == "Patient")
        number += 1


def row(talked: Any, visit: str, patient: str, level: int, rng: Random) -> dict[str, Any]:
    """One row from a finished conversation."""
    note = clinic.write_note(talked.facts)
    wrong = distractors(talked, rng, 3)
    answer = rng.randrange(4)
    return {
        "id": visit,
        "patient": patient,
        "level": level,
        "conversation": talked.text,
        "note": note,
        "facts": [{"slot": fact.slot, "value": fact.value} for fact in talked.facts],
        "rejected": rejected(talked, rng),
        "choices": [*wrong[:answer], note, *wrong[answer:]],
        "answer": answer,
    }


def changed(talked: Any, index: int, rng: Random) -> tuple[Any, ...]:
    """The facts with one of them made false.

    What was affirmed is put among the denials or the reverse; elsewhere the new value is one that was taken back in the
    conversation, one that differs a little, or one drawn afresh.
    """
    fact, draw = talked.facts[index], rng.random()
    slot, taken_back = fact.slot, [old.value for old in talked.retracted if old.slot == fact.slot]
    if slot in ("Admits", "Denies") and draw < 0.6:
        slot, value = ("Denies" if slot == "Admits" else "Admits"), fact.value
    elif taken_back and draw < 0.6 and taken_back[0] != fact.value:
        value = taken_back[0]
    elif draw < 0.85:
        value = clinic.near_value(slot, fact.value, talked.facts, rng)
    else:
        value = clinic.other_value(slot, fact.value, talked.facts, rng)
    return (*talked.facts[:index], talk.Fact(slot, value), *talked.facts[index + 1 :])


def distractors(talked: Any, rng: Random, number: int) -> list[str]:
    """Different notes with one fact changed in each, none of them true."""
    true = clinic.write_note(talked.facts)
    found: list[str] = []
    while len(found) < number:
        note = clinic.write_note(changed(talked, rng.randrange(len(talked.facts)), rng))
        if note != true and note not in found:
            found.append(note)
    return found


def rejected(talked: Any, rng: Random) -> str:
    """The note with one flaw: mostly an invented fact, else a changed one, seldom one left out.

    Pairs whose worse note is the shorter one teach a model not to stop; too many of them, and it invents more.
    """
    facts, draw = talked.facts, rng.random()
    if draw < 0.35:
        return str(clinic.write_note(changed(talked, rng.randrange(len(facts)), rng)))
    if draw < 0.9:
        return str(clinic.write_note(clinic.with_invention(facts, rng)))
    index = rng.randrange(1, len(facts))
    return str(clinic.write_note((*facts[:index], *facts[index + 1 :])))
